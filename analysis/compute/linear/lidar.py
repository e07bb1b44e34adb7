"""Between-class covariance as seen from the within-class covariance: the spectrum behind LiDAR.

    S_b = mean over classes of (μ_i - μ)(μ_i - μ)ᵀ,  μ = mean of the μ_i
    S_w = Σ (x - μ_i)(x - μ_i)ᵀ / (N - C) + δ I
    Σ   = S_w^(-1/2) S_b S_w^(-1/2),   S_w^(-1/2) symmetric, by the eigenvectors of S_w

for N samples of C classes (images, each with several views), each class counting once in S_b. Only the eigenvalues of Σ
count, not those of its covariance, which would square them.

Reference: V. Thilak et al. (2024), "LiDAR: Sensing linear probing performance in joint embedding SSL architectures".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.compute.rows.samples import labelled_matrix
from analysis.compute.statistics.sample_groups import sample_groups
from analysis.errors import InputError, NotEnoughData
from analysis.spec import Progress, no_progress

FEWEST_CLASSES = 3


@dataclass(frozen=True)
class Views:
    """Samples `x` (n, d) of units that vary, centred, with their class `of` (n,) of `classes`; `samples` (n,) their
    positions in the tap; `notes` on what was left out."""

    x: np.ndarray
    of: np.ndarray
    classes: int
    samples: np.ndarray
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Ridge:
    """δ: `value`, or `value` times the mean within-class variance."""

    value: float
    relative: bool

    def of(self, found: Classes, times: float = 1.0) -> float:
        return times * self.value * (found.variance if self.relative else 1.0)


@dataclass(frozen=True)
class Classes:
    """`means` (C, d) and `counts` (C,) of the classes, and `within` (d, d), the within-class covariance without any
    ridge, of `n` samples."""

    means: np.ndarray
    counts: np.ndarray
    within: np.ndarray
    n: int

    @property
    def variance(self) -> float:
        """Mean within-class variance of a unit, tr S_w / d."""
        return float(np.trace(self.within)) / len(self.within)


@dataclass(frozen=True)
class BetweenSpectrum:
    """`values` (k,) of Σ, falling, k = min(d, C - 1); `directions` (k, d), along which a sample's coordinate x · w has
    within-class variance 1 (the ridge counted) and between-class variance equal to the value; `below` counts directions
    whose within-class variance is smaller than the ridge `delta`."""

    values: np.ndarray
    directions: np.ndarray
    delta: float
    below: int


def class_means(x: np.ndarray, of: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Means (C, d) and counts (C,) of the rows of `x` (n, d) by class `of` (n,). O(n d)."""
    order = np.argsort(of, kind="stable")
    counts = np.bincount(of, minlength=classes)
    sums = np.add.reduceat(x[order], np.r_[0, np.cumsum(counts)[:-1]], axis=0)
    return sums / counts[:, None], counts


def deviations(x: np.ndarray, of: np.ndarray, means: np.ndarray) -> np.ndarray:
    """(n, d) each sample less the mean of its class."""
    return x - means[of]


def classes_of(x: np.ndarray, of: np.ndarray, classes: int) -> Classes:
    """Every class of 0 .. classes - 1 has a sample. O(n d²)."""
    means, counts = class_means(x, of, classes)
    rest = deviations(x, of, means)
    return Classes(means, counts, rest.T @ rest / (len(x) - classes), len(x))


def exchanged(x: np.ndarray, total: np.ndarray, of: np.ndarray, classes: int) -> Classes:
    """The same from the total scatter (d, d) of centred `x`, which no exchange of labels changes. O(n d + C d²)."""
    means, counts = class_means(x, of, classes)
    between = (means * counts[:, None]).T @ means
    return Classes(means, counts, (total - between) / (len(x) - classes), len(x))


def between_spectrum(found: Classes, delta: float) -> BetweenSpectrum:
    """Eigenvalues and directions of Σ with the ridge `delta`. O(d³ + C d²).

    Raises
    ------
    InputError
        S_w + δ I is singular to rounding.
    """
    values, vectors = np.linalg.eigh(found.within)
    below = int((values < delta).sum())
    values = np.maximum(values, 0.0) + delta
    if values[0] <= values[-1] * len(values) * np.finfo(float).eps:
        raise InputError(
            "some direction does not vary within classes",
            "a within-class covariance that can be inverted",
            "Raise the ridge",
        )
    root = vectors / np.sqrt(values)  # S_w^(-1/2) = root @ vectors.T, symmetric
    offsets = (found.means - found.means.mean(axis=0)) / np.sqrt(len(found.means))
    _, size, turned = np.linalg.svd(offsets @ root @ vectors.T, full_matrices=False)
    k = min(len(values), len(found.means) - 1)
    directions = turned[:k] @ (vectors @ root.T)
    return BetweenSpectrum(size[:k] ** 2, directions, delta, below)


