"""What a projector that makes few tokens of many looks at, and what its tokens still say about those they came from.

    coverage      C_j = Σ_k A_kj: the total contribution of patch j to the K coarse tokens, 1/s² of each where all count
                  alike; outside its cell a local projector has weight 0
    information   R² = 1 - Σ |x - x̂|² / Σ |x - m|²: fine tokens predicted linearly from the coarse token of their
                  cell, one map for each place in a cell, on samples that had no part in the fit; fine and coarse
                  tokens less their mean m over samples at their place, so that what place alone tells does not count

Cells of s x s keep 1/s² of the tokens: 75 % fewer at s = 2, 88.9 % at s = 3.

Reference: W. Li, Y. Yuan, J. Liu, D. Tang, S. Wang, J. Qin, J. Zhu & L. Zhang (2024), "TokenPacker: efficient visual
projector for multimodal LLM".
"""

from __future__ import annotations

import numpy as np

from analysis.compute.linear.ridge_probe import held_out_predictions
from analysis.compute.streaming import refuse_few
from analysis.tokens.pooling.token_sets import TokenSets

MEAN, ASKING, CENTRE = "average of each cell", "attention in each cell", "one token of each cell"


def cells_of(grid: tuple[int, int], side: int) -> np.ndarray:
    """(cells, side²) tokens of each whole cell; what does not fill a cell at the far edges is left out."""
    rows, columns = grid[0] // side, grid[1] // side
    r, c, i, j = np.ogrid[:rows, :columns, :side, :side]
    return ((r * side + i) * grid[1] + c * side + j).reshape(rows * columns, side * side)


def cells_on(grid: tuple[int, int], side: int) -> np.ndarray | None:
    """(cells, tokens of each), None where none is whole; along a line (one row) runs of `side`."""
    rows, columns = grid
    if rows == 1:
        return np.arange(columns // side * side).reshape(-1, side) if side <= columns else None
    return cells_of(grid, side) if side <= min(grid) else None


def whole_sets(sets: TokenSets, name: str, fewest: int) -> tuple[TokenSets, tuple[int, int], tuple[str, ...]]:
    """Samples whose tokens are all there, their grid (one row where there is none), what to say. Raises NotEnoughData
    below `fewest`."""
    good, said = sets.present.all(axis=1), ()
    refuse_few(name, int(good.sum()), fewest, "sample(s) whose tokens are all there")
    if not good.all():
        said = (f"{int((~good).sum())} sample(s) with fewer tokens than others were left out.",)
    if sets.grid is None:
        said += ("Tokens lie on no grid: cells are runs of neighbours, s of them.",)
    return sets.only(good), sets.grid or (1, sets.x.shape[1]), said


def attention_anywhere(x: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """(n, cells, T) what the means of cells (cells, s²) pay all tokens x (n, T, d), as `cell_attention` without its
    bound."""
    scale = np.sqrt(np.square(x).mean(axis=-1, keepdims=True))
    x = x / np.where(scale > 0, scale, 1.0)
    logits = x[:, tokens].mean(axis=2) @ x.transpose(0, 2, 1) / np.sqrt(x.shape[-1])
    weight = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weight / weight.sum(axis=-1, keepdims=True)


def cell_attention(x: np.ndarray) -> np.ndarray:
    """(…, s²) softmax(m x_i / √d) over a cell `x` (…, s², d), m its mean, x divided by its root mean square."""
    scale = np.sqrt(np.square(x).mean(axis=-1, keepdims=True))
    x = x / np.where(scale > 0, scale, 1.0)
    logits = np.einsum("...sd,...d->...s", x, x.mean(axis=-2)) / np.sqrt(x.shape[-1])
    weight = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weight / weight.sum(axis=-1, keepdims=True)


def weights_of(way: str, cells: np.ndarray) -> np.ndarray:
    """(n, cells, s²) weights, that add up to 1 over each cell, of tokens `cells` (n, cells, s², d)."""
    if way == ASKING:
        return cell_attention(cells)
    weight = np.zeros(cells.shape[:-1])
    if way == MEAN:
        weight += 1.0 / cells.shape[2]
    else:
        weight[..., cells.shape[2] // 2] = 1.0
    return weight


def coverage(attention: np.ndarray, tokens: np.ndarray, count: int) -> np.ndarray:
    """(n, count) contribution of every patch: `attention` (n, cells, s²) to the tokens (cells, s²)."""
    out = np.zeros((len(attention), count))
    np.add.at(out, (slice(None), tokens.ravel()), attention.reshape(len(attention), -1))
    return out


def explained(cells: np.ndarray, coarse: np.ndarray, fold: np.ndarray) -> tuple[float, np.ndarray]:
    """(R², (n, 2) squared error and variance of each sample) of `cells` (n, k, s², d) from `coarse` (n, k, d)."""
    cells, coarse = cells - cells.mean(axis=0), coarse - coarse.mean(axis=0)
    n, k, places, d = cells.shape
    fine = cells.reshape(n * k, places * d)
    told = held_out_predictions(
        coarse.reshape(n * k, d), fine, np.repeat(np.arange(places), d), np.repeat(fold, k)
    )
    left = np.square(fine - told).reshape(n, -1).sum(axis=1)
    whole = np.square(fine).reshape(n, -1).sum(axis=1)
    return share_explained(left, whole), np.stack([left, whole], axis=1)


def share_explained(left: np.ndarray, whole: np.ndarray) -> float:
    """1 - Σ left / Σ whole; 0 where nothing varies."""
    return float(1 - left.sum() / whole.sum()) if whole.sum() > 0 else 0.0
