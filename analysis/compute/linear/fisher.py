"""Fisher's linear discriminants with a shrunk within-class covariance, in a form that makes relabelling cheap.

With x in the eigenbasis of the total covariance, S_t = Λ, and S_b = B Bᵀ with one column per class, the within-class
covariance is S_w = Λ - B Bᵀ, shrunk to (1 - a) S_w + a μ I (μ = tr S_w / d, a by Ledoit & Wolf 2004). Then
D = (1 - a) Λ + a μ I is diagonal, and with G = Bᵀ D⁻¹ B (classes x classes), G u = g u:

    w = D⁻¹ B u / sqrt(g (1 - (1 - a) g)),    λ = g / (1 - (1 - a) g),    S_b w = λ ((1 - a) S_w + a μ I) w

so another labelling costs O(n d classes) instead of O(d³).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.results import Estimate


@dataclass(frozen=True)
class Basis:
    """Centred samples `z` (n, r) in the eigenbasis `vectors` (d, r) of their covariance (divided by n), with the
    eigenvalues `values` (r,) and the `mean` (d,); d_full units."""

    z: np.ndarray
    vectors: np.ndarray
    values: np.ndarray
    mean: np.ndarray
    d_full: int


@dataclass(frozen=True)
class Discriminants:
    """`weights` (r, k) in the basis, unit within-class variance each; `ratios` (k,) λ falling; `shrinkage` a."""

    weights: np.ndarray
    ratios: np.ndarray
    shrinkage: float


def basis_of(x: np.ndarray) -> Basis:
    """Time O(n d min(n, d)). Directions without variance are left out: no class mean lies there."""
    mean = x.mean(axis=0)
    centred = x - mean
    n, d = x.shape
    if n < d:
        values, left = np.linalg.eigh(centred @ centred.T / n)
    else:
        values, vectors = np.linalg.eigh(centred.T @ centred / n)
    keep = values > values[-1] * max(n, d) * np.finfo(float).eps
    values = values[keep]
    if n < d:
        vectors = centred.T @ left[:, keep] / np.sqrt(n * values)
    else:
        vectors = vectors[:, keep]
    return Basis(centred @ vectors, vectors, values, mean, d)


def discriminants(
    basis: Basis, of: np.ndarray, classes: int, shrinkage: float | None = None
) -> Discriminants:
    """At most classes - 1 axes for the labels `of` (n,); `shrinkage` None for Ledoit and Wolf's. O(n r classes)."""
    n = len(basis.z)
    counts = np.bincount(of, minlength=classes).astype(np.float64)
    onehot = (of[:, None] == np.arange(classes)).astype(np.float64)
    means = (onehot.T @ basis.z) / np.maximum(counts, 1)[:, None]
    between = (means * np.sqrt(counts / n)[:, None]).T  # B
    a, mu = _shrinkage(basis, means, between, of)
    a = a if shrinkage is None else shrinkage
    diagonal = (1 - a) * basis.values + a * mu
    scaled = between / diagonal[:, None]
    g, u = np.linalg.eigh(between.T @ scaled)
    g, u = g[::-1], u[:, ::-1]
    k = min(classes - 1, len(basis.values), int((g > 1e-12 * max(g[0], 1e-300)).sum()))
    g, u = g[:k], u[:, :k]
    rest = np.maximum(1 - (1 - a) * g, 1e-12)
    return Discriminants(scaled @ u / np.sqrt(np.maximum(g * rest, 1e-300)), g / rest, float(a))


