"""What do the question's tokens read in this text? The retrieval strip of one layer: tokens, and the sentences on top.

Over the words of one sample

    beside places       attention of the question's tokens, smoothed over a short window, over what the same places
                        get in other samples (1: no more than places alone give)
    by sentence         the same summed over each sentence: Σ mass / Σ null
    top sentences       1 the sentence with the highest score, then less; 0 all others
    question and known  1 the tokens that ask, 0.5 the known sentences

The question is the last word that an earlier sentence has, the known sentences those that have it; or both are given;
of a text that says no word again the last eight tokens ask, and nothing is known. Read alike by all behind it, token j
of N gets (1/N) Σ_(i >= j) 1/(i + 1): mass says nothing without the places.

Interval: none of the strip (one sample); Student's t over samples of the rank of the known sentence. Null: a random
order of the sentences; of the highest sentence, the highest of the same places in other samples.

When it lies: one sample is an anecdote, the curve over layers says what holds over many; what is read is not yet used;
with few other samples what places give is rough. Without text, runs of four rows stand for sentences and the last
row asks.

Cost: one pass of each sample; the rows of the questions in each head of one layer.

References: X. Ye et al. (2025), "Infinite retrieval: attention enhanced LLMs in long-context processing".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import InputError
from analysis.methods.tokens.retrieval_layers import CHANCE, asked_trials, usual_rank
from analysis.results import Estimate, TokenMap
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.attention.drawn import drawn
from analysis.tokens.attention.heads import HeadReader, asked_head, heads_of
from analysis.tokens.attention.retrieval import (
    Trial,
    asked_mass,
    highest_elsewhere,
    open_question,
    rank_of_known,
    sentence_scores,
    strip,
    words_of,
)
from analysis.tokens.subject import AUTOMATIC, SOURCES
from analysis.tokens.tap_dump import RUN

OPENING = 4.0
NAMES = ("beside places alone", "by sentence", "top sentences", "question (1) and known (0.5)")


@dataclass(frozen=True)
class RetrievalStripParams:
    sample: int = param(0, "Its place in the store, from 0.", low=0, high=1_000_000_000)
    layer: int | None = param(
        None, "Its number, from 1; automatic: the tap's, else the last.", low=1, high=1000
    )
    head: int | None = param(
        None, "Its number in the layer, from 1; automatic: mean over all heads.", low=1, high=1000
    )
    question: str = param("", "A piece of text that asks; empty: the last word that was said before.")
    answer: str = param("", "A piece of text that the known sentence has; empty: the word that asks.")
    window: int = param(3, "Tokens that mass is smoothed over.", low=1, high=101)
    top: int = param(3, "Sentences that are marked.", low=1, high=1000)
    maximum_samples: int = param(
        64,
        "Most samples that it is compared with; a seeded random subset above.",
        low=2,
        high=2000,
        late=True,
    )
    source: str = param(
        AUTOMATIC, "Whose heads: the network's, or one on the recorded rows.", choices=SOURCES, late=True
    )


def retrieval_strip(
    activations, params: RetrievalStripParams = RetrievalStripParams(), rng=None, progress=no_progress
) -> TokenMap:
    """What the tokens of a question read.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a language model that can be run again; other rows are queries and keys of one head.

    Returns
    -------
    TokenMap
        Four maps of one sample. Estimates of the known sentence, of this sample and over all.

    Raises
    ------
    NotFound, ParameterError, NotEnoughData, InputError
        No such sample, layer or head; fewer than two samples; no such question in this sample.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    reader = heads_of(tap, params.maximum_samples, rng, params.source, progress, also=params.sample)
    at = int(np.flatnonzero(reader.samples == params.sample)[0])
    layer, head = asked_head(reader, params.layer, params.head or 1)
    trials = asked(reader, params, at)
    progress(0.6, "reading what questions pay")
    heads = range(reader.heads) if params.head is None else (head,)
    mass, null = asked_mass(reader, layer, heads, trials)
    luck = highest_elsewhere(reader, layer, heads, trials[at][0], at, params.window)
    progress(1.0, "done")
    return _map(reader, at, layer, params, trials, mass, null, luck)


def asked(reader: HeadReader, params: RetrievalStripParams, at: int) -> list[list[Trial]]:
    """The last question of each sample; of the one that is shown its last tokens where it has none. Raises InputError:
    none there either."""
    try:
        trials = [several[:1] for several in asked_trials(reader, params.question, params.answer)]
    except InputError:
        texts = getattr(reader.who, "is_network", False) and words_of(reader, at)
        if params.question or params.answer or not texts or open_question(texts) is None:
            raise
        trials = [[] for _ in range(reader.n)]
    if trials[at]:
        return trials
    network = getattr(reader.who, "is_network", False) and not params.question and not params.answer
    last = open_question(words_of(reader, at)) if network else None
    if last is None:
        have = ", ".join(str(int(reader.samples[b])) for b, t in enumerate(trials) if t)
        raise InputError(f"no such question in sample {params.sample}", f"one of the samples {have[:200]}".rstrip(),
                         "Choose one of these, or other pieces of text")  # fmt: skip
    trials[at] = [last]
    return trials


