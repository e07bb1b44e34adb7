"""One to many: how much of a unit of one layer a few units of another tell together, and how many it takes.

Each unit of one tap is predicted linearly from at most m units of the other, chosen one after the other (forward
selection; every step adds the unit that lowers the squared error most). R² is held out: five folds of the samples, each
predicted by a fit on the others, choice of units included,

    R²(m) = 1 - Σ (a - â_m)² / Σ (a - mean)²     both sums over samples that had no part in â_m and in the mean.

A unit whose partner exists needs one unit. Two networks with one subspace in two bases need many: R² keeps rising with
m towards 1. What rises with m on the fitted samples only is noise. The lasso path of the original paper shrinks its
coefficients and so needs more units for one R²; greedy choice need not be the best set of m.

Null: the predicted units' samples are moved and everything is made again; a prediction that learned noise has R² below
0, the more so the larger m.

When it lies: greedy choice among near copies is arbitrary, and the names of the units with it (R² is not); a relation
that is no straight line has R² 0; with few samples per unit R² is too low, never too high; class structure that both
share counts as prediction.

Cost: O(n q (p draws + q)) for the products, O(p q m) per fold and draw; memory O(q² + p q draws).

References: Y. Li et al. (2016), "Convergent learning" (sparse, one to many); S. Chen, S. Billings & W. Luo (1989),
orthogonal least squares; Y. Pati et al. (1993), orthogonal matching pursuit.
"""

from __future__ import annotations

import numpy as np

from analysis.activations import as_activations
from analysis.compute.matching.sparse_prediction import FOLDS
from analysis.compute.matching.told_units import (
    DEFAULTS,
    LEVEL,
    PredictionParams,
    ToldUnits,
    prediction_cost,
    told_units,
)
from analysis.compute.matching.unit_sides import FEWEST
from analysis.compute.statistics.nulls import against, bootstrap, wilson
from analysis.compute.statistics.sample_groups import jackknife_half
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Method, no_progress

MEAN, MEDIAN, FITTED = "mean over units", "median unit", "mean on the fitted samples"


def sparse_prediction(a, b, params: PredictionParams = DEFAULTS, rng=None, progress=no_progress) -> Curve:
    """Held-out R² of the units of one tap, from at most m units of the other, against m.

    Parameters
    ----------
    a, b : Activations or arrays (rows, units), of the same samples (matched by id), any numbers of units.

    Returns
    -------
    Curve
        Over m = 1, 2, ...: the mean over units with its interval, the median unit, and the mean on the fitted samples;
        nulls of the held-out ones. Estimates: mean R² with one and with m units, how many the middle unit needs, and
        the share of units told beyond chance.

    Raises
    ------
    ParameterError, InputError, NotEnoughData, TooLarge
        An id twice; fewer than eight common samples; no unit that varies; over 4 GiB.
    """
    rng = rng or np.random.default_rng(0)
    found = told_units([as_activations(a), as_activations(b)], params, rng, progress)
    r2, null = found.told.held_out, found.told.null
    half = jackknife_half(np.array([found.told.without(f).mean(axis=0) for f in range(FOLDS)]))
    mean, estimates = r2.mean(axis=0), _estimates(found, params, half, rng)
    return Curve(
        title=f"Units of {found.taps[0]} told by few units of {found.taps[1]}",
        reading=_reading(found, estimates, params), caveats=found.notes, estimates=estimates,
        x=np.arange(1.0, found.steps + 1), x_name=f"units of {found.taps[1]}", y_name="R²",
        series={MEAN: mean, MEDIAN: np.median(r2, axis=0), FITTED: found.told.fitted.mean(axis=0)},
        low={MEAN: mean - half}, high={MEAN: np.minimum(mean + half, 1.0)},
        null={MEAN: null.mean(axis=(0, 1)), MEDIAN: np.median(null, axis=1).mean(axis=0)},
    )  # fmt: skip


