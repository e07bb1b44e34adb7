"""Any two answers as a scale: a score of every sample, and how it goes with a column of numbers.

    score = σ(z_a - z_b) = p_a / (p_a + p_b)        z the logits of a network's classes or next token

With "good" and "poor" as answers a language model becomes a judge of quality; two classes of a classifier make a scale
between them. The score is held against a sample column (what people said): Spearman's rank correlation (SRCC) and
Pearson's (PLCC). It can be what is explained: "readout score" among the numbers of the attribution methods. The last
estimate is how much of it a linear probe of the tap reads, on samples that it did not see. Swapping the answers gives 1
less the score, and turns the signs of both correlations.

Null: the column's values exchanged between samples. Intervals: bootstrap over samples.

When it lies: an answer of several tokens is not one output; both answers may be unlikely, and their ratio then rests on
next to nothing (the share of probability that both have is told); a score may go with a column through a third thing;
PLCC asks for a straight line, which a sigmoid bends; the network's own confidence is no judgement of people.

Cost: one forward pass a sample; O(n) for the correlations, and a ridge probe of O(n d min(n, d)).

References: H. Wu et al. (2024), "Q-Bench: a benchmark for general-purpose foundation models on low-level vision".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations, sample_column
from analysis.attribution.explained_samples import explained_samples, refuse_few_samples
from analysis.attribution.readout import asked_answers, logits_of_samples, readout, share_of_both
from analysis.compute.linear.cross_fitting import folds_of
from analysis.compute.linear.ridge_probe import held_out_predictions
from analysis.compute.machine import machine
from analysis.compute.rows.samples import pooled_samples
from analysis.compute.statistics.auroc import midranks
from analysis.compute.statistics.nulls import null_spread
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import InputError, NotEnoughData, NotFound
from analysis.features.readers import AUTOMATIC, PROBE, READERS
from analysis.results import Estimate, Scatter
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, OPENING, FOLDS, DRAWS, RESAMPLES = 20, 5.0, 5, 499, 300
OWN = ("confidence", "correct", "predicted", "loss")  # of the network itself


@dataclass(frozen=True)
class ReadoutScoreParams:
    good: str = param("", "Answer at the upper end: a class or the text of one token; empty: the likeliest.")
    poor: str = param("", "Answer at the lower end; empty: the next likeliest.")
    column: str = param(
        "", "Column of numbers to hold the score against; empty: the first there is.", column=True
    )
    reader: str = param(AUTOMATIC, "Who answers.", choices=READERS)
    labels: str | None = param(None, "Labels of a probe; automatic: 'label' where there is one.", column=True)
    maximum_samples: int = param(200, "Most samples; a seeded random subset above.", low=20, high=100_000)


def readout_score(
    activations, params: ReadoutScoreParams = ReadoutScoreParams(), rng=None, progress=no_progress
) -> Scatter:
    """Scores of samples against a column.

    Parameters
    ----------
    activations : Activations
        A recorded tap whose network can be run, or one with labels.

    Returns
    -------
    Scatter
        A point for each sample at (score, value). Estimates: SRCC, PLCC, the mean score, the share of probability that
        both answers have, and how much of the score a probe of the tap reads.

    Raises
    ------
    NotFound, ParameterError, InputError, NotEnoughData
        Neither a network nor labels; no such answer or column, one answer twice; no column of numbers; fewer than 20
        samples with a number; a score or column that is the same for all.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    column = _column(tap, params.column)
    samples, notes = explained_samples(tap, params.reader, params.labels, params.maximum_samples, rng, progress,
                                       (0.0, 0.1))  # fmt: skip
    refuse_few_samples(tap, samples, FEWEST)
    logits = logits_of_samples(samples, progress, (0.1, 0.7))
    good, poor = asked_answers(samples, logits, params.good, params.poor)
    numbers = np.asarray(sample_column(tap, column), np.float64)[samples.samples]
    known = np.isfinite(numbers)
    if known.sum() < FEWEST:
        raise NotEnoughData(
            f"{int(known.sum())} scored sample(s) have a number in '{column}'", f"at least {FEWEST}"
        )
    logits, numbers, which = logits[known], numbers[known], np.asarray(samples.samples)[known]
    score = readout(logits, good, poor)
    if np.ptp(numbers) == 0 or np.ptp(score) <= 1e-12:
        what = f"'{column}'" if np.ptp(numbers) == 0 else "the score"
        raise InputError(f"{what} is the same for all samples", "values that differ", "Choose others")
    x, kept, read = pooled_samples(tap, "mean", which, progress, (0.7, 0.8))
    names = samples.word(good), samples.word(poor)
    progress(0.8, "correlating")
    estimates = (*_correlations(score, numbers, column, tap.shape[1], rng),
                 *_shares(logits, score, good, poor, names, tap.shape[1]),
                 _probe(x, score[kept], rng))  # fmt: skip
    progress(1.0, "done")
    left = (
        [] if known.all() else [f"{int((~known).sum())} sample(s) without a number in '{column}' left out."]
    )
    return Scatter(
        title=f"{names[0]} against {names[1]} as a score, and '{column}'", reading=_reading(estimates, names, column),
        caveats=(*read, *notes, *left, *_caveats(column, params, estimates)), estimates=estimates,
        positions=np.column_stack([score, numbers]), rows=np.asarray(tap.layout.offsets)[which],
        axes=(f"score of {names[0]} against {names[1]}", column), colour="p of both answers",
        columns={"p of both answers": share_of_both(logits, good, poor)},
    )  # fmt: skip


