"""How far each class moves each unit: class means in standard deviations of the unit, units x classes.

z_jc = (mean of unit j over class c - mean over all samples) / standard deviation of unit j over all samples.

When it lies: a mean says nothing about the spread inside the class; a skewed unit's mean is a few samples; the
classes of one unit are not independent (they are weighted to sum to 0).

Cost: one pass, O(n d) operations; memory O(n d) for the pooled samples.

References: Student's test of a mean against the rest (Welch 1947); Y. Benjamini & Y. Hochberg (1995).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv, stdtr

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.correlation.correlations import clustered
from analysis.compute.machine import machine
from analysis.compute.rows.samples import LabelledMatrix, labelled_matrix
from analysis.compute.statistics.moments import is_varying
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.nulls import bootstrap_mean
from analysis.compute.streaming import refuse_few
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param


@dataclass(frozen=True)
class ClassMeansParams:
    column: str = param("label", "The sample column that holds the classes.", column=True)
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_units: int = param(
        256, "Most units to draw: those whose variance the classes explain best.", low=2, high=4096
    )
    maximum_samples: int = param(
        50_000, "Most samples; a seeded random subset above.", low=50, high=1_000_000
    )


def class_means(activations, params: ClassMeansParams = ClassMeansParams(), rng=None, progress=no_progress):
    """Standardised class means of every unit.

    Parameters
    ----------
    activations : Activations with the sample column `params.column`

    Returns
    -------
    Matrix
        `values` (units, classes) in standard deviations; rows ordered by clustering; `significant` by Welch's test
        of the class against the rest, Benjamini-Hochberg over all cells drawn or not; `null_band` for the smallest
        class. Estimate: mean share of a unit's variance between classes (η²).

    Raises
    ------
    NotFound, NotEnoughData
        No such column; fewer than two classes with five samples, or two units that vary.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    data = labelled_matrix(
        activations, params.column, params.pooling, maximum_samples=params.maximum_samples, rng=rng,
        progress=progress, span=(0.0, 0.6),
    )  # fmt: skip
    progress(0.6, "averaging classes")
    units, z, q, eta = _measure(data, activations.name)
    notes, d = list(data.notes), data.values.shape[1]
    if len(units) < d:
        notes.append(f"{d - len(units)} constant unit(s) left out.")
    pick = np.arange(len(units))
    if len(units) > params.maximum_units:
        pick = np.sort(np.argsort(-eta, kind="stable")[: params.maximum_units])
        notes.append(f"The {len(pick)} units with the largest η² of {len(units)} shown.")
    n, smallest = len(data.of), int(data.counts.min())
    band = float(1.96 * np.sqrt((1 - smallest / n) / smallest))
    order, tree = _order(z[pick])
    estimate = _estimate(eta, data, rng)
    limit = float(np.abs(z[pick]).max()) or 1.0
    return Matrix(
        title=f"Class means of {activations.name} ({params.column})",
        reading=(
            f"Classes explain {estimate.value:.1%} of a unit's variance on average ({estimate.null:.1%} by chance). "
            f"A cell within ±{band:.2f} is what an unrelated unit shows for the smallest class ({smallest} samples)."
        ),
        caveats=(*notes, "A mean hides the spread inside the class; see class selectivity for separation."),
        estimates=(estimate,),
        values=z[pick],
        row_names=tuple(str(activations.unit_names[j]) for j in units[pick]),
        column_names=data.names,
        value_name="class mean (standard deviations)",
        row_order=order,
        column_order=np.arange(len(data.names)),
        linkage=tree,
        null_band=(-band, band),
        significant=q[pick] < 0.05,
        limits=(-limit, limit),
        diverging=True,
    )


