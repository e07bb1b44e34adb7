"""The best denoiser of a mixture of low-dimensional Gaussians, and its derivative, in closed form.

    x_0 ~ Σ_k π_k N(0, U_k Λ_k U_kᵀ),   x = s x_0 + γ ε,   ε ~ N(0, 1)
    E[x_0 | x] = Σ_k w_k M_k x,         M_k = U_k diag(s λ / (s² λ + γ²)) U_kᵀ,
    log w_k = log π_k - ½ Σ_i log(s² λ_ki + γ²) - ½ (q - d_k) log γ² + (s / 2 γ²) xᵀ M_k x + constant

With λ = 1 and equal d this is s / (s² + γ²) Σ_k w_k U_k U_kᵀ x, w_k ∝ π_k exp(s² |U_kᵀ x|² / (2 γ² (s² + γ²))). The
derivative is symmetric, s / γ² times the covariance of x_0 given x:

    J = Σ_k w_k M_k + (s / γ²) Σ_k w_k (m_k - m)(m_k - m)ᵀ,   m_k = M_k x,  m = Σ_k w_k m_k

so that its rank is d_k where one component has all the weight.

References: P. Wang et al. (2024), "Diffusion models learn low-dimensional distributions via subspace clustering";
M. Tweedie's formula in B. Efron (2011), "Tweedie's formula and selection bias".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Mixture:
    """Shares π (K,), `bases` (q, d_k) orthonormal and `variances` (d_k,) above 0 of each component."""

    shares: np.ndarray
    bases: Sequence[np.ndarray]
    variances: Sequence[np.ndarray]

    @property
    def q(self) -> int:
        return len(self.bases[0])

    def gains(self, noise: float, signal: float = 1.0) -> list[np.ndarray]:
        """(d_k,) of each component: s λ / (s² λ + γ²)."""
        return [signal * v / (signal**2 * v + noise**2) for v in self.variances]

    def weights(self, x: np.ndarray, noise: float, signal: float = 1.0) -> np.ndarray:
        """(n, K) posterior weights of noised samples `x` (n, q)."""
        logs = []
        for share, basis, variance, gain in zip(
            self.shares, self.bases, self.variances, self.gains(noise, signal), strict=True
        ):
            size = np.log(signal**2 * variance + noise**2).sum() + 2 * (self.q - len(variance)) * np.log(
                noise
            )
            logs.append(np.log(share) - size / 2 + signal / (2 * noise**2) * ((x @ basis) ** 2) @ gain)
        logs = np.stack(logs, axis=1)
        found = np.exp(logs - logs.max(axis=1, keepdims=True))
        return found / found.sum(axis=1, keepdims=True)

    def denoised(self, x: np.ndarray, noise: float, signal: float = 1.0) -> np.ndarray:
        """(n, q) posterior means."""
        return np.einsum("nk,knq->nq", self.weights(x, noise, signal), self._means(x, noise, signal))

    def jacobians(self, x: np.ndarray, noise: float, signal: float = 1.0) -> np.ndarray:
        """(n, q, q) derivatives of `denoised`. O(n K q² + K q² d)."""
        w, means = self.weights(x, noise, signal), self._means(x, noise, signal)
        maps = np.array([(b * g) @ b.T for b, g in zip(self.bases, self.gains(noise, signal), strict=True)])
        off = means - np.einsum("nk,knq->nq", w, means)
        return np.einsum("nk,kpq->npq", w, maps) + signal / noise**2 * np.einsum(
            "nk,knp,knq->npq", w, off, off
        )

    def _means(self, x: np.ndarray, noise: float, signal: float) -> np.ndarray:
        """(K, n, q) posterior means of each component."""
        return np.array(
            [(x @ b * g) @ b.T for b, g in zip(self.bases, self.gains(noise, signal), strict=True)]
        )
