"""Every input token made again from those that are left, for answers that are wanted at every place.

    x̂ = R₁ R₂ … R_L z,    R_l (t_l, t_{l+1})

z are the tokens behind the last layer. Where a step says of what its tokens are made again, R_l is that; elsewhere a
merged token is the one that it went into, and a dropped one is zero.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.tokens.dump import means_inside
from analysis.tokens.state import GONE, Step, TokenState, goes_to


def rebuilds(steps: Sequence[Step | None]) -> bool:
    """Whether some step says of what its tokens are made again."""
    return any(step is not None and step.rebuild is not None for step in steps)


def made_from(states: Sequence[TokenState], steps: Sequence[Step | None]) -> np.ndarray:
    """(B, T, t) what each token left counts in each input token; rows sum to 1, to 0 where it was dropped."""
    start = states[0]
    out = np.eye(start.at.shape[1])[None] * start.valid[:, :, None]
    for step, behind in zip(steps, states[1:], strict=True):
        if step is None:
            continue
        if step.rebuild is not None:
            out = out @ step.rebuild
            continue
        goes = goes_to(step)
        out = out @ ((goes[:, :, None] == np.arange(behind.at.shape[1])) & (goes != GONE)[:, :, None])
    return out


def rebuilt(left: np.ndarray, states: Sequence[TokenState], steps: Sequence[Step | None]) -> np.ndarray:
    """(B, T, d) the input tokens again, of the tokens `left` (B, t, d) behind the last layer."""
    return made_from(states, steps).astype(left.dtype) @ left


def relative_error(whole: np.ndarray, made: np.ndarray) -> np.ndarray:
    """(B, T) length of what is missing over the root mean square length of the tokens of the sample."""
    size = np.sqrt(np.square(whole.astype(np.float64)).sum(axis=2).mean(axis=1, keepdims=True))
    missing = np.linalg.norm(whole.astype(np.float64) - made, axis=2)
    return missing / np.where(size > 0, size, 1.0)


def on_edge(owner: np.ndarray, cell: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """(B, T) bool: tokens on the grid with a neighbour, above, below or beside, that went into another token."""
    rows, columns = grid
    edge = np.zeros(owner.shape, bool)
    for b in range(len(owner)):
        here = np.flatnonzero(cell[b] >= 0)
        picture = np.full(rows * columns, GONE)
        picture[cell[b, here]] = owner[b, here]
        picture = picture.reshape(grid)
        found = np.zeros(grid, bool)
        down, right = picture[1:] != picture[:-1], picture[:, 1:] != picture[:, :-1]
        found[1:] |= down
        found[:-1] |= down
        found[:, 1:] |= right
        found[:, :-1] |= right
        edge[b, here] = found.ravel()[cell[b, here]]
    return edge


def of_survivors(
    x: np.ndarray, free: np.ndarray, states: Sequence[TokenState], steps: Sequence[Step | None]
) -> np.ndarray:
    """(B, T, d) each row of `x` (B, T, d) made of what is left: the mean of what went into the same token, or, where
    it was dropped, the nearest of those means (of the free tokens, where any is left); what a step says of what its
    tokens are made again counts first."""
    state = states[-1]
    left = means_inside(x, state)
    if rebuilds(steps):
        return rebuilt(left, states, steps)
    own = np.maximum(state.at, 0)
    candidates = np.take_along_axis(free, own, axis=1) & state.valid
    candidates = np.where(candidates.any(axis=1, keepdims=True), candidates, state.valid)
    place = state.place
    if (place == GONE).any():
        far = np.square(left).sum(axis=2)[:, None] - 2 * x @ left.transpose(0, 2, 1)
        nearest = np.where(candidates[:, None], far, np.inf).argmin(axis=2)
        place = np.where(place == GONE, nearest, place)
    return np.take_along_axis(left, place[:, :, None], axis=1)


def missed_share(x: np.ndarray, made: np.ndarray, free: np.ndarray) -> np.ndarray:
    """(B,) squared distance of free tokens from what they are made of, over that from their mean; 0 without spread."""
    there = free[:, :, None]
    mean = (x * there).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
    missed = (np.square(x - made) * there).sum(axis=(1, 2))
    spread = (np.square(x - mean[:, None]) * there).sum(axis=(1, 2))
    least = 1e-12 * (np.square(x) * there).sum(axis=(1, 2))
    return np.where(spread > least, missed / np.where(spread > least, spread, 1.0), 0.0)
