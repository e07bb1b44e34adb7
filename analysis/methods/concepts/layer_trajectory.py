"""At which layer two sets of samples become separable: the difference of their means in each layer, judged held out.

In every layer Δ = μ_1 - μ_2 from the training folds, and a held-out sample's place is (x - m) · Δ / ‖Δ‖² with m the
middle of the two means, so that the training means lie at ±1/2 (at ±‖Δ‖ / 2 in units of the activations). Shown is
the AUROC of that place: the chance that a sample of the first set lies above one of the second. Interval: DeLong's.

Null: the sets' names exchanged between samples and everything repeated, folds included: means 0.5 with the spread that
this many samples in this many units have. The first separable layer is the first whose interval lies above the largest
that 95 % of the exchanges reach in any layer.

When it lies: the difference of means is one direction, and a layer can hold the sets apart along another, or by a
curve; sets that differ in length or topic are separable from the first layer for that reason; a direction that
separates need not be one that later layers use: to see that, it has to be removed while the network runs.

Cost: (draws + 1) products O(n d) for each fold and layer. Memory O(n Σ d).

References: T. Winninger et al. (2025), "Using mechanistic interpretability to craft adversarial attacks" (subspace
rerouting); A. Arditi et al. (2024); E. DeLong et al. (1988).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.groups.concept import ConceptParams, asked_concept
from analysis.compute.groups.held_out_places import auroc_of, placed
from analysis.compute.linear.cross_fitting import folds_of
from analysis.compute.machine import machine
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.statistics.auroc import delong_interval
from analysis.compute.statistics.nulls import add_one_p
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import InputError, NotEnoughData
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 8  # samples of either set
AUROC, HALF = "held-out AUROC", 0.5


@dataclass(frozen=True)
class LayerTrajectoryParams(ConceptParams):
    folds: int = param(5, "Folds in which means are taken and samples placed.", low=2, high=20)
    draws: int = param(99, "Exchanges of the sets' names.", low=19, high=2000)
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(5000, "Most samples; a seeded random subset above.", low=40, high=100_000)


def layer_trajectory(
    *taps, params: LayerTrajectoryParams = LayerTrajectoryParams(), rng=None, progress=no_progress
) -> Curve:
    """Held-out AUROC of the difference of means, layer by layer.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units), the layers in order; samples are matched by id. Without names of the
    two
        groups, of a column with more classes the two most frequent are taken.

    Returns
    -------
    Curve
        `x` the number of the layer; AUROC with interval and null. Estimates: AUROC of each layer, and how much of the
        distance between the training means held-out samples keep (1 all of it).

    Raises
    ------
    ParameterError, NotFound, InputError
        Fewer than two taps; no such column or value; a number instead of two groups; a layer with equal samples.
    NotEnoughData, TooLarge
        Fewer than 8 samples in a set; over 4 GiB.
    """
    taps = [as_activations(t) for t in taps]
    rng = rng or np.random.default_rng(0)
    data = common_samples(
        taps,
        rng,
        maximum=params.maximum_samples,
        minimum=2 * FEWEST,
        pooling=params.pooling,
        progress=progress,
    )
    first, at, groups, notes = _sets(taps[0], params, data.ids)
    fold, draws = folds_of(first.astype(np.int64), params.folds, rng), [first]
    draws += [rng.permutation(first) for _ in range(params.draws)]
    labels = np.stack(draws)
    places, null = [], np.empty((len(taps), params.draws))
    for i, x in enumerate(data.values):
        progress(0.3 + 0.7 * i / len(taps), f"layer {i + 1} of {len(taps)}")
        found = placed(x[at], labels, fold)
        places.append(found[:, 0])
        null[i] = [auroc_of(found[:, j + 1], labels[j + 1]) for j in range(params.draws)]
    names = tap_names([t.name for t in taps])
    return _curve(
        names, groups, first, places, null, [x.shape[1] for x in data.values], (*notes, *data.notes)
    )


def _sets(tap, params: LayerTrajectoryParams, ids: np.ndarray):
    """Which set (m,) bool, the places (m,) in the common samples, the sets' names, notes."""
    where, concept, notes = asked_concept(tap, params, FEWEST)
    if concept.is_number:
        raise InputError(
            f"'{concept.name}' is a number",
            "two sets of samples",
            "Name two values, or choose two selections",
        )
    own = np.asarray(tap.samples["id"]).astype(str)[where]
    order = np.argsort(own, kind="stable")
    near = np.minimum(np.searchsorted(own, ids, sorter=order), len(own) - 1)
    has = own[order[near]] == ids
    at, of = np.flatnonzero(has), concept.of[order[near][has]]
    counts = np.bincount(of, minlength=len(concept.classes))
    one, two = np.argsort(-counts, kind="stable")[:2]
    if len(counts) == 2:
        one, two = 1, 0
    else:
        notes.append(f"Two most frequent of {len(counts)} classes taken; name others to compare them.")
    if min(counts[one], counts[two]) < FEWEST:
        raise NotEnoughData(
            f"{counts[one]} and {counts[two]} common samples in the two sets", f"at least {FEWEST} in each",
            "Record more samples, or name larger sets",
        )  # fmt: skip
    stay = (of == one) | (of == two)
    return (of == one)[stay], at[stay], (concept.classes[one], concept.classes[two]), notes


