"""Canonical correlation with few units on each side, by penalised least squares.

With covariances S_xx, S_yy, S_xy of units at deviation 1, one pair of weights maximises

    uᵀS_xy v - μ |u|_1 - μ |v|_1    subject to uᵀS_xx u <= 1, vᵀS_yy v <= 1.

For fixed v the best u is the lasso solution of regressing the score Yv on X with penalty μ, scaled to a score of
variance 1 (the objective and the length are of degree one in u); so alternating two lassos never lowers the
objective, and where it stops, each side is a lasso solution given the other, which its optimality conditions certify.
A unit enters when its covariance with the other side's score, beyond what the chosen units say, exceeds μ: μ is in
units of correlation. With μ = 0 this is ordinary CCA. (The form with the covariances taken as identities, D. Witten
et al. 2009, is cheaper but is partial least squares without a penalty, and correlated units share its weights.) The
objective has several maxima: the search starts from the solution of the next larger penalty, and from the leading
singular pair of S_xy, and keeps the better.

Further pairs come from S_xy - Σ ρ_k S_xx u_k v_kᵀS_yy, from which, without penalty, the next canonical pair follows
exactly.

References: D. Hardoon & J. Shawe-Taylor (2011), "Sparse canonical correlation analysis"; D. Witten, R. Tibshirani &
T. Hastie (2009), "A penalized matrix decomposition"; I. Wilms & C. Croux (2015), "Sparse canonical correlation
analysis from a predictive point of view"; Q. Mai & X. Zhang (2019), "An iterative penalized least squares approach to
sparse canonical correlation analysis".
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

TOLERANCE = 1e-10  # of the largest eigenvalue, below which a direction does not vary
OPTIMAL = 1e-8  # violation of the optimality conditions, in units of correlation, that ends a lasso
ROUNDS = 3000  # of a lasso, at most
SETTLED = 1e-6  # rise of the objective that ends the alternation
ALTERNATIONS = 300
POWERS = 30  # of `xy`, towards where a search starts
HEAT = 4  # alternations from each start, before only the better one goes on


@dataclass(frozen=True)
class Covariances:
    """`xx` (p, p), `yy` (q, q), `xy` (p, q) of units at deviation 1 (0 for constant ones)."""

    xx: np.ndarray
    yy: np.ndarray
    xy: np.ndarray

    @functools.cached_property
    def strongest(self) -> np.ndarray:
        """The unit (q,) of the strongest pair."""
        v = np.zeros(len(self.yy))
        v[np.abs(self.xy).max(axis=0).argmax()] = 1.0
        return v

    @functools.cached_property
    def leading(self) -> np.ndarray:
        """About the leading right singular vector (q,) of `xy`, scaled to a score of variance 1."""
        v = self.strongest
        for _ in range(POWERS):
            v = _scaled(self.xy.T @ (self.xy @ v), self.yy)[0]
        return v

    def without(self, u: np.ndarray, v: np.ndarray) -> Covariances:
        """The same with what the scores of `u` (p,), `v` (q,) have in common taken off `xy`."""
        a, b = self.xx @ u, self.yy @ v
        return Covariances(self.xx, self.yy, self.xy - float(u @ self.xy @ v) * np.outer(a, b))


@dataclass(frozen=True)
class Pairs:
    """Weights `u` (p, k) and `v` (q, k) of scores with variance 1 (0: nothing entered), and their correlations `rho`
    (k,) on the samples that made them. The largest weight of each `u` is positive, and so is every `rho`."""

    u: np.ndarray
    v: np.ndarray
    rho: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        """(k,) weights that are not 0, of both sides."""
        return (self.u != 0).sum(axis=0) + (self.v != 0).sum(axis=0)


# ---------------------------------------------------------------------------- one side
def lasso(gram: np.ndarray, target: np.ndarray, penalty: float, start: np.ndarray) -> np.ndarray:
    """The minimum (d,) of wᵀ gram w / 2 - targetᵀw + penalty |w|_1 for positive semi-definite `gram` (d, d).

    Coordinate descent over the weights that want to move, and in between a step to the minimum for the signs at hand,
    or as far towards it as they hold. Time O(d a + a³) for each round with a active weights.
    """
    w = start.copy()
    for _ in range(ROUNDS):
        left = target - gram @ w
        wrong = violations(left, w, penalty)
        if wrong.max(initial=0.0) <= OPTIMAL:
            break
        active = np.flatnonzero((w != 0) | (wrong > OPTIMAL))
        block = gram[np.ix_(active, active)]
        w[active] = _towards(
            block, target[active], penalty, _descended(block, left[active], penalty, w[active])
        )
    return w


def violations(left: np.ndarray, w: np.ndarray, penalty: float) -> np.ndarray:
    """(d,) how far each weight is from optimal, `left` (d,) being target - gram w."""
    return np.where(w != 0, np.abs(left - penalty * np.sign(w)), np.maximum(np.abs(left) - penalty, 0.0))


def _descended(gram: np.ndarray, left: np.ndarray, penalty: float, w: np.ndarray) -> np.ndarray:
    """One sweep over all weights."""
    left, room, moved = left.copy(), np.empty_like(left), w.tolist()
    for j, (row, spread) in enumerate(zip(gram, np.diag(gram).tolist(), strict=True)):
        if spread <= 0:
            continue
        pull = left.item(j) + spread * moved[j]
        new = (pull - penalty if pull > penalty else pull + penalty if pull < -penalty else 0.0) / spread
        if new != moved[j]:
            left -= np.multiply(row, new - moved[j], out=room)
            moved[j] = new
    return np.array(moved)


def _towards(gram: np.ndarray, target: np.ndarray, penalty: float, w: np.ndarray) -> np.ndarray:
    """From w to the minimum for its signs, or to the first weight that would change its sign, which becomes 0; w itself
    where that is no better (more weights than independent units have no one minimum)."""
    at = np.flatnonzero(w)
    if not len(at):
        return w
    block, pull, old = gram[np.ix_(at, at)], target[at] - penalty * np.sign(w[at]), w[at]
    try:
        best = np.linalg.solve(block, pull)
    except np.linalg.LinAlgError:
        return w
    turned = best * old <= 0
    new, first = best, None
    if turned.any():
        steps = np.where(turned, old / np.where(turned, old - best, 1.0), 1.0)
        first = int(steps.argmin())
        new = old + steps[first] * (best - old)
        new[first] = 0.0
    if not 0.5 * new @ block @ new - pull @ new < 0.5 * old @ block @ old - pull @ old:
        return w
    out = w.copy()
    out[at] = new
    return out


# ---------------------------------------------------------------------------- both sides
def sparse_pairs(
    c: Covariances, penalty: float, k: int, before: Pairs | None = None, *, settled: float = SETTLED
) -> Pairs:
    """k pairs of sparse weights; `before`, those of a larger penalty, is one place where the search starts."""
    if penalty == 0:
        return _signed(c, *_canonical_weights(c, k))
    left, us, vs = c, [], []
    for i in range(k):
        known = before is not None and before.v[:, i].any()
        starts = [left.leading, before.v[:, i] if known else left.strongest]
        heats = [_alternated(left, penalty, v, settled, HEAT) for v in starts]
        _, u, v = _alternated(left, penalty, max(heats, key=lambda f: f[0])[2], settled, ALTERNATIONS)
        us.append(u)
        vs.append(v)
        left = left.without(u, v)
    return _signed(c, np.array(us).T, np.array(vs).T)


def _alternated(
    c: Covariances, penalty: float, v: np.ndarray, settled: float, most: int
) -> tuple[float, np.ndarray, np.ndarray]:
    """Objective, u and v where neither side wants to move, or after `most` rounds; zeros where nothing enters."""
    u, size, sizes, value = np.zeros(len(c.xx)), 0.0, 0.0, -np.inf
    for _ in range(most):
        u, size = _scaled(lasso(c.xx, c.xy @ v, penalty, u * size), c.xx)
        v, sizes = _scaled(lasso(c.yy, c.xy.T @ u, penalty, v * sizes), c.yy) if size else (0 * v, 0.0)
        if not sizes:
            return 0.0, 0 * u, 0 * v
        risen = float(u @ c.xy @ v) - penalty * float(np.abs(u).sum() + np.abs(v).sum())
        if risen - value < settled:
            break
        value = risen
    return risen, u, v


def _scaled(w: np.ndarray, gram: np.ndarray) -> tuple[np.ndarray, float]:
    """Weights whose score has variance 1, and the deviation it had; (0, 0) where there is none."""
    size = float(np.sqrt(max(w @ gram @ w, 0.0)))
    return (w / size, size) if size > 1e-9 else (0 * w, 0.0)


def _canonical_weights(c: Covariances, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Ordinary canonical weights (p, k), (q, k), on the directions that vary."""
    roots = []
    for gram in (c.xx, c.yy):
        values, vectors = np.linalg.eigh(gram)
        kept = values > TOLERANCE * values[-1]
        roots.append(vectors[:, kept] / np.sqrt(values[kept]))
    u, _, vt = np.linalg.svd(roots[0].T @ c.xy @ roots[1], full_matrices=False)
    return roots[0] @ u[:, :k], roots[1] @ vt[:k].T


def _signed(c: Covariances, u: np.ndarray, v: np.ndarray) -> Pairs:
    """The largest weight of each u positive (the first of equals), correlations too."""
    sign = np.sign(u[np.abs(u).argmax(axis=0), np.arange(u.shape[1])])
    u = u * np.where(sign < 0, -1.0, 1.0)
    rho = np.einsum("ik,ij,jk->k", u, c.xy, v, optimize=True)
    v = v * np.where(rho < 0, -1.0, 1.0)
    return Pairs(u, v, np.clip(np.abs(rho), 0.0, 1.0))
