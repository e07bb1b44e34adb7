"""What all pairs of a map show together, block by block: the mean, the largest, and where chance ends.

Benjamini & Hochberg's rule (1995) reject the pairs with p <= k a / m for the largest k that has so many of them; where
p falls with the size of a statistic t, that is a threshold on t. Statistics in [0, 1] are counted in bins of 4e-6: from
the lower edge e of a bin on there are N pairs, each with p <= p(e), so that all of them may be rejected when
p(e) <= N a / m. The threshold given is the smallest such edge: at most 4e-6 too strict, never too lenient, and no
sorting of 134 million p-values.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

BINS = 1 << 18


class PairTally:
    """Counts the pairs of a map as its blocks come; of a `symmetric` one those above the diagonal."""

    def __init__(self, symmetric: bool) -> None:
        self.symmetric = symmetric
        self.pairs, self.total = 0, 0.0
        self.largest, self.at = -1.0, (0, 0)
        self.value, self.tested = 0.0, 0.0  # of the largest
        self._counts = np.zeros(BINS + 1, np.int64)

    def add(self, row: int, column: int, values: np.ndarray, tested: np.ndarray | None = None) -> None:
        """A block (a, b) that begins at line `row` and column `column`. `tested` (a, b) in [-1, 1], of whose magnitude
        p is a function; the values themselves where None."""
        size = np.abs(values)
        tested = size if tested is None else np.abs(tested)
        if self.symmetric:
            below = (
                np.arange(column, column + values.shape[1]) <= np.arange(row, row + values.shape[0])[:, None]
            )
            size, tested = (np.where(below, -1.0, part) for part in (size, tested))
            self.pairs += below.size - int(below.sum())
            self.total += float(size.sum() + below.sum())
        else:
            self.pairs += size.size
            self.total += float(size.sum())
        if size.size and size.max() > self.largest:
            i, j = np.unravel_index(size.argmax(), size.shape)
            self.largest, self.at, self.value = float(size[i, j]), (row + i, column + j), float(values[i, j])
            self.tested = float(tested[i, j])
        bins = np.minimum(tested[tested >= 0] * BINS, BINS).astype(np.int64)
        self._counts += np.bincount(bins, minlength=BINS + 1)

    @property
    def mean(self) -> float:
        """Mean magnitude."""
        return self.total / max(self.pairs, 1)

    def significant(self, p_of: Callable[[np.ndarray], np.ndarray], level: float) -> tuple[float, float]:
        """(threshold of the tested statistic, share of the pairs beyond it) at false-discovery rate `level`; infinite
        and 0 where no pair is. `p_of` gives the p-values of statistics."""
        bins = np.flatnonzero(
            self._counts
        )  # between two of them the pairs beyond are the same and p is larger
        edges, beyond = bins / BINS, np.cumsum(self._counts[bins][::-1])[::-1]
        good = p_of(edges) * self.pairs <= level * beyond
        if not good.any():
            return float("inf"), 0.0
        first = int(good.argmax())
        return float(edges[first]), float(beyond[first] / self.pairs)
