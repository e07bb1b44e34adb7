"""When the features of a dictionary fire: how often, how strongly, and two of them together. One pass over the codes
each, without a dense block of a sparse tap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.compute.dictionaries.sparse_codes import code_blocks
from analysis.compute.streaming import Pass
from analysis.spec import Progress

DEAD, ALONE, FEW, DOUBLE, SPLIT, ABSORBED, ABSORBS, NEAR = (
    "dead", "alone", "too few rows", "double", "may be split", "may be absorbed", "may absorb", "near",
)  # fmt: skip
EXPECTED = 5  # rows that two features should share by chance, below which silence says nothing
SILENT_P = 0.01
RATIO = 2.0  # of firing rates, from which one of two features counts as the general one
JACCARD = 0.5


@dataclass(frozen=True)
class Firing:
    """Of `n` rows: `count` (k,) rows in which each feature is not 0, `total` of its values, `largest` |value|."""

    n: int
    count: np.ndarray
    total: np.ndarray
    largest: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """(k,) where it is not 0; 0 of a dead one."""
        return self.total / np.maximum(self.count, 1)


def firing(codes: Activations, seen: Pass, progress: Progress, span) -> Firing:
    """O(entries)."""
    k, n = codes.shape[1], 0
    count, total, largest = np.zeros(k, np.int64), np.zeros(k), np.zeros(k)
    for rows, c in code_blocks(codes, seen, progress, span):
        n += len(rows)
        count += np.bincount(c.indices, minlength=k)
        total += np.bincount(c.indices, c.data.astype(np.float64), k)
        np.maximum.at(largest, c.indices, np.abs(c.data.astype(np.float64)))
    return Firing(n, count, total, largest)


def pair_counts(
    codes: Activations, one: np.ndarray, other: np.ndarray, progress: Progress, span
) -> np.ndarray:
    """(m,) rows in which features `one` (m,) and `other` (m,) are both not 0. O(entries of the pairs)."""
    from scipy.sparse import csc_array

    found = np.zeros(len(one), np.int64)
    for _, c in code_blocks(codes, Pass(), progress, span):
        on = csc_array((np.ones(c.nnz, np.int32), c.indices, c.indptr), shape=c.shape[::-1]).T.tocsc()
        found += np.asarray(on[:, one].multiply(on[:, other]).sum(axis=0)).ravel()
    return found


def pair_verdicts(found: Firing, nearest: np.ndarray, together: np.ndarray, beyond: np.ndarray) -> np.ndarray:
    """What each feature and its nearest one are to each other, (k,) text.

    `together` (k,) rows in which both fire; `beyond` (k,) bool: nearer than random directions are. Two that are near
    and fire together are doubles; two that are near and avoid each other (fewer common rows than a Poisson number of
    mean n_i n_j / n has but once in a hundred) are suspects: of a split where both fire about as often, of absorption
    where one fires at least twice as often, the general one being silent where the specific one fires.
    """
    from scipy.stats import poisson

    own = found.count.astype(float)
    other = np.where(nearest >= 0, own[nearest], 0)
    expected = own * other / max(found.n, 1)
    union = own + other - together
    double = together >= JACCARD * np.maximum(union, 1)
    silent = poisson.cdf(together, np.maximum(expected, 1e-12)) < SILENT_P
    choices = [
        (own == 0, DEAD), (~beyond | (nearest < 0), ALONE), (double, DOUBLE), (expected < EXPECTED, FEW),
        (silent & (own >= RATIO * other), ABSORBED), (silent & (other >= RATIO * own), ABSORBS), (silent, SPLIT),
    ]  # fmt: skip
    return np.select([c for c, _ in choices], [v for _, v in choices], NEAR)