def _map(reader: HeadReader, at: int, layer: int, params, trials, mass, null, luck) -> TokenMap:
    trial, there = trials[at][0], reader.layout.present[at]
    values = strip(trial, mass[at, 0], null[at, 0], params.window, params.top)[:, there]
    scores, _ = sentence_scores(trial, mass[at, 0], null[at, 0], params.window)
    words, best = drawn(reader, at)[3], int(scores.argmax())
    whose = "" if params.head is None else f", head {params.head}"
    said = _said(words, trial.sentences[best]) if words else f"run {best + 1}"
    known = (
        f"the known sentence is number {rank_of_known(scores, trial.known):g} of {len(scores)}, with "
        f"{scores[trial.known].max():.2f} times what places alone give."
        if len(trial.known) else "no sentence is known to have the answer."
    )  # fmt: skip
    return TokenMap(
        title=f"What {_short(trial.word)} reads: layer {layer + 1}{whose}, sample {int(reader.samples[at])}",
        reading=f"Of {len(scores)} sentences {said} gets most beside what places give ({scores[best]:.2f} "
        f"times"
        + (f"; the highest of these places in other samples {luck.mean():.2f}" if len(luck) else "")
        + f"); {known}",
        caveats=(*reader.notes, "One sample is an anecdote; see which layers look up the answer over all samples.",
                 "Colours end at four times what places give, values beyond are drawn as that."),
        estimates=_estimates(trials, scores, mass, null, params.window, at, luck),
        samples=np.full(4, reader.samples[at]), values=np.minimum(values, 4.0), value_name="times what places give",
        names=NAMES, words=(words,) if words else (), ends=(0.0, float(np.clip(values.max(), 1.0, 4.0))),
    )  # fmt: skip


def _said(words, sentence) -> str:
    return _short("".join(words[sentence[0] : sentence[1]]))


def _short(text: str) -> str:
    text = " ".join(text.split())
    return repr(text if len(text) <= 60 else text[:57] + "…")


def _estimates(trials, scores, mass, null, window: int, at: int, luck) -> tuple[Estimate, ...]:
    have = [(b, of[0]) for b, of in enumerate(trials) if of and len(of[0].known)]
    here, d = trials[at][0], len(scores)
    top = float(scores.max())
    chance = {"null_method": "none: no other sample is as long"}
    if len(luck):
        low, high = np.quantile(luck, [0.025, 0.975])
        chance = {"null": float(luck.mean()), "null_low": float(low), "null_high": float(high),
                  "p_value": float((1 + (luck >= top).sum()) / (1 + len(luck))),
                  "null_method": f"the highest of the same places in {len(luck)} other samples"}  # fmt: skip
    said = [Estimate("most of a sentence beside places alone", top, interval="none: one sample", n=1, d=d,
                     estimator="ratio of masses, largest of sentences", **chance)]  # fmt: skip
    if len(here.known):
        said.append(Estimate("rank of the known sentence, this sample", rank_of_known(scores, here.known),
                             interval="none: one sample", null=usual_rank([here]), null_method=CHANCE, n=1, d=d,
                             estimator="rank"))  # fmt: skip
    if have:
        ranks = np.array(
            [rank_of_known(sentence_scores(t, mass[b, 0], null[b, 0], window)[0], t.known) for b, t in have]
        )
        said.append(Estimate("rank of the known sentence over samples", float(ranks.mean()),
                             **(mean_interval(ranks, 1.0) or {"interval": "none: one sample"}),
                             null=usual_rank([t for _, t in have]),
                             null_method=CHANCE, n=len(ranks), d=d,
                             estimator="mean over samples"))  # fmt: skip
    return tuple(said)


def _cost(shapes, params: RetrievalStripParams) -> Cost:
    (n, d), m = shapes[0], machine()
    held = 20.0 * n * d + 300.0 * n + 1e5  # of a network its own memory comes on top
    passes = min(n, params.maximum_samples) + 2
    return Cost(OPENING + m.seconds(flops64=2.0 * n * RUN * d, moved=held) + 2e-3 * passes, held, passes)


def _check() -> tuple[CheckLine, ...]:
    """Twice what places give on one sentence, as much as they give on the others."""
    trial = Trial(np.array([9]), np.array([[0, 3], [3, 6], [6, 9]]), np.array([1]), "")
    null = np.full(10, 0.1)
    mass = null * np.repeat([1.0, 2.0, 1.0, 1.0], [3, 3, 3, 1])
    values = strip(trial, mass, null, 1, 2)
    wide = strip(trial, mass, null, 3, 2)
    return (
        CheckLine("the sentence gets", 2.0, values[1, 4], 1e-12),
        CheckLine("others get", 1.0, values[1, 7], 1e-12),
        CheckLine("smoothed, its first token gets", 5 / 3, wide[0, 3], 1e-12),
        CheckLine("top sentence", 1.0, values[2, 4], 0.0),
        CheckLine("the token that asks", 1.0, values[3, 9], 0.0),
        CheckLine("the known sentence", 0.5, values[3, 5], 0.0),
    )


METHODS = (
    Method(
        id="retrieval_strip", family="tokens", network="attention", title="What does the question read?", version=4,
        function=retrieval_strip,
        summary="What the tokens of a question read in one text, by token and sentence, beside what places alone give.",
        params=RetrievalStripParams, result=TokenMap, check=_check, cost=_cost, minimum_rows=2 * RUN,
        invariance="the order of the other samples; one constant added to all scores of a query",
        papers=("Infinite Retrieval: Attention Enhanced LLMs in Long-Context Processing",),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
