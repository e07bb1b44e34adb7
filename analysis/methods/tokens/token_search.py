"""How few tokens does every layer need? The fewest per layer at nearly the same output, searched from shallow to deep.

    k_l = the smallest k <= k_{l-1} with    drop(k_1, …, k_{l-1}, k, …, k) <= limit l / L

The drop is the share of answers that change, or the mean Kullback-Leibler divergence from the full answer, of a network
from which tokens are really removed by the rule (G-Search). Every other sample is searched on, the rest confirm. A
sigmoid over depth sums the counts up.

Null: the same search where tokens are kept at random; for the drop on samples that were not searched on, as many tokens
kept at random there. Interval of that drop: Wilson's for shares, else Student's t, over samples.

When it lies: counts that are searched on few samples fit them, which the drop on the others shows; greedy counts are
not the cheapest for their drop, and the order in which the limit is used up is a choice; bisection takes the drop to
rise as tokens go; an answer that stays may be wrong as before. Where the network cannot be run, rows of the tap stand
for tokens, all layers are alike, and the drop is how far the mean over rows moves.

Cost: layers x log₂(tokens) x 2 passes over half of the samples.

Reference: S. Zhao, Z. Wang, F. Juefei-Xu, X. Xia, M. Liu, X. Wang, M. Liang, N. Zhang, D. N. Metaxas & L. Yu (2025),
"Accelerating multimodal large language models by searching optimal vision token reduction".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval, share_interval
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.moved_answers import CHANGED, NATS, NetworkAnswers, RowAnswers
from analysis.tokens.rule import rule
from analysis.tokens.rule_settings import SETTINGS_HELP, rule_with
from analysis.tokens.searching import Sigmoid, at_budget, fewest, fitted
from analysis.tokens.subject import subject
from analysis.tokens.tap_dump import RUN

RULES = (
    "received_attention",
    "class_attention",
    "fastv",
    "pyramid_drop",
    "feather",
    "pagerank",
    "dynamicvit",
    "g_search",
    "even",
)
OPENING, DEEP, LONG, FIT = 4.0, 8, 6, "sigmoid"  # seconds; layers; log₂ of tokens, as an estimate takes them
ONCE = "none: one search; what it found is confirmed on other samples instead"


@dataclass(frozen=True)
class TokenSearchParams:
    rule: str = param("received_attention", "The rule that says which tokens go.", choices=RULES)
    limit: float = param(0.05, "Largest drop of the output.", low=0.001, high=10.0)
    measure: str = param(CHANGED, "What a drop of the output is.", choices=(CHANGED, NATS))
    maximum_samples: int = param(64, "Most samples; a seeded random subset above.", low=4, high=5000)
    settings: str = param("", SETTINGS_HELP, label="settings of the rule", late=True)


def token_search(
    activations, params: TokenSearchParams = TokenSearchParams(), rng=None, progress=no_progress
) -> Curve:
    """Fewest tokens behind every layer.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer that can be run again; of other taps rows stand for tokens.

    Returns
    -------
    Curve
        Share of the free tokens left behind each layer, by the rule and its sigmoid, with random keep as null.

    Raises
    ------
    InputError, NotEnoughData
        A rule that this network has nothing for; fewer than two samples of two tokens.
    """
    tap, rng, one = (
        as_activations(activations),
        rng or np.random.default_rng(0),
        rule_with(params.rule, params.settings),
    )
    progress(0.0, "opening")
    who, notes = subject(tap, params.maximum_samples, rng, progress=progress, attention=False)
    live, dump = (who.opened, None) if who.is_network else (None, who.dump)
    answers = RowAnswers(dump, notes) if live is None else NetworkAnswers(live, params.measure)
    every = np.arange(answers.n)
    here, there = every[::2], every[1::2]
    found = {
        name: fewest(lambda kept, by=by: float(answers.moved(kept, by, here).mean()), answers.layers, answers.tokens,
                     params.limit, progress, span)
        for name, by, span in (("rule", one, (0.5, 0.7)), ("random", rule("random"), (0.7, 0.9)))
    }  # fmt: skip
    progress(0.9, "confirming")
    held = answers.moved(found["rule"], one, there), answers.moved(found["rule"], rule("random"), there)
    progress(1.0, "done")
    return _curve(answers, one, found, held, params, tap.shape[1])


def _curve(answers, one, found, held, params, d: int) -> Curve:
    share = {name: np.asarray(kept) / answers.tokens for name, kept in found.items()}
    curve = fitted(found["rule"], answers.tokens)
    half = at_budget(curve, lambda s: answers.cost(s * answers.tokens, one), 0.5, answers.layers)
    layers = np.arange(1, answers.layers + 1)
    return Curve(
        title=f"Fewest tokens behind every layer, {one.title}", reading=_reading(answers, share, held, one, params),
        caveats=(*answers.notes, *_caveats(answers, curve, half), *((one.trained,) if one.trained else ())),
        estimates=_estimates(answers, one, found, held, d), x=layers, x_name="layer",
        y_name="share of the tokens that may be removed",
        series={one.title: share["rule"], FIT: curve.shares(len(layers))},
        null={one.title: share["random"]},
    )  # fmt: skip


def _estimates(answers, one, found, held, d: int) -> tuple[Estimate, ...]:
    n, (drop, chance) = answers.n, held
    interval = share_interval if answers.measure == CHANGED else lambda x: mean_interval(x, 0.0)
    share = {name: float(np.mean(kept)) / answers.tokens for name, kept in found.items()}
    cost = {name: answers.cost(kept, one) for name, kept in found.items()}
    return (
        Estimate("drop on samples not searched on", float(drop.mean()), **interval(drop), null=float(chance.mean()),
                 null_method="as many tokens kept at random", n=len(drop), d=d, estimator=answers.measure),
        Estimate("tokens needed, mean over layers", share["rule"], null=share["random"], interval=ONCE,
                 null_method="the same search with random keep", n=n, d=d, estimator="share of free tokens"),
        Estimate("multiply-adds needed", cost["rule"], null=cost["random"], n=n, d=d, interval=ONCE,
                 null_method="the same search with random keep", estimator="share of those of all tokens"),
    )  # fmt: skip


def _reading(answers, share, held, one, params) -> str:
    return (
        f"At a drop up to {params.limit:g} ({answers.measure}) {one.title} needs {share['rule'].mean():.0%} of the "
        f"tokens on average over layers and {share['rule'][-1]:.0%} behind the last; kept at random it takes "
        f"{share['random'].mean():.0%}. On samples that were not searched on the drop is {held[0].mean():.3g}."
    )


def _caveats(answers, curve: Sigmoid, half: Sigmoid) -> list[str]:
    said = [
        f"Searched on {(answers.n + 1) // 2:,} samples; layer by layer, so that other counts may be cheaper.",
        f"A sigmoid with its middle at layer {curve.middle:.1f}, width {curve.width:.2g} and floor {curve.floor:.0%} "
        f"has {curve.explained:.0%} of the spread of the counts; half of the multiply-adds would put its middle at "
        f"layer {half.middle:.1f}.",
    ]
    if answers.fixed:
        said.append(
            "Where the answer is read from a token that stays, nobody reads the others behind the last layer."
        )
    if isinstance(answers, RowAnswers):
        said.append(
            "All layers are the same rows: the counts fall only as the limit is shared out over them."
        )
    return said


def _cost(shapes, params: TokenSearchParams) -> Cost:
    (n, d), m = shapes[0], machine()
    samples = min(max(n // RUN, 1), params.maximum_samples)
    rows = samples * (RUN + 1)
    held = 8.0 * rows * (10.0 * d + 8.0 * RUN)
    passes = min(n, params.maximum_samples) // 2 * DEEP * LONG * 2
    return Cost(OPENING + m.seconds(moved=held * 50, calls=4000.0 * samples) + 1e-3 * passes, held, passes)


def _check() -> tuple[CheckLine, ...]:
    """Rows of which half are far from their mean and read little, half at it: the near ones alone do; with a limit that
    allows everything one token is left; counts never rise."""
    rng = np.random.default_rng(0)
    x = np.repeat(rng.standard_normal((20, 1, 8)) * 3, 12, axis=1) + 0.01 * rng.standard_normal((20, 12, 8))
    tap = ArrayActivations(x.reshape(240, 8), name="planted", layout=Layout(np.arange(0, 241, 12)))
    noisy = ArrayActivations(
        rng.standard_normal((240, 8)), name="noise", layout=Layout(np.arange(0, 241, 12))
    )

    def run(data, **given):
        return token_search(data, TokenSearchParams(**given)).series

    loose, tight = (run(noisy, limit=limit)["Received attention"] for limit in (10.0, 0.02))
    small = run(noisy, limit=0.001)["Received attention"]
    even = run(tap, limit=10.0, rule="even")["Evenly spread"]
    return (
        CheckLine("a limit that allows everything leaves one token", 1 / 12, float(loose.max()), 1e-9),
        CheckLine("so does it with equal rows", 1 / 12, float(even.max()), 1e-9),
        CheckLine("a small limit keeps all", 1.0, float(small.min()), 1e-9),
        CheckLine("counts never rise", 0.0, float(np.diff(tight).max()), 0.0, "at most"),
    )


METHODS = (
    Method(
        id="token_search", family="tokens", network="blocks",
        title="How few tokens every layer needs", version=3, function=token_search,
        summary="The fewest tokens per layer at nearly the same output, searched from shallow to deep and confirmed.",
        params=TokenSearchParams, result=Curve, check=_check, cost=_cost, minimum_rows=2 * RUN,
        invariance="the order of the outputs; one scale for all units of a tap that is not run",
        papers=("Accelerating Multimodal Large Language Models by Searching Optimal Vision Token Reduction",),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
