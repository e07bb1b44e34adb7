"""Multinomial logistic regression with a ridge, by L-BFGS.

    minimise  -(1 / n) Σ ln softmax(x_i W + b)_{y_i} + λ / 2 ‖W‖²

The intercept is not penalised. For λ > 0 the minimum is unique up to a shift of b that changes nothing.

References: D. Cox (1958), "The regression analysis of binary sequences"; D. Liu & J. Nocedal (1989), L-BFGS.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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
    """Fit to rows `x` (n, d) of class `of` (n,). O(n d C) for each of at most `steps` steps."""
    from scipy.optimize import minimize

    n, d = x.shape
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
