"""Matrix: a heat map in its drawing order, with its tree, the null band at the colour bar, and faded cells."""

from __future__ import annotations

import numpy as np

from analysis.results import Matrix
from dashboard.figures.cells import (
    MOST_NAMES,
    Cells,
    branches,
    cells_of,
    counted,
    itself_on_the_diagonal,
    names_of,
    nothing,
    order_of,
)
from dashboard.figures.contrast import ink
from dashboard.figures.hatching import hatch_on_paper, hatch_on_screen
from dashboard.figures.outlines import outlined, outlines_on_paper, outlines_on_screen
from dashboard.figures.paper import Page, scale_bar
from dashboard.figures.screen import screen_figure
from dashboard.figures.short_names import told_apart
from dashboard.figures.style import Theme, steps
from dashboard.figures.targets import MOST, add_targets
from dashboard.figures.text import markup, number, plain, shorten, unique
from dashboard.figures.traces import colour_bar

FADED = 0.28
NAME, PAPER_NAME = 22, 16  # characters at most, on screen and on paper
LONG_PAPER_NAME, FEW_NAMES = 26, 8
MOST_WRITTEN = 12  # cells along a side that show their number
SMALLEST_WRITTEN = 0.8  # of the size of names: smaller numbers are left out on paper, 6 points in print
DIGIT, NARROW, BETWEEN = (
    0.64,
    0.36,
    0.25,
)  # of the points: a digit, a point or a minus sign, between two numbers
BESIDE_THE_BAR, BESIDE_THE_TREE = 0.93, 0.86  # of the width, for cells and their names; for cells
BAR_NUMBERS = 4.7  # of the points: how wide the numbers and the name of the scale are
ROUNDED_SPREAD, ALIKE = (
    1e-6,
    0.05,
)  # spreads of cells over the largest: float32 tells no less; two decimals tell more


def empty(result: Matrix) -> str:
    """Why there is nothing to draw, or ""."""
    return nothing(np.asarray(result.values), "cell", "matrix has")


def shape(result: Matrix) -> float:
    """Height over width on paper: about square cells within reason."""
    p, q = np.asarray(result.values).shape
    return float(np.clip(0.85 * p / q, 0.4, 1.1)) + 0.05


def screen(
    result: Matrix, theme: Theme, *, aggregate="auto", show="value", targets=False, height=None, title=True
):
    """Plotly figure. `targets`: cells can be clicked, where they are few enough."""
    cells = cells_of(result, aggregate=aggregate, show=show)
    p, q = cells.values.shape
    height = height or int(np.clip(150 + max(540 * min(p / q, 1), 19 * p), 320, 700))
    figure = screen_figure(theme, result.title, cells.notes, height=height, show_title=title)
    tree = branches(result)
    right = 1.0 if tree is None else 0.88
    _heat(figure, cells, theme)
    if cells.few is not None:
        hatch_on_screen(figure, cells.few, theme.muted)
    if cells.path is not None:
        _line(figure, cells.path, theme)
    if outlined(result, cells):
        outlines_on_screen(figure, result.outlines, theme.muted)
    _names(figure, cells, right)
    if result.null_band is not None and show != "excess":
        _null_beside_the_scale(figure, cells, result.null_band, theme)
    if tree is not None:
        _tree(figure, tree, theme, right)
    if targets and cells.gathered == (1, 1) and p * q <= MOST:
        _targets(figure, cells, theme)
    if 0.5 < p / q < 2:
        figure.update_yaxes(scaleanchor="x", constrain="domain", selector=0)
        figure.update_xaxes(constrain="domain", constraintoward="right", selector=0)
    return figure


