"""Where on the picture, or in the text, tokens survive, against tokens that are kept at random.

Of N free tokens of a sample K are left as they were. Kept at random, a line of m of them (a row or a column of the
grid; a tenth of a text) would have a hypergeometric number,

    mean m K / N,    variance m (K / N) (1 - K / N) (N - m) / (N - 1)

and z is what there is more, summed over samples, over the root of the summed variances.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from analysis.tokens.state import GONE, TokenState, grouped_sums
from analysis.tokens.view import TokenLayout

PARTS = 10  # of a text


@dataclass(frozen=True)
class Survival:
    """Of m lines called `names` (m,) and n samples: `kept`, `there` (n, m) free tokens left and at the beginning,
    `expected` and `variance` (n, m) of those kept at random."""

    names: tuple[str, ...]
    kept: np.ndarray
    there: np.ndarray
    expected: np.ndarray
    variance: np.ndarray

    @property
    def z(self) -> np.ndarray:
        """(m,) standard deviations beyond random keep; 0 where chance leaves no choice."""
        more, spread = (self.kept - self.expected).sum(axis=0), np.sqrt(self.variance.sum(axis=0))
        return np.where(spread > 0, more / np.where(spread > 0, spread, 1), 0.0)

    @property
    def has_choice(self) -> bool:
        """Whether chance could have decided otherwise anywhere."""
        return bool((self.variance > 0).any())

    @property
    def bound(self) -> float:
        """|z| that no line passes in 95 % of random keeps at most (Bonferroni)."""
        return float(-ndtri(0.025 / max(len(self.names), 1)))


def left_alone(state: TokenState) -> np.ndarray:
    """(B, T) bool: input tokens that are still there with nothing merged into them."""
    inside = grouped_sums((state.place != GONE) * 1.0, state.place, state.at.shape[1])
    return (state.place != GONE) & (np.take_along_axis(inside, np.maximum(state.place, 0), axis=1) == 1)


def survival(layout: TokenLayout, state: TokenState) -> Survival:
    """Of the state behind the last layer."""
    free, alone = layout.free, left_alone(state) & layout.free
    names, lines = _lines(layout)
    there = np.stack([(free & line).sum(axis=1) for line in lines], axis=1).astype(float)
    kept = np.stack([(alone & line).sum(axis=1) for line in lines], axis=1).astype(float)
    n, k = free.sum(axis=1)[:, None].astype(float), alone.sum(axis=1)[:, None].astype(float)
    share = k / np.maximum(n, 1)
    variance = there * share * (1 - share) * (n - there) / np.maximum(n - 1, 1)
    return Survival(names, kept, there, there * share, variance)


def together(parts: Sequence[Survival]) -> Survival:
    """Several groups of samples of one layout as one."""
    return Survival(parts[0].names, *(np.concatenate([getattr(p, f) for p in parts])
                                      for f in ("kept", "there", "expected", "variance")))  # fmt: skip


def _lines(layout: TokenLayout) -> tuple[tuple[str, ...], list[np.ndarray]]:
    """Names, and of each which tokens (B, T) are on it."""
    if layout.grid is not None:
        rows, columns = layout.grid
        high = rows // max(layout.frames, 1)
        row, column = layout.cell // columns % high, layout.cell % columns
        on = layout.cell >= 0
        return (
            (*(f"row {i + 1}" for i in range(high)), *(f"column {j + 1}" for j in range(columns))),
            [on & (row == i) for i in range(high)] + [on & (column == j) for j in range(columns)],
        )
    order, count = np.cumsum(layout.free, axis=1) - 1, np.maximum(layout.free.sum(axis=1, keepdims=True), 1)
    part = order * PARTS // count
    return tuple(f"tenth {i + 1}" for i in range(PARTS)), [layout.free & (part == i) for i in range(PARTS)]
