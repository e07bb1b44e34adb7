"""Exemplars by luck: samples drawn at random, the same choice among Gaussian points, and samples that lie alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

from analysis.compute.linear.barycentric import PrincipalCloud, flat_through, inside, is_outside, nested
from analysis.compute.neighbours.squared_distances import SquaredDistances
from analysis.spec import Progress, no_progress

EXACT = 10  # points for each coordinate, above which chance in the covariance hardly matters


@dataclass(frozen=True)
class Luck:
    """Per draw (draws,), as shares of the total variance: what lies `inside` the directions of the flat, and the
    `accumulated` σ²_out (AUV); and `outside`, the share of points with a negative weight."""

    inside: np.ndarray
    accumulated: np.ndarray
    outside: np.ndarray


def random_exemplars(cloud: PrincipalCloud, count: int, draws: int, rng: np.random.Generator) -> Luck:
    """Samples drawn at random as exemplars. `outside` from at most 1,000 points. O(draws count (r + 1000 r))."""
    n, some = len(cloud.z), cloud.z[:: -(-len(cloud.z) // 1000)]
    return _luck(cloud, some, [cloud.z[rng.choice(n, size=count, replace=False)] for _ in range(draws)])


def gaussian_exemplars(
    cloud: PrincipalCloud,
    choose: Callable[[PrincipalCloud], list[int]],
    draws: int,
    rng: np.random.Generator,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> Luck:
    """Exemplars chosen in the same way among as many Gaussian points with exactly the same mean and covariance.

    Where there are many more points than coordinates, the covariance is left to chance. O(draws n r), O(draws n r²)
    with less than 10 points for each coordinate.
    """
    found, (n, r) = [], cloud.z.shape
    for i in range(draws):
        progress(span[0] + (span[1] - span[0]) * i / draws, "choosing among Gaussian points")
        z = rng.standard_normal((n, r))
        if n < EXACT * r:
            z -= z.mean(axis=0)
            z = solve_triangular(np.linalg.cholesky(z.T @ z / (n - 1)), z.T, lower=True).T
        z *= np.sqrt(cloud.variances)
        drawn = PrincipalCloud(z, cloud.variances)
        found.append(_luck(drawn, z[:1000], [z[choose(drawn)]]))
    names = ("inside", "accumulated", "outside")
    return Luck(*(np.concatenate([getattr(f, name) for f in found]) for name in names))


def _luck(cloud: PrincipalCloud, some: np.ndarray, drawn: list[np.ndarray]) -> Luck:
    held = [inside(cloud, points) / cloud.total for points in drawn]
    left = [nested(cloud, points).sum() / cloud.total for points in drawn]
    flats = [flat_through(points, cloud.smallest) for points in drawn]
    outside = [1.0 if f is None else is_outside(f.weights(f.coordinates(some))).mean() for f in flats]
    return Luck(np.array(held), np.array(left), np.array(outside))


def loneliness(cloud: PrincipalCloud, chosen: list[int]) -> np.ndarray:
    """Distance of each of the `chosen` from its nearest other sample, over the median of such distances (from at most
    300 samples); 0 where that is 0. O(300 n r)."""
    squares = SquaredDistances(cloud.z)
    rows = np.r_[chosen, np.arange(0, len(cloud.z), -(-len(cloud.z) // 300))]
    blocks = [squares.squares(rows[i : i + 50]) for i in range(0, len(rows), 50)]
    near = np.sqrt(np.concatenate([np.partition(b, 1, axis=1)[:, 1] for b in blocks]))  # -1 is the row itself
    usual = float(np.median(near[len(chosen) :]))
    return near[: len(chosen)] / usual if usual > 0 else np.zeros(len(chosen))
