"""What a mixing matrix is like: how far it reaches, whether it knows places only, how much state it needs.

    half-life    distance within which half of the mass |M| lies, of the mean |M| at each distance d,
                 ln-linear between distances: ln 2 / -ln a of a^d. Uniform mixing: half of the distances.
    Toeplitz     share of the variance of the entries that their offset tells (analysis of variance), t - s along a
                 line, (rows, columns) apart on a grid; 1 of any convolution. Tokens that lie nowhere are left out. By
                 chance (entries exchanged): exactly (offsets - 1) / (entries - 1).
    semiseparable rank    largest numerical rank of the blocks M[t:, :t]; at most the state of a scan. Of unrelated
                 entries: T / 2.
    distance     Σ |M| d / Σ |M| on the grid.

A causal matrix has only its entries with s <= t.
"""

from __future__ import annotations

import numpy as np

TINY = 1e-300


def is_causal(matrix: np.ndarray) -> bool:
    """Whether nothing is read from later tokens."""
    return matrix.shape[0] == matrix.shape[1] and len(matrix) > 1 and not np.triu(matrix, 1).any()


def profile(matrix: np.ndarray) -> np.ndarray:
    """(T,) mean |M| of the pairs at each distance |t - s| that may be read."""
    size, t = np.abs(matrix), len(matrix)
    below = np.array([np.trace(size, -lag) for lag in range(t)])
    above = np.array([np.trace(size, lag) for lag in range(t)])
    pairs = t - np.arange(t)
    if is_causal(matrix):
        return below / pairs
    return np.where(np.arange(t) == 0, below / pairs, (below + above) / (2 * pairs))


def half_life(matrix: np.ndarray) -> float:
    """Tokens; NaN of a matrix of zeros."""
    return half_of(profile(matrix))


def half_of(sizes: np.ndarray) -> float:
    """Where half of the sum of `sizes` (T,) >= 0 over distances 0, 1, … lies below, interpolated in the logarithm of
    what is left."""
    total = sizes.sum()
    if not total > 0:
        return float("nan")
    left = np.append(1.0, 1 - np.cumsum(sizes) / total)
    at = int(np.flatnonzero(left <= 0.5 + 1e-15)[0])
    high, low = left[at - 1], max(left[at], 1e-12)
    return at - 1 + float(np.log(high / 0.5) / np.log(high / low))


def uniform_half_life(tokens: int) -> float:
    """Of a matrix that reads all places alike."""
    return half_of(np.ones(tokens))


def toeplitz_score(
    matrix: np.ndarray, cells: np.ndarray | None = None, columns: int = 0
) -> tuple[float, float]:
    """(score, what exchanged entries give on average); (1, 1) of a constant matrix. `cells` (T,) of the tokens on a
    grid with so many columns, -1 where a token lies nowhere; without them tokens lie on a line."""
    t, s = np.indices(matrix.shape)
    there, offset = s <= t if is_causal(matrix) else np.ones(matrix.shape, bool), t - s
    if cells is not None:
        i, j = np.divmod(cells, columns)
        offset = (i[:, None] - i[None]) * (2 * columns) + j[:, None] - j[None]
        there = there & (cells >= 0)[:, None] & (cells >= 0)[None]
    if there.sum() < 2:
        return 1.0, 1.0
    values, of = matrix[there], offset[there] - offset[there].min()
    counts = np.bincount(of)
    used = counts > 0
    middle = values - values.mean()
    whole = float((middle**2).sum())
    chance = float((used.sum() - 1) / max(len(values) - 1, 1))
    if whole <= 1e-24 * max(float((values**2).sum()), TINY):
        return 1.0, 1.0
    told = np.bincount(of, middle)[used] ** 2 / counts[used]
    return float(min(told.sum() / whole, 1.0)), chance


def semiseparable_rank(matrix: np.ndarray, tolerance: float = 1e-6, splits: int = 16) -> int:
    """Largest rank of M[t:, :t] over some t, counting singular values above `tolerance` of the largest of all."""
    t = len(matrix)
    at = np.unique(np.linspace(1, t - 1, min(splits, max(t - 1, 1))).round().astype(int)) if t > 1 else []
    scale = np.abs(matrix).max() if matrix.size else 0.0
    if not scale > 0:
        return 0
    values = [np.linalg.svd(matrix[k:, :k], compute_uv=False) for k in (*at, t // 2) if 0 < k < t]
    top = max(float(v[0]) for v in values)
    return max(int((v > tolerance * max(top, scale * 1e-12)).sum()) for v in values)


def effective_rank(matrix: np.ndarray) -> float:
    """exp of the entropy of the squared singular values' shares."""
    values = np.linalg.svd(matrix, compute_uv=False) ** 2
    share = values / max(values.sum(), TINY)
    share = share[share > 0]
    return float(np.exp(-(share * np.log(share)).sum()))


def grid_distances(cells: np.ndarray, columns: int) -> np.ndarray:
    """(T, T) Euclidean distance between cells (T,) on a grid with so many columns; NaN where one lies nowhere."""
    i, j = np.divmod(np.where(cells < 0, 0, cells), columns)
    far = np.hypot(i[:, None] - i[None], j[:, None] - j[None]).astype(np.float64)
    far[(cells < 0)[:, None] | (cells < 0)[None]] = np.nan
    return far


def mean_distance(matrix: np.ndarray, distance: np.ndarray) -> tuple[float, float]:
    """(distance of the mass, that of uniform mixing over the same places)."""
    there = np.isfinite(distance) & (np.tril(np.ones(matrix.shape, bool)) if is_causal(matrix) else True)
    size = np.abs(matrix[there])
    if not size.sum() > 0:
        return float("nan"), float(distance[there].mean())
    return float((size * distance[there]).sum() / size.sum()), float(distance[there].mean())


def row_faults(matrix: np.ndarray) -> tuple[float, float]:
    """(largest |row sum - 1|, share of the mass that is negative): rollout takes neither."""
    mass = np.abs(matrix).sum()
    negative = -np.minimum(matrix, 0).sum()
    return float(np.abs(matrix.sum(axis=1) - 1).max()), float(negative / max(mass, TINY))
