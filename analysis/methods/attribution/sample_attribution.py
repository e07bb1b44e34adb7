"""Why this answer: one sample's number as a ledger of what its parts, or the features of a tap, add to a background.

    y(x) = mean y(b) + Σ_k φ_k + residual

y is a number of the network's answer, or, of an encoder without classes, of where it puts the sample at the tap: how
near another sample or a class mean, how far along a direction or in a subspace, one feature (`tap_numbers`). Players
are what stands at the site: the tap (its features, tokens, principal directions) or the network's input (pixels,
patches, words, columns), one by one or in groups that join as wholes.

Two ways to φ. Shapley values average what a player adds over all orders in which players can come, φ_k = Σ_S |S|! (M -
|S| - 1)! / M! (y(x_{S+k}) - y(x_S)), x_S having the parts of S and the background elsewhere; exact where 2^M passes are
within the budget, else by the estimator of `analysis.compute.games.shapley`; of groups only orders count that tear none
(Owen values). Slopes along the straight way from the background (integrated gradients) cost a few passes whatever the
number of players. With features as players, what the dictionary leaves over is a player too; of Shapley values the
strongest features by slopes play alone, the others as one.

Null: the same changes made to other samples, with their answers, or asked for the same number of another reference
(other samples, means of random samples, random subspaces, other features), by the same way, slopes or values; the
middle 95 % from 39 of them on: what a part of this size would be owed if something else was asked. The largest part is
held against the largest of all by chance. Interval: of sampled values by Student's t over independent repeats; of
slopes by Student's t over background samples, or groups of these left out of their mean; none where there is nothing
to vary, which is said.

When it lies: absent parts are taken from the background, and the mixtures may be unlike anything that the network has
seen; another background is another question; players that mean the same share their part; what is owed is not what
removing would change; of a hierarchy another one gives other values.

Cost: Shapley values min(budget, 2^M) passes times background rows, and for the null as many again or a pass forth and
back for each draw; slopes `steps` passes forward and backward times
background rows, for this sample and for each draw of the null.

References: S. Lundberg & S.-I. Lee (2017), "A unified approach to interpreting model predictions"; M. Sundararajan,
A. Taly & Q. Yan (2017), "Axiomatic attribution for deep networks".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.attribution import backgrounds, targets
from analysis.attribution.one_sample import site_players
from analysis.attribution.one_sample.ledger_parts import (
    Null,
    Parts,
    by_slopes,
    by_values,
    null_parts,
    parts_estimates,
)
from analysis.attribution.one_sample.sample_players import DIRECTIONS, FEATURES, chosen_players
from analysis.attribution.one_sample.sample_question import NUMBERS, AnswerQuestion, TapQuestion, of_classes
from analysis.attribution.one_sample.tap_numbers import TapNumbers
from analysis.attribution.site_samples import SITES, TAP, place_of, site_samples
from analysis.compute.machine import machine
from analysis.compute.streaming import Pass, finite_blocks
from analysis.features.readers import AUTOMATIC, PROBE, READERS
from analysis.features.tap_dictionary import tap_dictionary
from analysis.results import Ledger
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, OPENING = 8, 5.0  # samples; seconds
SLOPES, SHAPLEY = "slopes along the way", "Shapley values"
TOKENS, GROUPS = site_players.TOKENS, site_players.GROUPS


@dataclass(frozen=True)
class SampleAttributionParams:
    sample: int = param(0, "Which sample, by its place in the store, from 0.", low=0, high=100_000_000)
    players: str = param(
        FEATURES, "Who may be owed something; groups join as wholes (Owen values).",
        choices=(FEATURES, DIRECTIONS, *site_players.KINDS),
    )  # fmt: skip
    number: str = param(
        targets.DIFFERENCE, "Number of the answer (a difference is to the second answer) or of where the sample lies.",
        label="number explained", choices=NUMBERS,
    )  # fmt: skip
    answer: int | None = param(
        None, "Output, class or feature whose number it is; automatic: the likeliest, the sample's own, the strongest.",
        low=0, high=1_000_000,
    )  # fmt: skip
    way: str = param(SLOPES, "How parts are found.", choices=(SLOPES, SHAPLEY))
    site: str = param(TAP, "Where players stand.", choices=SITES)
    other: int | None = param(
        None, "The other sample, for a number about two; automatic: the next.", label="other sample", low=0,
        high=100_000_000,
    )  # fmt: skip
    directions: int = param(3, "Directions of the main subspace.", low=1, high=500)
    size: int | None = param(None, "Side of a patch; automatic: about seven across.", low=1, high=512)
    background: str = param(
        backgrounds.MEAN, "What stands where a player is absent.", choices=backgrounds.KINDS
    )
    background_samples: int = param(20, "Samples that the background is made of.", low=1, high=1000)
    budget: int = param(2000, "Most coalitions that Shapley values ask for.", low=64, high=1_000_000)
    alone: int = param(12, "Features that play alone for Shapley values.", low=1, high=200)
    steps: int = param(16, "Slopes along the way.", low=1, high=500)
    null_samples: int = param(
        39, "Other samples, or references, whose slopes give the null.", low=2, high=500
    )
    maximum_samples: int = param(
        1000, "Most samples that a number of the tap is measured by.", low=20, high=50_000
    )
    reader: str = param(AUTOMATIC, "Whose answer.", choices=READERS)
    column: str | None = param(None, "Labels of a probe; automatic: 'label' where there is one.", column=True)


def sample_attribution(
    activations, params: SampleAttributionParams = SampleAttributionParams(), rng=None, progress=no_progress
) -> Ledger:
    """What one sample's number is owed to.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        A tap that a feature set encoded; of any other the units themselves are the features.

    Returns
    -------
    Ledger
        From the mean number of the background to that of the sample. Estimates: the share of parts beyond the null,
        the residual.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        Neither a network that can be run nor labels; no such sample, output, class or feature; fewer than eight
        samples; no slopes; a network that does not give what the tap recorded.
    """
    tap, rng, seen = as_activations(activations), rng or np.random.default_rng(0), Pass()
    made, finite = tap_dictionary(tap), []
    for rows, _ in finite_blocks(made.source, seen, progress, "reading", (0.0, 0.05), as_stored=True):
        finite.append(np.unique(made.source.layout.sample_of(rows)))
    finite = np.unique(np.concatenate(finite or [np.zeros(0, int)]))
    samples, notes = site_samples(made.source, params.site, of_classes(params.number), finite, params.reader,
                                  params.column, rng, progress, (0.05, 0.1))  # fmt: skip
    at = place_of(samples, params.sample, FEWEST, tap)
    run = samples.run(at)
    others = rng.permutation(np.delete(np.arange(len(samples.samples)), at))
    asked = _question(made, samples, at, run, others[-params.null_samples :], params, rng, progress)
    behind, less = _background(samples, others[: params.background_samples], run.clean, params, rng)
    chosen = chosen_players(
        made, samples, at, run, behind, asked.target, others, params, params.way == SLOPES
    )
    progress(0.2, "explaining the sample")
    parts = _parts(run, chosen, behind, less, asked.target, params, rng, progress)
    slopes = params.way == SLOPES and chosen.tree is None
    null = null_parts(run, chosen, behind, asked, params, slopes, rng, progress, (0.7, 1.0))
    progress(1.0, "done")
    names, ends, values = chosen.who.names, parts.ends, parts.values
    chance = null.ends
    return Ledger(
        title=f"What the {asked.words} of sample {params.sample} is owed to",
        reading=_reading(values, null, names, asked, ends),
        estimates=parts_estimates(parts, null, names, made.source.shape[1]),
        caveats=(*seen.notes, *(() if samples.is_network and of_classes(params.number) else notes),
                 *(made.notes if params.players in (FEATURES, TOKENS) else ()), *parts.notes, *null.notes,
                 *_caveats(params, behind, asked), *chosen.notes),
        names=names,
        values=values, start=ends[0], end=ends[1], residual=ends[1] - ends[0] - float(values.sum()), low=parts.low,
        high=parts.high, null_low=chance[0], null_high=chance[1], value_name=asked.words, start_name="background",
        end_name=f"sample {params.sample}",
    )  # fmt: skip


def _question(made, samples, at: int, run, others, params, rng, progress):
    if of_classes(params.number):
        return AnswerQuestion(samples, run, params.number, params.answer, others)
    numbers = TapNumbers(
        made, params.number, rng, sample=params.sample, other=params.other, answer=params.answer,
        directions=params.directions, column=params.column, maximum=params.maximum_samples, progress=progress,
        span=(0.1, 0.15),
    )  # fmt: skip
    return TapQuestion(samples, at, run, numbers, params.null_samples)


def _background(samples, some: np.ndarray, clean, params, rng):
    needed = params.background != backgrounds.ZERO
    others = [samples.run(int(i)).clean for i in np.sort(some)] if needed else []
    less = backgrounds.left_out(clean, others, rng) if params.background == backgrounds.MEAN else []
    return backgrounds.background(params.background, clean, others), less


def _parts(run, chosen, behind, less, target, params, rng, progress) -> Parts:
    if params.way == SLOPES and chosen.tree is None:
        return by_slopes(run, chosen.who, behind, target, params.steps, less)
    return by_values(run, chosen.who, behind, target, params.budget, rng, progress, chosen.tree)


def _reading(values, null: Null, names, asked, ends) -> str:
    best = np.argsort(-np.abs(values), kind="stable")[:3]
    told = ", ".join(f"{names[i]} ({values[i]:+.3g})" for i in best)
    return (
        f"The {asked.words} goes from {ends[0]:.3g} on the background to {ends[1]:.3g}; most is owed to {told}. "
        f"{null.beyond(values):,} of {int(null.changed.sum()):,} parts that changed lie outside what {null.way} of "
        f"{asked.of} give ({null.by_chance:.0%} would by chance)."
    )


def _caveats(params, behind, asked) -> list[str]:
    said = [f"{asked.sentence}; absent parts are {behind.words}."]
    if params.background == backgrounds.ZERO:
        said.append("Zeros may be unlike anything that the network has seen.")
    if params.way == SHAPLEY and params.players == FEATURES:
        said.append(f"The {params.alone} strongest features by slopes play alone, all others as one.")
    return said


def _cost(shapes, params: SampleAttributionParams) -> Cost:
    (n, k), m = shapes[0], machine()
    rows = params.background_samples if params.background == backgrounds.SAMPLES else 1
    values = params.way == SHAPLEY or params.players == GROUPS
    draw = max(params.budget / params.null_samples, 100.0) * rows if values else params.steps
    refits = 0 if values or params.background != backgrounds.MEAN else backgrounds.GROUPS * params.steps
    passes = rows * (params.budget if values else params.steps) + params.null_samples * draw + refits
    held = 40.0 * n * k + 16.0 * k * min(k, 4096) + 16.0 * params.null_samples * k
    return Cost(OPENING + m.seconds(flops64=2.0e6 * passes, moved=8.0 * n * k) + 5e-4 * passes, held, passes)


def _check() -> tuple[CheckLine, ...]:
    """A linear probe: both ways give w (x - mean of the background), and the parts make the difference."""
    rng = np.random.default_rng(0)
    label = np.arange(40) % 2
    x = np.column_stack([label * 4.0 + rng.standard_normal(40), np.zeros(40), rng.standard_normal(40)])
    tap = ArrayActivations(x, name="planted", samples={"label": label})
    both = [
        sample_attribution(tap, SampleAttributionParams(sample=5, way=way, reader=PROBE, null_samples=3))
        for way in (SLOPES, SHAPLEY)
    ]
    return (
        CheckLine("residual, slopes", 0.0, both[0].residual, 1e-9),
        CheckLine("residual, Shapley values", 0.0, both[1].residual, 1e-9),
        CheckLine("both ways agree", 0.0, float(np.abs(both[0].values - both[1].values).max()), 1e-9),
        CheckLine("a constant unit is owed nothing", 0.0, float(both[1].values[1]), 1e-9),
        CheckLine("the planted unit is the largest", 0.0, float(np.abs(both[0].values).argmax()), 0.0),
    )


METHODS = (
    Method(
        id="sample_attribution",
        family="attribution",
        title="Why this answer",
        summary="One sample's answer as a ledger: what tokens or features add to a background, and what is left.",
        version=3,
        function=sample_attribution,
        params=SampleAttributionParams,
        result=Ledger,
        check=_check,
        cost=_cost,
        minimum_rows=FEWEST,
        invariance="a constant added to all logits, where a difference is explained",
        papers=("SHAP: a unified approach",),
        libraries=("torch",),
    ),
)
