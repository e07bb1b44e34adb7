"""More like this: the exact nearest neighbours of one row in the original space, beside how near neighbours are."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.activations import Activations
from analysis.arrays import finite_rows
from analysis.compute.rows.metric_space import METRICS, Space, squared_distances
from analysis.errors import InputError, NotFound, ParameterError
from analysis.spec import Progress, no_progress

PROBES = 48  # random rows whose neighbour distances say what is usual


@dataclass(frozen=True)
class Alike:
    """`rows` (k,) nearest first, ties to the lower row; `distances` (k,) (cosine: 1 - cos). The null: `typical`,
    `typical_low`, `typical_high` (k,) median and middle 90 % of the same distances of `n_probes` random rows.
    `n_nonfinite` rows could not be compared."""

    rows: np.ndarray
    distances: np.ndarray
    typical: np.ndarray
    typical_low: np.ndarray
    typical_high: np.ndarray
    n_probes: int
    n_nonfinite: int
    metric: str

    @property
    def sentence(self) -> str:
        """How near the nearest is, in words."""
        if not len(self.rows):
            return "There is no other row to compare with."
        usual = f"{self.typical[0]:.3g} ({self.typical_low[0]:.3g} to {self.typical_high[0]:.3g} for most)"
        return f"The nearest row is at {self.distances[0]:.3g}; for a random row that is {usual}."


def more_like(
    activations: Activations,
    row: int,
    k: int = 20,
    metric: str = "euclidean",
    *,
    rng: np.random.Generator | None = None,
    progress: Progress = no_progress,
) -> Alike:
    """The k nearest other rows of one row; fewer where there are no more.

    Exact: float64 differences, chunk by chunk. Time O(n d) and one read of the tap (two where the probes' rows lie in
    files), memory O(chunk d + PROBES k).

    Raises
    ------
    NotFound
        No such row.
    ParameterError
        k < 1, or an unknown metric.
    InputError
        The row holds NaN or infinity.
    """
    n = activations.shape[0]
    if metric not in METRICS:
        raise ParameterError(f"metric {metric!r}", "one of " + ", ".join(METRICS))
    if k < 1:
        raise ParameterError(f"k = {k}", "at least 1")
    if not 0 <= row < n:
        raise NotFound(f"{activations.name} has no row {row}", f"0 … {n - 1}")
    rng = rng or np.random.default_rng(0)
    chosen = np.append(row, rng.choice(n, size=min(PROBES, n), replace=False))
    centres = np.asarray(activations.take(chosen), np.float64)
    good = finite_rows(centres)
    if not good[0]:
        raise InputError(f"row {row} of {activations.name} holds NaN or infinity", "a row of numbers")
    keep = [_Nearest(int(c), k) for c in chosen[good]]
    left_out = _compare(activations, centres[good], keep, metric, progress)
    others = np.full((max(len(keep) - 1, 0), len(keep[0].distances)), np.nan)
    for line, probe in zip(others, keep[1:], strict=True):
        line[: len(probe.distances)] = probe.distances[: len(line)]
    low, typical, high = np.nanpercentile(others, [5, 50, 95], axis=0) if others.size else np.zeros((3, 0))
    mine = keep[0]
    return Alike(mine.rows, mine.distances, typical, low, high, len(others), left_out, metric)


class _Nearest:
    """The k nearest rows seen so far, nearest first, ties to the lower row."""

    def __init__(self, own: int, k: int) -> None:
        self.own, self.k = own, k
        self.rows, self.distances = np.empty(0, np.int64), np.empty(0)

    def add(self, rows: np.ndarray, distances: np.ndarray) -> None:
        if len(self.rows) == self.k:  # a later row wins only by being nearer
            near = distances < self.distances[-1]
            rows, distances = rows[near], distances[near]
        other = rows != self.own
        rows, distances = np.append(self.rows, rows[other]), np.append(self.distances, distances[other])
        order = np.lexsort((rows, distances))[: self.k]
        self.rows, self.distances = rows[order], distances[order]


def _compare(activations, centres: np.ndarray, keep: list[_Nearest], metric: str, progress: Progress) -> int:
    """Add every row's distance to each of `keep`; how many rows were not finite. The first centre is compared by
    differences, the probes by one product (their distances are a yardstick)."""
    space, left_out = Space.of(centres, metric), 0
    if metric == "euclidean":  # the row itself is the origin: differences to it are rounded once
        space = replace(space, centre=centres[0])
    placed = space.place(centres)
    for start, block in activations.chunks():
        progress(start / max(activations.shape[0], 1), "comparing rows")
        good = finite_rows(block)
        left_out += int((~good).sum())
        rows, points = start + np.flatnonzero(good), space.place(block[good])
        if not len(rows):
            continue
        difference = points - placed[0]
        with np.errstate(over="ignore", invalid="ignore"):  # beyond the largest number is far, not wrong
            away = np.einsum("ij,ij->i", difference, difference)[None]
            away = np.nan_to_num(
                np.vstack([away, squared_distances(placed[1:], points)]), nan=np.inf, posinf=np.inf
            )
        for nearest, square in zip(keep, away, strict=True):
            nearest.add(rows, square / 2 if metric == "cosine" else np.sqrt(square) * space.scale)
    progress(1.0, "compared")
    return left_out
