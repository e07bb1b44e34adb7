"""How much a layer matters, from its own input, output or weights: which layers to hold at fewer bits first.

LIM = - mean cos(input, output)         -1 where the layer changes nothing; more is more important
ZD  = share of its weights with z > 1   0.1587 of Gaussian ones; less is more important
"""

from __future__ import annotations

import numpy as np

GAUSSIAN_ZD = 0.15865525393145707  # the share above one standard deviation


def lim(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """(n,) - cosine between rows (n, d) before and after a layer; 0 of rows of zeros."""
    lengths = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    return -(before * after).sum(axis=1) / np.where(lengths > 0, lengths, 1)


def zd(weights: np.ndarray) -> float:
    """Share of the numbers that are more than one standard deviation above their mean."""
    w = np.asarray(weights, np.float64).ravel()
    spread = w.std()
    return float((w - w.mean() > spread).mean()) if spread > 0 else 0.0


def first_dropped(importance: np.ndarray) -> np.ndarray:
    """(L,) layers in the order in which they go to fewer bits: the least important first."""
    return np.argsort(importance, kind="stable")


def mean_bits(bits: np.ndarray, sizes: np.ndarray) -> float:
    """Σ b_l n_l / Σ n_l."""
    return float(np.dot(bits, sizes) / np.sum(sizes))
