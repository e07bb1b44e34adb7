"""How many different features a layer's weights hold: equivalent units are merged, closest first, and counted.

    complexity(beta) = units left when no two are closer than beta, over all units

Distance and merging as in `compute.networks.feature_merging`: for ReLU up to a positive scale, otherwise between equal
weights; 0 for equivalent units, about √2 for unrelated ones. Needs no data: the tap says whose checkpoint, `layer`
which layer of it. A further tap with the activations of these units after the nonlinearity shows the error of the
merged layer. An array is a table of weights itself: one column per unit, one row per input (and the bias as one more).

Where the checkpoint is a Hugging Face directory and its data are still there, `accuracy` runs the merged network.

Null: the layer with each unit's weights moved between its inputs, and Gaussian weights of the same shape; both leave
every unit until beta comes near √2.

When it lies: equivalence is declared, not found, and GELU or a normalisation in between breaks that of ReLU; a norm
before the layer scales its inputs and so the distances; a layer that writes a residual stream cannot drop a unit alone;
weights may differ where no input ever goes; the bias counts as the weight of an input of 1. Beta, and which unit stays,
are defined here, not by Chen et al.

Cost: O(units² inputs) for the layer and for each of 8 to 38 null layers; memory 16 bytes per pair of units.

References: Y. Chen, Z. Zhou & J. Yan (2023), "Going beyond neural network feature similarity"; W. Kim et al. (2020).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.networks.feature_merging import (
    EQUAL,
    MOST_INPUTS,
    RELU,
    folded_outgoing,
    gaussian_paths,
    merge_path,
    moved_paths,
    null_draws,
    output_errors,
    random_path,
)
from analysis.compute.networks.merging_reading import (
    accuracy_estimate,
    complexity_estimates,
    error_estimate,
    merging_caveats,
)
from analysis.errors import InputError
from analysis.results import Curve
from analysis.sources.unit_weights import layer_of
from analysis.spec import CheckLine, Cost, Method, no_progress, param

GRID = np.linspace(0.0, 1.5, 31)


@dataclass(frozen=True)
class FeatureMergingParams:
    layer: str = param(
        "", "Layer of the checkpoint, as its file names it; empty: the module that the tap recorded."
    )
    equivalence: str = param(RELU, "What the nonlinearity lets the next layer absorb.", choices=(RELU, EQUAL))
    beta: float = param(
        0.2, "Threshold at which numbers are given: 0 equivalent, 1.41 unrelated.", low=0, high=1.5
    )
    outgoing: str = param(
        "", "Layer that reads these units; empty: found where names and shapes leave no doubt."
    )
    norm: str = param("", "BatchNorm to fold into the weights; empty: found likewise; none: leave it out.")
    table: bool = param(False, "The tap holds a table of weights: a column per unit, a row per input.")
    maximum_rows: int = param(2000, "Most rows for the error; a random part above.", low=50, high=20_000)
    accuracy: bool = param(
        False, "Run the network on its data after merging (its files and data must be there)."
    )


def feature_merging(
    *taps, params: FeatureMergingParams = FeatureMergingParams(), rng=None, progress=no_progress
) -> Curve:
    """Units left, and the error of the merged layer, over the threshold beta.

    Parameters
    ----------
    *taps : Activations or arrays
        Weights: a tap of a store (its checkpoint's are read), or a table (inputs, units). Then, if wanted, activations
        (rows, units) after the nonlinearity, and a table (outputs, units) of outgoing weights.

    Returns
    -------
    Curve
        Share of the units left over beta, of the layer and of Gaussian weights; its null is the layer with weights
        moved between inputs. Where known, the relative error of the next layer's sum.

    Raises
    ------
    InputError, NotFound
        No checkpoint or another one; no such layer, naming those there are.
    NotEnoughData, TooLarge
        Fewer than two units with weights; more than 8,192.

    Notes
    -----
    `accuracy` runs the network once for each number of merges that the curve shows, at most 32 times, and as often with
    random pairs merged.
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
    moved = moved_paths(x, params.equivalence, draws, rng, progress, (0.2, 0.5), biased)
    gaussian = gaussian_paths(
        (len(path.alive), x.shape[1]), params.equivalence, draws, rng, progress, (0.5, 0.8)
    )
    random = np.array([p.left(GRID) for p in gaussian])
    chance = np.array([p.left(GRID) for p in moved])
    left = "distinct features left"
    series = {left: path.left(GRID), "Gaussian weights": random.mean(axis=0)}
    null = {left: chance.mean(axis=0)}
    estimates, said = complexity_estimates(path, moved, params.beta, x.shape[1]), ()
    if layer.activations is not None and layer.outgoing is not None:
        progress(0.8, "measuring the merged layer")
        errors = output_errors(layer.activations, layer.outgoing, path)
        series["relative error of the output"] = np.concatenate([[0.0], errors.relative])[path.steps(GRID)]
        estimates += (error_estimate(errors, path, params.beta, layer.sample, rng),)
    if params.accuracy:
        both = path, random_path(x, path, params.equivalence, rng)
        answers, classes, said = _answers(taps[0], layer, both, params, rng, progress)
        at = int(path.steps(params.beta))
        series["accuracy"], null["accuracy"] = (
            np.array([found[s].mean() for s in path.steps(GRID).tolist()]) for found in answers
        )
        estimates += (accuracy_estimate(*(f[at] for f in answers), classes, params.beta, len(path.alive)),)
    progress(1.0, "done")
    return Curve(
        title=f"Feature merging: distinct units of {layer.units.name}",
        reading=_reading(path, estimates, params.beta),
        caveats=(*said, *merging_caveats(layer, path, relu, draws)),
        estimates=estimates, x=GRID, x_name="threshold beta (0 equivalent, 1.41 unrelated)", y_name="share",
        series=series, null=null,
        low={"Gaussian weights": random.min(axis=0)}, high={"Gaussian weights": random.max(axis=0)},
    )  # fmt: skip


def _answers(tap, layer, paths, params: FeatureMergingParams, rng, progress):
    """For each path, right answers (n,) of the network after each number of steps that the curve shows, in a dict;
    whether they are classes; and on how many samples it ran, as sentences."""
    from analysis.sources.rerun import reading_weight, rerun

    if not layer.reader:
        raise InputError(
            f"the layer that reads the units of {layer.units.name} is not known, so the network cannot be run without "
            "some of them", "its name in 'outgoing', and a tap of a store",
        )  # fmt: skip
    run = rerun(tap, params.maximum_rows, rng=rng)
    name, weight, axis = reading_weight(run, layer.units.network, layer.reader)
    flat = np.moveaxis(weight, axis, 0)
    known, found = np.isfinite(run.measure().correct), [{} for _ in paths]
    if not known.any():
        raise InputError(f"the data of {tap.name} have no labels", "labels, or a language model")
    counts = np.unique(paths[0].steps(np.append(GRID, params.beta))).tolist()
    for i, steps in enumerate(counts):
        progress(0.85 + 0.15 * i / len(counts), "running the merged network")
        for path, right in zip(paths, found, strict=True):
            folded = folded_outgoing(flat.reshape(len(flat), -1), path, steps).reshape(flat.shape)
            changed = {name: np.moveaxis(folded, 0, axis).astype(weight.dtype)}
            right[steps] = run.measure(changed).correct[known]
    return found, run.labels is not None, (run.note,)


def _reading(path, estimates, beta: float) -> str:
    left, closest, *more = estimates
    said = (
        f"{left.value:.0%} of the {len(path.alive)} units are left when those closer than {beta:g} are merged; with "
        f"the same weights moved between inputs {left.null:.0%} are left. The closest two units are "
        f"{closest.value:.2g} apart, in moved weights {closest.null:.2g}."
    )
    for e in more:
        said += (
            f" Merging them changes the next layer's sum by {e.value:.1%} of its deviation."
            if e.name.startswith("relative error")
            else f" The network then gives {e.value:.1%} right answers, with random pairs merged {e.null:.1%}."
        )
    return said


def _cost(shapes, params: FeatureMergingParams) -> Cost:
    (f, c), m = shapes[0], machine()
    f = min(f, MOST_INPUTS)  # of a store, rows are samples, of which there may be many more
    runs = 1 + 2 * null_draws(c, f)
    flops = runs * (2.0 * c * c * f)
    moved = runs * (c * c * 8.0 * 20 + c * f * 8.0 * 6)
    outputs = c if len(shapes) > 1 else 0
    moved += 8.0 * c * params.maximum_rows * outputs * 2
    memory = 8.0 * (2.4 * c * c + 6 * c * f) + 8.0 * params.maximum_rows * (4 * outputs) + 2e5
    runs_again = params.accuracy * (10.0 + 64 * 0.001 * min(shapes[0][0], params.maximum_rows))
    return Cost(m.seconds(flops64=flops, moved=moved, calls=runs * c * 6.0) + 0.01 + runs_again, memory)


def _check() -> tuple[CheckLine, ...]:
    """Planted twins are found at beta 0, the merged layer is the same function, and random weights keep every unit."""
    rng = np.random.default_rng(7)
    w, v = rng.standard_normal((60, 100)), rng.standard_normal((100, 30))
    inputs = rng.standard_normal((300, 60))
    planted = w.copy()
    planted[:, 90:] = planted[:, :10] * rng.uniform(0.2, 5.0, 10)  # twins up to scale
    planted[:, 89] = 2 * planted[:, 90]  # one of them a triplet
    found = feature_merging(
        planted, np.maximum(inputs @ planted, 0), v.T, params=FeatureMergingParams(beta=0.001)
    )
    equal = feature_merging(planted, params=FeatureMergingParams(equivalence=EQUAL, beta=0.001))
    plain = feature_merging(w, params=FeatureMergingParams(beta=0.5))
    turned = feature_merging(
        planted[:, rng.permutation(100)] * rng.uniform(0.1, 9, 100), params=FeatureMergingParams(beta=0.001)
    )
    return (
        CheckLine("11 twins of 100: left at beta 0", 0.89, found.series["distinct features left"][0], 0.0),
        CheckLine("error of the merged layer", 0.0, found.estimates[2].value, 1e-12),
        CheckLine("scaled twins are not equal weights", 1.0, equal.estimates[0].value, 0.0),
        CheckLine("reordered and rescaled: left", 0.89, turned.estimates[0].value, 0.0),
        CheckLine("random weights: left at beta 0.5", 1.0, plain.estimates[0].value, 0.0),
    )  # fmt: skip


METHODS = (
    Method(
        id="feature_merging", family="weights", title="Feature merging (feature complexity)", version=2,
        function=feature_merging,
        summary="How many different features a layer's weights hold: equivalent units are merged and counted.",
        params=FeatureMergingParams, result=Curve, check=_check, cost=_cost, inputs=1, more_inputs=True, minimum_rows=2,
        worker=True,
        invariance="reordering the units; for ReLU, scaling a unit's incoming weights and bias by a positive number",
        papers=(
            "Going Beyond Neural Network Feature Similarity: The Network Feature Complexity and Its Interpretation "
            "Using Category Theory",
            "Network feature complexity / Iterative Feature Merging",
        ),
    ),
)  # fmt: skip
