"""Which layers look up the answer? Whether the known sentence gets most of what the question's tokens pay, by layer.

Each text is asked about itself: every word that an earlier sentence (or line) has is a question, and the sentences
that have it are known; or a question and an answer are given, and found in the samples that have them. For each layer

    score of a sentence = Σ mass of its tokens / Σ what places alone give them

mass being the mean over heads of the attention of the question's tokens, smoothed over a short window. A layer
retrieves where a known sentence is ranked first more often than chance has it. Attention without regard to content is
not flat: read alike, token j of N gets (1/N) Σ_(i >= j) 1/(i + 1), which is why mass is divided by what the same places
get in other samples; the mass as it is stands beside it.

Interval: Wilson, samples as draws, of shares that are means over the questions of a sample; of the best layer so wide
that it holds for all layers together. Null: the share of sentences that are known, as a random order would give; of the
best layer, the best where the known sentences of a sample are moved on at random and scores stay.

When it lies: what is read is not yet used; a word may be found by its spelling, or because it is in the line before;
few samples are a wide interval; what other samples get at these places is a mean of few; a name in many lines is found
easily, and chance says so. Without text, runs of four rows stand for sentences, the last row asks, and the run of the
row most like it is known.

Cost: one pass of each sample; the rows of the questions in each head.

References: X. Ye et al. (2025), "Infinite retrieval: attention enhanced LLMs in long-context processing".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import chosen_share, mean_interval, share_interval
from analysis.errors import InputError
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.attention.heads import HeadReader, heads_of
from analysis.tokens.attention.retrieval import (
    MOST,
    asked_mass,
    best_by_chance,
    rank_of_known,
    sentence_scores,
    trials_of,
    trials_of_text,
    words_of,
)
from analysis.tokens.subject import AUTOMATIC, SOURCES
from analysis.tokens.tap_dump import RUN

OPENING = 4.0
BESIDE, PLAIN = "beside places alone", "mass as it is"
CHANCE = "a random order of the sentences"


@dataclass(frozen=True)
class RetrievalLayersParams:
    question: str = param("", "A piece of text that asks; empty: every word that was said before.")
    answer: str = param("", "A piece of text that the known sentence has; empty: the word that asks.")
    window: int = param(3, "Tokens that mass is smoothed over.", low=1, high=101)
    maximum_samples: int = param(
        64, "Most samples; a seeded random subset above.", low=2, high=2000, late=True
    )
    source: str = param(
        AUTOMATIC, "Whose heads: the network's, or one on the recorded rows.", choices=SOURCES, late=True
    )


def retrieval_layers(
    activations, params: RetrievalLayersParams = RetrievalLayersParams(), rng=None, progress=no_progress
) -> Curve:
    """How often each layer ranks the known sentence first.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a language model that can be run again; other rows are queries and keys of one head.

    Returns
    -------
    Curve
        Share of samples with the known sentence first, over layers.

    Raises
    ------
    NotEnoughData, InputError
        Fewer than two samples of two tokens; none with such a question.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    reader = heads_of(tap, params.maximum_samples, rng, params.source, progress)
    trials = asked_trials(reader, params.question, params.answer)
    scores = []
    for layer in range(reader.layers):
        progress(0.4 + 0.6 * layer / reader.layers, "reading what questions pay")
        scores.append(scores_of(reader, layer, trials, params.window))
    progress(1.0, "done")
    asked = [t for t in trials if t]
    ranks = [[np.array([[rank_of_known(s, t.known) for s in two] for t, two in zip(several, of, strict=True)]).T
              for several, of in zip(asked, layer, strict=True)] for layer in scores]  # fmt: skip
    firsts = [[(t, np.array([layer[b][r][0] for layer in scores])) for r, t in enumerate(several)]
              for b, several in enumerate(asked)]  # fmt: skip
    return _curve(reader, asked, ranks, best_by_chance(firsts, rng))


