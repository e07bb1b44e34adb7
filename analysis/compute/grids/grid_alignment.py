"""Maps of one tap, one line per sample, on any grid; and one grid for the maps of several taps.

A tap whose tokens are image positions has maps of height x width x units; class tokens and registers before the grid
are left out. Tokens without a grid are a row of one line, and a pooled tap has a single position.

Grids are made alike by area averaging: cell i of n lies on [i / n, (i + 1) / n], and a new cell takes the mean of what
lies under it, weighted by overlap. Every cell has the same area, so that the mean over positions stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.activations import CHUNK_ROWS, Activations, Layout
from analysis.errors import InputError

BLOCK_BYTES = 8 << 20  # of the maps of one chunk
Grid = tuple[int, int]


def area_weights(old: int, new: int) -> np.ndarray:
    """(new, old) share of each old cell in each new one; lines sum to 1, columns to new / old."""
    edges = np.arange(new + 1) * old  # in units of 1 / (old new): whole numbers, so that nothing is rounded
    cells = np.arange(old + 1) * new
    low, high = np.maximum(edges[:-1, None], cells[:-1]), np.minimum(edges[1:, None], cells[1:])
    return np.maximum(high - low, 0) / old


def resized(maps: np.ndarray, grid: Grid) -> np.ndarray:
    """Maps (n, h, w, d) on another grid, (n, H, W, d). O(n d (H h w + H W w))."""
    height, width = maps.shape[1:3]
    if grid[0] != height:
        maps = np.einsum("Hh,nhwd->nHwd", area_weights(height, grid[0]), maps, optimize=True)
    if grid[1] != width:
        maps = np.einsum("Ww,nhwd->nhWd", area_weights(width, grid[1]), maps, optimize=True)
    return maps


def grid_of(tap: Activations) -> Grid:
    """Height and width of a tap's maps. Raises InputError where the samples have different numbers of tokens, or a
    number that does not fit the declared grid."""
    layout = tap.layout
    tokens = np.unique(np.diff(layout.offsets))
    if len(tokens) != 1:
        raise InputError(
            f"samples of {tap.name} have {tokens.min()} to {tokens.max()} tokens",
            "as many tokens for each sample, on a grid",
            "Choose a tap with maps, or one that is pooled",
        )
    grid = layout.grid or (1, int(tokens[0]))
    if layout.leading + grid[0] * grid[1] != tokens[0] and layout.grid is not None:
        raise InputError(
            f"samples of {tap.name} have {tokens[0]} tokens",
            f"{layout.leading} + {grid[0]} x {grid[1]} by its grid",
            "Record the tap again",
        )
    return grid


def common_grid(taps: Sequence[Activations], side: int) -> tuple[Grid, list[str]]:
    """The finest grid that every tap's maps can be averaged to, at most `side` high and wide; notes.

    Raises InputError where one tap has a grid and another one tokens without.
    """
    grids = [grid_of(t) for t in taps]
    maps = [t for t in taps if t.layout.grid is not None]
    rows = [t for t, g in zip(taps, grids, strict=True) if t.layout.grid is None and g != (1, 1)]
    if maps and rows:
        raise InputError(
            f"{maps[0].name} has tokens on a grid, {rows[0].name} has tokens without one",
            "maps, or rows of tokens, in all taps",
            "Choose other taps",
        )
    grid = tuple(min(min(g[axis] for g in grids), side) for axis in (0, 1))
    notes = []
    if any(g != grid for g in grids):
        listed = ", ".join(f"{t.name} {_words(g)}" for t, g in zip(taps, grids, strict=True))
        notes.append(f"Maps are averaged over areas to {_words(grid)} positions ({listed}).")
    if rows:
        notes.append("No grid is known: the tokens of a sample are taken as a row, matched by their place.")
    if grid == (1, 1):
        notes.append("There is one position only: nothing varies over space, all is DC.")
    leading = {t.name: t.layout.leading for t in taps if t.layout.leading}
    if leading:
        notes.append(
            "Tokens before the grid are left out: " + ", ".join(f"{k} {v}" for k, v in leading.items()) + "."
        )
    return grid, notes


def _words(grid: Grid) -> str:
    return f"{grid[0]} x {grid[1]}"


@dataclass(frozen=True)
class MapRows:
    """A tap as Activations with one row per sample: its map on `grid`, positions one after the other, units within."""

    tap: Activations
    grid: Grid

    @property
    def name(self) -> str:
        return self.tap.name

    @property
    def digest(self) -> str:
        return f"{self.tap.digest} on {_words(self.grid)}"

    @property
    def unit_names(self) -> tuple[str, ...]:
        positions = self.grid[0] * self.grid[1]
        return tuple(f"{unit} at {p}" for p in range(positions) for unit in self.tap.unit_names)

    @property
    def layout(self) -> Layout:
        return Layout.pooled(self.tap.layout.n_samples)

    @property
    def samples(self) -> Mapping[str, np.ndarray]:
        return self.tap.samples

    @property
    def shape(self) -> tuple[int, int]:
        return self.tap.layout.n_samples, self.grid[0] * self.grid[1] * self.tap.shape[1]

    def chunks(self, rows: int = CHUNK_ROWS) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (first sample, (m, positions x units) block in float64); m small enough for 8 MiB."""
        height, width = grid_of(self.tap)
        tokens = self.tap.layout.leading + height * width if self.tap.layout.grid else height * width
        step = max(1, min(rows, BLOCK_BYTES // (8 * tokens * self.tap.shape[1])))
        first, left = 0, None
        for _, block in self.tap.chunks():
            block = block if left is None else np.concatenate([left, block])
            whole = len(block) // tokens
            for start in range(0, whole, step):
                part = block[start * tokens : min(start + step, whole) * tokens]
                yield first + start, self._maps(part.reshape(-1, tokens, part.shape[1]), height, width)
            first, left = first + whole, block[whole * tokens :]

    def _maps(self, part: np.ndarray, height: int, width: int) -> np.ndarray:
        m, d = len(part), part.shape[2]
        maps = part[:, part.shape[1] - height * width :].astype(np.float64)
        with np.errstate(invalid="ignore"):  # a map with NaN or infinity is left out whole
            return resized(maps.reshape(m, height, width, d), self.grid).reshape(m, -1)

    def take(self, rows) -> np.ndarray:
        found = np.empty((len(rows), self.shape[1]))
        place = {int(row): i for i, row in enumerate(rows)}
        for start, block in self.chunks():
            for i, line in enumerate(block):
                if start + i in place:
                    found[place[start + i]] = line
        return found

    def unit(self, j: int) -> np.ndarray:
        return np.concatenate([block[:, j] for _, block in self.chunks()])
