"""One channel of a star block, (w₁·x)(w₂·x), as a quadratic form: xᵀ sym(w₁ w₂ᵀ) x.

sym(w₁ w₂ᵀ) = (w₁ w₂ᵀ + w₂ w₁ᵀ) / 2 has rank two at most, with eigenvalues (w₁·w₂ ± ‖w₁‖ ‖w₂‖) / 2: one positive and one
negative, unless the branches are parallel. A bias is the weight of a constant input 1. Over d inputs and the constant,
such products span (d + 1)(d + 2) / 2 functions at most.
"""

from __future__ import annotations

import numpy as np


def form_eigenvalues(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positive and negative eigenvalue (units,) of each channel's form; weights (units, inputs)."""
    inner = np.einsum("ij,ij->i", first, second)
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    inner = np.clip(inner, -lengths, lengths)
    return (inner + lengths) / 2, (inner - lengths) / 2


def function_count(inputs: int) -> int:
    """Most functions that products of two affine functions of so many inputs span."""
    return (inputs + 1) * (inputs + 2) // 2
