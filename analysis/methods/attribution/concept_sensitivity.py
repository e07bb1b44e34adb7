"""Which concepts is each answer sensitive to? Slopes of an answer's number along concept directions.

For samples i that the network answers c, the slope of their own number y_c along a concept's direction v, per natural
standard deviation s_v of samples along it:

    S_i = s_v <∇y_c(h_i), v>           mean over samples, and the share of samples with S_i > 0 (TCAV)

h_i are all tokens of a sample in a row, so that a group has a direction at every token; where samples differ in
length, and for features, all tokens are moved alike. Concept directions are of other samples than the slopes. Two
nulls, and a cell must pass both: random directions, and differences between groups of the same size drawn at random
from the same samples (permuted labels). p-values are two-sided, of all cells together with false-discovery control; the
largest slope is held against the largest of as many cells by chance.
Interval: Student's t (Wilson for shares).

When it lies: of a linear head every share is 0 or 1, for random directions as well, so shares say nothing there and
the means do; a slope is not the effect of taking the concept away; concepts that go together share their slopes; a
direction is only as good as its few samples; a constant added to all logits is part of a logit's slope.

Cost: one forward pass a sample, one backward pass for half of them, O(n² tokens d + draws n²).

References: B. Kim et al. (2018), "Interpretability beyond feature attribution: quantitative testing with concept
activation vectors (TCAV)".
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtrit

from analysis.activations import ArrayActivations, as_activations
from analysis.attribution import targets
from analysis.attribution.concepts import concepts as concept_kinds
from analysis.attribution.concepts.concept_slopes import (
    along,
    along_groups,
    along_random,
    flattened,
    largest_of_as_many,
    own_slopes,
    sample_rows,
    slope_cells,
)
from analysis.attribution.concepts.concepts import Concepts, feature_concepts, group_concepts, labels_of
from analysis.attribution.explained_samples import explained_samples, refuse_few_samples
from analysis.compute.machine import machine
from analysis.compute.statistics.draw_ends import against_largest
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.nulls import add_one_p, wilson
from analysis.compute.streaming import Pass, finite_blocks
from analysis.errors import NotEnoughData
from analysis.features.readers import AUTOMATIC, PROBE, READERS
from analysis.features.tap_dictionary import tap_dictionary
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

OPENING, FEWEST, OF_A_CLASS, FALSE = 5.0, 16, 3, 0.05
MEAN, SHARE = "mean slope", "share of positive slopes"


@dataclass(frozen=True)
class ConceptSensitivityParams:
    concepts: str = param(concept_kinds.GROUPS, "What the directions are of.", choices=concept_kinds.KINDS)
    shown: str = param(MEAN, "What a cell shows.", choices=(MEAN, SHARE))
    number: str = param(
        targets.LOGIT,
        "Number of the answer whose slopes are taken.",
        label="number explained",
        choices=targets.KINDS,
    )
    column: str | None = param(
        None, "Labels of the groups and of a probe; automatic: 'label', or the answers.", column=True
    )
    most_concepts: int = param(24, "Most concepts.", low=2, high=500)
    answers: int = param(12, "Most answers, the most frequent ones.", low=1, high=200)
    draws: int = param(2000, "Random directions, and random groups.", low=40, high=10_000)
    reader: str = param(AUTOMATIC, "Whose answer.", choices=READERS)
    maximum_samples: int = param(240, "Most samples; a seeded random subset above.", low=16, high=20_000)


def concept_sensitivity(
    activations, params: ConceptSensitivityParams = ConceptSensitivityParams(), rng=None, progress=no_progress
) -> Matrix:
    """Slopes of answers along concepts.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        A tap that a feature set encoded, for its features; any other for groups or units.

    Returns
    -------
    Matrix
        (concepts, answers). Estimates: the largest mean slope and its share of positive ones, how many cells pass.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        Neither a network that can be run nor labels; under sixteen samples; no two groups; no answer of three samples.
    """
    tap, rng, seen = as_activations(activations), rng or np.random.default_rng(0), Pass()
    made = tap_dictionary(tap)
    for _ in finite_blocks(made.source, seen, progress, "reading", (0.0, 0.05), as_stored=True):
        pass
    samples, notes = explained_samples(made.source, params.reader, params.column, params.maximum_samples, rng, progress,
                                       (0.05, 0.1))  # fmt: skip
    refuse_few_samples(tap, samples, FEWEST)
    fit, test = np.split(rng.permutation(len(samples.samples)), [len(samples.samples) // 2])
    fit, test = np.sort(fit), np.sort(test)
    rows, said = sample_rows(samples, fit, progress, (0.1, 0.4))
    slopes, answers = own_slopes(samples, test, params.number, progress, (0.4, 0.9))
    x, g, tokens = flattened(rows, slopes)
    found = _concepts(
        made, params, rows, x, tokens, said, labels_of(made.source, samples.samples[fit], params.column)
    )
    kept = _kept(answers, params.answers)
    cells = slope_cells(along(found.directions, x, g), answers, kept)
    chance = along_random(x, g, params.draws, rng), along_groups(found, x, g, params.draws, rng)
    nulls = [slope_cells(c, answers, kept)[0] for c in chance]
    notes = (*notes, *_without_classes(samples))
    progress(1.0, "done")
    return _matrix(tap, params, samples, found, kept, cells, nulls, rng, (*seen.notes, *notes, *found.notes))


def _without_classes(samples) -> tuple[str, ...]:
    if not samples.number:
        return ()
    return (
        f"{samples.what} has no classes: what stands for an answer is the coordinate of its {samples.number} that is "
        f"largest. For classes ask {PROBE} of a column.",
    )


def _concepts(made, params, rows, x, tokens: int, said, labels) -> Concepts:
    if params.concepts == concept_kinds.GROUPS:
        return group_concepts(x, said if labels is None else labels, params.most_concepts)
    found = feature_concepts(made, np.array([r.mean(axis=0) for r in rows]), params.most_concepts)
    return replace(found, directions=np.tile(found.directions, tokens) / np.sqrt(tokens))


def _kept(answers, most: int) -> np.ndarray:
    """The most frequent answers of at least three samples, in rising order."""
    every, counts = np.unique(answers, return_counts=True)
    best = every[np.argsort(-counts, kind="stable")[:most]]
    kept = np.sort(best[[counts[every == c][0] >= OF_A_CLASS for c in best]])
    if not len(kept):
        raise NotEnoughData(
            f"{len(answers)} samples of {len(every)} answers", f"one of {OF_A_CLASS} samples", "Take more samples"
        )  # fmt: skip
    return kept


def _matrix(tap, params, samples, found: Concepts, kept, cells, nulls, rng, notes) -> Matrix:
    mean, share, error, counts = cells
    p = np.maximum(*(add_one_p(np.abs(mean), np.abs(null)[:, None]) for null in nulls))
    q = benjamini_hochberg(p)
    names = tuple(samples.word(int(c)) for c in kept)
    if params.shown == MEAN:
        half = stdtrit(counts - 1, 0.975) * error
        values, low, high, null = mean, mean - half, mean + half, np.concatenate(nulls)
        band = tuple(np.percentile(null, [2.5, 97.5]).tolist())
        chance = np.broadcast_to(null.mean(axis=0), mean.shape).copy()
    else:
        ends = np.array([[wilson(s * n, int(n)) for s, n in zip(row, counts, strict=True)] for row in share])
        values, low, high = share, np.minimum(ends[..., 0], share), np.maximum(ends[..., 1], share)
        band, chance = (0.0, 1.0), np.full(share.shape, 0.5)
    return Matrix(
        title=f"Answers of {samples.what} along concepts at {tap.name}",
        reading=_reading(found, names, mean, share, q, params), caveats=(*notes, *_caveats(params, counts, samples)),
        estimates=_estimates(found, names, mean, share, error, counts, nulls, q, rng),
        values=values, row_names=found.names, column_names=names, value_name=params.shown, null_band=band,
        significant=q <= FALSE, diverging=params.shown == MEAN, null=chance, low=low, high=high,
        few=np.broadcast_to(counts < 8, mean.shape).copy(), few_means="fewer than 8 samples",
    )  # fmt: skip


def _estimates(found, names, mean, share, error, counts, nulls, q, rng) -> tuple[Estimate, ...]:
    i, j = np.unravel_index(np.abs(mean).argmax(), mean.shape)
    n, d, half = int(counts[j]), found.directions.shape[1], stdtrit(counts[j] - 1, 0.975) * error[i, j]
    words, largest = f"{found.names[i]}, answer {names[j]}", largest_of_as_many(mean, nulls, rng)
    low, high = wilson(share[i, j] * n, n)
    passed, of = int((q <= FALSE).sum()), q.size
    return (
        Estimate(f"largest slope: {words}", float(mean[i, j]), float(mean[i, j] - half), float(mean[i, j] + half),
                 interval="Student's t over samples", **against_largest(mean[i, j], largest), n=n, d=d,
                 null_method=f"largest of {mean.size:,} cells of as many random directions, or random groups where "
                 "these give more", estimator="mean slope per natural standard deviation"),
        Estimate(f"positive slopes: {words}", float(share[i, j]), min(low, float(share[i, j])),
                 max(high, float(share[i, j])), interval="Wilson over samples", null=0.5,
                 null_method="slopes of either sign alike", n=n, d=d),
        Estimate("cells beyond both nulls", passed / of, *wilson(passed, of), interval="Wilson over cells", null=0.0,
                 n=of, d=d, null_method="in 95 % of cases not one passes by chance; of those that pass 5 % are false",
                 estimator="false-discovery rate 5 %"),
    )  # fmt: skip


def _reading(found, names, mean, share, q, params) -> str:
    passed = q <= FALSE
    best = np.argsort(-np.abs(np.where(passed, mean, 0.0)), axis=None)[: min(3, int(passed.sum()))]
    cells = [np.unravel_index(b, mean.shape) for b in best]
    told = "; ".join(
        f"answer {names[j]} along '{found.names[i]}' by {mean[i, j]:+.3g} ({share[i, j]:.0%} of slopes positive)"
        for i, j in cells
    )
    first = f"Most sensitive: {told}. " if told else ""
    return (
        f"{first}{int(passed.sum()):,} of {mean.size:,} cells lie beyond random directions and beyond random groups "
        f"(5 % false discoveries). A slope is of the {params.number}, per natural standard deviation."
    )


def _caveats(params, counts, samples) -> list[str]:
    said = [
        f"Slopes are of {int(counts.sum()):,} samples with the answers shown; concepts are of other samples."
    ]
    if not samples.is_network:
        said.append("Of a linear probe every share is 0 or 1 but for its two halves: read the means.")
    return said


def _cost(shapes, params: ConceptSensitivityParams) -> Cost:
    (n, k), m = shapes[0], machine()
    some = min(n, params.maximum_samples)
    passes, held = 2 * some, 30.0 * some * k + 12.0 * some**2 + 20.0 * params.draws * some
    return Cost(OPENING + m.seconds(flops64=2.0e6 * passes + passes**2 * (k + params.draws), moved=8.0 * n * k)
                + 1e-3 * passes, held, int(passes))  # fmt: skip


def _check() -> tuple[CheckLine, ...]:
    """A probe of two labels that are one unit: the concept of a label raises its answer and lowers the other."""
    rng = np.random.default_rng(0)
    label = np.arange(80) % 2
    x = np.column_stack([4.0 * label + rng.standard_normal(80), rng.standard_normal((80, 5))])
    tap = ArrayActivations(x, name="planted", samples={"label": label})
    found = concept_sensitivity(tap, ConceptSensitivityParams(reader=PROBE, draws=99))
    share = concept_sensitivity(tap, ConceptSensitivityParams(reader=PROBE, draws=40, shown=SHARE))
    return (
        CheckLine("own concept raises the answer", 0.0, float(np.diag(found.values).min()), 0.0, "at least"),
        CheckLine("the other lowers it", 0.0, float(found.values[[0, 1], [1, 0]].max()), 0.0, "at most"),
        CheckLine("all cells pass", 1.0, float(found.significant.all()), 0.0),
        CheckLine("share of a linear head", 1.0, float(np.diag(share.values).min()), 0.0),
    )


METHODS = (
    Method(
        id="concept_sensitivity",
        family="attribution",
        title="Which concepts is each answer sensitive to?",
        summary="Slopes of every answer along groups of samples or features, against random directions and groups.",
        version=2,
        function=concept_sensitivity,
        params=ConceptSensitivityParams,
        result=Matrix,
        check=_check,
        cost=_cost,
        minimum_rows=FEWEST,
        invariance="a shift of the tap; its scale; order of the samples' tokens where the reader is a probe",
        papers=(),
        libraries=("torch",),
    ),
)
