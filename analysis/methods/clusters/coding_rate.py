"""Do the classes lie in subspaces of their own? The coding rate of all rows, of the classes, and the difference.

R(Z) = ½ log det(I + d / (n ε²) Z Zᵀ), R_c the same within classes, weighted by their sizes, ΔR = R - R_c
(`compute.clusters.coding_rate`). Large ΔR: together the rows fill many dimensions, each class only few of its own. ΔR =
0 exactly where all classes have the same second moment. Rows are made unit length first (the rate depends on scale)
and, unless switched off, the mean of all rows is taken off before (a common offset makes all classes look alike).

When it lies: ε changes which of two networks looks better: look at the curve. With few rows per class any split
gives ΔR > 0, the more the smaller ε: the null shuffles the classes over the samples, and only what exceeds it speaks
of the classes. Two classes in one subspace have ΔR near 0 however well a curve separates them.

Cost: O(n d min(n, d)), times 1 + permutations + 10 for the interval. Memory O(n d).

Reference: Y. Yu, K. Chan, C. You, C. Song & Y. Ma (2020), "Learning diverse and discriminative representations via the
principle of maximal coding rate reduction".
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.activations import as_activations
from analysis.compute.clusters.coding_rate import Rates, rates, unit_rows
from analysis.compute.machine import machine
from analysis.compute.rows.cloud import Cloud, point_cloud
from analysis.compute.rows.labelled_cloud import with_classes
from analysis.compute.statistics.nulls import add_one_p
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FOLDS, MINIMUM = 10, 12


@dataclass(frozen=True)
class CodingRateParams:
    column: str = param("label", "The sample column that holds the classes.", column=True)
    epsilon: float = param(0.5, "Error at which the estimates are read off.", label="ε", low=1e-3, high=10.0)
    centre: bool = param(True, "Take the mean of all rows off before they are made unit length.")
    permutations: int = param(20, "Shuffles of the classes for the null.", low=19, high=500)
    maximum_rows: int = param(5000, "Most rows; a seeded random subset above.", low=50, high=100_000)


def coding_rate(
    activations, params: CodingRateParams = CodingRateParams(), rng=None, progress=no_progress
) -> Curve:
    """R, R_c and ΔR of a tap's classes over ε.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Curve
        x = ε; series "R", "R_c", "ΔR" in nats, ΔR with a jackknife band over samples and the mean of shuffled
        classes as null. Estimates: ΔR at the chosen ε, and as a share of R.

    Raises
    ------
    NotFound, NotEnoughData
        No such column; fewer than 12 finite rows, or than two classes with 3 samples.
    InputError
        All rows are equal.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    cloud = point_cloud(
        activations, rng, maximum_rows=params.maximum_rows, minimum=MINIMUM, progress=progress
    )
    found = with_classes(activations, cloud, params.column, 3)
    z, of = unit_rows(found.cloud.x, params.centre), found.of[found.cloud.sample]
    epsilon = np.unique(np.append(np.geomspace(0.05, 2.0, 15), params.epsilon))
    value = rates(z, of, epsilon)
    null = _shuffled(z, found.of, found.cloud, epsilon, params.permutations, rng, progress)
    error = _jackknife(z, of, found.cloud, epsilon, rng, progress)
    at = int(np.searchsorted(epsilon, params.epsilon))
    estimates = _estimates(value, null, error, at, found.cloud, params)
    progress(1.0, "done")
    return Curve(
        title=f"Coding rate of {activations.name} by {params.column}",
        reading=_reading(estimates, params),
        caveats=_caveats(value, found, z, at),
        estimates=estimates, x=epsilon, x_name="ε (error allowed)", y_name="rate (nats)",
        series={"R": value.whole, "R_c": value.parts, "ΔR": value.reduction},
        low={"ΔR": value.reduction - 1.96 * error}, high={"ΔR": value.reduction + 1.96 * error},
        null={"ΔR": null.mean(axis=0)}, log_x=True,
    )  # fmt: skip


def _shuffled(z, of_sample, cloud: Cloud, epsilon, draws: int, rng, progress) -> np.ndarray:
    """ΔR (draws, e) with the classes shuffled over the samples."""
    out = np.empty((draws, len(epsilon)))
    for i in range(draws):
        progress(0.2 + 0.5 * i / draws, "shuffling the classes")
        out[i] = rates(z, rng.permutation(of_sample)[cloud.sample], epsilon).reduction
    return out


def _jackknife(z, of, cloud: Cloud, epsilon, rng, progress) -> np.ndarray:
    """Standard error (e,) of ΔR from leaving out a tenth of the samples at a time."""
    fold = rng.permutation(np.arange(cloud.n_samples) % FOLDS)[cloud.sample]
    left = []
    for i in range(FOLDS):
        progress(0.7 + 0.3 * i / FOLDS, "leaving samples out")
        left.append(rates(z[fold != i], of[fold != i], epsilon).reduction)
    return np.std(left, axis=0) * np.sqrt(FOLDS - 1)


