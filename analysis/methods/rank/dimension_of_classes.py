"""Intrinsic dimension of each class, against sets of the same number of samples from all classes.

TwoNN, (n - 1) / Σ log(r2 / r1), and the MLE of each class's samples (tokens pooled). Every reading depends on the
number of samples, and classes differ in it, so each class has a null of its own size: as many samples drawn at random
from all classes together, without putting any back. A class that reads lower than its null is flatter than the whole at
the same number of points; p is two-sided, corrected over the classes (Benjamini-Hochberg). Beside it what Gaussian
samples with the class's own covariance read: a bent class reads less. Intervals come from random halves of a class's
samples.

When it lies: a class of a few hundred samples cannot read more than some ten dimensions, whatever its dimension; a
random set is spread over classes, so its points lie further apart than those of a class, and a reading at another scale
is a part of the difference; classes of several kinds (a breed, a font) read a mean of theirs; equal points are left
out.

Cost: O(Σ n_c² d draws); memory O(n d) for the pooled samples.

References: E. Facco et al. (2017), "Estimating the intrinsic dimension of datasets by a minimal neighborhood
information"; E. Levina & P. Bickel (2004); P. Pope et al. (2021), "The intrinsic dimension of images and its impact on
learning".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.neighbours.dimension_estimators import apart, mle, near_points, two_nn
from analysis.compute.neighbours.dimension_readings import (
    COVARIANCE,
    HOW,
    MLE,
    TWO_NN,
    decimated,
    gaussian_like,
)
from analysis.compute.neighbours.dimension_report import LOW
from analysis.compute.neighbours.neighbours import search_bytes
from analysis.compute.rows.samples import labelled_matrix
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import NotEnoughData
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 30  # samples of a class
LEVEL = 0.05
GAUSSIANS = 9  # draws for each class


@dataclass(frozen=True)
class DimensionOfClassesParams:
    column: str = param("label", "The sample column that holds the classes.", column=True)
    k: int = param(10, "Neighbours of the MLE.", label="neighbours", low=3, high=50)
    draws: int = param(99, "Random sets of each class's size to compare with.", low=19, high=999)
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(10_000, "Most samples; a seeded random subset above.", low=100, high=100_000)


def dimension_of_classes(
    activations, params: DimensionOfClassesParams = DimensionOfClassesParams(), rng=None, progress=no_progress
) -> Table:
    """Dimension of each class.

    Parameters
    ----------
    activations : Activations with the sample column `params.column`

    Returns
    -------
    Table
        One line a class: samples, TwoNN with its interval, its size-matched null and p, MLE with its null. Estimates:
        the mean over classes, and the highest over the lowest.

    Raises
    ------
    NotFound, NotEnoughData, TooLarge
        No such column; fewer than two classes with 30 different samples (or three times the neighbours); over 4 GiB.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    least = max(FEWEST, 3 * params.k)
    data = labelled_matrix(
        activations, params.column, params.pooling, minimum=least, maximum_samples=params.maximum_samples, rng=rng,
        progress=progress, span=(0.0, 0.2),
    )  # fmt: skip
    points = apart(data.values, np.arange(len(data.of)), least, activations.name)
    of = data.of[points.kept]
    counts = np.bincount(of, minlength=len(data.names))
    good = np.flatnonzero(counts >= least)
    if len(good) < 2:
        raise NotEnoughData(
            f"{len(good)} class(es) of '{params.column}' have {least} different samples",
            "at least two such classes",
            "Record more samples of each, or choose another column",
        )
    lines = []
    for i, c in enumerate(good):
        progress(0.2 + 0.8 * i / len(good), f"class {data.names[c]}")
        lines.append(_class(points.points, np.flatnonzero(of == c), params, rng))
    progress(1.0, "comparing classes")
    columns = {"class": np.array([data.names[c] for c in good]), "samples": counts[good]}
    columns |= {key: np.array([line[key] for line in lines]) for key in lines[0] if key != "chance"}
    columns["p"] = benjamini_hochberg(columns["p"])
    lost = [data.names[c] for c in np.flatnonzero(counts < least)]
    notes = [f"Classes with too few different samples left out: {', '.join(lost)}."] if lost else []
    estimates = _estimates(columns, lines, points.points.shape, params)
    return Table(
        title=f"Dimension of the classes of {activations.name} ({params.column})",
        reading=_reading(columns, estimates), caveats=(*_caveats(columns), *notes, *points.notes, *data.notes),
        estimates=estimates, columns=columns, index="class", sort=TWO_NN, help=_help(params),
    )  # fmt: skip


def _class(x: np.ndarray, mine: np.ndarray, params, rng) -> dict:
    """The line of the class whose samples are `mine` (m,)."""
    found = decimated(x[mine], np.arange(len(mine)), params.k, rng, tree=False, levels=0)
    value, ends = float(found.values[TWO_NN][0]), found.interval(TWO_NN)
    chance = np.empty((params.draws, 2))
    for i in range(params.draws):
        r = near_points(x[rng.choice(len(x), len(mine), replace=False)], params.k).distances
        chance[i] = two_nn(r), mle(r, params.k)
    gauss = [near_points(gaussian_like(x[mine], COVARIANCE, rng), 2).distances for _ in range(GAUSSIANS)]
    below, above = (chance[:, 0] <= value).sum(), (chance[:, 0] >= value).sum()
    low, high = np.percentile(chance[:, 0], [2.5, 97.5])
    return {
        TWO_NN: value, "low": ends["low"], "high": ends["high"], "null": float(chance[:, 0].mean()),
        "null low": float(low), "null high": float(high),
        "p": min(1.0, 2 * (1 + min(below, above)) / (1 + params.draws)),
        MLE: float(found.values[MLE][0]), "null of the MLE": float(chance[:, 1].mean()),
        "Gaussian": float(np.mean([two_nn(r) for r in gauss])), "chance": chance,
    }  # fmt: skip


