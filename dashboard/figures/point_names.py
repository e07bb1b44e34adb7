"""Names at the points of a scatter, where these are few: above each (where it has a picture, on the other side), with
a ground that keeps them readable."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.results import Scatter
from dashboard.figures import point_pictures
from dashboard.figures.sheet import Sheet
from dashboard.figures.style import Theme, translucent
from dashboard.figures.text import markup, shorten

MOST, LONGEST = 60, 18  # points; characters
LETTER, HIGH, ABOVE = 0.0125, 0.05, 0.06  # of a name, as shares of the picture
SMALL, PICTURE = 0.47, 0.8  # a letter, of the points; the picture, of the page
PICTURED_LETTER, PICTURED_HIGH = (
    0.018,
    0.06,
)  # where there are pictures, so that it holds in one column of print, too


def named(result: Scatter, sheet: Sheet | None = None) -> list[tuple[int, str, float]]:
    """(point, name, x of its middle) of the points of a plane map whose names have room; none where points are too
    many. On a sheet (None: on screen) a name at the side of the picture stays within it."""
    places = np.asarray(result.positions, dtype=np.float64)
    if (
        not result.names
        or result.names not in result.columns
        or len(places) > MOST
        or places.shape[1:] != (2,)
    ):
        return []
    names = [str(name) for name in np.asarray(result.columns[result.names])]
    good = np.isfinite(places).all(axis=1)
    if not good.any():
        return []
    size = np.ptp(places[good], axis=0)
    at = places / np.where(size > 0, size, 1.0)
    letter = LETTER if sheet is None else letter_of(sheet)
    half = letter * np.array([min(len(name), LONGEST) for name in names]) / 2
    middle = at[:, 0] if sheet is None else _within(at[:, 0], half, at[good, 0])
    far = np.abs(at - np.median(at[good], axis=0)).max(axis=1)
    kept: list[int] = []
    beside = _Beside.of(result, float(size.max()))
    for i in sorted(np.flatnonzero(good), key=lambda i: -far[i]):  # those that stand alone first
        over = at[good] - (middle[i], at[i, 1])  # points that the name would cover
        if ((np.abs(over[:, 0]) < half[i]) & (over[:, 1] > 0) & (over[:, 1] < ABOVE)).any():
            continue
        if beside is not None and not beside.room(int(i), places[i], min(len(names[i]), LONGEST)):
            continue
        wide = [half[i] + half[k] for k in kept]
        apart = [(abs(middle[i] - middle[k]), abs(at[i, 1] - at[k, 1])) for k in kept]
        if all(dx > w or dy > HIGH for (dx, dy), w in zip(apart, wide, strict=True)):
            kept.append(int(i))
    return [(i, names[i], float(middle[i] * (size[0] if size[0] > 0 else 1.0))) for i in sorted(kept)]


def _within(x: np.ndarray, half: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """The middles of names this far to both sides, so that they lie within the points that are seen; of names that are
    as wide as these, their points."""
    low, high = seen.min() + half, seen.max() - half
    return np.where(low < high, np.clip(x, low, high), x)


@dataclass
class _Beside:
    """What names beside pictures must not lie on: pictures and other names (left, right, bottom, top), in a plot that
    is `reach` wide; `sides` on which side of its point each name stands."""

    taken: np.ndarray
    sides: dict[int, tuple[int, int]]
    reach: float

    @classmethod
    def of(cls, result: Scatter, reach: float) -> _Beside | None:
        boxes = np.array([one.box for one in point_pictures.placed(result)]).reshape(-1, 4)
        return cls(boxes, _sides(result), reach) if len(boxes) else None

    def room(self, i: int, at: np.ndarray, letters: int) -> bool:
        """Whether the name of the i-th point has room; then it has its place."""
        wide, high = PICTURED_LETTER * letters * self.reach, PICTURED_HIGH * self.reach
        x, y = at + np.array(self.sides.get(i, (0, 1))) * (wide / 2, 0.62 * high)
        box = np.array([x - wide / 2, x + wide / 2, y - high / 2, y + high / 2])
        across = np.minimum(box[1], self.taken[:, 1]) - np.maximum(box[0], self.taken[:, 0])
        up = np.minimum(box[3], self.taken[:, 3]) - np.maximum(box[2], self.taken[:, 2])
        if ((across > 0) & (up > 0)).any():
            return False
        self.taken = np.concatenate([self.taken, box[None]])
        return True


def letter_of(sheet: Sheet) -> float:
    """How wide a letter of a name is on paper, as a share of the picture."""
    return max(LETTER, SMALL * sheet.points / (PICTURE * sheet.inches * 72))


def note(result: Scatter, sheet: Sheet | None = None) -> str:
    """What must be said of names that have no room (of no sheet: on screen); "" where all have, or points are too many
    for any."""
    count = int(np.isfinite(np.asarray(result.positions, dtype=np.float64)).all(axis=1).sum())
    shown = named(result, sheet)
    left = count - len(shown) if shown else 0
    return f"{left:,} of {count:,} names have no room and are left out" if left else ""


def _sides(result: Scatter) -> dict[int, tuple[int, int]]:
    """(across, upwards) of each point on which its name stands where it has a picture: opposite to it."""
    return {one.row: (-one.side[0], -one.side[1]) for one in point_pictures.placed(result)}


def on_screen(figure, result: Scatter, theme: Theme) -> None:
    """Add them to a Plotly figure."""
    sides = _sides(result)
    for i, name, _ in named(result):
        (x, y), (across, up) = (float(v) for v in np.asarray(result.positions)[i]), sides.get(i, (0, 1))
        far = 6 if i in sides else 8
        figure.add_annotation(x=x, y=y, text=markup(name, LONGEST), showarrow=False,
                              xshift=far * across, yshift=far * up, xanchor=("center", "left", "right")[across],
                              yanchor=("middle", "bottom", "top")[up],
                              font={"color": theme.text, "size": 11},
                              bgcolor=translucent(theme.ground, 0.6), borderpad=0)  # fmt: skip


def on_paper(axes, page, result: Scatter) -> None:
    """Add them to Matplotlib axes."""
    sides = _sides(result)
    for i, name, middle in named(result, page.sheet):
        across, up = sides.get(i, (0, 1))
        x, y = (float(v) for v in np.asarray(result.positions)[i])
        x = x if i in sides else middle
        far, ground = 3 * page.scale, {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.4}
        axes.annotate(shorten(name, LONGEST), (x, y), (far * across, far * up),
                      textcoords="offset points", ha=("center", "left", "right")[across],
                      va=("center", "bottom", "top")[up], fontsize="small", color="#1a1a1a", zorder=3,
                      bbox=ground if sides else None)  # fmt: skip


def bare_second_axis(result: Scatter) -> bool:
    """Whether the second coordinate only sets named points apart: it has no name of its own."""
    return bool(result.names) and len(result.axes) > 1 and not result.axes[1]
