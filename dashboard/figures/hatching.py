"""Hatching over cells that should not be read much into: lines on screen, a hatch on paper."""

from __future__ import annotations

import numpy as np

MOST_LINED = 4_000  # cells; more are veiled instead, as lines would cover them anyway


def hatch_on_screen(figure, few: np.ndarray, colour: str) -> None:
    """Two diagonal strokes in every cell of `few` (p, q) bool, on the first axes of a Plotly figure."""
    import plotly.graph_objects as go

    rows, columns = np.nonzero(few)
    if not len(rows):
        return
    if len(rows) > MOST_LINED:
        veil = np.where(few, np.float32(1), np.float32(np.nan))
        scale = [[0, colour], [1, colour]]
        figure.add_trace(
            go.Heatmap(
                z=veil, colorscale=scale, showscale=False, opacity=0.45, hoverinfo="skip", hoverongaps=False
            )
        )
        return
    x = columns[:, None] + np.array([-0.5, 0.0, np.nan, 0.0, 0.5, np.nan, -0.5, 0.5, np.nan])
    y = rows[:, None] + np.array([0.0, -0.5, np.nan, 0.5, 0.0, np.nan, 0.5, -0.5, np.nan])
    figure.add_trace(
        go.Scatter(
            x=x.ravel().astype(np.float32), y=y.ravel().astype(np.float32), mode="lines", hoverinfo="skip",
            showlegend=False, line={"width": 1, "color": colour},
        )
    )  # fmt: skip


def strokes(how_dense: int, scale: float) -> str:
    """A hatch of Matplotlib, whose density is fixed in inches: thicker lines stand further apart."""
    return "/" * max(1, round(how_dense / scale))


def hatch_on_paper(axes, few: np.ndarray, scale: float) -> None:
    """The same on Matplotlib axes whose cells are unit squares about whole numbers."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    cells = [Rectangle((j - 0.5, i - 0.5), 1, 1) for i, j in zip(*np.nonzero(few), strict=True)]
    if cells:
        axes.add_collection(
            PatchCollection(
                cells,
                facecolor="none",
                edgecolor="#444444",
                hatch=strokes(4, scale),
                linewidth=0.0,
                rasterized=len(cells) > 2000,
            )
        )
