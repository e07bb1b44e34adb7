"""Coefficients of a multinomial logistic regression with their covariance: which predictors tell classes apart.

Coefficients are centred over the classes, so that none is the reference. Covariance: the inverse of the information at
the maximum, with the ridge in it (Wald). p of a predictor by the likelihood ratio of a fit without it, χ² with C - 1
degrees of freedom: Wald's own test fails where classes are told almost without error, since errors then grow faster
than coefficients (Hauck & Donner 1977).

References: A. Agresti (2013), "Categorical data analysis"; W. Hauck & A. Donner (1977).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc

from analysis.compute.linear.softmax_regression import Softmax, constant_loss, softmax_fit
from analysis.compute.statistics.multiple_testing import simultaneous_z


@dataclass(frozen=True)
class Coefficients:
    """`values`, `errors` (m, C) and `p` (m,) of m predictors, `p_alone` (m,) without the others, with the mean log
    `loss` of the fit; `half` is at the level at which the intervals of all C classes of a predictor hold together
    (Šidák)."""

    values: np.ndarray
    errors: np.ndarray
    p: np.ndarray
    p_alone: np.ndarray
    loss: float

    @property
    def half(self) -> np.ndarray:
        c = self.values.shape[1]
        return simultaneous_z(1 if c == 2 else c) * self.errors  # two classes are one contrast


def softmax_coefficients(x: np.ndarray, of: np.ndarray, classes: int, penalty: float = 1e-5) -> Coefficients:
    """Of the predictors `x` (n, m), best standardised. O(n m² C²) and m fits, memory O(m² C²)."""
    n, m = x.shape
    found = softmax_fit(x, of, classes, penalty, steps=1000)
    z = x @ found.weights + found.intercept
    share = np.exp(z - z.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    design, k = np.hstack([x, np.ones((n, 1))]), classes - 1
    information = np.empty((k, m + 1, k, m + 1))
    for a in range(k):
        for b in range(k):
            weight = share[:, a] * ((a == b) - share[:, b])
            information[a, :, b] = design.T @ (weight[:, None] * design)
    ridge = np.tile(np.append(np.full(m, n * penalty), 0.0), k)
    flat = information.reshape(k * (m + 1), k * (m + 1))
    covariance = np.linalg.pinv(flat + np.diag(ridge), hermitian=True).reshape(k, m + 1, k, m + 1)
    centring = np.vstack([np.eye(k), np.zeros((1, k))]) - 1 / classes  # from differences to the last class
    values = found.weights - found.weights.mean(axis=1, keepdims=True)
    errors, p = np.empty((m, classes)), np.empty(m)
    for j in range(m):
        own = covariance[:, j, :, j]
        errors[j] = np.sqrt(np.maximum(np.diag(centring @ own @ centring.T), 0.0))
        rest = np.delete(np.arange(m), j)
        without = softmax_fit(x[:, rest], of, classes, penalty, _without(found, rest), steps=1000)
        p[j] = chdtrc(k, max(2 * n * (without.loss - found.loss), 0.0))
    one = [softmax_fit(x[:, [j]], of, classes, penalty, steps=1000).loss for j in range(m)]
    gained = np.maximum(2 * n * (constant_loss(of, classes) - np.array(one)), 0.0)
    return Coefficients(values, errors, p, chdtrc(k, gained), found.loss)


def _without(found: Softmax, rest: np.ndarray) -> Softmax:
    return Softmax(found.weights[rest], found.intercept, 0.0)
