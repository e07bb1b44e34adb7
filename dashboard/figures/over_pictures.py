"""Colours over a picture: clear where the value is zero (of a scale without signs, lowest), denser away from it."""

from __future__ import annotations

import base64
import io

import numpy as np

from analysis.results import TokenMap
from dashboard.figures.style import Theme

DENSEST, STOPS = 0.85, 33
DIM = 0.35  # of the picture's contrast that is left below, so that colours stand out
POSITIVE = "#d6604d"
NEGATIVE = "#2f79b5"


def under(result: TokenMap, k: int) -> np.ndarray:
    """(height, width[, 3]) uint8: the picture below the k-th map, in grey, its contrast lowered towards white."""
    pictures = np.asarray(result.pictures)
    picture = pictures[k if len(pictures) > 1 else 0].astype(np.float64)
    if picture.ndim == 3:
        picture = picture @ np.array([0.299, 0.587, 0.114])
    return np.round(255 - DIM * (255 - picture)).astype(np.uint8)


def spread(picture: np.ndarray, grid: tuple[int, int]) -> dict:
    """A Plotly image of (height, width) that fills the cells of the grid."""
    from PIL import Image

    down, along = grid[0] / picture.shape[0], grid[1] / picture.shape[1]
    file = io.BytesIO()
    Image.fromarray(picture).convert("RGB").save(file, "PNG")
    source = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    return {"source": source, "x0": along / 2 - 0.5, "dx": along,
            "y0": down / 2 - 0.5, "dy": down}  # fmt: skip


def density(share: np.ndarray, diverging: bool) -> np.ndarray:
    """How opaque a place of the scale (0 … 1) is."""
    return DENSEST * (np.abs(2 * share - 1) if diverging else share)


def see_through(theme: Theme, low: float, high: float, diverging: bool) -> list:
    """A Plotly colour scale; of one sign it is that sign's colour."""
    return [
        [float(s), "rgba({},{},{},{:.3f})".format(*_colour(s, low, diverging), a)]
        for s, a in zip(*_stops(low, high, diverging), strict=True)
    ]


def see_through_on_paper(colours, low: float, high: float, diverging: bool):
    """The same as a Matplotlib colour map; what has no value stays as in `colours`."""
    from matplotlib.colors import LinearSegmentedColormap

    shares, dense = _stops(low, high, diverging)
    parts = [
        (float(s), (*(v / 255 for v in _colour(s, low, diverging)), float(a)))
        for s, a in zip(shares, dense, strict=True)
    ]
    made = LinearSegmentedColormap.from_list("over a picture", parts, N=256)
    return made.with_extremes(bad=colours.get_bad())


def _stops(low: float, high: float, diverging: bool) -> tuple[np.ndarray, np.ndarray]:
    shares = np.linspace(0, 1, STOPS)
    if diverging:
        return shares, density(shares, True)
    values = low + (high - low) * shares
    return shares, DENSEST * np.abs(values) / max(abs(low), abs(high), 1e-300)


def _colour(share: float, low: float, diverging: bool) -> tuple[int, int, int]:
    negative = share < 0.5 if diverging else low < 0
    text = NEGATIVE if negative else POSITIVE
    return tuple(int(text[i : i + 2], 16) for i in (1, 3, 5))
