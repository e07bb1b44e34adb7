"""Samples with all their positions, the same in several taps; or their means, where taps have other positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.arrays import finite_rows
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.rows.random_part import random_part
from analysis.compute.rows.row_number_ids import row_number_notes
from analysis.compute.rows.samples import pooled_samples
from analysis.errors import InputError, NotEnoughData, TooLarge
from analysis.spec import Progress, no_progress

MOST_BYTES = 4 << 30


@dataclass(frozen=True)
class SampleMaps:
    """`values`, one (n, positions, d_i) float64 array per tap, of the same samples; `notes` on what was left out;
    `samples` (n,) their positions in the first tap."""

    values: tuple[np.ndarray, ...]
    notes: tuple[str, ...]
    samples: np.ndarray

    @property
    def positions(self) -> int:
        return self.values[0].shape[1]


def sample_maps(
    taps: Sequence[Activations],
    rng: np.random.Generator,
    *,
    maximum: int,
    minimum: int,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 0.3),
) -> SampleMaps:
    """Samples of all taps, position by position where all have the same number of tokens for the same samples in the
    same order; otherwise as in `common_samples`, one mean for each sample.

    Raises as `common_samples` does.
    """
    if not _have_equal_positions(taps):
        data = common_samples(taps, rng, maximum=maximum, minimum=minimum, progress=progress, span=span)
        pooled = not all(t.layout.is_pooled for t in taps)
        notes = ("The taps have no common positions, so each sample counts by its mean.",) if pooled else ()
        place = {id: i for i, id in enumerate(np.asarray(taps[0].samples["id"]).astype(str))}
        at = np.array([place[id] for id in data.ids], np.int64)
        return SampleMaps(tuple(x[:, None] for x in data.values), (*data.notes, *notes), at)
    n = taps[0].layout.n_samples
    chosen = np.arange(n) if n <= maximum else np.sort(rng.choice(n, size=maximum, replace=False))
    positions = taps[0].shape[0] // n
    size = 8 * len(chosen) * positions * sum(t.shape[1] for t in taps)
    if size > MOST_BYTES:
        raise TooLarge(
            f"{len(taps)} taps need {size / 2**30:.1f} GiB", "at most 4 GiB", "Choose fewer samples"
        )
    rows = (chosen[:, None] * positions + np.arange(positions)).ravel()
    values, good = [], np.ones(len(chosen), bool)
    for i, tap in enumerate(taps):
        progress(span[0] + (span[1] - span[0]) * i / len(taps), f"reading {tap.name}")
        block = np.asarray(tap.take(rows), dtype=np.float64)
        good &= finite_rows(block).reshape(-1, positions).all(axis=1)
        values.append(block.reshape(len(chosen), positions, -1))
    return _finite(taps, values, good, minimum, n, chosen)


def _finite(taps, values: list[np.ndarray], good: np.ndarray, minimum: int, n: int, chosen) -> SampleMaps:
    notes = [f"A random {len(good):,} of {n:,} samples used."] if len(good) < n else []
    if good.sum() < minimum:
        raise NotEnoughData(
            f"{int(good.sum())} sample(s) are finite", f"at least {minimum}", "Record more samples"
        )
    if not good.all():
        notes.append(f"{int((~good).sum())} sample(s) with NaN or infinity left out.")
        values = [v[good] for v in values]
    for tap, v in zip(taps, values, strict=True):
        if (v == v[0]).all():
            raise InputError(
                f"all samples of {tap.name} are equal", "samples that differ", "Choose another tap"
            )
    return SampleMaps(tuple(values), (*notes, *row_number_notes(taps)), chosen[good])


def _have_equal_positions(taps: Sequence[Activations]) -> bool:
    first = taps[0]
    counts = np.diff(first.layout.offsets)
    if not len(counts) or counts[0] < 2 or not (counts == counts[0]).all():
        return False
    if not all(np.array_equal(first.layout.offsets, t.layout.offsets) for t in taps[1:]):
        return False
    ids = [np.asarray(t.samples["id"]).astype(str) for t in taps]
    return all(np.array_equal(ids[0], i) for i in ids[1:])


def one_row_a_sample(
    taps: Sequence[Activations],
    rng: np.random.Generator,
    *,
    maximum: int,
    minimum: int,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 0.3),
) -> tuple[list[np.ndarray], list[str]]:
    """One (n, d_i) float64 array per tap, of the samples that all have, tokens pooled by their mean; notes. As
    `common_samples`, but for one tap too."""
    if len(taps) > 1:
        data = common_samples(taps, rng, maximum=maximum, minimum=minimum, progress=progress, span=span)
        return list(data.values), list(data.notes)
    tap = taps[0]
    chosen, notes = random_part(tap.layout.n_samples, maximum, rng)
    values, kept, said = pooled_samples(tap, "mean", chosen, progress, span)
    if kept.sum() < minimum:
        raise NotEnoughData(f"{int(kept.sum())} sample(s) of {tap.name} are finite", f"at least {minimum}",
                            "Record more samples")  # fmt: skip
    return [values], [*notes, *said]
