"""What a representation says of labels without having been trained on them: evidence, a held-out probe, a mixture.

*Evidence* is made like LEEP (C. Nguyen et al. 2020, "LEEP: a new measure to evaluate transferability"), the mean
log-likelihood of the labels under an expected empirical predictor, Σ_z P(y | z) θ(z | x). LEEP takes the source's own
classes as z; features have none, so here every other sample is a z of its own, and θ is uniform over the k nearest:

    log-likelihood of y_i = log (h_i + π_y) / (k + 1),      h_i of its k neighbours have its label,

the class shares π counting as one more neighbour. When labels are exchanged h_i is hypergeometric, so that the mean is
known exactly: evidence is the log-likelihood above that mean, in nats, 0 where neighbours say nothing.

The *probe* is ridge regression onto class membership (`cross_prediction`); the class with the largest value counts.

*Mixture*: weights w >= 0, Σ w = 1 of the held-out probes, least squares (L. Breiman 1996, "Stacked regressions").
"""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln

from analysis.compute.linear.cross_prediction import Predictor, predicted

HEAVY = 1e6  # weight of Σ w = 1 in least squares


def log_likelihoods(indices: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """(n,) of the label of each sample from its neighbours `indices` (n, k). O(n k)."""
    k = indices.shape[1]
    shares = np.bincount(codes) / len(codes)
    hits = (codes[indices] == codes[:, None]).sum(axis=1)
    return np.log((hits + shares[codes]) / (k + 1))


def exchanged_mean(codes: np.ndarray, k: int) -> float:
    """Mean of `log_likelihoods` over all exchanges of the labels, exact, whatever the neighbours. O(C k)."""
    n, counts, total = len(codes), np.bincount(codes), 0.0
    h = np.arange(k + 1)
    for count in counts[counts > 0]:
        same, others = count - 1, n - count
        possible = (h <= same) & (k - h <= others)
        logs = _choose(same, h[possible]) + _choose(others, k - h[possible]) - _choose(n - 1, k)
        total += count / n * float(np.exp(logs) @ np.log((h[possible] + count / n) / (k + 1)))
    return total


def _choose(n, k) -> np.ndarray:
    return gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)


def held_out_classes(one: Predictor, member: np.ndarray) -> np.ndarray:
    """Values (n, C) of the classes for each sample, by ridge regression on the other folds; `member` (n, C) of 0, 1."""
    y = member - member.mean(axis=0)
    cross, out = one.rows.T @ y, np.empty(member.shape)
    for fit in one.fits:
        true, made = predicted(one, y, fit, cross)
        out[fit.out] = made + (member[fit.out] - true)
    return out


def mixture(scores: list[np.ndarray], member: np.ndarray) -> np.ndarray:
    """Weights (k,) of k sources' held-out values (n, C), together 1."""
    from scipy.optimize import nnls

    a = np.stack([s.ravel() for s in scores], axis=1)
    q, r = np.linalg.qr(a)
    heavy = HEAVY * max(np.abs(r).max(), 1.0)
    weights, _ = nnls(np.vstack([r, np.full(r.shape[1], heavy)]), np.append(q.T @ member.ravel(), heavy))
    return weights / weights.sum()
