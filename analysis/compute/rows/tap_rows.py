"""The rows of one tap, or the same rows of two, chunk by chunk as they are stored: what pairs of units are made from.

Two taps of one recording with the same tokens go row by row. Others are matched by sample id and their tokens pooled
(`common_samples`), which needs them in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from analysis.activations import CHUNK_ROWS, Activations, ArrayActivations
from analysis.arrays import finite_rows
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.rows.row_number_ids import row_number_notes
from analysis.compute.streaming import Pass, refuse_few
from analysis.errors import ParameterError
from analysis.spec import Progress, no_progress

FEWEST = 4  # samples: below, Fisher's interval does not exist
Block = tuple[np.ndarray, tuple[np.ndarray, ...]]


@dataclass(frozen=True)
class TapRows:
    """One tap or two with the same rows; `notes` on how they were matched."""

    taps: tuple[Activations, ...]
    notes: tuple[str, ...] = ()

    @property
    def is_one(self) -> bool:
        return len(self.taps) == 1

    @property
    def shape(self) -> tuple[int, int]:
        """Units of the first tap, units of the last."""
        return self.taps[0].shape[1], self.taps[-1].shape[1]

    def blocks(
        self,
        progress: Progress = no_progress,
        doing: str = "reading",
        span: tuple[float, float] = (0.0, 1.0),
        seen: Pass | None = None,
        many: int = CHUNK_ROWS,
    ) -> Iterator[Block]:
        """Yield (row indices (m,), one (m, units) block a tap) of the rows that are finite in every tap, at most `many`
        at a time, in the type they are stored in. `seen` counts as in `streaming.finite_blocks`; blocks may be views
        and are not to be written to."""
        seen, total = Pass() if seen is None else seen, max(1, self.taps[0].shape[0])
        for start, blocks in _together([tap.chunks(many) for tap in self.taps]):
            progress(span[0] + (span[1] - span[0]) * start / total, doing)
            good = np.logical_and.reduce([_finite(block) for block in blocks])
            seen.n_rows += len(good)
            seen.n_nonfinite += int(len(good) - good.sum())
            if good.any():
                rows = start + np.flatnonzero(good)
                seen._count_samples(self.taps[0].layout.sample_of(rows))
                yield rows, blocks if good.all() else tuple(block[good] for block in blocks)
        progress(span[1], doing)


def _finite(block: np.ndarray) -> np.ndarray:
    """Boolean (m,): as `arrays.finite_rows`, sooner where all are."""
    with np.errstate(invalid="ignore", over="ignore"):
        whole = np.isfinite(block.sum(axis=1)).all()
    return np.ones(len(block), bool) if whole else finite_rows(block)


def _together(chunks: list) -> Iterator[tuple[int, tuple[np.ndarray, ...]]]:
    """Chunks of several taps, cut to the same rows: shards need not end at the same rows."""
    left: list[np.ndarray] = [np.empty((0, 0))] * len(chunks)
    start = 0
    while True:
        for i, source in enumerate(chunks):
            if not len(left[i]):
                _, left[i] = next(source, (0, left[i]))
        size = min(len(block) for block in left)
        if size == 0:
            return
        yield start, tuple(block[:size] for block in left)
        left, start = [block[size:] for block in left], start + size


def tap_rows(
    taps: tuple[Activations, ...],
    rng: np.random.Generator,
    *,
    maximum: int,
    pooling: str = "mean",
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 0.1),
) -> TapRows:
    """One tap as it is; two row by row where they have the same tokens of the same samples, else matched by id, pooled,
    at most `maximum` samples.

    Raises
    ------
    ParameterError
        More than two taps.
    InputError, NotEnoughData, TooLarge
        As `common_samples` does.
    """
    if len(taps) > 2:
        raise ParameterError(f"{len(taps)} taps", "one or two")
    if len(taps) == 1 or _same_rows(*taps):
        return TapRows(taps, tuple(row_number_notes(taps)))
    data = common_samples(
        taps, rng, maximum=maximum, minimum=FEWEST, pooling=pooling, progress=progress, span=span
    )
    samples = {"id": data.ids}
    arrays = tuple(
        ArrayActivations(x, tap.name, samples, unit_names=tap.unit_names, digest=f"{tap.digest} pooled")
        for tap, x in zip(taps, data.values, strict=True)
    )
    return TapRows(arrays, data.notes)


def _same_rows(one: Activations, other: Activations) -> bool:
    ids = [np.asarray(tap.samples["id"]).astype(str) for tap in (one, other)]
    return np.array_equal(*ids) and np.array_equal(one.layout.offsets, other.layout.offsets)


def refuse_few_samples(rows: TapRows, seen: Pass) -> int:
    """How many independent observations a pass has seen; raises NotEnoughData below four."""
    name = " and ".join(tap.name for tap in rows.taps)
    refuse_few(name, seen.n_rows - seen.n_nonfinite, FEWEST)
    refuse_few(name, seen.independent, FEWEST, "sample(s) with finite values")
    return seen.independent
