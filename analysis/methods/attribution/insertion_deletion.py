"""How fast does the answer come back, or go, when tokens are put in or taken out in the order of a map?

For every way to a map the tokens of a sample are put into a background (insertion), or taken out of the sample
(deletion), the ones with the largest values first, and the network is asked again after each share of them:

    insertion(k) = y(b + parts of the first k tokens) ,   deletion(k) = y(x - parts of the first k tokens)

y is the number that is explained; b is stated. Shares are (y - y(b)) / mean(y(x) - y(b)), divided once for all samples:
a sample whose own difference is next to nothing is not blown up. A good map has a high insertion curve and a low
deletion curve. Of an answer that is a sum over tokens a random order gives the straight line in the mean, and the order
of the parts is the best of all.

Null: random orders of the same tokens (their mean is a line of its own), and the edges of what stands at the site,
which no network was asked for. Bands: bootstrap over samples; of the random order over samples and draws.

When it lies: mixtures of sample and background may be unlike anything that the network has seen, so that a curve tells
of the network's answer to holes as much as of the map; another background gives another order of the ways. Tokens that
mean the same make deletion late and insertion early for any map. A map can be made for this very game.

Cost: for every sample the maps, as their ways tell, and (ways + draws) x points passes for each direction.

References: V. Petsiuk, A. Das & K. Saenko (2018), "RISE"; W. Samek et al. (2017), "Evaluating the visualization of what
a deep neural network has learned".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations
from analysis.attribution.saliency_court.asking import FEWEST, CurvesCourtParams
from analysis.attribution.saliency_court.costs import court_cost
from analysis.attribution.saliency_court.filling import DELETION, INSERTION
from analysis.attribution.saliency_court.on_trial import RANDOM, opened_trial
from analysis.attribution.saliency_court.order_trial import MEASURES, RAW, SHARE, Orders, opened_orders
from analysis.features.readers import PROBE
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Method, no_progress, param

BOTH = "both"


@dataclass(frozen=True)
class InsertionDeletionParams(CurvesCourtParams):
    direction: str = param(
        INSERTION, "Tokens put in, taken out, or both.", choices=(INSERTION, DELETION, BOTH)
    )
    measure: str = param(SHARE, "What a curve shows.", choices=MEASURES)
    points: int = param(16, "Places along a curve, at most one for each token.", low=2, high=500)
    draws: int = param(8, "Random orders of each sample.", low=2, high=1000, label="random orders")


def insertion_deletion(
    activations, params: InsertionDeletionParams = InsertionDeletionParams(), rng=None, progress=no_progress
) -> Curve:
    """Insertion and deletion curves of all ways.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Curve
        A line for each way and one for random orders, over the share of tokens, with bands. Estimates: the area under
        each against random orders.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        No such way; neither a network that can be run nor labels; fewer than eight samples; no map of any way.
    """
    rng = rng or np.random.default_rng(0)
    trial = opened_trial(activations, params, rng, progress)
    maps = trial.without_silent(trial.maps(progress, (0.1, 0.5)))
    directions = (INSERTION, DELETION) if params.direction == BOTH else (params.direction,)
    found = opened_orders(trial, maps, params.points, params.draws, directions, progress, (0.5, 0.95))
    asked = {d: o if params.measure == RAW else o.as_share() for d, o in found.items()}
    lines = {d: _lines(o, f", {d}" if len(asked) > 1 else "", rng) for d, o in asked.items()}
    estimates = tuple(e for d, o in asked.items() for e in _areas(o, d, params, rng))
    progress(1.0, "done")
    series, low, high = ({k: v[i] for part in lines.values() for k, v in part.items()} for i in range(3))
    return Curve(
        title=f"The answer as tokens are {_words(params.direction)} in the order of maps",
        reading=" ".join(_reading(o, d, trial.what) for d, o in asked.items()),
        caveats=(*trial.caveats(), *(next(iter(found.values())).unsure if params.measure == SHARE else ())),
        estimates=estimates, x=next(iter(found.values())).share, x_name=f"share of tokens {_words(params.direction)}",
        y_name=params.number if params.measure == RAW else f"share of the {params.number}",
        series=series, low=low, high=high, controls=_controls(asked),
    )  # fmt: skip


def _controls(asked: dict[str, Orders]) -> tuple[str, ...]:
    """Series that no network was asked for."""
    return tuple(
        name + (f", {d}" if len(asked) > 1 else "")
        for d, o in asked.items()
        for name in (*(n for n, control in zip(o.names, o.control, strict=True) if control), RANDOM)
    )


def _words(direction: str) -> str:
    return {INSERTION: "put in", DELETION: "taken out", BOTH: "put in, or taken out,"}[direction]


def _lines(orders: Orders, after: str, rng) -> dict[str, tuple]:
    """Mean, low, high of each way by name, and of random orders, whose band is of one order of every sample."""
    value, low, high = orders.band(orders.curves, rng)
    lines = {name + after: (value[k], low[k], high[k]) for k, name in enumerate(orders.names)}
    n, draws, _ = orders.random.shape
    own = orders.random[np.arange(n)[:, None], rng.integers(draws, size=(n, 200))]  # (n, 200, points)
    drawn = rng.integers(n, size=(n, 200))
    picked = np.take_along_axis(own, drawn[:, :, None], axis=0).sum(axis=0)
    bottom = orders.below[drawn].sum(axis=0)
    good = np.sign(bottom) == np.sign(orders.below.sum())
    picked = picked[good] / bottom[good, None] if good.any() else picked / n
    ends, mean = np.percentile(picked, [2.5, 97.5], axis=0), orders.random.mean(axis=(0, 1))
    return {**lines, RANDOM + after: (mean, np.minimum(ends[0], mean), np.maximum(ends[1], mean))}


def _areas(orders: Orders, direction: str, params, rng) -> list[Estimate]:
    value, low, high = orders.band(orders.areas, rng)
    chance, half = orders.chance_area()
    draws = orders.random.shape[1]
    return [
        Estimate(f"area, {name}, {direction}" if params.direction == BOTH else f"{direction} area, {name}",
                 float(value[k]), float(low[k]), float(high[k]),
                 interval="bootstrap over samples", null=chance, null_low=chance - half, null_high=chance + half,
                 null_method=f"{draws} random orders of each sample", n=orders.n, d=len(orders.share) - 1,
                 estimator=f"area under the mean curve, {params.measure}")
        for k, name in enumerate(orders.names)
    ]  # fmt: skip


def _reading(orders: Orders, direction: str, what: str) -> str:
    sign, (chance, half) = (1 if direction == INSERTION else -1), orders.chance_area()
    area = orders.areas.mean(axis=0)
    own = np.flatnonzero(~orders.control)
    best = own[np.argmax(sign * area[own])]
    beaten = [orders.names[k] for k in np.flatnonzero(orders.control) if sign * (area[k] - area[best]) >= 0]
    worse = [orders.names[k] for k in own if sign * (area[k] - chance) <= half]
    told = f"By {direction}, {orders.names[best]} orders tokens best for {what}: area {area[best]:.3g}, "
    told += f"random {chance:.3g}."
    if worse:
        told += f" No better than random orders: {', '.join(worse)}."
    if beaten:
        told += f" {', '.join(beaten)}, without any network, does as well."
    return told


def _cost(shapes, params: InsertionDeletionParams):
    directions = 2 if params.direction == BOTH else 1
    return court_cost(shapes, params, 1, directions * params.points * (params.draws + 8))


def _check() -> tuple[CheckLine, ...]:
    """A linear probe, a background of 0: random orders give the straight line, gradient x input the best order."""
    rng = np.random.default_rng(0)
    label = np.arange(60) % 2
    x = rng.standard_normal((60, 6)) + 2.0 * label[:, None] * (np.arange(6) < 2)
    tap = ArrayActivations(x, name="planted", samples={"label": label})
    params = InsertionDeletionParams(
        ways="gradient x input", background="zero", reader=PROBE, draws=400, points=6, samples=20
    )
    found = insertion_deletion(tap, params)
    best, random = found.series["gradient x input"], found.series[RANDOM]
    others = max(float(found.series["edges"][k]) for k in range(1, 6))
    return (
        CheckLine("a random order is the straight line, middle", 0.5, float(random[3]), 0.1),
        CheckLine("the order of the parts begins at the background", 0.0, float(best[0]), 1e-9),
        CheckLine("it ends at the sample", 1.0, float(best[-1]), 1e-9),
        CheckLine("it rises above edges", others, float(best.max()), 0.0, "at least"),
        CheckLine("no order is above the sum of what speaks for it", float(best.max()),
                  max(float(v.max()) for v in found.series.values()), 1e-9, "at most"),
    )  # fmt: skip


METHODS = (
    Method(
        id="insertion_deletion",
        family="attribution",
        title="Insertion and deletion curves",
        summary="The answer as tokens are put in, or taken out, in the order of each way's map.",
        version=2,
        function=insertion_deletion,
        params=InsertionDeletionParams,
        result=Curve,
        check=_check,
        cost=_cost,
        minimum_rows=FEWEST,
        invariance="any rising function of a map; a factor of the answer where shares are shown",
        papers=("Occlusion sensitivity with augmentation subspaces (OSA-DAS)", "SHAP: a unified approach"),
        libraries=("torch",),
    ),
)
