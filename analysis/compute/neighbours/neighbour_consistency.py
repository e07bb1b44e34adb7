"""What clusters of neighbours can reach: how often neighbours share a class, and two terms that judge an assignment.

*Purity*: the share of a point's k nearest neighbours with its own class. *Consistency* of soft assignments p (n, C):
- mean over points and their neighbours of log <p_i, p_j>, 0 where all neighbours agree fully. *Entropy* of the mean
assignment: log C where all clusters are used alike, 0 where all is one cluster, which is what forbids that collapse.

Reference: W. Van Gansbeke, S. Vandenhende, S. Georgoulis, M. Proesmans & L. Van Gool (2020), "SCAN: Learning to
classify images without labels".
"""

from __future__ import annotations

import numpy as np

from analysis.compute.rows.metric_space import squared_distances

SMALLEST = 1e-12  # of <p_i, p_j>: disagreement costs at most 27.6 nats


def purity(of: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """(n, k) mean purity over the first 1 … k neighbours of each point. `of` (n,) classes, `indices` (n, k)."""
    same = of[indices] == of[:, None]
    return np.cumsum(same, axis=1) / np.arange(1, indices.shape[1] + 1)


def chance_purity(of: np.ndarray) -> float:
    """Expected share of other points with the same class: Σ n_c (n_c - 1) / (n (n - 1))."""
    counts, n = np.bincount(of).astype(float), len(of)
    return float((counts * (counts - 1)).sum() / max(n * (n - 1), 1))


def soft_assignment(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """(n, C) posterior of equal round Gaussians at the centres, with the variance that fits the points best."""
    square = squared_distances(points, centres)
    variance = max(float(square.min(axis=1).mean()) / points.shape[1], 1e-300)
    logits = -(square - square.min(axis=1, keepdims=True)) / (2 * variance)
    p = np.exp(np.maximum(logits, -700))
    return p / p.sum(axis=1, keepdims=True)


def consistency(p: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """(n,) mean over its neighbours of -log <p_i, p_j>."""
    agree = np.stack([np.einsum("ij,ij->i", p, p[column]) for column in indices.T], axis=1)
    return np.abs(np.log(np.clip(agree, SMALLEST, 1.0))).mean(axis=1)


def mean_entropy(p: np.ndarray) -> float:
    """Entropy in nats of the mean assignment."""
    mean = p.mean(axis=0)
    mean = mean[mean > 0]
    return float(abs((mean * np.log(mean)).sum()))
