"""Features against targets: has a regression network's tap more dimensions than what it predicts, fewer, or as many?

ID_H is the intrinsic dimension of the features (one line a sample), ID_Y that of the targets: a sample column of
numbers, or of texts (each class a target of 0 and 1), several with commas between, or a second tap. Both by TwoNN and
the MLE at the same samples, over scale (halves, quarters of the samples), and their ratio, whose interval comes from
random halves of the samples, the same for both. Features of fewer dimensions than the targets are called over-
compressed in the literature, those of more under-compressed: names of two regimes, which say nothing of errors on new
data by themselves.

Regression collapse, with r the number of directions in which the targets vary:

    share of the features' variance outside their first r principal axes      0 when collapsed
    share of the targets' variance that these r axes explain                  1 when the axes are the targets
    overlap Σ cos² θ / r of these axes with the rows of the least-squares readout of the targets

Null: Gaussian features and targets of the same covariance for dimensions; Gaussian features of independent units for
the variance outside; r / (n - 1) for the variance explained and r / rank(H) for the overlap, exactly.

When it lies: targets that repeat (classes, rounded numbers) have no dimension that distances tell, and none is given;
noise in features or targets raises its dimension at small scales; above ten dimensions both read too little, and the
higher one more, so ratios are drawn towards 1; the readout is fitted here on the same samples without a penalty, is
not the network's own, and leans on directions of little variance, so that its overlap can lie below chance.

Cost: O(n² (d + m)) some seven times; eleven decompositions, O(n d min(n, d)) each.

References: E. Facco et al. (2017) for TwoNN; G. Andriopoulos et al. (2024), "The prevalence of neural collapse in
neural multivariate regression".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.neighbours.dimension_estimators import apart
from analysis.compute.neighbours.dimension_readings import (
    COVARIANCE,
    FEWEST,
    HOW,
    MLE,
    TWO_NN,
    bytes_of,
    half_width,
    null_range,
)
from analysis.compute.neighbours.dimension_report import LOW, dimension_estimates
from analysis.compute.neighbours.dimension_sides import DRAWS, both_sides
from analysis.compute.rows.targets import features_and_targets
from analysis.compute.subspaces.regression_collapse import collapse_estimates
from analysis.errors import NotEnoughData, ParameterError
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

DISTINCT = 0.5  # share of different targets below which they have no dimension


@dataclass(frozen=True)
class FeaturesAgainstTargetsParams:
    targets: str = param(
        "label", "The sample column with the target: numbers, or classes, each a target of 0 and 1. Several with "
        "commas between; a second tap counts instead.",
        column=True,
    )  # fmt: skip
    scaling: str = param(
        "standardised", "Targets with deviation 1 each, or in the units they have.",
        choices=("standardised", "as recorded"),
    )  # fmt: skip
    k: int = param(20, "Neighbours of the MLE.", label="neighbours", low=3, high=100)
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(2000, "Most samples; a seeded random subset above.", low=FEWEST, high=20_000)


def features_against_targets(
    *taps,
    params: FeaturesAgainstTargetsParams = FeaturesAgainstTargetsParams(),
    rng=None,
    progress=no_progress,
) -> Curve:
    """Dimension of features and of targets, and regression collapse.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units): the features and, if the targets are not sample columns, the targets.

    Returns
    -------
    Curve
        x = samples used; TwoNN and MLE of features and targets with bands and nulls. Estimates: these at all samples,
        ID_H / ID_Y, and the three collapse measures.

    Raises
    ------
    NotFound, ParameterError
        No such column; a column of more than 500 classes; no tap, or more than two.
    NotEnoughData, InputError, TooLarge
        Fewer than 50 different samples with targets (or three times the neighbours); targets that do not vary; fewer
        than two classes with five samples; over 4 GiB.
    """
    if not 1 <= len(taps) <= 2:
        raise ParameterError(f"{len(taps)} taps", "the features, and at most one tap of targets")
    rng = rng or np.random.default_rng(0)
    least = max(FEWEST, 3 * params.k)
    taps = [as_activations(t) for t in taps]
    h, y, notes = features_and_targets(
        taps, params.targets, rng, maximum=params.maximum_samples, minimum=least, pooling=params.pooling,
        standardised=params.scaling == "standardised", progress=progress,
    )  # fmt: skip
    name = taps[0].name
    kept = apart(h, np.arange(len(h)), least, name).kept
    different = apart(y, np.arange(len(y)), 1).kept
    known, sides = len(different) >= max(DISTINCT * len(y), least), {"features": h}
    if known:
        kept = np.intersect1d(kept, different)
        sides["targets"] = y
    else:
        notes.append(
            "The targets take too few different values for a dimension: classes or rounded numbers have none."
        )
    if len(kept) < least:
        raise NotEnoughData(
            f"{len(kept)} samples differ from all others", f"at least {least}", "Record more samples"
        )
    if len(kept) < len(h):
        notes.append(
            f"{len(h) - len(kept)} sample(s) that lie exactly on another one left out of the dimensions."
        )
    read, null = both_sides({side: x[kept] for side, x in sides.items()}, params.k, rng, progress)
    progress(0.85, "measuring collapse")
    estimates = (*_estimates(read, null, h.shape, params, len(kept)), *collapse_estimates(h, y, rng, notes))
    lines = {f"{side}: {e}": (r, e) for side, r in read.items() for e in (TWO_NN, MLE)}
    half = {key: w for key, (r, e) in lines.items() if (w := r.half(e)) is not None}
    series = {key: r.values[e] for key, (r, e) in lines.items()}
    return Curve(
        title=f"Dimension of {name} against its targets", reading=_reading(estimates, known),
        caveats=(f"Readings beyond about {LOW} dimensions are too small.", *notes), estimates=estimates,
        x=read["features"].x, x_name="samples used", y_name="dimension", series=series,
        low={key: np.maximum(series[key] - w, 0.0) for key, w in half.items()},
        high={key: series[key] + w for key, w in half.items()},
        null={f"{side}: {e}": v.mean(axis=0) for side, found in null.items() for e, v in found.items()}, log_x=True,
    )  # fmt: skip


def _estimates(read, null, shape, params, n: int) -> list[Estimate]:
    made, symbol = [], {"features": "ID_H", "targets": "ID_Y"}
    for side, r in read.items():
        chance = {e: null_range(v[:, -1], COVARIANCE) for e, v in null[side].items()}
        found = dimension_estimates(r, chance, n, shape[1], params.k)
        made += [Estimate(**{**e.__dict__, "name": f"{symbol[side]} ({e.name.split()[0]})"}) for e in found]
    for e in (TWO_NN, MLE) if len(read) == 2 else ():
        h, y = read["features"], read["targets"]
        value, chance = (
            float(h.values[e][-1] / y.values[e][-1]),
            null["features"][e][:, -1] / null["targets"][e][:, -1],
        )
        width, ends = half_width(h.halves[e] / y.halves[e]), {}
        if width is not None:
            low, high = max(value - float(width[-1]), 0.0), value + float(width[-1])
            ends = {"low": low, "high": high, "interval": f"{HOW}; the same halves for both"}
        made.append(
            Estimate(f"ID_H / ID_Y ({e})", value, **ends, **null_range(chance, COVARIANCE), n=n, d=shape[1],
                     estimator="ratio at the same samples")
        )  # fmt: skip
    return made


def _reading(estimates, known: bool) -> str:
    value = {e.name: e for e in estimates}
    outside, inside = value["feature variance outside"], value["target variance explained"]
    said = (
        f"{outside.value:.1%} of the features' variance lies outside as many axes as the targets have "
        f"({outside.null:.1%} with independent units), and these axes explain {inside.value:.1%} of the targets' "
        f"variance ({inside.null:.1%} by chance)."
    )
    if not known:
        return f"The features read {value['ID_H (TwoNN)'].value:.1f} dimensions (TwoNN). " + said
    ratio = value["ID_H / ID_Y (TwoNN)"]
    band = f" ({ratio.low:.2f} to {ratio.high:.2f})" if ratio.low is not None else ""
    where = "as many dimensions as the targets, as far as the interval tells"
    if ratio.low is not None and ratio.low > 1:
        where = "more dimensions than the targets (the regime called under-compressed)"
    elif ratio.high is not None and ratio.high < 1:
        where = "fewer dimensions than the targets (the regime called over-compressed)"
    return (
        f"TwoNN reads {value['ID_H (TwoNN)'].value:.1f} dimensions of the features and "
        f"{value['ID_Y (TwoNN)'].value:.1f} of the targets, a ratio of {ratio.value:.2f}{band}: {where}. "
        + said
    )


def _cost(shapes, params: FeaturesAgainstTargetsParams) -> Cost:
    n, m = min(min(rows for rows, _ in shapes), params.maximum_samples), machine()
    whole, d = sum(d for _, d in shapes), shapes[0][1]
    small = min(n, d)
    seconds = m.seconds(flops32=2.0 * n * n * (whole + 500) * (7 + 2 * DRAWS), moved=n * n * 150.0)
    seconds += m.seconds(flops64=11 * (2.0 * n * d * small + 10.0 * small**3))
    return Cost(seconds + 0.1, 8.0 * n * whole * 2.5 + 24.0 * small**2 + bytes_of(n, d, params.k, False))


def _check() -> tuple[CheckLine, ...]:
    """Features that are the targets turned into more units: as many dimensions, collapsed. Features of four dimensions
    for targets of two, and of one: ratios of 2 and 1/2."""
    rng = np.random.default_rng(6)
    y, z = rng.standard_normal((600, 2)), rng.standard_normal((600, 2))
    turn = np.linalg.qr(rng.standard_normal((12, 12)))[0]
    names = ("y0", "y1")

    def run(h) -> dict[str, float]:
        tap = ArrayActivations(h, samples=dict(zip(names, y.T, strict=True)))
        return _values(features_against_targets(
            tap, params=FeaturesAgainstTargetsParams(targets="y0, y1", scaling="as recorded")
        ))  # fmt: skip

    same, more, less = run(y @ turn[:2]), run(np.hstack([y, z]) @ turn[:4]), run(np.outer(y[:, 0], turn[0]))
    ratio, outside = "ID_H / ID_Y (TwoNN)", "feature variance outside"
    return (
        CheckLine("H = A Y: ID_H / ID_Y", 1.0, same[ratio], 1e-5),
        CheckLine("H = A Y: variance outside", 0.0, same[outside], 1e-12),
        CheckLine("H = A Y: target variance explained", 1.0, same["target variance explained"], 1e-12),
        CheckLine("H = A Y: overlap with the readout", 1.0, same["overlap with the readout"], 1e-12),
        CheckLine("two dimensions more: ratio", 2.0, more[ratio], 0.35),
        CheckLine("two dimensions more: half of the variance outside", 0.5, more[outside], 0.06),
        CheckLine("one dimension less: ratio", 0.5, less[ratio], 0.1),
    )


def _values(result: Curve) -> dict[str, float]:
    return {e.name: e.value for e in result.estimates}


METHODS = (
    Method(
        id="features_against_targets", family="rank", title="Features against targets", version=2,
        function=features_against_targets, params=FeaturesAgainstTargetsParams, result=Curve, check=_check, cost=_cost,
        summary="Whether a tap has more or fewer dimensions than the targets of a regression, and how collapsed it is.",
        inputs=1, more_inputs=True, most_inputs=2, minimum_rows=FEWEST,
        invariance="rotating, shifting or rescaling the features together; standardised, also each target's unit",
        papers=("Geometric Properties of Neural Multivariate Regression",),
    ),
)  # fmt: skip
