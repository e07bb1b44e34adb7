"""A residual stream unrolled: what of its last state comes from the first one, and from what each block wrote.

With shortcut weights α, block l writes w_l = x_l - α_l x_{l-1}, and x_L = Πα x_0 + Σ_l (Π_{j > l} α_j) w_l exactly.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.compute.linear.spectra import entropy_rank


def decaying(last: float, blocks: int) -> np.ndarray:
    """(blocks,) shortcut weights that fall linearly with depth, from 1 before the first to `last` at the last block."""
    return 1.0 - (1.0 - last) * np.arange(1, blocks + 1) / blocks


def unrolled(states: Sequence[np.ndarray], alphas: np.ndarray) -> list[np.ndarray]:
    """(n, d) what of the last state comes from the first, then from the write of each block; they sum to it."""
    after = np.append(np.cumprod(alphas[::-1])[::-1], 1.0)
    writes = [x - a * before for x, a, before in zip(states[1:], alphas, states[:-1], strict=True)]
    return [after[0] * states[0], *(c * w for c, w in zip(after[1:], writes, strict=True))]


def unit_rows(x: np.ndarray) -> np.ndarray:
    """(n, d) rows of length 1."""
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def paired_product(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, float]:
    """(n,) inner product of each sample's two rows, and the exact mean over all pairs of different samples."""
    own, n = np.einsum("ij,ij->i", a, b), len(a)
    return own, float((a.sum(axis=0) @ b.sum(axis=0) - own.sum()) / (n * (n - 1)))


def rank_share(x: np.ndarray) -> float:
    """exp entropy of the covariance's eigenvalues over the number of units; 0 where samples do not differ."""
    centred = x - x.mean(axis=0)
    scale = np.abs(centred).max()
    if not scale > 1e-13 * np.abs(x).max():
        return 0.0
    centred = centred / scale
    gram = centred.T @ centred if x.shape[0] >= x.shape[1] else centred @ centred.T
    return entropy_rank(np.linalg.eigvalsh(gram)) / x.shape[1]
