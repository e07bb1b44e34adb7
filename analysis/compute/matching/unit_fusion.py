"""Units of one layer carried onto those of another by optimal transport, and layers joined along it.

Each unit is a profile: its incoming weights, or its centred activations on common samples. Units of A (p) and B (q)
weigh 1 / p and 1 / q; the plan P (p, q) carries one mass onto the other at least cost:

    cosine            C_ij = 1 - cos(a_i, b_j)                    between 0 and 2, blind to each unit's size
    squared distance  C_ij = |a_i - b_j|² / (mean |a|² + mean |b|²)     1 for unrelated units of equal size

Then p P averages the units of B that stand for a unit of A (rows sum to 1), and q P shares what each unit of B gives to
the next layer (columns sum to 1), so that a network and its reordered or doubled copy become one and the same.

References: S. P. Singh & M. Jaggi (2020), "Model fusion via optimal transport"; M. Imfeld et al. (2024), "Transformer
fusion with optimal transport".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.matching.transport import exact_transport, sinkhorn
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.errors import NotEnoughData
from analysis.spec import Progress, no_progress

COSINE, SQUARED = "cosine", "squared distance"


def plan_of(cost: np.ndarray, entropy: float) -> np.ndarray:
    """(p, q) plan between uniform masses: exact for entropy 0."""
    return sinkhorn(cost, entropy) if entropy > 0 else exact_transport(cost)


def similarity(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(p, q) cosines of profiles `a` (p, f) and `b` (q, f), none of them 0."""
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b)]
    return np.clip(unit[0] @ unit[1].T, -1.0, 1.0)


def cost_of(a: np.ndarray, b: np.ndarray, kind: str) -> np.ndarray:
    """(p, q) cost of carrying profiles `a` (p, f) onto `b` (q, f)."""
    if kind == COSINE:
        return 1.0 - similarity(a, b)
    squares = [(x * x).sum(axis=1) for x in (a, b)]
    cost = squares[0][:, None] + squares[1] - 2 * a @ b.T
    return np.maximum(cost, 0.0) / (squares[0].mean() + squares[1].mean())


def onto_units(values: np.ndarray, plan: np.ndarray) -> np.ndarray:
    """Rows (q, ...) of B's units, averaged over those that stand for each unit of A: (p, ...)."""
    return (len(plan) * plan) @ values


def onto_inputs(weight: np.ndarray, plan: np.ndarray) -> np.ndarray:
    """A weight (outputs, q) that reads B's units, reading A's instead: (outputs, p)."""
    return weight @ (plan.shape[1] * plan).T


def living(a: np.ndarray, name: str) -> np.ndarray:
    """Numbers of the units (rows of `a`) whose profile is not 0. Raises NotEnoughData below two."""
    size = np.linalg.norm(a, axis=1)
    found = np.flatnonzero(size > 1e-12 * size.max(initial=0.0))
    if len(found) < 2:
        raise NotEnoughData(f"{name} has {len(found)} unit(s) that are not 0 or constant", "at least 2")
    return found


@dataclass(frozen=True)
class Partners:
    """`plan` (p, q); `alike` (p,), the cosine of each unit of A with what the plan carries onto it, weighted; `chance`
    (draws, p), the same where the rows of B are exchanged; `q` (p,) false-discovery rates."""

    plan: np.ndarray
    alike: np.ndarray
    chance: np.ndarray
    q: np.ndarray


def partners(
    a: np.ndarray,
    b: np.ndarray,
    kind: str,
    entropy: float,
    draws: int,
    rng: np.random.Generator,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
    fixed: int = 0,
) -> Partners:
    """The plan between profiles `a` (p, f) and `b` (q, f), with what it gives once the inputs (or samples) of B have
    been exchanged, all units alike; the last `fixed` columns stay. Time O(draws (p q f + plan))."""
    plan = plan_of(cost_of(a, b, kind), entropy)
    alike = _alike(a, b, plan)
    chance, moving = np.empty((draws, len(a))), a.shape[1] - fixed
    for i in range(draws):
        progress(span[0] + (span[1] - span[0]) * i / draws, "matching exchanged units")
        order = np.r_[rng.permutation(moving), np.arange(moving, a.shape[1])]
        other = b[:, order]
        chance[i] = _alike(a, other, plan_of(cost_of(a, other, kind), entropy))
    pooled = np.sort(chance, axis=None)
    above = len(pooled) - np.searchsorted(pooled, alike - 1e-12)
    return Partners(plan, alike, chance, benjamini_hochberg((1 + above) / (1 + len(pooled))))


