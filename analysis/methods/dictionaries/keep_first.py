"""How many features does the task need, and how many does memorising need? Accuracy by the first k of an order, with
true labels and with some exchanged.

A linear probe with hardly any ridge reads classes from the first k features: trained on true labels, and on labels of
which a share is exchanged, both judged on other samples by true labels; and the share of exchanged labels that it
repeats where it saw them. What is common to the samples of a class needs few features; what is wrong in single labels
needs about as many as there are samples. So compressing to the first k can protect against wrong labels, where the
order is good: as it is (nested training puts the important ones first), by variance, or principal components.

Null: random orders of the same features (a band, mean drawn); memorising by chance 1 / (classes - 1) where the probe
follows nothing. Intervals: Wilson's over samples; of the gain Student's t over samples.

When it lies: labels that were already wrong count as true; a probe of hardly any ridge does worse around k = n than
below and above (double descent), so a dip there is the probe's and not the features'; the band of random orders is
their range; principal components know all samples, though no label.

Cost: (2 + draws) x folds x prefixes, O(n d min(n, d)) for the largest.

References: Y. Chen et al. (2021), "Compressing features for learning with noisy labels"; O. Rippel et al. (2014),
"Learning ordered representations with nested dropout".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.linear.cross_fitting import folds_of
from analysis.compute.linear.keep_first import MEASURES, exchanged_labels, first_units, turned
from analysis.compute.machine import machine
from analysis.compute.rows.prefixes import prefix_sizes
from analysis.compute.rows.samples import labelled_matrix
from analysis.compute.statistics.nulls import against, wilson
from analysis.compute.statistics.paired_gain import paired_ends
from analysis.errors import InputError
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FOLDS, SMALLEST, FEWEST = 3, 6, 24
AS_IT_IS, VARIANCE, COMPONENTS = "as it is", "variance", "principal components"
IN_ORDER = {
    AS_IT_IS: "in the order of the tap",
    VARIANCE: "most variance first",
    COMPONENTS: "principal components",
}


@dataclass(frozen=True)
class KeepFirstParams:
    column: str = param("label", "The sample column that holds the classes.", column=True)
    order: str = param(AS_IT_IS, "Which features come first.", choices=(AS_IT_IS, VARIANCE, COMPONENTS))
    wrong: float = param(
        0.3, "Share of the labels that are exchanged.", label="exchanged labels", low=0.05, high=0.8
    )
    draws: int = param(9, "Random orders; p cannot be below 1 / (1 + draws).", low=2, high=200)
    prefixes: int = param(9, "Most numbers k: all, half of them, a quarter, and so on.", low=2, high=20)
    ridge: float = param(
        1e-4, "Of the probe, in units of the mean squared singular value.", low=1e-9, high=10.0
    )
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(800, "Most samples; a seeded random subset above.", low=50, high=20_000)


def keep_first(
    activations, params: KeepFirstParams = KeepFirstParams(), rng=None, progress=no_progress
) -> Curve:
    """Accuracy and memorising by the number of first features.

    Parameters
    ----------
    activations : Activations with the column
        A tap that a feature set encoded, or any other.

    Returns
    -------
    Curve
        `x` numbers of features; a series for each measure, with interval and the mean of random orders as null.
        Estimates: both accuracies with all features, what a quarter has beyond all under wrong labels, memorising.

    Raises
    ------
    NotFound, NotEnoughData, InputError, TooLarge
        No such column; fewer than two classes of six samples; fewer than two features that vary; over 4 GiB.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    data = labelled_matrix(tap, params.column, params.pooling, minimum=SMALLEST, rng=rng, progress=progress,
                           maximum_samples=params.maximum_samples, span=(0.0, 0.1))  # fmt: skip
    vary = np.flatnonzero(np.ptp(data.values, axis=0) > 0)
    if len(vary) < 2 or len(data.of) < FEWEST:
        raise InputError(
            f"{len(vary)} feature(s) of {tap.name} vary over {len(data.of)} labelled samples",
            f"two or more, over at least {FEWEST}", "Choose another tap, or record more samples",
        )  # fmt: skip
    x, classes = data.values[:, vary], len(data.names)
    if params.order == VARIANCE:
        x = x[:, np.argsort(-x.var(axis=0), kind="stable")]
    own = turned(x) if params.order == COMPONENTS else x
    sizes, fold = prefix_sizes(own.shape[1], params.prefixes), folds_of(data.of, FOLDS, rng)
    told = exchanged_labels(data.of, classes, params.wrong, rng)
    args = (data.of, told, classes, fold)
    progress(0.1, "reading prefixes")
    found, random = first_units(own, *args, sizes, params.ridge), []
    for draw in range(params.draws):
        progress(0.2 + 0.8 * draw / params.draws, "reading random orders")
        some = np.minimum(sizes, x.shape[1])
        random.append(
            np.nanmean(first_units(x[:, rng.permutation(x.shape[1])], *args, some, params.ridge), axis=2)
        )
    progress(1.0, "done")
    return _curve(tap.name, sizes, found, np.array(random), data, params, len(vary) < tap.shape[1])


