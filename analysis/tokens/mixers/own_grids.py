"""On which grids attention that is not square lies: keys fewer than tokens, or a neighbourhood of each token.

Spatially reduced keys tile the image, each covering a block of cells of the same size (areas sum to H W); keys of a
strip cover whole rows or columns. Of neighbourhood attention the keys of a token are k x k cells, δ apart: they span
δ (k - 1) + 1 cells, and at a border the window is moved inside (`analysis.tokens.mixers.convolution.window`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.errors import InputError, ShapeError
from analysis.tokens.mixers.convolution import expanded
from analysis.tokens.mixers.linear_attention import squared, strip_cells

FULL, REDUCED, NEAR = (
    "every token is a key",
    "keys cover blocks of the image",
    "a neighbourhood of each token",
)
SHARES = 2e-2  # that rows of recorded weights may be off a whole number, in half precision


@dataclass(frozen=True)
class Laid:
    """`squared` (H, T, T) what each token reads of each cell, `keys` (h, w) grid of the keys or None, `covers` (T,) the
    key of each cell or None, `kind`, `reached` (T, T) bool cells that may be read, `weights` (H, T, S) as they were."""

    weights: np.ndarray
    squared: np.ndarray
    grid: tuple[int, int]
    kind: str
    keys: tuple[int, int] | None = None
    covers: np.ndarray | None = None
    reached: np.ndarray | None = None


def square(tokens: int) -> tuple[int, int] | None:
    """The sides of a square grid of so many tokens."""
    side = round(tokens**0.5)
    return (side, side) if side * side == tokens else None


def key_grid(grid: tuple[int, int], keys: int) -> tuple[int, int] | None:
    """(h, w) of keys that tile a grid, in blocks as square as can be; None where none do."""
    fits = [(h, keys // h) for h in range(1, keys + 1) if keys % h == 0]
    fits = [(h, w) for h, w in fits if grid[0] % h == 0 and grid[1] % w == 0]
    return min(fits, key=lambda s: abs(np.log(grid[0] / s[0]) - np.log(grid[1] / s[1]))) if fits else None


def laid(weights: np.ndarray, grid: tuple[int, int], near: bool = False, dilation: int = 1) -> Laid:
    """Weights (heads, T, S) on a grid of T cells. `near`: S = k² keys around each token, `dilation` apart.

    Raises ShapeError, InputError where the keys do not fit.
    """
    heads, t, s = weights.shape
    if t != grid[0] * grid[1]:
        raise ShapeError(f"{t} tokens on a grid of {grid[0]} x {grid[1]}", "one for each cell")
    if near:
        local = weights.reshape(heads, *grid, s)
        found = np.stack([expanded(one, dilation) for one in local])
        reached = expanded(np.ones((*grid, s)), dilation) > 0
        return Laid(weights, found, grid, NEAR, reached=reached)
    if s == t:
        return Laid(weights, weights, grid, FULL, grid, np.arange(t), weights.max(axis=0) > 0)
    keys = key_grid(grid, s)
    if keys is None:
        raise InputError(
            f"{s} keys over a grid of {grid[0]} x {grid[1]}", "keys that tile the grid in equal blocks",
            "Of neighbourhood attention say so in the settings",
        )  # fmt: skip
    covers = strip_cells(grid, keys)
    found = np.stack([squared(one, covers) for one in weights])
    return Laid(weights, found, grid, REDUCED, keys, covers, np.ones((t, t), bool))


def recorded(rows: np.ndarray) -> np.ndarray | None:
    """(heads, T, S) where the rows (T, heads x S) of a tap are weights of attention, each head's summing to 1; None
    where they are something else."""
    if rows.size == 0 or not np.isfinite(rows).all() or rows.min() < 0:
        return None
    sums = rows.sum(axis=1)
    heads = round(float(np.median(sums)))
    if heads < 1 or rows.shape[1] % heads or np.abs(sums - heads).max() > SHARES * heads:
        return None
    found = rows.reshape(len(rows), heads, -1).swapaxes(0, 1)
    return found if np.abs(found.sum(axis=2) - 1).max() <= SHARES and found.shape[2] > 1 else None


def of_rows(x: np.ndarray, grid: tuple[int, int], reduction: int, near: int, dilation: int) -> Laid:
    """Softmax attention of rows x (T, d) with themselves: over means of blocks of `reduction` x `reduction` cells, or
    over `near` x `near` cells around each token where near > 0."""
    logits = x @ x.T / np.sqrt(x.shape[1])
    if near:
        reach = expanded(np.ones((*grid, near * near)), dilation) > 0
        cells = np.stack([np.flatnonzero(row) for row in reach])
        return laid(softmaxed(np.take_along_axis(logits, cells, axis=1))[None], grid, True, dilation)
    if reduction > 1:
        if not fits(grid, reduction):
            raise InputError(
                f"blocks of {reduction} over a grid of {grid[0]} x {grid[1]}", "a divisor of both sides"
            )
        covers = strip_cells(grid, (grid[0] // reduction, grid[1] // reduction))
        logits = np.stack([np.bincount(covers, row) for row in logits]) / reduction**2
    return laid(softmaxed(logits)[None], grid)


def fits(grid: tuple[int, int], reduction: int) -> bool:
    """Whether blocks of so many cells a side tile the grid."""
    return grid[0] % reduction == 0 and grid[1] % reduction == 0


def softmaxed(logits: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)
