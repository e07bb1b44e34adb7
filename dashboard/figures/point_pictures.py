"""Small pictures at the points of a plane scatter, a little above each, so that its colour stays visible."""

from __future__ import annotations

import base64
import io

import numpy as np

from analysis.results import Scatter

MOST, LARGEST, SHARE = 200, 0.13, 1.6  # pictures; of the picture's side; of the even spacing of the points


def pictured(result: Scatter) -> tuple[list[int], float]:
    """(the points that have a picture, side of a picture in units of the axes): none where points are too many, the
    map has three axes, or there are no pictures."""
    places = np.asarray(result.positions, dtype=np.float64)
    if result.pictures is None or len(places) > MOST or places.shape[1:] != (2,):
        return [], 0.0
    good = np.isfinite(places).all(axis=1)
    if not good.any():
        return [], 0.0
    reach = [places[good], *(np.asarray(g, dtype=np.float64) for g in result.guides.values())]
    wide = float(np.ptp(np.concatenate(reach), axis=0).max()) or 1.0
    side = wide * min(LARGEST, SHARE / max(len(places), 1) ** 0.5 / 2)
    return np.flatnonzero(good).tolist(), side


def tops(result: Scatter) -> list[np.ndarray]:
    """Upper corners (m, 2) of the pictures, which must be in view."""
    which, side = pictured(result)
    places = np.asarray(result.positions, dtype=np.float64)[which]
    return [places + np.array([x, 1.12 * side]) for x in (-side / 2, side / 2)] if which else []


def on_screen(figure, result: Scatter) -> None:
    """Add them to a Plotly figure."""
    which, side = pictured(result)
    for i in which:
        x, y = (float(v) for v in np.asarray(result.positions)[i])
        figure.add_layout_image(
            source=address(np.asarray(result.pictures)[i]), xref="x", yref="y", x=x, y=y + 0.12 * side,
            sizex=side, sizey=side, xanchor="center", yanchor="bottom", sizing="contain", layer="above",
        )  # fmt: skip


def on_paper(axes, result: Scatter, greyscale: bool = False) -> None:
    """Add them to Matplotlib axes."""
    from PIL import Image

    which, side = pictured(result)
    for i in which:
        x, y = (float(v) for v in np.asarray(result.positions)[i])
        box = (x - side / 2, x + side / 2, y + 0.12 * side, y + 1.12 * side)
        picture = np.asarray(
            Image.fromarray(np.asarray(result.pictures)[i]).convert("L" if greyscale else "RGB")
        )
        look = {"cmap": "gray", "vmin": 0, "vmax": 255} if greyscale else {}
        axes.imshow(picture, extent=box, zorder=2.5, aspect="auto", interpolation="nearest", **look)
    if which:
        axes.autoscale(True)


def address(picture: np.ndarray) -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture).convert("RGB").save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
