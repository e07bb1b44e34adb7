"""One pass over activations: finite rows only, float64, with progress. Every streaming method starts here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations, Layout
from analysis.arrays import finite_rows
from analysis.errors import NotEnoughData
from analysis.spec import Progress, no_progress


@dataclass
class Pass:
    """What a pass has seen so far: `n_rows` in all, `n_nonfinite` left out, `n_samples` with a finite row."""

    n_rows: int = 0
    n_nonfinite: int = 0
    n_samples: int = 0
    last_sample: int = -1

    @property
    def notes(self) -> tuple[str, ...]:
        """Caveats: rows were left out; there is one sample only."""
        notes = []
        if self.n_nonfinite:
            notes.append(f"{self.n_nonfinite} of {self.n_rows} rows hold NaN or infinity and were left out.")
        if self.n_samples == 1:
            notes.append(
                "There is one sample only: its rows are taken as independent, so intervals and nulls are too narrow."
            )
        return tuple(notes)

    @property
    def independent(self) -> int:
        """How many observations count as independent: samples, or the rows where there is one sample only."""
        return self.n_samples if self.n_samples > 1 else self.n_rows - self.n_nonfinite

    def owners(self, layout: Layout, rows: np.ndarray) -> np.ndarray:
        """The independent observation (m,) that each of `rows` (m,) belongs to, once the pass is over."""
        return layout.sample_of(rows) if self.n_samples > 1 else rows

    def _count_samples(self, samples: np.ndarray) -> None:
        """`samples` (m,) of the finite rows, non-decreasing over the pass."""
        self.n_samples += int((np.diff(samples, prepend=self.last_sample) != 0).sum())
        self.last_sample = int(samples[-1])


def finite_blocks(
    activations: Activations,
    seen: Pass | None = None,
    progress: Progress = no_progress,
    doing: str = "reading",
    span: tuple[float, float] = (0.0, 1.0),
    units: np.ndarray | None = None,
    as_stored: bool = False,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (row indices (m,), finite block (m, units) in float64) chunk by chunk.

    Parameters
    ----------
    activations : Activations
    seen : Pass, optional
        Counts rows and left-out rows while the pass goes on.
    progress, doing, span
        `progress` is called before each chunk with a fraction inside `span`; it may raise `Cancelled`.
    units : int array, optional
        Only these columns (a row is finite when all its units are, chosen or not).
    as_stored
        The block in the type it is stored in, and not to be written to: for who copies it anyway.
    """
    seen = Pass() if seen is None else seen
    total = max(1, activations.shape[0])
    for start, block in activations.chunks():
        progress(span[0] + (span[1] - span[0]) * start / total, doing)
        good = finite_rows(block)
        seen.n_rows += len(good)
        seen.n_nonfinite += int(len(good) - good.sum())
        if not good.any():
            continue
        rows = start + np.flatnonzero(good)
        seen._count_samples(activations.layout.sample_of(rows))
        if units is not None:
            block = block[:, units]
        if as_stored:
            yield rows, block if good.all() else block[good]
            continue
        # a fresh float64 array in every case: the caller may work in place
        kept = np.array(block, dtype=np.float64) if good.all() else block[good].astype(np.float64)
        yield rows, kept
    progress(span[1], doing)


def refuse_few(name: str, n: int, minimum: int, what: str = "finite row(s)") -> None:
    """Raise NotEnoughData when `n` is below `minimum`."""
    if n < minimum:
        raise NotEnoughData(f"{name} has {n} {what}", f"at least {minimum}", "Record or select more samples")


class SampleSums:
    """Streaming sum over samples of (sum over the sample's rows)², column by column.

    The variance of a mean over rows, when the tokens of a sample depend on each other but samples do not, is
    the spread of the per-sample sums. Rows must come in order; memory is O(columns) whatever the number of
    samples, because only the last sample can still be unfinished.
    """

    def __init__(self, columns: int) -> None:
        self.n_samples = 0
        self._squares = np.zeros(columns)
        self._open: np.ndarray | None = None
        self._open_sample = -1

    def add(self, samples: np.ndarray, values: np.ndarray) -> None:
        """`samples` (m,) non-decreasing sample numbers, `values` (m, columns) zero-mean contributions."""
        starts = np.flatnonzero(np.r_[True, np.diff(samples) != 0])
        sums = np.add.reduceat(values, starts, axis=0)
        if self._open is not None and samples[0] == self._open_sample:
            sums[0] += self._open
        elif self._open is not None:
            self._close()
        self._squares += (sums[:-1] ** 2).sum(axis=0)
        self.n_samples += len(sums) - 1
        self._open, self._open_sample = sums[-1].copy(), int(samples[-1])

    def _close(self) -> None:
        self._squares += self._open**2
        self.n_samples += 1
        self._open = None

    def variance_of_mean(self, n_rows: int) -> np.ndarray:
        """Variance (columns,) of the mean over `n_rows` rows, samples being independent."""
        if self._open is not None:
            self._close()
        g = max(self.n_samples, 2)
        return self._squares / n_rows**2 * (g / (g - 1))
