"""A network of one hidden layer of rectified units, fitted by L-BFGS from a seeded start.

    minimise  (1 / n) Σ loss(y_i, f(x_i)) + α / (2 n) (‖W‖² + ‖V‖²),   f(x) = max(0, x W + b) V + c

The loss is minus the log of the softmax, or half the squared error of a number. Starts are uniform within
√(6 / (inputs + outputs)) of each layer (Glorot & Bengio 2010). The steps are a limit by choice: it need not converge.

Reference: D. Rumelhart, G. Hinton & R. Williams (1986), "Learning representations by back-propagating errors".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.linear.softmax_regression import loss_and_slope


@dataclass(frozen=True)
class SmallNetwork:
    """`first` (d + 1, h) and `second` (h + 1, outputs), the last line of each the intercepts."""

    first: np.ndarray
    second: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Outputs (n, outputs) of the rows `x` (n, d)."""
        hidden = np.maximum(x @ self.first[:-1] + self.first[-1], 0.0)
        return hidden @ self.second[:-1] + self.second[-1]


def fit_network(
    x: np.ndarray,
    of: np.ndarray | None,
    values: np.ndarray | None,
    classes: int,
    hidden: int,
    decay: float,
    steps: int,
    rng: np.random.Generator,
) -> SmallNetwork:
    """Fit to rows `x` (n, d) of class `of` (n,), or of the number `values` (n,) with `classes` 1. O(n d h) for each of
    `steps` steps."""
    from scipy.optimize import minimize

    n, d = x.shape
    sizes = ((d + 1, hidden), (hidden + 1, classes))
    begin = np.concatenate([
        rng.uniform(-1, 1, a * b) * np.sqrt(6.0 / (a - 1 + b)) for a, b in sizes
    ])  # fmt: skip
    cut = sizes[0][0] * hidden

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        first, second = flat[:cut].reshape(sizes[0]), flat[cut:].reshape(sizes[1])
        inside = x @ first[:-1]
        inside += first[-1]
        np.maximum(inside, 0.0, out=inside)
        out = inside @ second[:-1] + second[-1]
        if of is not None:
            loss, slope = loss_and_slope(out, of)
        else:
            slope = out - values[:, None]
            loss, slope = float((slope**2).sum()) / (2 * n), slope / n
        gradient = np.empty_like(flat)
        one, two = gradient[:cut].reshape(sizes[0]), gradient[cut:].reshape(sizes[1])
        two[:-1] = inside.T @ slope + decay / n * second[:-1]
        two[-1] = slope.sum(axis=0)
        back = slope @ second[:-1].T
        back *= inside > 0
        one[:-1] = x.T @ back + decay / n * first[:-1]
        one[-1] = back.sum(axis=0)
        return loss + decay / (2 * n) * float((first[:-1] ** 2).sum() + (second[:-1] ** 2).sum()), gradient

    found = minimize(
        objective, begin, jac=True, method="L-BFGS-B", options={"maxiter": steps, "gtol": 1e-4, "ftol": 1e-10}
    ).x
    return SmallNetwork(found[:cut].reshape(sizes[0]), found[cut:].reshape(sizes[1]))
