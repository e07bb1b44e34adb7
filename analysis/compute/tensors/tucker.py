"""Tucker: an array as a small core times an orthonormal basis for each axis.

    X ≈ G ×₁ U₁ ×₂ U₂ ×₃ U₃ …,   U_nᵀ U_n = I,   G = X ×₁ U₁ᵀ ×₂ U₂ᵀ …

Any rotation of a basis with the core turned back fits as well: only the subspaces are determined. The canonical
orientation is that of the higher-order singular value decomposition (De Lathauwer, De Moor & Vandewalle 2000): slices
of the core along any mode are orthogonal to each other and fall in size. At full ranks it is exact; cut, the squares
left are at most the sum over modes of the squared singular values that were cut off, and alternating improves them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.compute.tensors.products import times, unfolded

SWEEPS, SETTLED = 100, 1e-10


@dataclass(frozen=True)
class TuckerFactors:
    """`core`; `factors`: (size, r) orthonormal of every mode; `left`, `total`: squares left over, and of the data."""

    core: np.ndarray
    factors: tuple[np.ndarray, ...]
    left: float
    total: float

    @property
    def explained(self) -> float:
        return 1 - self.left / self.total if self.total > 0 else 0.0


def higher_order_svd(x: np.ndarray, ranks: Sequence[int]) -> TuckerFactors:
    """The leading singular vectors of every unfolding, and the core that goes with them. O(size · smallest side)."""
    return _with_core(x, [_leading(x, mode, r) for mode, r in enumerate(ranks)])


def tucker(x: np.ndarray, ranks: Sequence[int], sweeps: int = SWEEPS) -> TuckerFactors:
    """Improved in turn from the higher-order SVD until nothing is gained (HOOI); in canonical orientation."""
    found = higher_order_svd(x, ranks)
    for _ in range(sweeps):
        factors = list(found.factors)
        for mode in range(x.ndim):
            part = x
            for other, factor in enumerate(factors):
                if other != mode:
                    part = times(part, factor.T, other)
            factors[mode] = _leading(part, mode, ranks[mode])
        new = _with_core(x, factors)
        gained, found = found.left - new.left, new if new.left <= found.left else found
        if gained <= SETTLED * found.total:
            break
    return _canonical(x, found)


def _canonical(x: np.ndarray, found: TuckerFactors) -> TuckerFactors:
    """Turned inside the subspaces so that the slices of the core are orthogonal and fall; the largest entry of a
    profile is positive."""
    turned = []
    for mode, factor in enumerate(found.factors):
        turn = np.linalg.svd(unfolded(found.core, mode), full_matrices=True)[0][:, : factor.shape[1]]
        own = factor @ turn
        sign = np.sign(own[np.abs(own).argmax(axis=0), np.arange(own.shape[1])])
        turned.append(own * np.where(sign == 0, 1.0, sign))
    return _with_core(x, turned)


def _leading(x: np.ndarray, mode: int, r: int) -> np.ndarray:
    flat = unfolded(x, mode)
    if flat.shape[0] <= flat.shape[1]:
        return np.linalg.eigh(flat @ flat.T)[1][:, ::-1][:, :r]
    return np.linalg.svd(flat, full_matrices=False)[0][:, :r]


def _with_core(x: np.ndarray, factors) -> TuckerFactors:
    core = x
    for mode, factor in enumerate(factors):
        core = times(core, factor.T, mode)
    total = float((x**2).sum())
    return TuckerFactors(core, tuple(factors), max(total - float((core**2).sum()), 0.0), total)
