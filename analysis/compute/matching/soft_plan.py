"""The transport plan between two sets of units of equal total mass, softened by an entropy, however small.

    P = argmin <P, C> - e H(P)    rows of P (p, q) summing to 1 / p, columns to 1 / q

is P = exp((f_i + g_j - C_ij) / e) (Cuturi 2013). Given g, the f that make the rows right are in closed form; what is
left is to maximise the concave semi-dual h(g) = Σ g_j / q + Σ f_i(g) / p, whose gradient is 1 / q less the column sums.
Sinkhorn's iteration, in logarithms with the potentials absorbed in the kernel (Schmitzer 2019), climbs it quickly where
the plan is soft, and takes for ever where units fall into groups that hardly exchange mass; from there Newton's method
with a line search finishes (Brauer et al. 2017). The entropy is lowered by halves from the largest cost, each stage
starting where the last one ended. Rounding (Altschuler et al. 2017) makes both marginals exact.

References: M. Cuturi (2013); B. Schmitzer (2019); C. Brauer, C. Clason, D. Lorenz & B. Wirth (2017), "A Sinkhorn-Newton
method for entropic optimal transport"; J. Altschuler, J. Weed & P. Rigollet (2017).
"""

from __future__ import annotations

import math

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from analysis.compute.matching.unit_pairing import hungarian
from analysis.errors import ParameterError

TOLERANCE, LOOSE = 1e-9, 1e-3  # L1 error of the column sums: of the plan, of the stages before
SWEEPS, NEWTON_STEPS = 100, 100  # of each stage
FURTHEST = 1e100  # of a scaling


def soft_plan(cost: np.ndarray, entropy: float) -> np.ndarray:
    """The plan (p, q) of `cost` (p, q), finite, with entropy > 0 in units of the cost.

    Time O(p q) a sweep; where sweeps do not get there, O(p q min(p, q)) a Newton step, some ten a stage. Memory some
    five (p, q) arrays. Raises ParameterError where rounding error keeps the plan from its marginals.
    """
    if cost.shape[0] < cost.shape[1]:  # Newton's matrix is as large as there are columns
        return soft_plan(cost.T, entropy).T
    cost = cost - cost.min()
    g, error = np.zeros(cost.shape[1]), np.inf
    for stage in _stages(float(cost.max()), entropy):
        goal = TOLERANCE if stage == entropy else LOOSE
        g, error = _sweeps(cost, stage, g, goal)
        if error > goal:
            g, error = _newton(cost, stage, g, goal)
    if error > TOLERANCE:
        raise ParameterError(
            f"entropy = {entropy:g} leaves the plan {error:.1g} off its marginals",
            "a larger entropy, or 0 (exact)",
        )
    return _rounded(_rows_right(cost, entropy, g)[1])


def _stages(largest: float, entropy: float) -> list[float]:
    """Entropies from the largest cost down to the one asked for, by halves."""
    halves = max(0, math.ceil(math.log2(largest / entropy))) if largest > entropy else 0
    return [entropy * 2.0**i for i in range(halves, -1, -1)]


def _rows_right(cost: np.ndarray, entropy: float, g: np.ndarray) -> tuple[float, np.ndarray]:
    """The semi-dual h(g) and the plan (p, q) whose rows sum to 1 / p."""
    p, q = cost.shape
    away = (g - cost) / entropy
    top = away.max(axis=1, keepdims=True)
    plan = np.exp(away - top)
    sums = plan.sum(axis=1, keepdims=True)
    plan /= p * sums
    return float(g.sum() / q - entropy * (np.log(p * sums) + top).sum() / p), plan


def _sweeps(cost: np.ndarray, entropy: float, g: np.ndarray, goal: float) -> tuple[np.ndarray, float]:
    """g after at most `SWEEPS` of Sinkhorn's iterations, and its error."""
    (p, q), kernel = cost.shape, _rows_right(cost, entropy, g)[1]
    v = np.ones(q)
    sums = kernel.sum(axis=0)
    for _ in range(SWEEPS):
        if np.abs(v * sums - 1 / q).sum() <= goal:
            break
        new = (1 / q) / np.maximum(sums, 1e-300)
        if not 1 / FURTHEST < new.min() <= new.max() < FURTHEST:
            break
        v = new
        sums = (1 / (p * (kernel @ v))) @ kernel
    g = g + entropy * np.log(v)
    return g, _error(_rows_right(cost, entropy, g)[1])


def _error(plan: np.ndarray) -> float:
    return float(np.abs(plan.sum(axis=0) - 1 / plan.shape[1]).sum())


def _newton(cost: np.ndarray, entropy: float, g: np.ndarray, goal: float) -> tuple[np.ndarray, float]:
    """g after Newton steps up the semi-dual, and its error. Its second derivative is -(diag c - p PᵀP) / e for column
    sums c: flat along a constant g, which changes nothing."""
    value, plan = _rows_right(cost, entropy, g)
    for _ in range(NEWTON_STEPS):
        if _error(plan) <= goal:
            break
        columns = plan.sum(axis=0)
        slope = 1 / len(columns) - columns
        step = entropy * _solved(np.diag(columns) - len(plan) * (plan.T @ plan), slope)
        rise, length = float(slope @ step), 1.0
        while True:
            value_there, there = _rows_right(cost, entropy, g + length * step)
            if value_there >= value + 1e-4 * length * rise or _error(there) < 0.5 * _error(plan):
                break
            length /= 2
            if length < 1e-12:
                return g, _error(plan)
        g, value, plan = g + length * step, value_there, there
        g = g - g.mean()
    return g, _error(plan)


def _solved(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    """x with matrix x = right for a positive semi-definite matrix, whose flat direction (constants) gets nothing."""
    size = float(np.diag(matrix).mean())
    whole, ridge = matrix + size / len(matrix), 1e-15 * size
    while True:
        try:
            return cho_solve(cho_factor(whole + ridge * np.eye(len(matrix))), right)
        except LinAlgError:
            ridge *= 100


def _rounded(plan: np.ndarray) -> np.ndarray:
    """The plan scaled down to at most its masses, with what is missing added as a product."""
    a, b = 1 / plan.shape[0], 1 / plan.shape[1]
    plan = plan * np.minimum(a / plan.sum(axis=1), 1.0)[:, None]
    plan = plan * np.minimum(b / plan.sum(axis=0), 1.0)
    short_a, short_b = np.maximum(a - plan.sum(axis=1), 0.0), np.maximum(b - plan.sum(axis=0), 0.0)
    if short_a.sum() > 0:
        plan = plan + np.outer(short_a, short_b) / short_a.sum()
    return plan


def effective_partners(plan: np.ndarray) -> float:
    """Mean over rows of exp of the entropy of a row's shares."""
    share = plan / plan.sum(axis=1, keepdims=True)
    entropy = -(share * np.log(np.where(share > 0, share, 1.0))).sum(axis=1)
    return float(np.exp(entropy).mean())


def diagonal_order(plan: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows by falling largest mass; columns so that the masses of one-to-one partners lie on the diagonal."""
    rows = np.argsort(-plan.max(axis=1), kind="stable")
    partner = hungarian(plan)[rows]
    columns = partner[partner >= 0]
    rest = np.setdiff1d(np.arange(plan.shape[1]), columns)
    rows = np.concatenate([rows[partner >= 0], rows[partner < 0]])
    return rows.astype(np.int64), np.concatenate([columns, rest]).astype(np.int64)
