"""The learners of an embedding one by one: what each block of its dimensions finds, and what it adds to those before.

For every block: recall@1 (is the nearest other sample of the same class?), normalised mutual information of k-means
with the classes, and the gain of the first k blocks over the first k - 1. With cosines every block is scaled to length
1 first, so that the cosine of joined blocks is the mean of the blocks' cosines and no learner rules by its length.

Null of recall: a random ranking, exact; of the mutual information: classes moved to other samples. A gain has McNemar's
exact test on the same queries (the first block a normal one against a random ranking), with Benjamini-Hochberg's q over
blocks. A learner that repeats the one before it adds exactly nothing.

When it lies: the gain depends on the order of the blocks; recall@1 saturates where one learner suffices; k-means wants
round clusters of like size; blocks that were found by correlation put what is alike together, so that each adds more
than declared ones would. The queries of a class are not independent, so the tests are hopeful.

Cost: O(n² d) twice, and k-means O(n d k) for each block; memory O(n d).

References: S. Adiga V et al. (2022), "Attention-based dynamic subspace learners for medical image analysis";
A. Sanakoyeu et al. (2019), "Divide and conquer the embedding space for metric learning"; Q. McNemar (1947).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.clusters.coding_rate import unit_rows
from analysis.compute.clusters.kmeans import kmeans
from analysis.compute.machine import machine
from analysis.compute.retrieval.gallery_search import RECALL, Task, chance_alone, scores
from analysis.compute.retrieval.upgrade_report import INTERVAL, with_intervals
from analysis.compute.rows.metric_space import METRICS
from analysis.compute.rows.samples import labelled_matrix
from analysis.compute.similarity.dimension_blocks import DRAWS, MOST_UNITS, Blocks, blocks_of
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.paired_gain import gain_interval, gain_p
from analysis.compute.statistics.partition_agreement import Contingency, mutual_information
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 8
MOVES = 20
LEVEL = 0.05
HELP = {
    "which": "the first units of the block",
    "recall@1": "share of samples whose nearest other sample in this block is of their class",
    "low": "lower end of its 95 % interval",
    "high": "upper end of its 95 % interval",
    "by chance": "recall@1 of a random ranking, exact",
    "NMI": "normalised mutual information of k-means clusters, as many as classes, with the classes",
    "NMI by chance": "the same with the classes moved to other samples",
    "joined recall@1": "recall@1 of this block and all before it together",
    "gain": "what the block adds to the recall@1 of those before it; the first to a random ranking",
    "gain low": "lower end of the 95 % interval of the gain, paired over queries",
    "gain high": "upper end of the 95 % interval of the gain, paired over queries",
    "q_value": "Benjamini-Hochberg q over blocks of McNemar's exact test that the block adds nothing",
}


@dataclass(frozen=True)
class SubEmbeddingParams:
    column: str = param("label", "Sample column with the classes.", column=True)
    blocks: int = param(
        0, "Number of equal blocks of dimensions; 0 finds groups that correlate.", low=0, high=1024
    )
    metric: str = param("cosine", "How the nearest sample is found.", choices=METRICS)
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(3000, "Most samples; a seeded random subset above.", low=50, high=20_000)


def sub_embeddings(
    activations, params: SubEmbeddingParams = SubEmbeddingParams(), rng=None, progress=no_progress
) -> Table:
    """Retrieval and clusters of each block of a tap's dimensions, and what each adds.

    Parameters
    ----------
    activations : Activations with the column of classes

    Returns
    -------
    Table
        A line for each block, in order. Estimates: recall@1 of all blocks, of the best one and of the first, and the
        gain of the last block.

    Raises
    ------
    NotFound
        No such column.
    NotEnoughData
        Fewer than two classes with two samples; fewer than three units that vary, where blocks are to be found.
    ParameterError, TooLarge
        As `blocks_of`.
    """
    tap = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    data = labelled_matrix(
        tap, params.column, params.pooling, minimum=2, maximum_samples=params.maximum_samples, rng=rng,
        progress=progress, span=(0.0, 0.2),
    )  # fmt: skip
    blocks = blocks_of(data.values, params.blocks, rng)
    whole = data.values - data.values.mean(axis=0) if params.metric != "cosine" else data.values
    whole = whole / (np.abs(whole).max() or 1.0)
    points = [
        unit_rows(whole[:, m], False) if params.metric == "cosine" else whole[:, m] for m in blocks.members
    ]
    every = np.arange(len(data.of))
    task = Task(every, every, data.of)
    alone, joined, agreed, moved = [], [], [], []
    for k, x in enumerate(points):
        at = [0.2 + 0.75 * (k + part) / len(points) for part in (0, 0.4, 0.8)]
        alone.append(scores(task, x, x, RECALL, progress, (at[0], at[1])))
        together = np.hstack(points[: k + 1])
        joined.append(
            alone[0] if k == 0 else scores(task, together, together, RECALL, progress, (at[1], at[2]))
        )
        progress(at[2], "clustering")
        codes = kmeans(x, len(data.names), rng).codes
        agreed.append(mutual_information(Contingency.of(codes, data.of)))
        orders = (rng.permutation(data.of) for _ in range(MOVES))
        moved.append(np.mean([mutual_information(Contingency.of(codes, of)) for of in orders]))
    chance = chance_alone(task, RECALL)
    alone, joined = np.array(alone), np.array(joined)
    columns = _columns(blocks, tap.unit_names, alone, joined, (agreed, moved), chance, rng)
    return Table(
        title=f"Learners of {tap.name}", columns=columns, index="block", help=HELP,
        reading=_reading(blocks, columns, chance[0]), caveats=(*blocks.notes, *_caveats(params), *data.notes),
        estimates=_estimates(blocks, alone, joined, columns, chance, tap.shape[1], rng),
    )  # fmt: skip


def _columns(blocks: Blocks, names, alone, joined, clusters, luck, rng) -> dict[str, np.ndarray]:
    chance, deviation = luck
    value, low, high = with_intervals(alone, rng)
    gains, ends = [value[0] - chance], [(low[0] - chance, high[0] - chance)]
    p = [float(ndtr(-gains[0] / deviation)) if deviation > 0 else 1.0]
    for before, after in itertools.pairwise(joined):
        gains.append(float((after - before).mean()))
        ends.append(gain_interval(before, after, rng))
        p.append(gain_p(after - before, rng))
    q = benjamini_hochberg(np.array(p))
    listed = [", ".join(str(names[j]) for j in m[:5]) + (", …" if len(m) > 5 else "") for m in blocks.members]
    return {
        "block": np.array(blocks.names), "recall@1": value, "gain": np.array(gains), "q_value": q,
        "NMI": np.array(clusters[0]), "joined recall@1": joined.mean(axis=1), "low": low, "high": high,
        "by chance": np.full(len(value), chance), "gain low": np.array([e[0] for e in ends]),
        "gain high": np.array([e[1] for e in ends]), "NMI by chance": np.array(clusters[1]),
        "units": np.array([len(m) for m in blocks.members]), "which": np.array(listed),
    }  # fmt: skip


def _estimates(blocks: Blocks, alone, joined, columns, chance, d: int, rng) -> tuple[Estimate, ...]:
    mean, deviation = chance
    made = {"n": alone.shape[1], "estimator": "recall@1, each sample asks all others"}
    by_chance = {
        "null": mean, "null_low": max(mean - 1.96 * deviation, 0.0), "null_high": min(mean + 1.96 * deviation, 1.0),
        "null_method": "random ranking, exact; band as if all nearest pairs were mutual",
        "interval": INTERVAL,
    }  # fmt: skip
    value, low, high = (float(e[0]) for e in with_intervals(joined[-1:], rng))
    out = [Estimate(f"recall@1 of all {len(blocks)} blocks", value, low, high, d=d, **by_chance, **made)]
    for word, k in (("the first block", 0), ("the best block", int(columns["recall@1"].argmax()))):
        out.append(Estimate(
            f"recall@1 of {word}, {blocks.names[k]}", float(columns["recall@1"][k]), float(columns["low"][k]),
            float(columns["high"][k]), d=len(blocks.members[k]), **by_chance, **made,
        ))  # fmt: skip
    out.append(Estimate(
        f"gain of the last block, {blocks.names[-1]}", float(columns["gain"][-1]), float(columns["gain low"][-1]),
        float(columns["gain high"][-1]), interval="paired over queries", null=0.0,
        null_method="a block that adds nothing", d=len(blocks.members[-1]), **made,
    ))  # fmt: skip
    return tuple(out)


def _reading(blocks: Blocks, columns, chance: float) -> str:
    adds = (columns["q_value"] < LEVEL) & (columns["gain"] > 0)
    enough = int(np.flatnonzero(adds).max(initial=-1)) + 1
    best = int(columns["recall@1"].argmax())
    last = f"After the first {enough} no block adds anything beyond chance (q < {LEVEL:g})"
    if enough == len(blocks):
        last = "The last block still adds something"
    return (
        f"All {len(blocks)} blocks together find the class of {columns['joined recall@1'][-1]:.0%} of the samples, the "
        f"best alone ({blocks.names[best]}) of {columns['recall@1'][best]:.0%}, a random ranking of {chance:.0%}. "
        f"{last}."
    )


def _caveats(params: SubEmbeddingParams) -> list[str]:
    notes = ["Tests and intervals take queries as independent, although those of one class go together."]
    if params.metric == "cosine":
        notes.append("Every block is scaled to length 1, sample by sample, before blocks are joined.")
    return notes


def _cost(shapes, params: SubEmbeddingParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n, found = min(rows, params.maximum_samples), params.blocks == 0
    count = params.blocks or 6
    cubes = DRAWS * 3.0 * min(d, MOST_UNITS) ** 3 if found else 0.0
    flops = 2.0 * n * n * d * (1 + count / 2) + cubes + 60.0 * n * d * 20
    moved = 2.0 * count * n * n * 60.0 + 24.0 * rows * d + 500 * 24.0 * n * count
    held = 8.0 * n * d * 5 + (20 << 20) * min(1.0, n * n / (1 << 20)) + (8.0 * d * d * 6 if found else 0.0)
    return Cost(m.seconds(flops64=flops, moved=moved) + 0.1 * count, held)


def _check() -> tuple[CheckLine, ...]:
    """A learner twice: the second adds exactly nothing. One that knows other classes apart adds; noise finds what a
    random ranking finds."""
    rng = np.random.default_rng(5)
    label = np.tile(np.arange(8), 40)
    half, other = np.eye(4)[label % 4] * 4, np.eye(2)[label // 4] * 4
    noise = rng.standard_normal((320, 12))
    one = half + 0.7 * noise[:, :4]
    two = np.hstack([other, other]) + 0.7 * noise[:, 4:8]

    def asked(*blocks) -> dict[str, np.ndarray]:
        tap = ArrayActivations(np.hstack(blocks), samples={"label": label})
        return sub_embeddings(tap, params=SubEmbeddingParams(blocks=len(blocks))).columns

    twice, both, lost = asked(one, one), asked(one, two), asked(one, noise[:, 8:])
    return (
        CheckLine("a learner twice: gain of the second", 0.0, float(twice["gain"][1]), 0.0),
        CheckLine("half of the classes known: recall@1 about", 0.5, float(both["recall@1"][0]), 0.12),
        CheckLine("the other half known too: gain", 0.3, float(both["gain"][1]), 0.0, "at least"),
        CheckLine("noise: recall@1 less chance", 0.0, float(lost["recall@1"][1] - lost["by chance"][1]), 0.06),
        CheckLine("noise: NMI less chance", 0.0, float(lost["NMI"][1] - lost["NMI by chance"][1]), 0.05),
    )  # fmt: skip


METHODS = (
    Method(
        id="sub_embeddings", family="similarity", title="Sub-embeddings", version=1, function=sub_embeddings,
        summary="What each learner of an embedding, or block of its dimensions, finds, and what it adds to the others.",
        params=SubEmbeddingParams, result=Table, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="rotating or scaling inside a declared block changes nothing; mixing blocks does",
        papers=(
            "Attention-based Dynamic Subspace Learners for Medical Image Analysis",
            "Attention-based Dynamic Subspace Learners (medical)",
        ),
        libraries=("scikit-learn",),
    ),
)  # fmt: skip