def _heat(figure, cells: Cells, theme: Theme) -> None:
    import plotly.graph_objects as go

    shared = {"xgap": 0, "ygap": 0, "coloraxis": "coloraxis", "customdata": cells.beside}
    figure.update_layout(  # the scale belongs to no trace: Plotly leaves out that of one without a value
        coloraxis={
            "cmin": cells.low,
            "cmax": cells.high,
            "colorscale": steps(theme.diverging if cells.diverging else theme.sequential),
            "colorbar": colour_bar(cells.value_name, theme, ypad=0, len=1, y=0.5, x=1, xpad=22),
        }
    )
    template = _under_the_pointer(cells)
    pale = {}
    if _has_room(cells):
        shared |= {"texttemplate": f"%{{z:.{_decimals(cells.values)}f}}", "textfont": {"size": 11}}
        pale = {
            "textfont": {"size": 11, "color": theme.text}
        }  # the ground shines through: white would be lost on it
    if cells.sure is None:
        figure.add_trace(go.Heatmap(z=cells.values, hovertemplate=template, **shared))
        return
    sure = np.where(cells.sure, cells.values, np.float32(np.nan))
    unsure = template.replace("<extra>", "<br>not significant<extra>")
    faded = np.where(cells.sure, np.float32(np.nan), cells.values)
    look = {**shared, **pale}
    figure.add_trace(go.Heatmap(z=faded, opacity=FADED, hovertemplate=unsure, hoverongaps=False, **look))
    figure.add_trace(go.Heatmap(z=sure, hovertemplate=template, hoverongaps=False, **shared))


def _line(figure, path: np.ndarray, theme: Theme) -> None:
    """Across the cells, dashed on a halo that shows on dark and light ones."""
    import plotly.graph_objects as go

    look = {"mode": "lines", "hoverinfo": "skip", "showlegend": False}
    at = {"x": path.astype(np.float32), "y": np.arange(len(path), dtype=np.float32)}
    figure.add_trace(go.Scatter(**at, **look, line={"width": 4, "color": theme.ground}))
    figure.add_trace(go.Scatter(**at, **look, line={"width": 2, "color": theme.text, "dash": "dash"}))


def _decimals(values: np.ndarray) -> int:
    """Of the numbers in the cells: none of counts, else two, or more where that would leave the largest one digit or
    make all cells alike."""
    whole = values[np.isfinite(values)]
    if whole.size and (whole == np.round(whole)).all() and np.abs(whole).max() > 1:
        return 0
    most = float(np.nanmax(np.abs(values), initial=0.0))
    if most == 0:
        return 2
    spread = float(np.ptp(whole))
    apart = 1 - np.floor(np.log10(spread)) if ROUNDED_SPREAD * most < spread < ALIKE * most else 2
    return int(np.clip(max(1 - np.floor(np.log10(most)), apart), 2, 5))


def _has_room(cells: Cells) -> bool:
    """Whether every cell can hold its number."""
    return cells.gathered == (1, 1) and max(cells.values.shape) <= MOST_WRITTEN


def _targets(figure, cells: Cells, theme: Theme) -> None:
    beside = np.zeros((*cells.values.shape, 0)) if cells.beside is None else cells.beside
    template = _under_the_pointer(cells).replace("%{y}<br>%{x}", "%{text}").replace("%{z", "%{customdata[3]")
    if cells.beside is None:
        template = template.replace("customdata[3]", "customdata[0]")
    template = template.replace("<extra>", "%{hovertext}<extra>")
    names = ([markup(name) for name in names] for names in (cells.row_names, cells.column_names))
    shown = np.concatenate([beside, cells.values[..., None]], axis=2)
    add_targets(figure, *names, template, shown, _remarks(cells), theme.ground)


def _remarks(cells: Cells) -> np.ndarray:
    """(p, q) what fading and hatching say of a cell, in words: the pointer meets the targets, which lie above them."""
    found = np.full(cells.values.shape, "", dtype=object)
    if cells.sure is not None:
        found[~cells.sure] += "<br>not significant"
    if cells.few is not None:
        found[cells.few] += "<br>" + (markup(cells.few_means) or "too few samples")
    return found


def _under_the_pointer(cells: Cells) -> str:
    text = f"%{{y}}<br>%{{x}}<br>{markup(cells.value_name, 40)} %{{z:.4g}}"
    if cells.beside is not None:
        has = np.isfinite(cells.beside).any(axis=(0, 1))
        if has[1] and has[2]:
            text += "<br>95 % interval %{customdata[1]:.3g} to %{customdata[2]:.3g}"
        if has[0]:
            text += "<br>null %{customdata[0]:.3g}"
    return text + "<extra></extra>"