def asked_trials(reader: HeadReader, question: str, answer: str) -> list:
    """Raises InputError where no sample has a question, saying what it would take."""
    trials = trials_of(reader, question, answer)
    if any(trials):
        return trials
    if getattr(reader.who, "is_network", False) and not any(words_of(reader, b) for b in range(reader.n)):
        raise InputError(
            f"{reader.what}, whose tokens are no words",
            "a network that reads text",
            "Choose a tap of a language model",
        )
    asked = f"the question {question!r} " if question else ""
    raise InputError(
        f"none of {reader.n} samples of {reader.what} with {asked or 'a word that an earlier sentence has '}and two "
        "sentences before it", "texts with a word that is said again, or a question and an answer that stand in them",
        "Choose a tap of a language model, longer texts, or other pieces of text",
    )  # fmt: skip


def scores_of(reader: HeadReader, layer: int, trials, window: int) -> list[list[tuple]]:
    """Of each sample with questions, of each question the scores of sentences beside places alone, and by the mass."""
    mass, null = asked_mass(reader, layer, range(reader.heads), trials)
    return [
        [sentence_scores(t, mass[b, r], null[b, r], window) for r, t in enumerate(several)]
        for b, several in enumerate(trials) if several
    ]  # fmt: skip


def _curve(reader: HeadReader, trials, ranks, luck: np.ndarray) -> Curve:
    """Of ranks by layer and sample, (2, questions) each; `luck` what the best layer gets by chance."""
    first = np.array([[(r == 1).mean(axis=1) for r in of] for of in ranks])  # (layers, samples, 2)
    chance = float(np.mean([np.mean([t.chance for t in of]) for of in trials]))
    share = first.mean(axis=1)
    ends = [[share_interval(first[i, :, k]) for i in range(len(first))] for k in (0, 1)]
    names, best = (BESIDE, PLAIN), int(share[:, 0].argmax())
    sentences, asked = np.mean([len(t.sentences) for of in trials for t in of]), sum(map(len, trials))
    high = float(np.quantile(luck, 0.95))
    capped = sum(len(of) == MOST for of in trials)
    return Curve(
        title=f"Is the known sentence ranked first? {reader.what}",
        reading=f"Layer {best + 1} ranks the known sentence first for {share[best, 0]:.0%} of questions "
        f"({share[best, 1]:.0%} by the mass as it is), of {sentences:.1f} sentences on average; chance gives "
        f"{chance:.0%}, and the best of {reader.layers} layers {luck.mean():.0%} (95 % of times at most {high:.0%}). "
        f"{int((share[:, 0] > high).sum())} of {reader.layers} layers are above that.",
        caveats=(*reader.notes, f"{asked} questions in {len(trials)} of {reader.n} samples.",
                 *([f"Of {capped} texts with more questions the last {MOST} were asked."] if capped else []),
                 *([] if getattr(reader.who, "is_network", False) else [
                     "What is known of rows is likeness, which their attention is made of: found by construction."]),
                 "What is read is not yet used."),
        estimates=_estimates(ranks, first, ends[0], chance, trials, luck),
        x=np.arange(1, reader.layers + 1, dtype=np.float64), x_name="layer",
        y_name="questions with the known sentence first", controls=(PLAIN,),
        series={name: share[:, i] for i, name in enumerate(names)},
        low={name: np.array([e["low"] for e in ends[i]]) for i, name in enumerate(names)},
        high={name: np.array([e["high"] for e in ends[i]]) for i, name in enumerate(names)},
        null={name: np.full(reader.layers, chance) for name in names},
    )  # fmt: skip


def usual_rank(trials) -> float:
    """Of the best of the known sentences in a random order, mean over questions."""
    return float(np.mean([(len(t.sentences) + 1) / (len(t.known) + 1) for t in trials]))


def _estimates(ranks, first, ends, chance: float, trials, luck) -> tuple[Estimate, ...]:
    every = first[:, :, 0].mean(axis=0)
    rank = np.mean([[r[0].mean() for r in of] for of in ranks], axis=0)
    ends_ = mean_interval(rank, 1.0) or {"interval": "none: one sample"}
    facts = {"n": len(trials), "d": sum(map(len, trials)), "null_method": CHANCE}
    return (
        Estimate("known sentence first, mean over layers", float(every.mean()), **share_interval(every), null=chance,
                 estimator="share of questions, mean over samples", **facts),
        Estimate("rank of the known sentence, mean over layers", float(rank.mean()), **ends_,
                 null=float(np.mean([usual_rank(of) for of in trials])), estimator="mean over samples", **facts),
        *([_best(first, luck, facts)] if len(first) > 1 else []),
        *(Estimate(f"known sentence first, layer {i + 1}", float(first[i, :, 0].mean()), **e, null=chance,
                   estimator="share of questions, mean over samples", **facts) for i, e in enumerate(ends)),
    )  # fmt: skip


