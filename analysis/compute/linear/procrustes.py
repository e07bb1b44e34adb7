"""Turning one cloud onto another: the exact orthogonal Procrustes solution and what it leaves over."""

from __future__ import annotations

import numpy as np


def rotation_onto(moving: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """The orthogonal matrix R (q, q), reflections included, with the least |moving R - fixed|²: with the
    singular value decomposition movingᵀ fixed = U S Vᵀ, R = U Vᵀ (Schönemann 1966). Both (n, q), centred. O(n q²).
    """
    u, _, vt = np.linalg.svd(moving.T @ fixed)
    return u @ vt


def residual_share(moving: np.ndarray, fixed: np.ndarray) -> float:
    """|moving - fixed|² over |moving|² + |fixed|²: 0 when equal, about 1 when unrelated. Both (n, q), centred."""
    whole = float((moving**2).sum() + (fixed**2).sum())
    return float(((moving - fixed) ** 2).sum()) / whole if whole else 0.0


def best_residual(moving: np.ndarray, fixed: np.ndarray) -> float:
    """`residual_share` after the best rotation, from the singular values alone: 1 - 2 Σ s / (|a|² + |b|²)."""
    whole = float((moving**2).sum() + (fixed**2).sum())
    return 1 - 2 * float(np.linalg.svd(moving.T @ fixed, compute_uv=False).sum()) / whole if whole else 0.0
