"""What becomes of each token of one sample: which are dropped, which are merged into one, layer by layer.

A rule (ToMe, EViT, …) takes tokens away until a share of the free ones is left; where in the network, and how many in
each layer, is the rule's own spread. In the network they are really removed: later layers compute on fewer tokens, and
the answer is the one that the network then gives. On the rows of a tap without a network the rule is run on what was
recorded.

Told: tokens left; multiply-adds in closed form,

    linear  t (2 d e + 2 d f) + t' g d m,     quadratic  2 t² e     of each block,

as a share of those without removal; cosine and Kullback-Leibler divergence between the two answers, and by how much
the rule is nearer than as many tokens kept at random behind the same layers. Null: those, with the range of the draws;
of the difference 0, with where one more draw lies in 95 % of cases (Student's t). Scores are those of the run itself.

When it lies: one sample is an anecdote, the curves over many say more; scores of a trained rule stand in for its
trained ones where it has any (said); multiply-adds are not seconds; a small divergence on a sample that the network is
certain of means little.

Cost: one pass for the rule and one for each draw of the null.

References: of the rules, in their own files.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import NotFound
from analysis.results import Estimate, TokenFilm
from analysis.sources.input_picture import picture_of
from analysis.sources.rerun import of_one
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.arithmetic import multiply_adds
from analysis.tokens.chance import chance_of
from analysis.tokens.film import film
from analysis.tokens.outputs import log_probabilities
from analysis.tokens.rule import rules
from analysis.tokens.rule_settings import SETTINGS_HELP, rule_with
from analysis.tokens.schedule import schedule
from analysis.tokens.subject import AUTOMATIC, SOURCES, subject

OPENING = 6.0  # seconds


@dataclass(frozen=True)
class TokenFilmParams:
    sample: int = param(0, "Its place in the store, from 0.", low=0, high=1_000_000_000)
    rule: str = param("tome", "Rule that drops or merges tokens.", choices=tuple(rules()))
    share: float = param(
        0.5, "Share of the free tokens that is left after the last layer.", low=0.01, high=1.0
    )
    source: str = param(
        AUTOMATIC, "Whose tokens: the network's, or the recorded rows.", choices=SOURCES, late=True
    )
    draws: int = param(
        10, "Times that as many tokens are kept at random, for the null.", low=3, high=200, late=True
    )
    settings: str = param("", SETTINGS_HELP, label="settings of the rule", late=True)


def token_film(
    activations, params: TokenFilmParams = TokenFilmParams(), rng=None, progress=no_progress
) -> TokenFilm:
    """What became of one sample's tokens.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer that can be run again; otherwise its rows are the tokens.

    Returns
    -------
    TokenFilm
        Owner of every token before the first and after each layer, and the rule's scores.

    Raises
    ------
    NotFound, ParameterError, NotEnoughData
        No such sample; settings that the rule does not have; fewer than two tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    who, notes = subject(
        tap,
        tap.layout.n_samples,
        rng,
        params.source,
        lambda f, doing="": progress(0.1 * f, doing),
        attention=False,
    )
    at = np.flatnonzero(who.samples == params.sample)
    if not len(at):
        raise NotFound(f"sample {params.sample} of {tap.name}", f"one of 0 to {who.samples.max()}")
    one = rule_with(params.rule, params.settings)

    def plan(n):
        return schedule(one.schedule, params.share, who.layers, n)

    progress(0.3, "the network")
    given, _ = who.one(int(at[0]), ())
    whole, less = who.answer(given), who.answer(given, one, plan, None, np.random.default_rng(0))
    chance, apart_by_chance = chance_of(one), []
    for k in range(params.draws):
        progress(0.4 + 0.6 * k / params.draws, "kept at random")
        found = who.answer(given, chance, plan, None, rng)
        apart_by_chance.append(apart(whole.logits, found.logits))
    progress(1.0, "done")
    told = _estimates(who, one, whole, less, np.array(apart_by_chance), tap.shape[1])
    picture = picture_of(given) if who.is_network else None
    words = who.opened.words(int(at[0])) if who.is_network else ()
    return film(
        less.states, less.steps, less.layout, one, picture=picture, words=words,
        title=f"What {one.title} leaves of sample {params.sample}", estimates=told,
        reading=_reading(one, less, told, who),
        caveats=(*of_one(notes, params.sample), *less.notes, *_caveats(one, params)),
    )  # fmt: skip


def apart(before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """(cosine, nats) between the answers (1, C) of one sample."""
    a, b = before[0], after[0]
    cosine = float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-300))
    p, q = log_probabilities(a), log_probabilities(b)
    return cosine, float(max((np.exp(p) * (p - q)).sum(), 0.0))