def _shrinkage(basis: Basis, means: np.ndarray, between: np.ndarray, of: np.ndarray) -> tuple[float, float]:
    """Ledoit and Wolf's intensity for the rows' deviations from their class means, and μ."""
    n, d = len(basis.z), basis.d_full
    inner = (basis.z * means[of]).sum(axis=1)
    norms = (basis.z**2).sum(axis=1) - 2 * inner + (means**2).sum(axis=1)[of]
    trace = float(basis.values.sum() - (between**2).sum())
    square = float((basis.values**2).sum() - 2 * (basis.values[:, None] * between**2).sum())
    square += float(((between.T @ between) ** 2).sum())
    mu = max(trace, 1e-9 * float(basis.values.sum())) / d  # classes without any spread inside
    spread = square - d * mu**2
    noise = (float((norms**2).sum()) / n - square) / n
    if spread <= 1e-14 * max(square, 1e-300):
        return 1.0, mu
    return float(np.clip(noise / spread, 1e-8, 1.0)), mu


def accuracies(x, of, fold, bases, classes: int, axes: int) -> tuple[float, float, float, float]:
    """Accuracy of the nearest class mean on held-out samples with the first `axes` discriminants and with all, the
    same on the samples that made them, and λ of the first axis (fit on all)."""
    right, whole = np.zeros(len(x), bool), np.zeros(len(x), bool)
    for f in range(fold.max() + 1):
        basis, train = bases[f], fold != f
        weights = discriminants(basis, of[train], classes).weights
        test = (x[~train] - basis.mean) @ (basis.vectors @ weights)
        right[~train] = _nearest(basis.z @ weights, of[train], test, classes, axes) == of[~train]
        whole[~train] = _nearest(basis.z @ weights, of[train], test, classes, None) == of[~train]
    found = discriminants(bases[-1], of, classes)
    own = bases[-1].z @ found.weights
    same = _nearest(own, of, own, classes, axes) == of
    return right.mean(), whole.mean(), same.mean(), float(found.ratios[0]) if len(found.ratios) else 0.0


def _nearest(made, of, test, classes: int, axes: int | None) -> np.ndarray:
    """Class of the nearest mean of `made` (m, k) for each row of `test` (t, k), on the first `axes` coordinates."""
    made, test = made[:, :axes], test[:, :axes]
    counts = np.bincount(of, minlength=classes)
    means = ((of[:, None] == np.arange(classes)).T @ made) / np.maximum(counts, 1)[:, None]
    away = (means**2).sum(axis=1) - 2 * test @ means.T
    return np.where(counts > 0, away, np.inf).argmin(axis=1)


def inside_principal(basis: Basis, weights: np.ndarray, share: float = 0.9) -> Estimate:
    """How much of the discriminants' subspace lies in the fewest principal components that hold `share` of the
    variance: 1 all, 0 none. `weights` (r, k) in the basis; a random subspace has components / directions."""
    falling = basis.values[::-1]
    components = int(np.searchsorted(falling.cumsum(), share * falling.sum() * (1 - 1e-12))) + 1
    frame = np.linalg.qr(weights)[0]
    return Estimate(
        f"share of the discriminants inside {share:.0%} of the variance",
        float(min(1.0, (frame[::-1][:components] ** 2).sum() / frame.shape[1])), null=components / len(falling),
        null_method=f"random subspaces: {components} of {len(falling)} directions", n=len(basis.z), d=basis.d_full,
        estimator=f"overlap with {components} principal components",
    )  # fmt: skip


def with_largest_rest(basis: Basis, weights: np.ndarray, components: int) -> np.ndarray:
    """Weights (r, components): those given (r, k), then directions of the largest variance outside their span, each
    scaled to unit variance; 0 where nothing is left."""
    frame = np.linalg.qr(weights)[0]
    if frame.shape[1] < components and len(basis.values) > frame.shape[1]:
        rest = np.eye(len(basis.values)) - frame @ frame.T
        values, vectors = np.linalg.eigh(rest * basis.values @ rest)
        more = components - frame.shape[1]
        scale = np.sqrt(np.maximum(values[-more:], 1e-300))
        weights = np.hstack([weights, (vectors[:, -more:] / scale)[:, ::-1]])
    return np.pad(weights, ((0, 0), (0, components - weights.shape[1])))