def _estimates(found: ToldUnits, params: PredictionParams, half: np.ndarray, rng) -> tuple[Estimate, ...]:
    r2, null, beyond = found.told.held_out, found.told.null.mean(axis=1), found.q < LEVEL
    p, count, needed = len(r2), len(found.told.null), found.needed(params.enough)[beyond]
    common = {"n": found.n_samples, "d": p, "estimator": f"forward selection, {FOLDS} folds"}

    def of(m: int) -> Estimate:
        value = float(r2[:, m].mean())
        return Estimate(
            f"mean held-out R² with {m + 1} unit{'s' if m else ''}", value, value - float(half[m]),
            min(value + float(half[m]), 1.0), interval="jackknife over the folds, t", **against(value, null[:, m]),
            null_method=f"samples of one side moved, {count} times", **common,
        )  # fmt: skip

    low, high = bootstrap(needed, lambda x: np.median(x, axis=1), rng)
    ends = {} if low is None else {"low": low, "high": high, "interval": "bootstrap over units"}
    share = float(beyond.mean())
    ends_of_share = dict(zip(("low", "high"), wilson(share * p, p), strict=True))
    return (
        of(0), *([of(found.steps - 1)] if found.steps > 1 else []),
        *([Estimate(f"units that the middle unit needs for {params.enough:.0%} of its largest R²",
                    float(np.median(needed)), **ends, unit="units", **common)] if len(needed) else []),
        Estimate(f"share of units told beyond chance (q < {LEVEL:g})", share, **ends_of_share, null=0.0,
                 interval="Wilson, units as draws", null_method="false-discovery control", **common),
    )  # fmt: skip


def _reading(found: ToldUnits, estimates, params: PredictionParams) -> str:
    one, most, share = estimates[0], estimates[min(1, found.steps - 1)], estimates[-1]
    needed = found.needed(params.enough)[found.q < LEVEL]
    middle = (
        f" The middle unit of them needs {np.median(needed):g} to come to {params.enough:.0%} of its largest R²."
        if len(needed) else ""
    )  # fmt: skip
    several = found.steps > 1
    more = f", {found.steps} together tell {most.value:.0%}" if several else ""
    floor = f" and {most.null:.1%}" if several else ""
    return (
        f"One unit of {found.taps[1]} tells {one.value:.0%} of the variance of a unit of {found.taps[0]} on average"
        f"{more}, on samples that had no part in the fit (unrelated units: {one.null:.1%}{floor}). "
        f"{share.value:.0%} of the {len(found.p)} units are told beyond chance (q < {LEVEL:g}).{middle}"
    )


def _check() -> tuple[CheckLine, ...]:
    """A permuted copy needs one unit; sums of three of forty units give R² near 1/3, 2/3 and the whole; a rotation of
    eight rises to 1 at eight; unrelated units are not told."""
    rng = np.random.default_rng(4)
    y = rng.standard_normal((2000, 40))
    pick = np.array([rng.choice(40, 3, replace=False) for _ in range(12)])
    sums = y[:, pick].sum(axis=2) + 0.3 * rng.standard_normal((2000, 12))
    turn = np.linalg.qr(rng.standard_normal((8, 8)))[0]

    def run(one, other, **more):
        return sparse_prediction(one, other, PredictionParams(**more))

    copy, three, turned = (
        run(y[:, ::-1] * -2 + 5, y, units=3),
        run(sums, y, units=5),
        run(y[:, :8] @ turn, y[:, :8]),
    )
    noise = run(rng.standard_normal((400, 20)), y[:400])
    at, whole = three.series[MEAN], 3 / 3.09
    return (
        CheckLine("permuted copy: R² with one unit", 1.0, copy.series[MEAN][0], 1e-9),
        CheckLine("sums of three: R² with one unit", whole / 3, at[0], 0.05),
        CheckLine("sums of three: R² with three", whole, at[2], 0.01),
        CheckLine("sums of three: with five no more", whole, at[4], 0.01),
        CheckLine("units needed", 3.0, three.estimates[2].value, 0.0),
        CheckLine("rotation: R² with all eight", 1.0, turned.series[MEAN][7], 1e-9),
        CheckLine("rotation: R² with four at most", 0.95, turned.series[MEAN][3], 0.0, "at most"),
        CheckLine("unrelated: mean R² at most", 0.0, noise.series[MEAN][0], 0.0, "at most"),
        CheckLine("unrelated: units told", 0.0, noise.estimates[-1].value, 0.0),
    )  # fmt: skip


METHODS = (
    Method(
        id="sparse_prediction", family="matching", title="Sparse prediction (one to many)", version=1,
        function=sparse_prediction,
        summary="How much of each unit of one network a few units of another tell together, and how many it takes.",
        params=PredictionParams, result=Curve, check=_check, cost=prediction_cost, inputs=2, minimum_rows=FEWEST,
        invariance="permuting, flipping, shifting or rescaling units of either side changes nothing; rotating a side "
                   "changes all but the end of a curve that may use every unit",
        papers=(
            "Convergent Learning: Do different neural networks learn the same representations?", "Convergent Learning",
        ),
    ),
)  # fmt: skip
