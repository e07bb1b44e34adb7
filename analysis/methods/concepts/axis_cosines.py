"""Do concepts share a direction? Cosines between the axes of all sample columns, against exchanged values.

An axis for every number, for two classes, and for each class against the rest: the difference of means (of a number:
its covariance with the units), or the same brought through (Σ + λ I)⁻¹, λ a hundredth of the mean variance, which is
the direction that a linear probe reads. cos = aᵀb / (‖a‖ ‖b‖), in the space of the units as they are. Further axes can
be given (`compute.groups.concept_axis`): units, principal axes, two clicked samples, rows of weights, any vector.

Null: of each cell, by exchanging the values of the row's column between samples: directions made from nothing are not
uniform but lie along the large principal axes, so that their cosines with a real axis spread more than 1 / √d. Of two
given axes, uniform random directions instead of one. Interval: groups of samples left out (jackknife); given axes are
held fixed. A cell is significant by Benjamini-Hochberg at 5 % over pairs.

When it lies: columns that go with each other in these samples have similar axes even if the network keeps them apart;
classes of one column share the rest, so that their axes are negatively related by construction; units of large
variance decide (the other axis, "read by a probe", does not depend on their scale, but cosines always do).

Cost: two products O(n d) for each axis and draw, one factorisation O(d³). Memory O(n d + d²).

References: A. Sonthalia et al. (2025), "On the rankability of visual embeddings"; B. Kim et al. (2018), TCAV.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.groups.column_axes import column_targets
from analysis.compute.groups.concept_axis import GRAMMAR, AxisParams
from analysis.compute.groups.several_axes import (
    MEANS,
    READ,
    axis_reader,
    cosines_of,
    given_axes,
    unit_columns,
)
from analysis.compute.machine import machine
from analysis.compute.rows.copies import copies_note
from analysis.compute.rows.samples import pooled_samples
from analysis.compute.statistics.moments import is_varying
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.sample_groups import groups_of, jackknife_half
from analysis.errors import InputError, NotEnoughData
from analysis.results import Estimate, Matrix
from analysis.sources.weight_directions import weight_direction
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 20


@dataclass(frozen=True)
class AxisCosinesParams(AxisParams):
    column: str = param("label", "Sample column whose axes come first; it must exist.", column=True)
    others: str = param("", "More columns, with commas between; empty: all that are numbers or classes.")
    axis: str = param(MEANS, "How an axis is made.", choices=(MEANS, READ))
    direction: str = param("", f"Further axes that are given, with commas between: {GRAMMAR}.")
    draws: int = param(1000, "Exchanges of each axis's values.", low=50, high=10_000)
    maximum_samples: int = param(5000, "Most samples; a seeded random subset above.", low=50, high=100_000)


def axis_cosines(
    activations, params: AxisCosinesParams = AxisCosinesParams(), rng=None, progress=no_progress
) -> Matrix:
    """Cosines between concept axes.

    Parameters
    ----------
    activations : Activations or array (rows, units); tokens count once per sample, by their mean.

    Returns
    -------
    Matrix
        `values` (axes, axes) in [-1, 1], 1 on the diagonal; `null`, `low`, `high`, `significant` of each cell.

    Raises
    ------
    NotFound
        No such column, or none that is a number or classes.
    NotEnoughData, InputError, TooLarge
        Fewer than 20 finite samples or than two axes; no unit varies; more than 60 axes.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    names, z, notes, at = column_targets(
        activations, params.column, params.others, params.maximum_samples, rng, params.gives_axis
    )
    x, kept, more = pooled_samples(activations, "mean", at, progress, (0.0, 0.3))
    z, n, more = z[kept], int(kept.sum()), [*more, *copies_note(x)]
    if n < FEWEST:
        raise NotEnoughData(f"{n} sample(s) with a finite row", f"at least {FEWEST}", "Record more samples")
    varies = is_varying(x.var(axis=0), x.mean(axis=0))
    if not varies.any():
        raise InputError(
            f"every unit of {activations.name} is constant", "units that vary", "Choose another tap"
        )
    x = x[:, varies]
    more_names, given = given_axes(activations, params, x, at[kept], np.flatnonzero(varies), weight_direction)
    x = x - x.mean(axis=0)
    z = np.where(np.isnan(z), 0.0, z - np.nanmean(z, axis=0))  # a sample without a value pulls nowhere
    spread = np.sqrt((z**2).sum(axis=0))
    if (spread == 0).any():
        lost = names[int(np.argmin(spread))]
        raise NotEnoughData(
            f"'{lost}' is constant over the finite samples", "values that vary", "Name other columns"
        )
    read = axis_reader(x, params.axis)
    axes = np.hstack([unit_columns(read(x.T @ z)), given])
    progress(0.4, "leaving groups of samples out")
    group = groups_of(n, rng)
    without = np.stack([
        cosines_of(np.hstack([unit_columns(read(x[group != g].T @ z[group != g])), given]))
        for g in range(int(group.max()) + 1)
    ])  # fmt: skip
    half = jackknife_half(without)
    null = np.zeros((params.draws, axes.shape[1], axes.shape[1]))
    for i in range(params.draws):
        if i % 10 == 0:
            progress(0.5 + 0.5 * i / params.draws, "exchanging values")
        null[i, : len(names)] = unit_columns(read(x.T @ rng.permuted(z, axis=0))).T @ axes
        null[i, len(names) :, len(names) :] = unit_columns(rng.standard_normal(given.shape)).T @ given
    values = np.clip(axes.T @ axes, -1.0, 1.0)
    np.fill_diagonal(values, 1.0)
    if more_names:
        half = _blank_given(half, len(names))
        said = f"Given, and held fixed: {', '.join(more_names)}. Chance for two of them is a uniform random direction: "
        notes = [said + "too narrow where both were made of these samples.", *notes]
    names = [*names, *more_names]
    return _matrix(activations.name, params, names, values, half, null, n, x.shape[1], (*more, *notes))


