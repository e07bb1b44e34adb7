"""From a Scatter to what the map component draws: columns of bytes and a few words."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from analysis.activations import Layout
from analysis.results import Scatter
from dashboard.figures.colours import Colouring, colouring
from dashboard.figures.style import Theme, theme_named

NO_CODE = 255  # the code of a missing category (see map/lookup.js)
N_MARKS = 6
STEPS_ABOVE = 250_000  # points: more than that send a quantity as 255 steps; the ramp itself has 256 colours
GRID_ABOVE = 2_000_000  # points: more than that send places as 65,535 steps a side


@dataclass(frozen=True)
class Column:
    """Bytes with their content key (32 hexadecimal characters)."""

    data: bytes

    @cached_property
    def key(self) -> str:
        return hashlib.blake2b(self.data, digest_size=16).hexdigest()


@dataclass(frozen=True)
class Series:
    """Placings of the same points, to move along: columns like `MapPicture.positions`, one name each."""

    frames: tuple[Column, ...]
    names: tuple[str, ...]
    note: str = ""
    step: int | None = None


@dataclass(frozen=True)
class Overlay:
    """What can be laid over the points, with what its legend says (see `edges` and `ellipses` in map/map.js).

    column : int32 (m, 2) pairs of points, or float32 (m, 4) of point, half axes and angle. values : float32 (m,).
    """

    column: Column
    said: dict
    values: Column | None = None


@dataclass(frozen=True)
class MapPicture:
    """All that a map shows. The columns are documented in map/map.js; `colour` goes without its bytes.

    positions : float32 (n, dims), or uint16 steps over `grid`. members : int32 (n, 2) of sample and token, None
    where point i is sample i. colour, colour_column : how to colour and by what. mask : packed bits of the selected
    points. cards : what hovering shows, for stores small enough to send; None: the page answers each hover with
    `card`. labels : {text, x, y, z, size, level} each. rows : what identifies the rows; maps with the same `link`
    and the same `rows` share a selection at once. mode : "points", "density" or "both", None for the usual one.
    """

    n: int
    label: str
    of: str
    positions: Column
    greys: tuple[str, str, str]
    members: Column | None = None
    colour: dict | None = None
    colour_column: Column | None = None
    mask: Column | None = None
    cards: Column | None = None
    card: dict | None = None
    focus: int | None = None
    view: dict | None = None
    axes: tuple[str, ...] | None = None
    dims: int = 2
    grid: tuple[float, ...] | None = None
    density: tuple[str, ...] = ()
    mode: str | None = None
    labels: tuple[dict, ...] = ()
    series: Series | None = None
    edges: Overlay | None = None
    ellipses: Overlay | None = None
    link: str | None = None
    link_view: bool = False
    rows: str | None = None
    extra: dict = field(default_factory=dict)

    def with_state(self, *, mask: np.ndarray | None, **values) -> MapPicture:
        """The same points and colours with another selection, focus, card or view."""
        column = None if mask is None or not mask.any() else Column(np.packbits(mask).tobytes())
        return replace(self, mask=column, **values)

    def columns(self) -> dict[str, Column | None]:
        """Everything binary, by the name it has on the page; positions first, since they are waited for."""
        found = {"positions": self.positions, "colour": self.colour_column, "mask": self.mask}
        found |= {"members": self.members, "cards": self.cards}
        for name, overlay in (("edges", self.edges), ("ellipses", self.ellipses)):
            found[name] = overlay.column if overlay else None
        if self.edges and self.edges.values:
            found["edge values"] = self.edges.values
        for k, frame in enumerate(self.series.frames if self.series else ()):
            found[f"frame {k}"] = frame
        return found


def picture(
    result: Scatter,
    layout: Layout | None,
    *,
    theme: str = "light",
    values=None,
    name: str = "",
    categorical: bool | None = None,
    mask: np.ndarray | None = None,
    note: str = "",
    dims: int = 2,
) -> MapPicture:
    """Put a map together. `values` (n,) colour the points and are called `name`; `mask` (n,) bool selects.

    `note` is said in the legend. `layout` maps rows to (sample, token); None where the points are units. `dims` 3
    shows the third axis too, where the result has one.
    """
    look = theme_named(theme)
    positions = np.asarray(result.positions, np.float32)[:, :dims]
    dims = positions.shape[1]
    n = len(positions)
    colour, column = (
        (None, None)
        if values is None
        else coloured(colouring(values, name, categorical=categorical, n=n), look)
    )
    series = _series(result, dims)
    column_of_places, grid = (series.frames[-1], None) if series else placed(positions)
    if colour and note:
        colour["note"] = f"{note}. {colour['note']}".rstrip(". ")
    made = MapPicture(
        n=n,
        label=f"{result.title}, {n:,} points" + (f", coloured by {name}" if colour else ""),
        of=point_word(result, layout),
        positions=column_of_places,
        grid=grid,
        dims=dims,
        series=series,
        density=look.sequential,
        greys=(look.accent, look.missing, look.dimmed),
        members=_members(result, layout),
        colour=colour,
        colour_column=column,
        axes=tuple(result.axes[:dims]) if result.meaningful_axes else None,
    )
    return made if mask is None else made.with_state(mask=mask)


def _series(result: Scatter, dims: int) -> Series | None:
    """The placings of a result that has several; the last of them is the one that it stands for."""
    if result.frames is None or len(result.frames) < 2 or result.frames.shape[1] != len(result.positions):
        return None  # (the last: a part of the points was taken)
    frames = np.asarray(result.frames, np.float32)[:, :, :dims]
    columns = tuple(Column(np.ascontiguousarray(frame).tobytes()) for frame in frames)
    return Series(columns, tuple(result.frame_names), step=len(columns) - 1)


def placed(positions: np.ndarray) -> tuple[Column, tuple[float, ...] | None]:
    """Positions (n, dims) as they travel: float32, or for millions of points uint16 steps and their box.

    A step is 1/65,534 of the extent, some fiftieth of a pixel on the largest screen; a point without a finite place
    has none then either.
    """
    positions = np.asarray(positions, np.float32)
    if len(positions) <= GRID_ABOVE:
        return Column(np.ascontiguousarray(positions).tobytes()), None
    real = np.isfinite(positions).all(axis=1)
    if not real.any():
        return Column(np.ascontiguousarray(positions).tobytes()), None
    low = positions.min(axis=0, where=real[:, None], initial=np.inf).astype(np.float64)
    high = positions.max(axis=0, where=real[:, None], initial=-np.inf).astype(np.float64)
    span = np.where(high > low, high - low, 1.0)
    steps = np.rint((positions - low) / span * 65534)
    steps[~real] = 65535
    box = (*low, *np.where(high > low, high, low + 1.0))
    return Column(steps.astype(np.uint16).tobytes()), tuple(float(v) for v in box)


def projected(positions: np.ndarray, camera: dict | None) -> np.ndarray:
    """Where points (n, dims) lie on the plane of the picture that a person sees: (n, 2) float64.

    `camera` is what the map tells ({"yaw", "pitch"} in radians, None for two dimensions); with the view's `box` as
    limits, a drawing of the result shows what the screen shows (the arithmetic is that of map/view.js).
    """
    positions = np.asarray(positions, np.float64)
    if camera is None or positions.shape[1] < 3:
        return positions[:, :2]
    real = np.where(np.isfinite(positions), positions, np.nan)
    pivot = (np.nanmin(real, axis=0) + np.nanmax(real, axis=0)) / 2
    (cy, sy), (cp, sp) = ((np.cos(a), np.sin(a)) for a in (camera["yaw"], camera["pitch"]))
    return (positions[:, :3] - pivot) @ np.array([[cy, 0, sy], [sp * sy, cp, -sp * cy]]).T


def point_word(result: Scatter, layout: Layout | None) -> str:
    """What one point is: "samples", "tokens" or "units"."""
    if result.of == "units" or layout is None:
        return "units"
    return "samples" if layout.is_pooled else "tokens"


def _members(result: Scatter, layout: Layout | None) -> Column | None:
    """Sample and token of each point; not needed where point i is sample i."""
    if result.of == "units" or layout is None:
        return None
    rows = np.asarray(result.rows)
    if layout.is_pooled and len(rows) == layout.n_rows and (rows == np.arange(len(rows))).all():
        return None
    sample = layout.sample_of(rows)
    token = np.full(len(rows), -1) if layout.is_pooled else rows - layout.offsets[sample]
    return Column(np.stack([sample, token], axis=1).astype(np.int32).tobytes())


def coloured(found: Colouring, look: Theme) -> tuple[dict | None, Column | None]:
    """A colouring as the component wants it: description and column."""
    if found.kind == "none":
        return None, None
    said = {"label": found.name, "note": found.note}
    if found.kind == "value":
        stops = look.diverging if found.diverging else look.sequential
        said |= {"kind": "number", "low": float(found.low), "high": float(found.high), "stops": list(stops)}
        if len(found.values) > STEPS_ABOVE:
            return {**said, "bits": 8}, Column(in_steps(found.values, found.low, found.high).tobytes())
        return said, Column(np.asarray(found.values, np.float32).tobytes())
    look_of = [_look(label, k, len(found.labels), look) for k, label in enumerate(found.labels)]
    said |= {"kind": "category", "names": list(found.labels), "counts": list(found.counts)}
    said |= {"palette": [colour for colour, _ in look_of], "marks": [mark for _, mark in look_of]}
    codes = np.where(found.codes < 0, NO_CODE, found.codes).astype(np.uint8)
    return said, Column(codes.tobytes())


def in_steps(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """A quantity (n,) as 255 steps from `low` to `high` (uint8), 255 where it is missing."""
    values = np.asarray(values, np.float32)
    missing = np.isnan(values)
    steps = np.rint((values - np.float32(low)) * np.float32(254 / (high - low)))
    np.clip(steps, 0, 254, out=steps)
    steps[missing] = 255
    return steps.astype(np.uint8)


def _look(label: str, k: int, n: int, look: Theme) -> tuple[str, int]:
    if k == n - 1 and label.startswith("other ("):
        return look.missing, 5
    return look.categories[k % len(look.categories)], k // len(look.categories) % N_MARKS
