"""Which sample and class every row belongs to, as batches come in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from analysis.store.summaries import Rows


@dataclass
class RowMap:
    """Sample, rows of that sample, and class of every finished row of a tap, batch by batch.

    counts : (n_samples,) rows per sample. classes : (n_samples,) or None.
    """

    counts: np.ndarray
    classes: np.ndarray | None

    def rows(self, first: int, n: int) -> Rows:
        """What belongs to rows first … first + n - 1. O(n_samples) for ragged taps, O(n) for pooled ones."""
        row = np.arange(first, first + n)
        if len(self.counts) and (self.counts == 1).all():
            sample, tokens = row, None
        else:
            ends = np.cumsum(self.counts)
            sample = np.searchsorted(ends, row, side="right")
            tokens = self.counts[sample]
        return Rows(row, sample, tokens, None if self.classes is None else self.classes[sample])


class SampleLog:
    """Rows per sample of every tap, and classes, of all finished batches: 8 bytes per sample and tap."""

    def __init__(self, taps: Iterable[str], has_classes: bool) -> None:
        self._counts: dict[str, list[np.ndarray]] = {name: [] for name in taps}
        self._classes: list[np.ndarray] | None = [] if has_classes else None

    def add(self, counts: dict, classes: list[int] | None, n: int) -> None:
        """One batch of `n` samples; `counts` per tap as in its line: a number where all samples have as many."""
        for name, c in counts.items():
            self._counts[name].append(np.full(n, c) if isinstance(c, int) else np.asarray(c, dtype=np.int64))
        if classes is not None and self._classes is not None:
            self._classes.append(np.asarray(classes, dtype=np.int32))

    def row_map(self, name: str) -> RowMap:
        self._counts[name] = parts = _joined(self._counts[name])
        if self._classes is not None:
            self._classes = _joined(self._classes)
        counts = parts[0] if parts else np.empty(0, np.int64)
        return RowMap(counts, self._classes[0] if self._classes else None)


def _joined(parts: list[np.ndarray]) -> list[np.ndarray]:
    return [np.concatenate(parts)] if len(parts) > 1 else parts
