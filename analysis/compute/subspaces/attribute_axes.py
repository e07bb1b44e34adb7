"""Orthonormal axes that belong to attributes, and edits along them.

Matrix subspace projection (Li et al. 2020) asks for a row-orthonormal M (m, d) with M z ≈ y and z ≈ Mᵀ y + the rest.
For given z the second has a closed form: ‖z - Mᵀ y‖² is least for M = V Uᵀ, where U S Vᵀ is the singular value
decomposition of Cov(z, y) (orthogonal Procrustes). Its rows span Cov(z, y), so that what is left of z has no
covariance with y at all: on the samples of the fit no linear probe finds an attribute there (Ravfogel et al. 2020;
Shao et al. 2023). Axes nearest to the weights of a regression instead read attributes better and leave more behind,
since a regression weight is not where an attribute moves the data (Haufe et al. 2014).

An edit gives the coordinates M z new values c: z' = z + Mᵀ (c - M z). Exactly: M z' = c, (I - MᵀM) z' = (I - MᵀM) z, c
= M z changes nothing, and edits of different coordinates commute, because the rows of M are orthonormal.

References: X. Li et al. (2020), "Latent space factorisation and manipulation via matrix subspace projection"; S. Haufe
et al. (2014); S. Shao et al. (2023), "Gold doesn't always glitter".
"""

from __future__ import annotations

import numpy as np

from analysis.compute.linear.ridge_probe import ridge_weights
from analysis.errors import InputError

COVARIANCE, REGRESSION = "cross-covariance", "regression"
FITS = (COVARIANCE, REGRESSION)


def nearest_orthonormal(a: np.ndarray) -> np.ndarray:
    """The orthonormal columns nearest to those of `a` (d, k), k <= d, in the least-squares sense: the polar factor.

    Raises InputError where the columns are linearly dependent: then there are many nearest ones.
    """
    d, k = a.shape
    left, s, right = np.linalg.svd(a, full_matrices=False) if k <= d else (None, np.zeros(1), None)
    if not s[-1] > 1e-10 * s[0]:
        raise InputError(
            f"{k} attribute(s) have fewer than {k} independent directions in {d} unit(s)",
            "attributes that no linear combination of the others gives, and more units than attributes",
            "Name fewer columns",
        )
    return left @ right


def attribute_axes(x: np.ndarray, y: np.ndarray, fit: str = COVARIANCE) -> np.ndarray:
    """M (m, d), orthonormal rows, one for each attribute, from values `x` (n, d) and attributes `y` (n, m).

    Raises InputError where attributes determine each other or there are more of them than units.
    """
    y = y - y.mean(axis=0)
    y = y / np.maximum(y.std(axis=0), 1e-300)
    if fit == REGRESSION:
        return nearest_orthonormal(ridge_weights(x, y)).T
    return nearest_orthonormal((x - x.mean(axis=0)).T @ y / len(x)).T


def edited(z: np.ndarray, axes: np.ndarray, coordinates: np.ndarray) -> np.ndarray:
    """`z` (n, d) moved inside the span of `axes` (m, d) until its coordinates there are `coordinates` (n, m) or
    (m,)."""
    return z + (coordinates - z @ axes.T) @ axes


def outside(z: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """`z` (n, d) without its part in the span of the orthonormal rows `axes` (m, d)."""
    return z - (z @ axes.T) @ axes


def separate_subspaces(parts: list[np.ndarray]) -> list[np.ndarray]:
    """Orthonormal bases (d, k_i), every one orthogonal to all others, together nearest to the orthonormal `parts`.

    None comes first, as it would in Gram and Schmidt's way: all move as little as they can (Löwdin 1950). Raises
    InputError where the parts meet.
    """
    joint = nearest_orthonormal(np.hstack(parts))
    return np.split(joint, np.cumsum([p.shape[1] for p in parts])[:-1], axis=1)