def _blank_given(half: np.ndarray | None, columns: int) -> np.ndarray | None:
    """Two given axes have no interval."""
    if half is None:
        return None
    half = half.copy()
    half[columns:, columns:] = np.nan
    return half


def _matrix(name: str, params, names, values, half, null, n: int, d: int, notes) -> Matrix:
    m = len(names)
    upper = np.triu_indices(m, 1)
    null = np.maximum(
        np.abs(null), np.abs(null.transpose(0, 2, 1))
    )  # either of the two exchanged: the larger
    p = (1 + (null >= np.abs(values)).sum(axis=0)) / (1 + len(null))
    q = benjamini_hochberg(p[upper])
    significant = np.zeros((m, m), bool)
    significant[upper] = q < 0.05
    significant |= significant.T
    low, high = (
        (None, None) if half is None else (np.clip(values - half, -1, 1), np.clip(values + half, -1, 1))
    )
    band = np.percentile(null, 95, axis=0)
    cells = [(i, j) for i, j in zip(*upper, strict=True)]
    cells.sort(key=lambda c: -abs(values[c]))
    estimates = tuple(
        Estimate(
            f"cosine of {names[i]} and {names[j]}", float(values[i, j]),
            **_ends(low, high, i, j), null=0.0,
            null_low=-float(band[i, j]), null_high=float(band[i, j]), p_value=float(p[i, j]), n=n, d=d,
            null_method=f"{params.draws} exchanges of the values of either column; 95 % of the larger magnitude",
            estimator=f"cosine, {params.axis}",
        )
        for i, j in cells[:20]
    )  # fmt: skip
    return Matrix(
        title=f"Cosines between concept axes in {name}", values=values, row_names=tuple(names),
        column_names=tuple(names), value_name="cosine", limits=(-1.0, 1.0), diverging=True, significant=significant,
        null=np.zeros((m, m)), low=low, high=high, reading=_reading(names, values, significant, upper),
        estimates=estimates,
        caveats=(
            "Axes of classes of one column share their samples: with C equal classes their cosines average "
            "-1 / (C - 1) even where nothing else relates them.",
            "Exchanged values give axes along the large principal axes, so chance is wider than 1 / √d "
            f"({1 / np.sqrt(d):.2f}): 95 % of it lies within ±{float(np.median(band[upper])):.2f} in the median pair.",
            *notes,
        ),
    )  # fmt: skip