def _curve(name: str, sizes, found, random, data, params, dropped: bool) -> Curve:
    value = np.nanmean(found, axis=2)
    counts = (~np.isnan(found)).sum(axis=2)
    ends = np.array([
        [wilson(min(v, 1.0) * n, n) for v, n in zip(*line, strict=True)] for line in zip(value, counts, strict=True)
    ])  # fmt: skip
    low, high = np.minimum(ends[..., 0], value), np.maximum(ends[..., 1], value)
    series = {m: value[i] for i, m in enumerate(MEASURES)}
    estimates = _estimates(found, value, low, high, random, sizes, data, params)
    notes = ["Random orders of the same features are drawn as the null; their p is over orders."]
    if dropped:
        notes.append("Features that do not vary were left out.")
    return Curve(
        title=f"Classes and wrong labels from the first features of {name}", x=sizes.astype(np.float64),
        x_name=f"first features, {IN_ORDER[params.order]}", y_name="share", series=series, log_x=True,
        low={m: low[i] for i, m in enumerate(MEASURES)}, high={m: high[i] for i, m in enumerate(MEASURES)},
        null={m: random[:, i].mean(axis=0) for i, m in enumerate(MEASURES)}, estimates=estimates,
        reading=_reading(value, low, sizes, estimates, params), caveats=(*data.notes, *notes),
    )  # fmt: skip


def _estimates(found, value, low, high, random, sizes, data, params) -> tuple[Estimate, ...]:
    n, d, out, classes = len(data.of), int(sizes[-1]), [], len(data.names)
    majority = float(np.bincount(data.of).max() / n)
    for i in (0, 1):
        out.append(Estimate(
            f"accuracy, {MEASURES[i]}, all features", float(value[i, -1]), float(low[i, -1]), float(high[i, -1]),
            interval="Wilson over samples", null=majority, null_method="naming the most frequent class", n=n, d=d,
            estimator=f"linear probe, {FOLDS} folds, judged by true labels",
        ))  # fmt: skip
    at = max(len(sizes) - 3, 0)
    gain = found[1, at] - found[1, -1]
    beyond = random[:, 1, at] - random[:, 1, -1]
    out.append(Estimate(
        f"what the first {sizes[at]} features have beyond all under wrong labels", float(gain.mean()),
        **paired_ends(found[1, -1], found[1, at]), **against(float(gain.mean()), beyond), n=n, d=int(sizes[at]),
        null_method=f"random orders, {len(random)} times", estimator="by true labels, less that of all features",
    ))  # fmt: skip
    told = found[2, -1][~np.isnan(found[2, -1])]
    out.append(Estimate(
        "exchanged labels memorised by all features", float(value[2, -1]), float(low[2, -1]), float(high[2, -1]),
        interval="Wilson over exchanged samples", null=(1 - float(value[0, -1])) / max(classes - 1, 1), n=len(told),
        null_method="mistakes of the probe of true labels, spread evenly", estimator="where the probe saw them", d=d,
    ))  # fmt: skip
    return tuple(out)


def _reading(value, low, sizes, estimates, params) -> str:
    enough = int(sizes[np.flatnonzero(value[0] >= low[0, -1])[0]])
    half = np.flatnonzero(value[2] >= 0.5)
    memorise = (
        f"half of the exchanged labels are memorised from {sizes[half[0]]} on"
        if len(half)
        else "not half of the exchanged labels are memorised by any number"
    )
    gain = estimates[2]
    helps = (
        "helps"
        if gain.low > 0
        else "harms"
        if gain.high < 0
        else "neither helps nor harms, as far as is shown"
    )
    return (
        f"With true labels {value[0, -1]:.1%} from all {sizes[-1]} features, and as well within its interval from the "
        f"first {enough}; {memorise}. With {params.wrong:.0%} of the labels exchanged {value[1, -1]:.1%}; keeping the "
        f"first {gain.d} then {helps} ({gain.value:+.1%}; random orders {gain.null:+.1%})."
    )


def _cost(shapes, params: KeepFirstParams) -> Cost:
    (rows, d), m, c = shapes[0], machine(), 10
    n = min(rows, params.maximum_samples)
    fits = (1 + params.draws) * FOLDS * 2.0
    flops = fits * (2.0 * n * d * min(n, d) + min(n, d) ** 3 + 8.0 * n * d * c)
    held = 8.0 * n * d * 5.0 + 24.0 * min(n, d) ** 2 + 8.0 * n * 3 * params.prefixes * 2
    return Cost(m.seconds(flops64=flops, moved=24.0 * rows * d) + 0.05, held)


def _check() -> tuple[CheckLine, ...]:
    """The class in the first three of many units: three are enough, noise after them memorises wrong labels."""
    rng = np.random.default_rng(0)
    of = np.arange(150) % 3
    x = rng.standard_normal((150, 160))
    x[:, :3] += 6 * np.eye(3)[of]
    found = keep_first(ArrayActivations(x, "planted", {"label": of}), KeepFirstParams(draws=2))
    clean, noisy, memorised = (found.series[m] for m in MEASURES)
    at = int(np.flatnonzero(found.x == 5)[0])
    return (
        CheckLine("five features: the class", 1.0, float(clean[at]), 0.02),
        CheckLine("five features under wrong labels: the class", 1.0, float(noisy[at]), 0.05),
        CheckLine("five features memorise nothing", 0.0, float(memorised[at]), 0.1),
        CheckLine("all features memorise everything", 1.0, float(memorised[-1]), 0.02),
        CheckLine("keeping a quarter helps", 0.1, found.estimates[2].value, 0.0, "at least"),
    )


METHODS = (
    Method(
        id="keep_first", family="dictionaries", title="Keep the first k features", version=2, function=keep_first,
        summary="Accuracy by the first k features, with true labels and with some exchanged, and what is memorised.",
        params=KeepFirstParams, result=Curve, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="shifting or scaling all activations; rotating inside a prefix; not reordering the features",
        papers=("Compressing Features for Learning with Noisy Labels",),
    ),
)  # fmt: skip
