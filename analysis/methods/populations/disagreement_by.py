"""Where do two models disagree? Their divergence as a function of a sample column: the orbit curve.

The column may be the parameter of a transform (shift, angle, strength) that made the samples, or anything else that is
known of them. Numbers with more values than bins are cut into bins of about equal counts; each value of a text column
is a place of its own, in alphabetical order. The mean of KL(first || second), of the Jensen-Shannon divergence or of
"different top class" is drawn at each place (`compute.outputs.divergences`), with its interval over samples.

Null (dashed): the mean of all samples, which is what every place has if the column does not matter. η² is the share of
the differences between samples that the column explains; with G places and n samples it is (G - 1) / (n - 1) on average
when the column is exchanged over samples, exactly. With `within`, the column that names the original of each
transformed sample, it is exchanged inside each original only, and the null mean is that of the draws.

A pair that is equally (in)variant has a flat curve; a curve that leaves 0 along the orbit of a transform shows an
equivariance that one of the two lacks. To ask it of one model, give its outputs and those for the untransformed
samples.

When it lies: a column that goes with difficulty explains disagreement without causing it; places with few samples have
wide intervals; many columns tried find one that seems to matter.

Cost: O(n C + draws n).

References: A. Nix, M. Burg & F. Sinz (2023), "HARD: Hard augmentations for robust distillation"; J. Lin (1991) for JS.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations, sample_column
from analysis.compute.machine import machine
from analysis.compute.outputs.divergences import BY_ROW, LN2, MEASURES, UNIT, exchanged_mean
from analysis.compute.outputs.model_outputs import KINDS, Outputs, model_outputs
from analysis.compute.rows.column_places import Places, explained, explained_by_chance, places_of
from analysis.compute.statistics.nulls import add_one_p
from analysis.compute.statistics.sample_groups import mean_interval, share_interval
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

MOST = {"different top class": 1.0, "KL": np.inf, "JS": LN2}
DRAWS = 199


@dataclass(frozen=True)
class DisagreementByParams:
    column: str = param("label", "Sample column along which disagreement is drawn.", column=True)
    measure: str = param("JS", "How disagreement is measured.", choices=MEASURES)
    bins: int = param(12, "Places for a numeric column with more values than that.", low=2, high=200)
    within: str = param(
        "",
        "Sample column that names the original of each transformed sample; exchanges stay inside it.",
        column=True,
    )
    outputs: str = param(
        "auto", "Auto takes rows that sum to 1 as probabilities and all others as logits.", choices=KINDS
    )
    maximum_samples: int = param(20_000, "Most rows; a seeded random subset above.", low=50, high=500_000)


def disagreement_by(
    first, second, params: DisagreementByParams = DisagreementByParams(), rng=None, progress=no_progress
) -> Curve:
    """Disagreement of two models along a column of the first tap's samples.

    Parameters
    ----------
    first, second : Activations or arrays (rows, classes), outputs of two models on the same samples.

    Returns
    -------
    Curve
        x = the column (places 0, 1, … of a text column), one series with band and null. Estimates: the mean, η², and
        the highest and lowest place.

    Raises
    ------
    NotFound, ParameterError, InputError, NotEnoughData, TooLarge
        No such column; different or single classes; different tokens; fewer than four samples, or fewer than two places
        with two samples.
    """
    taps = [as_activations(first), as_activations(second)]
    rng = rng or np.random.default_rng(0)
    values = sample_column(taps[0], params.column)
    original = sample_column(taps[0], params.within) if params.within else None
    data = model_outputs(taps, params.outputs, rng, maximum=params.maximum_samples, progress=progress)
    progress(0.4, "measuring disagreement")
    each = data.per_sample(BY_ROW[params.measure](*data.logs))
    places = places_of(values[data.position], params.bins, params.column)
    each, within = each[places.samples], None if original is None else original[data.position][places.samples]
    progress(0.6, "exchanging the column")
    estimates = _estimates(data, each, places, within, params, rng)
    series, low, high = _curve(each, places, params.measure)
    name = params.measure
    return Curve(
        title=f"Disagreement of {data.names[0]} and {data.names[1]} by {params.column}",
        reading=_reading(estimates, places, params), caveats=(*_caveats(places, params), *data.notes),
        estimates=estimates, x=places.x, x_name=_axis(params.column, places),
        y_name=f"{name} ({UNIT[name]})" if name != "different top class" else "share with a different top class",
        series={name: series}, low={name: low}, high={name: high}, null={name: np.full(len(series), each.mean())},
    )  # fmt: skip


def _curve(each: np.ndarray, places: Places, measure: str):
    """Mean, low and high (G,) at each place; a place with one sample has no interval of its own and shows its value."""
    found = [each[places.of == g] for g in range(len(places.x))]
    mean, ends = np.array([v.mean() for v in found]), [_interval(v, measure) for v in found]
    low = np.array([e.get("low", m) for e, m in zip(ends, mean, strict=True)])
    return mean, low, np.array([e.get("high", m) for e, m in zip(ends, mean, strict=True)])


def _interval(each: np.ndarray, measure: str) -> dict:
    return (
        share_interval(each) if measure == "different top class" else mean_interval(each, 0.0, MOST[measure])
    )


def _estimates(data: Outputs, each, places: Places, within, params, rng) -> tuple[Estimate, ...]:
    measure, n, g = params.measure, len(each), len(places.x)
    common = {"n": n, "d": len(data.classes)}
    null = exchanged_mean(measure, *data.logs, rng)
    share, drawn = explained(each, places.of), explained_by_chance(each, places.of, within, DRAWS, rng)
    low, high = np.percentile(drawn, [2.5, 97.5])
    exact = within is None
    series = _curve(each, places, measure)[0]
    out = [
        Estimate(f"mean {measure}", float(each.mean()), **_interval(each, measure), null=null,
                 null_method="samples exchanged" + (", mean of 20 draws" if measure == "JS" else ", exact mean"),
                 estimator=measure, unit=UNIT[measure], **common),
        Estimate(f"share of the differences that {params.column} explains (η²)", share,
                 null=(g - 1) / (n - 1) if exact else float(drawn.mean()), null_low=float(low), null_high=float(high),
                 null_method=(f"{params.column} exchanged over samples: exact mean, " if exact
                              else f"{params.column} exchanged inside each {params.within}, ") + f"{DRAWS} draws",
                 p_value=float(add_one_p(share, drawn)), estimator="squares between places over all", **common),
    ]  # fmt: skip
    for word, at in (("highest", int(series.argmax())), ("lowest", int(series.argmin()))):
        here = each[places.of == at]
        ends = _interval(here, measure)
        ends = ends and {**ends, "interval": ends["interval"] + ", for this place by itself"}
        out.append(Estimate(
            f"{word}, at {params.column} = {places.names[at]}", float(series[at]), **ends,
            null=float(each.mean()), null_method="mean of all places", estimator=measure, unit=UNIT[measure],
            n=len(here), d=len(data.classes),
        ))  # fmt: skip
    return tuple(out)


def _axis(column: str, places: Places) -> str:
    if places.numeric:
        return column
    shown = ", ".join(f"{i} {name}" for i, name in enumerate(places.names[:6]))
    return f"{column} ({shown}{' …' if len(places.names) > 6 else ''})"


def _reading(estimates, places: Places, params) -> str:
    mean, share, highest, lowest = estimates
    flat = share.p_value >= 0.05
    return (
        f"On average {params.measure} is {mean.value:.3g}, and {mean.null:.3g} when samples are exchanged. "
        f"It is highest {highest.name.partition(', ')[2]} ({highest.value:.3g}) and lowest "
        f"{lowest.name.partition(', ')[2]} ({lowest.value:.3g}). {params.column} explains {share.value:.1%} of the "
        f"differences between samples ({share.null:.1%} by chance, p = {share.p_value:.2g}): "
        + ("the curve is not shown to be anything but flat." if flat else "the curve is not flat.")
    )


def _caveats(places: Places, params: DisagreementByParams) -> list[str]:
    notes = list(places.notes)
    few = int((np.bincount(places.of) < 5).sum())
    if few:
        notes.append(f"{few} place(s) with fewer than five samples: their intervals are rough.")
    if params.measure != "different top class":
        notes.append(
            "Intervals are Student's: with few samples and a few large divergences they are too narrow."
        )
    return notes


def _cost(shapes, params: DisagreementByParams) -> Cost:
    n, classes = (
        min(min(rows for rows, _ in shapes), params.maximum_samples),
        max(units for _, units in shapes),
    )
    passes = 1000.0 if params.measure == "JS" else 150.0
    return Cost(
        machine().seconds(moved=8.0 * n * (classes * passes + 4 * DRAWS)) + 0.02, 8.0 * n * classes * 9.0
    )


def _check() -> tuple[CheckLine, ...]:
    """An answer that shifts with a column: KL along it by its sum. One that does not: a flat curve. One model twice: 0
    at every place. η² of an exchanged column: its exact mean."""
    rng = np.random.default_rng(18)
    shift = np.repeat(np.arange(5.0), 80)
    base = rng.standard_normal((400, 3))
    samples = {"shift": shift}
    a = ArrayActivations(np.zeros((400, 2)), samples=samples)
    tilted = np.stack([shift, 0 * shift], axis=1)
    exact = [np.log(np.mean([np.exp(s), 1.0])) - s / 2 for s in range(5)]
    by = lambda one, other, **more: disagreement_by(  # noqa: E731
        one, other, DisagreementByParams(**{"column": "shift", "measure": "KL", **more})
    )
    # a constant tap is refused, so that its rows differ by what a softmax ignores
    a = ArrayActivations(np.zeros((400, 2)) + rng.standard_normal((400, 1)), samples=samples)
    along = by(a, ArrayActivations(tilted))
    one, other = (ArrayActivations(base + rng.standard_normal((400, 3)), samples=samples) for _ in range(2))
    flat, same = by(one, other), by(one, one, measure="JS")
    worst = float(np.abs(along.series["KL"] - exact).max())
    return (
        CheckLine("KL of 1/2 against a logit of s: ln((1 + e^s) / 2) - s / 2", 0.0, worst, 1e-9),
        CheckLine("it is all explained by the column", 1.0, along.estimates[1].value, 1e-9),
        CheckLine("no dependence: p", 0.05, flat.estimates[1].p_value, 0.0, "at least"),
        CheckLine("no dependence: exact mean of η²", 4 / 399, flat.estimates[1].null, 1e-12),
        CheckLine("one model twice: highest", 0.0, float(same.series["JS"].max()), 0.0),
    )


METHODS = (
    Method(
        id="disagreement_by", family="populations", title="Disagreement along a column", version=1,
        function=disagreement_by,
        summary="How far two models disagree as a function of a sample column, such as a transform's parameter.",
        params=DisagreementByParams, result=Curve, check=_check, cost=_cost, inputs=2, minimum_rows=4,
        invariance="adding a number to all logits of a sample; the order of samples and of classes",
        papers=("HARD: Hard Augmentations for Robust Distillation",),
    ),
)  # fmt: skip
