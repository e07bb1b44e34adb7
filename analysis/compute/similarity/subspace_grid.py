"""Overlaps of, or distances between, the subspaces of every two taps, each beside what random subspaces give."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.similarity.similarity_grid import Grid, Pair, compared
from analysis.compute.statistics.nulls import add_one_p
from analysis.compute.subspaces.angles import overlap, overlap_by_chance, principal_angles
from analysis.compute.subspaces.distances import DISTANCES, METRIC, distance
from analysis.compute.subspaces.random_subspaces import FEWEST_DRAWS, overlap_p, random_angles
from analysis.compute.subspaces.tap_subspaces import TapSubspaces
from analysis.errors import InputError
from analysis.spec import Progress, no_progress

OVERLAP = "overlap"


@dataclass(frozen=True)
class SubspaceMeasure:
    """The overlap, or the distance `name`; `unequal`: how distances treat different dimensions."""

    name: str
    unequal: str

    @property
    def distant(self) -> bool:
        return self.name != OVERLAP

    @property
    def formula(self) -> str:
        return DISTANCES[self.name].formula if self.distant else "Σ cos² θ / m"

    def of(self, angles: np.ndarray, p: int, q: int) -> np.ndarray:
        """Of angles (…, min(p, q))."""
        return distance(self.name, angles, p, q, self.unequal) if self.distant else overlap(angles)

    def largest(self, widths: list[int]) -> float:
        """What it cannot exceed between two different ones of subspaces of these dimensions."""
        if not self.distant:
            return 1.0
        rising = sorted(widths)
        return float(DISTANCES[self.name].most(rising[-1] if self.unequal == METRIC else rising[-2]))


class Chance:
    """Of random subspaces of `d` dimensions: found once for each two dimensions p, q."""

    def __init__(self, measure: SubspaceMeasure, d: int, rng: np.random.Generator) -> None:
        self.measure, self.d, self.rng = measure, d, rng
        self._drawn: dict[tuple[int, int], np.ndarray] = {}

    def _angles(self, p: int, q: int) -> np.ndarray:
        key = (min(p, q), max(p, q))
        if key not in self._drawn:
            self._drawn[key] = random_angles(*key, self.d, self.rng)
        return self._drawn[key]

    def pair(self, series: np.ndarray, p: int, q: int) -> Pair:
        """Moments of the overlap are exact, those of distances drawn. p: exact for the overlap with a line, else from
        the draws; Cantelli's bound where these are few."""
        value, angles = float(series[0]), self._angles(p, q)
        if not self.measure.distant:
            return Pair(
                series, *overlap_by_chance(p, q, self.d), float(overlap_p(value, p, q, self.d, angles))
            )
        drawn = self.measure.of(angles, p, q)
        mean, deviation = float(drawn.mean()), float(drawn.std(ddof=1))
        if len(drawn) < FEWEST_DRAWS:
            return Pair.with_moments(series, mean, deviation, distance=True)
        return Pair(series, mean, deviation, float(add_one_p(-value, -drawn)))


def subspace_grid(
    found: TapSubspaces,
    measure: SubspaceMeasure,
    rng: np.random.Generator,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.7, 1.0),
) -> Grid:
    """Every two of the members. Raises InputError where a distance is infinite."""
    chance, depth = Chance(measure, found.dimensions, rng), max(len(m.bases) for m in found.members)

    def compare(a, b) -> Pair:
        angles = np.array([principal_angles(x, y) for x, y in zip(a.bases, b.bases, strict=False)])
        series = measure.of(angles, a.k, b.k)
        if not np.isfinite(series).all():
            raise InputError(
                f"{measure.name}'s distance between {a.name} ({a.k}) and {b.name} ({b.k}) is infinite",
                "subspaces of one dimension without a right angle between them", "Choose another distance",
            )  # fmt: skip
        if len(a.bases) != len(b.bases):
            series = series[:1]
        return chance.pair(np.append(series, np.full(depth - len(series), np.nan)), a.k, b.k)

    every = np.arange(len(found.members))
    return compared(
        found.members, compare, every, every, n=found.n, units=[found.dimensions] * len(every),
        perfect=0.0 if measure.distant else 1.0, progress=progress, span=span,
    )  # fmt: skip
