"""How far two partitions of the same rows agree, whatever their parts are called.

Adjusted Rand index (pairs; 0 expected for unrelated partitions, 1 for equal ones), normalised mutual information
(2 I / (H + H'); above 0 also for unrelated partitions), and accuracy: the share of rows whose cluster is matched to
their label under the best one-to-one matching (Hungarian). The null permutes the labels over the samples, seeded;
the interval resamples samples.

Reference: L. Hubert & P. Arabie (1985), "Comparing partitions".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.results import Estimate

MOST_LABELS = 2000  # beyond, a matching says nothing and the matrix would not fit
DRAWS, PERMUTATIONS = 200, 30
MEASURES = {
    "adjusted Rand index": "Hubert and Arabie's adjusted Rand index",
    "normalised mutual information": "2 I / (H + H')",
    "accuracy under the best matching": "share of rows, Hungarian matching",
}


@dataclass(frozen=True)
class Contingency:
    """The filled cells of a table: `row` and `column` (c,) numbers, `count` (c,), and its shape."""

    row: np.ndarray
    column: np.ndarray
    count: np.ndarray
    shape: tuple[int, int]

    @staticmethod
    def of(a: np.ndarray, b: np.ndarray, weights: np.ndarray | None = None) -> Contingency:
        """From whole numbers from 0, `a` and `b` (n,). O(n log n), whatever the number of parts."""
        shape = int(a.max(initial=-1)) + 1, int(b.max(initial=-1)) + 1
        cells, where = np.unique(a.astype(np.int64) * max(shape[1], 1) + b, return_inverse=True)
        count = np.bincount(where.reshape(-1), weights=weights, minlength=len(cells)).astype(float)
        return Contingency(cells // max(shape[1], 1), cells % max(shape[1], 1), count, shape)

    def sums(self) -> tuple[np.ndarray, np.ndarray]:
        return tuple(
            np.bincount(i, weights=self.count, minlength=m)
            for i, m in zip((self.row, self.column), self.shape, strict=True)
        )


def adjusted_rand(table: Contingency) -> float:
    """1 for equal partitions (also trivial ones), 0 expected for unrelated ones."""
    rows, columns = table.sums()
    n = rows.sum()
    together, a, b = ((x * (x - 1)).sum() / 2 for x in (table.count, rows, columns))
    expected = a * b / max(n * (n - 1) / 2, 1)
    most = (a + b) / 2
    return 1.0 if most == expected else float((together - expected) / (most - expected))


def mutual_information(table: Contingency) -> float:
    """Normalised by the mean of the entropies; 1 where both are trivial."""
    rows, columns = (s / s.sum() for s in table.sums())
    p = table.count / table.count.sum()
    full = p > 0
    h = -sum((q[q > 0] * np.log(q[q > 0])).sum() for q in (rows, columns))
    shared = (p[full] * np.log(p[full] / (rows[table.row] * columns[table.column])[full])).sum()
    return 1.0 if h == 0 else float(np.clip(2 * shared / h, 0.0, 1.0))


def matched_accuracy(table: Contingency) -> float:
    """Share of rows in matched cells under the best one-to-one matching. O(k³)."""
    from scipy.optimize import linear_sum_assignment

    dense = np.zeros(table.shape)
    dense[table.row, table.column] = table.count
    return float(dense[linear_sum_assignment(-dense)].sum() / table.count.sum())


def agreement(codes: np.ndarray, labels: np.ndarray, owners: np.ndarray, rng, d: int) -> tuple[Estimate, ...]:
    """Estimates of the three measures.

    codes : (n,) cluster of each row, -1 for none: those rows form a part of their own (and count as wrong in the
    accuracy). labels : (n,) whole numbers from 0, at most 2,000 of them. owners : (n,) sample of each row.
    """
    k = int(codes.max(initial=-1)) + 1
    parts = np.where(codes >= 0, codes, k)
    samples, owner = np.unique(owners, return_inverse=True)
    value = _measures(parts, labels, k)
    null = np.array(
        [_measures(parts, _moved(labels, owner, len(samples), rng), k) for _ in range(PERMUTATIONS)]
    )
    drawn = np.empty((DRAWS, 3))
    for i in range(DRAWS if k else 0):
        weights = np.bincount(rng.integers(len(samples), size=len(samples)), minlength=len(samples))[owner]
        drawn[i] = _measures(parts, labels, k, weights.astype(float))
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0) if k else (value, value)
    return tuple(
        Estimate(
            f"{name} with the labels", float(value[i]), float(min(low[i], value[i])), float(max(high[i], value[i])),
            interval=f"bootstrap over samples, {DRAWS} draws", null=float(null[:, i].mean()),
            null_low=float(null[:, i].min()), null_high=float(null[:, i].max()),
            null_method=f"labels moved to other samples, {PERMUTATIONS} times: mean, least, most",
            n=len(samples), d=d, estimator=how,
        )
        for i, (name, how) in enumerate(MEASURES.items())
    )  # fmt: skip


def _measures(parts, labels, k: int, weights=None) -> np.ndarray:
    table = Contingency.of(parts, labels, weights)
    inside = table.row < k
    clustered = Contingency(table.row[inside], table.column[inside], table.count[inside], table.shape)
    share = clustered.count.sum() / max(table.count.sum(), 1e-300)
    accuracy = share * matched_accuracy(clustered) if share > 0 else 0.0
    return np.array([adjusted_rand(table), mutual_information(table), accuracy])


def _moved(labels: np.ndarray, owner: np.ndarray, n: int, rng) -> np.ndarray:
    """The labels of whole samples moved to other samples: each row takes the label of its sample's partner."""
    of_sample = np.zeros(n, labels.dtype)
    of_sample[owner] = labels
    return rng.permutation(of_sample)[owner]
