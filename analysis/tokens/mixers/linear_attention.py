"""Attention without softmax, and attention made of smaller ones, as T x T matrices.

    softmax    exp(q·k / √d), rows to the sum 1
    linear     φ(q)·φ(k) with φ(x) = elu(x) + 1, rows to the sum 1: rank <= d
    Gaussian   exp(-|q - k|² / 2), rows as they are
    Fourier    Σ_m α_m cos(m z) + β_m sin(m z) of logits z, learned in the place of exp: rows may sum to
               anything and be negative

Nyström with m landmarks: K(q, c) K(c, c)⁺ K(c, k), exact where m reaches the rank. Axial: rows of a grid, then columns;
the product of two row-stochastic matrices is row-stochastic and reaches every cell. Kronecker: space ⊗ spectrum.

References: A. Katharopoulos et al. (2020); J. Lu et al. (2021), "SOFT: softmax-free transformer with linear
complexity"; J. Ho et al. (2019), "Axial attention in multidimensional transformers".
"""

from __future__ import annotations

import numpy as np

from analysis.errors import InputError, ShapeError

SOFTMAX, LINEAR, GAUSSIAN = "softmax attention", "linear attention", "Gaussian kernel"
KERNELS = (SOFTMAX, LINEAR, GAUSSIAN)


def attention_of(q: np.ndarray, k: np.ndarray, kind: str, causal: bool = False) -> np.ndarray:
    """(…, T, S) of queries (…, T, d) and keys (…, S, d)."""
    there = np.tril(np.ones((q.shape[-2], k.shape[-2]), bool)) if causal else True
    weights = np.where(
        there, _weights(np.asarray(q, np.float64), np.asarray(k, np.float64), kind, there), 0.0
    )
    if kind == GAUSSIAN:
        return weights
    return weights / np.maximum(weights.sum(axis=-1, keepdims=True), 1e-300)


def _weights(q, k, kind: str, there) -> np.ndarray:
    if kind == LINEAR:
        return feature(q) @ np.swapaxes(feature(k), -1, -2)
    if kind == GAUSSIAN:
        return gaussian(q, k)
    logits = np.where(there, q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1]), -np.inf)
    return np.exp(logits - logits.max(axis=-1, keepdims=True))


def feature(x: np.ndarray) -> np.ndarray:
    """elu(x) + 1, above 0."""
    return np.where(x > 0, x + 1, np.exp(np.minimum(x, 0)))


def gaussian(q: np.ndarray, k: np.ndarray) -> np.ndarray:
    """exp(-|q - k|² / 2)."""
    square = (q**2).sum(-1)[..., :, None] + (k**2).sum(-1)[..., None, :] - 2 * q @ np.swapaxes(k, -1, -2)
    return np.exp(-np.maximum(square, 0) / 2)


def fourier_attention(logits: np.ndarray, cosines: np.ndarray, sines: np.ndarray) -> np.ndarray:
    """(T, S) φ(z) = Σ_m α_m cos(m z) + β_m sin(m z), m from 0, of logits (T, S); not normalised."""
    m = np.arange(len(cosines))
    return np.cos(logits[..., None] * m) @ cosines + np.sin(logits[..., None] * m) @ sines


def nystroem_error(kernel: np.ndarray, landmarks: np.ndarray) -> float:
    """|K - K[:, c] K[c, c]⁺ K[c, :]| / |K| of a square kernel, Frobenius."""
    core = np.linalg.pinv(kernel[np.ix_(landmarks, landmarks)], rcond=1e-10)
    less = kernel - kernel[:, landmarks] @ core @ kernel[landmarks]
    return float(np.linalg.norm(less) / max(np.linalg.norm(kernel), 1e-300))


def landmark_error(matrix: np.ndarray, landmarks: np.ndarray) -> float:
    """|M - C C⁺ M R⁺ R| / |M|: what is left by the columns C and rows R of the landmarks with the best core between
    them, 0 to 1; of a matrix that is not positive Nyström's own core may be beyond all bounds."""
    columns, rows = _span(matrix[:, landmarks]), _span(matrix[landmarks].T)
    less = matrix - columns @ (columns.T @ matrix @ rows) @ rows.T
    return float(np.linalg.norm(less) / max(np.linalg.norm(matrix), 1e-300))


def _span(columns: np.ndarray) -> np.ndarray:
    """Orthonormal basis of what columns span; those that are alike count once."""
    left, size, _ = np.linalg.svd(columns, full_matrices=False)
    return left[:, size > 1e-10 * max(float(size[0]), 1e-300)] if size.size else left


def newton_schulz(a: np.ndarray, rounds: int, start: np.ndarray | None = None) -> np.ndarray:
    """The inverse of a by X <- X (2 - A X), from Aᵀ / (|A|_1 |A|_inf) or `start`.

    Raises InputError where ‖I - A X₀‖₂ >= 1: the rounds would not converge.
    """
    x = a.T / (np.abs(a).sum(axis=0).max() * np.abs(a).sum(axis=1).max()) if start is None else start
    eye = np.eye(len(a))
    far = np.linalg.norm(eye - a @ x, 2)
    if far >= 1:
        raise InputError(f"a start with ‖I - A X₀‖ = {far:.3g}", "below 1, or the rounds do not converge")
    for _ in range(rounds):
        x = x @ (2 * eye - a @ x)
    return x


def axial(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """(HW, HW) two-hop map: attention inside each row of the grid `rows` (H, W, W), then inside each column
    `columns` (W, H, H). Raises ShapeError."""
    h, w = rows.shape[:2]
    if rows.shape != (h, w, w) or columns.shape != (w, h, h):
        raise ShapeError(
            f"attention of rows {rows.shape} and columns {columns.shape}", "(H, W, W), (W, H, H)"
        )
    # cell (i, j) reads (k, j) of its column, which has read (k, l) of its row
    return np.einsum("jik,kjl->ijkl", columns, rows).reshape(h * w, h * w)


def strip_cells(grid: tuple[int, int], keys: tuple[int, int]) -> np.ndarray:
    """(HW,) the reduced key, row-major on the grid `keys`, that covers each cell: keys tile the image.

    Raises ShapeError where they do not divide it.
    """
    if grid[0] % keys[0] or grid[1] % keys[1]:
        raise ShapeError(f"keys on {keys} over a grid of {grid}", "sides that divide those of the grid")
    i, j = np.divmod(np.arange(grid[0] * grid[1]), grid[1])
    return i // (grid[0] // keys[0]) * keys[1] + j // (grid[1] // keys[1])


def squared(attention: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """(T, HW) of non-square attention (T, S) over reduced keys: what a key gets is shared by the cells it covers."""
    size = np.bincount(cells, minlength=attention.shape[1])
    if attention.shape[1] != len(size) or (size == 0).any():
        raise ShapeError(f"{attention.shape[1]} keys over cells of {len(size)}", "every key covers a cell")
    return attention[:, cells] / size[cells]
