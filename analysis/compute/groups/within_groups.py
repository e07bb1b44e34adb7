"""Do two quantities go together inside groups, such as the crops of one image? Spearman's correlation within them.

In each group ρ_g is Spearman's correlation (midranks) over its m_g members, and

    ρ = Σ_g (m_g - 1) ρ_g / Σ_g (m_g - 1)

over the groups in which both vary. Differences between groups play no part. When the members of each group exchange one
of the two, every ρ_g has mean 0 and variance 1 / (m_g - 1), with ties too, so that ρ has mean 0 and variance
1 / Σ (m_g - 1) exactly, the least that any weights give; p is of seeded exchanges, two-sided.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.statistics.nulls import add_one_p

DRAWS = 999


@dataclass(frozen=True)
class Within:
    """`rho` of each group (G,) in which both vary, its `weight` (G,) m_g - 1; the `value` of all, `p` and the middle
    95 % of its exchanges, `low` and `high`; `skipped` groups in which one of the two does not vary."""

    rho: np.ndarray
    weight: np.ndarray
    value: float
    p: float
    low: float
    high: float
    skipped: int


def spearman_within(x: np.ndarray, y: np.ndarray, of: np.ndarray, rng: np.random.Generator) -> Within | None:
    """Of `x` and `y` (n,) in groups `of` (n,) 0 .. G - 1; None where they vary together in no group. O(999 n ln n)."""
    a, b = _ranks_within(x, of), _ranks_within(y, of)
    size = np.bincount(of)
    spread = np.sqrt(np.bincount(of, a * a) * np.bincount(of, b * b))
    good = spread > 0
    if not good.any():
        return None
    weight = (size - 1.0) * good
    scale = np.divide(weight, spread, out=np.zeros(len(size)), where=good) / weight.sum()
    each = np.divide(np.bincount(of, a * b), spread, out=np.zeros(len(size)), where=good)
    drawn = _exchanged(a * scale[of], b, of, rng)
    value = float(weight @ each / weight.sum())
    low, high = np.percentile(drawn, [2.5, 97.5])
    # rounding must not tell an exchange that gives the same ranks from the ranks themselves
    p = float(add_one_p(abs(value) - 1e-12, np.abs(drawn)))
    return Within(each[good], weight[good], value, p, float(low), float(high), int((~good).sum()))


def _ranks_within(values: np.ndarray, of: np.ndarray) -> np.ndarray:
    """(n,) midranks within each group, about the group's mean rank."""
    order = np.lexsort((values, of))
    v, g = values[order], of[order]
    first = np.r_[True, (np.diff(g) != 0) | (np.diff(v) != 0)]
    run = np.cumsum(first) - 1
    middle = (np.bincount(run, np.arange(len(v))) / np.bincount(run))[run]
    ranks = np.empty(len(v))
    ranks[order] = middle - (np.bincount(g, np.arange(len(v))) / np.bincount(g))[g]
    return ranks


def _exchanged(a: np.ndarray, b: np.ndarray, of: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(999,) Σ a_i b_π(i), π at random within the groups."""
    order = np.argsort(of, kind="stable")
    a, b, of = a[order], b[order], of[order]
    return np.array([a @ b[np.lexsort((rng.random(len(of)), of))] for _ in range(DRAWS)])
