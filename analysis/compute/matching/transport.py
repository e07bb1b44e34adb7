"""Optimal transport between two sets of units of equal total mass: an exact plan, and a smoothed one (Sinkhorn).

    plan = argmin <P, C> - entropy H(P)   over P >= 0 with rows that sum to a and columns that sum to b

`cost` C (m, n) may have any sizes and signs; a and b are uniform (1 / m and 1 / n) unless given. Without entropy the
plan is a vertex: for m = n and uniform masses one permutation, divided by n (Birkhoff). With much entropy it tends to
a bᵀ, in which every unit goes everywhere. Entropy is in units of the cost.

Sinkhorn's iteration is kept in logarithms (Schmitzer 2019): cost and potentials f, g are absorbed in
K = exp((f + g - C) / entropy), and between absorptions only two matrix-vector products are made. The entropy is lowered
by halves from the largest cost, each stage starting from the last one's potentials. Rounding (Altschuler et al. 2017)
then makes both marginals exact. Not converged within the allowed iterations is a refusal, not a plan.

References: R. Sinkhorn (1967); M. Cuturi (2013); B. Schmitzer (2019), "Stabilized sparse scaling algorithms";
J. Altschuler, J. Weed & P. Rigollet (2017); G. Birkhoff (1946).
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import logsumexp

from analysis.arrays import as_matrix
from analysis.errors import InputError, ParameterError, TooLarge

TOLERANCE = 1e-6  # of the marginals, L1
MOST_ITERATIONS = 100_000
MOST_COPIES = 4096  # of units: side of the square problem that stands for unequal sizes
MOST_CELLS = 500_000  # of a linear programme
INSIDE = 20  # iterations between two absorptions
FURTHEST = 1e100  # of a scaling before it is absorbed


def exact_transport(cost: np.ndarray) -> np.ndarray:
    """The plan (m, n) of least cost, with rows that sum to 1 / m and columns that sum to 1 / n.

    Assignment where m = n; m and n unequal are copied to their least common multiple, or, where that passes 4,096,
    solved as a linear programme of at most 500,000 cells. Time O(N³) for N copies.

    Raises
    ------
    ShapeError, InputError, TooLarge
        Not a matrix; not finite; sizes that neither way can take.
    """
    from scipy.optimize import linear_sum_assignment

    cost = _finite(cost)
    m, n = cost.shape
    copies = math.lcm(m, n)
    if max(m, n) > MOST_COPIES or (copies > MOST_COPIES and m * n > MOST_CELLS):
        raise TooLarge(
            f"an exact plan between {m:,} and {n:,} units",
            f"a least common multiple of at most {MOST_COPIES:,}, or at most {MOST_CELLS:,} pairs",
            "Give it some entropy",
        )
    if copies > MOST_COPIES:
        return _linear_programme(cost)
    plan = np.zeros((m, n))
    rows, columns = np.arange(copies) % m, np.arange(copies) % n
    at = linear_sum_assignment(cost[np.ix_(rows, columns)])
    np.add.at(plan, (rows[at[0]], columns[at[1]]), 1.0 / copies)
    return plan


def sinkhorn(
    cost: np.ndarray,
    entropy: float,
    *,
    rows: np.ndarray | None = None,
    columns: np.ndarray | None = None,
    tolerance: float = TOLERANCE,
    maximum: int = MOST_ITERATIONS,
) -> np.ndarray:
    """The plan (m, n) that minimises <P, C> - entropy H(P), its marginals exact to rounding.

    Parameters
    ----------
    cost : (m, n)
    entropy : float
        Above 0, in units of the cost.
    rows, columns : (m,), (n,), optional
        Masses, each positive and of one total; uniform by default.
    tolerance : float
        Largest L1 error of the row masses before rounding, relative to the total.
    maximum : int
        Most iterations over all stages.

    Raises
    ------
    ParameterError
        Not converged, with the error reached: raise the entropy or take `exact_transport`.
    InputError
        Costs that are not finite, masses that are not positive or differ in total.

    Notes
    -----
    Time O(m n) an iteration, some hundred to many thousand of them (more the smaller the entropy); memory O(m n).
    """
    cost = _finite(cost)
    if not (np.isfinite(entropy) and entropy > 0):
        raise ParameterError(f"entropy = {entropy}", "a positive number (exact_transport has none)")
    a, b = _mass(rows, cost.shape[0], "rows"), _mass(columns, cost.shape[1], "columns")
    if abs(a.sum() - b.sum()) > 1e-9 * a.sum():
        raise InputError(f"rows weigh {a.sum():g} and columns {b.sum():g}", "one and the same total")
    b = b * (a.sum() / b.sum())
    cost = cost - cost.min()
    f, g, left = np.zeros(len(a)), np.zeros(len(b)), maximum
    for stage in _stages(float(cost.max()), entropy):
        goal = tolerance if stage == entropy else 1e-3
        f, g, error, left = _stage(cost, stage, a, b, f, g, goal * a.sum(), left)
    if error > tolerance * a.sum():
        raise ParameterError(
            f"entropy = {entropy:g} did not converge in {maximum:,} iterations (marginals off by {error:.1g})",
            "a larger entropy, or none at all (the exact plan)",
        )
    return _rounded(np.exp((f[:, None] + g - cost) / entropy), a, b)


def _stages(largest: float, entropy: float) -> list[float]:
    """Entropies from the largest cost down to the one asked for, by halves."""
    steps = max(0, math.ceil(math.log2(largest / entropy))) if largest > entropy else 0
    return [entropy * 2.0**i for i in range(steps, -1, -1)]


def _stage(cost, entropy, a, b, f, g, goal, left):
    """Potentials at one entropy, the L1 error of the row masses, and the iterations left."""
    error = np.inf
    while left > 0 and error > goal:
        f = entropy * (np.log(a) - logsumexp((g - cost) / entropy, axis=1))
        g = entropy * (np.log(b) - logsumexp((f[:, None] - cost) / entropy, axis=0))
        kernel = np.exp((f[:, None] + g - cost) / entropy)
        u, v = np.ones(len(a)), np.ones(len(b))
        error = np.abs(kernel.sum(axis=1) - a).sum()
        left -= 1
        for _ in range(INSIDE):
            if error <= goal or left <= 0:
                break
            new_u = a / np.maximum(kernel @ v, 1e-300)
            new_v = b / np.maximum(new_u @ kernel, 1e-300)
            if max(new_u.max(), new_v.max(), 1 / new_u.min(), 1 / new_v.min()) > FURTHEST:
                break
            u, v = new_u, new_v
            error = np.abs(u * (kernel @ v) - a).sum()
            left -= 1
        f, g = f + entropy * np.log(u), g + entropy * np.log(v)
    return f, g, error, left


def _rounded(plan: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The plan scaled down to at most its masses, with what is missing added as a product."""
    plan = plan * np.minimum(a / plan.sum(axis=1), 1.0)[:, None]
    plan = plan * np.minimum(b / plan.sum(axis=0), 1.0)
    short_a, short_b = np.maximum(a - plan.sum(axis=1), 0.0), np.maximum(b - plan.sum(axis=0), 0.0)
    if short_a.sum() > 0:
        plan = plan + np.outer(short_a, short_b) / short_a.sum()
    return plan


