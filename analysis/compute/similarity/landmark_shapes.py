"""Shapes of landmarks: brought together by similarity transforms, and their modes (active shape models).

Landmarks are complex numbers z = x + i y here, so that rotating by θ, scaling by s and shifting by t is a z + t with
a = s e^{iθ}. Least squares of |a z + t - w|² over a and t has the closed form a = <z, w> / <z, z> of centred z, w, and
the full Procrustes distance is sqrt(1 - |<z, w>|² / (|z|² |w|²)), 0 under similarity transforms. The mean shape of
generalised Procrustes analysis is the largest eigenvector of Σ z z* / |z|² (Kent 1994), which needs no iteration. The
modes are the principal components of the shapes aligned to it.

References: T. Cootes et al. (1995), "Active shape models"; J. Gower (1975); I. Dryden & K. Mardia (1998), "Statistical
shape analysis"; J. Kent (1994).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ShapeModes:
    """`turns` (n,) complex a_i and `centres` (n,) of the transforms a_i (z - centre_i) that align each shape; `mean`
    (2 L,) of the aligned shapes, `modes` (m, 2 L) orthonormal and their `variances` (m,), falling."""

    turns: np.ndarray
    centres: np.ndarray
    mean: np.ndarray
    modes: np.ndarray
    variances: np.ndarray

    def aligned(self, z: np.ndarray) -> np.ndarray:
        """Complex shapes (n, L), or what is to be moved with them, as real (n, 2 L) in the frame of the mean."""
        return as_real(self.turns[:, None] * (z - self.centres[:, None]))

    def moved(self, error: np.ndarray) -> np.ndarray:
        """Complex differences (n, L) in the frame of the mean: turned and scaled, not shifted."""
        return as_real(self.turns[:, None] * error)

    def kept(self, z: np.ndarray, k: int) -> np.ndarray:
        """Shapes (n, L) rebuilt from their first k modes, back in their own frames."""
        away = self.aligned(z) - self.mean
        made = self.mean + away @ self.modes[:k].T @ self.modes[:k]
        return as_complex(made) / self.turns[:, None] + self.centres[:, None]


def as_real(z: np.ndarray) -> np.ndarray:
    return np.concatenate([z.real, z.imag], axis=-1)


def as_complex(x: np.ndarray) -> np.ndarray:
    half = x.shape[-1] // 2
    return x[..., :half] + 1j * x[..., half:]


def shape_modes(z: np.ndarray) -> ShapeModes:
    """Of complex shapes (n, L), none of which has all landmarks in one place. O(n L²)."""
    centres = z.mean(axis=1)
    centred = z - centres[:, None]
    sizes = np.sqrt((np.abs(centred) ** 2).sum(axis=1))
    unit = centred / sizes[:, None]
    _, vectors = np.linalg.eigh(unit.T @ unit.conj())
    mean = vectors[:, -1] * np.exp(-1j * np.angle(vectors[np.abs(vectors[:, -1]).argmax(), -1]))
    turns = (unit.conj() @ mean) / sizes  # least squares of |a z - mean|²
    turns = np.where(
        np.abs(turns) * sizes > 1e-6, turns, 1 / sizes
    )  # a shape with no best turn stays as it is
    flat = as_real(turns[:, None] * centred)
    middle = flat.mean(axis=0)
    _, s, right = np.linalg.svd(flat - middle, full_matrices=False)
    return ShapeModes(turns, centres, middle, right, s**2 / max(len(z) - 1, 1))


def procrustes_distance(z: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Full Procrustes distance (n,) in [0, 1] of complex shapes (n, L): 0 under similarity transforms, 1 for shapes one
    of which is a single point."""
    a, b = (x - x.mean(axis=1, keepdims=True) for x in (z, w))
    lengths = np.sqrt((np.abs(a) ** 2).sum(axis=1) * (np.abs(b) ** 2).sum(axis=1))
    inner = np.abs((a.conj() * b).sum(axis=1))
    share = np.divide(inner, lengths, out=np.zeros(len(a)), where=lengths > 0)
    # |a x - b| directly: 1 - share² loses half of the digits near 0
    turn = np.divide((a.conj() * b).sum(axis=1), (np.abs(a) ** 2).sum(axis=1), out=np.zeros(len(a), complex),
                     where=lengths > 0)  # fmt: skip
    left = np.sqrt((np.abs(turn[:, None] * a - b) ** 2).sum(axis=1))
    size = np.sqrt((np.abs(b) ** 2).sum(axis=1))
    return np.where(share > 0, np.divide(left, size, out=np.ones(len(a)), where=size > 0), 1.0)


def error_ellipses(error: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Half axes (L,), (L,), the longer first, and angle (L,) of the longer in degrees from the x axis, in (-90, 90], of
    one standard deviation of complex errors (n, L) about their mean."""
    away = error - error.mean(axis=0)
    x, y = away.real, away.imag
    n = max(len(error) - 1, 1)
    a, b, c = (x * x).sum(axis=0) / n, (y * y).sum(axis=0) / n, (x * y).sum(axis=0) / n
    middle, half = (a + b) / 2, np.hypot((a - b) / 2, c)
    angle = np.degrees(np.arctan2(2 * c, a - b) / 2)
    return np.sqrt(np.maximum(middle + half, 0)), np.sqrt(np.maximum(middle - half, 0)), angle
