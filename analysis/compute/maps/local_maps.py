"""A smooth map made of linear ones: y(z) = Σ_c w_c(z) A_c z with Gaussian weights that sum to 1.

Fitted by local strain: within each region c, the inner products of the points about the region's mean should be the
same on the map as in the data,

    Σ_c || W_c^½ (Ỹ Ỹᵀ - Z̃ Z̃ᵀ) W_c^½ ||²,   W_c = diag(w_c(z_i)),   ~ centred with these weights.

With one region this is classical scaling, whose optimum among linear maps is principal components: the start.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.spec import Progress, no_progress

LARGEST = 1e6  # of a reported anisotropy


@dataclass(frozen=True)
class LocalMaps:
    """`centres` (m, p), one `width`, and `maps` (m, q, p)."""

    centres: np.ndarray
    width: float
    maps: np.ndarray

    def weights(self, z: np.ndarray) -> np.ndarray:
        """(n, m), each row summing to 1."""
        away = (z**2).sum(axis=1)[:, None] - 2 * z @ self.centres.T + (self.centres**2).sum(axis=1)
        exponent = -away / (2 * self.width**2)
        exponent -= exponent.max(axis=1, keepdims=True)
        raw = np.exp(exponent)
        return raw / raw.sum(axis=1, keepdims=True)

    def place(self, z: np.ndarray) -> np.ndarray:
        """Positions (n, q) of the points `z` (n, p)."""
        return _blend(self.weights(z), self.maps, z)

    def jacobian(self, z: np.ndarray) -> np.ndarray:
        """dy/dz (n, q, p), the change of the weights included: Σ w_c A_c + Σ (A_c z) ∇w_cᵀ, with
        ∇w_c = w_c (Σ_b w_b (z - c_b) - (z - c_c)) / width². O(n m q p)."""
        w = self.weights(z)
        fixed = np.tensordot(w, self.maps, axes=1)
        parts = np.einsum("np,mqp->nmq", z, self.maps) * w[:, :, None]
        toward = (self.centres[None] - (w @ self.centres)[:, None]) / self.width**2
        return fixed + np.einsum("nmq,nmp->nqp", parts, toward)


def _blend(w: np.ndarray, maps: np.ndarray, z: np.ndarray) -> np.ndarray:
    return np.einsum("nm,nmq->nq", w, np.einsum("np,mqp->nmq", z, maps))


def spread_centres(z: np.ndarray, m: int, rng: np.random.Generator, steps: int = 50) -> np.ndarray:
    """At most m centres (<= m, p) by k-means from far-apart starts (D² sampling). O(steps n m p)."""
    centres = z[[rng.integers(len(z))]]
    for _ in range(m - 1):
        away = ((z[:, None] - centres) ** 2).sum(axis=2).min(axis=1)
        if away.sum() == 0:
            break
        centres = np.vstack([centres, z[rng.choice(len(z), p=away / away.sum())]])
    for _ in range(steps):
        of = ((z[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
        counts = np.bincount(of, minlength=len(centres))
        sums = (of[:, None] == np.arange(len(centres))).T.astype(float) @ z
        moved = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centres)
        if np.array_equal(moved, centres):
            break
        centres = moved
    return centres[np.lexsort(centres.T[::-1])]


def start_at_components(centres: np.ndarray, q: int, width: float) -> LocalMaps:
    """Every region with the same map: the first q coordinates. `width` multiplies the mean distance of a centre to
    the nearest other one."""
    m, p = centres.shape
    gaps = np.sqrt(((centres[:, None] - centres) ** 2).sum(axis=2)) + np.where(np.eye(m), np.inf, 0)
    reach = float(gaps.min(axis=1).mean()) if m > 1 else 1.0
    return LocalMaps(centres, width * max(reach, 1e-12), np.tile(np.eye(q, p), (m, 1, 1)))


class LocalStrain:
    """The strain of maps on the points `z` (n, p), as a share of what there is to keep."""

    def __init__(self, z: np.ndarray, weights: np.ndarray) -> None:
        self.z, self.w = z, weights
        self.mass = np.maximum(weights.sum(axis=0), 1e-12)
        self.middle = weights.T @ z / self.mass[:, None]
        self.whole = np.array([(self._scatter(c) ** 2).sum() for c in range(weights.shape[1])])
        self.total = max(float(self.whole.sum()), 1e-300)

    def _scatter(self, c: int) -> np.ndarray:
        away = self.z - self.middle[c]
        return (away * self.w[:, [c]]).T @ away

    def of(self, y: np.ndarray) -> tuple[float, np.ndarray]:
        """Strain in [0, ..) of positions `y` (n, q), and its gradient (n, q). O(n m p q)."""
        value, gradient = float(self.whole.sum()), np.zeros_like(y)
        for c in range(self.w.shape[1]):
            w = self.w[:, [c]]
            away = y - (w * y).sum(axis=0) / self.mass[c]
            centred = self.z - self.middle[c]
            g, h = (w * away).T @ away, (w * centred).T @ away
            value += float((g**2).sum() - 2 * (h**2).sum())
            gradient += 4 * w * (away @ g - centred @ h)
        return value / self.total, gradient / self.total


def fit_local_maps(
    start: LocalMaps,
    z: np.ndarray,
    steps: int,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> LocalMaps:
    """Lower the local strain from `start` by at most `steps` quasi-Newton steps. Time O(steps n m p q)."""
    from scipy.optimize import minimize

    w = start.weights(z)
    strain, shape, count = LocalStrain(z, w), start.maps.shape, iter(range(1, steps + 2))

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        maps = flat.reshape(shape)
        value, gradient = strain.of(_blend(w, maps, z))
        return value, np.einsum("nm,nq,np->mqp", w, gradient, z, optimize=True).ravel()

    def watch(_):
        progress(span[0] + (span[1] - span[0]) * min(1.0, next(count, steps) / steps), "bending the map")

    found = minimize(
        loss, start.maps.ravel(), jac=True, method="L-BFGS-B", callback=watch, options={"maxiter": steps}
    )
    return replace(start, maps=found.x.reshape(shape))


def ellipses(jacobian: np.ndarray) -> dict[str, np.ndarray]:
    """Expansion sqrt(det J Jᵀ), anisotropy σ₁ / σ₂ and angle (degrees in (-90, 90]) of J (n, 2, p)."""
    u, s, _ = np.linalg.svd(jacobian, full_matrices=False)
    ratio = np.minimum(s[:, 0] / np.maximum(s[:, 1], s[:, 0] / LARGEST + 1e-300), LARGEST)
    angle = np.degrees(np.arctan2(u[:, 1, 0], u[:, 0, 0]))
    angle = np.where(angle <= -90, angle + 180, np.where(angle > 90, angle - 180, angle))
    found = {"jacobian expansion": s[:, 0] * s[:, 1], "anisotropy": ratio, "ellipse angle": angle}
    return {name: column.astype(np.float32) for name, column in found.items()}
