"""In how many directions does each class spread, does it spread along or across the class means, and are classes at
right angles once the mean they share is taken off?

For each class: its spread, its participation ratio (tr Σ)² / tr Σ² freed of sampling, the dimension before the largest
gap of its eigenvalues among those that are told apart (0: none is), and the share of its variance that lies in the span
of the centred class means, which come from other samples (`compute.subspaces.class_spread`). Along that span classes
can be mixed up; across it, spread costs nothing.

Hidden orthogonality: activations with a large mean have class means, and class subspaces about zero, that look alike.
Both are compared as recorded and after the mean of all samples is taken off: cosines of class means, whose size is then
1 / (C - 1) in a simplex, and the overlap Σ cos² θ / k of the k leading directions of two classes,
which is k / d for random ones.

Null: classes exchanged between samples: a group of as many samples spreads like all of them. Intervals: jackknife over
samples.

When it lies: the correction of the participation ratio is exact for Gaussian spread, too low a value for heavy tails;
groups inside a class (subclasses) count as directions; a class of few samples has no gap that can be told; C - 1
directions are all there are where C > d, so that everything lies along the means.

Cost: O(n d min(n, d)) for each of 11 fits and each exchange; memory O(n d).

References: V. Papyan (2020), "Traces of class/cross-class structure pervade deep learning spectra"; P. Gao et al.
(2017) for the participation ratio.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.linear.cross_fitting import folds_of
from analysis.compute.machine import machine
from analysis.compute.rows.samples import LabelledMatrix, labelled_matrix
from analysis.compute.statistics.nulls import against
from analysis.compute.statistics.sample_groups import GROUPS, jackknife_half
from analysis.compute.subspaces.class_spread_report import NAMES, Spread, gaps_of, spread_of
from analysis.errors import InputError
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FOLDS, FEWEST = 5, 10
HELP = {
    "class": "value of the column",
    "samples": "samples of the class",
    "spread": "root of the mean squared distance of a sample from its class mean",
    "share of the spread": "of the squared spread of all classes",
    "participation ratio": "directions it spreads in, freed of sampling; as many as units where all are equal",
    "gap dimension": "directions before the largest gap of its eigenvalues that is told apart; 0: there is none",
    "along the means": "share of its spread in the span of the class means, held out",
    "cosine of means": "mean |cosine| of its mean with those of other classes, as recorded",
    "cosine less mean": "the same after the mean of all samples is taken off",
    "overlap": "mean Σ cos² θ / k of its k leading directions about zero with those of other classes",
    "overlap less mean": "the same after the mean of all samples is taken off",
}


@dataclass(frozen=True)
class WithinClassSpreadParams:
    column: str = param("label", "The sample column that holds the classes.", column=True)
    dimension: int = param(3, "Leading directions of a class that are compared.", label="k", low=1, high=256)
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    permutations: int = param(19, "Exchanges of the classes for the null.", low=19, high=2000)
    maximum_samples: int = param(10_000, "Most samples; a seeded random subset above.", low=50, high=200_000)


def within_class_spread(
    activations, params: WithinClassSpreadParams = WithinClassSpreadParams(), rng=None, progress=no_progress
) -> Table:
    """How the classes of a tap spread.

    Parameters
    ----------
    activations : Activations with the sample column `params.column`

    Returns
    -------
    Table
        A line for each class, see `HELP`. Estimates: the means of its columns, with exchanged classes.

    Raises
    ------
    NotFound, NotEnoughData, InputError, TooLarge
        No such column; fewer than two classes with ten samples; no spread within classes; over 4 GiB.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    data = labelled_matrix(
        activations, params.column, params.pooling, minimum=FEWEST, maximum_samples=params.maximum_samples, rng=rng,
        progress=progress, span=(0.0, 0.2),
    )  # fmt: skip
    classes, d = len(data.names), data.values.shape[1]
    k, x = min(params.dimension, d), data.values / max(float(np.abs(data.values).max()), 1e-300)
    fold, group = folds_of(data.of, FOLDS, rng), folds_of(data.of, GROUPS, rng)
    found = spread_of(x, data.of, classes, fold, k)
    if found.columns["spread"].max() < 1e-12:
        raise InputError(
            f"no class of {activations.name} spreads beyond rounding",
            "samples that differ",
            "Choose another tap",
        )
    without = []
    for g in range(GROUPS):
        progress(0.2 + 0.3 * g / GROUPS, "leaving samples out")
        keep = group != g
        without.append(spread_of(x[keep], data.of[keep], classes, fold[keep], k).numbers)
    null = np.empty((params.permutations, len(NAMES)))
    for i in range(params.permutations):
        progress(0.5 + 0.4 * i / params.permutations, "exchanging classes")
        null[i] = spread_of(x, rng.permutation(data.of), classes, fold, k).numbers
    progress(0.9, "looking for gaps")
    columns = _columns(data, found, gaps_of(data))
    estimates = _estimates(found, jackknife_half(np.array(without)), null, len(x), d, k)
    return Table(
        title=f"Spread of the classes of {activations.name} ({params.column})", columns=columns, index="class",
        sort="spread", help=HELP, reading=_reading(estimates, classes), estimates=estimates,
        caveats=(*_caveats(found, data, k, params), *data.notes),
    )  # fmt: skip