def _curve(names, groups, first, places, null, widths, notes) -> Curve:
    value = np.array([auroc_of(p, first) for p in places])
    bounds = np.array([delong_interval(p, first) for p in places])
    low, high = np.minimum(bounds[:, 0], value), np.maximum(bounds[:, 1], value)
    most = float(np.quantile(null.max(axis=0), 0.95))
    able = np.flatnonzero(low > most)
    estimates = []
    for i, (name, place) in enumerate(zip(names, places, strict=True)):
        band = np.percentile(null[i], [2.5, 97.5])
        estimates.append(Estimate(
            f"AUROC, {name}", float(value[i]), low=float(low[i]), high=float(high[i]), interval="DeLong", null=HALF,
            null_low=float(min(band[0], HALF)), null_high=float(max(band[1], HALF)),
            null_method=f"{null.shape[1]} exchanges of the sets' names, everything repeated",
            p_value=float(add_one_p(value[i], null[i])), n=len(first), d=widths[i],
            estimator="held-out AUROC along the difference of means",
        ))  # fmt: skip
        sign = np.where(first, 1.0, -1.0) * len(first) / np.where(first, first.sum(), (~first).sum()) / 2
        kept = 2 * place * sign  # its mean is the distance of the two held-out means
        estimates.append(Estimate(
            f"distance of the means kept, {name}", float(kept.mean()), **mean_interval(kept), null=0.0,
            null_method="sets that do not differ", n=len(first), d=widths[i],
            estimator="distance of held-out means along the axis, in distances of the training means",
        ))  # fmt: skip
    return Curve(
        title=f"{groups[0]} against {groups[1]}, layer by layer", x=np.arange(1.0, len(names) + 1), x_name="layer",
        x_labels=names, y_name=AUROC, series={AUROC: value}, low={AUROC: low}, high={AUROC: high},
        null={AUROC: np.full(len(names), HALF)}, reading=_reading(names, groups, value, low, high, able, most),
        estimates=tuple(estimates),
        caveats=(
            f"{int(first.sum()):,} and {int((~first).sum()):,} samples. With exchanged names 95 % of the largest AUROC "
            f"over all layers stay below {most:.2f}, which a layer's interval must exceed to be called separable.",
            "Intervals hold layer by layer; the difference of means is one direction, and others may separate earlier.",
            *notes,
        ),
    )  # fmt: skip


def _reading(names, groups, value, low, high, able, most: float) -> str:
    best = int(value.argmax())
    if not len(able):
        return (
            f"{groups[0]} and {groups[1]} are separable in no layer beyond exchanged names (highest AUROC "
            f"{value[best]:.2f} [{low[best]:.2f}, {high[best]:.2f}] in {names[best]}; the interval must begin above "
            f"{most:.2f})."
        )
    start = int(able[0])
    return (
        f"{groups[0]} and {groups[1]} become separable in {names[start]} (AUROC {value[start]:.2f} [{low[start]:.2f}, "
        f"{high[start]:.2f}]) and are furthest apart in {names[best]} ({value[best]:.2f})."
    )


def _cost(shapes, params: LayerTrajectoryParams) -> Cost:
    m, n = machine(), min(min(rows for rows, _ in shapes), params.maximum_samples)
    whole = sum(d for _, d in shapes)
    flops = params.folds * (params.draws + 1) * 6.0 * n * whole
    memory = 8.0 * n * whole + 8.0 * n * max(d for _, d in shapes) * 2.0 + 8.0 * n * (params.draws + 1) * 2.5
    seconds = m.seconds(flops64=flops, moved=n * whole * 80.0) + len(shapes) * params.draws * 3e-4
    return Cost(seconds + len(shapes) * params.draws * n * 2e-7 + 0.02, memory)


def _check() -> tuple[CheckLine, ...]:
    """Layers in which two sets come apart along one of 16 units by 0, 0.5 and 3 deviations: AUROC 0.5, less than
    Φ(0.5 /
    √2), Φ(3 / √2); training means lie at ±1/2; rescaling a layer changes nothing."""
    rng = np.random.default_rng(9)
    label, base = np.arange(800) % 2, rng.standard_normal((3, 800, 16))
    for step, x in zip((0.0, 0.5, 3.0), base, strict=True):
        x[:, 3] += step * label
    layers = [ArrayActivations(x, name=f"m:{i}", samples={"label": label}) for i, x in enumerate(base)]
    found = layer_trajectory(*layers)
    value = found.series[AUROC]
    scaled = ArrayActivations(7 * base[2] - 4, name="m:2", samples={"label": label})
    again = layer_trajectory(layers[0], layers[1], scaled)
    first = label == 1
    own = placed(np.vstack([base[2], base[2]]), np.tile(first, 2)[None], np.repeat([0, 1], 800))[800:, 0]
    kept = [e.value for e in found.estimates if e.name.startswith("distance")]
    return (
        CheckLine("no difference", 0.5, float(value[0]), 0.07),
        CheckLine("half a deviation", 0.6, float(value[1]), 0.06),
        CheckLine("three deviations", 0.983, float(value[2]), 0.012),
        CheckLine("mean of the first set's training samples", 0.5, float(own[first].mean()), 1e-9),
        CheckLine("of the second", -0.5, float(own[~first].mean()), 1e-9),
        CheckLine("distance kept where there is one", 1.0, kept[2], 0.08),
        CheckLine("after scaling and shifting a layer", float(value[2]), float(again.series[AUROC][2]), 1e-9),
    )


METHODS = (
    Method(
        id="layer_trajectory", family="concepts", title="At which layer two sets separate", version=2,
        function=layer_trajectory, params=LayerTrajectoryParams, result=Curve, check=_check, cost=_cost, inputs=2,
        more_inputs=True, minimum_rows=2 * FEWEST,
        summary="How well the difference of two sets' means separates samples it has not seen, layer by layer.",
        invariance="rotating, shifting or scaling any layer by one factor changes nothing; exchanging the two sets "
        "turns the direction and leaves the AUROC",
        papers=("Mechanistic interpretability for adversarial inputs (subspace rerouting)",),
    ),
)  # fmt: skip
