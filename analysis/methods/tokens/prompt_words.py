"""Which words lie nearest to each learned prompt vector? Soft prompts against a table of word embeddings.

    cosine   max over words w of cos(p, w - m), m the mean of all words, p less the same mean
    near     distance of p to its nearest word over the usual distance of a word to its nearest other: about 1 where the
             prompt lies as near to a word as words lie to each other

of every row p of the first tap (the learned vectors, token by token), or of a tensor in the checkpoint of its network
that is named in the settings: soft prompts are parameters, which no module returns. The words are rows of the second
tap, called by the samples' texts or ids; where that tap belongs to a language model its table of input embeddings is
read from the checkpoint and its tokenizer names the rows.

Interval: of a mean over vectors Student's t. Null: the vector with its coordinates less m exchanged, which has its
length and no direction, and the nearest of as many words; the cosine of a vector counts after Benjamini-Hochberg at 5 %
(Student's t of the draws).

When it lies: learned vectors are often much longer than words and far from all of them, and the nearest is then no
translation (see "near"): it is the least distant of strangers; rare words lie at the rim and are nearest to much; two
vectors with the same word need not do the same.

Cost: O(vectors words units) for each draw and once for the words among themselves, of which at most 2,000 are tried.

References: "Mixture of prompt learning for vision language models"; K. Zhou, J. Yang, C. C. Loy & Z. Liu (2022),
"Learning to prompt for vision-language models".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.nulls import null_spread, student_p
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.compute.streaming import refuse_few
from analysis.errors import InputError
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.sets.learned_vectors import FEWEST, learned_vectors, word_table
from analysis.tokens.sets.word_neighbours import AMONG, BLOCK, nearest, usual_distance, usual_of

LEVEL = 0.05  # false discoveries
WORDS = 3
COSINE, CHANCE, NEAR, LENGTH, SURE = "cosine", "cosine by chance", "near", "length", "beyond chance"
HELP = {
    "vector": "Which learned vector: the sample, and its place in it.",
    "nearest": "The word with the largest cosine.",
    "then": "The next ones.",
    COSINE: "Cosine with the nearest word, both less the mean word.",
    CHANCE: "The same with the vector's coordinates exchanged, mean of the draws.",
    NEAR: "Distance to the nearest word over the usual distance between a word and its nearest other.",
    LENGTH: "Length of the vector over the median length of a word, both less the mean word.",
    SURE: "Whether the cosine goes beyond chance, at 5 % false discoveries over vectors.",
}


@dataclass(frozen=True)
class PromptWordsParams:
    vectors: str = param(
        "",
        "A tensor in the first tap's checkpoint that holds the vectors, such as prompt.ctx; empty: the tap's rows.",
    )
    table: str = param(
        "", "The table of word embeddings in the checkpoint; empty: the largest of this width."
    )
    shown: int = param(200, "Most vectors listed, the first ones.", low=1, high=10_000)
    draws: int = param(20, "Exchanges of coordinates.", low=9, high=1000, late=True)
    maximum_words: int = param(50_000, "Most words; the first ones.", low=10, high=1_000_000, late=True)


def prompt_words(
    prompts, words, params: PromptWordsParams = PromptWordsParams(), rng=None, progress=no_progress
) -> Table:
    """Nearest words of learned vectors.

    Parameters
    ----------
    prompts : Activations or array (rows, units): the learned vectors.
    words : Activations or array (rows, the same units)
        A row for each word; or any tap of a language model whose table of words is as wide.

    Returns
    -------
    Table
        A line for each vector (see `help`). Estimates: mean cosine, how near, and the share beyond chance.

    Raises
    ------
    ShapeError, InputError, NotFound, NotEnoughData
        Widths that differ; no such tensor; words that are all alike; fewer than two finite vectors or words.
    """
    prompts, words, rng = as_activations(prompts), as_activations(words), rng or np.random.default_rng(0)
    progress(0.0, "reading words")
    p, called, bad = learned_vectors(prompts, params.vectors, params.shown)
    refuse_few(prompts.name, len(p), FEWEST, "finite row(s)")
    table, names, notes = word_table(words, p.shape[1], params.table, params.maximum_words)
    middle = table.mean(axis=0)
    table = table - middle
    length = np.linalg.norm(table, axis=1)
    if not (length > 1e-9 * max(float(np.linalg.norm(middle)), 1e-300)).any():
        raise InputError(f"words of {words.name} are all alike", "rows that differ", "Choose another tap")
    p, unit = p - middle, table / np.where(length > 0, length, 1.0)[:, None]
    best, cosine = nearest(p, unit, WORDS)
    chance = []
    for k in range(params.draws):
        progress(0.2 + 0.6 * k / params.draws, "exchanging coordinates")
        chance.append(nearest(rng.permuted(p, axis=1), unit, 1)[1][:, 0])
    progress(0.85, "distances between words")
    usual = usual_distance(table, rng)
    near = np.array([np.sqrt(np.square(table - one).sum(axis=1).min()) for one in p]) / usual
    progress(1.0, "done")
    sure = benjamini_hochberg(student_p(cosine[:, 0], np.array(chance))) <= LEVEL
    found = (cosine[:, 0], np.array(chance), near, sure)
    return _table(prompts, called, names, best, found, np.linalg.norm(p, axis=1) / np.median(length),
                  (*notes, *bad, *usual_of(len(table))), len(table), p.shape[1])  # fmt: skip


def _table(tap, called, names, best, found, length, notes, count: int, width: int) -> Table:
    cosine, chance, near, sure = found
    facts = {"n": len(cosine), "d": width}
    told = (
        Estimate("cosine with the nearest word, mean", float(cosine.mean()), **mean_interval(cosine, -1.0, 1.0),
                 **null_spread(chance.mean(axis=1)), null_method="coordinates exchanged", estimator="mean over vectors",
                 **facts),
        Estimate("distance to the nearest word, over that of words", float(near.mean()),
                 **mean_interval(near, 0.0), null=1.0, null_method="a word among words", **facts,
                 estimator="mean over vectors; median between words"),
        Estimate("vectors with a word beyond chance", float(sure.mean()),
                 interval="none: a decision at 5 % false discoveries", null=0.0, null_method="coordinates exchanged",
                 estimator="share of vectors, Benjamini-Hochberg", **facts),
    )  # fmt: skip
    names = np.array(names)
    columns = {
        "vector": np.array(called), "nearest": names[best[:, 0]],
        "then": np.array([", ".join(names[one[1:]]) for one in best]),
        COSINE: cosine, CHANCE: chance.mean(axis=0), NEAR: near, LENGTH: length, SURE: sure,
    }  # fmt: skip
    first = int(np.argmax(cosine))
    return Table(
        title=f"Nearest words of {tap.name}", columns=columns, index="vector", help=HELP, estimates=told,
        reading=f"{int(sure.sum())} of {len(sure)} vectors have a word nearer than by chance; on average the first of "
        f"{count:,} words has cosine {told[0].value:.2f} ({told[0].null:.2f} by chance) and lies {told[1].value:.1f} "
        f"times as far as words from each other. Nearest of all: {names[best[first, 0]]} ({cosine[first]:.2f}).",
        caveats=(*notes, "The nearest word of a vector far from all words is no translation of it."),
    )  # fmt: skip


def _cost(shapes, params: PromptWordsParams) -> Cost:
    (n, d), (v, _), m = *shapes[:2], machine()
    n, v = min(n, params.shown), min(v, params.maximum_words)
    held = 8.0 * (3.5 * v * d + 4.0 * n * min(v, BLOCK) + 3.0 * n * d) + 1e5
    return Cost(
        0.02 + m.seconds(flops64=2.0 * n * v * d * (params.draws + 1), moved=24.0 * min(v, AMONG) * v * d),
        held,
    )


def _check() -> tuple[CheckLine, ...]:
    """Vectors that are words, made longer about the mean word, find these words with cosine 1; words themselves lie at
    no distance; random vectors are not beyond chance."""
    rng = np.random.default_rng(0)
    words = rng.standard_normal((300, 24))
    named = ArrayActivations(
        words, "words", {"text": np.array([f"w{i}" for i in range(300)])}, Layout(np.arange(301))
    )
    middle = words.mean(axis=0)
    found = prompt_words(middle + 3 * (words[:20] - middle), named)
    own = prompt_words(words[:20], named)
    noise = prompt_words(rng.standard_normal((40, 24)), named)
    right = float((found.columns["nearest"] == [f"w{i}" for i in range(20)]).mean())
    return (
        CheckLine("longer words: found again", 1.0, right, 0.0),
        CheckLine("their cosine", 1.0, found.estimates[0].value, 1e-9),
        CheckLine("words themselves: distance", 0.0, own.estimates[1].value, 1e-6),
        CheckLine("random vectors: beyond chance", 0.05, noise.estimates[2].value, 0.0, "at most"),
        CheckLine("random vectors: cosine less chance", 0.0, noise.estimates[0].value - noise.estimates[0].null, 0.04),
    )  # fmt: skip


METHODS = (
    Method(
        id="prompt_words", family="tokens", title="Words nearest to learned prompts", version=3, function=prompt_words,
        summary="The word embeddings nearest to each learned prompt vector, and whether they are near at all.",
        params=PromptWordsParams, result=Table, check=_check, cost=_cost, inputs=2, matches="nothing",
        roles=("learned vectors", "words"), minimum_rows=FEWEST,
        invariance="one rotation of both taps; a constant added to both; the order of words",
        papers=("Mixture of Prompt Learning for Vision Language Models",),
    ),
)  # fmt: skip