def _column(tap, asked: str) -> str:
    if asked:
        if sample_column(tap, asked).dtype.kind not in "fiub":
            raise InputError(f"column '{asked}' holds texts", "a column of numbers", "Choose another")
        return asked
    numeric = [k for k in tap.samples if np.asarray(tap.samples[k]).dtype.kind in "fiub" and k != "id"]
    numeric = [k for k in numeric if len(np.unique(np.asarray(tap.samples[k]))) > 2] or numeric
    first = [k for k in numeric if k not in OWN] or numeric
    if not first:
        raise NotFound(f"{tap.name} has no sample column of numbers", "one to hold the score against",
                       "Add a column of numbers, such as what people said of each sample")  # fmt: skip
    return first[0]


def _ranks(x: np.ndarray) -> np.ndarray:
    """Midranks along the last axis of x (n,) or (m, n)."""
    return midranks(np.atleast_2d(x).T)[0].T.reshape(x.shape)


def _pearson(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(...) correlation along the last axis; 0 where one does not vary."""
    a, b = a - a.mean(axis=-1, keepdims=True), b - b.mean(axis=-1, keepdims=True)
    size = np.sqrt((a**2).sum(axis=-1) * (b**2).sum(axis=-1))
    return np.where(size > 0, (a * b).sum(axis=-1) / np.where(size > 0, size, 1.0), 0.0)


def _correlations(score, numbers, column: str, d: int, rng) -> list[Estimate]:
    n, out = len(score), []
    picked = rng.integers(n, size=(RESAMPLES, n))
    orders = rng.permuted(np.tile(np.arange(n), (DRAWS, 1)), axis=1)
    for name, change in (("SRCC", _ranks), ("PLCC", lambda x: x)):
        a, b = change(score), change(numbers)
        value, null = float(_pearson(a, b)), _pearson(a[None], b[orders])
        drawn = _pearson(change(score[picked]), change(numbers[picked]))
        low, high = np.percentile(drawn, [2.5, 97.5])
        p = float((1 + (np.abs(null) >= abs(value) - 1e-12).sum()) / (1 + DRAWS))
        out.append(Estimate(f"{name} with {column}", value, min(float(low), value), max(float(high), value),
                            interval="bootstrap over samples", **null_spread(null), p_value=p,
                            null_method="values exchanged between samples", n=n, d=d))  # fmt: skip
    return out


def _shares(logits, score, good: int, poor: int, names, d: int) -> list[Estimate]:
    both = share_of_both(logits, good, poor)
    return [
        Estimate(f"mean score of {names[0]} against {names[1]}", float(score.mean()), **mean_interval(score, 0.0, 1.0),
                 null=0.5, null_method="equal logits", n=len(score), d=d),
        Estimate("probability of both answers", float(both.mean()), **mean_interval(both, 0.0, 1.0),
                 null=2 / logits.shape[1], null_method="equal logits", n=len(score), d=d),
    ]  # fmt: skip


def _probe(x: np.ndarray, score: np.ndarray, rng) -> Estimate:
    """Correlation of the score with what a ridge probe of the tap says of samples that it did not see."""
    n = len(x)
    fold = folds_of(np.zeros(n), FOLDS, rng)
    moved = np.column_stack([score, *(rng.permutation(score) for _ in range(50))])
    found = held_out_predictions(x - x.mean(axis=0), moved, np.arange(51), fold)
    value, *null = _pearson(found.T, moved.T)
    picked = rng.integers(n, size=(RESAMPLES, n))
    drawn = _pearson(found[picked, 0], score[picked])
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Estimate("score as read by a linear probe of the tap", float(value), min(float(low), float(value)),
                    max(float(high), float(value)), interval="bootstrap over samples, probe held fixed",
                    **null_spread(np.array(null)), null_method="scores exchanged between samples", n=n, d=x.shape[1],
                    estimator=f"held-out correlation, ridge, {FOLDS} folds")  # fmt: skip


def _reading(estimates, names, column: str) -> str:
    rank, line, _, both, probe = estimates
    sure = "beyond" if (rank.p_value or 1) < 0.05 else "not beyond"
    return (
        f"The score of {names[0]} against {names[1]} goes with '{column}' by rank at {rank.value:+.2f} and on a line "
        f"at {line.value:+.2f}, {sure} what exchanged values give. Both answers together have {both.value:.0%} of the "
        f"probability; a probe of the tap reads the score with a correlation of {probe.value:.2f}."
    )


def _caveats(column: str, params, estimates) -> list[str]:
    said = ["Swapping the answers gives 1 less the score."]
    if column in OWN:
        said.append(f"'{column}' is the network's own number, not a judgement from outside.")
    if not params.column:
        said.append(f"No column was named: '{column}' was taken.")
    if estimates[3].value < 0.01:
        said.append("Both answers are unlikely: their ratio rests on next to nothing.")
    return said


def _cost(shapes, params: ReadoutScoreParams) -> Cost:
    (n, d), m = shapes[0], machine()
    some = min(n, params.maximum_samples)
    small = min(some, d)
    seconds = m.seconds(flops64=FOLDS * (6.0 * some * d * small + 120.0 * some * small), moved=8.0 * n * d)
    return Cost(OPENING + 4e-3 * some + seconds + 1e-6 * n, 8.0 * some * (DRAWS * 4 + 3 * d) + 18e3 * d)


def _check() -> tuple[CheckLine, ...]:
    """A linear probe whose score rises with the one unit that tells its classes; swapped answers."""
    rng = np.random.default_rng(0)
    label = np.arange(120) % 2
    x = np.column_stack([2.0 * label + rng.standard_normal(120), rng.standard_normal((120, 2))])
    tap = ArrayActivations(
        x, "planted", {"label": label, "said": x[:, 0] ** 3, "noise": rng.standard_normal(120)}
    )
    up, down = (
        readout_score(tap, ReadoutScoreParams(good=a, poor=b, column="said", reader=PROBE))
        for a, b in (("1", "0"), ("0", "1"))
    )
    none = readout_score(tap, ReadoutScoreParams(good="1", poor="0", column="noise", reader=PROBE))
    return (
        CheckLine("score and swapped score sum to 1", 1.0, float((up.positions + down.positions)[:, 0].max()), 1e-12),
        CheckLine("swapping turns the sign", 0.0, up.estimates[0].value + down.estimates[0].value, 1e-12),
        CheckLine("goes with the planted number", 0.9, up.estimates[0].value, 0.0, "at least"),
        CheckLine("noise is inside its null", 1.0,
                  float(none.estimates[0].null_low <= none.estimates[0].value <= none.estimates[0].null_high), 0.0),
        CheckLine("a probe of the tap reads it", 0.9, up.estimates[4].value, 0.0, "at least"),
    )  # fmt: skip


METHODS = (
    Method(
        id="readout_score", family="attribution", title="Two answers as a score", version=1, function=readout_score,
        summary="Makes a score of any two answers, and says how it goes with a column of numbers.",
        params=ReadoutScoreParams, result=Scatter, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="a constant added to all logits; of SRCC, any rising change of the column",
        papers=("Q-Bench: A Benchmark for General-Purpose Foundation Models on Low-level Vision",),
        libraries=("torch",),
    ),
)  # fmt: skip
