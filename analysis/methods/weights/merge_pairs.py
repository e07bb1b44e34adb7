"""The pairs of units that are merged, in order: the merge tree of `feature_merging` as a table.

Each step deletes one unit and adds its outgoing weights, times `scale`, to those of the unit that stays. Beside the
distance of their weights stands what data say of the pair, where activations are given: the correlation of the two
units, and the error of the layer's output after this step and all before it.

Null: the same merging of the layer with each unit's weights moved between its inputs. A pair is closer than chance when
it is closer than the closest pair of every such draw.

When it lies: as in `feature_merging`; a unit that has taken in others stays as it was, so a chain of close pairs may
join two units that are not close; two units can have unlike weights and be equal on all data that there is (inputs that
always go together), and then only the correlation shows it.

Cost: O(units² inputs) for the layer and for each null layer, O(units rows outputs) for the error.

References: Y. Chen, Z. Zhou & J. Yan (2023), "Going beyond neural network feature similarity"; E. B. Wilson (1927).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.correlation.correlations import fisher_interval
from analysis.compute.machine import machine
from analysis.compute.networks.feature_merging import (
    EQUAL,
    MOST_INPUTS,
    RELU,
    mean_correlation,
    merge_path,
    moved_paths,
    null_draws,
    output_errors,
    pair_correlations,
)
from analysis.compute.networks.merging_reading import MOVED, merging_caveats
from analysis.compute.statistics.nulls import wilson
from analysis.results import Estimate, Table
from analysis.sources.unit_weights import layer_of
from analysis.spec import CheckLine, Cost, Method, no_progress, param

HELP = {
    "step": "Order of merging, the closest pair first.",
    "kept": "The unit that stays as it was.",
    "merged": "The unit that is deleted.",
    "scale": "What the deleted unit's activation is as a multiple of the other's.",
    "distance": "Of the incoming weights: 0 equivalent, about 1.41 unrelated.",
    "units left": "After this step.",
    "closer than chance": "Closer than the closest pair of every layer with moved weights.",
    "correlation": "Of the two units' activations on the data; 0 where one does not vary.",
    "output error": "Change of the next layer's sum after this step and all before, over its deviation.",
}


@dataclass(frozen=True)
class MergePairsParams:
    layer: str = param(
        "", "Layer of the checkpoint, as its file names it; empty: the module that the tap recorded."
    )
    equivalence: str = param(RELU, "What the nonlinearity lets the next layer absorb.", choices=(RELU, EQUAL))
    pairs: int = param(500, "Most steps listed.", low=1, high=8192)
    outgoing: str = param(
        "", "Layer that reads these units; empty: found where names and shapes leave no doubt."
    )
    norm: str = param("", "BatchNorm to fold into the weights; empty: found likewise; none: leave it out.")
    table: bool = param(False, "The tap holds a table of weights: a column per unit, a row per input.")
    maximum_rows: int = param(
        2000, "Most rows for data-based columns; a random part above.", low=50, high=20_000
    )


def merge_pairs(
    *taps, params: MergePairsParams = MergePairsParams(), rng=None, progress=no_progress
) -> Table:
    """The steps of merging a layer's units.

    Parameters
    ----------
    *taps : Activations or arrays
        As for `feature_merging`: weights; then activations (rows, units); then outgoing weights (outputs, units).

    Returns
    -------
    Table
        One row for each step, with names, scale and distance, and data-based columns where data are known.

    Raises
    ------
    InputError, NotFound, NotEnoughData, TooLarge
        As for `feature_merging`.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    progress(0.0, "reading weights")
    relu = params.equivalence == RELU
    layer = layer_of(
        taps, rng, layer=params.layer, norm=params.norm, outgoing=params.outgoing, table=params.table, relu=relu,
        maximum_rows=params.maximum_rows,
    )  # fmt: skip
    x = layer.units.with_bias()
    path = merge_path(x, params.equivalence, progress, (0.05, 0.2))
    draws = null_draws(*x.shape)
    biased = layer.units.bias is not None
    moved = moved_paths(x, params.equivalence, draws, rng, progress, (0.2, 0.8), biased)
    apart = np.array([p.distance[0] for p in moved])
    close = path.distance < apart.min()
    columns, estimates = _columns(path, layer, close), [_share(path, close, apart, x.shape[1])]
    caveats = list(merging_caveats(layer, path, relu, draws))
    if layer.activations is not None:
        progress(0.8, "looking at the data")
        r = pair_correlations(layer.activations, path)
        columns["correlation"] = r
        estimates.append(_first_correlation(r[0], layer, path))
        if layer.outgoing is not None:
            columns["output error"] = output_errors(layer.activations, layer.outgoing, path).relative
    if len(path.kept) > params.pairs:
        caveats.append(f"The first {params.pairs:,} of {len(path.kept):,} steps are listed.")
    progress(1.0, "done")
    return Table(
        title=f"Pairs merged in {layer.units.name}", reading=_reading(columns, estimates, apart),
        caveats=tuple(caveats), estimates=tuple(estimates),
        columns={k: v[: params.pairs] for k, v in columns.items()}, index="step",
        help={k: HELP[k] for k in columns},
    )  # fmt: skip


