"""One direction for two groups of samples: that which separates them best, by three rules, and that which both share.

On standardised units, with means μ_1, μ_2 of the groups, W the covariance within them and S the total one, shrunk:

    mean difference   μ_1 - μ_2
    Fisher            S⁻¹ (μ_1 - μ_2), the largest generalised eigenvector of between over within
    sparse logistic   the weights of a logistic regression with an l1 penalty: few units
    shared            max wᵀW w over wᵀ(μ_1 - μ_2) = 0: of the d - 1 directions of smallest generalised eigenvalue, 0,
                      that along which both groups vary most

All are functions of the labels given, so that each can be made again under exchanged labels.
"""

from __future__ import annotations

import numpy as np

from analysis.compute.groups.gated_pair import Pair
from analysis.compute.groups.group_tests import rules
from analysis.compute.groups.sparse_logistic import chosen_penalty, largest_penalty, sparse_weights

NAMES = ("mean difference", "Fisher", "sparse logistic", "shared")


def pair_axes(pair: Pair, first: np.ndarray) -> np.ndarray:
    """(4, d) unit directions of `NAMES` for the labels `first` (e,) bool, made on the half that chooses, towards the
    first group; 0 for units that do not vary there, and all 0 where a rule finds none. O(n d min(n, d)) and sparse
    fits."""
    mine, _ = pair.sides(first)
    x, out = pair.fit[:, pair.varies], np.zeros((len(NAMES), len(pair.varies)))
    apart = x[mine].mean(axis=0) - x[~mine].mean(axis=0)
    found = np.zeros((len(NAMES), x.shape[1]))
    found[0] = apart
    found[1] = pair.whole.vectors @ rules(pair.whole, mine[None])[0][0]
    penalty = chosen_penalty(x, mine, pair.fold[pair.fold >= 0])
    if penalty < largest_penalty(x, mine):
        found[2] = sparse_weights(x, mine, penalty)[0]
    found[3] = shared_axis(x, mine, apart)
    length = np.linalg.norm(found, axis=1, keepdims=True)
    out[:, pair.varies] = np.divide(found, length, out=np.zeros_like(found), where=length > 1e-12)
    return out


def shared_axis(x: np.ndarray, mine: np.ndarray, apart: np.ndarray) -> np.ndarray:
    """(d,) direction of the largest spread within the groups of `x` (n, d), at right angles to `apart` (d,); its
    largest weight is positive. 0 where nothing is left. O(n d min(n, d))."""
    rest = np.where(mine[:, None], x - x[mine].mean(axis=0), x - x[~mine].mean(axis=0))
    square = float(apart @ apart)
    if square > 0:
        rest = rest - np.outer(rest @ apart / square, apart)
    n, d = rest.shape
    if n < d:
        values, left = np.linalg.eigh(rest @ rest.T)
        axis = rest.T @ left[:, -1]
    else:
        values, vectors = np.linalg.eigh(rest.T @ rest)
        axis = vectors[:, -1]
    if values[-1] <= 1e-12 * max(float((x**2).sum()), 1e-300):
        return np.zeros(d)
    return axis * np.sign(axis[np.abs(axis).argmax()])
