"""Pooling of a volume of tokens over time, rows and columns, by their similarity to a query.

    y_cell = Σ_i w_i x_i,      w = softmax(cos(x_i, q) / τ) over the tokens of the cell

τ -> ∞ is average pooling, τ -> 0 takes the token that is most like the query. Pooled to its own shape, a volume stays
as it is; the length of a mean is at most the mean of the lengths.

References: R. Liu et al. (2024), "PPLLaVA: varied video sequence understanding with prompt guidance"; L. Xu, Y. Zhao,
D. Zhou, Z. Lin, S. K. Ng & J. Feng (2024), "PLLaVA: parameter-free LLaVA extension from images to videos for video
dense captioning".
"""

from __future__ import annotations

import numpy as np

from analysis.errors import ParameterError


def volume_cells(shape: tuple[int, int, int], wanted: tuple[int, int, int]) -> np.ndarray:
    """(T H W,) cell of every token of a volume of `shape` pooled to `wanted`, row by row, in cells as equal as can be.
    Raises ParameterError: more cells than places along an axis."""
    for have, want, name in zip(shape, wanted, ("time", "rows", "columns"), strict=True):
        if not 1 <= want <= have:
            raise ParameterError(f"{want} cells along {name}", f"from 1 to {have}")
    t, r, c = (np.arange(have) * want // have for have, want in zip(shape, wanted, strict=True))
    return ((t[:, None, None] * wanted[1] + r[:, None]) * wanted[2] + c).ravel()


def cosines(x: np.ndarray, query: np.ndarray) -> np.ndarray:
    """(…,) of vectors `x` (…, d) with one; 0 where either is 0."""
    lengths = np.linalg.norm(x, axis=-1) * np.linalg.norm(query)
    return np.where(lengths > 0, x @ query / np.where(lengths > 0, lengths, 1.0), 0.0)


def cell_weights(similarity: np.ndarray, cell: np.ndarray, temperature: float) -> np.ndarray:
    """(N,) softmax of similarity / temperature over each cell; ∞ for the average."""
    logits = similarity / temperature if np.isfinite(temperature) else np.zeros(len(similarity))
    most = np.full(int(cell.max()) + 1, -np.inf)
    np.maximum.at(most, cell, logits)
    with np.errstate(under="ignore"):
        weight = np.exp(logits - most[cell])
    return weight / np.bincount(cell, weights=weight)[cell]


def pooled_volume(x: np.ndarray, weight: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """(cells, d) weighted sums of tokens `x` (N, d)."""
    out = np.zeros((int(cell.max()) + 1, x.shape[1]))
    np.add.at(out, cell, weight[:, None] * x)
    return out
