"""Do activations lie where a layer's weights write, or read? Shares of variance along the weights' directions.

The weights of a layer, W (units, inputs), write along their left singular vectors into its units, and read along their
right ones from its inputs, with an energy σ² along each. Activations of those units (or inputs) vary along their
principal axes. Over k:

    share of the activations' variance inside the first k directions of the weights
    share of the weights' energy inside the first k axes of the activations

each beside k / d, what a random subspace holds, and beside the most that any k directions hold (its own spectrum). An
attention output of low rank is a narrow W_O where the first rises as fast as the weights' own spectrum does; narrow
data, where activations need fewer directions than the weights offer.

Null: a random subspace, mean and deviation exact (`compute.subspaces.shared_energy`); p by Cantelli's bound. Intervals:
samples left out in groups (weights have no sampling error).

When it lies: activations of a residual stream are sums over all that was written before, of which one layer is a
part; a normalisation between the weights and the tap turns and scales; W of full rank spans everything, so look at
the leading directions; one unit of large deviation owns the variance; biases are ignored, as is all that is not
variance.

Cost: two passes, O(n d²) operations, O(d³) for each of two spectra; memory O(d²).

References: J. Wang et al. (2025), "Attention layers add into low-dimensional residual subspaces"; Å. Björck & G. Golub
(1973) for the angles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.linear.spectra import axes_for
from analysis.compute.machine import machine
from analysis.compute.statistics.exchange_moments import cantelli_p
from analysis.compute.statistics.moments import moments_of
from analysis.compute.statistics.sample_groups import jackknife_half
from analysis.compute.streaming import Pass, refuse_few
from analysis.compute.subspaces.angles import overlap, overlap_by_chance, principal_angles
from analysis.compute.subspaces.random_subspaces import BLOCK, overlap_p, random_angles
from analysis.compute.subspaces.shared_energy import (
    READS,
    WRITES,
    Energy,
    share_by_chance,
    share_series,
    squares_by_group,
    weight_energy,
)
from analysis.errors import InputError, TooLarge
from analysis.results import Curve, Estimate
from analysis.sources.unit_weights import is_table, unit_weights
from analysis.spec import CheckLine, Cost, Method, no_progress, param

WIDEST, FEWEST = 8192, 8
INSIDE = "variance inside the weights' directions"
OWN = "variance inside its own axes"
ENERGY = "weights' energy inside the activations' axes"
ENERGY_OWN = "weights' energy inside their own directions"
NULL = "a random subspace, exact mean and deviation; p by Cantelli's bound"
DRAWN = "random subspaces, exact mean and deviation; p exact for a line, else drawn"


@dataclass(frozen=True)
class WeightSubspacesParams:
    layer: str = param(
        "",
        "Layer of the second tap's checkpoint, as its file names it; empty: the module that this tap recorded.",
        label="layer of the second tap's network",
        layer=True,
    )
    side: str = param(
        WRITES, "The activations are what the layer writes into (its units), or what it reads (its inputs).",
        choices=(WRITES, READS), label="activations are what the layer",
    )  # fmt: skip
    table: bool = param(
        False,
        "The second tap holds a table of weight vectors: a column for each unit of the first, a row for each vector.",
        label="second tap is a table of weights",
    )
    share: float = param(0.9, "Share of the energy at which numbers are given.", low=0.1, high=0.999)


def weight_subspaces(
    activations,
    weights,
    params: WeightSubspacesParams = WeightSubspacesParams(),
    rng=None,
    progress=no_progress,
) -> Curve:
    """Variance of activations along the singular directions of a layer's weights, and the other way round.

    Parameters
    ----------
    activations : Activations or array (rows, units)
    weights : Activations or array
        A tap of a store that knows its checkpoint, from which `layer` is read; or a table of weights (an array, or a
        tap with `table`), with one column for each unit of the activations and one row for each weight vector.

    Returns
    -------
    Curve
        Four shares over the number of directions; the null k / d. Estimates at `share` of the energy.

    Raises
    ------
    InputError, NotFound, ParameterError
        Other numbers of units; weights that are all 0 or not finite; no such layer or checkpoint; constant activations.
    NotEnoughData, TooLarge
        Fewer than eight finite rows; more than 8,192 units.
    """
    tap, source = as_activations(activations), as_activations(weights)
    rng, d = rng or np.random.default_rng(0), tap.shape[1]
    if d > WIDEST:
        raise TooLarge(f"{tap.name} has {d:,} units", f"at most {WIDEST:,}", "Choose a narrower tap")
    progress(0.0, "reading weights")
    table = is_table(source, params.table)
    layer = unit_weights(source, layer=params.layer, norm="" if table else "none", table=params.table)
    gram = weight_energy(layer.weight, layer.name, tap, WRITES if table else params.side)
    seen = Pass()
    moments = moments_of(tap, seen, progress, (0.1, 0.5))
    refuse_few(tap.name, moments.n if moments else 0, FEWEST)
    if not moments.varies().any():
        raise InputError(
            f"every unit of {tap.name} is constant", "activations that differ", "Choose another tap"
        )
    data, space = Energy.of(moments.covariance), Energy.of(gram)
    squares = squares_by_group(tap, moments.mean, space.axes, seen, rng, progress, (0.6, 1.0))
    series = share_series(squares)
    lines = {
        INSIDE: series[0], OWN: np.cumsum(data.values), ENERGY: np.cumsum(space.along(data.axes)),
        ENERGY_OWN: np.cumsum(space.values),
    }  # fmt: skip
    lines = {name: np.minimum(line, 1.0) for name, line in lines.items()}
    half, ks = jackknife_half(series[1:]), np.arange(1, d + 1)
    bands = {} if half is None else {
        "low": {INSIDE: np.maximum(lines[INSIDE] - half, 0.0)}, "high": {INSIDE: np.minimum(lines[INSIDE] + half, 1.0)}
    }  # fmt: skip
    found = _estimates(lines, series, data, space, moments.n, params.share, rng)
    still = int((~moments.varies()).sum())
    said = [f"{still} constant unit(s) add nothing to the variance."] if still else []
    return Curve(
        title=f"{tap.name} and what {layer.name} {params.side}", reading=_reading(found, layer.name, params),
        caveats=(*seen.notes, *layer.notes, *said, *_caveats(moments.n, d)), estimates=found, x=ks.astype(np.float64),
        x_name="directions (k)", y_name="share", series=lines, null={INSIDE: ks / d, ENERGY: ks / d}, **bands,
    )  # fmt: skip


def _estimates(lines, series, data: Energy, space: Energy, n: int, share: float, rng) -> tuple[Estimate, ...]:
    d = len(data.values)
    k, q = axes_for(space.values, share), axes_for(data.values, share)
    common = {"n": n, "d": d}

    def inside(name: str, value: float, dimension: int, values: np.ndarray, **ends) -> Estimate:
        mean, deviation = (float(v) for v in share_by_chance(np.float64(dimension), values))
        return Estimate(
            name, value, null=mean, null_low=max(mean - 1.96 * deviation, 0.0),
            null_high=min(mean + 1.96 * deviation, 1.0), null_method=NULL, estimator="tr(P C) / tr C",
            p_value=float(cantelli_p(value, mean, deviation)), **ends, **common,
        )  # fmt: skip

    value, half = float(lines[INSIDE][k - 1]), jackknife_half(series[1:, k - 1])
    ends = {} if half is None else {
        "low": max(value - float(half), 0.0), "high": min(value + float(half), 1.0),
        "interval": "jackknife over groups of samples, t",
    }  # fmt: skip
    both = float(overlap(principal_angles(space.axes[:, :k], data.axes[:, :q])))
    mean, deviation = overlap_by_chance(k, q, d)
    return (
        inside(
            f"variance inside the {k} directions with {share:.0%} of the weights' energy", value, k, data.values, **ends
        ),
        inside(
            f"weights' energy inside the {q} axes with {share:.0%} of the variance", float(lines[ENERGY][q - 1]), q,
            space.values,
        ),
        Estimate(
            "overlap of the two, Σ cos² θ / m", both, null=mean, null_low=mean - 1.96 * deviation,
            null_high=mean + 1.96 * deviation, null_method=DRAWN,
            p_value=float(overlap_p(both, k, q, d, random_angles(k, q, d, rng))),
            estimator="plug-in", **common,
        ),
        Estimate(f"directions for {share:.0%} of the weights' energy", k, estimator="count", unit="axes", **common),
        Estimate(f"axes for {share:.0%} of the variance", q, estimator="count", unit="axes", **common),
    )  # fmt: skip


def _reading(found, name: str, params: WeightSubspacesParams) -> str:
    inside, energy, _, *counts = found
    verdict = "more than chance" if inside.p_value < 0.05 else "not shown to be more than chance"
    return (
        f"{counts[0].value} of {inside.d:,} directions hold {params.share:.0%} of what {name} {params.side}; "
        f"{inside.value:.0%} of the activations' variance lies there (random ones: {inside.null:.0%}), {verdict}. "
        f"{counts[1].value} axes hold {params.share:.0%} of the variance and {energy.value:.0%} of the weights' energy "
        f"(random: {energy.null:.0%})."
    )


def _caveats(n: int, d: int) -> list[str]:
    notes = ["Energy of the weights is about the origin, variance of the activations about their mean."]
    if n < 5 * d:
        notes.append(f"{n:,} rows for {d:,} units: the activations' own spectrum falls too steeply.")
    return notes


def _cost(shapes, params: WeightSubspacesParams) -> Cost:
    (n, d), (rows, units), m = shapes[0], shapes[1], machine()
    flops = 4.0 * n * d * d + 2.0 * rows * d * units + 22.0 * d**3
    drawn = 3.0 * min(BLOCK, 1000 * d * d)  # numbers of random subspaces
    held = 8.0 * (min(n, 4096) * d * 4 + 10 * d * d + 2.3 * rows * units + drawn)
    return Cost(m.seconds(flops64=flops, moved=8.0 * n * d * 12) + 0.02, held)


def _check() -> tuple[CheckLine, ...]:
    """What a narrow layer makes lies where it writes; unrelated weights hold k / d; what it reads is another matter."""
    rng = np.random.default_rng(2)
    narrow = rng.standard_normal((30, 5)) @ rng.standard_normal((5, 40))  # (units, inputs) of rank 5
    inputs = rng.standard_normal((2000, 40))
    made = inputs @ narrow.T
    asked = WeightSubspacesParams(share=0.999)

    def value(x, table, **more) -> Estimate:
        asked = WeightSubspacesParams(**more)
        return weight_subspaces(ArrayActivations(x), ArrayActivations(table), params=asked).estimates[0]

    found = weight_subspaces(ArrayActivations(made), ArrayActivations(narrow.T), params=asked)
    flat = value(rng.standard_normal((4000, 30)), narrow.T, share=0.999)
    return (
        CheckLine("outputs: directions that the weights have", 5.0, found.estimates[3].value, 0.0),
        CheckLine("outputs: variance inside them", 1.0, found.estimates[0].value, 1e-9),
        CheckLine("outputs: overlap of weights and activations", 1.0, found.estimates[2].value, 1e-6),
        CheckLine("unrelated: variance inside 5 of 30", 5 / 30, flat.value, 0.015),
        CheckLine("unrelated: its chance", 5 / 30, flat.null, 1e-12),
        CheckLine("white inputs: 5 of 40", 5 / 40, value(inputs, narrow, share=0.999).value, 0.02),
    )


METHODS = (
    Method(
        id="weight_subspaces", family="subspaces", title="Weights' directions and activations", version=1,
        function=weight_subspaces,
        summary="Whether activations vary along the directions that a layer's weights write or read.",
        params=WeightSubspacesParams, result=Curve, check=_check, cost=_cost, inputs=2,
        roles=("activations", "a tap of the layer whose weights are meant"), minimum_rows=FEWEST,
        invariance="rotating activations and weights alike, shifting or scaling the activations, scaling the weights",
        papers=("Attention Layers Add Into Low-Dimensional Residual Subspaces",),
    ),
)  # fmt: skip
