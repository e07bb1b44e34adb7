"""Barycentric subspaces in the Euclidean case: the flat through a few samples (exemplars), and how to choose them.

With exemplars r₀ … r_k, every point x has affine weights w (Σ w = 1) whose mixture Σ w_j r_j is the point of their
flat that is nearest to x. The flats V₀ ⊂ V₁ ⊂ … through the first one, two, … exemplars leave the variances
σ²_out(V_i) = Σ dist²(x, V_i) / (n - 1) unexplained; their sum is the accumulated unexplained variance (AUV). Principal
components leave Σ_{j>i} λ_j at each step, which no flat of dimension i falls below, so that their AUV is
Σ_j min(j, k + 1) λ_j up to dimension k, and Σ_j j λ_j for the full flag.

Everything is reckoned in principal coordinates z, where the scatter is diagonal: about an exemplar it is
(n - 1) diag λ + n r₀ r₀ᵀ, and a candidate with residual e adds eᵀ (scatter) e / eᵀe to what is explained. All n
candidates are so compared exactly in O(n r).

Reference: X. Pennec (2018), "Barycentric subspace analysis on manifolds".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import permutations

import numpy as np

from analysis.compute.linear.linalg import principal_components

BLOCK = 256  # rows that are compared at a time: few enough to stay in the cache
SAME = 1e-18  # squared distance from the flat, over the largest squared norm, below which a sample lies in it
OUTSIDE = -1e-9  # a weight below this is negative


@dataclass(frozen=True)
class PrincipalCloud:
    """`z` (n, r) points in principal coordinates, mean 0; their `variances` (r,) falling, over n - 1."""

    z: np.ndarray
    variances: np.ndarray

    @property
    def total(self) -> float:
        return float(self.variances.sum())

    @property
    def shift(self) -> float:
        """What the squared distance of a reference point from the mean adds to the variance about it."""
        return len(self.z) / (len(self.z) - 1)

    @cached_property
    def smallest(self) -> float:
        """A squared distance from a flat that counts as none."""
        return SAME * float(np.einsum("ij,ij->i", self.z, self.z).max())


@dataclass(frozen=True)
class Flat:
    """The flat through exemplars: `origin` (r,) the first of them, `frame` (k, r) orthonormal, from the first towards
    the second, then across towards the third …; `corners` (k + 1, k) the exemplars in these coordinates."""

    origin: np.ndarray
    frame: np.ndarray
    corners: np.ndarray

    def coordinates(self, z: np.ndarray) -> np.ndarray:
        """(n, k) places of the nearest points of the flat, in the unit of the data."""
        return (z - self.origin) @ self.frame.T

    def weights(self, coordinates: np.ndarray) -> np.ndarray:
        """(n, k + 1) affine weights, each row adding to 1."""
        rest = np.linalg.solve(self.corners[1:].T, coordinates.T).T
        return np.hstack([1 - rest.sum(axis=1, keepdims=True), rest])

    def residuals(self, z: np.ndarray) -> np.ndarray:
        """(n,) distances from the flat."""
        out = np.empty(len(z))
        for start in range(0, len(z), BLOCK):
            e = z[start : start + BLOCK] - self.origin
            e -= (e @ self.frame.T) @ self.frame
            out[start : start + BLOCK] = np.sqrt(np.einsum("ij,ij->i", e, e))
        return out


def principal_cloud(x: np.ndarray) -> PrincipalCloud:
    """The points `x` (n, d) in principal coordinates. Time O(n d min(n, d)). Raises as `principal_components`."""
    mean, directions, values = principal_components(x, min(x.shape))
    return PrincipalCloud((x - mean) @ directions.T, values)


def frame_through(points: np.ndarray, smallest: float) -> np.ndarray:
    """(m, r) orthonormal directions from the first of the `points` (k + 1, r) to the others, one after another; points
    whose squared distance from the flat of those before is at most `smallest` add none."""
    frame = np.zeros((0, points.shape[1]))
    for p in points[1:]:
        e = p - points[0]
        for _ in range(2):  # the second pass takes off what rounding left
            e = e - (frame @ e) @ frame
        if e @ e > smallest:
            frame = np.vstack([frame, e / np.linalg.norm(e)])
    return frame


def flat_through(points: np.ndarray, smallest: float) -> Flat | None:
    """The flat through the `points` (k + 1, r); None where one of them lies in the flat of those before it."""
    frame = frame_through(points, smallest)
    if len(frame) < len(points) - 1:
        return None
    return Flat(points[0], frame, np.tril((points - points[0]) @ frame.T, -1))


def inside(cloud: PrincipalCloud, points: np.ndarray) -> float:
    """Variance along the directions of the flat through `points` (k + 1, r), wherever it lies. O(r k)."""
    return float((frame_through(points, cloud.smallest) ** 2 @ cloud.variances).sum())


def past_mean(cloud: PrincipalCloud, points: np.ndarray) -> float:
    """What it adds to σ²_out that the flat through `points` passes the mean at a distance. O(r k)."""
    frame = frame_through(points, cloud.smallest)
    across = points[0] - (frame @ points[0]) @ frame
    return cloud.shift * float(across @ across)


def unexplained(cloud: PrincipalCloud, points: np.ndarray) -> float:
    """σ²_out of the flat through `points` (k + 1, r): the variance across it and its distance from the mean. O(r k)."""
    return max(cloud.total - inside(cloud, points), 0.0) + past_mean(cloud, points)


def nested(cloud: PrincipalCloud, points: np.ndarray) -> np.ndarray:
    """(k + 1,) σ²_out of the flats through the first 1, 2, … of the `points` (k + 1, r); their sum is the AUV."""
    return np.array([unexplained(cloud, points[: i + 1]) for i in range(len(points))])


def principal_nested(variances: np.ndarray, k: int) -> np.ndarray:
    """(k + 1,) variances that the leading 0, 1, … k principal components leave; their sum is Σ_j min(j, k + 1) λ_j."""
    return np.array([variances[i:].sum() for i in range(k + 1)])


# ---------------------------------------------------------------------------- choosing
def after(cloud: PrincipalCloud, chosen: list[int]) -> np.ndarray:
    """(n,) σ²_out when each sample in turn joins the `chosen`; infinite where it lies in their flat. O(n r)."""
    z = cloud.z
    if not chosen:
        return cloud.total + cloud.shift * np.einsum("ij,ij->i", z, z)
    flat, smallest = flat_through(z[chosen], cloud.smallest), cloud.smallest
    out = np.full(len(z), np.inf)
    if flat is None:
        return out
    before = unexplained(cloud, z[chosen])
    for start in range(0, len(z), BLOCK):
        e = z[start : start + BLOCK] - flat.origin
        e -= (e @ flat.frame.T) @ flat.frame
        across = cloud.shift * (e @ flat.origin) ** 2
        e *= e
        squares = e.sum(axis=1)
        gain = np.divide(
            e @ cloud.variances + across, squares, out=np.full(len(e), -np.inf), where=squares > smallest
        )
        out[start : start + BLOCK] = before - gain
    return out


def forward(
    cloud: PrincipalCloud, count: int, start: list[int] = (), among: np.ndarray | None = None
) -> list[int]:
    """`count` exemplars one after another, each the one that leaves the least variance unexplained.

    `start` : those that stand first. `among` : numbers of the candidates, None for all. Fewer where no candidate
    leaves the flat of those before. Ties go to the first. O(count n r).
    """
    chosen = list(start)
    while len(chosen) < count:
        left = _only(after(cloud, chosen), among)
        best = int(np.argmin(left))
        if not np.isfinite(left[best]):
            break
        chosen.append(best)
    return chosen


def exchanged(
    cloud: PrincipalCloud,
    chosen: list[int],
    fixed: int = 0,
    among: np.ndarray | None = None,
    sweeps: int = 10,
) -> list[int]:
    """Exemplars of which no single one can be exchanged for another sample to leave less variance unexplained.

    The first `fixed` stay; the others are then put in the order of least AUV. O(sweeps count n r).
    """
    chosen, value = list(chosen), unexplained(cloud, cloud.z[list(chosen)])
    for _ in range(sweeps):
        before = value
        for j in range(fixed, len(chosen)):
            left = _only(after(cloud, chosen[:j] + chosen[j + 1 :]), among)
            best = int(np.argmin(left))
            if left[best] < value * (1 - 1e-12):
                chosen[j], value = best, float(left[best])
        if value == before:
            break
    orders = [chosen[:fixed] + list(order) for order in permutations(chosen[fixed:])]
    return min(orders, key=lambda order: nested(cloud, cloud.z[order]).sum())


def choose(
    cloud: PrincipalCloud, count: int, exchange: bool, start: list[int] = (), among: np.ndarray | None = None
) -> list[int]:
    """`forward`, and then `exchanged` where there are as many as wanted and `exchange` is set; `start` stays first."""
    places = forward(cloud, count, start, among)
    return exchanged(cloud, places, len(start), among) if exchange and len(places) == count else places


def _only(left: np.ndarray, among: np.ndarray | None) -> np.ndarray:
    if among is None:
        return left
    out = np.full(len(left), np.inf)
    out[among] = left[among]
    return out


def instead(cloud: PrincipalCloud, chosen: list[int], j: int) -> np.ndarray:
    """(n,) σ²_out with each other sample in the place of exemplar j; infinite for the exemplars themselves."""
    left = after(cloud, chosen[:j] + chosen[j + 1 :])
    left[chosen] = np.inf
    return left


# ---------------------------------------------------------------------------- weights
def is_outside(weights: np.ndarray) -> np.ndarray:
    """(n,) bool: points with a negative weight, outside the triangle (tetrahedron) of the exemplars."""
    return (weights < OUTSIDE).any(axis=1)


def regular_simplex(k: int) -> np.ndarray:
    """(k + 1, k) corners at distance 1 from each other: the first at 0, the second on the first axis …"""
    gram = 0.5 * (np.eye(k) + np.ones((k, k)))
    return np.vstack([np.zeros(k), np.linalg.cholesky(gram)])