def _measure(data: LabelledMatrix, name: str):
    """Units that vary, z (units, C), q (units, C) and η² (units,)."""
    n, mean = len(data.values), data.values.mean(axis=0)
    x = data.values - mean
    units = np.flatnonzero(is_varying((x**2).sum(axis=0) / (n - 1), mean))
    refuse_few(name, len(units), 2, "unit(s) that vary")
    x = x[:, units]
    members = (data.of == np.arange(len(data.names))[:, None]).astype(np.float64)
    sums, squares, m = members @ x, members @ x**2, data.counts[:, None]
    total = squares.sum(axis=0)
    inside = sums / m
    outside = -sums / (n - m)  # centred: the rest sums to minus the class
    var_in = np.maximum(squares / m - inside**2, 0) * m / (m - 1)
    var_out = np.maximum((total - squares) / (n - m) - outside**2, 0) * (n - m) / (n - m - 1)
    error = np.sqrt(var_in / m + var_out / (n - m))
    floor = 1e-12 * np.sqrt(total / n)
    t = (inside - outside) / np.maximum(error, floor)
    freedom = (var_in / m + var_out / (n - m)) ** 2 / np.maximum(
        (var_in / m) ** 2 / (m - 1) + (var_out / (n - m)) ** 2 / (n - m - 1), 1e-300
    )
    p = np.minimum(2 * stdtr(np.maximum(freedom, 1.0), -np.abs(t)), 1.0)
    eta = (inside**2 * m).sum(axis=0) / total
    return units, (inside / np.sqrt(total / (n - 1))).T, benjamini_hochberg(p).T, eta


def _order(z: np.ndarray):
    """Drawing order and linkage of the units by the correlation of their class profiles."""
    profile = z - z.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(profile, axis=1, keepdims=True)
    profile = np.divide(profile, norm, out=np.zeros_like(profile), where=norm > 0)
    return clustered(np.clip(profile @ profile.T, -1, 1), absolute=False)


def _estimate(eta: np.ndarray, data: LabelledMatrix, rng) -> Estimate:
    n, c = len(data.of), len(data.names)
    low, high = bootstrap_mean(eta, rng)
    null = (c - 1) / (n - 1)
    shape = (c - 1) / 2, (n - c) / 2  # of the Beta that η² has under Gaussian noise
    return Estimate(
        "mean η² (variance between classes)", float(eta.mean()), float(low), float(high),
        interval="bootstrap over units", null=null, null_low=float(betaincinv(*shape, 0.025)),
        null_high=float(betaincinv(*shape, 0.975)), null_method="(C - 1) / (n - 1), band of one Gaussian unit", n=n,
        d=len(eta), estimator="between over total sum of squares",
    )  # fmt: skip


def _cost(shapes, params: ClassMeansParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n = min(rows, params.maximum_samples)
    drawn = min(d, params.maximum_units)
    seconds = m.seconds(flops64=4.0 * n * d * 10, moved=n * d * 400.0) + (drawn <= 512) * drawn**2 * 1.5e-6
    return Cost(seconds + 0.01, n * d * 32 + drawn**2 * 40)


def _check() -> tuple[CheckLine, ...]:
    """A planted shift of one standard deviation for one class of four; noise has η² = (C - 1) / (n - 1)."""
    rng = np.random.default_rng(9)
    of = np.repeat(np.arange(4), 500)
    x = rng.standard_normal((2000, 50))
    x[of == 1, 0] += 1.0
    found = class_means(ArrayActivations(x + 1e3, samples={"label": of}))
    cell = 0.75 / np.sqrt(1 + 0.75 / 4)  # the shift also moves the overall mean and widens the unit
    noise = found.values[1:]
    return (
        CheckLine("planted cell", cell, float(found.values[0, 1]), 0.06),
        CheckLine("planted cell is marked", 1.0, float(found.significant[0, 1]), 0.0),
        CheckLine("weighted sum over classes", 0.0, float(np.abs(found.values.sum(axis=1)).max()), 1e-9),
        CheckLine("noise: cells outside the band", 0.05, float((np.abs(noise) > found.null_band[1]).mean()), 0.05),
        CheckLine("noise: marked cells", 0.0, float(found.significant[1:].mean()), 0.02),
    )  # fmt: skip


METHODS = (
    Method(
        id="class_means",
        family="units",
        title="Class means",
        summary="How far each class moves each unit, in standard deviations.",
        version=2,
        function=class_means,
        params=ClassMeansParams,
        result=Matrix,
        check=_check,
        cost=_cost,
        minimum_rows=10,
        invariance="shifting or rescaling a unit by a positive factor changes nothing",
    ),
)
