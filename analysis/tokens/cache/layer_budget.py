"""Which tokens of a cache stay, layer by layer, when all layers together may keep so many.

A token matters by the attention it receives; its mass is that over the sum of its layer. Tokens of a layer, the most
first, have a rising sum C_l(k), the Lorenz curve turned round. One threshold for all layers,

    k_l(τ) = min { k : C_l(k) ≥ τ },     τ the largest with Σ k_l(τ) ≤ budget,

makes the least mass that any layer retains as large as it can be (max-min fair). Uniform gives each layer as many,
greedy takes the largest masses wherever they are (the most in all), the pyramid falls linearly with depth.
"""

from __future__ import annotations

import numpy as np

THRESHOLD, UNIFORM, GREEDY, PYRAMID = "one threshold", "uniform", "greedy", "pyramid"
WAYS = (THRESHOLD, UNIFORM, GREEDY, PYRAMID)
ROUNDING = 1e-14  # of sums of shares
NARROWEST = 0.25  # of the mean budget: what the last layer of a pyramid keeps


def received(attention: np.ndarray, causal: bool, fair: bool) -> np.ndarray:
    """(..., t) attention that each token receives, from weights (..., t, t) whose rows are the readers, summed over
    readers; with `fair` divided by how many tokens could read it, of which causal attention gives the first ones most.
    """
    t = attention.shape[-1]
    total = attention.sum(axis=-2)
    return total / (t - np.arange(t) if causal else t) if fair else total


def masses(importance: np.ndarray) -> np.ndarray:
    """(L, t) shares of each layer's sum; equal ones where there is none."""
    total = importance.sum(axis=1, keepdims=True)
    return np.where(total > 0, importance / np.where(total > 0, total, 1), 1 / importance.shape[1])


def order_of(mass: np.ndarray, sinks: int = 0, recent: int = 0) -> np.ndarray:
    """(L, t) tokens in the order in which they are kept: the first `sinks` and the last `recent`, then the largest
    mass, the earlier of equals."""
    t = mass.shape[1]
    held = np.zeros(t, bool)
    held[:sinks] = True
    held[t - min(recent, t) :] = True
    return np.argsort(np.where(held, -2.0, -mass), axis=1, kind="stable")


def retained(mass: np.ndarray, order: np.ndarray) -> np.ndarray:
    """(L, t + 1) mass that is kept with the first k of the order, from 0 to 1."""
    rising = np.cumsum(np.take_along_axis(mass, order, axis=1), axis=1)
    rising[:, -1] = 1.0
    return np.concatenate([np.zeros((len(mass), 1)), np.minimum(rising, 1.0)], axis=1)


def allotted(way: str, curves: np.ndarray, budget: int, least: int = 1) -> np.ndarray:
    """(L,) tokens that each layer keeps, at least `least`, together at most `budget` (more only where `least` of each
    layer is), from `retained` (L, t + 1)."""
    layers, t = curves.shape[0], curves.shape[1] - 1
    least = min(least, t)
    budget = int(np.clip(budget, layers * least, layers * t))
    if way == THRESHOLD:
        return _one_threshold(curves, budget, least)
    if way == GREEDY:
        return _greedy(curves, budget, least)
    width = np.ones(layers)
    if way == PYRAMID and layers > 1:
        width = np.linspace(2 - NARROWEST, NARROWEST, layers)
    return _whole(width, budget, least, t)


def _one_threshold(curves: np.ndarray, budget: int, least: int) -> np.ndarray:
    def counts(tau):
        return np.maximum([np.searchsorted(c, tau - 1e-12) for c in curves], least)

    levels = np.unique(curves)  # k changes at these alone
    low, high = 0, len(levels) - 1
    while low < high:
        middle = (low + high + 1) // 2
        if counts(levels[middle]).sum() <= budget:
            low = middle
        else:
            high = middle - 1
    return counts(levels[low])


def _greedy(curves: np.ndarray, budget: int, least: int) -> np.ndarray:
    """The largest next masses, of equal ones the layers in turn; behind protected tokens masses fall, so that taking
    them one by one is exact."""
    layers = len(curves)
    gains = np.diff(curves, axis=1)[:, least:]
    kept = np.full(layers, least)
    turn = np.broadcast_to(np.arange(gains.shape[1]), gains.shape)
    order = np.lexsort((turn.ravel(), -gains.round(12).ravel()))[: budget - layers * least]
    np.add.at(kept, order // max(gains.shape[1], 1), 1)
    return kept


def _whole(width: np.ndarray, budget: int, least: int, most: int) -> np.ndarray:
    """Whole numbers in the proportions `width` (L,), between `least` and `most`, with the sum `budget`."""
    low, high = 0.0, most / float(width.min())
    for _ in range(60):  # the scale at which what is cut off at both ends is made up for
        middle = (low + high) / 2
        low, high = (middle, high) if np.clip(width * middle, least, most).sum() < budget else (low, middle)
    exact = np.clip(width * high, least, most)
    kept = np.floor(exact + 1e-9).astype(int)
    room = np.flatnonzero(kept < most)
    first = room[np.argsort(-(exact - kept)[room], kind="stable")]
    kept[first[: max(budget - int(kept.sum()), 0)]] += 1
    return kept


def kept_mass(curves: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(L,) mass that each layer retains."""
    return curves[np.arange(len(curves)), counts]


def gini(mass: np.ndarray) -> np.ndarray:
    """(L,) Gini coefficient of the masses (L, t): 0 where all are equal, 1 - 1/t where one has all."""
    t = mass.shape[1]
    rising = np.sort(mass, axis=1)
    total = rising.sum(axis=1)
    found = (2 * np.arange(1, t + 1) - t - 1) @ rising.T / (t * np.where(total > 0, total, 1))
    return np.where(found > ROUNDING, found, 0.0)
