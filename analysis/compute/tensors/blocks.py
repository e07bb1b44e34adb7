"""Taps as an array of samples × positions × layers × units, whole: every sample with the same positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations, Layout
from analysis.compute.rows.common_samples import shared_positions
from analysis.compute.tensors.smoothing import FAR
from analysis.errors import InputError, NotEnoughData, ShapeError, TooLarge
from analysis.spec import Progress, no_progress

CUT, REFUSE = "cut", "refuse"
EACH, ALL, ORIGIN = "each position", "all rows", "origin"
FEWEST = 8  # samples
MOST_BYTES = 1 << 30
SAMPLE, POSITION, LAYER, UNIT = "sample", "position", "layer", "unit"


@dataclass(frozen=True)
class Block:
    """`values` (samples, positions[, layers], units) float64; `modes` names its axes; `samples` (n,) their places among
    the first tap's; `places` (positions, c) where positions lie; `notes` on what was left out; `n_rows` that were
    taken, `n_nonfinite` rows of samples that were left out for NaN or infinity."""

    values: np.ndarray
    modes: tuple[str, ...]
    samples: np.ndarray
    places: np.ndarray
    notes: tuple[str, ...]
    n_rows: int = 0
    n_nonfinite: int = 0

    @property
    def is_table(self) -> bool:
        """No more than two axes are longer than 1: a matrix."""
        return sum(size > 1 for size in self.values.shape) < 3


def token_block(
    taps: Sequence[Activations],
    rng: np.random.Generator,
    *,
    maximum: int,
    lengths: str = CUT,
    among: np.ndarray | None = None,
    progress: Progress = no_progress,
) -> Block:
    """The first positions of at most `maximum` samples (a seeded random part), of taps that share samples.

    Samples of different lengths: with `lengths` CUT all are cut to the length that keeps the most rows, and shorter
    samples are left out; with REFUSE an InputError says what there is. `among` (samples,) bool: of the first tap.
    A sample with a row that is not finite in some tap is left out.

    Raises
    ------
    ShapeError, InputError, NotEnoughData, TooLarge
        Taps of different widths; samples of different lengths; fewer than eight samples; over 1 GiB.
    """
    widths = {t.shape[1] for t in taps}
    if len(widths) > 1:
        raise ShapeError(
            f"taps with {', '.join(map(str, sorted(widths)))} units", "layers of equal width",
            "Choose layers with the same number of units",
        )  # fmt: skip
    at, notes = _samples(taps, among)
    size = np.min([np.diff(t.layout.offsets)[own] for t, own in zip(taps, at, strict=True)], axis=0)
    differ = any((np.diff(t.layout.offsets)[own] != size[0]).any() for t, own in zip(taps, at, strict=True))
    positions = int(size[0]) if len(size) else 0
    if differ:
        positions, more = _cut(size, lengths, taps[0].name)
        notes += more
    keep = np.flatnonzero(size >= max(positions, 1))
    if len(keep) > maximum:
        notes.append(f"A random {maximum:,} of {len(keep):,} samples, as many as are held in memory.")
        keep = np.sort(rng.choice(keep, size=maximum, replace=False))
    at = [own[keep] for own in at]
    return _read(taps, at, positions, notes, progress)


def _samples(taps, among) -> tuple[list[np.ndarray], list[str]]:
    """The places of shared samples in every tap, and notes."""
    if len(taps) == 1:
        at, notes = [np.arange(taps[0].layout.n_samples)], []
    else:
        found, said = shared_positions(taps, FEWEST)
        at, notes = list(found), list(said)
    if among is not None:
        on = among[at[0]]
        at = [own[on] for own in at]
    return at, notes


def _cut(size: np.ndarray, lengths: str, name: str) -> tuple[int, list[str]]:
    """The number of positions that keeps the most rows."""
    if lengths == REFUSE:
        raise InputError(
            f"samples of {name} have {size.min()} to {size.max()} positions", "as many in every sample",
            f"Set 'lengths' to '{CUT}', or record samples of one length",
        )  # fmt: skip
    possible = np.unique(size[size > 0])
    if not len(possible):
        raise NotEnoughData(f"the samples of {name} have no rows", "at least one position")
    whole = np.array([(size >= t).sum() for t in possible])
    best = int(np.argmax(whole * possible))
    t = int(possible[best])
    out = int((size < t).sum())
    said = f"Samples have {size.min()} to {size.max()} positions: cut to the first {t}"
    return t, [said + (f", and {out} shorter sample(s) left out." if out else ".")]


def _read(taps, at, positions: int, notes: list[str], progress: Progress) -> Block:
    n, d = len(at[0]), taps[0].shape[1]
    if n * positions * len(taps) * d * 8 > MOST_BYTES:
        raise TooLarge(
            f"{n:,} samples × {positions:,} positions × {len(taps)} layer(s) × {d:,} units take "
            f"{n * positions * len(taps) * d * 8 / 2**30:.1f} GiB", "at most 1 GiB", "Lower 'maximum samples'",
        )  # fmt: skip
    values = np.empty((n, positions, len(taps), d))
    for number, (tap, own) in enumerate(zip(taps, at, strict=True)):
        progress(number / len(taps), "reading")
        rows = tap.layout.offsets[own][:, None] + np.arange(positions)
        values[:, :, number] = tap.take(rows.reshape(-1)).reshape(n, positions, d)
    bad = ~np.isfinite(values)
    lost = bad.any(axis=(1, 2, 3))
    if lost.any():
        notes.append(f"{int(lost.sum())} sample(s) with NaN or infinity left out.")
    if (~lost).sum() < FEWEST:
        raise NotEnoughData(
            f"{taps[0].name} has {int((~lost).sum())} finite sample(s) of {positions} position(s)",
            f"at least {FEWEST}", "Record more samples",
        )  # fmt: skip
    nonfinite = int(bad.any(axis=(2, 3)).sum())
    values, modes = values[~lost], (SAMPLE, POSITION, LAYER, UNIT)
    if len(taps) == 1:
        values, modes = values[:, :, 0], (SAMPLE, POSITION, UNIT)
    elif positions == 1:
        values, modes = values[:, 0], (SAMPLE, LAYER, UNIT)
    return Block(
        values, modes, at[0][~lost], _places(taps[0].layout, positions), tuple(notes),
        int((~lost).sum()) * positions, nonfinite,
    )  # fmt: skip


def _places(layout: Layout, positions: int) -> np.ndarray:
    """(positions, 1) along a sequence; (positions, 2) on a grid, where leading tokens lie far from everything."""
    if layout.grid is None:
        return np.arange(positions, dtype=float)[:, None]
    token = np.arange(positions) - layout.leading
    places = np.stack([token // layout.grid[1], token % layout.grid[1]], axis=1).astype(float)
    for i in np.flatnonzero(token < 0):
        places[i] = FAR * (i + 1)
    return places


def centred(values: np.ndarray, about: str) -> tuple[np.ndarray, np.ndarray]:
    """The block less its mean over samples (EACH position), over everything but units (ALL), or as it is (ORIGIN); and
    what was subtracted."""
    if about == ORIGIN:
        return values, np.zeros(values.shape[-1])
    mean = values.mean(axis=0 if about == EACH else tuple(range(values.ndim - 1)))
    return values - mean, mean
