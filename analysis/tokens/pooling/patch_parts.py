"""What pictures of features of different fineness share, and what the fine ones have beyond the coarse."""

from __future__ import annotations

import numpy as np

from analysis.tokens.pooling.patch_pictures import averaging, repeated


def common_maps(values, grids, target: tuple[int, int]) -> list[np.ndarray]:
    """Of each tap (n, h w) the part along one common component, of mean 0 and deviation 1: the leading component of all
    taps averaged to the grid `target`, each of total variance 1, side by side. O(rows Σ d²)."""
    coarse, centred = [], []
    for x, grid in zip(values, grids, strict=True):
        mean = x.mean(axis=(0, 1))
        centred.append(x - mean)
        rows = (averaging(grid, target) @ centred[-1]).reshape(-1, x.shape[2])
        coarse.append(rows / max(float(np.sqrt(np.square(rows).sum())), 1e-300))
    side = np.concatenate(coarse, axis=1)
    _, vectors = np.linalg.eigh(side.T @ side)
    top, out, start = vectors[:, -1], [], 0
    for x in centred:
        along = x @ top[start : start + x.shape[2]]
        start += x.shape[2]
        spread = float(along.std())
        out.append((along - along.mean()) / (spread if spread > 1e-12 else 1.0))
    return out


def gram(x: np.ndarray) -> np.ndarray:
    """(n, n) products of pictures x (n, cells, d), every place less its mean over samples."""
    flat = (x - x.mean(axis=0)).reshape(len(x), -1)
    return flat @ flat.T


def cka(a: np.ndarray, b: np.ndarray) -> float:
    """Unbiased linear CKA (Song et al. 2012; Kornblith et al. 2019) of two Gram matrices (n, n), n > 3: 0 on average
    where they have nothing to do with each other."""

    def hsic(k, m):
        n = len(k)
        one, two = k.sum(), m.sum()
        return np.sum(k * m) + one * two / ((n - 1) * (n - 2)) - 2 * k.sum(axis=0) @ m.sum(axis=0) / (n - 2)

    a, b = a - np.diag(np.diag(a)), b - np.diag(np.diag(b))
    own = hsic(a, a) * hsic(b, b)
    return float(hsic(a, b) / np.sqrt(own)) if own > 0 else 0.0


def sharpness(x: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """(n,) mean squared difference of neighbours over twice the variance inside the picture, of x (n, h w, d): 1 where
    cells lie in random order (h w / (h w - 1) of few), 0 where the picture is flat."""
    n, d = len(x), x.shape[2]
    picture = x.reshape(n, *grid, d)
    moves = [np.square(np.diff(picture, axis=a)) for a in (1, 2) if picture.shape[a] > 1]
    total = sum(m.sum(axis=(1, 2, 3)) for m in moves) / max(sum(m.shape[1] * m.shape[2] for m in moves), 1)
    spread = 2 * np.square(x - x.mean(axis=1, keepdims=True)).mean(axis=1).sum(axis=1)
    return np.where(spread > 1e-20, total / np.where(spread > 1e-20, spread, 1), 0.0)


def detail(x: np.ndarray, grid: tuple[int, int], target: tuple[int, int]) -> np.ndarray:
    """(n,) share of the variance inside a picture that averaging to `target` loses."""
    mean = averaging(grid, target) @ x
    back = mean[:, repeated(target, grid)]
    whole = np.square(x - x.mean(axis=1, keepdims=True)).sum(axis=(1, 2))
    left = np.square(x - back).sum(axis=(1, 2))
    return np.where(whole > 1e-20, np.minimum(left / np.where(whole > 1e-20, whole, 1), 1.0), 0.0)
