"""Sub-images of a page: which crop each token lies in, what it would keep of them, and how alike its tokens are.

Where a network cuts the page itself (several frames, one below the other), its crops are these; else the grid of the
tokens is cut into `down` x `across` parts as equal as can be, and tokens on no grid into runs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.tokens.dump import TokenDump
from analysis.tokens.rules.correlation_guided import gone_of
from analysis.tokens.state import GONE, TokenState
from analysis.tokens.view import TokenLayout, View


@dataclass(frozen=True)
class Bill:
    """Of one sample with T tokens: `crop` (T,) of each, GONE of those in none; `kept` (T,) bool; `read` (T,) by the
    token that answers; `density` by crop; `x` (T, d) the tokens."""

    crop: np.ndarray
    kept: np.ndarray
    read: np.ndarray
    density: dict[int, float]
    x: np.ndarray

    def counts(self) -> dict[int, tuple[int, int]]:
        """(tokens kept, tokens) of each crop."""
        return {c: (int(self.kept[self.crop == c].sum()), int((self.crop == c).sum())) for c in self.density}

    def rank(self) -> np.ndarray:
        """(T,) from 1, what is read most in its crop, down to 0, NaN in none."""
        out = np.full(len(self.crop), np.nan)
        for c in self.density:
            at = np.flatnonzero(self.crop == c)
            order = np.argsort(np.argsort(-self.read[at], kind="stable"), kind="stable")
            out[at] = 1 - order / max(len(at) - 1, 1)
        return out


def crops_of(layout: TokenLayout, down: int, across: int) -> tuple[np.ndarray, tuple[int, int]]:
    """((T,) crop of each token of the first sample, numbered row by row; how many (down, across))."""
    free, cell = layout.free[0] & layout.present[0], layout.cell[0]
    crop = np.full(len(free), GONE)
    if layout.grid is None or not (cell[free] >= 0).all():
        at, parts = np.flatnonzero(free), min(down * across, max(int(free.sum()), 1))
        crop[at] = np.arange(len(at)) * parts // max(len(at), 1)
        return crop, (1, parts)
    rows, columns = layout.grid
    down, across = (layout.frames, 1) if layout.frames > 1 else (min(down, rows), min(across, columns))
    row, column = cell[free] // columns, cell[free] % columns
    crop[free] = row * down // rows * across + column * across // columns
    return crop, (down, across)


def bill(dump: TokenDump, layer: int, crop: np.ndarray, threshold: float) -> Bill:
    """What correlation-guided compression keeps of each crop of the one sample of a dump, behind a layer (0 first)."""
    x = dump.recorded["hidden"][layer + 1]
    view = View(layer, dump.layers, TokenState.start(dump.layout.present), dump.layout,
                lambda name: dump.recorded["mean attention"][layer])  # fmt: skip
    read = view.answering_attention()[0]
    gone, density = gone_of(x[0], read, crop, threshold)
    return Bill(crop, ~gone & (crop != GONE), read, density, np.asarray(x[0], np.float64))
