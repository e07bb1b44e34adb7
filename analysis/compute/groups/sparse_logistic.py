"""Few of many units that tell two groups apart: logistic regression with an l1 penalty, chosen by cross-validation.

    minimise  1/2 (mean log loss of the first group + mean log loss of the other) + λ Σ |w_j|

Both groups weigh the same, however large. At w = 0 the slope along unit j is a quarter of its difference of means, so
a unit alone enters when its means differ by more than 4 λ, and nothing does at λ >= max_j |m1_j - m0_j| / 4.

References: R. Tibshirani (1996), "Regression shrinkage and selection via the lasso"; L. Breiman et al. (1984),
"Classification and regression trees" (one-standard-error rule); R.-E. Fan et al. (2008), "LIBLINEAR".
"""

from __future__ import annotations

import functools

import numpy as np

RATIO = 10 ** (-1 / 6)  # between one penalty of the path and the next
STEPS = 16  # down to 1/316 of the largest
PATIENCE = 2  # penalties in a row without a lower loss, after which the path ends
EQUAL = 1e-9  # means of standardised units no further apart than rounding: no path to follow
FREE = 10.0  # the solver penalises the intercept too: here by a tenth


def largest_penalty(x: np.ndarray, first: np.ndarray) -> float:
    """The least λ at which no unit of `x` (n, d) enters; `first` (n,) bool. O(n d)."""
    return float(np.abs(x[first].mean(axis=0) - x[~first].mean(axis=0)).max(initial=0.0)) / 4


def sparse_weights(x: np.ndarray, first: np.ndarray, penalty: float) -> tuple[np.ndarray, float]:
    """Weights (d,), positive towards the first group, and intercept. A coordinate descent: O(n d) for each sweep."""
    from sklearn.linear_model import LogisticRegression

    weight = {1: 1 / (2 * penalty * first.sum()), 0: 1 / (2 * penalty * (~first).sum())}
    model = LogisticRegression(
        **_l1(), C=1.0, solver="liblinear", class_weight=weight, intercept_scaling=FREE, tol=1e-5, max_iter=1000,
        random_state=0,
    ).fit(x, first.astype(np.int64))  # fmt: skip
    return model.coef_[0], float(model.intercept_[0])


@functools.cache
def _l1() -> dict:
    """scikit-learn 1.8 renamed the choice of the penalty."""
    from sklearn.linear_model import LogisticRegression

    return {"penalty": "l1"} if LogisticRegression().l1_ratio is None else {"l1_ratio": 1.0}


def log_losses(scores: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Log loss (n,) of each score, weighted so that each group's weights sum to one half."""
    counts = np.where(first, first.sum(), (~first).sum())
    return np.logaddexp(0.0, np.where(first, -scores, scores)) / (2 * counts)


def chosen_penalty(x: np.ndarray, first: np.ndarray, fold: np.ndarray) -> float:
    """The largest λ whose held-out loss lies within one standard error (over folds) of the least; `fold` (n,) >= 0.

    It is `largest_penalty`, and the model empty, where no unit predicts better than a coin. At most 15 fits a fold;
    under meaningless labels the path mostly ends after two.
    """
    top, folds = largest_penalty(x, first), int(fold.max()) + 1
    if top < EQUAL:
        return top
    losses = [np.full(folds, np.log(2))]
    for step in range(1, STEPS):
        losses.append(
            np.array([_held_out_loss(x, first, fold == f, top * RATIO**step) for f in range(folds)])
        )
        means = np.mean(losses, axis=1)
        if step - means.argmin() >= PATIENCE:
            break
    best = int(means.argmin())
    error = losses[best].std(ddof=1) / np.sqrt(folds)
    return top * RATIO ** int(np.argmax(means <= means[best] + error))


def _held_out_loss(x: np.ndarray, first: np.ndarray, out: np.ndarray, penalty: float) -> float:
    """Mean log loss of the samples `out` (n,) bool by the fit on the others."""
    weights, intercept = sparse_weights(x[~out], first[~out], penalty)
    share = np.where(first, 1 / (2 * first.sum()), 1 / (2 * (~first).sum()))[out].sum()
    return float(log_losses(x @ weights + intercept, first)[out].sum() / share)