def _estimates(who, one, whole, less, chance: np.ndarray, d: int) -> tuple[Estimate, ...]:
    counts, full = [[float(s.counts[0]) for s in x.states] for x in (less, whole)]
    shape = who.shape()
    share = multiply_adds(shape, counts, one.place).total / multiply_adds(shape, full, one.place).total
    cosine, nats = apart(whole.logits, less.logits)
    facts = {"n": 1, "d": d, "null_method": f"as many tokens at random, mean of {len(chance)}",
             "interval": "none: the answer of one sample, exactly"}  # fmt: skip
    exact = {"n": 1, "d": d, "null": 1.0, "null_method": "no removal", "interval": "none: counted exactly"}
    found = [
        Estimate("share of tokens left", counts[-1] / counts[0], estimator="counted", **exact),
        Estimate("share of multiply-adds", share, estimator="closed form", **exact),
        Estimate("cosine of the answers", cosine, null=float(chance[:, 0].mean()), null_low=float(chance[:, 0].min()),
                 null_high=float(chance[:, 0].max()), estimator="cosine of outputs", **facts),
    ]  # fmt: skip
    gain = cosine - chance[:, 0]
    reach = float(_t(len(gain)) * gain.std(ddof=1) * np.sqrt(1 + 1 / len(gain)))
    ends = mean_interval(gain)
    ends = ends | {"interval": "Student's t over draws, of the mean of random tokens"} if ends else {}
    found.append(Estimate("nearer than random tokens", float(gain.mean()), **ends, null=0.0, null_low=-reach,
                          null_high=reach, n=len(gain), d=d, null_method="one more draw of random tokens, Student's t",
                          estimator="difference of cosines, over draws"))  # fmt: skip
    if who.classifies:
        found.append(Estimate("divergence of the answer", nats, null=float(chance[:, 1].mean()),
                              null_low=float(chance[:, 1].min()), null_high=float(chance[:, 1].max()), unit="nats",
                              estimator="Kullback-Leibler from the answer before", **facts))  # fmt: skip
    return tuple(found)


def _t(draws: int) -> float:
    return float(stdtrit(draws - 1, 0.975))


def _reading(one, less, told, who) -> str:
    before, after = int(less.states[0].counts[0]), int(less.states[-1].counts[0])
    cosine = told[2]
    return (
        f"{one.title} leaves {after} of {before} tokens of {who.what}, {told[1].value:.0%} of the multiply-adds, and "
        f"an answer with cosine {cosine.value:.4f} to the full one (as many at random: {cosine.null:.4f})."
    )


def _caveats(one, params) -> list[str]:
    said = ["One sample; multiply-adds are counted, not timed."]
    said += [*([one.trained] if one.trained else []), *one.notes]
    if params.share == 1:
        said.append("With a share of 1 nothing is removed.")
    return said


def _cost(shapes, params: TokenFilmParams) -> Cost:
    (n, k), m = shapes[0], machine()
    passes = params.draws + 3
    held = 20.0 * n * k + 300.0 * n + 1e5  # of a network its own memory comes on top
    return Cost(OPENING + m.seconds(flops64=1e7 * passes, moved=8.0 * n * k), held, passes)


def _check() -> tuple[CheckLine, ...]:
    """Six tokens of which each is there twice: half of them merge, and their mean is what it was."""
    rng = np.random.default_rng(0)
    x = np.repeat(rng.standard_normal((12, 8)), 2, axis=0)
    tap = ArrayActivations(x, name="planted", layout=Layout(np.array([0, 12, 24])))
    half = token_film(tap, TokenFilmParams(share=0.5, draws=3))
    whole = token_film(tap, TokenFilmParams(share=1.0, draws=3))
    pairs = half.owner[-1][1:].reshape(6, 2)  # the first is the class token
    return (
        CheckLine("tokens left of twelve and a class token", 7.0, float(len(np.unique(half.owner[-1]))), 0.0),
        CheckLine("copies that went into each other", 6.0, float((pairs[:, 0] == pairs[:, 1]).sum()), 0.0),
        CheckLine("cosine of the answers", 1.0, half.estimates[2].value, 1e-12),
        CheckLine("nothing removed: multiply-adds", 1.0, whole.estimates[1].value, 1e-12),
    )


METHODS = (
    Method(
        id="token_film",
        family="tokens",
        network="blocks",
        title="What became of the tokens",
        summary="One sample's tokens under a rule, layer by layer: gone, kept or merged, and what the answer becomes.",
        version=3,
        function=token_film,
        params=TokenFilmParams,
        result=TokenFilm,
        check=_check,
        cost=_cost,
        minimum_rows=4,
        invariance="the order of samples, and a factor of all rows for rules that go by cosine",
        libraries=("torch", "transformers"),
    ),
)
