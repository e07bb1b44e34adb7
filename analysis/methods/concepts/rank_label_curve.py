"""How many labels an axis needs: held-out rank correlation against the number of labelled samples.

Half of the samples may be labelled, the others judge. For m = 4, 8, 16, … labels drawn at random from the first half,
an axis is made by ridge regression, by the difference of the means of the upper and the lower half of the m, and from
the m / 2 lowest and m / 2 highest of all (whoever looks for extremes has seen more than m samples). Spearman's ρ is
that of the other half. The line is the mean of 20 draws, the band their middle 95 %.

Null: the attribute exchanged between samples; ρ has mean 0 and deviation 1 / √(n - 1).

When it lies: draws share the samples they are drawn from, so that bands close as m nears half of the data, where the
sampling error of the judging half remains (the estimates have it); extremes are found with labels that are not counted.

Cost: 20 singular value decompositions of (m, d) for each m. Memory O(n d).

References: A. Sonthalia et al. (2025), "On the rankability of visual embeddings".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.groups.concept import ConceptParams
from analysis.compute.groups.concept_samples import concept_samples
from analysis.compute.linear.cross_fitting import folds_of
from analysis.compute.linear.ranking_axes import (
    difference_axis,
    ends,
    halves,
    ridge_axis,
    spearman,
    spearman_estimate,
)
from analysis.compute.machine import machine
from analysis.results import Curve
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 10
RIDGE, HALVES, EXTREMES = "ridge", "difference of halves", "extremes"


@dataclass(frozen=True)
class RankLabelCurveParams(ConceptParams):
    draws: int = param(20, "Draws of the labelled samples for each number of labels.", low=5, high=200)
    maximum_samples: int = param(4000, "Most samples; a seeded random subset above.", low=40, high=50_000)


def rank_label_curve(
    activations, params: RankLabelCurveParams = RankLabelCurveParams(), rng=None, progress=no_progress
) -> Curve:
    """Held-out ρ by the number of labels.

    Parameters
    ----------
    activations : Activations or array (rows, units); tokens count once per sample, by their mean.

    Returns
    -------
    Curve
        `x` labels used; a series for each way to make the axis, with band and null. Estimates: ρ of each with the
        fewest and with all labels.

    Raises
    ------
    NotFound, ParameterError, NotEnoughData, InputError
        As for rankability.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    data = concept_samples(
        activations,
        params,
        minimum=FEWEST,
        maximum=params.maximum_samples,
        as_number=True,
        rng=rng,
        progress=progress,
    )
    y, x = data.concept.values, data.x
    half = folds_of(np.unique(y, return_inverse=True)[1].reshape(-1), 2, rng)
    train, test = np.flatnonzero(half == 0), np.flatnonzero(half == 1)
    counts = [*(2**i for i in range(2, 20) if 2**i < len(train)), len(train)]
    found = {name: np.empty((len(counts), params.draws)) for name in (RIDGE, HALVES)}
    far = np.empty(len(counts))
    for i, m in enumerate(counts):
        progress(0.1 + 0.9 * i / len(counts), f"axes from {m:,} labels")
        for j in range(params.draws):
            drawn = _drawn(train, y, m, rng)
            for name, axis in _axes(x[drawn], y[drawn]).items():
                found[name][i, j] = spearman(x[test] @ axis, y[test])
        low, high = ends(y[train], m // 2)
        far[i] = spearman(x[test] @ difference_axis(x[train], high, low), y[test])
    return _curve(activations.name, data, np.array(counts, float), found, far, len(test), params.draws)


def _drawn(train: np.ndarray, y: np.ndarray, m: int, rng) -> np.ndarray:
    """m of the samples, not all of one value: whoever labels goes on until two differ."""
    drawn = rng.choice(train, m, replace=False)
    if (y[drawn] == y[drawn[0]]).all():
        other = train[y[train] != y[drawn[0]]]
        drawn[-1] = rng.choice(other)
    return drawn


def _axes(x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    low, high = halves(y)
    return {RIDGE: ridge_axis(x, y), HALVES: difference_axis(x, high, low)}


def _curve(name: str, data, counts, found, far, n: int, draws: int) -> Curve:
    d, series = data.x.shape[1], {key: v.mean(axis=1) for key, v in found.items()} | {EXTREMES: far}
    band = {key: np.percentile(v, [2.5, 97.5], axis=1) for key, v in found.items()}
    estimates = [
        spearman_estimate(
            f"held-out ρ, {key}, {counts[at]:.0f} labels", float(line[at]), n, d,
            f"Spearman, {key}" + ("" if key == EXTREMES else f", mean of {draws} draws of the labels"),
        )
        for key, line in series.items() for at in (0, -1)
    ]  # fmt: skip
    return Curve(
        title=f"Labels that an axis of {data.concept.name} needs in {name}", x=counts, x_name="labels used",
        y_name="held-out ρ (Spearman)", series=series, low={k: b[0] for k, b in band.items()},
        high={k: b[1] for k, b in band.items()}, null={k: np.zeros(len(counts)) for k in series}, log_x=True,
        reading=_reading(counts, series, n, data.concept.name), estimates=tuple(estimates),
        caveats=(
            f"Judged on {n:,} samples that are never labelled; if the attribute had nothing to do with them, ρ would "
            f"lie within ±{1.96 / np.sqrt(n - 1):.2f}.",
            "Bands are the middle 95 % of draws of labels; the intervals of the estimates are over judging samples.",
            "Extremes are chosen among all samples of the first half, so more of them have been looked at.",
            *data.notes,
        ),
    )  # fmt: skip


def _reading(counts, series, n: int, name: str) -> str:
    ridge = series[RIDGE]
    if ridge[-1] <= 1.96 / np.sqrt(n - 1):
        return (
            f"Even with all {counts[-1]:.0f} labels no axis ranks {name} beyond chance (ρ {ridge[-1]:.2f})."
        )
    enough = int(np.argmax(ridge >= 0.9 * ridge[-1]))
    best = max((key for key in series), key=lambda k: series[k][0])
    return (
        f"Ridge reaches ρ {ridge[-1]:.2f} with all {counts[-1]:.0f} labels, and nine tenths of that with "
        f"{counts[enough]:.0f}. With {counts[0]:.0f} labels the best is {best} ({series[best][0]:.2f})."
    )


def _cost(shapes, params: RankLabelCurveParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n = min(rows, params.maximum_samples) / 2
    flops = params.draws * (30.0 * 2 * n * d * min(n, d) + 40.0 * n * d)
    return Cost(
        m.seconds(flops64=flops, calls=60 * params.draws * np.log2(n + 4)) + 0.05, 8.0 * n * d * 5.0 + 2e5
    )


def _check() -> tuple[CheckLine, ...]:
    """Signal 3 in 32 units: ridge with all labels reaches what theory says, s / √(1 + s²) up to ranks, and more labels
    help; noise stays at 0 whatever the number of labels."""
    rng = np.random.default_rng(3)
    y = rng.standard_normal(3000)
    x = rng.standard_normal((3000, 32))
    noise = rank_label_curve(ArrayActivations(x, samples={"label": y}), RankLabelCurveParams(draws=5))
    x[:, 4] += 3 * y
    found = rank_label_curve(ArrayActivations(x, samples={"label": y}), RankLabelCurveParams(draws=5))
    pearson = 3 / np.sqrt(10)
    rho = 6 / np.pi * np.arcsin(pearson / 2)
    ridge = found.series[RIDGE]
    return (
        CheckLine("ridge with all labels", rho, float(ridge[-1]), 0.02),
        CheckLine("labels used at the end", 1500.0, float(found.x[-1]), 0.0),
        CheckLine("gain from 4 labels to all", 0.1, float(ridge[-1] - ridge[0]), 0.0, "at least"),
        CheckLine("noise, all labels", 0.0, abs(float(noise.series[RIDGE][-1])), 0.09, "at most"),
        CheckLine("noise, four labels", 0.0, abs(float(noise.series[HALVES][0])), 0.09, "at most"),
    )


METHODS = (
    Method(
        id="rank_label_curve", family="concepts", title="Labels that a ranking axis needs", version=1,
        function=rank_label_curve, params=RankLabelCurveParams, result=Curve, check=_check, cost=_cost,
        summary="How well an axis ranks samples it has not seen, by the number of labelled samples that made it.",
        minimum_rows=20, papers=("On the rankability of visual embeddings",),
        invariance="shifting the activations or scaling all of them by one factor changes nothing; a rotation nothing "
        "but rounding",
    ),
)  # fmt: skip
