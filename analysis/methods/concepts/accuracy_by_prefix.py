"""How many of the first units does it take to know the class? Accuracy of neighbours and of a linear probe by prefix.

The first d, d / 2, d / 4 … units of a tap are read by two readers: the vote of the k nearest other samples, and a ridge
probe in five folds. A network trained with nested (Matryoshka) heads on prefixes of its embedding should lose little
early on. Any embedding with redundant units does, too: so the same is shown for as many units at random (the mean of
some orders, with the least and the most as a band). Only what the first units have beyond these is the order's.

With all units it is the usual score of either reader, and the two orders are the same thing.

Null: answers exchanged between samples, Σ (share of a class) (share of answers), exactly; for what the first units have
beyond random ones, the random orders themselves, of which this one would be one. Intervals: Wilson's over samples; of
the gain Student's t over samples.

When it lies: the order of units means something only where training made it so, or after PCA; units of large variance
rule distances, wherever they stand; prefixes share units, so that neighbouring points err together; the band of random
orders is their range, not an interval; two copies of a sample vote for each other.

Cost: (draws + 1) times O(n² d) for neighbours and O(n d min(n, d)) for probes, twice that over all prefixes; memory
O(n d).

References: S. Venkataramanan et al. (2025), "Franca: nested Matryoshka clustering for scalable visual representation
learning"; A. Kusupati et al. (2022), "Matryoshka representation learning".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.linear.cross_fitting import folds_of
from analysis.compute.linear.ridge_probe import held_out_predictions
from analysis.compute.machine import machine
from analysis.compute.neighbours.neighbours import nearest
from analysis.compute.rows.prefixes import prefix_sizes, unit_orders
from analysis.compute.rows.samples import LabelledMatrix, labelled_matrix
from analysis.compute.statistics.moments import is_varying
from analysis.compute.statistics.nulls import against, wilson
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import InputError
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FOLDS, SMALLEST = 5, 5
LEVEL = 0.05
READERS = ("neighbours", "linear probe")
RANDOM = "{}, random units"


@dataclass(frozen=True)
class AccuracyByPrefixParams:
    column: str = param("label", "The sample column that holds the classes.", column=True)
    neighbours: int = param(10, "How many of the nearest other samples vote.", low=1, high=500)
    metric: str = param("euclidean", "What nearest means.", choices=("euclidean", "cosine"))
    draws: int = param(19, "Random orders of the units; p cannot be below 1 / (1 + draws).", low=2, high=500)
    prefixes: int = param(8, "Most prefixes: all units, half of them, a quarter, and so on.", low=2, high=20)
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(1000, "Most samples; a seeded random subset above.", low=50, high=50_000)


def accuracy_by_prefix(
    activations, params: AccuracyByPrefixParams = AccuracyByPrefixParams(), rng=None, progress=no_progress
) -> Curve:
    """Accuracy over the number of first units.

    Parameters
    ----------
    activations : Activations with the sample column `params.column`

    Returns
    -------
    Curve
        `x` numbers of units, rising; for each reader a series of the first units, with interval and null, and one of
        random units, with their range. Estimates: both with all units, and what a quarter of the units, the first
        ones, have beyond random ones.

    Raises
    ------
    NotFound, NotEnoughData, InputError, TooLarge
        No such column; fewer than two classes with five samples; a single unit; over 4 GiB.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    data = labelled_matrix(
        tap, params.column, params.pooling, minimum=SMALLEST, maximum_samples=params.maximum_samples, rng=rng,
        progress=progress, span=(0.0, 0.2),
    )  # fmt: skip
    if not is_varying(data.values.var(axis=0), data.values.mean(axis=0)).any():
        raise InputError(f"every unit of {tap.name} is constant", "units that vary", "Choose another tap")
    sizes = prefix_sizes(data.values.shape[1], params.prefixes)
    orders = unit_orders(data.values.shape[1], params.draws, rng)
    fold, classes = folds_of(data.of, FOLDS, rng), len(data.names)
    answers = np.empty((len(orders), len(sizes), len(READERS), len(data.of)), np.int32)
    for i, order in enumerate(orders):
        for j, size in enumerate(sizes):
            progress(0.2 + 0.8 * (i * len(sizes) + j) / (len(orders) * len(sizes)), "reading prefixes")
            if i and size == data.values.shape[1]:
                answers[i, j] = answers[0, j]  # all units, whatever their order
                continue
            x = data.values[:, order[:size]]
            answers[i, j] = voted(x, data.of, classes, params), probed(x, data.of, classes, fold)
    progress(1.0, "done")
    return _curve(tap.name, sizes, answers, data, params)


