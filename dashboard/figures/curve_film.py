"""Bars of a curve over a film strip: series that are drawn as bars, and the picture of each place below it.

On screen the pictures lie between the bars and the names of places; on paper in axes of their own that share x.
"""

from __future__ import annotations

import numpy as np

from analysis.results import Curve
from dashboard.figures.point_pictures import address

MOST, STRIP, HIGHER = 24, 0.22, 80  # pictures; of the height; pixels more on screen
GHOST = "#6a6a6a"  # on paper
WIDE, SIDE = 0.8, 0.94  # of bars and of pictures, as a share of the way to the next place


def ghost(result: Curve, name: str) -> bool:
    """Whether a series is drawn as a ghost: a control among bars."""
    return bool(result.bars) and name in result.controls


def step(result: Curve) -> float:
    """The least way from one place to the next."""
    x = np.unique(np.asarray(result.x, float))
    return float(np.diff(x).min()) if len(x) > 1 else 1.0


def filmed(result: Curve) -> np.ndarray:
    """The places that have a picture: of many every second, third, …"""
    if result.pictures is None or result.log_x:
        return np.zeros(0, int)
    n = len(result.pictures)
    return np.arange(n)[:: max(1, -(-n // MOST))]


def notes(result: Curve) -> tuple[str, ...]:
    shown = len(filmed(result))
    few = 0 < shown < len(result.pictures) if result.pictures is not None else False
    return (f"{shown} of {len(result.pictures)} pictures are drawn",) if few else ()


def _reach(result: Curve, name: str, good: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """(up, down) from the tops of bars to the ends of their intervals."""
    if name not in result.low or name not in result.high:
        return None
    y = np.asarray(result.series[name], float)[good]
    ends = np.asarray(result.high[name], float)[good] - y, y - np.asarray(result.low[name], float)[good]
    return tuple(np.maximum(e, 0).astype(np.float32) for e in ends)


def bar_on_screen(
    figure, result: Curve, name: str, good: np.ndarray, colour: str, label: str, hover: str, muted: str
):
    """Add the bars of one series to a Plotly figure."""
    import plotly.graph_objects as go

    reach = _reach(result, name, good)
    error = None if reach is None else {
        "type": "data", "symmetric": False, "array": reach[0], "arrayminus": reach[1], "color": muted,
        "thickness": 1.2, "width": 3}  # fmt: skip
    figure.add_trace(
        go.Bar(
            x=np.asarray(result.x, np.float32)[good], y=np.asarray(result.series[name], np.float32)[good],
            width=WIDE * step(result), marker={"color": colour, "line": {"width": 0}}, opacity=0.75, name=label,
            hovertemplate=hover + "<extra></extra>", showlegend=False, error_y=error,
        )
    )  # fmt: skip


def strip_on_screen(figure, result: Curve) -> None:
    """Lay the pictures below the bars of a Plotly figure."""
    shown, x = filmed(result), np.asarray(result.x, float)
    if not len(shown):
        return
    wide = SIDE * step(result) * max(1, int(np.diff(shown).min()) if len(shown) > 1 else 1)
    figure.update_yaxes(domain=[STRIP + 0.03, 1.0])
    figure.update_xaxes(anchor="free", position=0.0)
    for i in shown:
        figure.add_layout_image(
            source=address(np.asarray(result.pictures)[i]), xref="x", yref="paper", x=x[i], y=STRIP / 2 + 0.015,
            sizex=wide, sizey=STRIP - 0.02, xanchor="center", yanchor="middle", sizing="contain", layer="above",
        )  # fmt: skip


def bar_on_paper(axes, result: Curve, name: str, good: np.ndarray, colour, label: str, scale: float) -> None:
    """The same on Matplotlib axes."""
    reach, x = _reach(result, name, good), np.asarray(result.x, float)[good]
    error = (
        {}
        if reach is None
        else {"yerr": reach[::-1], "error_kw": {"elinewidth": 0.7 * scale, "ecolor": "#444"}}
    )
    axes.bar(x, np.asarray(result.series[name], float)[good], width=WIDE * step(result), color=colour, alpha=0.75,
             label=label, linewidth=0, **error)  # fmt: skip


def axes_on_paper(figure, result: Curve):
    """(axes of the curve, axes of the pictures or None)."""
    if not len(filmed(result)):
        return figure.add_subplot(), None
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[1 - STRIP, STRIP])
    upper.tick_params(labelbottom=False, bottom=False)
    return upper, lower


def strip_on_paper(axes, result: Curve, greyscale: bool) -> None:
    """Pictures side by side, x shared with the axes above."""
    from PIL import Image

    shown, x = filmed(result), np.asarray(result.x, float)
    pictures = np.asarray(result.pictures)[shown]
    half = SIDE / 2 * step(result) * max(1, int(np.diff(shown).min()) if len(shown) > 1 else 1)
    limits, shape = axes.get_xlim(), pictures.shape[1] / pictures.shape[2]
    wide = axes.bbox.width * 2 * half / (limits[1] - limits[0])  # how wide and high a picture may be, in dots
    half, high = half * min(1.0, axes.bbox.height / (wide * shape)), min(1.0, wide * shape / axes.bbox.height)
    for at, picture in zip(x[shown], pictures, strict=True):
        colours = np.asarray(Image.fromarray(picture).convert("L" if greyscale else "RGB"))
        look = {"cmap": "gray", "vmin": 0, "vmax": 255} if greyscale else {}
        box = (at - half, at + half, 0.5 - high / 2, 0.5 + high / 2)
        axes.imshow(colours, extent=box, aspect="auto", interpolation="nearest", **look)
    axes.set_xlim(limits)
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_visible(False)
