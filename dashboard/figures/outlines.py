"""Blocks drawn around the cells of a matrix, where it is drawn cell by cell in its own order."""

from __future__ import annotations

import numpy as np

WIDTH = 0.6  # points


def outlined(result, cells) -> bool:
    """Whether the result has blocks, and cells stand where they say."""
    return (
        result.outlines is not None
        and len(result.outlines) > 0
        and cells.gathered == (1, 1)
        and result.row_order is None
        and result.column_order is None
    )


def corners(outlines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(x, y) of one line around each block, with a gap after each; cells have their middles on whole numbers."""
    top, bottom, left, right = (np.asarray(outlines, np.float32) - 0.5).T
    gap = np.full(len(top), np.float32(np.nan))
    x = np.stack([left, right, right, left, left, gap], axis=1)
    y = np.stack([top, top, bottom, bottom, top, gap], axis=1)
    return x.ravel(), y.ravel()


def outlines_on_screen(figure, outlines: np.ndarray, colour: str) -> None:
    """One trace on the first axes of a Plotly figure."""
    import plotly.graph_objects as go

    x, y = corners(outlines)
    figure.add_trace(
        go.Scatter(
            x=x,
            y=y,
            mode="lines",
            line={"width": WIDTH, "color": colour},
            hoverinfo="skip",
            showlegend=False,
        )
    )


def outlines_on_paper(axes, outlines: np.ndarray, scale: float) -> None:
    x, y = corners(outlines)
    axes.plot(x, y, color="#666666", linewidth=0.5 * WIDTH * scale, solid_joinstyle="miter")
