"""Keys of several layers in one subspace: X_1 … X_G (n tokens, d) side by side, cut to rank r.

    [X_1 … X_G] ≈ U B,   U (n, r) the same for all layers,   B (r, G d)

holds r (n + G d) numbers instead of n G d, and leaves Σ_{i > r} σ_i² (Eckart and Young). Tokens that share coordinates
U are found so, though keys of one token in two layers, whose axes have nothing to do with each other, have cosine 0.
"""

from __future__ import annotations

import numpy as np

EXACT, EXTRA, POWERS = (
    400,
    10,
    3,
)  # smaller side up to which all singular values are found; oversampling; powers


def singular_values(x: np.ndarray, rank: int, rng: np.random.Generator) -> np.ndarray:
    """At least the first `rank` singular values of x (n, D), falling: all of a small matrix, of others by a random
    range finder with power iterations (Halko, Martinsson and Tropp), which never finds them too large."""
    small = min(x.shape)
    if small <= EXACT or rank + EXTRA >= small:
        return np.sqrt(np.maximum(np.linalg.eigvalsh(_gram(x))[::-1], 0))
    basis = np.linalg.qr(x @ rng.standard_normal((x.shape[1], rank + EXTRA)))[0]
    for _ in range(POWERS):
        basis = np.linalg.qr(x @ np.linalg.qr(x.T @ basis)[0])[0]
    return np.linalg.svd(basis.T @ x, compute_uv=False)[:rank]


def tail_share(x: np.ndarray, rank: float, rng: np.random.Generator) -> float:
    """‖X - [X]_r‖² / ‖X‖², 0 of an X of zeros; between whole ranks on the line between them."""
    whole = float(np.square(x).sum())
    if whole == 0:
        return 0.0
    below = int(rank)
    squares = np.square(singular_values(x, below + 1, rng))
    held = float(squares[:below].sum()) + (rank - below) * float(squares[below : below + 1].sum())
    return max(1 - held / whole, 0.0)


def stored_share(n: int, layers: int, d: int, rank: int) -> float:
    """Numbers that are held, as a share of n G d: r (n + G d) / (n G d)."""
    return rank * (n + layers * d) / (n * layers * d)


def rank_alone(n: int, layers: int, d: int, rank: int) -> float:
    """The rank r' of each layer by itself that holds just as many numbers, G r' (n + d), as r together: seldom whole.
    Cut to whole numbers it would hold fewer (of 1.7 a third fewer), and sharing would seem to gain."""
    return rank * (n + layers * d) / (layers * (n + d))


def token_cosine(x: np.ndarray, y: np.ndarray) -> float:
    """Mean cosine between rows (n, d) of the same token; rows of zeros are left out."""
    lengths = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    there = lengths > 0
    return float(((x * y).sum(axis=1)[there] / lengths[there]).mean()) if there.any() else 0.0


def linear_cka(x: np.ndarray, y: np.ndarray) -> float:
    """Linear centred kernel alignment of columns that are centred already, (n, d) each; 0 where one does not vary."""
    parts = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    return float(np.square(x.T @ y).sum() / parts) if parts > 0 else 0.0


def _gram(x: np.ndarray) -> np.ndarray:
    return x.T @ x if x.shape[1] <= x.shape[0] else x @ x.T
