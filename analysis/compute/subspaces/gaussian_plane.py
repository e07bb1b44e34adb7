"""Classes as Gaussians, seen in a plane: which plane, and the ellipse of each class in it."""

from __future__ import annotations

import numpy as np

from analysis.compute.subspaces.gaussian_classes import DiagonalGaussians
from analysis.compute.subspaces.gaussian_sides import Side


def plane_of(
    sides: list[Side], means: list[np.ndarray], of_means: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Origin (d,), orthonormal axes (d, 2) in which the classes' `means` (C, d) of all sides differ most, or the
    samples do, and the share (2,) of that variance along each. Missing axes are 0, shares 0 where nothing differs."""
    x = np.vstack(means) if of_means else np.vstack([s.x for s in sides])
    middle = x.mean(axis=0)
    x = x - middle
    wide = x.shape[1] > len(x)
    values, vectors = np.linalg.eigh(x @ x.T if wide else x.T @ x)
    values, vectors = np.maximum(values[::-1][:2], 0.0), vectors[:, ::-1][:, :2]
    total = float((x**2).sum())
    if wide:
        root = np.sqrt(values)
        told = root > 1e-12 * max(root[0], 1e-300)
        vectors = np.where(told, x.T @ vectors / np.where(told, root, 1.0), 0.0)
    largest = vectors[
        np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])
    ]  # positive: the sign is free
    axes, shares = np.zeros((x.shape[1], 2)), np.zeros(2)
    axes[:, : vectors.shape[1]] = vectors * np.where(largest < 0, -1.0, 1.0)
    shares[: len(values)] = values / total if total > 0 else 0.0
    return middle, axes, shares


def ellipses_in(
    side: Side,
    means: np.ndarray,
    classes: np.ndarray,
    axes: np.ndarray,
    middle: np.ndarray,
    deviations: float,
) -> np.ndarray:
    """(m, 5) centre, half axes, angle of the longer one, of the `classes` (m,) at so many deviations: the covariance of
    a class's samples in the plane and their mean posterior variance."""
    out = np.empty((len(classes), 5))
    for i, c in enumerate(classes):
        mine = side.of == c
        z = (side.x[mine] - means[c]) @ axes
        spread = z.T @ z / len(z)
        if side.variances is not None:
            spread = spread + (axes.T * side.variances[mine].mean(axis=0)) @ axes
        values, vectors = np.linalg.eigh(spread)
        out[i, :2] = (means[c] - middle) @ axes
        out[i, 2:4] = deviations * np.sqrt(np.maximum(values[::-1], 0.0))
        out[i, 4] = np.arctan2(vectors[1, 1], vectors[0, 1])
    return out


def share_in_plane(gaussians: list[DiagonalGaussians], axes: np.ndarray) -> float:
    """Share of the squared distances of classes' two means that lies in the plane; that of a random one where they
    are equal."""
    apart = gaussians[0].means - gaussians[1].means
    whole = float((apart**2).sum())
    return float(((apart @ axes) ** 2).sum()) / whole if whole > 0 else min(2 / len(axes), 1.0)


def sampling_floor(sides: list[Side], gaussians: list[DiagonalGaussians]) -> np.ndarray:
    """(C,) about how far apart in W₂ two equal Gaussians are by sampling: a mean has the variance σ² / n, a deviation
    σ² / 2 n; σ² is the mean of both sides'."""
    classes = len(gaussians[0].means)
    inverse = sum(1.0 / np.maximum(np.bincount(s.of, minlength=classes), 1) for s in sides)
    variance = sum((g.deviations**2).sum(axis=1) for g in gaussians) / 2
    return np.sqrt(1.5 * variance * inverse)
