"""What the points of a map are: the rows of a tap, or its units.

As points, units are compared by their standardised activity: the squared distance between units i and j is
2 (1 - r_ij). The coordinates come from the correlation matrix alone, so any number of rows is streamed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations, ArrayActivations
from analysis.compute.statistics.moments import moments_of
from analysis.compute.streaming import Pass, refuse_few
from analysis.errors import TooLarge
from analysis.spec import Progress, no_progress

MOST_UNITS = 8192
OF_HELP = "What a point is: a row (a sample or token), or a unit placed by how it correlates with the others."


@dataclass(frozen=True)
class PointSet:
    """`points`: Activations whose rows are the points; `index` (n,) of each point in the tap, None when it is
    the row number; `n_samples` independent observations behind each coordinate (for rows at most, since a pass
    may find samples without a finite row); `notes` to print as caveats."""

    points: Activations
    of: str
    index: np.ndarray | None
    n_samples: int
    notes: tuple[str, ...] = ()

    def numbers(self, rows: np.ndarray) -> np.ndarray:
        """Row or unit number in the tap of the given points."""
        return np.asarray(rows) if self.index is None else self.index[rows]


def point_set(
    activations: Activations,
    of: str,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> PointSet:
    """The rows as they are, or the units from one streamed pass.

    Time O(n d² + d³) and memory O(d²) for units, nothing for rows.

    Raises
    ------
    NotEnoughData
        Fewer than four units vary, or fewer than three finite rows.
    TooLarge
        More than 8,192 units.
    """
    if of == "rows":
        n = activations.layout.n_samples
        return PointSet(activations, of, None, n if n > 1 else activations.shape[0])
    d = activations.shape[1]
    if d > MOST_UNITS:
        raise TooLarge(f"{activations.name} has {d:,} units", f"at most {MOST_UNITS:,} as points", "Use rows")
    seen = Pass()
    moments = moments_of(activations, seen, progress, span)
    refuse_few(activations.name, moments.n if moments else 0, 3)
    kept = np.flatnonzero(moments.varies())
    refuse_few(activations.name, len(kept), 4, "unit(s) that vary")
    notes = list(seen.notes)
    if len(kept) < d:
        notes.append(f"{d - len(kept)} constant unit(s) have no correlation and are not drawn.")
    values = correlation_coordinates(moments.correlation()[np.ix_(kept, kept)])
    points = ArrayActivations(
        values, name=f"units of {activations.name}", digest=activations.digest + "/units"
    )
    return PointSet(points, of, kept, seen.independent, tuple(notes))


def correlation_coordinates(r: np.ndarray) -> np.ndarray:
    """Coordinates (d, rank) with squared distances 2 (1 - r) from a correlation matrix (d, d). O(d³)."""
    values, vectors = np.linalg.eigh(r)
    keep = values > values[-1] * len(r) * np.finfo(float).eps
    return vectors[:, keep] * np.sqrt(values[keep])
