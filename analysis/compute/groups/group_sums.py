"""One group of rows against all others, unit by unit, in one pass: means and squared deviations on both sides, and
the group means of other groups to compare with.

Tokens of one sample are not independent, so an observation (an *entry*) is a sample on one side of the border: the
mean of its finite rows there. A pooled tap has one entry per row.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from analysis.activations import Activations
from analysis.arrays import finite_rows
from analysis.compute.statistics.moments import is_varying
from analysis.spec import Progress, no_progress

# a smaller deviation than this share of the unit's spread counts as this: a unit that the group determines
# wholly would otherwise have an infinite effect
SMALLEST = 1e-6


def entries_of(activations: Activations, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`entry` (rows,): which (sample, side) each row belongs to, rising by sample; `side` (entries,) bool."""
    if activations.layout.is_pooled:
        return np.arange(len(inside)), inside
    sample = np.repeat(np.arange(activations.layout.n_samples), np.diff(activations.layout.offsets))
    keys, entry = np.unique(2 * sample + inside, return_inverse=True)
    return entry.reshape(-1), keys % 2 == 1


def entry_means(
    activations: Activations,
    inside: np.ndarray,
    entry: np.ndarray,
    progress: Progress = no_progress,
    among: np.ndarray | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Yield (entries (e,), their means (e, units), finite rows by side (2,), rows above 0 by side (2, units)).

    `among` (rows,) bool: only these rows count. The last sample of a chunk waits for its other rows. Time O(n d),
    memory one chunk.
    """
    n_rows, waiting = len(entry), None
    for start, block in activations.chunks():
        block = np.asarray(block, np.float64)
        stop = start + len(block)
        good = finite_rows(block) if among is None else finite_rows(block) & among[start:stop]
        ids, values, here = entry[start:stop][good], block[good], inside[start:stop][good]
        fires = np.array([(values[~here] > 0).sum(axis=0), (values[here] > 0).sum(axis=0)])
        rows = np.array([(~here).sum(), here.sum()])
        order = np.argsort(ids, kind="stable")
        found, first, counts = np.unique(ids[order], return_index=True, return_counts=True)
        totals = (
            np.add.reduceat(values[order], first, axis=0) if len(first) else np.zeros((0, block.shape[1]))
        )
        found, totals, counts = _joined(waiting, found, totals, counts)
        last = stop < n_rows and not activations.layout.is_pooled
        keep = found >= entry[stop - 1] - 1 if last else np.zeros(len(found), bool)
        waiting = (found[keep], totals[keep], counts[keep]) if last else None
        yield found[~keep], totals[~keep] / counts[~keep, None], rows, fires
        progress(stop / n_rows, "comparing the units")


def _joined(waiting, found, totals, counts):
    """Add the sums that waited for the rest of their sample."""
    if waiting is None or not len(waiting[0]):
        return found, totals, counts
    merged, place = np.unique(np.concatenate([waiting[0], found]), return_inverse=True)
    sums = np.zeros((len(merged), totals.shape[1]))
    np.add.at(sums, place, np.concatenate([waiting[1], totals]))
    return merged, sums, np.bincount(place, np.concatenate([waiting[2], counts])).astype(int)


class GroupSums:
    """`n` (2,) entries, `mean` and `squares` (2, units) outside and inside (Chan's merge), `rows` and `fires` by
    side, and the sums of the other `groups` (g, entries) bool."""

    def __init__(self, n_units: int, side: np.ndarray, groups: np.ndarray) -> None:
        self.side, self.groups = side, groups
        self.n = np.zeros(2)
        self.mean, self.squares = np.zeros((2, n_units)), np.zeros((2, n_units))
        self.rows, self.fires = np.zeros(2), np.zeros((2, n_units))
        self._group_n, self._group_sum = np.zeros(len(groups)), np.zeros((len(groups), n_units))
        self._centre: np.ndarray | None = None  # taken off before summing: a large mean costs no digits

    def add(self, keys, values, rows, fires) -> None:
        """One step of `entry_means`."""
        self.rows += rows
        self.fires += fires
        for s in (0, 1):
            mine = values[self.side[keys] == bool(s)]
            if not len(mine):
                continue
            mean, n = mine.mean(axis=0), len(mine)
            shift, total = mean - self.mean[s], self.n[s] + n
            self.squares[s] += ((mine - mean) ** 2).sum(axis=0) + shift**2 * self.n[s] * n / total
            self.mean[s] += shift * n / total
            self.n[s] = total
        if len(values):
            self._centre = values.mean(axis=0) if self._centre is None else self._centre
            chosen = self.groups[:, keys].astype(np.float64)
            self._group_n += chosen.sum(axis=1)
            self._group_sum += chosen @ (values - self._centre)

    @property
    def total_squares(self) -> np.ndarray:
        """Squared deviations (units,) of all entries from their common mean."""
        n0, n1 = self.n
        return self.squares.sum(axis=0) + n0 * n1 / (n0 + n1) * (self.mean[1] - self.mean[0]) ** 2

    @property
    def grand_mean(self) -> np.ndarray:
        """(units,) mean of all entries."""
        return (self.n @ self.mean) / self.n.sum()

    def varies(self) -> np.ndarray:
        """Boolean (units,): units that differ between entries by more than rounding."""
        return is_varying(self.total_squares / max(self.n.sum() - 1, 1), self.grand_mean)

    def smallest_deviation(self) -> np.ndarray:
        """(units,) the least that a standard deviation within a group is taken for."""
        return SMALLEST * np.sqrt(self.total_squares / max(self.n.sum() - 1, 1))

    def hedges_g(self) -> np.ndarray:
        """Hedges' g (units,): mean inside minus outside over the pooled deviation; 0 for units that do not vary."""
        pooled = np.sqrt(self.squares.sum(axis=0) / (self.n.sum() - 2))
        return self._effect(self.mean[1] - self.mean[0], pooled)

    def largest_of_groups(self) -> tuple[np.ndarray, np.ndarray]:
        """The largest |g| over the units (g,) of each of the groups, and which groups (g,) have two entries in and
        out, without which there is no g."""
        total = self.n.sum()
        usable = (self._group_n >= 2) & (total - self._group_n >= 2)
        m = np.where(usable, self._group_n, total / 2)[:, None]
        centre = self.grand_mean - (0.0 if self._centre is None else self._centre)
        gap = (self._group_sum / m - centre) * total / (total - m)
        within = self.total_squares - m * (total - m) / total * gap**2
        g = self._effect(gap, np.sqrt(np.maximum(within, 0.0) / (total - 2)))
        return np.abs(g).max(axis=1, initial=0.0), usable

    def _effect(self, shift: np.ndarray, deviation: np.ndarray) -> np.ndarray:
        small = 1 - 3 / (4 * self.n.sum() - 9)
        below = np.maximum(deviation, self.smallest_deviation())
        return small * np.divide(
            shift, below, out=np.zeros_like(shift), where=np.broadcast_to(self.varies(), shift.shape)
        )
