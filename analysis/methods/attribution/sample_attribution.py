"""Why this answer: one sample's number as a ledger of what its tokens, or the features of a tap, add to a background.

    y(x) = mean y(b) + Σ_k φ_k + residual

Two ways to φ. Shapley values average what a player adds over all orders in which players can come, φ_k = Σ_S |S|! (M -
|S| - 1)! / M! (y(x_{S+k}) - y(x_S)), x_S having the parts of S and the background elsewhere; exact where 2^M passes are
within the budget, else by the estimator of `analysis.compute.games.shapley`. Slopes along the straight way from the
background (integrated gradients) cost a few passes whatever the number of players. With features as players, what the
dictionary leaves over is a player too; of Shapley values the strongest features by slopes play alone, the others as
one.

Null: the same changes with the slopes of other samples, their middle 95 % from 39 of them on: what a part of this size
would be owed if the network read something else. Interval: of sampled Shapley values by Student's t over independent
repeats; of slopes by Student's t over background samples; none where there is nothing to vary.

When it lies: absent parts are taken from the background, and the mixtures may be unlike anything that the network has
seen; another background is another question; players that mean the same share their part; what is owed is not what
removing would change.

Cost: Shapley values min(budget, 2^M) passes times background rows; slopes `steps` passes forward and backward times
background rows, for this sample and for each of those that the null takes.

References: S. Lundberg & S.-I. Lee (2017), "A unified approach to interpreting model predictions"; M. Sundararajan,
A. Taly & Q. Yan (2017), "Axiomatic attribution for deep networks".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from analysis.activations import ArrayActivations, as_activations
from analysis.attribution import backgrounds, targets
from analysis.attribution.exchanged_slopes import exchanged_parts, slopes_of
from analysis.attribution.explained_samples import explained_samples
from analysis.attribution.path_gradients import PathValues, path_values
from analysis.attribution.players import Features, each_token
from analysis.attribution.split_game import split_game
from analysis.attribution.tap_features import contributions_of
from analysis.compute.games.shapley import shapley_values
from analysis.compute.machine import machine
from analysis.compute.statistics.nulls import wilson
from analysis.compute.streaming import Pass, finite_blocks
from analysis.errors import NotEnoughData, NotFound
from analysis.features.readers import AUTOMATIC, PROBE, READERS
from analysis.features.tap_dictionary import TapDictionary, tap_dictionary
from analysis.results import Estimate, Ledger
from analysis.spec import CheckLine, Cost, Method, Progress, no_progress, param

FEWEST, OPENING = 8, 5.0  # samples; seconds
SLOPES, SHAPLEY = "slopes along the way", "Shapley values"
FEATURES, TOKENS = "features", "tokens"


@dataclass(frozen=True)
class SampleAttributionParams:
    sample: int = param(0, "Which sample, by its place in the store.", low=0, high=100_000_000)
    players: str = param(FEATURES, "Who may be owed something.", choices=(FEATURES, TOKENS))
    number: str = param(
        targets.DIFFERENCE, "Number of the answer that is explained; a difference is to the second answer.",
        label="number explained", choices=targets.KINDS,
    )  # fmt: skip
    answer: int | None = param(
        None, "Output whose number it is; automatic: the likeliest.", low=0, high=1_000_000
    )
    way: str = param(SLOPES, "How parts are found.", choices=(SLOPES, SHAPLEY))
    background: str = param(
        backgrounds.MEAN, "What stands where a player is absent.", choices=backgrounds.KINDS
    )
    background_samples: int = param(20, "Samples that the background is made of.", low=1, high=1000)
    budget: int = param(2000, "Most coalitions that Shapley values ask for.", low=64, high=1_000_000)
    alone: int = param(12, "Features that play alone for Shapley values.", low=1, high=200)
    steps: int = param(16, "Slopes along the way.", low=1, high=500)
    null_samples: int = param(39, "Other samples whose slopes give the null.", low=2, high=500)
    reader: str = param(AUTOMATIC, "Whose answer.", choices=READERS)
    column: str | None = param(None, "Labels of a probe; automatic: 'label' where there is one.", column=True)


def sample_attribution(
    activations, params: SampleAttributionParams = SampleAttributionParams(), rng=None, progress=no_progress
) -> Ledger:
    """What one sample's answer is owed to.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        A tap that a feature set encoded; of any other the units themselves are the features.

    Returns
    -------
    Ledger
        From the mean answer of the background to that of the sample. Estimates: the share of parts beyond the null,
        the residual.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        Neither a network that can be run nor labels; no such sample or output; fewer than eight samples; no slopes.
    """
    tap, rng, seen = as_activations(activations), rng or np.random.default_rng(0), Pass()
    made = tap_dictionary(tap)
    for _ in finite_blocks(made.source, seen, progress, "reading", (0.0, 0.05), as_stored=True):
        pass
    samples, notes = explained_samples(made.source, params.reader, params.column, made.source.layout.n_samples, rng,
                                       progress, (0.05, 0.1))  # fmt: skip
    at = _place(samples, params.sample, tap)
    run = samples.run(at)
    target = targets.logit_target(run.logits, params.number, params.answer)
    others = rng.permutation(np.delete(np.arange(len(samples.samples)), at))
    behind = _background(samples, others[: params.background_samples], run.clean, params)
    who = _players(made, run, behind, target, params, tap)
    progress(0.2, "explaining the sample")
    values, low, high, ends, said = _parts(run, who, behind, target, params, rng, progress)
    null = _null(samples, others[-params.null_samples :], run, who, behind, params, progress)
    progress(1.0, "done")
    words = _words(samples, target)
    draws = min(params.null_samples, len(others))
    estimates = _estimates(values, null, ends, draws, made.source.shape[1])
    return Ledger(
        title=f"What the {words} of sample {params.sample} is owed to",
        reading=_reading(values, null, who.names, words, ends), estimates=estimates,
        caveats=(*seen.notes, *(() if samples.is_network else notes), *made.notes, said,
                 *_caveats(params, behind, samples)), names=who.names,
        values=values, start=ends[0], end=ends[1], residual=ends[1] - ends[0] - float(values.sum()), low=low, high=high,
        null_low=null[0], null_high=null[1], value_name=words, start_name="background",
        end_name=f"sample {params.sample}",
    )  # fmt: skip


def _place(samples, sample: int, tap) -> int:
    found = np.flatnonzero(samples.samples == sample)
    if len(samples.samples) < FEWEST:
        raise NotEnoughData(
            f"{tap.name} has {len(samples.samples)} samples to explain",
            f"at least {FEWEST}",
            "Record more samples",
        )
    if not len(found):
        raise NotFound(
            f"sample {sample} of {tap.name} to explain",
            f"one of its {len(samples.samples):,} samples with finite rows and, of a probe, a label",
        )
    return int(found[0])


def _background(samples, some: np.ndarray, clean, params):
    needed = params.background != backgrounds.ZERO
    others = [samples.run(int(i)).clean for i in np.sort(some)] if needed else []
    return backgrounds.background(params.background, clean, others)


def _players(made: TapDictionary, run, behind, target, params, tap):
    if params.players == TOKENS:
        return each_token(run.shape[0])
    k, word = made.features.n_features, "unit" if made.of_units else "feature"
    names = [f"{word} {name}" if name.isdecimal() else name for name in tap.unit_names]
    codes = contributions_of(made)
    everyone = Features(codes, made.features.decoder, np.arange(k), names)
    if params.way == SLOPES or k <= params.alone:
        return everyone
    rough = np.abs(path_values(run, everyone, behind, target, steps=params.steps).values[:k])
    best = np.sort(np.argsort(-rough, kind="stable")[: params.alone])
    return Features(codes, made.features.decoder, best, [names[j] for j in best])


def _parts(run, who, behind, target, params, rng, progress: Progress):
    """Values, low, high (players,), both ends, and what it took, in a sentence."""
    if params.way == SLOPES:
        found = path_values(run, who, behind, target, steps=params.steps)
        low, high = _over_backgrounds(found)
        said = f"{found.rows:,} passes, {params.steps} slopes along the way."
        return found.values, low, high, (found.empty, found.full), said
    inner = lambda f, doing="": progress(0.2 + 0.5 * f, doing)  # noqa: E731
    game = split_game(run, who, behind, target, progress=inner)
    found = shapley_values(game, params.budget, rng)
    low, high = (v[:, 0] for v in found.interval())
    if found.pairs == 0 or not np.isfinite(low).all():
        low = high = None
    said = f"{found.evaluations:,} coalitions, {found.model_rows:,} passes: {found.method}."
    return found.values[:, 0], low, high, (float(found.empty[0]), float(found.full[0])), said


def _over_backgrounds(found: PathValues):
    n = len(found.each)
    if n < 3:
        return None, None
    half = stdtrit(n - 1, 0.975) * found.each.std(axis=0, ddof=1) / np.sqrt(n)
    return found.values - half, found.values + half


def _null(samples, some, run, who, behind, params, progress: Progress) -> np.ndarray:
    """(2, players): between which parts with slopes of other samples lie, but for the outermost of them."""
    slopes = []
    for i, other in enumerate(some):
        progress(0.7 + 0.3 * i / len(some), "slopes of other samples")
        own = samples.run(int(other))
        target = targets.logit_target(own.logits, params.number, params.answer)
        slopes.append(slopes_of(own, behind.rows, target, params.steps))
    ranked = np.sort(exchanged_parts(run.clean, who, behind, slopes), axis=0)
    k = _tail(len(ranked))
    return ranked[[k - 1, len(ranked) - k]]


def _tail(draws: int) -> int:
    """The place of the null's ends among so many draws, from outside: one more draw lies beyond them with probability
    2 k / (draws + 1), 5 % where there are enough."""
    return max(1, int(0.025 * (draws + 1) + 1e-9))


def _words(samples, target) -> str:
    asked = [target.answer] if target.against is None else [target.answer, target.against]
    return f"{target.kind} of " + " less ".join(samples.word(c) for c in asked)


def _estimates(values, null, ends, draws: int, d: int) -> tuple[Estimate, ...]:
    """Of the parts that are not 0 whatever the slopes: their players are not as on the background."""
    changed = null[0] < null[1]
    beyond, m = _beyond(values, null), max(int(changed.sum()), 1)
    residual = abs(ends[1] - ends[0] - float(values.sum())) / max(abs(ends[1] - ends[0]), 1e-300)
    return (
        Estimate("parts beyond the null", beyond / m, *wilson(beyond, m), interval="Wilson over parts",
                 null=2 * _tail(draws) / (draws + 1), null_method=f"slopes of {draws} other samples, exact", n=m, d=d,
                 estimator="outside what slopes of other samples give, of the parts that changed"),
        Estimate("residual", float(residual), n=m, d=d,
                 estimator="|answer - background - sum of parts| / |answer - background|"),
    )  # fmt: skip


def _beyond(values, null) -> int:
    return int((((values < null[0]) | (values > null[1])) & (null[0] < null[1])).sum())


def _reading(values, null, names, words: str, ends) -> str:
    best = np.argsort(-np.abs(values), kind="stable")[:3]
    told = ", ".join(f"{names[i]} ({values[i]:+.3g})" for i in best)
    beyond = _beyond(values, null)
    return (
        f"The {words} goes from {ends[0]:.3g} on the background to {ends[1]:.3g}; most is owed to {told}. "
        f"{beyond:,} of {int((null[0] < null[1]).sum()):,} parts that changed lie outside what slopes of other samples "
        "give."
    )


def _caveats(params, behind, samples) -> list[str]:
    said = [f"Explained is {samples.what}; absent parts are {behind.words}."]
    if params.background == backgrounds.ZERO:
        said.append("Zeros may be unlike anything that the network has seen.")
    if params.way == SHAPLEY and params.players == FEATURES:
        said.append(f"The {params.alone} strongest features by slopes play alone, all others as one.")
    return said


def _cost(shapes, params: SampleAttributionParams) -> Cost:
    (n, k), m = shapes[0], machine()
    rows = params.background_samples if params.background == backgrounds.SAMPLES else 1
    passes = (
        rows * (params.budget if params.way == SHAPLEY else params.steps) + params.null_samples * params.steps
    )
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
        version=1,
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
