"""RISE: how the answer goes with what a random smooth mask lets through.

    x_m = b + m ⊙ (x - b) ,   φ_u = Cov(y(x_m), m_u) / Var(m_u)

over masks m: random cells, on or off with even chance, `window` tokens a side, enlarged smoothly and shifted at random.
Both means are taken off first: the published sum of y m over the masks' mean has a part that is the same everywhere and
an error that grows with the answer's mean. The slope on m_u is, of a linear network and cells of one token, what the
token adds (w_u (x - b)_u); of larger cells the same of what is masked together with it. Standard errors by the
residuals of each token's own line (White), as masks are independent.

One background row, drawn at random, for each mask. Cost: as many passes as masks. Masks are made a block at a time,
and once more for the errors, so that memory does not grow with their number.

Reference: V. Petsiuk, A. Das & K. Saenko (2018), "RISE: randomized input sampling for explanation of black-box models".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from analysis.attribution.saliency.way import Question, SaliencyMap, Settings, Way
from analysis.attribution.sample_run import fitting_rows
from analysis.compute.rows.grid_resampling import bilinear
from analysis.errors import NotEnoughData

MOST = 1 << 21  # numbers of masks at a time


def smooth_masks(
    masks: int, tokens: int, grid: tuple[int, int] | None, leading: int, cell: int, rng: np.random.Generator
) -> np.ndarray:
    """(masks, tokens) in 0 … 1; leading tokens are on or off by themselves."""
    sides = (1, tokens - leading) if grid is None else grid
    cells = tuple(1 if s == 1 else -(-s // cell) + 1 for s in sides)
    large = tuple(1 if s == 1 else c * cell for s, c in zip(sides, cells, strict=True))
    on = (rng.random((masks, *cells)) < 0.5).astype(np.float64)
    down, along = (bilinear((1, c), (1, s)) for c, s in zip(cells, large, strict=True))
    out = np.empty((masks, *sides))
    shifts = [rng.integers(0, a - s + 1, size=masks) for a, s in zip(large, sides, strict=True)]
    for i, (row, column) in enumerate(zip(*shifts, strict=True)):  # only the part that is seen is enlarged
        out[i] = down[row : row + sides[0]] @ on[i] @ along[column : column + sides[1]].T
    first = (rng.random((masks, leading)) < 0.5).astype(np.float64)
    return np.c_[first, out.reshape(masks, -1)]


def rise(question: Question) -> SaliencyMap:
    """Raises NotEnoughData: fewer than 20 masks."""
    import torch

    run, x, n = question.run, question.run.clean, question.settings.masks
    if n < 20:
        raise NotEnoughData(f"{n} random masks", "at least 20", "Ask for more masks")
    at = question.rng.integers(0, question.background.size, size=n)
    seed, rows, y, sums = question.rng.integers(2**63), fitting_rows(run), np.empty(n), None
    for block, masks in _blocks(question, seed):
        for first in range(block.start, block.stop, rows):
            some = slice(first, min(first + rows, block.stop))
            put = torch.as_tensor(masks[first - block.start : some.stop - block.start])
            through, base = put.to(x.dtype)[:, :, None], question.background.rows[torch.as_tensor(at[some])]
            y[some] = run.values(base + through * (x - base), question.target).double().numpy()
        own = Sums.of(masks, y[block])
        sums = own if sums is None else sums.merged(own)
    slope = sums.slope
    left = sum(sums.left(masks, y[block], slope) for block, masks in _blocks(question, seed))
    with np.errstate(invalid="ignore"):
        errors = np.sqrt(left * n / (n - 2)) / np.where(sums.square > 0, sums.square, np.nan)
    return SaliencyMap(slope, n, errors=errors)


def _blocks(question: Question, seed: int) -> Iterator[tuple[slice, np.ndarray]]:
    """All masks, as many at a time as memory is granted; the same ones again for the same seed."""
    run, n, rng = question.run, question.settings.masks, np.random.default_rng(seed)
    many = block_rows(run.shape[0])
    for first in range(0, n, many):
        some = slice(first, min(first + many, n))
        cell = question.settings.window
        yield some, smooth_masks(some.stop - first, run.shape[0], run.grid, run.leading, cell, rng)


def block_rows(tokens: int) -> int:
    """Masks at a time."""
    return max(1, MOST // max(tokens, 1))


@dataclass(frozen=True)
class Sums:
    """Of `n` masks m (n, tokens) and answers y (n,): means, Σ (m - mean)² (tokens,), Σ (m - mean) (y - mean)."""

    n: int
    mean: np.ndarray
    answer: float
    square: np.ndarray
    product: np.ndarray

    @classmethod
    def of(cls, masks: np.ndarray, y: np.ndarray) -> Sums:
        mean, answer = masks.mean(axis=0), float(y.mean())
        m = masks - mean
        return cls(len(y), mean, answer, np.einsum("ij,ij->j", m, m), (y - answer) @ m)

    def merged(self, other: Sums) -> Sums:
        n = self.n + other.n
        apart, between, share = other.mean - self.mean, other.answer - self.answer, self.n * other.n / n
        return Sums(
            n, self.mean + apart * other.n / n, self.answer + between * other.n / n,
            self.square + other.square + share * apart**2, self.product + other.product + share * apart * between,
        )  # fmt: skip

    @property
    def slope(self) -> np.ndarray:
        """Of each token the slope of y on its mask; NaN where a mask never changed."""
        return self.product / np.where(self.square > 0, self.square, np.nan)

    def left(self, masks: np.ndarray, y: np.ndarray, slope: np.ndarray) -> np.ndarray:
        """(tokens,) Σ ((m - mean) (y - the token's own line))² of some of the masks."""
        m = masks - self.mean
        apart = (y - self.answer)[:, None] - slope * m
        apart *= m
        return np.einsum("ij,ij->j", apart, apart)


def _passes(tokens: int, rows: int, settings: Settings) -> int:
    return settings.masks


def _held(tokens: int, settings: Settings) -> float:
    return 48.0 * min(settings.masks, block_rows(tokens)) * tokens + 16.0 * settings.masks


WAYS = (
    Way(
        "RISE",
        "How the answer goes with what random masks let through.",
        rise,
        _passes,
        signed=True,
        held=_held,
    ),
)