def voted(x: np.ndarray, of: np.ndarray, classes: int, params: AccuracyByPrefixParams) -> np.ndarray:
    """(n,) class that most of the nearest other rows have; of equals that of the nearer rows."""
    near = nearest(x, min(params.neighbours, len(x) - 1), params.metric).indices
    votes = np.zeros((len(x), classes))
    for place in range(near.shape[1]):
        votes[np.arange(len(x)), of[near[:, place]]] += 1 + 1e-6 * 0.5**place
    return votes.argmax(axis=1)


def probed(x: np.ndarray, of: np.ndarray, classes: int, fold: np.ndarray) -> np.ndarray:
    """(n,) class that a probe of the other folds names."""
    scores = held_out_predictions(x, np.eye(classes)[of], np.zeros(classes, np.int64), fold, np.array([True]))
    return scores.argmax(axis=1)


def _curve(name: str, sizes, answers, data: LabelledMatrix, params) -> Curve:
    n, share = len(data.of), np.bincount(data.of) / len(data.of)
    right = answers == data.of
    said = np.array([[np.bincount(a, minlength=len(share)) / n for a in line] for line in answers[0]])
    series, low, high, null = {}, {}, {}, {}
    for k, reader in enumerate(READERS):
        value = right[0, :, k].mean(axis=1)
        ends = np.array([wilson(v * n, n) for v in value])
        series[reader], null[reader] = value, said[:, k] @ share
        low[reader], high[reader] = np.minimum(ends[:, 0], value), np.maximum(ends[:, 1], value)
        drawn = right[1:, :, k].mean(axis=2)
        other = RANDOM.format(reader)
        series[other], low[other], high[other] = drawn.mean(axis=0), drawn.min(axis=0), drawn.max(axis=0)
    estimates = _estimates(right, series, low, high, null, sizes, params)
    return Curve(
        title=f"Classes read from the first units of {name}", x=sizes.astype(np.float64), x_name="first units",
        y_name="accuracy", series=series, low=low, high=high, null=null, log_x=True, estimates=estimates,
        reading=_reading(series, low, estimates, sizes, null),
        caveats=(*_caveats(params, sizes), *data.notes),
    )  # fmt: skip


def _estimates(right, series, low, high, null, sizes, params) -> tuple[Estimate, ...]:
    n, d = right.shape[3], int(sizes[-1])
    at = max(len(sizes) - 3, 0)  # a quarter of the units
    out = []
    for reader in READERS:
        out.append(Estimate(
            f"accuracy of {reader}, all units", float(series[reader][-1]), float(low[reader][-1]),
            float(high[reader][-1]), interval="Wilson", null=float(null[reader][-1]),
            null_method="answers exchanged between samples, exact", n=n, d=d,
            estimator=f"{params.neighbours} nearest others" if reader == READERS[0] else f"ridge, {FOLDS} folds",
        ))  # fmt: skip
    for k, reader in enumerate(READERS):
        gain = right[0, at, k] - right[1:, at, k].mean(axis=0)
        drawn = right[1:, at, k].mean(axis=1)
        beyond = {**against(float(gain.mean()), drawn - drawn.mean()), "null": 0.0}
        out.append(Estimate(
            f"{reader}: what the first {sizes[at]} units have beyond random ones", float(gain.mean()),
            **mean_interval(gain), **beyond, n=n, d=int(sizes[at]),
            null_method=f"{len(drawn)} random orders about their mean", estimator="accuracy less mean of random units",
        ))  # fmt: skip
    return tuple(out)