def _alike(a: np.ndarray, b: np.ndarray, plan: np.ndarray) -> np.ndarray:
    return len(plan) * (plan * similarity(a, b)).sum(axis=1)


def effective_partners(plan: np.ndarray) -> np.ndarray:
    """(p,) how many units of B each unit of A is spread over: exp of the entropy of its row."""
    shares = len(plan) * plan
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(shares > 0, shares * np.log(shares), 0.0)
    return np.exp(-logs.sum(axis=1))


# ---------------------------------------------------------------------------- joining two layers
def joined_moments(a: np.ndarray, b: np.ndarray, plan: np.ndarray) -> np.ndarray:
    """(n, 4) what each sample adds to var A, cov(A, B'), var B' and var B p / q, for centred activations `a` (n, p) and
    `b` (n, q) of the same samples, B' being B carried onto A's units by `plan` (p, q)."""
    p, q = plan.shape
    carried = b @ (p * plan).T
    pairs = ((a, a), (a, carried), (carried, carried))
    return np.column_stack([*(np.einsum("ij,ij->i", *pair) for pair in pairs), (b * b).sum(axis=1) * (p / q)])


def kept_variance(sums: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Variance of (1 - t) A + t B' over that of the ends, (1 - t) var A + t var B p / q: (..., t) from sums (..., 4)
    of `joined_moments`. 1 all along for units that agree; (1 - t)² + t² for unrelated ones, a half in the middle."""
    first, cross, second, whole = (sums[..., i, None] for i in range(4))
    joined = (1 - t) ** 2 * first + 2 * t * (1 - t) * cross + t**2 * second
    return joined / ((1 - t) * first + t * whole)


def random_moments(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n, 4) as `joined_moments`, on average over hard plans drawn at random (exact)."""
    p, q = a.shape[1], b.shape[1]
    own = np.einsum("ij,ij->i", b, b) * (p / q)
    return np.column_stack([np.einsum("ij,ij->i", a, a), a.sum(axis=1) * b.sum(axis=1) / q, own, own])


def crossed_moments(a: np.ndarray, b: np.ndarray, fold: np.ndarray, kind: str, entropy: float) -> np.ndarray:
    """(n, 4) as `joined_moments`, the plan of each sample made from the samples of the other fold: what a plan found in
    these samples would seem to join, others need not. `fold` (n,) is 0 or 1; a unit constant in a fold has no
    partner to look for there and goes everywhere."""
    out = np.empty((len(a), 4))
    for side in (0, 1):
        seen, left = fold != side, fold == side
        x, y = (v[seen] - v[seen].mean(axis=0) for v in (a, b))
        cost = cost_of_any(x.T, y.T, kind)
        u, w = (v[left] - v[left].mean(axis=0) for v in (a, b))
        out[left] = joined_moments(u, w, plan_of(cost, entropy))
    return out


def cost_of_any(a: np.ndarray, b: np.ndarray, kind: str) -> np.ndarray:
    """As `cost_of`, with units that are 0 as unlike any other as unrelated ones are."""
    cost = np.ones((len(a), len(b)))
    alive = [np.linalg.norm(x, axis=1) for x in (a, b)]
    alive = [np.flatnonzero(size > 1e-12 * max(size.max(), 1e-300)) for size in alive]
    if len(alive[0]) and len(alive[1]):
        cost[np.ix_(*alive)] = cost_of(a[alive[0]], b[alive[1]], kind)
    return cost
