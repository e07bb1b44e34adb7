"""How the units of one layer go with those of another over the positions of each sample: G = F_iᵀ F_j / positions.

    G = (1 / N) Σ_s F_i(s)ᵀ F_j(s) / T,     F(s) (T, units): T positions of sample s, T = 1 for pooled taps

Exchanging the samples of one layer leaves, on average, exactly what mean maps give: Σ_p M_i(p) M_j(p)ᵀ / T with M(p)
the mean over samples at position p; and the squares of all cells together vary by exactly
<A_i, A_j> / (T² N² (N - 1)), A = Σ_s (F(s) - M) (F(s) - M)ᵀ (T, T).

Reference: L. Liu et al. (2020), "Efficient crowd counting via structured knowledge transfer"; J. Yim et al. (2017), "A
gift from knowledge distillation" (the flow of solution procedure).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

GROUPS = 10  # of samples, for the jackknife


@dataclass(frozen=True)
class Relation:
    """`values` (p, q) the mean of G over `n` samples, `null` (p, q) its exact mean under exchange, `spread` that of the
    sum of squared deviations of all cells; `groups` (G, p, q) and `sizes` (G,): sums over groups of samples."""

    values: np.ndarray
    null: np.ndarray
    spread: float
    groups: np.ndarray
    sizes: np.ndarray

    @property
    def n(self) -> int:
        return int(self.sizes.sum())

    def without(self) -> np.ndarray:
        """(G, p, q) the values without each group of samples."""
        rest = self.groups.sum(axis=0) - self.groups
        return rest / (self.n - self.sizes)[:, None, None]


@dataclass(frozen=True)
class CellTests:
    """Two-sided `p` (p, q) by Student's t over samples, and the half-width `half` (p, q) of 95 % intervals."""

    p: np.ndarray
    half: np.ndarray


def groups_of(n: int, rng: np.random.Generator) -> np.ndarray:
    """Group (n,) of each sample for the jackknife, at random."""
    return rng.permutation(np.arange(n) % min(GROUPS, n))


def relation(f: np.ndarray, g: np.ndarray, group: np.ndarray) -> Relation:
    """Of two layers `f` (N, T, p) and `g` (N, T, q); `group` (N,) of each sample. Time O(N T p q)."""
    n, t, p = f.shape
    groups = np.zeros((group.max() + 1, p, g.shape[2]))
    for i in range(len(groups)):
        mine = group == i
        groups[i] = f[mine].reshape(-1, p).T @ g[mine].reshape(-1, g.shape[2]) / t
    means = f.mean(axis=0), g.mean(axis=0)
    gram = [np.einsum("stu,svu->tv", x - m, x - m, optimize=True) for x, m in zip((f, g), means, strict=True)]
    spread = float((gram[0] * gram[1]).sum()) / (t * t * n * n * (n - 1))
    return Relation(groups.sum(axis=0) / n, means[0].T @ means[1] / t, spread, groups, np.bincount(group))


def cell_tests(pairs: list[tuple[np.ndarray, np.ndarray]], centre: bool) -> CellTests:
    """Tests of each cell over samples. One pair (f, g), with `centre` about the mean maps: is the cell other than its
    null? Two pairs: is the difference of their relations other than 0? Time O(N T p q)."""
    if centre:
        pairs = [(f - f.mean(axis=0), g - g.mean(axis=0)) for f, g in pairs]
    n, t = pairs[0][0].shape[:2]
    first, second = _sums(pairs) if t > 1 else _sums_of_products([(f[:, 0], g[:, 0]) for f, g in pairs])
    mean = first / n
    variance = np.maximum(second / n - mean**2, 0.0) * n / (n - 1)
    variance[variance <= 1e-13 * second / n] = 0.0  # what rounding leaves
    error = np.sqrt(variance / n)
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.where(error > 0, np.abs(mean) / error, np.where(mean == 0, 0.0, np.inf))
    return CellTests(np.minimum(2 * stdtr(n - 1, -size), 1.0), stdtrit(n - 1, 0.975) * error)


def _sums(pairs) -> tuple[np.ndarray, np.ndarray]:
    """Sums over samples of G (of one pair) or of the difference of two, and of their squares."""
    first = second = 0.0
    for s in range(len(pairs[0][0])):
        each = [f[s].T @ g[s] / f.shape[1] for f, g in pairs]
        d = each[0] - each[1] if len(each) == 2 else each[0]
        first, second = first + d, second + d * d
    return first, second


def _sums_of_products(pairs) -> tuple[np.ndarray, np.ndarray]:
    """The same for one position a sample, without going through the samples."""
    first = [f.T @ g for f, g in pairs]
    second = [(f * f).T @ (g * g) for f, g in pairs]
    if len(pairs) == 1:
        return first[0], second[0]
    (f, g), (u, v) = pairs
    return first[0] - first[1], np.maximum(second[0] + second[1] - 2 * (f * u).T @ (g * v), 0.0)


def jackknife_interval(value: float, without: np.ndarray) -> tuple[float, float]:
    """95 % interval of a statistic from its values (G,) without each group of samples, never below 0."""
    count = len(without)
    half = float(stdtrit(count - 1, 0.975) * np.sqrt((count - 1) * np.var(without)))
    return max(value - half, 0.0), value + half