def _estimates(columns, lines, shape, params) -> tuple[Estimate, ...]:
    n, d = shape
    chance = np.mean([line["chance"][:, 0] for line in lines], axis=0)
    values = columns[TWO_NN]
    spread = np.array([line["chance"][:, 0] for line in lines])
    spread = spread.max(axis=0) / spread.min(axis=0)
    how = f"as many random samples of all classes, {params.draws} draws"

    def null(found) -> dict:
        low, high = np.percentile(found, [2.5, 97.5])
        return {
            "null": float(found.mean()),
            "null_low": float(low),
            "null_high": float(high),
            "null_method": how,
        }

    return (
        Estimate("mean TwoNN dimension of a class", float(values.mean()),
                 **{**mean_interval(values), "interval": "Student's t over classes"}, **null(chance), n=n, d=d,
                 estimator="(n - 1) / Σ log(r2 / r1) of each class"),
        Estimate("highest over lowest class", float(values.max() / values.min()), **null(spread), n=n, d=d,
                 estimator="TwoNN"),
    )  # fmt: skip


def _reading(columns, estimates) -> str:
    mean, spread = estimates
    values, names, p = columns[TWO_NN], columns["class"], columns["p"]
    lower = int(((p < LEVEL) & (values < columns["null"])).sum())
    higher = int(((p < LEVEL) & (values > columns["null"])).sum())
    return (
        f"Classes read {mean.value:.1f} dimensions on average, random sets of the same sizes {mean.null:.1f}, and "
        f"Gaussians with the classes' covariances {columns['Gaussian'].mean():.1f}; {lower} of "
        f"{len(values)} class(es) read less than their null and {higher} more (two-sided, false-discovery rate 5 %). "
        f"The highest is {names[values.argmax()]} ({values.max():.1f}), the lowest {names[values.argmin()]} "
        f"({values.min():.1f}): {spread.value:.2f} times, where equal classes would give {spread.null:.2f}."
    )


def _caveats(columns) -> list[str]:
    notes = [
        f"Readings beyond about {LOW} dimensions are too small, and those of few samples sooner.",
        "Where classes are far apart, random sets are clusters of few points and read less than any class does: then "
        "compare with the Gaussian of the class's own covariance.",
    ]
    if columns["samples"].max() > 1.5 * columns["samples"].min():
        notes.append(
            "Classes differ in size: compare each with its own null before two of them with each other."
        )
    return notes


def _help(params) -> dict[str, str]:
    return {
        "samples": "Different samples of the class.", TWO_NN: "(n - 1) / Σ log(r2 / r1).",
        "low": f"End of the 95 % interval: {HOW}.", "high": f"End of the 95 % interval: {HOW}.",
        "null": "Mean TwoNN of as many random samples of all classes.", "null low": "2.5 % of those draws.",
        "null high": "97.5 % of those draws.", "p": "Two-sided, corrected over the classes (Benjamini-Hochberg).",
        MLE: f"Inverse mean of log(r_k / r_j), k = {params.k}.", "null of the MLE": "Its mean for random samples.",
        "Gaussian": "Mean TwoNN of Gaussian samples with the covariance of the class: what a flat class would read.",
    }  # fmt: skip


def _cost(shapes, params: DimensionOfClassesParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n = min(rows, params.maximum_samples)
    size = n / 5  # ten classes are usual, three large ones possible
    runs = 8 * (params.draws + 4)
    seconds = m.seconds(flops32=2.0 * size * size * d * runs, moved=runs * size * size * 30.0) + runs * 1e-3
    return Cost(seconds + 0.05, 8.0 * n * d * 3 + search_bytes(n // 3, d, params.k) + 8.0 * n * params.k * 8)


def _check() -> tuple[CheckLine, ...]:
    """Three far classes of 2, 4 and 8 dimensions in 12 units: read in that order, the flattest below its null; with
    labels exchanged no class differs from its null."""
    rng = np.random.default_rng(3)
    label = np.repeat([0, 1, 2], 300)
    x = np.zeros((900, 12))
    for c, d in enumerate((2, 4, 8)):
        x[label == c] = (
            rng.standard_normal((300, d)) @ np.linalg.qr(rng.standard_normal((12, 12)))[0][:d] + 30 * c
        )
    found = dimension_of_classes(ArrayActivations(x, samples={"label": label})).columns
    mixed = dimension_of_classes(ArrayActivations(x, samples={"label": rng.permutation(label)})).columns
    return (
        CheckLine("class of 2 dimensions", 2.0, found[TWO_NN][0], 0.4),
        CheckLine("class of 4 dimensions", 4.0, found[TWO_NN][1], 0.8),
        CheckLine("class of 8 dimensions", 7.7, found[TWO_NN][2], 1.5),
        CheckLine("p of the flattest class", 0.05, found["p"][0], 0.0, "at most"),
        CheckLine("labels exchanged: smallest p", 0.05, mixed["p"].min(), 0.0, "at least"),
    )  # fmt: skip


METHODS = (
    Method(
        id="dimension_of_classes", family="rank", title="Dimension of classes", version=1,
        function=dimension_of_classes, params=DimensionOfClassesParams, result=Table, check=_check, cost=_cost,
        summary="How many dimensions each class has, against as many random samples of all classes.",
        minimum_rows=2 * FEWEST, invariance="rotating, shifting or rescaling all activations together",
        papers=("Geometric Properties of Neural Multivariate Regression",),
    ),
)  # fmt: skip
