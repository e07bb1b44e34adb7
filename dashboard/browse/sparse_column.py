"""A column that is 0 nearly everywhere, of which only pieces are asked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SparseColumn:
    """`values` (m,) at `rows` (m,), rising; NaN at `gaps`, rising; 0 elsewhere. `column[start:stop]` is an array."""

    rows: np.ndarray
    values: np.ndarray
    gaps: np.ndarray

    def __getitem__(self, part: slice) -> np.ndarray:
        out = np.zeros(part.stop - part.start, np.float32)
        first, last = np.searchsorted(self.rows, (part.start, part.stop))
        out[self.rows[first:last] - part.start] = self.values[first:last]
        first, last = np.searchsorted(self.gaps, (part.start, part.stop))
        out[self.gaps[first:last] - part.start] = np.nan
        return out


@dataclass(frozen=True)
class StoredColumn:
    """The same of a unit with very many entries: each slice is read from the disk when it is asked for."""

    activations: object
    unit: int

    def __getitem__(self, part: slice) -> np.ndarray:
        return self.activations.piece(self.unit, part.start, part.stop)
