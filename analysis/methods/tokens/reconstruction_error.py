"""How much of the tokens is lost? What each input token was in the last layer, against the token it went into.

    e = Σ_i |x_i - x̂_i|² / Σ_i |x_i - x̄|²

over the free tokens of a sample: x_i behind the last layer of the whole network, x̄ their mean. x̂_i of a merged token is
the mean of what went into it; of a dropped one the survivor nearest to it (in x); where a rule says of what it makes
its tokens again, that. 0: nothing is lost; 1: no more is known than the mean of the tokens.

Interval: Student's t over samples. Null: as many tokens kept at random in the same sample, every other one made of the
survivor nearest to it.

When it lies: the states are those of the whole network; with tokens really removed they would change behind the first
removal. Near the last layer of a classifier tokens are much alike, and what the answer needs may be a small part of the
spread: read it beside the answer at equal cost. The nearest survivor is the best that a dropped token can be made of,
known only to who has it: the error of dropping is a lower bound. The mean is best in squares, so merging has an
advantage over dropping that a null of dropped tokens does not have.

Cost: one pass of the network for each sample, one run of each rule at each share, and t t' distances for each.

References: W. Liang et al. (2022), "Expediting large-scale vision transformer for dense prediction without
fine-tuning"; of the rules, in their own files.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.results import Curve
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.judged_rules import judged, kept_at_random, less_than_random, lines
from analysis.tokens.over_samples import ALL, RULES_HELP, Ran, cost_of, count_of
from analysis.tokens.rebuilding import missed_share, of_survivors
from analysis.tokens.state import TokenState
from analysis.tokens.subject import AUTOMATIC, SOURCES

SHARES, TOLD = (0.8, 0.6, 0.4, 0.2, 0.1), 0.4


@dataclass(frozen=True)
class ReconstructionErrorParams:
    rules: str = param(ALL, RULES_HELP)
    maximum_samples: int = param(32, "Most samples; a seeded random subset above.", low=2, high=100_000)
    source: str = param(
        AUTOMATIC, "Whose tokens: the network's, or the recorded rows.", choices=SOURCES, late=True
    )


def reconstruction_error(
    activations,
    params: ReconstructionErrorParams = ReconstructionErrorParams(),
    rng=None,
    progress=no_progress,
) -> Curve:
    """What is lost of the tokens, over the share of them that is left.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer that can be run again; otherwise its rows are the tokens.

    Returns
    -------
    Curve
        A line for each rule, with intervals and the null of random keep. Estimates: what each loses less than random
        keep at 40 % of the tokens, paired by sample.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        An unknown rule; none that these tokens allow; fewer than two samples of two tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    found = judged(tap, params, SHARES, _of_batch, rng, progress)
    told = less_than_random(found, TOLD, "missed less than random keep", tap.shape[1], "share of the spread")
    return Curve(
        title="How much of the tokens is lost?", x=np.array(SHARES), x_name="share of tokens left",
        y_name="share of the spread that is missed", **lines(found, SHARES), estimates=told,
        reading=_reading(found, told), caveats=(*found.notes, *_caveats(found.who)),
    )  # fmt: skip


def _of_batch(ran: Ran, rng: np.random.Generator) -> np.ndarray:
    """(2, B) the error, and that of as many tokens kept at random."""
    x, free = np.asarray(ran.dump.recorded["hidden"][-1], np.float64), ran.dump.layout.free
    states, steps = ran.run.states, ran.run.steps
    chance = TokenState.start(kept_at_random(ran, rng))
    made = [of_survivors(x, free, s, p) for s, p in ((states, steps), ([chance], []))]
    return np.stack([missed_share(x, m, free) for m in made])


def _reading(found, told) -> str:
    best = max(found.rules, key=lambda one: np.subtract(*found.values[one.id, TOLD][::-1]).mean())
    x = found.values[best.id, TOLD].mean(axis=1)
    beyond = sum(e.low is not None and e.low > 0 for e in told)
    return (
        f"With {TOLD:.0%} of the tokens left {best.title} gains most over as many tokens at random: it misses "
        f"{x[0]:.0%} of the spread of the tokens in the last layer (random keep {x[1]:.0%}). {beyond} of {len(told)} "
        "rules miss less than random keep."
    )


def _caveats(who) -> list[str]:
    return [
        f"{who.n:,} samples of {who.what}; rules run on what was recorded of them, with all tokens there.",
        "A rule that goes by a number of its own may leave more than the share that is asked for; its null leaves as "
        "many.",
        "Dropped tokens are made of the survivor nearest to them, which is the best that could be done.",
    ]


def _cost(shapes, params: ReconstructionErrorParams) -> Cost:
    return cost_of(shapes[0], params.maximum_samples, 3 * len(SHARES) * count_of(params.rules))


def _check() -> tuple[CheckLine, ...]:
    """Copies of which half are kept: ToMe and what is nearest lose nothing; first half of two heaps of tokens."""
    rng = np.random.default_rng(0)
    copies = np.repeat(rng.standard_normal((40, 6)), 5, axis=0)
    found = _run(copies, "tome,first")
    heaps = np.tile(np.repeat([[1.0, 0], [-1.0, 0]], 5, axis=0), (20, 1))
    half = _run(heaps, "first")
    return (
        CheckLine("copies merged: nothing is missed at 40 %", 0.0, float(found.series["ToMe"][2]), 1e-9),
        CheckLine("first of two heaps: the other one is missed, 4 · 5 / 10", 2.0, float(half.series["First tokens"][2]),
                  1e-9),
        CheckLine("at 60 % there is one of the other", 0.0, float(half.series["First tokens"][1]), 1e-9),
    )  # fmt: skip


def _run(rows: np.ndarray, names: str) -> Curve:
    tap = ArrayActivations(rows, name="planted", layout=Layout(np.arange(0, len(rows) + 1, 10)))
    return reconstruction_error(tap, ReconstructionErrorParams(rules=names))


METHODS = (
    Method(
        id="reconstruction_error",
        family="tokens",
        network="blocks",
        title="What is lost of the tokens",
        summary="How far each token is from the one it went into, over the share of tokens left, beside random keep.",
        version=4,
        function=reconstruction_error,
        params=ReconstructionErrorParams,
        result=Curve,
        check=_check,
        cost=_cost,
        minimum_rows=32,
        invariance="the order of samples; one scale for all units, a rotation of them for rules that go by cosine",
        papers=("Expediting Large-Scale Vision Transformer for Dense Prediction without Fine-tuning",),
        libraries=("torch", "transformers"),
    ),
)