def _columns(path, layer, close: np.ndarray) -> dict[str, np.ndarray]:
    names, steps = np.array(layer.units.unit_names), np.arange(1, len(path.kept) + 1)
    return {
        "step": steps, "kept": names[path.kept], "merged": names[path.merged], "scale": path.scale,
        "distance": path.distance, "units left": len(path.alive) - steps, "closer than chance": close,
    }  # fmt: skip


def _share(path, close: np.ndarray, apart: np.ndarray, inputs: int) -> Estimate:
    n, found = len(path.alive), int(close.sum())
    low, high = wilson(found, n)
    return Estimate(
        "share of units merged closer than chance", found / n, low, high, interval="Wilson, units as draws", null=0.0,
        null_method=f"{MOVED}: no pair closer than the closest of {len(apart)} draws",
        p_value=float((1 + (apart <= path.distance[0]).sum()) / (1 + len(apart))), n=n, d=inputs,
        estimator="greedy merging, closest pair first",
    )  # fmt: skip


def _first_correlation(r: float, layer, path) -> Estimate:
    """The closest pair's correlation over samples, beside the mean of all pairs."""
    n = int(layer.sample[-1]) + 1
    mean = mean_correlation(layer.activations[:, path.alive])
    low, high = fisher_interval(np.array(r), n)
    return Estimate(
        "correlation of the closest pair's activations", float(r), min(float(low), r), max(float(high), r),
        interval="Fisher, samples as draws", null=mean, null_method="mean over all pairs of units", n=n,
        d=len(path.alive),
        estimator="Pearson's r",
    )  # fmt: skip


def _reading(columns, estimates, apart: np.ndarray) -> str:
    share = estimates[0]
    said = (
        f"{share.value:.0%} of the {share.n} units can be merged with another that is closer than chance. The closest "
        f"pair, {columns['kept'][0]} and {columns['merged'][0]}, is {columns['distance'][0]:.2g} apart; in moved "
        f"weights no two are closer than {apart.min():.2g}."
    )
    if len(estimates) > 1:
        r = estimates[1]
        said += f" On the data these two correlate with r = {r.value:.2f}, two units on average with {r.null:.2f}."
    return said


def _cost(shapes, params: MergePairsParams) -> Cost:
    (f, c), m = shapes[0], machine()
    f = min(f, MOST_INPUTS)  # of a store, rows are samples, of which there may be many more
    runs = 1 + null_draws(c, f)
    outputs = c if len(shapes) > 1 else 0
    moved = runs * (c * c * 8.0 * 20 + c * f * 8.0 * 6) + 8.0 * c * params.maximum_rows * outputs * 2
    memory = 8.0 * (2.4 * c * c + 6 * c * f) + 8.0 * params.maximum_rows * 4 * outputs + 2e5
    return Cost(m.seconds(flops64=runs * 2.0 * c * c * f, moved=moved, calls=runs * c * 6.0) + 0.01, memory)


def _check() -> tuple[CheckLine, ...]:
    """Three twins of one unit are merged first, with their scales, and leave the function as it was."""
    rng = np.random.default_rng(8)
    w, v, inputs = (
        rng.standard_normal((40, 30)),
        rng.standard_normal((30, 12)),
        rng.standard_normal((400, 40)),
    )
    w[:, 7], w[:, 21] = 4 * w[:, 3], 0.5 * w[:, 3]
    found = merge_pairs(w, np.maximum(inputs @ w, 0), v.T).columns
    first = {str(n) for k in ("kept", "merged") for n in found[k][:2]}
    factor = {"3": 1.0, "7": 4.0, "21": 0.5}
    rows = zip(*(found[name][:2] for name in ("kept", "merged", "scale")), strict=True)
    off = max(abs(s - factor.get(m, 9.0) / factor.get(k, 9.0)) for k, m, s in rows)
    return (
        CheckLine("steps closer than chance", 2.0, float(found["closer than chance"].sum()), 0.0),
        CheckLine("twins among the first two steps", 3.0, float(len(first & set(factor))), 0.0),
        CheckLine("scales off by", 0.0, off, 1e-12),
        CheckLine("correlation of twins", 1.0, float(found["correlation"][:2].min()), 1e-12),
        CheckLine("error after merging twins", 0.0, float(found["output error"][1]), 1e-12),
        CheckLine("error after one step more", 0.05, float(found["output error"][2]), 0.0, "at least"),
    )


METHODS = (
    Method(
        id="merge_pairs", family="weights", title="Pairs of equivalent units", version=1, function=merge_pairs,
        summary="Which units of a layer can be merged, in order, with what data say of each pair.",
        params=MergePairsParams, result=Table, check=_check, cost=_cost, inputs=1, more_inputs=True, minimum_rows=2,
        worker=True,
        invariance="reordering the units; for ReLU, scaling a unit's incoming weights and bias by a positive number",
        papers=(
            "Going Beyond Neural Network Feature Similarity: The Network Feature Complexity and Its Interpretation "
            "Using Category Theory",
            "Network feature complexity / Iterative Feature Merging",
        ),
    ),
)  # fmt: skip
