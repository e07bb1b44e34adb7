"""How one subspace turns into another, and how a series of them bends: first- and second-order difference subspaces.

Principal vectors u_i of A (d, p) and v_i of B (d, q), with angles θ_i, are all that P_A + P_B sees: its eigenvalues are
2 on the intersection, 1 + cos θ on u + v (the mean side), 1 - cos θ on u - v (the difference side), and 1 on what the
wider one has and the other lacks. |u - v| = 2 sin θ/2, and these differences are mutually orthogonal, so they are a
basis of the difference subspace; u + v is the point half-way along the shortest path of equal dimensions.

The movement is Σ (2 sin θ/2)², or Σ θ². The second order is the difference between a subspace and the point half-way
between its two neighbours: 0 where the three are equally spaced on one geodesic.

Vectors come from a CS decomposition: those of angles below 45 degrees from sines, the others from cosines, so angles
down to 1e-12 keep a direction. At θ = 90 degrees there is no one shortest path, and the middle is not defined.

References: K. Fukui & A. Maki (2015), "Difference subspace and its generalization for subspace-based methods";
K. Fukui et al. (2024), "Second-order difference subspace"; G. Golub & C. Van Loan (2013), section 2.5.4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ROUNDING = 1e-13  # radians: below, two directions are the same
CHORD, ARC = "chord, Σ (2 sin θ/2)²", "arc, Σ θ²"


@dataclass(frozen=True)
class Difference:
    """Of subspaces A (d, p) and B (d, q), m = min(p, q): `angles` (m,) rising; `first`, `second` (d, m) their principal
    vectors u, v; `mean` (d, m) along u + v; `directions` (d, r) along u - v, of the r `moved` (m,) angles beyond
    rounding; `unmatched` (d, |p - q|), what the wider one has and the other lacks."""

    angles: np.ndarray
    first: np.ndarray
    second: np.ndarray
    mean: np.ndarray
    directions: np.ndarray
    moved: np.ndarray
    unmatched: np.ndarray

    def sizes(self, measure: str = CHORD) -> np.ndarray:
        """(r,) what each direction of the difference adds to the movement."""
        angles = self.angles[self.moved]
        return (2 * np.sin(angles / 2)) ** 2 if measure == CHORD else angles**2

    def movement(self, measure: str = CHORD) -> float:
        return float(self.sizes(measure).sum())

    @property
    def eigenvalues(self) -> np.ndarray:
        """The non-zero eigenvalues of P_A + P_B, falling."""
        cosines = np.cos(self.angles)
        few = np.ones(self.unmatched.shape[1])
        return np.sort(np.r_[1 + cosines, few, (1 - cosines)[self.moved]])[::-1]

    @property
    def is_square(self) -> bool:
        """Whether some direction turned by 90 degrees: then many paths are the shortest."""
        return bool(self.angles[-1] > np.pi / 2 - 1e-9)

    def shares(self, measure: str = CHORD) -> np.ndarray:
        """(d,) what each coordinate adds to the movement; they sum to it."""
        return self.directions**2 @ self.sizes(measure)


def difference(a: np.ndarray, b: np.ndarray) -> Difference:
    """Of the spans of orthonormal columns `a` (d, p) and `b` (d, q). Time O(d (p + q)²)."""
    if a.shape[1] < b.shape[1]:
        t = difference(b, a)
        return Difference(t.angles, t.second, t.first, t.mean, -t.directions, t.moved, t.unmatched)
    q = b.shape[1]
    x = a.T @ b
    rest = b - a @ x
    rest -= a @ (a.T @ rest)  # twice is enough
    basis, y = np.linalg.qr(rest)
    left, cosines, right = np.linalg.svd(x)
    v, near = right.T, cosines > np.sqrt(0.5)
    count = int(near.sum())
    _, _, turn = np.linalg.svd(y @ v[:, :count])
    v = np.hstack([v[:, :count] @ turn[::-1].T, v[:, count:]])  # rising sines, then falling cosines
    inner, outer = x @ v, y @ v
    lengths, sines = np.linalg.norm(inner, axis=0), np.linalg.norm(outer, axis=0)
    angles = np.arctan2(sines, lengths)
    u = left[:, :q].copy()
    u[:, :count] = inner[:, :count] / lengths[:count]
    away = basis @ (outer / np.where(sines > 0, sines, 1.0))
    order = np.argsort(angles, kind="stable")
    angles, first, away = angles[order], (a @ u)[:, order], away[:, order]
    half, moved = angles / 2, angles > ROUNDING
    second = first * np.cos(angles) + away * np.sin(angles)
    mean = first * np.cos(half) + away * np.sin(half)
    apart = first * np.sin(half) - away * np.cos(half)
    return Difference(angles, first, second, mean, apart[:, moved], moved, a @ left[:, q:])


def midpoint(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(d, min(p, q)) half-way between two subspaces: the leading eigenvectors of P_A + P_B."""
    return difference(a, b).mean


def second_difference(before: np.ndarray, at: np.ndarray, after: np.ndarray) -> Difference:
    """From the point half-way between `before` and `after` to `at`: how far the series bends or changes its speed."""
    return difference(midpoint(before, after), at)


def random_movement(
    dims: tuple[int, ...], d: int, rng: np.random.Generator, draws: int, measure: str = CHORD
) -> np.ndarray:
    """(draws,) movement between random subspaces of two dimensions, or the second order of three."""
    found = np.empty(draws)
    for i in range(draws):
        frames = [np.linalg.qr(rng.standard_normal((d, k)))[0] for k in dims]
        found[i] = (difference(*frames) if len(dims) == 2 else second_difference(*frames)).movement(measure)
    return found
