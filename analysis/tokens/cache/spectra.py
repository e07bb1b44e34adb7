"""Spectra of layers of a cache, alone and side by side, and what is left of them beyond a rank."""

from __future__ import annotations

import numpy as np

from analysis.tokens.cache.shared_subspaces import rank_alone


def spectra(layers: list[np.ndarray]) -> list[np.ndarray]:
    """Squared singular values of each layer (n, d), falling, and last of all side by side."""
    return [squares(x) for x in layers] + [squares(np.concatenate(layers, axis=1))]


def squares(x: np.ndarray) -> np.ndarray:
    """(min(n, d),) squared singular values of x (n, d), falling."""
    gram = x.T @ x if x.shape[1] <= x.shape[0] else x @ x.T
    return np.maximum(np.linalg.eigvalsh(gram)[::-1], 0.0)


def left(values: np.ndarray, rank: float) -> float:
    """√ of what is left of Σ σ² beyond a rank, on the line between whole ones."""
    whole, below = float(values.sum()), int(rank)
    if whole <= 0:
        return 0.0
    held = float(values[:below].sum()) + (rank - below) * float(values[below : below + 1].sum())
    return float(np.sqrt(max(1 - held / whole, 0.0)))


def at_numbers(found: list[np.ndarray], n: int, d: int, share: float) -> tuple[float, float]:
    """(left together, left each alone) where this share of n G d numbers is held."""
    *each, both = found
    rank = share * n * len(each) * d / (n + len(each) * d)
    sizes = np.array([v.sum() for v in each])
    alone = np.array([left(v, min(rank_alone(n, len(each), d, rank), len(v))) ** 2 for v in each])
    return left(both, min(rank, len(both))), float(np.sqrt(np.dot(alone, sizes) / max(sizes.sum(), 1e-300)))