def _names(figure, cells: Cells, right: float) -> None:
    bare = {"showline": False, "ticks": "", "selector": 0}
    for names, update in ((cells.column_names, figure.update_xaxes), (cells.row_names, figure.update_yaxes)):
        update(
            tickmode="array",
            tickvals=np.arange(len(names), dtype=np.float32),
            ticktext=[markup(name) for name in told_apart(names, NAME)],
            range=[-0.5, len(names) - 0.5],
            **bare,
        )
        if len(names) > MOST_NAMES:  # the names stay for the pointer, in a colour nobody sees
            update(showticklabels=False, title_text=f"{len(names):,} in drawing order", selector=0)
    figure.update_xaxes(domain=[0, right], tickangle=_angle(cells.column_names), selector=0)
    if len(cells.column_names) > 40:
        figure.update_xaxes(tickfont={"size": 9}, selector=0)
    if len(cells.row_names) > 40:  # closer than the usual size is high
        figure.update_yaxes(tickfont={"size": 8}, selector=0)
    figure.update_yaxes(range=[len(cells.row_names) - 0.5, -0.5], selector=0)


def _angle(names: list[str]) -> int:
    """Degrees to turn the column names so that they do not cover each other."""
    if sum(min(len(name), NAME) + 2 for name in names) <= 70:
        return 0
    return -45 if len(names) <= 30 else -90


def _null_beside_the_scale(figure, cells: Cells, band, theme: Theme) -> None:
    """A grey bar left of the colour bar, over the values that structureless data reaches."""
    place = [float(np.clip((v - cells.low) / (cells.high - cells.low), 0, 1)) for v in band]
    figure.add_shape(
        type="rect",
        xref="paper",
        yref="paper",
        xsizemode="pixel",
        xanchor=1,
        x0=14,
        x1=19,
        y0=place[0],
        y1=place[1],
        fillcolor=theme.missing,
        line={"width": 0},
        layer="above",
    )


def _tree(figure, tree, theme: Theme, right: float) -> None:
    import plotly.graph_objects as go

    height, place = tree
    figure.add_trace(
        go.Scatter(
            x=height,
            y=place,
            xaxis="x2",
            yaxis="y",
            mode="lines",
            showlegend=False,
            hoverinfo="skip",
            line={"width": 1, "color": theme.muted},
        )
    )
    figure.update_layout(
        xaxis2={
            "domain": [right + 0.01, 1],
            "anchor": "y",
            "visible": False,
            "range": [0, float(np.nanmax(height)) * 1.02 or 1],
        }
    )


