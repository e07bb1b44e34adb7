"""What do the parts of a network add to the answer, when they are taken together and not one at a time?

    v(S) = y with the parts outside S at their means over the samples
    φ_c  = mean over all orders of what c adds to the parts before it   (Shapley values, mean over samples)

Parts are heads, attention, MLPs, layers, or units or features of a tap; everything else stays. Σ φ_c is the mean of y
as it is less that with all parts at their means. Parts that stand in for each other share what they do, where taking
one out at a time (ablation) finds nothing. Exact where all 2^M coalitions are within the budget, else sampled.

Null: what the same parts are owed, in the same passes, for random other answers; the ends leave out the outermost 5 %
where there are 39 draws or more; the largest part is held against the largest of all parts for such answers. Interval:
Student's t over samples, with the error of sampling coalitions.

Verdict: the part of the largest value, taken out alone, is split into what is connected to the answer and what is not,
and checked for dormancy and for values off the natural range (`analysis.interventions.move_verdict`).

When it lies: with many parts at their means the network is far from anything that it has seen, and a mean of
attention patterns' outputs is no attention; parts that do the same share it by symmetry; the value is of all
coalitions, most of which no circuit is made of; means are taken over the samples at hand.

Cost: samples x (min(budget, 2^M) + 10) rows through the network.

References: S. Lundberg & S.-I. Lee (2017), "A unified approach to interpreting model predictions"; A. Ghorbani & J. Zou
(2020), "Neuron Shapley" (parts of a network as players).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from analysis.activations import ArrayActivations
from analysis.compute.games.shapley import shapley_values
from analysis.compute.games.values import PlayerValues
from analysis.compute.machine import machine
from analysis.compute.statistics.draw_ends import against_largest, tail
from analysis.compute.statistics.draw_ends import band as null_band
from analysis.compute.statistics.nulls import wilson
from analysis.compute.statistics.ratios import ratio_interval
from analysis.errors import NotEnoughData
from analysis.features.readers import PROBE
from analysis.interventions.ablation import ablations
from analysis.interventions.bench import (
    CHOICES,
    FEATURES,
    FEWEST,
    OPENING,
    UNITS,
    Bench,
    BenchParams,
    open_bench,
    refuse_unmoved,
)
from analysis.interventions.bench_verdict import ROWS, verdict_bytes, verdict_on
from analysis.interventions.component_game import component_game, two_answers
from analysis.interventions.components import HEADS
from analysis.interventions.interventions import MEAN
from analysis.results import Estimate, Ledger
from analysis.spec import CheckLine, Cost, Method, no_progress, param


@dataclass(frozen=True)
class ComponentShapleyParams(BenchParams):
    parts: str = param(HEADS, "Which parts play for a share of the answer.", choices=CHOICES)
    budget: int = param(
        256,
        "Most coalitions; this times the samples are the rows that go through.",
        label="most coalitions",
        low=64,
        high=1_000_000,
    )
    most: int = param(
        16, "Most units or features that play; those that vary most.", label="most units", low=1, high=200
    )
    null_draws: int = param(
        39, "Random other answers that make the null.", label="other answers", low=2, high=500
    )


def component_shapley(
    activations, params: ComponentShapleyParams = ComponentShapleyParams(), rng=None, progress=no_progress
) -> Ledger:
    """Shapley values of the parts of a network.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a network that can be run again; of a probe its units play.

    Returns
    -------
    Ledger
        From the mean number with all parts at their means to that of the network as it is. Estimates: the part of the
        largest, its share where that can be told, parts beyond the null.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        Neither a network that can be run nor labels; fewer than eight samples; no such parts or output; a budget too
        small for as many parts; an answer that hangs on none of them.
    """
    rng = rng or np.random.default_rng(0)
    bench = open_bench(activations, params, rng, progress, (0.0, 0.1), at_the_tap=params.parts == FEATURES)
    players = bench.components(params.parts, params.most)
    least = 4 * len(players) + 2
    if params.budget < min(least, 2 ** min(len(players), 40)):
        raise NotEnoughData(
            f"a budget of {params.budget:,} coalitions for {len(players):,} parts", f"at least {least:,}",
            "Raise it, or choose fewer or larger parts",
        )  # fmt: skip
    inner = lambda f, doing="": progress(0.1 + 0.8 * f, doing)  # noqa: E731
    game = component_game(
        bench, players, params.null_draws, rng, budget=params.budget, progress=inner, batch=32
    )
    found = shapley_values(game, params.budget, rng)
    each = found.values[:, 1 : 1 + bench.n]
    refuse_unmoved(each, bench)
    best = players[int(np.abs(found.values[:, 0]).argmax())]
    cells = [own[0] for own in ablations(bench, [best], MEAN, rng)]
    verdict = verdict_on(bench, [(f"taking out {best.name}", cells)], rng, progress, (0.9, 1.0))
    progress(1.0, "done")
    names = tuple(c.name for c in players)
    half, null = _half(found, each), found.values[:, 1 + bench.n :].T
    values, ends = found.values[:, 0], (float(found.empty[0]), float(found.full[0]))
    band, gap = null_band(null).T, (found.full - found.empty)[1 : 1 + bench.n]
    return Ledger(
        title=f"What the parts of {bench.what} add to the {params.number}",
        reading=f"{_reading(names, values, band, ends, params, bench)} {verdict.sentence}",
        estimates=(*_estimates(names, values, half, each, null, gap, bench, rng), *verdict.estimates),
        caveats=(*bench.notes, *_caveats(params, bench, found, gap), *verdict.caveats), names=names, values=values,
        start=ends[0], end=ends[1], residual=ends[1] - ends[0] - float(values.sum()), low=values - half,
        high=values + half, null_low=band[:, 0], null_high=band[:, 1],
        value_name=f"{params.number}, mean of {bench.n} samples", start_name="parts at their means",
        end_name="the network as it is",
    )  # fmt: skip


def _half(found: PlayerValues, each: np.ndarray) -> np.ndarray:
    """(players,) half-widths: spread over samples, and the error of sampling coalitions."""
    n = each.shape[1]
    error = np.sqrt(each.var(axis=1, ddof=1) / n + np.nan_to_num(found.errors[:, 0]) ** 2)
    return stdtrit(n - 1, 0.975) * error


def _told(gap: np.ndarray) -> bool:
    return bool(abs(gap.mean()) > 2 * gap.std(ddof=1) / np.sqrt(len(gap)) and gap.mean() != 0)


def _beyond(values: np.ndarray, band: np.ndarray) -> int:
    return int(((values < band[:, 0]) | (values > band[:, 1])).sum())


def _estimates(names, values, half, each, null, gap, bench: Bench, rng) -> tuple[Estimate, ...]:
    best, n, d = int(np.abs(values).argmax()), bench.n, bench.made.source.shape[1]
    null_method, m, draws = "random other answers in the same passes", len(values), len(null)
    count = _beyond(values, null_band(null).T)
    found = [
        Estimate(f"part of {names[best]}", float(values[best]), float(values[best] - half[best]),
                 float(values[best] + half[best]), interval="Student's t over samples, with the sampling error",
                 **against_largest(values[best], np.abs(null).max(axis=1)), n=n, d=d,
                 null_method=f"largest part for {null_method}", estimator="Shapley value, the largest of all parts"),
        Estimate("parts beyond the null", count / m, *wilson(count, m), interval="Wilson over parts",
                 null=2 * tail(draws) / (draws + 1), null_method=null_method, n=m, d=d,
                 estimator="share of parts outside what random other answers give"),
    ]  # fmt: skip
    if _told(gap):
        sign = np.sign(gap.mean())
        ends = ratio_interval(sign * each[best], sign * gap, rng)
        found.append(Estimate(f"share of {names[best]}", float(each[best].mean() / gap.mean()), *ends,
                              interval="bootstrap over samples", n=n, d=d, null=1 / m,
                              null_method="parts that add alike",
                              estimator="mean value / mean (as it is - parts at their means)"))  # fmt: skip
    return tuple(found)


def _reading(names, values, band, ends, params, bench: Bench) -> str:
    best = np.argsort(-np.abs(values), kind="stable")[:3]
    told = ", ".join(f"{names[i]} ({values[i]:+.3g})" for i in best)
    return (
        f"The {params.number} goes from {ends[0]:.3g} with all parts at their means to {ends[1]:.3g} on average; most "
        f"is owed to {told}. {_beyond(values, band):,} of {len(names):,} parts lie outside what random other answers "
        "give them."
    )


def _caveats(params, bench: Bench, found: PlayerValues, gap: np.ndarray) -> list[str]:
    said = [
        "In the place of an absent part stands its mean over the samples; with many absent the network is far from "
        "what it has seen.",
        f"{found.evaluations:,} coalitions of every sample, {bench.passes:,} rows through {bench.what}: "
        f"{found.method}.",
        *two_answers(bench),
    ]
    if not _told(gap):
        said.append(
            f"What all parts add ({gap.mean():.3g} on average) cannot be told from 0, so that no share is told."
        )
    return said


def _cost(shapes, params: ComponentShapleyParams) -> Cost:
    (n, k), m = shapes[0], machine()
    samples = min(n, params.maximum_samples)
    players = min(k, params.most) if params.parts in (UNITS, FEATURES) else 16
    coalitions = min(params.budget, 2.0 ** min(players, 40))
    rows = samples * (coalitions + ROWS)
    held = 10.0 * n * k + coalitions * (8.0 * (samples + params.null_draws) + 200.0)
    held += verdict_bytes(samples, k)
    return Cost(OPENING + m.seconds(flops64=2.0e6 * rows, moved=8.0 * n * k) + 2e-4 * rows, held, int(rows))


def _check() -> tuple[CheckLine, ...]:
    """A linear probe: values add up, and a unit that never varies is owed nothing."""
    rng = np.random.default_rng(0)
    label = np.arange(40) % 2
    x = np.column_stack([label * 4.0 + rng.standard_normal(40), np.zeros(40), rng.standard_normal(40)])
    tap = ArrayActivations(x, name="planted", samples={"label": label})
    found = component_shapley(tap, ComponentShapleyParams(parts=UNITS, reader=PROBE, null_draws=3))
    return (
        CheckLine("residual", 0.0, found.residual, 1e-9),
        CheckLine("a constant unit is owed nothing", 0.0, float(found.values[1]), 1e-9),
        CheckLine("the planted unit is the largest", 0.0, float(np.abs(found.values).argmax()), 0.0),
    )


METHODS = (
    Method(
        id="component_shapley",
        family="attribution",
        title="What parts of a network add together",
        summary="Shapley values of heads, MLPs, layers, units or features, with means in the place of absent ones.",
        version=2,
        function=component_shapley,
        params=ComponentShapleyParams,
        result=Ledger,
        check=_check,
        cost=_cost,
        minimum_rows=FEWEST,
        invariance="a constant added to all logits, where a difference or log probability is looked at",
        papers=("SHAP: a unified approach",),
        libraries=("torch",),
    ),
)