def _reading(series, low, estimates, sizes, null) -> str:
    text = []
    for reader, whole, gain in zip(READERS, estimates[:2], estimates[2:], strict=True):
        enough = int(sizes[np.flatnonzero(series[reader] >= low[reader][-1])[0]])
        order = "counts" if gain.p_value <= LEVEL and gain.low > 0 else "is no better than others"
        text.append(
            f"By {reader}: {whole.value:.1%} with all {sizes[-1]} units ({whole.null:.1%} by chance), within its "
            f"interval from the first {enough} on; a quarter of them have {gain.value:+.1%} beyond random ones "
            f"(p = {gain.p_value:.2g}): the order of the units {order}."
        )
    return " ".join(text)


def _caveats(params, sizes) -> list[str]:
    notes = [f"The band of random units is the range of {params.draws} orders, not an interval."]
    if sizes[0] == 1 and params.metric == "cosine":
        notes.append("By the cosine a single unit has nothing but its sign.")
    return notes


def _cost(shapes, params: AccuracyByPrefixParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n = min(rows, params.maximum_samples)
    times = 2.0 * (params.draws + 1)
    flops = times * (2.0 * n * n * d + FOLDS * 6.0 * n * d * min(n, d))
    return Cost(
        m.seconds(flops64=flops, moved=times * 4 * 12.0 * n * n) + 0.05, 8.0 * n * d * 4.5 + (24 << 20)
    )


def _check() -> tuple[CheckLine, ...]:
    """The class in the first units only: they have it all, random ones do not. In every unit alike: no order counts."""
    rng = np.random.default_rng(1)
    of = np.arange(240) % 3
    noise, params = rng.standard_normal((240, 16)), AccuracyByPrefixParams(draws=3)

    def asked(x) -> Curve:
        return accuracy_by_prefix(ArrayActivations(x, samples={"label": of}), params)

    nested, flat = asked(np.hstack([6 * np.eye(3, 4)[of], np.zeros((240, 12))]) + noise), asked(noise)
    even = asked(np.repeat(6 * np.eye(3)[of], 6, axis=1)[:, rng.permutation(18)][:, :16] + noise)
    return (
        CheckLine("the first quarter has the class", 1.0, float(nested.series["linear probe"][2]), 0.02),
        CheckLine("random units: less", 0.85, float(nested.series["linear probe, random units"][2]), 0.0, "at most"),
        CheckLine("what the first quarter has beyond", 0.1, nested.estimates[2].low, 0.0, "at least"),
        CheckLine("all units, whatever their order", 0.0,
                  float(nested.series["neighbours"][-1] - nested.series["neighbours, random units"][-1]), 1e-12),
        CheckLine("in every unit: first less random", 0.0, even.estimates[2].value, 0.1),
        CheckLine("noise: less chance", 0.0, float(flat.series["neighbours"][-1] - flat.null["neighbours"][-1]), 0.1),
    )  # fmt: skip


METHODS = (
    Method(
        id="accuracy_by_prefix", family="concepts", title="Accuracy by prefix of the units", version=1,
        function=accuracy_by_prefix,
        summary="How well neighbours and a probe name classes from the first units alone, beside as many random ones.",
        params=AccuracyByPrefixParams, result=Curve, check=_check, cost=_cost, minimum_rows=10,
        invariance="rotating or scaling inside a prefix (neighbours: rotating only); not reordering the units",
        papers=("Franca: nested Matryoshka clustering, positional disentangling",),
    ),
)  # fmt: skip
