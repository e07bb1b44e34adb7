"""In which rows features are active together: counts of pairs, what chance gives, and rows drawn anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np

from analysis.activations import Activations
from analysis.compute.dictionaries.sparse_codes import DENSE, code_blocks, together
from analysis.compute.machine import machine
from analysis.compute.streaming import Pass
from analysis.spec import Progress

BLOCK = 1 << 22  # pairs counted at a time: 64 MB


def active_rows(
    taps: Sequence[Activations], most: int, rng: np.random.Generator, seen: Pass, progress: Progress, span
):
    """(rows, all features) sparse float32, 1 where a feature is not 0, of at most about `most` rows drawn at random
    that are finite in every tap; taps have the same rows."""
    from scipy.sparse import csr_array, hstack, vstack

    n = taps[0].shape[0]
    drawn, sides, finite = rng.random(n) < most / max(n, 1), [], np.ones(n, bool)
    for i, tap in enumerate(taps):
        parts, own = [], []
        step = (span[1] - span[0]) / len(taps)
        for rows, block in code_blocks(tap, seen, progress, (span[0] + i * step, span[0] + (i + 1) * step)):
            pick = csr_array(block[np.flatnonzero(drawn[rows])])
            pick.eliminate_zeros()
            parts.append(
                csr_array((np.ones(pick.nnz, np.float32), pick.indices, pick.indptr), shape=pick.shape)
            )
            own.append(rows[drawn[rows]])
        own = np.concatenate(own) if own else np.zeros(0, np.int64)
        sides.append((own, csr_array(vstack(parts)) if parts else csr_array((0, tap.shape[1]))))
        finite &= np.isin(np.arange(n), own)
    if len(sides) == 1:
        return sides[0][1]
    return csr_array(hstack([on[np.flatnonzero(finite[rows])] for rows, on in sides]))


def moved_rows(on, rng: np.random.Generator):
    """Every feature active in as many rows, drawn anew."""
    from scipy.sparse import csr_array

    columns = on.tocsc()
    for start, stop in zip(columns.indptr[:-1], columns.indptr[1:], strict=True):
        columns.indices[start:stop] = np.sort(rng.choice(on.shape[0], stop - start, replace=False))
    return csr_array(columns)


class Meetings:
    """Which features share rows, a block of features at a time: memory for a block, not for all pairs.

    Time: rows x active^2 additions where few are active in a row, else one product of (features, rows) with its
    transpose, whose (features, features) counts are then in memory."""

    def __init__(self, on) -> None:
        self.n, self.k = on.shape
        self.fires = np.bincount(on.indices, minlength=self.k)
        self._dense = on.nnz > DENSE * self.n * self.k
        self._on = together([on]) if self._dense else on

    @cached_property
    def quantiles(self) -> np.ndarray:
        """The lower 2.5 % point of the rate of every count that can occur, 0 for none."""
        from scipy.special import gammaincinv

        most = int(self.fires.max(initial=0))
        return np.r_[0.0, gammaincinv(np.arange(1, most + 1), 0.025)]

    def blocks(self) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
        """Yield (first feature, ends, partners, counts): feature first + i meets partners[ends[i] : ends[i + 1]] in as
        many rows as `counts` says."""
        yield from self._of_product() if self._dense else self._of_rows()

    def _of_rows(self):
        from analysis.compute.dictionaries import pair_kernels

        on, columns = self._on, self._on.tocsc()
        starts, rows = columns.indptr.astype(np.int64), columns.indices.astype(np.int64)
        indptr, units = on.indptr.astype(np.int64), on.indices.astype(np.int64)
        reach = np.add.reduceat(np.r_[np.diff(indptr)[rows], 0], np.minimum(starts[:-1], len(rows)))
        most = np.minimum(np.where(self.fires > 0, reach, 0), self.k)  # partners at most
        held, first = np.zeros(self.k, np.int64), 0
        while first < self.k:
            size = np.cumsum(most[first : first + BLOCK])
            stop = first + max(1, int(np.searchsorted(size, BLOCK, side="right")))
            partner, count = np.empty((2, size[stop - first - 1]), np.int64)
            ends = np.zeros(stop - first + 1, np.int64)
            pair_kernels.meetings(starts, rows, indptr, units, first, stop, held, ends, partner, count)
            yield first, ends, partner[: ends[-1]], count[: ends[-1]]
            first = stop

    def _of_product(self):
        step = max(1, BLOCK // self.k)
        for first in range(0, self.k, step):
            block = self._on[first : first + step]
            own, partner = np.nonzero(block)
            own, partner = (a[partner != own + first] for a in (own, partner))
            count = np.round(block[own, partner]).astype(np.int64)
            yield first, np.searchsorted(own, np.arange(len(block) + 1)), partner, count

    def best(self, many: int, least: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(feature, partner, common rows), each feature's `many` best first: by the low end of `log_ratio`, of those
        that share `least` rows and more than is expected."""
        from analysis.compute.dictionaries import pair_kernels

        parts = []
        for first, ends, partner, count in self.blocks():
            units, counts = np.empty((2, len(ends) - 1, many), np.int64)
            pair_kernels.best(
                ends, partner, count, first, self.fires, self.quantiles, self.n, least, units, counts
            )
            own, place = np.nonzero(units >= 0)
            parts.append((own + first, units[own, place], counts[own, place]))
        return tuple(np.concatenate(p) for p in zip(*parts, strict=True))

    def beyond(self, least: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """(feature, a later partner, common rows, low end of `log_ratio`) of all pairs that share `least` rows and
        whose low end is above 0."""
        parts = []
        for first, ends, partner, count in self.blocks():
            own = np.repeat(np.arange(first, first + len(ends) - 1), np.diff(ends))
            expected = self.fires[own].astype(np.float64) * self.fires[partner] / self.n
            good = np.flatnonzero((partner > own) & (count >= least) & (self.quantiles[count] > expected))
            good = good[np.lexsort((partner[good], own[good]))]
            low = np.log(self.quantiles[count[good]] / expected[good])
            parts.append((own[good], partner[good], count[good], low))
        return tuple(np.concatenate(p) for p in zip(*parts, strict=True))


def log_ratio(count: np.ndarray, expected: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """log of `count` (p,) > 0 over `expected` (p,), and its 95 % interval for a Poisson count."""
    from scipy.special import gammaincinv

    low, high = gammaincinv(count, 0.025), gammaincinv(count + 1, 0.975)
    return np.log(count / expected), np.log(low / expected), np.log(high / expected)


def meeting_cost(rows: float, k: int, active: float, draws: int) -> tuple[float, float]:
    """Seconds and bytes of counting pairs in `rows` rows and in as many drawn anew, `draws` times."""
    m, nonzero = machine(), rows * active
    dense = nonzero > DENSE * rows * k
    pairs = min(rows * active * active, float(k) * k)
    work = {"flops32": 2.0 * rows * k * k} if dense else {"moved": 20.0 * rows * active * active}
    seconds = (1 + draws) * m.seconds(**work) + (1 + draws) * m.seconds(moved=60.0 * nonzero + 40.0 * pairs)
    held = 60.0 * nonzero + 48.0 * min(pairs, 1.5 * BLOCK) + (4.0 * k * k + 8.0 * rows * k if dense else 0.0)
    return seconds, held
