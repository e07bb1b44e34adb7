"""How alike are two maps of the same places?

rank correlation    Spearman's ρ with midranks; 0 where a map is the same everywhere, as it says nothing of any place
structure           SSIM of both maps stretched to [0, 1]: the mean over all square windows of
                    (2 m_a m_b + c1)(2 s_ab + c2) / ((m_a² + m_b² + c1)(s_a² + s_b² + c2))

Of independent maps ρ has mean 0 and variance 1 / (T - 1), exactly, where one of them has its T places in any order.

References: C. Spearman (1904); Z. Wang et al. (2004), "Image quality assessment: from error visibility to structural
similarity".
"""

from __future__ import annotations

import numpy as np

from analysis.compute.statistics.auroc import midranks

WINDOW, C1, C2 = 7, 0.01**2, 0.03**2
NORMAL = 1.959964


def unit_ranks(maps: np.ndarray) -> np.ndarray:
    """(k, T) midranks of each of k maps, centred, of length 1; zeros for a map that is the same everywhere."""
    ranks = midranks(np.asarray(maps, np.float64).T)[0].T
    ranks = ranks - ranks.mean(axis=1, keepdims=True)
    size = np.sqrt((ranks**2).sum(axis=1, keepdims=True))
    return ranks / np.where(size > 0, size, 1.0)


def rank_correlations(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(k,) of maps a and b (k, T)."""
    return (unit_ranks(a) * unit_ranks(b)).sum(axis=1)


def rank_correlation_table(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(k, l) of maps a (k, T) and b (l, T)."""
    return unit_ranks(a) @ unit_ranks(b).T


def chance_half(tokens: np.ndarray) -> float:
    """Half the 95 % band of the mean rank correlation of independent maps of so many `tokens` (n,)."""
    variance = 1.0 / np.maximum(np.asarray(tokens, np.float64) - 1.0, 1.0)
    return float(NORMAL * np.sqrt(variance.sum()) / len(variance))


def beside(maps: list, partner: np.ndarray) -> list:
    """Of each sample the maps of its partner (`analysis.compute.statistics.ring_pairs`)."""
    return [maps[j] for j in partner]


def same_length(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both (k, T) up to the end of the shorter one."""
    tokens = min(a.shape[-1], b.shape[-1])
    return a[..., :tokens], b[..., :tokens]


def structure(a: np.ndarray, b: np.ndarray, grid: tuple[int, int] | None) -> float:
    """Structural similarity of two maps (T,) on a grid, or along a line; the window is at most 7 places wide."""
    shape = grid if grid is not None and grid[0] * grid[1] == len(a) else (1, len(a))
    window = tuple(min(WINDOW, side) for side in shape)
    views = [
        np.lib.stride_tricks.sliding_window_view(_stretched(m).reshape(shape), window).reshape(-1, np.prod(window))
        for m in (a, b)
    ]  # fmt: skip
    (ma, mb), n = (v.mean(axis=1) for v in views), views[0].shape[1]
    da, db = (v - m[:, None] for v, m in zip(views, (ma, mb), strict=True))
    va, vb, both = ((x * y).sum(axis=1) / max(n - 1, 1) for x, y in ((da, da), (db, db), (da, db)))
    likeness = (2 * ma * mb + C1) * (2 * both + C2) / ((ma**2 + mb**2 + C1) * (va + vb + C2))
    return float(likeness.mean())


def _stretched(values: np.ndarray) -> np.ndarray:
    low, high = float(values.min()), float(values.max())
    return (values - low) / (high - low) if high > low else np.zeros(len(values))
