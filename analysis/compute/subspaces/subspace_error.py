"""How far the span of the leading k principal axes is from the true one, expected from the spectrum.

In large samples of Gaussian rows E Σ sin² θ = (1 / n) Σ_{i<=k<j} λ_i λ_j / (λ_i - λ_j)² over the k principal angles θ:
the cost of a cut between eigenvalues that hardly differ. With heavier tails it is more. Where n is not many times d,
sample eigenvalues are spread and the formula is too kind; the spiked law (`linear.spiked`) then says Σ (1 - overlap).

References: T. W. Anderson (1963); D. Rabenoro & X. Pennec (2022), "A geometric framework for asymptotic inference of
principal subspaces in PCA".
"""

from __future__ import annotations

import numpy as np


def subspace_error(eigenvalues: np.ndarray, k: int, n: int, d: int) -> float:
    """Expected Σ sin² θ of the first `k` of `d` axes from n independent rows; `eigenvalues` (r,) falling, those that
    are missing being 0. Never above min(k, d - k), which says that the span is not known at all. O(k d)."""
    inside, outside = eigenvalues[:k, None], eigenvalues[None, k:]
    gap = inside - outside
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        terms = np.where(gap > 0, inside * outside / gap**2, np.inf)
    return float(min(np.nan_to_num(terms.sum() / n, nan=np.inf, posinf=np.inf), k, d - k))


def error_by_chance(k: int, d: int) -> float:
    """Mean Σ sin² θ between a fixed and a uniformly random k-dimensional subspace: k (1 - k / d)."""
    return k * (1 - k / d)