def _estimates(
    value: Rates, null, error, at: int, cloud: Cloud, params: CodingRateParams
) -> tuple[Estimate, ...]:
    n, d = cloud.n_samples, cloud.x.shape[1]
    r, whole, half = float(value.reduction[at]), max(float(value.whole[at]), 1e-300), 1.96 * float(error[at])
    how = f"{params.permutations} shuffles of the classes over the samples: mean, least, most"
    shared = {"interval": f"jackknife over {FOLDS} tenths of the samples", "null_method": how, "n": n, "d": d}
    p = float(add_one_p(r, null[:, at]))
    place = (float(f(null[:, at])) for f in (np.mean, np.min, np.max))
    middle, least, most = place
    estimator = f"at ε = {params.epsilon:g}"
    return (
        Estimate("coding rate reduction", r, r - half, r + half, null=middle, null_low=least, null_high=most, p_value=p,
                 estimator=estimator, unit="nats", **shared),
        Estimate("share of the rate", r / whole, (r - half) / whole, (r + half) / whole, null=middle / whole,
                 null_low=least / whole, null_high=most / whole, estimator=estimator, **shared),
    )  # fmt: skip


def _reading(estimates, params: CodingRateParams) -> str:
    found, share = estimates
    beyond = "more than" if found.value > found.null_high else "no more than"
    return (
        f"Knowing the class saves {found.value:.3g} nats a row of the code ({share.value:.0%} of R) at "
        f"ε = {params.epsilon:g}, {beyond} any shuffled classes do ({found.null:.3g} on average). R is the rate "
        "of all rows, R_c that within classes, ΔR what is saved."
    )


def _caveats(value: Rates, found, z: np.ndarray, at: int) -> tuple[str, ...]:
    counts = np.bincount(found.of[found.cloud.sample])
    each = value.each[:, at]
    order = np.argsort(-each)
    parts = ", ".join(
        f"class {found.names[c]}: {each[c]:.3g} ({counts[c]} rows)" for c in [*order[:3], order[-1]]
    )
    notes = [
        "ε changes which of two networks looks better: compare curves, at equal numbers of rows and units.",
        f"Rates of single classes, the largest three and the smallest: {parts}.",
    ]
    if (zero := int((~z.any(axis=1)).sum())) > 0:
        notes.append(f"{zero} row(s) of zeros have no direction and add nothing.")
    return (*notes, *found.notes, *found.cloud.notes)


def _cost(shapes, params: CodingRateParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n = min(rows, params.maximum_rows)
    side, times = min(n, d), 2 * (params.permutations + FOLDS + 1)
    once = m.seconds(flops64=0.6 * n * d * side + 3.5 * side**3, moved=16.0 * n * d)
    return Cost(times * once + 0.02, n * d * 8 * 5.5 + side * side * 16 + 1e6)


def _check() -> tuple[CheckLine, ...]:
    """d orthogonal directions, one per class: closed forms; classes with one second moment: ΔR = 0."""
    d, each, e = 8, 30, np.array([0.1, 0.5, 1.0])
    label = np.repeat(np.arange(d), each)
    z = np.eye(d)[label]
    r = rates(z, label, e)
    twice = rates(np.vstack([z, z]), np.repeat([0, 1], len(z)), e)
    x = z * (1 + np.random.default_rng(0).random(len(z)))[:, None]
    shown = coding_rate(
        as_activations(x, labels=label), replace(CodingRateParams(), centre=False), np.random.default_rng(0)
    )
    expected = d / 2 * np.log1p(1 / 0.25) - np.log1p(d / 0.25) / 2
    return (
        CheckLine("R of d orthogonal classes, largest error", 0.0,
                  float(np.abs(r.whole - d / 2 * np.log1p(1 / e**2)).max()), 1e-12),
        CheckLine("R_c of them, largest error", 0.0, float(np.abs(r.parts - np.log1p(d / e**2) / 2).max()), 1e-12),
        CheckLine("ΔR of two equal halves", 0.0, float(np.abs(twice.reduction).max()), 1e-12),
        CheckLine("ΔR as the method shows it", float(expected), shown.estimates[0].value, 1e-12),
        CheckLine("p of these classes", 0.05, shown.estimates[0].p_value, 0.0, "at most"),
    )  # fmt: skip


METHODS = (
    Method(
        id="coding_rate",
        family="clusters",
        title="Coding rate of classes",
        summary="Whether classes lie in subspaces of their own: the rate that knowing the class saves.",
        version=1,
        function=coding_rate,
        params=CodingRateParams,
        result=Curve,
        check=_check,
        cost=_cost,
        minimum_rows=MINIMUM,
        invariance="rotating all rows, rescaling any row (without centring), permuting classes; not the scale of units",
        papers=("Unsupervised Manifold Linearizing and Clustering (MLC)",),
    ),
)