def paper(result: Matrix, page: Page, *, aggregate="auto", show="value") -> None:
    """Draw on the page: sharp cells, the band hatched into the colour bar."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    cells = cells_of(result, aggregate=aggregate, show=show)
    tree = branches(result)
    panels = page.figure.subplots(
        1, 2 if tree else 1, squeeze=False, width_ratios=[1, 0.14] if tree else [1]
    )[0]
    axes = panels[0]
    scale = ScalarMappable(Normalize(cells.low, cells.high), page.colour_map(cells.diverging))
    shades = scale.to_rgba(np.ma.masked_invalid(cells.values))[..., :3]
    shades[~np.isfinite(cells.values)] = 1.0
    if cells.sure is not None and not (page.greyscale and none_sure(result)):
        faded = 1.0 if page.greyscale else FADED * shades + (1 - FADED)  # a faded grey would be a lower value
        shades = np.where(cells.sure[..., None], shades, faded)
    narrow = page.width in ("single", "poster")  # elsewhere square cells leave half of the page empty
    square = narrow and 0.5 < cells.values.shape[0] / cells.values.shape[1] < 2 and tree is None
    axes.imshow(shades, aspect="equal" if square else "auto", interpolation="nearest")
    if cells.few is not None:
        hatch_on_paper(axes, cells.few, page.scale)
    if cells.path is not None:
        at = cells.path, np.arange(len(cells.path))
        axes.plot(*at, color="#ffffff", linewidth=2.4 * page.scale)
        axes.plot(*at, color="#111111", linewidth=1.1 * page.scale, linestyle=(0, (4, 2)))
    if outlined(result, cells):
        outlines_on_paper(axes, result.outlines, page.scale)
    if _has_room(cells) and not page.draft:
        _written(axes, cells, shades, page, tree is not None)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    _paper_names(axes, cells, page, square)
    if tree:
        panels[1].plot(*tree, color="#555555", linewidth=0.6 * page.scale)
        panels[1].set_ylim(axes.get_ylim())
        panels[1].set_xlim(0, None)
        panels[1].set_axis_off()
    band = None
    if result.null_band is not None and show != "excess":
        band = tuple(float(np.clip(v, cells.low, cells.high)) for v in result.null_band)
    scale_bar(page, scale, list(panels), cells.value_name, band)


def _written(axes, cells: Cells, shades: np.ndarray, page: Page, tree: bool) -> None:
    """The number in each cell, dark on light and light on dark."""
    decimals = _decimals(cells.values)
    size = _letters_of_cells(cells, decimals, page, tree)
    if size < SMALLEST_WRITTEN * page.sheet.points:
        return
    for (i, j), value in np.ndenumerate(cells.values):
        if np.isfinite(value):
            look = {"ha": "center", "va": "center", "fontsize": size, "color": ink(tuple(shades[i, j]))}
            text = axes.text(j, i, f"{value:.{decimals}f}", **look)
            text.set_in_layout(False)  # it lies inside of the axes, and to measure it takes time


def _letters_of_cells(cells: Cells, decimals: int, page: Page, tree: bool) -> float:
    """Points at which the longest number fits into a cell, at most those of the ticks."""
    good = cells.values[np.isfinite(cells.values)]
    written = [f"{value:.{decimals}f}" for value in (good.min(), good.max())]
    letters = BETWEEN + max(sum(NARROW if c in "-." else DIGIT for c in text) for text in written)
    points = page.sheet.points
    beside, below = (
        0.56 * points * max(len(name) for name in told_apart(names, _letters(page, names)))
        for names in (cells.row_names, cells.column_names)
    )
    left = 72 * page.inches * BESIDE_THE_BAR - BAR_NUMBERS * points - beside
    wide = left * (BESIDE_THE_TREE if tree else 1.0) / cells.values.shape[1]
    turned = _turned(cells.column_names)
    free = page.figure.get_figheight() - sum(page.grown)
    high = (72 * free - (below if turned else 0.0) - 2 * points) / cells.values.shape[0]
    return min(7.0 * page.scale, wide / letters, 0.8 * high)


def _paper_names(axes, cells: Cells, page: Page, square: bool) -> None:
    """Tick names where they fit at the printed size; otherwise how many lines there are."""
    line = 7.2 * page.scale * 1.1
    wide, high = page.inches * 72 * 0.66 / line, (page.figure.get_figheight() - 0.6 * page.scale) * 72 / line
    if square:
        wide = high = min(wide, high)
    sides = (
        (cells.column_names, axes.set_xticks, axes.set_xlabel, wide),
        (cells.row_names, axes.set_yticks, axes.set_ylabel, high),
    )
    for (names, put, label, lines), what in zip(sides, ("columns", "rows"), strict=True):
        if len(names) <= min(MOST_NAMES, lines):
            put(np.arange(len(names)), told_apart(names, _letters(page, names)))
        else:
            put([])
            label(f"{len(names):,} {what}")
    if len(cells.column_names) <= min(MOST_NAMES, wide) and _turned(cells.column_names):
        axes.tick_params(axis="x", rotation=90)


def _turned(names) -> bool:
    """Whether names of columns stand upright: beside each other they have no room."""
    return sum(min(len(name), PAPER_NAME) + 2 for name in names) > 30


def _letters(page: Page, names) -> int:
    """How many characters a name may have: more where they are few, since then cells stay large."""
    return (
        max(PAPER_NAME, min(LONG_PAPER_NAME, page.characters // 3)) if len(names) <= FEW_NAMES else PAPER_NAME
    )


def none_sure(result: Matrix) -> bool:
    """Whether no cell is significant: in grey, where the others are white, nothing would be left to see."""
    return result.significant is not None and counted(result)[0] == 0


def in_grey(result: Matrix, said: tuple[str, ...]) -> tuple[str, ...]:
    """Notes of a figure in grey, where what is not significant is white."""
    if none_sure(result):
        return tuple(note.replace("the others are faded", "all are drawn alike") for note in said)
    return tuple(note.replace("faded", "left white") for note in said)


def notes(result: Matrix, *, aggregate="auto", show="value", greyscale=False) -> tuple[str, ...]:
    cells = cells_of(result, aggregate=aggregate, show=show)
    said = cells.notes
    if outlined(result, cells):
        said = (*said, f"lines: {plain(result.outline_name) or 'blocks'}")
    said = tuple(note.replace("grey bar at", "hatched on") for note in said)
    return in_grey(result, said) if greyscale else said


def table(result: Matrix, *, layout="auto", show="value", **_ignored) -> dict[str, np.ndarray]:
    """The whole matrix in drawing order: one line per row ("wide"), or per cell with all that is known of it ("long");
    "auto" is long where cells have a null of their own."""
    values = np.asarray(result.values)
    rows, columns = (
        order_of(result.row_order, values.shape[0]),
        order_of(result.column_order, values.shape[1]),
    )
    row_names = np.array(names_of(result.row_names, len(rows)), dtype=str)[rows]
    column_names = np.array(names_of(result.column_names, len(columns)), dtype=str)[columns]
    drawn = values[np.ix_(rows, columns)]
    beyond = (
        None
        if show != "excess" or result.null is None
        else drawn - np.asarray(result.null)[np.ix_(rows, columns)]
    )
    if layout == "long" or (layout == "auto" and result.null is not None):
        found = {
            "row": np.repeat(row_names, len(columns)),
            "column": np.tile(column_names, len(rows)),
            plain(result.value_name) or "value": drawn.ravel(),
        }
        beside = {
            "low": result.low,
            "high": result.high,
            "null": result.null,
            "significant": result.significant,
        }
        for name, known in {**beside, plain(result.few_means) or "too few samples": result.few}.items():
            if known is not None:
                found[name] = np.asarray(known)[np.ix_(rows, columns)].ravel()
        if beyond is not None:
            found["drawn: value less null"] = beyond.ravel()
        return found
    drawn = drawn if beyond is None else beyond
    heads = unique(["row", *column_names])
    return {"row": row_names, **{head: drawn[:, j] for j, head in enumerate(heads[1:])}}


def words(result: Matrix) -> str:
    """The picture in words."""
    values = np.asarray(result.values, dtype=np.float64)
    p, q = values.shape
    parts = [f"Heat map of {p:,} row(s) by {q:,} column(s) of {plain(result.value_name) or 'values'}."]
    finite = np.isfinite(values)
    if itself_on_the_diagonal(result) and (finite & ~np.eye(p, dtype=bool)).any():
        finite &= ~np.eye(p, dtype=bool)
        parts.append("The diagonal, each with itself, is left out.")
    low, high = values[finite].min(), values[finite].max()
    parts.append(f"Values from {number(low)} to {number(high)}, median {number(np.median(values[finite]))}.")
    i, j = np.unravel_index(np.where(finite, np.abs(values), -1).argmax(), values.shape)
    names = names_of(result.row_names, p)[i], names_of(result.column_names, q)[j]
    word = "largest" if low >= 0 else "largest in magnitude"
    parts.append(
        f"The {word}, {number(values[i, j])}, is in row {shorten(names[0])}, column {shorten(names[1])}."
    )
    if result.null_band is not None:
        inside = ((values >= result.null_band[0]) & (values <= result.null_band[1]))[finite].mean()
        ends = " to ".join(number(v) for v in result.null_band)
        parts.append(f"Structureless data (the null) gives {ends}; {inside:.0%} of the cells lie inside.")
    if result.significant is not None:
        found, tested = counted(result)
        what = "cells" if tested == values.size else "pairs"
        parts.append(f"{found:,} of {tested:,} {what} are significant.")
    if result.path is not None:
        on = [values[i, round(float(c))] for i, c in enumerate(result.path) if 0 <= round(float(c)) < q]
        parts.append(
            f"Along {plain(result.path_name) or 'the line'} the mean is {number(float(np.nanmean(on)))}."
        )
    if result.few is not None and np.any(result.few):
        why = plain(result.few_means) or "samples are too few"
        parts.append(f"{int(np.sum(result.few)):,} cells are hatched: {why}.")
    return " ".join(parts)