def views_of(
    activations: Activations, column: str, pooling: str, maximum: int, rng: np.random.Generator,
    progress: Progress = no_progress, span: tuple[float, float] = (0.0, 0.2),
) -> Views:  # fmt: skip
    """Pooled samples by the classes of a sample column.

    Raises
    ------
    NotFound
        No such column.
    NotEnoughData
        Fewer than three classes with two samples or more; no more samples beyond one per class than units.
    InputError, TooLarge
        Fewer than two units that vary; over 4 GiB.
    """
    data = labelled_matrix(
        activations,
        column,
        pooling,
        minimum=2,
        maximum_samples=maximum,
        rng=rng,
        progress=progress,
        span=span,
    )
    name, classes = activations.name, len(data.names)
    varies = (data.values != data.values[0]).any(axis=0)
    n, d = len(data.values), int(varies.sum())
    if d < 2:
        raise InputError(f"{d} unit(s) of {name} vary", "at least two", "Choose another tap")
    if classes < FEWEST_CLASSES:
        raise NotEnoughData(
            f"{name} has {classes} classes with two samples or more, which differ in one direction whatever they are",
            f"at least {FEWEST_CLASSES}", "Record more items",
        )  # fmt: skip
    if n - classes < d:
        raise NotEnoughData(
            f"{name} has {n:,} samples of {classes:,} classes for {d:,} units: the within-class covariance has rank "
            f"{n - classes:,} at most, and the ridge alone would decide",
            f"at least {d + classes:,} samples", "Record more views of each item, or choose a narrower tap",
        )  # fmt: skip
    x = data.values[:, varies]
    lost = len(varies) - d
    return Views(
        x - x.mean(axis=0), data.of, classes, data.samples,
        (*data.notes, *((f"{lost} constant unit(s) left out.",) if lost else ())),
    )  # fmt: skip


def refuse_equal_views(name: str, found: Classes) -> None:
    """Raises InputError where no sample differs from the mean of its class, or no class from the others, beyond
    rounding."""
    if found.variance <= 1e-26 * float((found.means**2).mean()):
        raise InputError(f"samples of a class are all equal in {name}", "views that differ", "Choose others")
    if found.means.var(axis=0).mean() <= 1e-26 * found.variance:
        raise InputError(
            f"the classes have equal means in {name}", "classes that differ", "Choose another column or tap"
        )


def without_groups(x: np.ndarray, of: np.ndarray, found: Classes, ridge: Ridge, rng) -> np.ndarray:
    """(groups, k) eigenvalues without each of ten groups of classes (of each class, below twenty). O(n d² + 10 d³)."""
    out, classes, k = [], len(found.means), min(x.shape[1], len(found.means) - 1)
    whole, freedom = found.within * (found.n - classes), found.n - classes
    for group in sample_groups(classes, rng):
        left = np.isin(of, group)
        rest = deviations(x[left], of[left], found.means)
        stay, free = np.setdiff1d(np.arange(classes), group), freedom - (int(left.sum()) - len(group))
        n = found.n - int(left.sum())
        part = Classes(found.means[stay], found.counts[stay], (whole - rest.T @ rest) / max(free, 1), n)
        values = between_spectrum(part, ridge.of(part)).values
        out.append(np.pad(values, (0, k - len(values))))
    return np.array(out)


def with_exchanged_labels(
    views: Views, ridge: Ridge, draws: int, rng, progress: Progress, span: tuple[float, float]
) -> np.ndarray:
    """(draws, k) eigenvalues for the labels exchanged between samples. O(draws (n d + C d² + d³))."""
    total, out = views.x.T @ views.x, []
    for i in range(draws):
        progress(span[0] + (span[1] - span[0]) * i / draws, "exchanging labels")
        chance = exchanged(views.x, total, rng.permutation(views.of), views.classes)
        out.append(between_spectrum(chance, ridge.of(chance)).values)
    return np.array(out)
