"""A Scatter made ready to draw: finite positions, colours, the dimmed ones, and what has to be said."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from analysis.errors import NotFound, ShapeError
from analysis.results import Scatter
from dashboard.figures import point_names, point_pictures
from dashboard.figures.colours import Colouring, colouring
from dashboard.figures.text import listed, plain

MIXTURES = "each corner is one alone; a point lies between them by its weights"
NO_UNIT = "axes have no unit; only neighbourhoods mean something"


@dataclass(frozen=True)
class Points:
    """xy : (m, 2 or 3) float32 of the points that have a position; index : (m,) int32 their places in the
    result; faint : (m,) bool, drawn dimmed; hover : m texts or None."""

    xy: np.ndarray
    index: np.ndarray
    colour: Colouring
    faint: np.ndarray
    hover: list[str] | None
    notes: tuple[str, ...]


def points_of(
    result: Scatter, *, colour=None, colour_name="", categorical=None, dimmed=None, selected=None, hover=None
) -> Points:
    """Put together what a drawing of `result` needs. Raises NotFound for an unknown column."""
    n = len(result.positions)
    values, name = _colour_values(result, colour, colour_name)
    positions = np.asarray(result.positions, dtype=np.float64).reshape(n, -1)
    good = np.isfinite(positions).all(axis=1) if positions.shape[1] >= 2 else np.zeros(n, bool)
    shown = colouring(None if values is None else values[good], name, categorical=categorical)
    notes = [] if result.meaningful_axes else [MIXTURES if result.corners else NO_UNIT]
    if result.ellipse_name and result.ellipses is not None and positions.shape[1] == 2:
        notes.append(f"ellipses: {plain(result.ellipse_name)}")
    if result.stars is not None and np.any(result.stars):
        notes.append(f"stars: {plain(result.star_name) or 'points that stand out'}")
    if n and not good.all():
        notes.append(f"{int((~good).sum()):,} of {n:,} points have no finite position and are not drawn")
    if shown.note:
        notes.append(shown.note)
    notes += [said for said in (point_pictures.note(result), point_names.note(result)) if said]
    faint = _faint(n, dimmed, selected)[good]
    if faint.any():
        notes.append(f"{int((~faint).sum()):,} of {len(faint):,} points selected")
    if hover is not None:
        if len(hover) != n:
            raise ShapeError(f"{len(hover)} hover texts", f"one per point ({n})")
        hover = [hover[i] for i in np.flatnonzero(good)]
    index = np.flatnonzero(good).astype(np.int32)
    return Points(positions[good].astype(np.float32), index, shown, faint, hover, tuple(notes))


def starred(result: Scatter, ready: Points) -> np.ndarray:
    """(m,) bool of the drawn points: those that are stars."""
    if result.stars is None:
        return np.zeros(len(ready.index), bool)
    return np.asarray(result.stars, bool)[ready.index]


def _colour_values(result: Scatter, colour, colour_name: str):
    """(values (n,) or None, name): `colour` is None for the result's own, "" for none, a column or an array."""
    if colour is None:
        colour = result.colour
    if isinstance(colour, str):
        if not colour:
            return None, ""
        if colour not in result.columns:
            raise NotFound(
                f"no column '{plain(colour)}' to colour by", "one of " + listed(result.columns, 12)
            )
        return np.asarray(result.columns[colour]), plain(colour_name or colour)
    values = np.asarray(colour)
    if values.shape != (len(result.positions),):
        raise ShapeError(f"colour values of shape {values.shape}", f"one per point ({len(result.positions)})")
    return values, plain(colour_name or "colour")


def _faint(n: int, dimmed, selected) -> np.ndarray:
    """(n,) bool: the points to draw dimmed, from a mask of either sort; nothing selected dims nothing."""
    for mask, turn in ((dimmed, False), (selected, True)):
        if mask is None:
            continue
        mask = np.asarray(mask)
        if mask.dtype != bool:
            chosen, mask = mask.astype(np.int64), np.zeros(n, bool)
            mask[chosen[(chosen >= 0) & (chosen < n)]] = True
        if len(mask) != n:
            raise ShapeError(f"a selection over {len(mask)} points", f"one entry per point ({n})")
        faint = ~mask if turn else mask
        return np.zeros(n, bool) if turn and faint.all() else faint
    return np.zeros(n, bool)


def axis_name(result: Scatter, i: int) -> str:
    """The label of coordinate i, or a plain word where the result gives none."""
    if i < len(result.axes) and plain(result.axes[i]).strip():
        return plain(result.axes[i])
    return f"coordinate {i + 1}"


def comparable(result: Scatter) -> bool:
    """Whether one step means the same on both axes: neighbourhood maps, and names alike but for digits."""
    if not result.meaningful_axes:
        return True
    bare = [re.sub(r"\([^)]*\)|[\d.,%\s]+", "", axis_name(result, i)) for i in range(2)]
    return bare[0] == bare[1]


def counted(values: np.ndarray) -> bool:
    """Whether places along an axis are whole numbers, as layers and steps are: no tick stands between two."""
    good = values[np.isfinite(values)]
    return bool(len(good) and (good == np.round(good)).all())


def limits(values: np.ndarray) -> tuple[float, float]:
    """The range to draw, 3 % wider than the values on both sides."""
    low, high = float(values.min()), float(values.max())
    margin = 0.03 * (high - low) or max(abs(high), 1.0) * 0.5
    return low - margin, high + margin
