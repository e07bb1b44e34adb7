"""Task similarity: which of several source models is closest to a target task, before any of them is trained on it?

All sources (taps) saw the same target samples, whose labels are known. A line for each source:

- *distances, labels*: Spearman's correlation of its pairwise distances with those of the labels (0 in a class, 1
  between); *CKA, labels*: unbiased linear CKA with class membership;
- *evidence*: log-likelihood of a label from the k nearest neighbours above its mean when labels are exchanged, in nats
  (like LEEP with samples for source classes: `compute.linear.label_evidence`);
- *distances* and *CKA, reference*: the same with the first source;
- *probe accuracy*: a ridge classifier on samples that it did not see (five folds), to hold the others against;
- *weight*: the correlation of distances, its positive part to the given power, as a share of all; *stacked weight*: the
  mixture of the held-out probes with the least squared error.

Null: samples (labels) exchanged. 0 exactly for distances and CKA with exact deviations, exact mean for the evidence; p
is Cantelli's bound for the correlation of distances, false-discovery rate over sources. Chance of the probe: the
largest class.

When it lies: the correlation of distances cannot reach 1 unless distances are tied (with a share f of all pairs inside
a class it is √(3 f (1 - f)) when all classes are wholly apart); classes that are clouds of several parts count as
unlike though a probe tells them apart; distances and CKA follow the directions of large variance; accuracies of a few
samples differ by luck (see the interval); among sources that are nearly the same, stacked weights are arbitrary.

Cost: for a source O(n² d) for distances and neighbours, and five singular value decompositions.

References: K. Borup, C. Phoo & B. Hariharan (2023), "Distilling from similar tasks for transfer learning on a budget";
D. Bolya, R. Mittapalli & J. Hoffman (2021), "Scalable diverse model selection for accessible transfer learning"; C.
Nguyen et al. (2020), "LEEP: a new measure to evaluate transferability of learned representations"; L. Breiman (1996).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations, ArrayActivations, as_activations, sample_column
from analysis.compute.linear.cross_fitting import folds_of
from analysis.compute.linear.cross_prediction import predictor, reduced
from analysis.compute.linear.label_evidence import exchanged_mean, held_out_classes, log_likelihoods, mixture
from analysis.compute.machine import machine
from analysis.compute.neighbours.neighbour_graph import neighbour_graph
from analysis.compute.rows.class_codes import ClassCodes, class_codes
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.similarity.dissimilarity import (
    EUCLIDEAN,
    KINDS,
    dissimilarities,
    label_dissimilarities,
    pair_count,
)
from analysis.compute.similarity.dissimilarity_agreement import (
    SPEARMAN,
    Vectors,
    bytes_needed,
    chance_moments,
    refuse_large,
)
from analysis.compute.similarity.hsic import Side, alignment, inner, null_deviation, side_of
from analysis.compute.similarity.similarity_grid import groups_of
from analysis.compute.similarity.task_report import HELP, TaskScores, task_estimates, task_reading
from analysis.errors import InputError
from analysis.results import Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, FOLDS, FEWEST_OF_CLASS = 10, 5, 5


@dataclass(frozen=True)
class TaskSimilarityParams:
    column: str = param("label", "The column with the target task's classes.", column=True)
    distance: str = param(EUCLIDEAN, "How far two samples lie from each other in a source.", choices=KINDS)
    k: int = param(10, "Neighbours of a sample, for the evidence.", low=1, high=1000)
    power: float = param(
        1.0, "Power of the similarity in the weights: 0 all alike, large the best alone.", low=0.0, high=100.0
    )
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(
        2000,
        "Most samples; a seeded random subset above (memory grows with its square).",
        low=50,
        high=10_000,
    )


def task_similarity(
    *sources, params: TaskSimilarityParams = TaskSimilarityParams(), rng=None, progress=no_progress
) -> Table:
    """Ranking of sources by how close they are to the labels.

    Parameters
    ----------
    *sources : Activations (rows, units), one or more, of the same samples (matched by id); the first has the labels
        and is the reference.

    Returns
    -------
    Table
        A line for each source (see `HELP`), sorted by the correlation of its distances with the labels'.

    Raises
    ------
    NotFound
        No such column.
    InputError, NotEnoughData, TooLarge
        An id twice; equal samples; fewer than two classes with five samples; over 4 GiB.
    """
    taps = [as_activations(t) for t in sources]
    rng = rng or np.random.default_rng(0)
    labels = sample_column(taps[0], params.column)
    data = common_samples(  # a single source is matched with itself
        taps if len(taps) > 1 else taps * 2, rng, maximum=params.maximum_samples, minimum=FEWEST,
        pooling=params.pooling, progress=progress,
    )  # fmt: skip
    classes = class_codes(labels[_places(taps[0], data.ids)], params.column, FEWEST_OF_CLASS)
    values = [x[classes.stay] for x in data.values[: len(taps)]]
    scores = _scores(values, classes, params, rng, progress)
    names = [t.name for t in taps]
    return Table(
        title=f"Similarity of {len(taps)} source(s) to '{params.column}'", reading=task_reading(scores, names, classes),
        caveats=(*classes.notes, *data.notes, *_caveats(params, values)),
        estimates=task_estimates(scores, names, max(x.shape[1] for x in values), params.distance),
        columns=scores.columns(names, params.power), index="source", sort="distances, labels", help=HELP,
    )  # fmt: skip


def _places(tap: Activations, ids: np.ndarray) -> np.ndarray:
    """Where the samples `ids` (n,) are in a tap."""
    every = np.asarray(tap.samples["id"]).astype(str)
    by_id = np.argsort(every)
    kinds = np.unique(every)
    if len(kinds) < len(every):
        raise InputError(
            f"{tap.name} has {len(every)} samples under {len(kinds)} ids", "an id of its own for each sample",
            "Record again with unique ids",
        )  # fmt: skip
    return by_id[np.searchsorted(every, ids, sorter=by_id)]


def _scores(values, classes: ClassCodes, params: TaskSimilarityParams, rng, progress) -> TaskScores:
    n, k, member = len(classes.codes), len(values), classes.one_hot()
    group = groups_of(n, rng)
    distances = _distances(values, classes, group, params.distance, progress)
    sides = [side_of(x, group) for x in (*values, member)]
    cka = np.array([_cka(side, sides[-1]) for side in sides[:-1]]).T
    near = [1.0 if a == 0 else float(_cka(side, sides[0])[0]) for a, side in enumerate(sides[:-1])]
    fold, logs, probes = folds_of(classes.codes, FOLDS, rng), [], []
    for i, x in enumerate(values):
        span = (0.7 + 0.3 * i / k, 0.7 + 0.3 * (i + 0.5) / k)
        graph = neighbour_graph(x, min(params.k, n - 1), "euclidean", progress=progress, span=span)
        logs.append(log_likelihoods(graph.indices, classes.codes))
        progress(span[1], "probing")
        probes.append(held_out_classes(predictor(reduced(x), fold), member))
    evidence = _means(np.array(logs).T, group) - exchanged_mean(classes.codes, min(params.k, n - 1))
    right = np.array([p.argmax(axis=1) == classes.codes for p in probes]).T
    return TaskScores(
        distances[0], distances[1], cka, null_deviation(n), evidence, distances[2], np.array(near), right,
        mixture(probes, member), float(classes.counts.max() / n),
    )  # fmt: skip


def _distances(values, classes: ClassCodes, group, distance: str, progress):
    """Agreement with the labels (1 + G, k), its deviations (k,), and agreement with the first source (k,)."""
    k, found = len(values), []
    refuse_large(k + 1, len(group), SPEARMAN)
    for i, x in enumerate(values):
        progress(0.3 + 0.2 * i / k, "measuring distances")
        found.append(dissimilarities(x, distance)[0])
    vectors = Vectors([*found, label_dissimilarities(classes.codes)], group, SPEARMAN)
    del found
    products = vectors.products(progress, (0.5, 0.7))
    spreads = vectors.spreads()
    deviation = np.array([chance_moments(s, spreads[-1], SPEARMAN)[1] for s in spreads[:-1]])
    return products[:, :k, k], deviation, np.append(1.0, products[0, 1:k, 0])


def _cka(one: Side, other: Side) -> np.ndarray:
    return alignment(inner(one, other).unbiased, one.own.unbiased, other.own.unbiased)


def _means(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Means (1 + G, k) of `values` (n, k), of all samples and without each group."""
    sums = np.array([values[group == g].sum(axis=0) for g in range(group.max() + 1)])
    left = len(group) - np.bincount(group)
    return np.vstack([values.mean(axis=0), (sums.sum(axis=0) - sums) / left[:, None]])


