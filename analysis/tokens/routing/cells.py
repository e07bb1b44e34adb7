"""Cells of a router: the parts of its input space that go to one expert, as a plane shows them."""

from __future__ import annotations

import numpy as np

BLOCK = 256


def plane_of(x: np.ndarray) -> tuple[np.ndarray, float]:
    """((n, 2) places on the first two principal axes, share of the variance that lies in their plane). O(n d²)."""
    x = x - x.mean(axis=0)
    values, vectors = np.linalg.eigh(x.T @ x)
    axes = vectors[:, ::-1][:, :2]
    signs = np.sign(axes[np.abs(axes).argmax(axis=0), range(axes.shape[1])])
    places = x @ (axes * np.where(signs == 0, 1.0, signs))
    whole = float(np.maximum(values, 0).sum())
    share = float(np.maximum(values[::-1][:2], 0).sum()) / whole if whole > 0 else 0.0
    return np.pad(places, ((0, 0), (0, 2 - places.shape[1]))), min(share, 1.0)


def nearest_elsewhere(x: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """(n,) the nearest row of x (n, d) that belongs to another sample (n,); of equally near ones the first. O(n² d),
    memory O(n)."""
    x = x - x.mean(axis=0)
    square, out = np.einsum("ij,ij->i", x, x), np.empty(len(x), int)
    for start in range(0, len(x), BLOCK):
        part = slice(start, min(start + BLOCK, len(x)))
        far = square - 2.0 * (x[part] @ x.T)
        far[samples[part][:, None] == samples] = np.inf
        out[part] = far.argmin(axis=1)
    return out


def margins(logits: np.ndarray, k: int) -> np.ndarray:
    """(n,) by how much the logit of the k-th expert exceeds that of the first left out; 0 on the border of a cell."""
    if k >= logits.shape[1]:
        return np.zeros(len(logits))
    ordered = -np.sort(-logits, axis=1)
    return ordered[:, k - 1] - ordered[:, k]