def _linear_programme(cost: np.ndarray) -> np.ndarray:
    from scipy.optimize import linprog
    from scipy.sparse import eye, kron, vstack

    m, n = cost.shape
    sums = vstack([kron(eye(m), np.ones((1, n))), kron(np.ones((1, m)), eye(n))]).tocsr()
    masses = np.concatenate([np.full(m, 1.0 / m), np.full(n, 1.0 / n)])
    found = linprog(cost.ravel(), A_eq=sums[:-1], b_eq=masses[:-1], bounds=(0, None), method="highs")
    if found.x is None:
        raise InputError(f"the transport between {m} and {n} units was not solved ({found.message})")
    return np.maximum(found.x.reshape(m, n), 0.0)


def _finite(cost) -> np.ndarray:
    cost = np.asarray(as_matrix(cost, "cost"), dtype=np.float64)
    if not (cost.size and np.isfinite(cost).all()):
        raise InputError("a cost is NaN or infinite, or there is none", "finite numbers")
    return cost


def _mass(given, length: int, what: str) -> np.ndarray:
    if given is None:
        return np.full(length, 1.0 / length)
    mass = np.asarray(given, dtype=np.float64)
    if mass.shape != (length,) or not (np.isfinite(mass).all() and (mass > 0).all()):
        raise InputError(f"masses of {what} of shape {mass.shape}", f"{length} positive numbers")
    return mass
