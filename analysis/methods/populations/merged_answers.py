"""Whom does a merged model follow? Experts whose logits are averaged, answer by answer.

    p ∝ Π_k p_k^{1/K}        the mean of logits is the normalised geometric mean of the experts' distributions

so that one expert that gives a word next to nothing vetoes it, whatever the others say. Drawn for one sample, token by
token: KL(p || p_k), how far the merged answer is from each expert's. Told over all rows:

    follows    share of rows in which this expert is the nearest to the merged answer
    same word  share of rows in which its first word is the merged one
    vetoes     share of rows in which the merged answer has another first word with this expert than without it, and
               the word lost is one that this expert gives less than the limit

Interval: Wilson's, samples as draws. Null: each expert's answers to other rows, in an order of their own: whom a merged
model follows when nobody has heard the question.

When it lies: an expert that is always unsure is near to everything and so followed often; experts that agree share the
first word, whoever is followed; a veto may be right; the mean of logits is one way to merge, and a router or the mean
of probabilities would follow others.

Cost: O(K n C), once more for each exchange and K times without each.

Reference: A. Bochkov (2025), "Growing transformers: modular composition and layer-wise expansion on a frozen
substrate"; G. Hinton (2002), "Training products of experts by minimizing contrastive divergence".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.outputs.divergences import kl
from analysis.compute.outputs.model_outputs import KINDS, Outputs, model_outputs
from analysis.compute.statistics.nulls import null_spread
from analysis.compute.statistics.sample_groups import share_interval
from analysis.errors import NotFound
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FOLLOWS, SAME, VETOES = "followed", "same first answer", "vetoes"
NULL = "answers of each expert to other rows"
DRAWN = 60


@dataclass(frozen=True)
class MergedAnswersParams:
    sample: int | None = param(
        None, "The sample that is drawn; automatic: the first read.", low=0, high=1_000_000_000
    )
    limit: float = param(0.01, "A word is vetoed by an expert that gives it less.", low=1e-6, high=0.5)
    outputs: str = param("auto", "Auto takes rows that sum to 1 as probabilities.", choices=KINDS)
    draws: int = param(20, "Exchanges of answers.", low=9, high=500, late=True)
    maximum_samples: int = param(
        2000, "Most rows; a seeded random subset above.", low=20, high=200_000, late=True
    )


def merged_answers(
    *taps, params: MergedAnswersParams = MergedAnswersParams(), rng=None, progress=no_progress
) -> Matrix:
    """Distance of the merged answer from each expert's.

    Parameters
    ----------
    *taps : two or more Activations or arrays (rows, classes), outputs of the experts on the same samples.

    Returns
    -------
    Matrix
        Experts by the tokens of a sample (of pooled taps: the first samples), KL in nats, with `null`. Estimates: how
        often each is followed, has the merged answer's first word, and vetoes.

    Raises
    ------
    ParameterError, InputError, NotEnoughData, NotFound
        Fewer than two taps; different classes or tokens; fewer than four common samples; no such sample.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    data = model_outputs(taps, params.outputs, rng, maximum=params.maximum_samples, progress=progress)
    logs = np.stack(data.logs)
    told = told_of(logs, params.limit)
    chance = []
    for i in range(params.draws):
        progress(0.4 + 0.6 * i / params.draws, "exchanging answers")
        chance.append(told_of(exchanged(logs, rng), params.limit).mean(axis=2))
    progress(1.0, "done")
    rows = _drawn(data, params.sample)
    both = merged(logs)
    null = np.array([np.mean([kl(both[rows], one[rng.permutation(len(one))[: len(rows)]]) for _ in range(20)], axis=0)
                     for one in logs])  # fmt: skip
    estimates = _estimates(data, told, np.array(chance))
    return Matrix(
        title=f"Whom the mean of {len(taps)} experts' logits follows", estimates=estimates,
        reading=_reading(data.names, estimates), values=np.stack([kl(both[rows], one[rows]) for one in logs]),
        null=null, row_names=data.names, column_names=tuple(_called(taps[0], data, r) for r in rows),
        value_name="KL(merged || expert), nats", caveats=(
            *data.notes, f"{len(rows)} of {len(data.rows):,} rows are drawn; the numbers are of all.",
            f"A veto is of a word that the expert gives less than {params.limit:g}.",
        ),
    )  # fmt: skip


def merged(logs: np.ndarray) -> np.ndarray:
    """(n, C) logarithms of the normalised geometric mean of experts (K, n, C)."""
    mean = logs.mean(axis=0)
    return mean - np.logaddexp.reduce(mean, axis=1)[:, None]


def told_of(logs: np.ndarray, limit: float) -> np.ndarray:
    """(3, K, n) of 0 and 1: followed, same first word, vetoes."""
    both = merged(logs)
    top, apart = both.argmax(axis=1), np.stack([kl(both, one) for one in logs])
    out = np.zeros((3, *apart.shape))
    out[0, apart.argmin(axis=0), np.arange(apart.shape[1])] = 1.0
    out[1] = logs.argmax(axis=2) == top
    for k, own in enumerate(logs):
        rest = merged(np.delete(logs, k, axis=0)).argmax(axis=1)
        out[2, k] = (rest != top) & (np.exp(own[np.arange(len(rest)), rest]) < limit)
    return out


