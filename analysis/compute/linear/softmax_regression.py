"""Multinomial logistic regression with a ridge: two classes in few units by Newton's method, others by L-BFGS.

    minimise  -(1 / n) Σ ln softmax(x_i W + b)_{y_i} + λ / 2 ‖W‖²

The intercept is not penalised. For λ > 0 the minimum is unique up to a shift of b that changes nothing.

References: D. Cox (1958), "The regression analysis of binary sequences"; D. Liu & J. Nocedal (1989), L-BFGS.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.special import expit

MOST_NEWTON, NEWTON_STEPS = 64, 40  # units; steps


@dataclass(frozen=True)
class Softmax:
    """`weights` (d, C), `intercept` (C,), and the mean log `loss` where they were fitted, without the ridge."""

    weights: np.ndarray
    intercept: np.ndarray
    loss: float

    def predicted(self, x: np.ndarray) -> np.ndarray:
        """Class (n,) of the rows `x` (n, d)."""
        return (x @ self.weights + self.intercept).argmax(axis=1)


def softmax_fit(
    x: np.ndarray,
    of: np.ndarray,
    classes: int,
    penalty: float,
    start: Softmax | None = None,
    steps: int = 200,
) -> Softmax:
    """Fit to rows `x` (n, d) of class `of` (n,). O(n d C) for each of at most `steps` steps; of two classes in up to
    64 units O(n d²) for each of a handful."""
    from scipy.optimize import minimize

    n, d = x.shape
    if classes == 2 and d <= MOST_NEWTON and penalty > 0:
        found = _newton(x, of, penalty, start)
        if found is not None:
            return found
    if start is None:
        share = np.log(np.maximum(np.bincount(of, minlength=classes), 0.5) / n)
        start = Softmax(np.zeros((d, classes)), share - share.mean(), 0.0)

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        w, b = flat[: d * classes].reshape(d, classes), flat[d * classes :]
        loss, slope = loss_and_slope(x @ w + b, of)
        gradient = np.concatenate([(x.T @ slope + penalty * w).ravel(), slope.sum(axis=0)])
        return loss + penalty / 2 * float((w**2).sum()), gradient

    begin = np.concatenate([start.weights.ravel(), start.intercept])
    found = minimize(
        objective, begin, jac=True, method="L-BFGS-B", options={"maxiter": steps, "gtol": 1e-6, "ftol": 1e-10}
    )
    w = found.x[: d * classes].reshape(d, classes)
    return Softmax(w, found.x[d * classes :], float(found.fun) - penalty / 2 * float((w**2).sum()))


def _newton(x: np.ndarray, of: np.ndarray, penalty: float, start: Softmax | None) -> Softmax | None:
    """The same minimum for two classes, with weights -w / 2 and w / 2: damped Newton steps on (w, b), whose ridge is
    λ / 4 ‖w‖². None where a step does not come down (the intercept of one class alone has no minimum)."""
    n, d = x.shape
    sign = np.where(of == 1, 1.0, -1.0)
    wide = np.column_stack([x, np.ones(n)])
    ridge = np.r_[np.full(d, penalty / 2), 0.0]
    at = np.zeros(d + 1)
    if start is not None:
        at = np.r_[start.weights[:, 1] - start.weights[:, 0], start.intercept[1] - start.intercept[0]]

    def value(point: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (wide @ point)
        return float(np.logaddexp(0.0, -margin).mean() + (ridge * point**2).sum() / 2), margin

    now, margin = value(at)
    for _ in range(NEWTON_STEPS):
        wrong = expit(-margin)
        slope = ridge * at - wide.T @ (sign * wrong) / n
        if np.abs(slope).max() <= 1e-8:
            return _both(at, now, ridge)
        curve = (wide * (wrong * (1 - wrong) / n)[:, None]).T @ wide
        curve[np.diag_indices(d + 1)] += ridge + 1e-12
        try:
            step = cho_solve(cho_factor(curve), slope)
        except LinAlgError:
            return None
        size = 1.0
        while size > 1e-6:
            then, margins = value(at - size * step)
            if then <= now - 1e-4 * size * float(slope @ step):
                break
            size /= 2
        else:
            return _both(at, now, ridge) if np.abs(slope).max() <= 1e-6 else None
        at, now, margin = at - size * step, then, margins
    return None


def _both(at: np.ndarray, value: float, ridge: np.ndarray) -> Softmax:
    weights, half = np.column_stack([-at[:-1], at[:-1]]) / 2, at[-1] / 2
    return Softmax(weights, np.array([-half, half]), value - float((ridge * at**2).sum()) / 2)


def loss_and_slope(scores: np.ndarray, of: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean log loss of `scores` (n, C) and its slope (n, C) in them: (softmax - indicator) / n."""
    n = len(scores)
    top = scores.max(axis=1, keepdims=True)
    share = np.exp(scores - top)
    total = share.sum(axis=1, keepdims=True)
    loss = float((np.log(total[:, 0]) + top[:, 0] - scores[np.arange(n), of]).mean())
    share /= total
    share[np.arange(n), of] -= 1
    return loss, share / n


def constant_loss(of: np.ndarray, classes: int) -> float:
    """The least mean log loss without looking at x: the entropy of the classes, in nats."""
    share = np.bincount(of, minlength=classes) / len(of)
    return float(-(share[share > 0] * np.log(share[share > 0])).sum())
