"""Heatmap: the overview of a matrix that may be too large to hold, drawn as a matrix is.

Where cells are gathered, each shows the one of largest magnitude in its square; the page zooms into them, paper cannot.
"""

from __future__ import annotations

import numpy as np

from analysis.results import Heatmap, Matrix
from dashboard.figures import matrix
from dashboard.figures.cells import block_names, names_of
from dashboard.figures.paper import Page
from dashboard.figures.rounded_cells import ROUNDED, known_size, only_rounding
from dashboard.figures.screen import screen_figure
from dashboard.figures.style import Theme
from dashboard.figures.text import number


def as_matrix(result: Heatmap) -> Matrix:
    """The overview as a Matrix in drawing order, with its tree where every line is there."""
    single, sides = result.gathered == 1, []
    for names, order in ((result.row_names, result.row_order), (result.column_names, result.column_order)):
        named = names_of(np.asarray(names, dtype=str), len(order))
        sides.append(tuple(block_names([named[i] for i in order], result.gathered)))
    sure = np.abs(result.overview) >= result.threshold if single and not np.isnan(result.threshold) else None
    return Matrix(
        title=result.title, reading=result.reading, caveats=result.caveats, estimates=result.estimates,
        origin=result.origin, values=result.overview, row_names=sides[0], column_names=sides[1],
        value_name=result.value_name, linkage=result.linkage if single else None, null_band=result.null_band,
        significant=sure, limits=result.limits, diverging=result.diverging,
    )  # fmt: skip


def empty(result: Heatmap) -> str:
    """Why there is nothing to draw, or ""."""
    return matrix.empty(as_matrix(result))


def shape(result: Heatmap) -> float:
    """Height over width on paper."""
    return matrix.shape(as_matrix(result))


def screen(result: Heatmap, theme: Theme, *, height=None, title=True):
    """Plotly figure of the overview."""
    figure = matrix.screen(as_matrix(result), theme, height=height, title=title)
    said = screen_figure(theme, result.title, _notes(result, "grey bar at"), show_title=title).layout
    figure.update_layout(title=said.title, margin=said.margin)
    if result.gathered > 1:
        for update, count in zip((figure.update_yaxes, figure.update_xaxes), result.shape, strict=True):
            update(title_text=f"{count:,} in drawing order", selector=0)
    return figure


def paper(result: Heatmap, page: Page) -> None:
    """Draw the overview on the page."""
    matrix.paper(as_matrix(result), page)
    if result.gathered > 1:
        axes = page.figure.axes[0]
        axes.set_ylabel(f"{result.shape[0]:,} rows")
        axes.set_xlabel(f"{result.shape[1]:,} columns")


def notes(result: Heatmap, *, greyscale=False) -> tuple[str, ...]:
    """What must stand beside the printed picture."""
    said = _notes(result, "hatched on")
    return matrix.in_grey(as_matrix(result), said) if greyscale else said


def _notes(result: Heatmap, where: str) -> tuple[str, ...]:
    found = []
    if result.gathered > 1:
        p, q = result.shape
        square = f"{result.gathered} × {result.gathered}"
        found.append(f"each cell shows the strongest |value| of {square} cells ({p:,} × {q:,} in all)")
    if result.null_band is not None:
        ends = " to ".join(number(v) for v in result.null_band)
        found.append(f"{where} the scale: what structureless data gives, {ends}")
    rounded = only_rounding(np.asarray(result.overview, np.float64), known_size(result))
    found += [ROUNDED[rounded]] if rounded else []
    found.append(_significant(result))
    return tuple(found)


def _significant(result: Heatmap) -> str:
    same = np.array_equal(result.overview, result.overview.T)  # of one tap with itself
    share = (
        f"{number(100 * result.share_significant)} % of the {'pairs' if same else 'cells'} are significant"
    )
    if not np.isfinite(result.threshold):
        return share
    size = "an absolute value" if result.diverging else "a value"
    faded = "; the others are faded" if result.gathered == 1 else ""
    return f"{share}, from {size} of {number(result.threshold)} on{faded}"


def table(result: Heatmap, *, layout="auto", **_ignored) -> dict[str, np.ndarray]:
    """The drawn cells, in drawing order."""
    return matrix.table(as_matrix(result), layout=layout)


def words(result: Heatmap) -> str:
    """The picture in words."""
    said, text = matrix.words(as_matrix(result)), _significant(result)
    if result.gathered > 1:
        p, q = result.shape
        said = f"Overview of {p:,} rows by {q:,} columns, each cell the strongest of its square. {said}"
    elif not np.isnan(result.threshold):
        return said  # it counts the significant cells
    return f"{said} {text[0].upper()}{text[1:]}."