def _best(first: np.ndarray, luck: np.ndarray, facts: dict) -> Estimate:
    best = int(first[:, :, 0].mean(axis=1).argmax())
    most = float(first[best, :, 0].mean())
    low, high = np.quantile(luck, [0.025, 0.975])
    return Estimate(
        f"known sentence first, best of {len(first)} layers", most, **chosen_share(first[:, :, 0], best),
        null=float(luck.mean()), null_low=float(low), null_high=float(high),
        p_value=float((1 + (luck >= most - 1e-12).sum()) / (1 + len(luck))),
        estimator="share of questions, largest over layers",
        **facts | {"null_method": f"{CHANCE}, the best layer of each of {len(luck)}"},
    )  # fmt: skip


def _cost(shapes, params: RetrievalLayersParams) -> Cost:
    (n, d), m = shapes[0], machine()
    samples = min(max(n // RUN, 1), params.maximum_samples)
    rows = samples * (RUN + 1)
    held = 8.0 * rows * (5.0 * d + 8.0 * RUN)
    passes = min(n, params.maximum_samples)
    return Cost(
        OPENING + m.seconds(flops64=4.0 * rows * RUN * d, moved=held + 8.0 * n * d, calls=200.0 * samples)
        + 2e-3 * passes, held, passes,
    )  # fmt: skip


def _check() -> tuple[CheckLine, ...]:
    """A needle in one of three sentences; what is read alike gets; the word that asks is found."""
    from analysis.tokens.attention.heads import planted
    from analysis.tokens.attention.retrieval import Trial

    rng = np.random.default_rng(0)
    q, k = 0.01 * rng.standard_normal((2, 4, 30, 6))
    q[0, 29, 0], k[0, 13, 0] = 6.0, 6.0
    trial = Trial(np.array([29]), np.array([[0, 10], [10, 20], [20, 28]]), np.array([1]), "needle")
    reader = planted(q, k, causal=True)
    mass, null = asked_mass(reader, 0, range(1), [[trial], [], [], []])
    beside, _ = sentence_scores(trial, mass[0, 0], null[0, 0], 3)
    flat = np.array([(1 / (np.arange(j, 20) + 1)).sum() / 20 for j in (0, 19)])
    same = np.zeros((2, 20, 1))
    got = planted(same, same, causal=True).rows(0, 0)[0].mean(axis=0)
    found = trials_of_text(tuple("A lion sat. A dog ran. So the lion"))
    return (
        CheckLine("planted needle: rank", 1.0, rank_of_known(beside, trial.known), 0.0),
        CheckLine("read alike, 20 tokens: the first gets", 0.180, got[0], 5e-4),
        CheckLine("the last gets", 0.0025, got[19], 5e-5),
        CheckLine("as the sum of 1 / (i + 1)", float(flat[0]), got[0], 1e-12),
        CheckLine("'lion' was said before, 'the' was not", 1.0, float(len(found)), 0.0),
        CheckLine("in the first sentence", 0.0, float(found[0].known[0]), 0.0),
    )  # fmt: skip


METHODS = (
    Method(
        id="retrieval_layers", family="tokens", network="attention",
        title="Which layers look up the answer?", version=3,
        function=retrieval_layers,
        summary="Over layers: how often the sentence that is known gets most of what the question's tokens read.",
        params=RetrievalLayersParams, result=Curve, check=_check, cost=_cost, minimum_rows=2 * RUN,
        invariance="the order of samples; one constant added to all scores of a query",
        papers=("Infinite Retrieval: Attention Enhanced LLMs in Long-Context Processing",),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