def _caveats(params: TaskSimilarityParams, values) -> list[str]:
    notes = ["Distances and CKA follow the directions of large variance."]
    if len(values) > 1:
        notes.append("Sources that are nearly the same share a stacked weight arbitrarily.")
        notes.append("The numbers given apart are of the source that came out closest, so a little too good.")
    if params.distance != EUCLIDEAN:
        notes.append(
            f"{params.distance.capitalize()} distances depend on the mean activation, which is kept."
        )
    return notes


def _cost(shapes, params: TaskSimilarityParams) -> Cost:
    m, n, k = machine(), min(min(rows for rows, _ in shapes), params.maximum_samples), len(shapes)
    d = [units for _, units in shapes]
    flops = (
        6.0 * n * n * sum(d) + sum(12.0 * FOLDS * n * a * min(n, a) for a in d) + 22.0 * k * k * pair_count(n)
    )
    moved = 8.0 * pair_count(n) * (k + 1) * 700 + 8.0 * n * sum(d) * 30
    held = 8.0 * n * sum(d) * 3 + bytes_needed(k + 1, n, SPEARMAN)
    return Cost(m.seconds(flops64=flops, moved=moved) + 0.02, held)


def _check() -> tuple[CheckLine, ...]:
    """A source that is the classes, one that is them turned, one that knows half of them, and noise."""
    rng = np.random.default_rng(5)
    of = rng.integers(4, size=400)
    centres = np.linalg.qr(rng.standard_normal((8, 8)))[0][of]
    noise = rng.standard_normal((400, 8))
    sources = [centres, centres @ np.linalg.qr(rng.standard_normal((8, 8)))[0], centres + 0.5 * noise, noise]
    taps = [ArrayActivations(x, name=f"s{i}", samples={"label": of}) for i, x in enumerate(sources)]
    found = task_similarity(*taps)
    at = {str(name): i for i, name in enumerate(found.columns["source"])}

    def value(source: int, column: str) -> float:
        return float(found.columns[column][at[f"s{source}"]])

    shares = np.bincount(of) / 400
    best = float(np.log((10 + shares[of]) / 11).mean()) - exchanged_mean(of, 10)
    return (
        CheckLine("the classes: distances", 1.0, value(0, "distances, labels"), 1e-9),
        CheckLine("the classes: CKA", 1.0, value(0, "CKA, labels"), 0.01),
        CheckLine("the classes: evidence, closed form", best, value(0, "evidence"), 1e-9),
        CheckLine("the classes: probe", 1.0, value(0, "probe accuracy"), 0.0),
        CheckLine("turned: distances, reference", 1.0, value(1, "distances, reference"), 1e-9),
        CheckLine("turned: CKA, reference", 1.0, value(1, "CKA, reference"), 1e-9),
        CheckLine("noise: distances", 0.0, value(3, "distances, labels"), 0.02),
        CheckLine("noise: CKA", 0.0, value(3, "CKA, labels"), 4 * null_deviation(400)),
        CheckLine("noise: evidence", 0.0, value(3, "evidence"), 0.06),
        CheckLine("noise: stacked weight", 0.0, value(3, "stacked weight"), 0.01),
    )  # fmt: skip


METHODS = (
    Method(
        id="task_similarity", family="similarity", title="Task similarity", version=1, function=task_similarity,
        summary="Which of several source models is closest to a target task, by its labels.",
        params=TaskSimilarityParams, result=Table, check=_check, cost=_cost, more_inputs=True, minimum_rows=FEWEST,
        invariance="rotating, scaling or shifting a source (with Euclidean distances)",
        papers=("Distilling from Similar Tasks for Transfer Learning on a Budget",),
    ),
)  # fmt: skip
