"""Erasing a concept from activations by an affine map, in closed form.

Every eraser is x' = x - (x - μ) A Bᵀ with A, B (d, k). It is an orthogonal projection where A = B = U has orthonormal
columns, and an oblique one where Bᵀ A = I. With S = Σ_xx, the covariance, and the columns √p_c (μ_c - μ) of M, so
that M Mᵀ is the covariance of the class means (for a number z: M = Σ_xz / σ_z, one column):

    mean           U: k leading principal axes of the class means, M; two classes: μ_1 - μ_0; a number: the mean of its
                   upper half minus that of the lower (Bolukbasi et al. 2016)
    covariance     U: k leading left singular vectors of Σ_xz with z the indicators, columns p_c (μ_c - μ) (Ravfogel et
                   al. 2022, the closed form of their game for least squares; Shao et al. 2023)
    LEACE          with G = Mᵀ S⁺ M = Q g Qᵀ:  A = S⁺ M Q g^{-1/2}, B = M Q g^{-1/2}: the projection that takes Σ_xz
                   to 0 with the least E‖x - x'‖² of all affine maps (Belrose et al. 2023). In their notation it is
                   x - W⁺ P W (x - μ), W = S^{-1/2}, P onto the columns of W Σ_xz; this form needs one Cholesky
                   factorisation. Of fewer than rank Σ_xz dimensions: those of the largest canonical correlations g
    LDA            U: spans the discriminants (S_w)⁻¹ (μ_c - μ), shrunk; of a number the least-squares direction

Mean and covariance agree with two classes, and at full rank with any (their spans are the same). A linear probe, of
any convex loss, does no better than a constant exactly where Σ_xz = 0: on the samples of the fit that is so after
mean, covariance and LEACE at full rank, but not after LDA.

References: T. Bolukbasi et al. (2016); S. Ravfogel et al. (2022), "Linear Adversarial Concept Erasure"; S. Shao,
Y. Ziser & S. Cohen (2023), spectral attribute removal; N. Belrose et al. (2023), "LEACE: Perfect linear concept
erasure in closed form".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.groups.concept import Concept
from analysis.compute.linear.fisher import basis_of, discriminants
from analysis.compute.subspaces.concept_moments import ConceptMoments
from analysis.errors import NotEnoughData

RANK = 1e-9  # singular values below this share of the scale of the data are rounding
ILL = 1e-5  # of the Cholesky factor's diagonal: below, the covariance is inverted by eigenvectors instead


@dataclass(frozen=True)
class Eraser:
    """x' = x - (x - mean) read writeᵀ; `read`, `write` (d, k)."""

    name: str
    mean: np.ndarray
    read: np.ndarray
    write: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Erased rows (n, d), float64. O(n d k)."""
        return x - ((x - self.mean) @ self.read) @ self.write.T

    @property
    def rank(self) -> int:
        """Dimensions removed."""
        return self.read.shape[1]

    @property
    def matrix(self) -> np.ndarray:
        """(d, d) P with x' - μ = (x - μ) P."""
        return np.eye(len(self.mean)) - self.read @ self.write.T


def mean_projection(m: ConceptMoments, k: int) -> Eraser:
    """Removes the k leading principal axes of the class means."""
    between = m.between if m.halves is None else m.halves[:, None]
    return orthogonal("mean projection", m.mean, _leading(between, k, m.scale))


def covariance_projection(m: ConceptMoments, k: int) -> Eraser:
    """Removes the k leading left singular vectors of the cross-covariance."""
    return orthogonal("cross-covariance projection", m.mean, _leading(m.cross, k, m.scale))


def leace(m: ConceptMoments, k: int) -> Eraser:
    """Least-squares concept erasure; the whole of Σ_xz for k >= its rank. O(d³ / 3), memory two (d, d)."""
    solved = _solved(m.covariance, m.between)
    values, turn = np.linalg.eigh(m.between.T @ solved)
    keep = np.argsort(-values, kind="stable")[:k]
    keep = keep[values[keep] > 1e-12]  # squared canonical correlations: at most 1
    root = np.sqrt(values[keep])
    return Eraser("LEACE", m.mean, solved @ (turn[:, keep] / root), m.between @ (turn[:, keep] / root))


def discriminant_projection(x: np.ndarray, concept: Concept, m: ConceptMoments, k: int) -> Eraser:
    """Removes the span of the k leading discriminants (of a number: the least-squares direction)."""
    if concept.is_number:
        found = _solved(m.covariance, m.cross)
    else:
        basis = basis_of(x)
        found = basis.vectors @ discriminants(basis, concept.of, len(concept.classes)).weights[:, :k]
    return orthogonal("LDA projection", m.mean, np.linalg.qr(found)[0][:, :k])


def random_projection(m: ConceptMoments, k: int, rng: np.random.Generator) -> Eraser:
    """Removes k uniformly random directions: what erasing costs that means nothing."""
    k = min(k, len(m.mean))
    return orthogonal("random directions", m.mean, np.linalg.qr(rng.standard_normal((len(m.mean), k)))[0])


def orthogonal(name: str, mean: np.ndarray, basis: np.ndarray) -> Eraser:
    """Of orthonormal columns `basis` (d, k)."""
    return Eraser(name, mean, basis, basis)


def refuse_few_for_units(n: int, d: int, what: str) -> None:
    """Fewer than d + 1 samples have a direction for any labels at all."""
    if n < d + 1:
        raise NotEnoughData(
            f"{n} {what} for {d} units: any labels at all could then be read, and erased, without a rest",
            f"at least {d + 1}", "Raise 'maximum samples', record more samples, or take a narrower tap",
        )  # fmt: skip


def _leading(columns: np.ndarray, k: int, scale: float) -> np.ndarray:
    """Orthonormal (d, <= k): leading left singular vectors, without those that are rounding."""
    u, s, _ = np.linalg.svd(columns, full_matrices=False)
    return u[:, : min(k, int((s > RANK * scale).sum()))]


def _solved(covariance: np.ndarray, right: np.ndarray) -> np.ndarray:
    """covariance⁺ right, for `right` in the range of it."""
    from scipy.linalg import LinAlgError, cho_factor, cho_solve

    try:
        factor = cho_factor(covariance, lower=True)
        diagonal = np.diag(factor[0])
        if diagonal.min() > ILL * diagonal.max():
            return cho_solve(factor, right)
    except LinAlgError:
        pass
    values, vectors = np.linalg.eigh(covariance)
    keep = values > values[-1] * len(values) * np.finfo(float).eps
    return vectors[:, keep] @ ((vectors[:, keep].T @ right) / values[keep, None])
