"""The same rows of several taps: what a comparison of layers, checkpoints or seeds starts from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.activations import Activations
from analysis.arrays import finite_rows
from analysis.compute.rows.row_number_ids import row_number_notes
from analysis.errors import InputError, NotEnoughData, ParameterError, TooLarge
from analysis.spec import Progress, no_progress

MOST_BYTES = 4 << 30


@dataclass(frozen=True)
class MatchedTaps:
    """`values`, one (n, d_i) float64 array per tap, of the same `rows` (n,); `sample` (n,) as 0 .. n_samples - 1,
    rising; `notes` on what was left out."""

    values: tuple[np.ndarray, ...]
    rows: np.ndarray
    sample: np.ndarray
    n_samples: int
    notes: tuple[str, ...]


def matched_taps(
    taps: Sequence[Activations],
    rng: np.random.Generator,
    *,
    maximum_rows: int,
    minimum: int,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 0.1),
) -> MatchedTaps:
    """Rows that are finite in every tap, at most `maximum_rows` (a seeded random subset above).

    Raises
    ------
    ParameterError
        Fewer than two taps.
    InputError
        Different samples or different numbers of tokens; a tap whose rows are all equal.
    NotEnoughData, TooLarge
        Fewer than `minimum` common finite rows; over 4 GiB.
    """
    if len(taps) < 2:
        raise ParameterError(f"{len(taps)} tap(s)", "two or more")
    _refuse_unmatched(taps)
    n = taps[0].shape[0]
    chosen = np.arange(n)
    if n > maximum_rows:
        chosen = np.sort(rng.choice(n, size=maximum_rows, replace=False))
    size = 8 * len(chosen) * sum(t.shape[1] for t in taps)
    if size > MOST_BYTES:
        raise TooLarge(
            f"{len(taps)} taps need {size / 2**30:.1f} GiB", "at most 4 GiB", "Lower 'maximum rows'"
        )
    values, good = [], np.ones(len(chosen), bool)
    for i, tap in enumerate(taps):
        progress(span[0] + (span[1] - span[0]) * i / len(taps), f"reading {tap.name}")
        block = np.asarray(tap.take(chosen), dtype=np.float64)
        good &= finite_rows(block)
        values.append(block)
    rows = chosen[good]
    if len(rows) < minimum:
        raise NotEnoughData(
            f"{len(rows)} row(s) are finite in every tap", f"at least {minimum}", "Record more samples"
        )
    values = [v[good] for v in values]
    for tap, v in zip(taps, values, strict=True):
        if (v == v[0]).all():
            raise InputError(f"all rows of {tap.name} are equal", "rows that differ", "Choose another tap")
    found = _matched(taps[0], values, rows, int((~good).sum()), len(chosen) < n)
    return replace(found, notes=(*found.notes, *row_number_notes(taps)))


def _matched(tap: Activations, values, rows, n_bad: int, sampled: bool) -> MatchedTaps:
    notes = []
    if n_bad:
        notes.append(f"{n_bad} row(s) with NaN or infinity in at least one tap left out.")
    if sampled:
        notes.append(f"A random {len(rows):,} of {tap.shape[0]:,} rows used.")
    numbers, sample = np.unique(tap.layout.sample_of(rows), return_inverse=True)
    if len(numbers) == 1:
        numbers, sample = rows, np.arange(len(rows))
        notes.append("There is one sample only: its rows are taken as independent.")
    return MatchedTaps(tuple(values), rows, sample.reshape(-1), len(numbers), tuple(notes))


def _refuse_unmatched(taps: Sequence[Activations]) -> None:
    first = taps[0]
    for other in taps[1:]:
        if other.shape[0] != first.shape[0] or not np.array_equal(other.layout.offsets, first.layout.offsets):
            raise InputError(
                f"{first.name} has {first.shape[0]} rows and {other.name} has {other.shape[0]}, or other tokens",
                "the same tokens of the same samples",
                "Choose taps of one recording, or pool both",
            )
        ids = [np.asarray(t.samples["id"]).astype(str) for t in (first, other)]
        if not np.array_equal(*ids):
            raise InputError(
                f"{first.name} and {other.name} hold different samples",
                "the same samples in the same order",
                "Record both on the same data",
            )
