"""The cells of a heat map as they are made, block by block: kept whole while they are few, else in tiles on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from analysis.store.tiles import STEPS, TilesWriter

MOST = 512  # a side that an overview shows, and holds whole


class HeatCells:
    """Takes blocks in drawing order; use it in a `with` block.

    path : the folder for the tiles of a map beyond 512 a side. largest : no value is larger in magnitude. symmetric :
    only blocks with rows before columns need to come. `finish` gives the overview.
    """

    def __init__(
        self, path: Path | None, shape: tuple[int, int], largest: float, *, symmetric: bool = False
    ) -> None:
        self.shape, self.symmetric, self.is_large = shape, symmetric, max(shape) > MOST
        if self.is_large:
            self._writer = TilesWriter(path, shape, largest / STEPS, symmetric=symmetric)
        else:
            self._cells = np.zeros(shape, np.float32)

    def __enter__(self) -> HeatCells:
        return self

    def __exit__(self, *_failure) -> None:
        if self.is_large:
            self._writer.discard()

    def write(self, row: int, column: int, values: np.ndarray) -> None:
        """Put a block (a, b) at line `row` and column `column`."""
        if self.is_large:
            self._writer.write(row, column, values)
            return
        a, b = values.shape
        self._cells[row : row + a, column : column + b] = values
        if self.symmetric:
            self._cells[column : column + b, row : row + a] = np.asarray(values).T

    def finish(self) -> tuple[np.ndarray, int]:
        """The overview (<= 512, <= 512) float32, and how many cells a side each of its cells is gathered from."""
        if not self.is_large:
            return self._cells, 1
        overview, level, _ = self._writer.finish().block(0, self.shape[0], 0, self.shape[1], MOST)
        return overview, 1 << level
