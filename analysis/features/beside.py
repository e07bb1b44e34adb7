"""A second tap of the same store whose rows stand beside those that are trained on: gradients, or what is to be told.

Row for row they must be of the same tokens of the same samples. Its rows are scaled so that one has length 1 on
average, about their mean where they are to be rebuilt and about 0 where they are gradients: 0 means something there.
"""

from __future__ import annotations

import numpy as np

from analysis.activations import Activations
from analysis.compute.statistics.moments import UnitMoments
from analysis.errors import InputError, ShapeError


class Beside:
    """Rows of `activations` beside those of another tap; `centred` about their mean or about 0.

    Attributes
    ----------
    mean : (d,) float64, 0 where they are not centred; scale : float. Known after `settle`.
    held : (m, d) float32, the rows of held-out samples as they are in the tap.
    """

    def __init__(self, activations: Activations, centred: bool = True) -> None:
        self.activations, self.centred = activations, centred
        self.mean, self.scale = np.zeros(activations.shape[1]), 1.0
        self._kept: list[np.ndarray] = []
        self._moments: UnitMoments | None = None

    @property
    def n_units(self) -> int:
        return self.activations.shape[1]

    def refuse_other_rows(self, first: Activations) -> None:
        """Raises ShapeError where the two do not have the same rows."""
        own, other = self.activations.layout.offsets, first.layout.offsets
        if len(own) != len(other) or not np.array_equal(own, other):
            raise ShapeError(
                f"{self.activations.name} has {self.activations.shape[0]:,} rows of {len(own) - 1:,} samples",
                f"the {first.shape[0]:,} rows of {len(other) - 1:,} samples that {first.name} has, token by token",
                "Record both taps at once, pooled in the same way",
            )

    def look(self, trained_on: np.ndarray, held: np.ndarray) -> None:
        """See rows that are trained on (n, d) and held-out ones (m, d)."""
        if len(trained_on):
            part = UnitMoments.of(trained_on)
            self._moments = part if self._moments is None else self._moments.merge(part)
        if len(held):
            self._kept.append(np.array(held, np.float32))

    def settle(self) -> None:
        """Mean and scale of what was seen. Raises InputError for rows that do not vary, or are all 0."""
        found = self._moments
        size = found.m2.sum() / found.n
        if self.centred:
            self.mean, there = found.mean, bool(found.varies().any())
        else:
            size, there = size + (found.mean**2).sum(), bool(size + (found.mean**2).sum() > 0)
        if not there or not np.isfinite(size):
            what = "do not vary" if self.centred else "are all 0"
            raise InputError(f"the rows of {self.activations.name} {what}", "rows that differ")
        self.scale, self.held = float(1 / np.sqrt(size)), np.concatenate(self._kept)

    def scaled(self, x: np.ndarray) -> np.ndarray:
        """s (x - mean) in float32."""
        return ((np.asarray(x, np.float64) - self.mean) * self.scale).astype(np.float32)
