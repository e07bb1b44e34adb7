"""Pointwise mutual information of features and its low-rank factors, pairs that never meet included.

Of n_ij rows in which i and j are active, n_i and n_j alone, n rows:

    PMI_ij = log (n_ij n / (n_i n_j))                               where they meet
    least Σ_meet h(n_ij) / 2 (w_i c_j - PMI_ij)² + Σ_never log (1 + exp(w_i c_j - PMI*_ij))

with PMI* that of a single common row, as no more can be said of pairs that never meet, and h(x) = √x: counts of many
rows weigh more. Where all pairs meet and h = 1 the least is the truncated singular value decomposition of PMI.

Reference: N. Shazeer et al. (2016), "Swivel: improving embeddings by noticing what's missing".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

STEPS = 150


@dataclass(frozen=True)
class Counts:
    """Of m features over `n` rows: `both` (m, m) common rows, of which the diagonal is each alone."""

    both: np.ndarray
    n: int

    @property
    def alone(self) -> np.ndarray:
        return np.diag(self.both)

    @property
    def expected(self) -> np.ndarray:
        """(m, m) common rows of independent features."""
        return np.outer(self.alone, self.alone) / self.n

    @property
    def pmi(self) -> np.ndarray:
        """(m, m); of pairs that never meet that of one common row."""
        return np.log(np.maximum(self.both, 1) / self.expected)


@dataclass(frozen=True)
class Factors:
    """`w` and `c` (m, r); w cᵀ is the fitted PMI. `loss` at the end."""

    w: np.ndarray
    c: np.ndarray
    loss: float

    @property
    def fitted(self) -> np.ndarray:
        return self.w @ self.c.T

    @property
    def places(self) -> np.ndarray:
        """(m, r) one place for each feature: the mean of both factors, of equal scale."""
        return (self.w + self.c) / 2


def counts_of(on: np.ndarray) -> Counts:
    """Of rows by features, `on` (n, m), 1 where active; dense or sparse. O(n m²) dense."""
    both = on.T @ on
    both = both.toarray() if hasattr(both, "toarray") else both
    return Counts(np.round(np.asarray(both, np.float64)), on.shape[0])


def factorised(
    pmi: np.ndarray, meet: np.ndarray, weight: np.ndarray, rank: int, counted: np.ndarray | None = None
) -> Factors:
    """Factors of `pmi` (m, m), which is PMI* where not `meet`; `weight` (m, m) of pairs that meet; `counted` (m, m)
    bool, cells of the sum (all where None). From the truncated decomposition. O(m² r) a step, 150 at most."""
    from scipy.optimize import minimize

    m, rank = len(pmi), min(rank, len(pmi))
    seen = np.ones((m, m), bool) if counted is None else counted
    left, size, right = np.linalg.svd(np.where(seen, pmi, 0.0))
    root = np.sqrt(size[:rank])
    start = np.concatenate([(left[:, :rank] * root).ravel(), (right[:rank].T * root).ravel()])
    near, never = np.where(seen & meet, weight, 0.0), np.where(seen & ~meet, 1.0, 0.0)
    scale = max(float(near.sum() + never.sum()), 1e-300)

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        w, c = flat.reshape(2, m, rank)
        apart = w @ c.T - pmi
        loss = float((near * apart**2).sum() / 2 + (never * np.logaddexp(0, apart)).sum()) / scale
        slope = (near * apart + never * expit(apart)) / scale
        return loss, np.concatenate([(slope @ c).ravel(), (slope.T @ w).ravel()])

    found = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": STEPS, "gtol": 1e-7})
    w, c = found.x.reshape(2, m, rank)
    return Factors(w, c, float(found.fun))


def swivel(counts: Counts, rank: int) -> Factors:
    """Of counts, a feature with itself left out."""
    own = ~np.eye(len(counts.both), dtype=bool)
    return factorised(counts.pmi, counts.both > 0, np.sqrt(counts.both), rank, own)


def fit_quality(counts: Counts, found: Factors) -> tuple[float, float]:
    """Share of the variance of PMI over pairs that meet, weighted as they were fitted, and share of the pairs that
    never meet with w c at most PMI*."""
    own = ~np.eye(len(counts.both), dtype=bool)
    meet, pmi = own & (counts.both > 0), counts.pmi
    weight = np.sqrt(counts.both[meet])
    middle = np.average(pmi[meet], weights=weight) if meet.any() else 0.0
    whole = float((weight * (pmi[meet] - middle) ** 2).sum())
    left = float((weight * (pmi[meet] - found.fitted[meet]) ** 2).sum())
    never = own & (counts.both == 0)
    kept = float((found.fitted[never] <= pmi[never]).mean()) if never.any() else 1.0
    return (1 - left / whole if whole > 0 else 0.0), kept
