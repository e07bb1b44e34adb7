"""Each class as a subspace: which classes vary along the same directions? Classes x classes, overlap Σ cos² θ / k.

The subspace of a class is the span of the first k principal axes of its samples, about its own mean (how samples of
the class differ among each other) or about the mean of all (then where the class lies is one of its directions). Two
classes overlap by 1 where they vary along the same k directions, by k / D on average where one is turned at random in
the D dimensions that the data span.

Two comparisons, since the answer needs both. *Chance*: a random subspace, k / D, exact with its deviation: more overlap
than that is common structure. *Exchanged labels*: the centred samples are dealt out to classes of the same sizes at
random, so that all classes have one covariance: less overlap than that means directions of their own; with few samples
a class's axes are noise, and exchanged labels show how much of the missing overlap that is.

When it lies: k is one number for all; a class whose k-th and (k + 1)-th eigenvalue are not told apart has no subspace
of k dimensions to speak of (its cells are marked); few samples of a class, many units; one unit of large deviation is
an axis of all classes; classes need not be flat; sign is lost, opposite directions are one.

Cost: O(n_c² d) or O(n_c d²) for each class, that for each of ten groups left out and each draw; O(C² d k²) for each.

References: H. Wang, Z. Li & W. Zhang (2023), "Get the best of both worlds: improving accuracy and transferability by
Grassmann class representation"; Å. Björck & G. Golub (1973); T. W. Anderson (1963).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.rows.samples import LabelledMatrix, labelled_matrix
from analysis.compute.similarity.similarity_grid import Grid, Pair, compared
from analysis.compute.similarity.similarity_report import Words, similarity_matrix
from analysis.compute.statistics.nulls import against
from analysis.compute.statistics.sample_groups import sample_groups
from analysis.compute.subspaces.angles import overlap_by_chance
from analysis.compute.subspaces.class_overlap import (
    CentredClasses,
    axes_without_groups,
    centred_classes,
    class_axes,
    dealt_at_random,
    defined,
    overlaps,
)
from analysis.compute.subspaces.random_subspaces import overlap_p, random_angles
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

OWN, ALL = "its own mean", "the mean of all"


@dataclass(frozen=True)
class ClassSubspacesParams:
    column: str = param("label", "Sample column that holds the class.", column=True)
    dimension: int = param(3, "Principal axes of each class.", low=1, high=512)
    about: str = param(
        OWN, "Its own mean: how samples of a class differ; the mean of all: also where the class lies.",
        choices=(OWN, ALL), label="centre each class on",
    )  # fmt: skip
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    minimum_samples: int = param(
        10, "Classes with fewer samples, or than twice the dimension, are left out.", low=3, high=10_000
    )
    draws: int = param(40, "Exchanges of labels.", low=5, high=500)
    maximum_samples: int = param(20_000, "Most samples; a seeded random subset above.", low=50, high=200_000)


def class_subspaces(
    activations, params: ClassSubspacesParams = ClassSubspacesParams(), rng=None, progress=no_progress
) -> Matrix:
    """Overlap of the principal subspaces of every two classes.

    Parameters
    ----------
    activations : Activations or array (rows, units), with the class of each sample in a column; tokens are pooled.

    Returns
    -------
    Matrix
        `values` (C, C), symmetric, 1 on the diagonal; `null` k / D; `low` and `high`; `few` where a class has no gap at
        k. Estimates: the mean overlap against random subspaces and against exchanged labels, the extremes, the share of
        a class's variance that its subspace holds.

    Raises
    ------
    NotFound, NotEnoughData
        No such column; fewer than two classes with enough samples; no more dimensions than the subspaces have, or fewer
        in a class.
    """
    activations, rng = as_activations(activations), rng or np.random.default_rng(0)
    k = params.dimension
    least = max(params.minimum_samples, 2 * k)
    data = labelled_matrix(
        activations, params.column, params.pooling, minimum=least, maximum_samples=params.maximum_samples, rng=rng,
        progress=progress, span=(0.0, 0.2),
    )  # fmt: skip
    classes = centred_classes(data, params.about == OWN, k)
    progress(0.2, "finding the axes of classes")
    clear, shares = defined(classes, k)
    whole = class_axes(classes.x, classes.of, len(classes.names), k)
    groups = sample_groups(len(classes.x), rng)
    series = [whole, *axes_without_groups(classes, groups, k, progress, (0.25, 0.6))]
    exchanged = dealt_at_random(classes, k, params.draws, rng, progress, (0.6, 0.95))
    grid = _grid(classes, series, k, rng)
    words = Words(
        "class overlap", f"Σ cos² θ / {k}, about {params.about}",
        "a random subspace, exact mean and deviation; p exact for a line, else drawn", bounds=(0.0, 1.0),
        interval="jackknife over groups of samples, axes found anew, t",
    )  # fmt: skip
    notes = (*data.notes, *classes.notes, *_caveats(data, clear, k, params))
    found = _of_classes(similarity_matrix(grid, words, data.names, notes), len(data.of))
    own = _against_exchanged(grid, exchanged, found, classes)
    doubtful = ~(clear[:, None] & clear[None, :]) & ~np.eye(len(clear), dtype=bool)
    return replace(
        found, title=f"Overlap of class subspaces of {activations.name}", few=found.few | doubtful,
        reading=f"{found.reading} {_reading(own)}",
        estimates=(*found.estimates, own, *_share_estimates(data, shares, classes.dimensions, k)),
    )  # fmt: skip


def _of_classes(found: Matrix, n: int) -> Matrix:
    """The words of a comparison of taps, said of classes."""
    estimates = tuple(replace(e, name=e.name.replace("two taps", "two classes")) for e in found.estimates)
    said = found.reading.replace("two taps", "two classes")
    said = said.replace(f"unrelated representations of {n:,} samples", "random subspaces")
    return replace(found, reading=said, estimates=estimates)


def _grid(classes: CentredClasses, series: list[np.ndarray], k: int, rng) -> Grid:
    """Of every two classes, from their axes on all samples and without each group."""
    every, all_of = np.arange(len(classes.names)), np.stack([overlaps(axes) for axes in series])
    d = classes.dimensions
    mean, deviation = overlap_by_chance(k, k, d)
    drawn = random_angles(k, k, d, rng)

    def compare(a: int, b: int) -> Pair:
        return Pair(all_of[:, a, b], mean, deviation, float(overlap_p(all_of[0, a, b], k, k, d, drawn)))

    return compared(every, compare, every, every, n=len(classes.of), units=[d] * len(every))


def _against_exchanged(grid: Grid, exchanged, found: Matrix, classes: CentredClasses) -> Estimate:
    """The mean overlap against that of exchanged labels; p that it is as low."""
    i, j = grid.different()
    value = float(grid.values[i, j].mean())
    said = against(-value, -exchanged)
    first = found.estimates[0]
    ends = {} if first.low is None else {"low": first.low, "high": first.high, "interval": first.interval}
    low, high = np.percentile(exchanged, [2.5, 97.5])
    return Estimate(
        "mean class overlap, against exchanged labels", value, **ends, null=float(exchanged.mean()),
        null_low=float(low), null_high=float(high), p_value=said["p_value"], n=grid.n, d=classes.dimensions,
        estimator="Σ cos² θ / k",
        null_method=f"centred samples dealt to classes of the same sizes, {len(exchanged)} draws",
    )  # fmt: skip


def _share_estimates(data: LabelledMatrix, shares, d: int, k: int) -> list[Estimate]:
    low, high = int(shares.argmin()), int(shares.argmax())
    said = [("least", low), ("most", high)] if low != high else [("the same", low)]
    return [
        Estimate(
            f"share of the variance of class {data.names[c]} in its {k} axes ({word})", float(shares[c]), null=k / d,
            null_method="axes chosen at random", n=int(data.counts[c]), d=d, estimator="plug-in, rises as samples fall",
        )
        for word, c in said
    ]  # fmt: skip


def _reading(own: Estimate) -> str:
    said = f"Classes dealt at random overlap by {own.null:.2f} on average"
    if own.p_value < 0.05:
        return f"{said}, more than these do (p = {own.p_value:.2g}): classes have directions of their own."
    return f"{said}: that classes have directions of their own is not shown."


def _caveats(data: LabelledMatrix, clear: np.ndarray, k: int, params) -> list[str]:
    notes = []
    if not clear.all():
        names = [name for name, good in zip(data.names, clear, strict=True) if not good]
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        notes.append(
            f"Eigenvalues {k} and {k + 1} are not told apart in {len(names)} of {len(clear)} classes "
            f"({', '.join(names[:5])}{more}): the span of their first {k} is partly arbitrary (hatched)."
        )
    if params.about == ALL:
        notes.append("About the mean of all, where a class lies is one of its directions, with either sign.")
    return notes


def _cost(shapes, params: ClassSubspacesParams) -> Cost:
    (n, d), m = shapes[0], machine()
    n, k = min(n, params.maximum_samples), params.dimension
    classes = min(10, max(2, n // params.minimum_samples))
    side = min(max(n // classes, 1), d)
    again = 12 + params.draws
    flops = again * (2.0 * n * d * side + classes * 9.0 * side**3 + 2.0 * d * (classes * k) ** 2)
    held = 8.0 * (n * d * 3.5 + 12 * classes * d * k + 6 * side**2 + 6 * side * d)
    return Cost(
        m.seconds(flops64=flops, moved=8.0 * n * d * 4 * again, calls=again * classes * 50) + 0.03, held
    )


def _check() -> tuple[CheckLine, ...]:
    """Two classes in one plane, a third in a plane that shares one axis with it, a fourth at right angles."""
    rng = np.random.default_rng(6)
    planes = [(0, 1), (0, 1), (1, 2), (4, 5)]
    x = 0.01 * rng.standard_normal((800, 12))
    of = np.repeat(np.arange(4), 200)
    for c, plane in enumerate(planes):
        x[np.ix_(of == c, plane)] += rng.standard_normal((200, 2))
    x += 3 * rng.standard_normal((4, 12))[of]

    def run(values, labels, **more) -> Matrix:
        taps = ArrayActivations(values, samples={"label": labels})
        return class_subspaces(taps, params=ClassSubspacesParams(dimension=2, **more))

    found = run(x, of)
    same = run(rng.standard_normal((800, 12)) * np.array([4, 4, *[1] * 10]), of)
    return (
        CheckLine("one plane", 1.0, float(found.values[0, 1]), 1e-3),
        CheckLine("planes with one axis in common", 0.5, float(found.values[0, 2]), 1e-3),
        CheckLine("planes at right angles", 0.0, float(found.values[0, 3]), 1e-3),
        CheckLine("chance: 2 of 12 dimensions", 2 / 12, float(found.null[0, 3]), 1e-12),
        CheckLine("own planes: as low by exchanged labels (p)", 0.05, _own(found).p_value, 0.0, "at most"),
        CheckLine(
            "one covariance: overlap is that of exchanged labels", _own(same).null, _own(same).value, 0.02
        ),
        CheckLine("one covariance: beyond chance", 1.0, float(same.significant.all()), 0.0),
    )


def _own(found: Matrix) -> Estimate:
    return next(e for e in found.estimates if "exchanged" in e.name)


METHODS = (
    Method(
        id="class_subspaces", family="subspaces", title="Class subspaces", version=2, function=class_subspaces,
        summary="Which classes vary along the same directions, and which have directions of their own.",
        params=ClassSubspacesParams, result=Matrix, check=_check, cost=_cost, minimum_rows=6,
        invariance="rotating, shifting or scaling the activations; about its own mean, moving a class as a whole",
        papers=("Grassmann Class Representation (GCR)",),
    ),
)  # fmt: skip
