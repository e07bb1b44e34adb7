"""Which sample and class every row belongs to, as batches come in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from analysis.store.summaries import Rows


@dataclass
class RowMap:
    """Sample, rows of that sample, and class of every row of a tap.

    ends : (n_samples,) rows of the tap up to and with each sample. classes : (n_samples,) or None. single : every
    sample has exactly one row.
    """

    ends: np.ndarray
    classes: np.ndarray | None
    single: bool

    @staticmethod
    def of(counts: np.ndarray, classes: np.ndarray | None) -> RowMap:
        """From the rows of each sample."""
        counts = np.asarray(counts, dtype=np.int64)
        return RowMap(np.cumsum(counts), classes, bool((counts == 1).all()))

    @property
    def counts(self) -> np.ndarray:
        """(n_samples,) rows per sample."""
        return np.diff(self.ends, prepend=0)

    def rows(self, first: int, n: int) -> Rows:
        """What belongs to rows first … first + n - 1. O(n log n_samples) for ragged taps, O(n) for pooled ones."""
        row = np.arange(first, first + n)
        sample, tokens = row, None
        if not self.single:
            sample = np.searchsorted(self.ends, row, side="right")
            tokens = self.ends[sample] - np.where(sample > 0, self.ends[sample - 1], 0)
        return Rows(row, sample, tokens, None if self.classes is None else self.classes[sample])


class _Growing:
    """Numbers appended again and again. Memory doubles when it is full, so that n of them cost O(n) in all."""

    def __init__(self, dtype: type) -> None:
        self._held, self._n = np.empty(0, dtype), 0

    @property
    def values(self) -> np.ndarray:
        """(n,) what was appended so far."""
        return self._held[: self._n]

    def extend(self, values: np.ndarray) -> None:
        n = self._n + len(values)
        if n > len(self._held):
            held = np.empty(max(n, 2 * len(self._held)), self._held.dtype)
            held[: self._n] = self.values
            self._held = held
        self._held[self._n : n] = values
        self._n = n


class SampleLog:
    """Rows per sample of every tap, and classes, of all finished batches: 8 to 16 bytes per sample and tap."""

    def __init__(self, taps: Iterable[str], has_classes: bool) -> None:
        self._ends = {name: _Growing(np.int64) for name in taps}
        self._single = dict.fromkeys(self._ends, True)
        self._classes = _Growing(np.int32) if has_classes else None

    def add(self, counts: dict, classes: list[int] | None, n: int) -> None:
        """One batch of `n` samples; `counts` per tap as in its line: a number where all samples have as many."""
        for name, c in counts.items():
            rows = np.full(n, c, np.int64) if isinstance(c, int) else np.asarray(c, dtype=np.int64)
            before = self._ends[name].values[-1:].sum()
            self._ends[name].extend(before + np.cumsum(rows))
            self._single[name] &= bool((rows == 1).all())
        if classes is not None and self._classes is not None:
            self._classes.extend(np.asarray(classes, dtype=np.int32))

    def row_map(self, name: str) -> RowMap:
        """Of the batches so far. O(1)."""
        classes = None if self._classes is None else self._classes.values
        return RowMap(self._ends[name].values, classes, self._single[name])
