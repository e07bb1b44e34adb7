"""Small pictures at the points of a plane scatter, a little beside each, so that its colour stays visible: above, or
on another side, so that none lies on another and few points are covered. Where points are close the pictures are
smaller; one that has no room at all is left out, and it is told how many are."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np

from analysis.results import Scatter

MOST, LARGEST, SHARE = 200, 0.13, 1.6  # pictures; of the picture's side; of the even spacing of the points
SIDES = ((0, 1), (0, -1), (-1, 0), (1, 0), (-1, 1), (1, 1), (-1, -1), (1, -1))  # above is best
SMALLER = (1.0, 0.8, 0.65, 0.5)  # sides to try, of the largest
BESIDE = 0.62  # of its side, from a point to the middle of its picture


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


@dataclass(frozen=True)
class Placed:
    """A picture of the point `row` : on which side of it (across, upwards: -1, 0 or 1), and its edges in units of the
    axes (left, right, bottom, top)."""

    row: int
    side: tuple[int, int]
    box: tuple[float, float, float, float]


def placed(result: Scatter) -> list[Placed]:
    """The pictures that have room, on that side of their points where they cover fewest points and no picture before
    them: as large as they can be with all of them in view, at the smallest without those that have no room."""
    which, wide = pictured(result)
    points, found = np.asarray(result.positions, dtype=np.float64), []
    for smaller in SMALLER if which else ():
        found = _put(points, which, wide * smaller)
        if len(found) == len(which):
            break
    return found


def note(result: Scatter) -> str:
    """What must be said of pictures that have no room; "" where all have."""
    which = pictured(result)[0]
    left = len(which) - len(placed(result))
    return f"{left:,} of {len(which):,} pictures have no room and are left out" if left else ""


def _put(points: np.ndarray, which: list[int], wide: float) -> list[Placed]:
    """Pictures of one size, in the order of their points; of those without room none."""
    found, taken = [], np.empty((0, 4))
    for i in which:
        middles = points[i] + BESIDE * wide * np.array(SIDES)
        ends = np.stack([middles[:, 0], middles[:, 0], middles[:, 1], middles[:, 1]], axis=1)
        boxes = ends + wide / 2 * np.array([-1, 1, -1, 1])
        free = [k for k, box in enumerate(boxes) if _covered(box, taken) <= 1e-9 * wide**2]
        if free:
            best = min(free, key=lambda k: _within(points, boxes[k]))
            found.append(Placed(i, SIDES[best], tuple(boxes[best].tolist())))
            taken = np.concatenate([taken, boxes[best : best + 1]])
    return found


def _covered(box: np.ndarray, taken: np.ndarray) -> float:
    """The area that the box shares with others."""
    across = np.minimum(taken[:, 1], box[1]) - np.maximum(taken[:, 0], box[0])
    up = np.minimum(taken[:, 3], box[3]) - np.maximum(taken[:, 2], box[2])
    return float((across.clip(0) * up.clip(0)).sum())


def _within(points: np.ndarray, box: np.ndarray) -> int:
    x, y = points.T
    return int(((x > box[0]) & (x < box[1]) & (y > box[2]) & (y < box[3])).sum())


def corners(result: Scatter) -> list[np.ndarray]:
    """Of the pictures (m, 2): they must be in view."""
    boxes = np.array([one.box for one in placed(result)]).reshape(-1, 4)
    return [boxes[:, [0, 2]], boxes[:, [1, 3]]] if len(boxes) else []


def on_screen(figure, result: Scatter) -> None:
    """Add them to a Plotly figure."""
    for one in placed(result):
        left, right, bottom, top = one.box
        figure.add_layout_image(
            source=address(np.asarray(result.pictures)[one.row]), xref="x", yref="y", x=left, y=bottom,
            sizex=right - left, sizey=top - bottom, xanchor="left", yanchor="bottom", sizing="contain", layer="above",
        )  # fmt: skip


def on_paper(axes, result: Scatter, greyscale: bool = False) -> None:
    """Add them to Matplotlib axes."""
    from PIL import Image

    every = placed(result)
    for one in every:
        given = Image.fromarray(np.asarray(result.pictures)[one.row])
        picture = np.asarray(given.convert("L" if greyscale else "RGB"))
        look = {"cmap": "gray", "vmin": 0, "vmax": 255} if greyscale else {}
        axes.imshow(picture, extent=one.box, zorder=2.5, aspect="auto", interpolation="nearest", **look)
    if every:
        axes.autoscale(True)


def address(picture: np.ndarray) -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture).convert("RGB").save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
