"""Squared distances of some points to all, exactly equal for equal points."""

from __future__ import annotations

import numpy as np

from analysis.compute.neighbours.neighbours import distinct


class SquaredDistances:
    """Points (n, d) float64; equal ones are done once, so that ties between them are exact."""

    def __init__(self, points: np.ndarray) -> None:
        self.group, first = distinct(points)
        self.whole = len(first) == len(points)
        self.unique = points if self.whole else points[first]
        if self.whole:
            self.group = np.arange(len(points))
        self.norms = np.einsum("ij,ij->i", self.unique, self.unique)

    def squares(self, rows: np.ndarray) -> np.ndarray:
        """Squared distances (m, n) of the given rows to all points, with -1 to the row itself."""
        mine = self.group[rows]
        out = self.unique[mine] @ self.unique.T
        out *= -2
        out += self.norms
        out += self.norms[mine][:, None]
        np.maximum(out, 0.0, out=out)
        out[np.arange(len(rows)), mine] = 0.0
        out = out if self.whole else out[:, self.group]
        out[np.arange(len(rows)), rows] = -1.0
        return out