def exchanged(logs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each expert's answers (K, n, C) to rows in an order of its own."""
    return np.stack([one[rng.permutation(len(one))] for one in logs])


def _drawn(data: Outputs, sample: int | None) -> np.ndarray:
    """Rows that are drawn: those of a sample, or the first samples where each has one row."""
    if data.n_samples == len(data.rows):
        return np.arange(min(DRAWN, len(data.rows)))
    if sample is None:
        wanted = 0
    else:
        at = np.flatnonzero(data.position == sample)
        if not len(at):
            raise NotFound(f"sample {sample}", f"one of the {data.n_samples:,} samples read")
        wanted = int(at[0])
    return np.flatnonzero(data.sample == wanted)[:DRAWN]


def _called(tap, data: Outputs, row: int) -> str:
    if data.n_samples == len(data.rows):
        return f"sample {data.position[data.sample[row]]}"
    return f"token {int(tap.layout.token_of(data.rows[row : row + 1])[0])}"


def _estimates(data: Outputs, told: np.ndarray, chance: np.ndarray) -> tuple[Estimate, ...]:
    out = []
    for i, what in enumerate((FOLLOWS, SAME, VETOES)):
        for k, name in enumerate(data.names):
            each = data.per_sample(told[i, k])
            value = float(told[i, k].mean()) if data.n_samples == len(data.rows) else float(each.mean())
            out.append(Estimate(f"{what}, {name}", value, **share_interval(each), **null_spread(chance[:, i, k]),
                                null_method=NULL, n=len(each), d=told.shape[1], estimator="share of rows"))  # fmt: skip
    return tuple(out)


def _reading(names, estimates) -> str:
    k = len(names)
    most = max(range(k), key=lambda i: estimates[i].value)
    veto = max(range(2 * k, 3 * k), key=lambda i: estimates[i].value)
    e, same, no = estimates[most], estimates[k + most], estimates[veto]
    return (
        f"The merged answer is nearest to {names[most]} in {e.value:.0%} of the rows (exchanged: {e.null:.0%}) and "
        f"has its first word in {same.value:.0%} ({same.null:.0%}). Most vetoes are by {names[veto - 2 * k]}: in "
        f"{no.value:.1%} of the rows ({no.null:.1%})."
    )


def _cost(shapes, params: MergedAnswersParams) -> Cost:
    m, k = machine(), len(shapes)
    n, c = min(min(s[0] for s in shapes), params.maximum_samples), shapes[0][1]
    moved = 8.0 * n * c * k * (k + 6) * (params.draws + 1)
    read = 8.0 * sum(a * b for a, b in shapes)
    return Cost(0.02 + m.seconds(moved=4.0 * moved + read), 8.0 * n * c * (k * 5.0 + 4))


def _check() -> tuple[CheckLine, ...]:
    """Copies of one expert beside another: the two are followed; the mean of logits is the geometric mean; an expert
    that gives the others' word nothing vetoes it."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 6))
    copies = merged_answers(*(ArrayActivations(v) for v in (x, x, rng.standard_normal((200, 6)))))
    p = np.array([[[0.5, 0.3, 0.2]], [[0.2, 0.3, 0.5]]])
    geometric = np.sqrt(p[0] * p[1]) / np.sqrt(p[0] * p[1]).sum()
    likes, hates = np.log([[0.9, 0.08, 0.02]]), np.log([[1e-9, 0.6, 0.4 - 1e-9]])
    veto = told_of(np.stack([likes, likes, hates]), 0.01)
    off = np.abs(np.exp(merged(np.log(p))) - geometric).max()
    return (
        CheckLine("mean of logits: geometric mean", 0.0, float(off), 1e-12),
        CheckLine("two of three alike: followed", 0.7, copies.estimates[0].value + copies.estimates[1].value, 0.0,
                  "at least"),
        CheckLine("a word with next to no probability is vetoed", 1.0, float(veto[2, 2, 0]), 0.0),
        CheckLine("and by nobody else", 0.0, float(veto[2, :2].sum()), 0.0),
        CheckLine("the merged first word", 1.0, float(merged(np.stack([likes, likes, hates])).argmax()), 0.0),
        CheckLine("one expert twice: distance", 0.0, float(kl(merged(np.stack([likes, likes])), likes)[0]), 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="merged_answers", family="populations", title="Whom a merged model follows", version=1,
        function=merged_answers,
        summary="Experts whose logits are averaged: how far the merged answer is from each, and who vetoes.",
        params=MergedAnswersParams, result=Matrix, check=_check, cost=_cost, inputs=2, more_inputs=True,
        most_inputs=16, minimum_rows=4,
        invariance="a number added to all logits of a row; the order of samples and of classes",
        papers=("Growing Transformers: Modular Composition and Layer-wise Expansion on a Frozen Substrate",),
    ),
)  # fmt: skip
