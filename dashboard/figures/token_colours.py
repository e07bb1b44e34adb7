"""A token map whose tokens have colours of their own: on the grid of each picture, else a row for each sample."""

from __future__ import annotations

import numpy as np

from analysis.results import TokenMap
from dashboard.figures.grey_pictures import without_colour
from dashboard.figures.over_pictures import spread
from dashboard.figures.screen import screen_figure
from dashboard.figures.style import Theme
from dashboard.figures.text import markup, number, shorten

CLEAR = [[0, "rgba(0,0,0,0)"], [1, "rgba(0,0,0,0)"]]


def panels(result: TokenMap, limit: int, whole: bool) -> np.ndarray:
    """(k, height, width, 3) uint8: of the grid where tokens fill it, else one row each."""
    colours = np.asarray(result.colours)[:limit]
    if not whole:
        return colours[:, None]
    return colours[:, result.leading :].reshape(len(colours), *map(int, result.grid), 3)


def trace(result: TokenMap, k: int, panel: np.ndarray, **axes) -> list:
    """Plotly traces of the k-th panel: the colours, and above them what the pointer says."""
    import plotly.graph_objects as go

    rows, columns = panel.shape[:2]
    values = np.asarray(result.values, np.float64)[k][-rows * columns :].reshape(rows, columns)
    said = [
        [
            f"row {i + 1}, column {j + 1}<br>{_said(panel[i, j])}<br>{number(values[i, j])}"
            for j in range(columns)
        ]
        for i in range(rows)
    ]
    return [
        go.Image(**spread(panel, (rows, columns)), hoverinfo="skip", **axes),
        go.Heatmap(z=np.zeros((rows, columns), np.float32), colorscale=CLEAR, showscale=False, hovertext=said,
                   hovertemplate="%{hovertext}<extra></extra>", **axes),
    ]  # fmt: skip


def _said(colour) -> str:
    return "red {}, green {}, blue {} of 255".format(*map(int, colour))


def rows_on_screen(result: TokenMap, theme: Theme, notes, names: list[str], *, height=None, title=True):
    """Plotly figure of one row a sample."""
    lines = panels(result, len(names), False)[:, 0]
    figure = screen_figure(
        theme, result.title, notes, show_title=title, height=height or 150 + 24 * len(lines)
    )
    for one in trace(result, slice(0, len(names)), lines):
        figure.add_trace(one)
    figure.update_yaxes(tickmode="array", tickvals=np.arange(len(names), dtype=np.float32), ticks="", showline=False,
                        ticktext=[markup(n, 24) for n in names], range=[len(names) - 0.5, -0.5], scaleanchor=False,
                        constrain=None)  # fmt: skip
    figure.update_xaxes(title_text="token", showline=False)
    return figure


def on_paper(axes, picture: np.ndarray, greyscale: bool, **look) -> None:
    """One panel (height, width, 3) on Matplotlib axes."""
    picture, ends = without_colour(picture) if greyscale else (picture, {})
    axes.imshow(picture, cmap="gray", interpolation="nearest", **ends, **look)


def rows_on_paper(axes, result: TokenMap, names: list[str], greyscale: bool = False) -> None:
    on_paper(axes, panels(result, len(names), False)[:, 0], greyscale, aspect="auto")
    axes.spines[:].set_visible(False)
    axes.set_yticks(range(len(names)), [shorten(n, 24) for n in names])
    axes.set_xlabel("token")


def columns(result: TokenMap) -> dict[str, np.ndarray]:
    """The colours in a table, 0 to 255."""
    if result.colours is None:
        return {}
    return {
        name: np.asarray(result.colours)[..., k].ravel() for k, name in enumerate(("red", "green", "blue"))
    }
