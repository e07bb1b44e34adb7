"""Tokens masked at random, or as many in one block of neighbours: what masking by crops is.

`cell` (t,) is the place of each token on the grid, row by row, -1 for one that lies nowhere (a class token) and is
never masked; without a grid tokens lie in a line.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.tokens.projected import BLOCK, MASKED


def gone_of(tokens: int, share: float) -> int:
    """How many of so many tokens are masked for this share to be left, at least one."""
    return tokens - max(round(share * tokens), 1)


def random_left(cell: np.ndarray, gone: int, rng: np.random.Generator) -> np.ndarray:
    """(t,) bool of the tokens left when `gone` of them are masked."""
    left = np.ones(len(cell), bool)
    left[rng.permutation(np.flatnonzero(cell >= 0))[:gone]] = False
    return left


def block_left(
    cell: np.ndarray, grid: tuple[int, int] | None, gone: int, rng: np.random.Generator
) -> np.ndarray:
    """(t,) bool of the tokens left when `gone` of them that lie in one block are masked.

    The block is the rectangle with most like the shape of the grid that holds them, at a random place; what is too many
    is left out of its last row.
    """
    wide = grid or (1, int(cell.max()) + 1)
    gone = min(gone, int((cell >= 0).sum()))
    left = np.ones(len(cell), bool)
    if gone <= 0:
        return left
    high = int(np.clip(round(np.sqrt(gone * wide[0] / wide[1])), -(-gone // wide[1]), wide[0]))
    across = -(-gone // high)
    top, start = (int(rng.integers(w - b + 1)) for w, b in zip(wide, (high, across), strict=True))
    rows, columns = np.divmod(np.arange(gone), across)
    left[np.isin(cell, (top + rows) * wide[1] + start + columns)] = False
    return left


def both_left(
    counts: Sequence[int], known, share: float, rng: np.random.Generator
) -> dict[str, list[np.ndarray]]:
    """By way of masking the tokens left of each sample, as many of either. `known`: (…, cells, grid) of each."""
    gone = [gone_of(t, share) for t in counts]
    return {
        MASKED: [random_left(k[1], g, rng) for g, k in zip(gone, known, strict=True)],
        BLOCK: [block_left(k[1], k[2], g, rng) for g, k in zip(gone, known, strict=True)],
    }
