"""Which learner of an embedding knows what: how well every known attribute of the samples can be read from every block
of its dimensions.

A cell is the chance that a held-out ridge probe on the block's dimensions orders two samples right: the AUC of each
class against the rest, averaged over classes, or for a number the share of pairs in the right order. 1/2 without any
relation, 1 where the attribute is linearly there.

Null: the attribute moved to other samples and fitted again; a cell is marked where its p (Student's t from the mean and
deviation of the moved ones) passes Benjamini-Hochberg at 5 % over all cells. Intervals leave groups of samples out of
the held-out predictions (jackknife).

When it lies: attributes that go together light up together; a larger block has more to read from; what a block does
not show linearly may be there otherwise; blocks that were found by correlation are made to differ.

Cost: O(folds n d min(n, d) + draws n (d + ln n) k) for k targets; memory O(n d) and the moved targets.

References: S. Adiga V et al. (2022), "Attention-based dynamic subspace learners for medical image analysis"; J. Hanley
& B. McNeil (1982).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.linear.cross_fitting import folds_of
from analysis.compute.machine import machine
from analysis.compute.rows.known_factors import Factor, factors_of
from analysis.compute.rows.random_part import random_part
from analysis.compute.rows.samples import pooled_samples
from analysis.compute.similarity.attribute_auc import AttributeAuc, attribute_aucs
from analysis.compute.similarity.dimension_blocks import DRAWS, MOST_UNITS, Blocks, blocks_of
from analysis.compute.similarity.similarity_grid import groups_of
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.errors import NotEnoughData
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 20  # samples
FOLDS, LEVEL, SHOWN = 5, 0.05, 6


@dataclass(frozen=True)
class AttributeParams:
    blocks: int = param(
        0, "Number of equal blocks of dimensions; 0 finds groups that correlate.", low=0, high=1024
    )
    columns: str = param(
        "", "Sample columns that are attributes, with commas between; empty: all that can be."
    )
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    draws: int = param(30, "Times that an attribute is moved to other samples.", low=20, high=1000)
    maximum_samples: int = param(2000, "Most samples; a seeded random subset above.", low=50, high=20_000)


def sub_embedding_attributes(
    activations, params: AttributeParams = AttributeParams(), rng=None, progress=no_progress
) -> Matrix:
    """Blocks of one tap by known attributes of its samples.

    Parameters
    ----------
    activations : Activations with sample columns

    Returns
    -------
    Matrix
        `values` (blocks, attributes) in [0, 1]; `null`, `low` and `high` of each cell; `significant`. Estimates: the
        best block of each of the first attributes.

    Raises
    ------
    NotFound
        No such column, or none that is an attribute.
    ParameterError, NotEnoughData, TooLarge
        As `blocks_of`; fewer than 20 finite samples.
    """
    tap = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    chosen, notes = random_part(tap.layout.n_samples, params.maximum_samples, rng)
    x, kept, read = pooled_samples(tap, params.pooling, chosen, progress, (0.0, 0.2))
    if len(x) < FEWEST:
        raise NotEnoughData(
            f"{tap.name} has {len(x)} finite sample(s)", f"at least {FEWEST}", "Record more samples"
        )
    ids = np.asarray(tap.samples["id"]).astype(str)[chosen[kept]]
    factors, said = factors_of([tap], ids, params.columns)
    progress(0.2, "cutting dimensions into blocks")
    blocks = blocks_of(x, params.blocks, rng)
    fold, group = folds_of(np.zeros(len(x)), FOLDS, rng), groups_of(len(x), rng)
    moves = np.array([rng.permutation(len(x)) for _ in range(params.draws)])
    found: list[list[AttributeAuc]] = []
    for i, members in enumerate(blocks.members):
        ends = tuple(0.25 + 0.75 * (i + j) / len(blocks) for j in (0, 1))
        found.append(attribute_aucs(_scaled(x[:, members]), factors, fold, group, moves, progress, ends))
    values, low, high, null, p = (
        np.array([[getattr(cell, field) for cell in line] for line in found])
        for field in ("value", "low", "high", "null", "p")
    )
    significant = (benjamini_hochberg(p) < LEVEL) & (values > 0.5)
    best = values.argmax(axis=0)
    return Matrix(
        title=f"What the learners of {tap.name} know", reading=_reading(blocks, factors, values, significant, best),
        caveats=(*blocks.notes, *_caveats(params), *said, *notes, *read),
        estimates=_estimates(blocks, factors, found, best, params), values=values, row_names=blocks.names,
        column_names=tuple(f.name for f in factors), value_name="share of pairs ordered right (AUC)",
        significant=significant, limits=(0.5, 1.0), null=null, low=low, high=high,
    )  # fmt: skip


def _scaled(x: np.ndarray) -> np.ndarray:
    x = x - x.mean(axis=0)
    largest = np.abs(x).max()
    return x / largest if largest > 0 else x


def _estimates(blocks: Blocks, factors: list[Factor], found, best, params) -> tuple[Estimate, ...]:
    out = []
    for j in range(min(len(factors), SHOWN)):
        cell = found[best[j]][j]
        out.append(Estimate(
            f"{factors[j].name} in {blocks.names[best[j]]}, the best of {len(blocks)}", cell.value, cell.low, cell.high,
            interval="jackknife over groups of samples, t", null=cell.null,
            null_method=f"attribute moved to other samples, {params.draws} times",
            p_value=min(1.0, len(blocks) * cell.p), n=int(factors[j].known.sum()), d=len(blocks.members[best[j]]),
            estimator="held-out ridge, pairs ordered right" + ("" if factors[j].is_number else ", mean over classes"),
        ))  # fmt: skip
    return tuple(out)


def _reading(blocks: Blocks, factors: list[Factor], values, significant, best) -> str:
    parts = [
        f"{f.name} best in {blocks.names[b]} ({values[b, j]:.2f})"
        if significant[b, j]
        else f"{f.name} in none"
        for j, (f, b) in enumerate(zip(factors, best, strict=True))
    ][:SHOWN]
    return f"{int(significant.sum())} of {values.size} cells are beyond chance; {'; '.join(parts)}."


def _caveats(params: AttributeParams) -> list[str]:
    return [
        "The best block of an attribute was chosen for being the best: its p counts all blocks, its interval does not."
    ]


def _cost(shapes, params: AttributeParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n, found = min(rows, params.maximum_samples), params.blocks == 0
    targets = 8.0 * (params.draws + 1)  # how many attributes there are is not known beforehand
    cubes = DRAWS * 3.0 * min(d, MOST_UNITS) ** 3 if found else 0.0
    flops = FOLDS * (4.0 * n * d * min(n, d) + 6.0 * n * d * targets) + cubes
    count = params.blocks or 8
    held = 8.0 * n * d * 4 + 8.0 * n * 10 * params.draws * 2.0 + (8.0 * d * d * 6 if found else 0.0)
    return Cost(m.seconds(flops64=flops, moved=24.0 * rows * d + count * targets * n * 300.0) + 0.1, held)


def _check() -> tuple[CheckLine, ...]:
    """An attribute in each block: each is told by its own block and by no other. A number that a unit follows with
    correlation r: a share of 1/2 + arcsin(r) / π of the pairs."""
    rng = np.random.default_rng(6)
    n = 500
    one, two, number = rng.integers(2, size=n), rng.integers(3, size=n), rng.standard_normal(n)
    x = rng.standard_normal((n, 12))
    x[:, 0:2] += 3 * np.eye(2)[one]
    x[:, 4:7] += 3 * np.eye(3)[two]
    x[:, 8] += 3 * number
    samples = {"one": one, "two": two, "number": number}
    found = sub_embedding_attributes(ArrayActivations(x, samples=samples), params=AttributeParams(blocks=3))
    order = [list(found.column_names).index(k) for k in samples]
    values, marked = found.values[:, order], found.significant[:, order]
    apart = ~np.eye(3, dtype=bool)
    return (
        CheckLine("classes in their own blocks: least AUC", 0.9, float(np.diag(values)[:2].min()), 0.0, "at least"),
        CheckLine("a number in its own block", 0.5 + float(np.arcsin(0.9**0.5)) / np.pi, float(values[2, 2]), 0.02),
        CheckLine("own attributes marked", 3.0, float(np.diag(marked).sum()), 0.0),
        CheckLine("attributes of other blocks marked", 0.0, float(marked[apart].sum()), 0.0),
        CheckLine("attributes of other blocks: farthest from 1/2", 0.0, float(np.abs(values[apart] - 0.5).max()), 0.1),
    )  # fmt: skip


METHODS = (
    Method(
        id="sub_embedding_attributes", family="similarity", title="Attributes of sub-embeddings", version=1,
        function=sub_embedding_attributes,
        summary="Which learner of an embedding, or block of its dimensions, knows which attribute of the samples.",
        params=AttributeParams, result=Matrix, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="rotating, scaling or shifting inside a declared block changes nothing; mixing blocks does",
        papers=("Attention-based Dynamic Subspace Learners for Medical Image Analysis",),
    ),
)  # fmt: skip
