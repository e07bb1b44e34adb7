"""Several networks' tokens as pictures on grids of different fineness, and what they have in common at one of them.

Carried to a coarser grid a picture is averaged over the area of each cell (cells that do not nest count by what lies
inside); to a finer one each cell is repeated, so that nothing looks finer than it is.

A tap without a grid is read as a strip of its tokens; one with a row a sample as 2 x 2 neighbours, which is said.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations, ArrayActivations, Layout
from analysis.compute.rows.common_samples import shared_positions
from analysis.compute.rows.random_part import random_part
from analysis.errors import InputError, NotEnoughData, NotFound, ParameterError, TooLarge
from analysis.spec import Progress

RUN, SIDE, MOST_BYTES = 4, 2, 2 << 30
UNKNOWN = "Patch sizes are not known: the taps are counted 1, 2, 3, … in their order. Give the sizes."


@dataclass(frozen=True)
class Pictures:
    """Of each tap `values` (n, h w, d) float64 and its `grids` (h, w); `position` (n,) of the samples in the first tap;
    `gathered` where rows stand for pictures; `notes`."""

    values: tuple[np.ndarray, ...]
    grids: tuple[tuple[int, int], ...]
    position: np.ndarray
    gathered: bool
    notes: tuple[str, ...]

    @property
    def n(self) -> int:
        return len(self.position)


def pictures_of(
    taps: Sequence[Activations],
    maximum: int,
    minimum: int,
    rng: np.random.Generator,
    progress: Progress,
    wanted: int | None = None,
) -> Pictures:
    """At most `maximum` common samples, `wanted` (a sample of the first tap) among them. Raises NotEnoughData,
    InputError (a tap without one grid), TooLarge."""
    taps, grids, said, gathered = _with_grids(taps)
    at, more = shared_positions(taps, minimum)
    chosen, left = random_part(at.shape[1], maximum, rng)
    place = np.flatnonzero(at[0] == wanted) if wanted is not None else []
    if len(place) and place[0] not in chosen:
        chosen = np.sort(np.append(chosen[1:], place[0]))
    at = at[:, chosen]
    size = 8.0 * at.shape[1] * sum(h * w * t.shape[1] for t, (h, w) in zip(taps, grids, strict=True))
    if size > MOST_BYTES:
        raise TooLarge(
            f"{at.shape[1]:,} pictures take {size / 2**30:.1f} GiB", "at most 2 GiB", "Take fewer samples"
        )
    values, good = [], np.ones(at.shape[1], bool)
    for k, (tap, where, (h, w)) in enumerate(zip(taps, at, grids, strict=True)):
        progress(0.3 * k / len(taps), f"reading {tap.name}")
        first = tap.layout.offsets[where] + tap.layout.leading
        rows = (first[:, None] + np.arange(h * w)).ravel()
        x = np.asarray(tap.take(rows), np.float64).reshape(len(where), h * w, -1)
        good &= np.isfinite(x).all(axis=(1, 2))
        values.append(x)
    if good.sum() < minimum:
        raise NotEnoughData(
            f"{int(good.sum())} sample(s) are finite in all taps", f"at least {minimum}", "Record more"
        )
    if not good.all():
        said.append(f"{int((~good).sum())} sample(s) with NaN or infinity left out.")
    if any((x[good] == x[good][0, 0]).all() for x in values):
        raise InputError("tokens of a tap do not vary", "pictures with something in them")
    return Pictures(
        tuple(x[good] for x in values), tuple(grids), at[0][good], gathered, (*said, *more, *left)
    )


def _with_grids(taps):
    """(taps, grids, notes, whether rows stand for pictures)."""
    if all(t.layout.is_pooled for t in taps):
        note = f"The taps hold one row of each sample: {RUN} neighbours are read as a picture of {SIDE} x {SIDE}."
        return [_gathered(t) for t in taps], [(SIDE, SIDE)] * len(taps), [note], True
    grids, said = [], []
    for tap in taps:
        counts = np.unique(np.diff(tap.layout.offsets)) - tap.layout.leading
        if len(counts) != 1 or counts[0] < 1:
            raise InputError(
                f"samples of {tap.name} have different numbers of tokens", "one grid for all samples"
            )
        grid = tap.layout.grid or (1, int(counts[0]))
        if grid[0] * grid[1] != counts[0]:
            raise InputError(
                f"{tap.name} has {counts[0]} tokens on a grid of {grid}", "a token for each cell"
            )
        if tap.layout.grid is None:
            said.append(f"{tap.name} has no grid: its tokens are read as a strip.")
        grids.append(tuple(grid))
    return list(taps), grids, said, False


def _gathered(tap: Activations) -> ArrayActivations:
    n = tap.shape[0] // RUN
    if n < 2:
        raise NotEnoughData(f"{tap.shape[0]} rows of {tap.name}", f"at least {2 * RUN}")
    x = np.asarray(tap.take(np.arange(n * RUN)), np.float64)
    return ArrayActivations(x, tap.name, layout=Layout(np.arange(n + 1) * RUN))


def averaging(source: tuple[int, int], target: tuple[int, int]) -> np.ndarray:
    """(target cells, source cells) weights of rows summing to 1: means over the area of each target cell."""
    return np.kron(*(_line(s, t) for s, t in zip(source, target, strict=True)))


def _line(source: int, target: int) -> np.ndarray:
    ends, cells = np.arange(target + 1) * source / target, np.arange(source)
    inside = np.minimum(ends[1:, None], cells + 1) - np.maximum(ends[:-1, None], cells)
    return np.maximum(inside, 0.0) * target / source


def repeated(grid: tuple[int, int], target: tuple[int, int]) -> np.ndarray:
    """(target cells,) which cell of a grid each cell of another lies in."""
    rows, columns = ((np.arange(t) + 0.5) * s / t for s, t in zip(grid, target, strict=True))
    return (rows.astype(int)[:, None] * grid[1] + columns.astype(int)).ravel()


# ---------------------------------------------------------------------------- patch sizes
def patch_sizes(taps: Sequence[Activations], given: str, side: int) -> tuple[np.ndarray, list[str]]:
    """(sizes (m,) in pixels, notes): as `given` with commas between; as config.json of the checkpoints says; `side`
    over the grid; or the order of the taps. Raises ParameterError."""
    if given.strip():
        try:
            sizes = np.array([float(v) for v in given.split(",")])
        except ValueError:
            raise ParameterError(f"sizes = {given!r}", "numbers with commas between") from None
        if len(sizes) != len(taps) or (sizes <= 0).any():
            raise ParameterError(
                f"{len(sizes)} sizes of {len(taps)} taps", "a positive size for each tap, in order"
            )
        return sizes, []
    own = [_of_config(t) for t in taps]
    if all(own):
        return np.array(own, float), []
    grids = [t.layout.grid for t in taps]
    if all(g is not None for g in grids):
        return side / np.array([g[0] for g in grids], float), [
            f"Patch sizes are those of a picture of {side} pixels."
        ]
    return np.arange(1.0, len(taps) + 1), [UNKNOWN]


def _of_config(tap: Activations) -> float | None:
    from analysis.sources.weights import weights_of

    source = getattr(tap, "source", None)
    try:
        path = weights_of(tap if source is None else source()).path / "config.json"
        value = json.loads(path.read_bytes()).get("patch_size")
    except (InputError, NotFound, OSError, ValueError, AttributeError):
        return None
    value = value[0] if isinstance(value, list) and value else value
    return float(value) if isinstance(value, (int, float)) and value > 0 else None
