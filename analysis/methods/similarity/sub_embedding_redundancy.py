"""Do the learners of an embedding say the same? CKA of every two blocks of its dimensions.

Blocks are declared (so many equal ones, in order) or found: groups of dimensions that correlate, by average linkage on
1 - |r|, cut where the silhouette is largest. The similarity of two blocks is unbiased linear CKA over samples: 1 for a
block and its rotation, 0 on average for unrelated ones.

Null: samples exchanged between the two sides, mean 0 and deviation sqrt(2 / (n (n - 3))) exactly; a pair counts as
redundant where Cantelli's bound passes Benjamini-Hochberg at 5 %.

When it lies: blocks that were found by correlation are less alike than declared ones, because that is how they were
cut; learners that all tell the same classes apart are alike for that; CKA sees directions of large variance, and a
learner that adds a small one looks redundant.

Cost: O(n d²); where blocks are to be found O(d³) for each of 20 null draws. Memory O(n d + d²).

References: S. Kornblith et al. (2019), "Similarity of neural network representations revisited"; S. Adiga V et al.
(2022), "Attention-based dynamic subspace learners for medical image analysis".
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.rows.random_part import random_part
from analysis.compute.rows.samples import pooled_samples
from analysis.compute.similarity.cka_grid import linear_grid
from analysis.compute.similarity.dimension_blocks import DRAWS, MOST_UNITS, blocks_of
from analysis.compute.similarity.hsic import FEWEST, null_deviation
from analysis.compute.similarity.similarity_report import Words, similarity_matrix
from analysis.errors import NotEnoughData
from analysis.results import Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param


@dataclass(frozen=True)
class RedundancyParams:
    blocks: int = param(
        0, "Number of equal blocks of dimensions; 0 finds groups that correlate.", low=0, high=1024
    )
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(10_000, "Most samples; a seeded random subset above.", low=50, high=200_000)


def sub_embedding_redundancy(
    activations, params: RedundancyParams = RedundancyParams(), rng=None, progress=no_progress
) -> Matrix:
    """CKA of the blocks of one tap.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Matrix
        `values` (k, k), symmetric, 1 on the diagonal; `null`, `low`, `high`, `significant` and `few` of each cell.

    Raises
    ------
    ParameterError
        A number of blocks that does not divide the units.
    NotEnoughData, TooLarge
        Fewer than four finite samples; fewer than three units that vary, or too many, where blocks are to be found.
    """
    tap = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    chosen, notes = random_part(tap.layout.n_samples, params.maximum_samples, rng)
    x, _, read = pooled_samples(tap, params.pooling, chosen, progress, (0.0, 0.3))
    if len(x) < FEWEST:
        raise NotEnoughData(
            f"{tap.name} has {len(x)} finite sample(s)", f"at least {FEWEST}", "Record more samples"
        )
    progress(0.3, "cutting dimensions into blocks")
    blocks = blocks_of(x, params.blocks, rng)
    every = np.arange(len(blocks))
    grid, lengths = linear_grid([x[:, m] for m in blocks.members], every, every, rng, progress=progress)
    silent = [
        f"{name}: all samples are equally far from each other, so nothing can be like it (CKA 0)."
        for name, length in zip(blocks.names, lengths, strict=True)
        if length <= 0
    ]
    words = Words(
        "CKA", "linear CKA, unbiased (U-statistic)", "samples exchanged, exact moments; p by Cantelli's bound"
    )
    found = similarity_matrix(grid, words, blocks.names, (*silent, *blocks.notes, *notes, *read))
    reading = found.reading.replace("Two taps have", "Two blocks have")
    return replace(found, title=f"CKA of {len(blocks)} blocks of {tap.name}", reading=reading)


def _cost(shapes, params: RedundancyParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n, found = min(rows, params.maximum_samples), params.blocks == 0
    cubes = DRAWS * 3.0 * min(d, MOST_UNITS) ** 3 if found else 0.0
    flops = 2.0 * n * d * d * (2 if found else 1) + cubes
    held = 8.0 * n * d * 3.2 + (8.0 * d * d * 6 if found else 0.0) + (2 << 20)
    return Cost(m.seconds(flops64=flops, moved=24.0 * rows * d + DRAWS * 400.0 * d * d * found) + 0.05, held)


def _check() -> tuple[CheckLine, ...]:
    """A learner and its rotated twin: 1; unrelated ones: 0. Groups of dimensions that share a factor each are found."""
    rng = np.random.default_rng(4)
    n = 400
    one, other = rng.standard_normal((2, n, 6))
    twin = one @ np.linalg.qr(rng.standard_normal((6, 6)))[0]
    declared = sub_embedding_redundancy(
        ArrayActivations(np.hstack([one, twin, other])), params=RedundancyParams(blocks=3)
    )
    factors = rng.standard_normal((n, 3)).repeat([7, 5, 4], axis=1)
    mixed = rng.permutation(16)
    found = sub_embedding_redundancy(
        ArrayActivations((factors + 0.5 * rng.standard_normal((n, 16)))[:, mixed])
    )
    return (
        CheckLine("a learner and its rotated twin: CKA", 1.0, float(declared.values[0, 1]), 1e-10),
        CheckLine("unrelated learners: CKA", 0.0, float(declared.values[0, 2]), 4 * null_deviation(n)),
        CheckLine("marked as redundant: pairs", 1.0, float(np.triu(declared.significant, 1).sum()), 0.0),
        CheckLine("groups found among 16 mixed dimensions", 3.0, float(len(found.row_names)), 0.0),
        CheckLine("dimensions of the largest group", 7.0, float(found.row_names[0].split("(")[1].rstrip(")")), 0.0),
    )  # fmt: skip


METHODS = (
    Method(
        id="sub_embedding_redundancy", family="similarity", title="Redundancy of sub-embeddings", version=2,
        function=sub_embedding_redundancy,
        summary="Whether the learners of an embedding, blocks of its dimensions, say the same of the samples.",
        params=RedundancyParams, result=Matrix, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="rotating, scaling or shifting inside a declared block changes nothing; mixing blocks does",
        papers=(
            "Attention-based Dynamic Subspace Learners for Medical Image Analysis",
            "Attention-based Dynamic Subspace Learners (medical)",
        ),
    ),
)  # fmt: skip
