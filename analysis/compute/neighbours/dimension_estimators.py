"""Intrinsic dimension from distances to nearest neighbours: how the number of points grows with the radius.

Where points lie evenly on a manifold of dimension D, the volume to the j-th neighbour grows as r_j^D, so that ratios of
distances tell D and neither the density nor the number of units matters. With r_j the distance to the j-th neighbour:

    TwoNN    D = (n - 1) / Σ_i log(r_2 / r_1)
    MLE      1 / D = mean over points and j < k of log(r_k / r_j)        (inverses averaged: MacKay & Ghahramani)
    Gride    the D of greatest likelihood of μ = r_2k / r_k,  f(μ) = D (μ^D - 1)^(k-1) / (B(k, k) μ^(D (2k-1) + 1))

TwoNN is Gride with k = 1 and, but for n - 1 in the place of n, the MLE with two neighbours (that n - 1 takes its bias
away; Gride has it too). All read too little from about ten dimensions on, because no
sample is dense there.

References: E. Facco et al. (2017), "Estimating the intrinsic dimension of datasets by a minimal neighborhood
information"; E. Levina & P. Bickel (2004); D. MacKay & Z. Ghahramani (2005), comments on it; F. Denti et al. (2022),
"The generalized ratios intrinsic dimension estimator".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.neighbours.neighbour_graph import neighbour_graph
from analysis.compute.neighbours.neighbours import distinct, nearest
from analysis.errors import InputError, NotEnoughData
from analysis.spec import Progress, no_progress

HIGHEST = 1e6  # dimension beyond which distances count as equal
SAFE = 2.0**40  # largest coordinate, and one over it: float32 holds the squares of what lies between


@dataclass(frozen=True)
class Apart:
    """`points` (n, d) float64, all different; `owner` (n,) the sample of each, rising from 0; `kept` (n,) their numbers
    among the points given, of which `dropped` lay on another one."""

    points: np.ndarray
    owner: np.ndarray
    kept: np.ndarray
    dropped: int

    @property
    def notes(self) -> list[str]:
        if not self.dropped:
            return []
        return [f"{self.dropped:,} point(s) that lie exactly on another one left out: their distance is 0."]


def apart(x: np.ndarray, owner: np.ndarray, minimum: int, name: str = "the tap") -> Apart:
    """The different points of `x` (n, d), finite; `owner` (n,) their samples. O(n d log n).

    Raises NotEnoughData where fewer than `minimum` are left.
    """
    x = np.asarray(x, np.float64) + 0.0  # -0.0 and 0.0 are the same point
    kept = np.sort(distinct(x)[1])
    if len(kept) < minimum:
        raise NotEnoughData(
            f"{name} has {len(kept)} different point(s) of {len(x)}",
            f"at least {minimum}",
            "Record more samples, or raise 'maximum rows'",
        )
    numbers = np.unique(np.asarray(owner)[kept], return_inverse=True)[1].reshape(-1)
    x = x if len(kept) == len(x) else x[kept]
    largest = float(np.abs(x).max())
    if not 1 / SAFE < largest < SAFE:  # a power of two: no digit is lost, and dimensions do not depend on it
        x = np.ldexp(x, -int(np.frexp(largest)[1]))
    return Apart(x, numbers, kept, len(owner) - len(kept))


@dataclass(frozen=True)
class Near:
    """`indices` and `distances` (n, k) of the nearest other points, nearest first."""

    indices: np.ndarray
    distances: np.ndarray


def near_points(
    points: np.ndarray,
    k: int,
    *,
    shared: bool = False,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> Near:
    """The k nearest others of `points` (n, d); `shared`: by the graph that all neighbour methods use. O(n² d)."""
    if shared:
        progress(span[0], "finding neighbours")  # once, whether they are known already or not
        graph = neighbour_graph(points, k, exact=True)
        return Near(graph.indices, graph.distances.astype(np.float64))
    found = nearest(points, k, progress=progress, span=span)
    return Near(found.indices, found.distances)


def two_nn(distances: np.ndarray) -> float:
    """TwoNN of distances (n, >= 2), nearest first."""
    r = _positive(distances[:, :2])
    return (len(r) - 1) / _some(np.log(r[:, 1] / r[:, 0]).sum(), len(r))


def mle(distances: np.ndarray, k: int) -> float:
    """MLE of k >= 2 neighbours of distances (n, >= k), nearest first; inverses averaged over points."""
    r = _positive(distances[:, :k])
    return 1.0 / _some(float(np.log(r[:, -1:] / r[:, :-1]).mean()), 1)


def gride(distances: np.ndarray, k: int) -> float:
    """Gride of the distances (n, >= 2 k) to neighbours k and 2 k."""
    from scipy.optimize import brentq

    r = _positive(distances[:, [k - 1, 2 * k - 1]])
    logs = np.log(r[:, 1] / r[:, 0])
    if k == 1:
        return two_nn(r)
    logs = logs[logs > 0]  # a tie has no likelihood
    _some(float(logs.sum()), len(r))

    def slope(dimension: float) -> float:  # of the log likelihood
        near = (logs / -np.expm1(-dimension * logs)).mean()
        return (1 - 1 / len(logs)) / dimension - (2 * k - 1) * logs.mean() + (k - 1) * near

    return float(brentq(slope, 1e-6 / logs.mean(), 4 * k / logs.mean(), xtol=1e-12, rtol=1e-12))


def _positive(r: np.ndarray) -> np.ndarray:
    """Lines whose smallest distance is not lost in float32."""
    good = r[:, 0] > 0
    if good.sum() < 3:
        raise _equal()
    return r if good.all() else r[good]


def _some(total: float, n: int) -> float:
    if total * HIGHEST <= n:
        raise _equal()
    return float(total)


def _equal() -> InputError:
    return InputError(
        "all points are equally far from their neighbours",
        "distances that differ",
        "Points on a regular grid or simplex have no dimension that distances could tell; choose another tap",
    )


def tied_share(near: Near) -> float:
    """Share of points whose two nearest neighbours are equally far: not zero where values lie on a grid."""
    return float((near.distances[:, 0] == near.distances[:, 1]).mean())


def same_sample_share(near: Near, owner: np.ndarray) -> float:
    """Share of points whose nearest neighbour is of the same sample."""
    return float((owner[near.indices[:, 0]] == owner).mean())
