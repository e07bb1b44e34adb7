"""Sums of Kronecker products: the nearest to a matrix, of every admissible shape.

W (m₁ m₂, n₁ n₂) = Σ σ_k B_k ⊗ C_k with B (m₁, n₁), C (m₂, n₂) is the singular value decomposition of W rearranged, each
block (m₂, n₂) of W as one row (Van Loan & Pitsianis 1993): r products are the best r terms of that shape, their energy
is Σ σ_k² of them, and Σ of all is ‖W‖_F². One product costs m₁ n₁ + m₂ n₂ numbers, one term of W's own singular value
decomposition m + n. A rearranged matrix of rank 1 is an exact Kronecker product, and W then may have full rank.

Reference: C. Van Loan & N. Pitsianis (1993), "Approximation with Kronecker products".
"""

from __future__ import annotations

import numpy as np

Shape = tuple[int, int]


def rearranged(w: np.ndarray, shape: Shape) -> np.ndarray:
    """(m₁ n₁, m₂ n₂) from `w` (m₁ m₂, n₁ n₂); `shape` is (m₁, n₁)."""
    m1, n1 = shape
    m2, n2 = w.shape[0] // m1, w.shape[1] // n1
    return w.reshape(m1, m2, n1, n2).transpose(0, 2, 1, 3).reshape(m1 * n1, m2 * n2)


def factor_shapes(m: int, n: int) -> list[Shape]:
    """Shapes (m₁, n₁) of the left factor, the cheapest a term first. Left out are those that are the matrix itself
    or its own singular value decomposition: (1, 1), (m, n), (m, 1), (1, n)."""
    trivial = {(1, 1), (m, n), (m, 1), (1, n)}
    shapes = [(a, b) for a in _divisors(m) for b in _divisors(n) if (a, b) not in trivial]
    return sorted(shapes, key=lambda s: (term_cost(s, m, n), s))


def term_cost(shape: Shape, m: int, n: int) -> int:
    """Numbers in one product of this shape."""
    a, b = shape
    return a * b + (m // a) * (n // b)


def kronecker_singular_values(w: np.ndarray, shape: Shape) -> np.ndarray:
    """Falling, of the rearranged matrix. O(m n min(m₁ n₁, m₂ n₂))."""
    return np.linalg.svd(rearranged(w, shape), compute_uv=False)


def parameters_for(sigma: np.ndarray, cost: int, share: float) -> int:
    """Numbers in the fewest terms with this share of the energy Σσ²; 0 for a matrix of zeros."""
    energy = (sigma / sigma[0]) ** 2 if sigma[0] > 0 else sigma
    if not energy.any():
        return 0
    reached = np.cumsum(energy) / energy.sum() >= share * (1 - 1e-12)
    return (int(np.argmax(reached)) + 1) * cost


def energy_within(sigma: np.ndarray, cost: int, parameters: np.ndarray) -> np.ndarray:
    """Share of the energy that terms of at most so many numbers (g,) hold; 0 for a matrix of zeros."""
    if not sigma[0] > 0:
        return np.zeros(len(parameters))
    total = np.r_[0.0, np.cumsum((sigma / sigma[0]) ** 2)]
    return (total / total[-1])[np.minimum(parameters // cost, len(sigma)).astype(int)]


def _divisors(n: int) -> list[int]:
    return [k for k in range(1, n + 1) if n % k == 0]
