"""RISE: how the answer goes with what a random smooth mask lets through.

    x_m = b + m ⊙ (x - b) ,   φ_u = Cov(y(x_m), m_u) / Var(m_u)

over masks m: random cells, on or off with even chance, `window` tokens a side, enlarged smoothly and shifted at random.
Both means are taken off first: the published sum of y m over the masks' mean has a part that is the same everywhere and
an error that grows with the answer's mean. The slope on m_u is, of a linear network and cells of one token, what the
token adds (w_u (x - b)_u); of larger cells the same of what is masked together with it. Standard errors by the
residuals of each token's own line (White), as masks are independent.

One background row, drawn at random, for each mask. Cost: as many passes as masks.

Reference: V. Petsiuk, A. Das & K. Saenko (2018), "RISE: randomized input sampling for explanation of black-box models".
"""

from __future__ import annotations

import numpy as np

from analysis.attribution.saliency.way import Question, SaliencyMap, Settings, Way
from analysis.attribution.sample_run import fitting_rows
from analysis.compute.rows.grid_resampling import bilinear
from analysis.errors import NotEnoughData


def smooth_masks(
    masks: int, tokens: int, grid: tuple[int, int] | None, leading: int, cell: int, rng: np.random.Generator
) -> np.ndarray:
    """(masks, tokens) in 0 … 1; leading tokens are on or off by themselves."""
    sides = (1, tokens - leading) if grid is None else grid
    cells = tuple(1 if s == 1 else -(-s // cell) + 1 for s in sides)
    large = tuple(1 if s == 1 else c * cell for s, c in zip(sides, cells, strict=True))
    on = rng.random((masks, cells[0] * cells[1])) < 0.5
    enlarged = (on @ bilinear(cells, large).T).reshape(masks, *large)
    out = np.empty((masks, *sides))
    shifts = [rng.integers(0, a - s + 1, size=masks) for a, s in zip(large, sides, strict=True)]
    for i, (down, along) in enumerate(zip(*shifts, strict=True)):
        out[i] = enlarged[i, down : down + sides[0], along : along + sides[1]]
    first = (rng.random((masks, leading)) < 0.5).astype(np.float64)
    return np.c_[first, out.reshape(masks, -1)]


def rise(question: Question) -> SaliencyMap:
    """Raises NotEnoughData: fewer than 20 masks."""
    import torch

    run, x, n = question.run, question.run.clean, question.settings.masks
    if n < 20:
        raise NotEnoughData(f"{n} random masks", "at least 20", "Ask for more masks")
    masks = smooth_masks(n, run.shape[0], run.grid, run.leading, question.settings.window, question.rng)
    rows = fitting_rows(run)
    at = question.rng.integers(0, question.background.size, size=n)
    y = np.empty(n)
    for first in range(0, n, rows):
        some = slice(first, first + rows)
        through = torch.as_tensor(masks[some]).to(x.dtype)[:, :, None]
        base = question.background.rows[torch.as_tensor(at[some])]
        y[some] = run.values(base + through * (x - base), question.target).double().numpy()
    values, errors = lines(masks, y)
    return SaliencyMap(values, n, errors=errors)


def lines(masks: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each token the slope of y (n,) on its mask (n, tokens), and its standard error; NaN where a mask never
    changed."""
    m, z = masks - masks.mean(axis=0), y - y.mean()
    square = (m**2).sum(axis=0)
    square = np.where(square > 0, square, np.nan)
    slope = z @ m / square
    left = (m * (z[:, None] - slope * m)) ** 2
    return slope, np.sqrt(left.sum(axis=0) * len(y) / (len(y) - 2)) / square


def _passes(tokens: int, rows: int, settings: Settings) -> int:
    return settings.masks


WAYS = (Way("RISE", "How the answer goes with what random masks let through.", rise, _passes, signed=True),)
