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

NO_CODE = 255  # the code of a missing category (see map/colours.js)
N_MARKS = 6


@dataclass(frozen=True)
class Column:
    """Bytes with their content key (32 hexadecimal characters)."""

    data: bytes

    @cached_property
    def key(self) -> str:
        return hashlib.blake2b(self.data, digest_size=16).hexdigest()


@dataclass(frozen=True)
class MapPicture:
    """All that a map shows. The columns are documented in map/map.js; `colour` goes without its bytes.

    positions : float32 (n, 2). members : int32 (n, 2) of sample and token, None where point i is sample i.
    colour, colour_column : how to colour and by what. mask : packed bits of the selected points. cards : what
    hovering shows, for stores small enough to send; None: the page answers each hover with `card`.
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
    axes: tuple[str, str] | None = None
    extra: dict = field(default_factory=dict)

    def with_state(self, *, mask: np.ndarray | None, **values) -> MapPicture:
        """The same points and colours with another selection, focus, card or view."""
        column = None if mask is None or not mask.any() else Column(np.packbits(mask).tobytes())
        return replace(self, mask=column, **values)


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
) -> MapPicture:
    """Put a map together. `values` (n,) colour the points and are called `name`; `mask` (n,) bool selects.

    `note` is said in the legend. `layout` maps rows to (sample, token); None where the points are units.
    """
    look = theme_named(theme)
    positions = np.asarray(result.positions, np.float32)[:, :2]
    n = len(positions)
    colour, column = (
        (None, None)
        if values is None
        else coloured(colouring(values, name, categorical=categorical, n=n), look)
    )
    if colour and note:
        colour["note"] = f"{note}. {colour['note']}".rstrip(". ")
    made = MapPicture(
        n=n,
        label=f"{result.title}, {n:,} points" + (f", coloured by {name}" if colour else ""),
        of=point_word(result, layout),
        positions=Column(np.ascontiguousarray(positions).tobytes()),
        greys=(look.accent, look.missing, look.dimmed),
        members=_members(result, layout),
        colour=colour,
        colour_column=column,
        axes=tuple(result.axes[:2]) if result.meaningful_axes else None,
    )
    return made if mask is None else made.with_state(mask=mask)


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
        return said, Column(np.asarray(found.values, np.float32).tobytes())
    look_of = [_look(label, k, len(found.labels), look) for k, label in enumerate(found.labels)]
    said |= {"kind": "category", "names": list(found.labels), "counts": list(found.counts)}
    said |= {"palette": [colour for colour, _ in look_of], "marks": [mark for _, mark in look_of]}
    codes = np.where(found.codes < 0, NO_CODE, found.codes).astype(np.uint8)
    return said, Column(codes.tobytes())


def _look(label: str, k: int, n: int, look: Theme) -> tuple[str, int]:
    if k == n - 1 and label.startswith("other ("):
        return look.missing, 5
    return look.categories[k % len(look.categories)], k // len(look.categories) % N_MARKS