def _ends(low, high, i: int, j: int) -> dict:
    if low is None or np.isnan(low[i, j]):
        return {}
    how = "jackknife over groups of samples, t"
    return {"low": float(low[i, j]), "high": float(high[i, j]), "interval": how}


def _reading(names, values, significant, upper) -> str:
    told = [(i, j) for i, j in zip(*upper, strict=True) if significant[i, j]]
    first = (
        f"{len(told)} of {len(upper[0])} pairs of axes are further from a right angle than chance (q < 0.05)."
    )
    if not told:
        return first
    told.sort(key=lambda c: -abs(values[c]))
    listed = "; ".join(f"{names[i]} with {names[j]} ({values[i, j]:+.2f})" for i, j in told[:5])
    return f"{first} Furthest: {listed}."


def _cost(shapes, params: AxisCosinesParams) -> Cost:
    (rows, d), m, axes = shapes[0], machine(), 6
    n = min(rows, params.maximum_samples)
    flops = (params.draws + 12) * 2.0 * n * d * axes + (0 if params.axis == MEANS else n * d * d + d**3)
    return Cost(m.seconds(flops64=flops, moved=params.draws * n * axes * 60.0) + 0.02,
                8.0 * n * d * 3.2 + 8.0 * params.draws * axes**2 * 3)  # fmt: skip


def _check() -> tuple[CheckLine, ...]:
    """Two numbers along directions at 60 degrees have axes with cosine 0.5; a number that means nothing is related to
    neither; three equal classes with independent means have cosines of -1/2."""
    rng = np.random.default_rng(4)
    n, d = 4000, 60
    one, two, none = rng.standard_normal((3, n))
    frame = np.linalg.qr(rng.standard_normal((d, 2)))[0]
    u, v = frame[:, 0], 0.5 * frame[:, 0] + np.sqrt(0.75) * frame[:, 1]
    x = 0.8 * (np.outer(one, u) + np.outer(two, v)) + rng.standard_normal((n, d))
    data = ArrayActivations(x + 9, samples={"one": one, "two": two, "none": none})
    plain = axis_cosines(data, AxisCosinesParams(column="one"))
    means = np.repeat(np.linalg.qr(rng.standard_normal((d, 3)))[0].T * 4, 200, axis=0)
    classes = axis_cosines(
        ArrayActivations(
            means + 0.1 * rng.standard_normal((600, d)), samples={"label": np.repeat([0, 1, 2], 200)}
        )
    )
    return (
        CheckLine("60 degrees", 0.5, float(plain.values[0, 1]), 0.06),
        CheckLine("marked", 1.0, float(plain.significant[0, 1]), 0.0),
        CheckLine("a number that means nothing, not marked", 0.0, float(plain.significant[0, 2]), 0.0),
        CheckLine("three classes against the rest", -0.5, float(classes.values[0, 1]), 0.01),
        CheckLine("diagonal", 1.0, float(plain.values[0, 0]), 1e-12),
    )


METHODS = (
    Method(
        id="axis_cosines", family="concepts", title="Cosines between concept axes", version=1, function=axis_cosines,
        summary="Whether the axes of two sample columns point the same way, against axes of exchanged values.",
        params=AxisCosinesParams, result=Matrix, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="rotating, shifting or scaling all units by one factor changes nothing, nor does a positive factor "
        "or a shift of a number; rescaling single units does",
        papers=("On the rankability of visual embeddings",),
    ),
)  # fmt: skip
