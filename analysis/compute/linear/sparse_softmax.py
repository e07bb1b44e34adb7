"""Multinomial logistic regression with an l1 penalty: few weights tell the classes.

    minimise  mean log loss + λ Σ |W_jc|          intercepts are free

over units of one scale (standardised here). At W = 0 the slope along unit j and class c is the covariance of the unit
with the class's indicator, so that nothing enters from λ_max = max_jc |cov| on. Found by accelerated proximal steps of
a fixed length (FISTA with restarts), whose zeros are exact. Penalties are asked for as a share of λ_max, which means
the same for any units.

References: R. Tibshirani (1996), "Regression shrinkage and selection via the lasso"; A. Beck & M. Teboulle (2009), "A
fast iterative shrinkage-thresholding algorithm"; B. O'Donoghue & E. Candès (2015) for the restarts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.linear.softmax_regression import loss_and_slope

STEPS, SETTLED = 300, 1e-4
PATH = (0.5, 0.3, 0.18, 0.11, 0.065, 0.04, 0.024, 0.014, 0.008)  # shares of λ_max


@dataclass(frozen=True)
class SparseHead:
    """`weights` (d, C) on the units as they are, `intercept` (C,); a weight that is 0 is exactly so."""

    weights: np.ndarray
    intercept: np.ndarray

    def scores(self, x: np.ndarray) -> np.ndarray:
        """(n, C) logits."""
        return x @ self.weights + self.intercept

    def named(self, x: np.ndarray) -> np.ndarray:
        """(n,) class of each row."""
        return self.scores(x).argmax(axis=1)


@dataclass(frozen=True)
class _Problem:
    z: np.ndarray
    mean: np.ndarray
    size: np.ndarray
    of: np.ndarray
    share: np.ndarray
    most: float
    step: float


def _problem(x: np.ndarray, of: np.ndarray, classes: int) -> _Problem:
    mean, size = x.mean(axis=0), x.std(axis=0)
    size = np.where(
        size > 1e-9 * np.maximum(np.abs(mean), 1e-300), size, np.inf
    )  # a constant unit gets weight 0
    z = (x - mean) / size
    share = np.bincount(of, minlength=classes) / len(of)
    onehot = np.eye(classes)[of] - share
    gram = z @ z.T if len(z) < z.shape[1] else z.T @ z
    curve = max(float(np.linalg.eigvalsh(gram)[-1]) / len(z) / 2, 0.5)  # 1/2: the most that a softmax bends
    return _Problem(z, mean, size, of, share, float(np.abs(z.T @ onehot).max()) / len(z), 1 / curve)


def sparse_heads(
    x: np.ndarray, of: np.ndarray, classes: int, shares: tuple[float, ...], steps: int = STEPS
) -> list[SparseHead]:
    """Heads for falling `shares` of λ_max, each from where the one before ended; rows `x` (n, d) of class `of` (n,).
    O(n d C) for each of at most `steps` steps a share."""
    p, out = _problem(x, of, classes), []
    w = np.zeros((x.shape[1], classes))
    b = np.log(np.maximum(p.share, 0.5 / len(of)))
    for share in shares:
        w, b = _fitted(p, share * p.most, w, b, steps)
        scaled = w / p.size[:, None]
        out.append(SparseHead(scaled, b - p.mean @ scaled))
    return out


def _fitted(p: _Problem, penalty: float, w: np.ndarray, b: np.ndarray, steps: int):
    at, level, momentum = w, b, 1.0
    for _ in range(steps):
        slope = loss_and_slope(p.z @ at + level, p.of)[1]
        moved = at - p.step * (p.z.T @ slope)
        new = np.sign(moved) * np.maximum(np.abs(moved) - p.step * penalty, 0)
        new_level = level - p.step * slope.sum(axis=0)
        if float(((at - new) * (new - w)).sum() + ((level - new_level) * (new_level - b)).sum()) > 0:
            momentum = 1.0  # going uphill: restart
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        push = (momentum - 1) / following
        change = max(float(np.abs(new - w).max(initial=0.0)), float(np.abs(new_level - b).max()))
        at, level = new + push * (new - w), new_level + push * (new_level - b)
        w, b, momentum = new, new_level, following
        if change < SETTLED:
            break
    return w, b


def chosen_share(x: np.ndarray, of: np.ndarray, classes: int, out: np.ndarray, path=PATH) -> float:
    """The largest share of `path` whose accuracy on the rows `out` (n,) bool, by heads fitted to the others, lies
    within one standard error of the best."""
    heads = sparse_heads(x[~out], of[~out], classes, path, STEPS // 3)
    right = np.array([(h.named(x[out]) == of[out]).mean() for h in heads])
    best = float(right.max())
    error = np.sqrt(max(best * (1 - best), 0.0) / max(int(out.sum()), 1))
    return path[int(np.argmax(right >= best - error - 1e-12))]
