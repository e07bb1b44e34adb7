"""How the answer changes over the whole range of one feature: for one sample, and on the mean of many.

    y(a) = answer of x + (a - mean_t a_t) d  at every token that the tap holds

a goes over the values that samples of the store have of the feature, d is its direction (of a unit: its axis). The
sample's own curve is what is called individual conditional expectation, the mean over samples partial dependence; all
tell of the same number of the answer, that of the sample. The straight line is the slope where the sample stands.

Null: the sample's answer when it is moved as far, in natural deviations of the units, along random directions, between
the lowest and the highest of all but a twentieth of them. Interval of the mean: Student's t over samples.

When it lies: a feature is moved and all others stay, which no sample may do; features that go together in the data are
torn apart; a mean over samples hides curves that go opposite ways (their spread is an estimate beside it).

Cost: (samples + draws + 1) x points passes.

References: J. Friedman (2001), "Greedy function approximation"; A. Goldstein et al. (2015), "Peeking inside the black
box".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from analysis.activations import ArrayActivations, as_activations
from analysis.attribution.random_directions import random_directions
from analysis.attribution.what_if import WhatIf
from analysis.compute.machine import machine
from analysis.compute.statistics.moments import UnitMoments
from analysis.compute.statistics.sample_groups import jackknife_half, mean_interval
from analysis.compute.streaming import Pass, finite_blocks
from analysis.errors import InputError, NotEnoughData
from analysis.features.readers import AUTOMATIC, PROBE, READERS
from analysis.features.tap_dictionary import tap_dictionary
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, OPENING, ROWS = 8, 5.0, 256
LINE, RANDOM = "straight line", "random directions"

DORMANT = (
    "An answer that moves shows that the direction can be used, not that the network uses it: 'Is a patched direction "
    "real or an illusion?' tells whether it is dormant on natural data."
)


@dataclass(frozen=True)
class ResponseCurveParams:
    sample: int = param(0, "Which sample, by its place in the store, from 0.", low=0, high=100_000_000)
    feature: int | None = param(
        None,
        "Which feature or unit; automatic: the one the answer changes with most.",
        low=0,
        high=10_000_000,
    )
    points: int = param(21, "Places in the feature's range.", low=3, high=200)
    samples: int = param(40, "Other samples whose mean is shown.", low=3, high=2000)
    draws: int = param(40, "Random directions of the null.", low=20, high=1000)
    reader: str = param(AUTOMATIC, "Whose answer.", choices=READERS)
    column: str | None = param(None, "Labels of a probe; automatic: 'label' where there is one.", column=True)


def response_curve(
    activations, params: ResponseCurveParams = ResponseCurveParams(), rng=None, progress=no_progress
) -> Curve:
    """The answer over the range of one feature.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        A tap that a feature set encoded; of any other the units themselves are the features.

    Returns
    -------
    Curve
        The sample, its straight line, the mean over samples, random directions. Estimates: how far the answer moves
        over the range, how much of that the straight line misses, how unlike samples are.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        Neither a network that can be run nor labels; no such sample or feature; a feature that never varies.
    """
    tap, rng, seen = as_activations(activations), rng or np.random.default_rng(0), Pass()
    deviation = _deviation(tap, seen, progress)
    asked = WhatIf(tap, params.reader, params.column, lambda f, doing="": progress(0.05 + 0.15 * f, doing))
    feature = params.feature
    if feature is None:
        feature = asked.ask(params.sample, {}).dials[0].number
    dial = asked.dial(feature, params.sample)
    if dial.low == dial.high:
        raise InputError(f"feature {dial.name} is {dial.low:.3g} in every sample", "a feature that varies",
                         "Choose another feature")  # fmt: skip
    grid = np.linspace(dial.low, dial.high, params.points)
    run, target = asked.opened(params.sample)
    along = (grid - dial.value)[:, None] * asked.directions[feature]
    own = _values(asked, run, target, along)
    rest = _others(asked, feature, target, grid, params, rng, progress)
    chance = _random(asked, run, target, along, deviation, params, rng, progress)
    line = float(_values(asked, run, target, along[:1] * 0)[0]) + dial.slope * (grid - dial.value)
    return _result(tap, asked, dial, target, grid, own, line, rest, chance, params, seen, progress)


def _values(asked: WhatIf, run, target, steps: np.ndarray) -> np.ndarray:
    """(m,) the number with each of steps (m, units) added."""
    found = [
        run.values(asked.pushed(run, steps[i : i + ROWS]), target).double().numpy()
        for i in range(0, len(steps), ROWS)
    ]
    return np.concatenate(found)


def _others(asked, feature: int, target, grid, params, rng, progress) -> np.ndarray:
    """(samples, points) the same number of other samples."""
    known = asked.samples[asked.samples != params.sample]
    some = np.sort(rng.choice(known, size=min(params.samples, len(known)), replace=False))
    found = []
    for i, sample in enumerate(some):
        progress(0.2 + 0.5 * i / len(some), "other samples")
        run, _ = asked.opened(int(sample))
        stands = asked.stands(feature, int(sample))
        found.append(_values(asked, run, target, (grid - stands)[:, None] * asked.directions[feature]))
    return np.array(found)


def _deviation(tap, seen: Pass, progress) -> np.ndarray:
    """(units,) of the tap that the features are of."""
    moments = None
    for _, x in finite_blocks(tap_dictionary(tap).source, seen, progress, "reading", (0.0, 0.05)):
        own = UnitMoments.of(x)
        moments = own if moments is None else moments.merge(own)
    if moments is None:
        raise NotEnoughData(f"{tap.name} has no finite row", f"at least {FEWEST} samples")
    return np.sqrt(moments.variance)


def _random(asked, run, target, along: np.ndarray, deviation, params, rng, progress) -> np.ndarray:
    """(draws, points) the sample moved as far along random directions."""
    far, found = np.linalg.norm(along, axis=1), []
    most = int(far.argmax())
    side = np.sign(along @ along[most])
    drawn = random_directions(along[most] / far[most], deviation, params.draws, rng)
    for i, one in enumerate(drawn):
        progress(0.7 + 0.3 * i / params.draws, "random directions")
        found.append(_values(asked, run, target, (side * far)[:, None] * one))
    return np.array(found)


def _result(tap, asked, dial, target, grid, own, line, rest, chance, params, seen, progress) -> Curve:
    n, words, me = len(rest), asked.words(target), f"sample {params.sample}"
    mean, half = rest.mean(axis=0), stdtrit(n - 1, 0.975) * rest.std(axis=0, ddof=1) / np.sqrt(n)
    many = f"mean of {n:,} others"
    low, high = np.quantile(chance, [0.025, 0.975], axis=0)
    progress(1.0, "done")
    estimates = _estimates(own, line, rest, chance, tap.shape[1])
    return Curve(
        title=f"The {words} over {_called(asked, dial)}",
        reading=_reading(words, _called(asked, dial), dial, own, estimates, params.feature is None),
        caveats=(*seen.notes, *asked.notes, f"Asked is {asked.what}; only this feature is moved, all others stay.",
                 DORMANT),
        estimates=estimates, x=grid, x_name=_called(asked, dial), y_name=words,
        series={me: own, LINE: line, many: mean, RANDOM: chance.mean(axis=0)},
        low={many: mean - half, RANDOM: low}, high={many: mean + half, RANDOM: high},
        marks={me: np.array([int(np.abs(grid - dial.value).argmin())])}, mark_name="where it stands",
    )  # fmt: skip


def _called(asked, dial) -> str:
    word = "unit" if asked.made.of_units else "feature"
    return f"{word} {dial.name}" if str(dial.name).isdecimal() else str(dial.name)


def _estimates(own, line, rest, chance, d: int) -> tuple[Estimate, ...]:
    moved, by_chance = float(np.ptp(own)), np.ptp(chance, axis=1)
    each = np.ptp(rest, axis=1)
    missed = float(np.abs(own - line).max() / max(np.ptp(own), np.ptp(line), 1e-300))
    centred = rest - rest.mean(axis=1, keepdims=True)
    unlike = _unlike(centred)
    return (
        Estimate("how far the sample's answer moves", moved, null=float(by_chance.mean()),
                 null_low=float(np.quantile(by_chance, 0.025)), null_high=float(np.quantile(by_chance, 0.975)),
                 null_method=f"{len(chance)} random directions as long, in natural deviations", n=1, d=d,
                 interval="none: one sample, exact",
                 estimator="largest less smallest over the range"),
        Estimate("how far answers move", float(each.mean()), **mean_interval(each, 0.0), n=len(rest), d=d,
                 null_method="none: random directions were asked of the sample itself only",
                 estimator="largest less smallest over the range, mean over samples"),
        Estimate("missed by the straight line", missed, n=1, d=d, interval="none: one sample, exact", null=0.0,
                 null_method="an answer that is straight in the feature",
                 estimator="largest distance of curve and line, of the larger of their ranges"),
        Estimate("samples unlike each other", unlike, **_apart(centred), null=(len(rest) - 1) / len(rest),
                 null_method="curves that have nothing in common", n=len(rest), d=d,
                 estimator="share of the curves' variation that is not their mean's"),
    )  # fmt: skip


def _apart(centred: np.ndarray) -> dict:
    """The interval of how unlike the curves (n, points) are, by leaving out each."""
    n = len(centred)
    left = np.array([_unlike(np.delete(centred, i, axis=0)) for i in range(n)]) if n > 3 else np.zeros(0)
    half = jackknife_half(left)
    if half is None:
        return {"interval": "none: too few samples"}
    value = _unlike(centred)
    return {
        "low": max(0.0, value - half),
        "high": min(1.0, value + half),
        "interval": "jackknife over samples",
    }


def _unlike(centred: np.ndarray) -> float:
    return float(((centred - centred.mean(axis=0)) ** 2).sum() / max(float((centred**2).sum()), 1e-300))


def _reading(words, called, dial, own, estimates, chosen: bool) -> str:
    moved, missed = estimates[0], estimates[2].value
    beyond = f"{'more' if moved.value > moved.null_high else 'no more'} than random directions as long give"
    if chosen:  # the largest of all is more than one by chance
        beyond = (
            "the feature was chosen for moving it most, so that it is not held against one random direction"
        )
    bent = "all but a straight line" if missed < 0.1 else "not a straight line"
    return (
        f"Over the values that samples have of {called}, {dial.low:.3g} to {dial.high:.3g}, the {words} of this sample "
        f"lies between {own.min():.3g} and {own.max():.3g}: {beyond}; it is {bent}."
    )


def _cost(shapes, params: ResponseCurveParams) -> Cost:
    (n, k), m = shapes[0], machine()
    passes = (params.samples + params.draws + 1) * params.points
    held = 40.0 * n * k + 24.0 * k * min(k, 4096) + 8.0 * params.points * (params.samples + params.draws)
    return Cost(OPENING + m.seconds(flops64=2e6 * passes, moved=8.0 * n * k) + 2e-4 * passes, held, passes)


def _check() -> tuple[CheckLine, ...]:
    """A linear probe: the curve is its line, and so are those of all other samples."""
    rng, label = np.random.default_rng(0), np.arange(40) % 2
    x = np.column_stack([label * 4.0 + rng.standard_normal(40), rng.standard_normal((40, 3))])
    tap = ArrayActivations(x, name="planted", samples={"label": label})
    found = response_curve(tap, ResponseCurveParams(sample=5, samples=10, draws=20, reader=PROBE))
    said = {e.name: e.value for e in found.estimates}
    return (
        CheckLine("the planted unit is chosen", 1.0, float(found.x_name == "unit 0"), 0.0),
        CheckLine("missed by the straight line", 0.0, said["missed by the straight line"], 1e-9),
        CheckLine("all samples alike", 0.0, said["samples unlike each other"], 0.2),
        CheckLine("lowest value", float(x[:, 0].min()), float(found.x[0]), 1e-12),
    )


METHODS = (
    Method(
        id="response_curve",
        family="attribution",
        title="The answer over a feature's range",
        summary="One feature moved through all values that samples have: one sample's answer, the mean, and chance.",
        version=1,
        function=response_curve,
        params=ResponseCurveParams,
        result=Curve,
        check=_check,
        cost=_cost,
        minimum_rows=FEWEST,
        invariance="a constant added to all logits; order of tokens where the reader is a probe",
        papers=(
            "Employing Explainable Artificial Intelligence (XAI) Methodologies to Analyze the Correlation between "
            "Input Variables and Tensile Strength in Additively Manufactured Samples",
        ),
        libraries=("torch",),
    ),
)
