"""Directions that a response depends on, whatever the form of the dependence: Stein's identities.

For z standard normal and y = f(Bᵀ z) + noise, E[y z] = B E[∇f] and E[y (z zᵀ - I)] = B E[∇²f] Bᵀ: both lie in the
span of B for every f, known or not. The first is 0 for even f, the second for linear f.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis.compute.linear.linalg import principal_components
from analysis.results import Estimate
from analysis.spec import Progress, no_progress

ORDERS = ("both", "first", "second")
SPLITS = 20


@dataclass(frozen=True)
class Whitening:
    """`mean` (d,) and `to` (d, p): (x - mean) @ to has unit variance in every direction."""

    mean: np.ndarray
    to: np.ndarray

    def scores(self, x: np.ndarray, clip: float) -> np.ndarray:
        """(n, p), each row drawn in to a length of `clip` root-p, so that single outliers do not own the moments."""
        z = (x - self.mean) @ self.to
        length = np.linalg.norm(z, axis=1, keepdims=True)
        most = clip * np.sqrt(z.shape[1])
        return z * np.minimum(1.0, most / np.maximum(length, 1e-300))


def whitening(x: np.ndarray, p: int) -> Whitening:
    """From the p leading principal components of `x` (n, d). O(n d min(n, d))."""
    mean, directions, values = principal_components(x, p)
    return Whitening(mean, directions.T / np.sqrt(values))


def first_moment(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """E[y z] as (p, c) for `z` (n, p), `y` (n, c)."""
    return z.T @ y / len(z)


def second_moment(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """E[y (z zᵀ - I)] as (c, p, p), symmetric. O(n p² c)."""
    c, p = y.shape[1], z.shape[1]
    out = np.empty((c, p, p))
    for r in range(c):
        out[r] = (z * y[:, [r]]).T @ z / len(z) - np.eye(p) * y[:, r].mean()
    return (out + out.transpose(0, 2, 1)) / 2


def response_directions(z: np.ndarray, y: np.ndarray, order: str, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Orthonormal directions (p, k) in falling order of strength, and the strengths of all (m,): singular values of
    the moments side by side. The second moment is divided by √2, so that squares count as shares of the response's
    variance in both."""
    blocks = []
    if order != "second":
        blocks.append(first_moment(z, y))
    if order != "first":
        blocks.append(np.concatenate(list(second_moment(z, y)), axis=1) / np.sqrt(2))
    u, s, _ = np.linalg.svd(np.concatenate(blocks, axis=1), full_matrices=False)
    u = u[:, :k] * np.sign(u[np.abs(u).argmax(axis=0), np.arange(u.shape[1])])[:k]
    return u, s


def quadratic_fit(a: np.ndarray, y: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Least-squares prediction of `y` (n, c) at `b` (m, k) by a quadratic polynomial in `a` (n, k)."""
    design, at = _quadratic(a), _quadratic(b)
    return at @ np.linalg.lstsq(design, y, rcond=None)[0]


def _quadratic(a: np.ndarray) -> np.ndarray:
    i, j = np.triu_indices(a.shape[1])
    return np.hstack([np.ones((len(a), 1)), a, a[:, i] * a[:, j]])


def span_angle(a: np.ndarray, b: np.ndarray) -> float:
    """Largest principal angle in degrees between the columns of `a` and of `b` (n, k)."""
    from scipy.linalg import subspace_angles

    return float(np.degrees(subspace_angles(a, b)[0]))


def split_half_angle(
    plane: Callable[[np.ndarray], np.ndarray],
    n: int,
    d: int,
    p: int,
    rng: np.random.Generator,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> Estimate:
    """Largest angle between the planes of two halves, over random splits, against random planes of p dimensions.

    `plane(samples)` gives the scores (n, k) of all samples on the plane that the chosen ones (n,) bool make.
    """
    angles = []
    for i in range(SPLITS):
        progress(span[0] + (span[1] - span[0]) * i / SPLITS, "comparing halves")
        half = rng.permutation(n) < n // 2
        scores = [plane(mine) for mine in (half, ~half)]
        angles.append(span_angle(*(s - s.mean(axis=0) for s in scores)))
    chance = [span_angle(*rng.standard_normal((2, p, min(2, p)))) for _ in range(200)]
    low, high = np.percentile(angles, [2.5, 97.5])
    return Estimate(
        "angle between the planes of two halves", float(np.median(angles)), float(low), float(high),
        interval=f"{SPLITS} random splits", null=float(np.median(chance)), null_low=float(np.percentile(chance, 2.5)),
        null_high=float(np.percentile(chance, 97.5)), null_method=f"random planes of {p} dimensions", n=n, d=d,
        estimator="largest principal angle of the scores", unit="degrees",
    )  # fmt: skip