def _columns(data: LabelledMatrix, found: Spread, gaps: np.ndarray) -> dict[str, np.ndarray]:
    scale = max(float(np.abs(data.values).max()), 1e-300)
    spread = found.columns["spread"]
    columns = {
        "class": np.array(data.names), "samples": data.counts, "spread": spread * scale,
        "share of the spread": spread**2 / (spread**2).sum(),
        "participation ratio": found.columns["participation ratio"], "gap dimension": gaps,
    }  # fmt: skip
    return columns | {name: found.columns[name] for name in list(found.columns)[2:]}


def _estimates(found: Spread, half, null, n: int, d: int, k: int) -> tuple[Estimate, ...]:
    limits = ((1.0, d), *[(0.0, 1.0)] * 5)
    how = ("unbiased sums, Gaussian", "held-out class means", "plug-in", "plug-in", f"k = {k}", f"k = {k}")
    made = []
    for i, name in enumerate(NAMES):
        value = float(found.numbers[i])
        low, high = max(value - half[i], limits[i][0]), min(value + half[i], limits[i][1])
        about = against(value, null[:, i])
        made.append(Estimate(
            name, value, min(float(low), value), max(float(high), value),
            interval=f"jackknife over {GROUPS} groups of samples, t",
            null=about["null"], null_low=about["null_low"], null_high=about["null_high"],
            null_method=f"classes exchanged, {len(null)} times", n=n, d=d, estimator=how[i],
        ))  # fmt: skip
    return tuple(made)


def _reading(e, classes: int) -> str:
    fewer = (
        "fewer"
        if e[0].value < e[0].null_low
        else "more"
        if e[0].value > e[0].null_high
        else "no fewer or more"
    )
    return (
        f"A class spreads in {e[0].value:.1f} directions on average, {fewer} than samples of any class do "
        f"({e[0].null:.1f}). {e[1].value:.0%} of that spread lies along the class means (exchanged classes: "
        f"{e[1].null:.0%}). Two class means have a cosine of size {e[2].value:.2f} as recorded and {e[3].value:.2f} "
        f"once the mean of all is taken off ({1 / (classes - 1):.2f} in a simplex); two class subspaces overlap by "
        f"{e[4].value:.0%} and {e[5].value:.0%}."
    )


def _caveats(found: Spread, data: LabelledMatrix, k: int, params) -> list[str]:
    d = data.values.shape[1]
    notes = [
        f"A random span of {found.rank} of {d} directions would hold {found.rank / d:.0%} of the spread."
    ]
    notes.append(f"Random subspaces of {k} directions overlap by {k / d:.0%}.")
    if k < params.dimension:
        notes.append(f"k is {k}, the number of units.")
    if k >= data.counts.min():
        notes.append(f"The smallest class has {data.counts.min()} samples for {k} directions.")
    return notes


def _cost(shapes, params: WithinClassSpreadParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n = min(rows, params.maximum_samples)
    fits, r = params.permutations + GROUPS + 2, min(n, d)
    flops = fits * (8.0 * n * d * r + 60.0 * r**3)
    return Cost(m.seconds(flops64=flops, moved=fits * n * d * 80.0) + 0.05, n * d * 8 * 5.0 + 1e6)


def _check() -> tuple[CheckLine, ...]:
    """Classes that spread equally in 3 of 12 directions outside their means; then along the means as well; with a large
    common mean, and without."""
    rng = np.random.default_rng(9)
    of = np.arange(600) % 4
    means = np.zeros((4, 12))
    means[:, :4] = 5 * np.eye(4)
    across = means[of] + np.pad(rng.standard_normal((600, 3)), ((0, 0), (9, 0)))
    along = means[of] + rng.standard_normal((600, 12))
    far = across + np.r_[np.zeros(8), 50.0, np.zeros(3)]

    def shown(x) -> list[float]:
        return [e.value for e in within_class_spread(ArrayActivations(x, samples={"label": of})).estimates]

    a, b, c = shown(across), shown(along), shown(far)
    return (
        CheckLine("3 equal directions: participation ratio", 3.0, a[0], 0.1),
        CheckLine("12 equal directions: participation ratio", 12.0, b[0], 0.5),
        CheckLine("spread across the means: share along them", 0.0, a[1], 0.02),
        CheckLine("spread everywhere: share along them, 3 / 12", 0.25, b[1], 0.03),
        CheckLine("a large common mean: cosine of means", 0.99, c[2], 0.01),
        CheckLine("less the mean: 1 / (C - 1)", 1 / 3, c[3], 0.02),
    )


METHODS = (
    Method(
        id="within_class_spread", family="subspaces", title="Spread of the classes", version=1,
        function=within_class_spread,
        summary="In how many directions each class spreads, along or across the class means, with and without the "
        "mean.",
        params=WithinClassSpreadParams, result=Table, check=_check, cost=_cost, minimum_rows=20,
        invariance="rotating or scaling all activations together; shifting, but for what is as recorded",
        papers=("Grassmann Class Representation (GCR)",),
    ),
)  # fmt: skip
