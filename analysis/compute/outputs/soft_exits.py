"""Linear exits: the class probabilities of a network predicted from one of its layers, on samples that had no part in
the fit.

On the training samples x_i with the network's probabilities p_i, an exit q_i = softmax(b + W x_i) minimises

    (1 / n) Σ KL(p_i || q_i) + λ / 2 |W|²

which is multinomial logistic regression with the network's answers as soft labels; it is convex, and b is free, so that
λ = ∞ is the constant exit, the mean of the training probabilities. λ is the one with the least divergence on a fold set
aside inside the training samples, among powers of ten of the mean variance of a direction and ∞; then all training
samples are fitted once more.

With X = U S Vᵀ of the centred training samples, the Hessian is at most (S² / n + 2 λ) / 2 in the directions V (D.
Böhning 1992). Scaled by its root the problem is round and L-BFGS takes few steps whatever the spectrum.
"""

from __future__ import annotations

import numpy as np

from analysis.compute.outputs.divergences import kl
from analysis.spec import Progress, no_progress

FOLDS = 5
PENALTIES = 10.0 ** np.arange(0.0, -9.0, -2.0)  # of the mean variance of a direction, then ∞ too
PATIENCE = 2  # penalties in a row without a lower divergence, after which the search ends
STEPS = 100  # of L-BFGS, at each penalty
ROUNDING = 1e-9  # of the largest squared singular value: directions below are none


def log_softmax(scores: np.ndarray) -> np.ndarray:
    """Natural logarithms of the softmax over the last axis."""
    shifted = scores - scores.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def constant_exit(logs: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """(n, C) log-probabilities of the mean of the training samples, for each fold (n,); `logs` (n, C)."""
    p, out = np.exp(logs), np.empty_like(logs)
    for f in range(fold.max() + 1):
        out[fold == f] = np.log(np.maximum(p[fold != f].mean(axis=0), np.finfo(float).tiny))
    return out


def held_out_exit(
    x: np.ndarray,
    logs: np.ndarray,
    fold: np.ndarray,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
    doing: str = "fitting exits",
) -> tuple[np.ndarray, int]:
    """Log-probabilities (n, C) of the exit on `x` (n, d) that mimics `logs` (n, C), each by the fit without its fold
    (n,), and how many of the folds chose the constant exit.

    Time O(n r C) for each of at most a hundred steps and six penalties a fold, r <= min(n, d); memory O(n (d + C)).
    """
    folds, out, constant = int(fold.max()) + 1, np.empty_like(logs), 0
    for f in range(folds):
        progress(span[0] + (span[1] - span[0]) * f / folds, doing)
        train, test, inner = fold != f, fold == f, fold == (f + 1) % folds
        core = train & ~inner
        losses = []
        for exit_ in _path(x[core], logs[core], PENALTIES):
            losses.append(kl(logs[inner], _applied(exit_, x[inner])).mean())
            if len(losses) - 1 - np.argmin(losses) >= PATIENCE:
                break
        best = int(np.argmin(losses))
        constant += best == 0
        if best == 0:
            p = np.exp(logs[train]).mean(axis=0)
            out[test] = np.log(np.maximum(p, np.finfo(float).tiny))
        else:
            *_, fitted = _path(x[train], logs[train], PENALTIES[best - 1 : best])
            out[test] = _applied(fitted, x[test])
    return out, constant


def _applied(exit_, x: np.ndarray) -> np.ndarray:
    mean, axes, weights, bias = exit_
    return log_softmax(((x - mean) @ axes) @ weights + bias)


def _path(x: np.ndarray, logs: np.ndarray, penalties):
    """Yield exits (mean (d,), axes (d, r), weights (r, C), bias (C,)): the constant one, then each penalty's, started
    from the one before."""
    p = np.exp(logs)
    mean, bias = x.mean(axis=0), np.log(np.maximum(p.mean(axis=0), np.finfo(float).tiny))
    scores, axes = _principal(x - mean)
    weights = np.zeros((scores.shape[1], logs.shape[1]))
    yield mean, axes, weights, bias
    variances = np.einsum("ij,ij->j", scores, scores) / len(x)
    for share in penalties:
        if len(variances):
            weights, bias = _fitted(scores, variances, p, share * variances.mean(), weights, bias)
        yield mean, axes, weights, bias


def _principal(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores (n, r) and axes (d, r) of centred `x` (n, d), by the smaller Gram matrix."""
    wide = x.shape[1] > len(x)
    values, vectors = np.linalg.eigh(x @ x.T if wide else x.T @ x)
    kept = values > max(values[-1], 0.0) * ROUNDING
    if wide:
        singular = np.sqrt(values[kept])
        return vectors[:, kept] * singular, x.T @ vectors[:, kept] / singular
    return x @ vectors[:, kept], vectors[:, kept]


def _fitted(scores, variances, p, penalty: float, weights, bias) -> tuple[np.ndarray, np.ndarray]:
    """Weights (r, C) and bias (C,) at one penalty, from a start."""
    n, (r, classes) = len(p), weights.shape
    scale = np.append(np.sqrt(variances / 2 + penalty), np.sqrt(0.5))[:, None]
    ridge = np.append(np.full(r, penalty), 0.0)[:, None]

    from scipy.optimize import minimize

    def loss(flat):
        theta = flat.reshape(r + 1, classes) / scale
        logs = log_softmax(scores @ theta[:-1] + theta[-1])
        away = np.exp(logs) - p
        slope = np.vstack([scores.T @ away, away.sum(axis=0)]) / n + ridge * theta
        return -float(np.vdot(p, logs)) / n + float((ridge * theta**2).sum()) / 2, (slope / scale).ravel()

    start = (np.vstack([weights, bias]) * scale).ravel()
    found = minimize(
        loss, start, jac=True, method="L-BFGS-B",
        options={"maxiter": STEPS, "ftol": 1e-11, "gtol": 1e-7},
    )  # fmt: skip
    theta = found.x.reshape(r + 1, classes) / scale
    return theta[:-1], theta[-1]
