"""Mutual nearest neighbours: do two representations put the same samples next to each other? Taps x taps.

The share of a sample's k nearest neighbours in one tap that are among its k nearest in the other, averaged over
samples: 1 when all neighbourhoods are the same, k / (n - 1) when they have nothing in common. Only who is near counts,
not how far the others are, so that two networks agree on it which differ in everything global.

Null: samples exchanged between the two taps; mean k / (n - 1) and deviation exact for any two neighbour graphs
(`compute.statistics.directed_exchange`), and a bound of the chance (Cantelli) that assumes nothing.

When it lies: the value depends on k and n (compare with the null, and only values of one k and n); samples that are
equal, or nearly, are each other's neighbours in every network; hubs, which are near to everything, are shared by chance
(the deviation knows them); few classes are enough for a high value when k is below the size of a class.

Cost: for a tap O(n² d) for its neighbours (kept, and used by the maps too); for a pair O(n k log(n k)).

References: M. Huh, B. Cheung, T. Wang & P. Isola (2024), "The platonic representation hypothesis"; N. Mantel (1967);
F. Cantelli (1928).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.neighbours.neighbours import search_bytes
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.similarity.neighbour_overlap import neighbourhood, overlap
from analysis.compute.similarity.similarity_grid import ALL, ARRANGEMENTS, arranged, compared, groups_of
from analysis.compute.similarity.similarity_report import Words, similarity_matrix
from analysis.results import Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 5


@dataclass(frozen=True)
class MutualNeighboursParams:
    k: int = param(10, "Neighbours of each sample.", low=1, high=1000)
    metric: str = param(
        "cosine", "How near two samples are: cosine ignores the length of an activation, Euclidean a common shift.",
        choices=("cosine", "euclidean"),
    )  # fmt: skip
    arrangement: str = param(ALL, "Which taps are rows and columns.", choices=ARRANGEMENTS)
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(10_000, "Most samples; a seeded random subset above.", low=50, high=200_000)


def mutual_neighbours(
    *taps, params: MutualNeighboursParams = MutualNeighboursParams(), rng=None, progress=no_progress
) -> Matrix:
    """Overlap of the k nearest neighbours of two or more taps.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units), of the same samples (matched by id), any numbers of units.

    Returns
    -------
    Matrix
        `values` (k, k), symmetric, 1 on the diagonal, or the first network's taps by the others'; `null`, `low` and
        `high` of each cell; `few` where the k neighbours are more than 3 in 10 of all samples.

    Raises
    ------
    ParameterError, InputError, NotEnoughData, TooLarge
        Fewer than two taps; an id twice; equal samples; fewer than k + 2 common samples; over 4 GiB.
    """
    taps = [as_activations(t) for t in taps]
    rng = rng or np.random.default_rng(0)
    names = [t.name for t in taps]
    rows, columns = arranged(names, params.arrangement)
    data = common_samples(
        taps, rng, maximum=params.maximum_samples, minimum=FEWEST, pooling=params.pooling, progress=progress
    )
    group, found = groups_of(len(data.ids), rng), []
    for i, x in enumerate(data.values):
        span = (0.3 + 0.5 * i / len(taps), 0.3 + 0.5 * (i + 1) / len(taps))
        found.append(neighbourhood(x, params.k, params.metric, group, progress, span))
    grid = compared(
        found, overlap, rows, columns, n=len(group), units=[x.shape[1] for x in data.values], progress=progress,
        span=(0.8, 1.0),
    )  # fmt: skip
    words = Words(
        f"mutual {params.k}-neighbour overlap", f"mutual neighbours, k = {params.k}, {params.metric}",
        "samples exchanged, exact moments; p by Cantelli's bound", bounds=(0.0, 1.0),
    )  # fmt: skip
    notes = [f"{name}: {note}" for name, near in zip(names, found, strict=True) for note in near.notes]
    notes.append(f"The value depends on k = {params.k} and on the {len(group):,} samples.")
    return similarity_matrix(grid, words, names, [*notes, *data.notes])


def _cost(shapes, params: MutualNeighboursParams) -> Cost:
    m, n, k = machine(), min(min(rows for rows, _ in shapes), params.maximum_samples), len(shapes)
    whole, length = sum(units for _, units in shapes), 2 * params.k + 10
    widest = max(units for _, units in shapes)
    flops32 = 2.0 * n * n * whole + 12.0 * n * n * k
    moved = 8.0 * n * whole * 20 + 8.0 * n * length * k * 150 + 11 * 8.0 * n * params.k * k * (k - 1) / 2 * 60
    held = 8.0 * n * whole + k * (88.0 * n * params.k + 12.0 * n * length)
    return Cost(
        m.seconds(flops32=flops32, moved=moved) + 0.02,
        held + search_bytes(n, widest, length) + 8.0 * n * (widest + 4 * length),
    )


def _check() -> tuple[CheckLine, ...]:
    """A rotated and scaled copy: 1. Unrelated: k / (n - 1). Half of the neighbours: each sample has a twin of its own
    and one that the other side exchanged."""
    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((2, 400, 20))
    q = np.linalg.qr(rng.standard_normal((20, 20)))[0]

    def value(a, b, **more) -> float:
        return float(mutual_neighbours(a, b, params=MutualNeighboursParams(**more)).values[0, 1])

    one = mutual_neighbours(x, y).estimates[0]
    triples = np.repeat(rng.standard_normal((100, 20)), 3, axis=0) + 1e-3 * rng.standard_normal((300, 20))
    moved = triples.copy()
    moved[2::3] = np.roll(triples[2::3], 1, axis=0)
    return (
        CheckLine("rotated and scaled: overlap", 1.0, value(x, 3 * x @ q), 0.0),
        CheckLine("rotated, scaled and shifted, Euclidean", 1.0, value(x, 3 * x @ q - 5, metric="euclidean"), 0.0),
        CheckLine("unrelated: k / (n - 1)", 10 / 399, one.value, 4 * (one.null_high - one.null) / 1.96),
        CheckLine("its null", 10 / 399, one.null, 1e-12),
        CheckLine("triples that lost one of three: one of two neighbours in 2 of 3 samples", 1 / 3,
                  value(triples, moved, k=2), 0.0),
    )  # fmt: skip


METHODS = (
    Method(
        id="mutual_neighbours", family="similarity", title="Mutual nearest neighbours", version=2,
        function=mutual_neighbours,
        summary="Whether two or more layers or networks put the same samples next to each other.",
        params=MutualNeighboursParams, result=Matrix, check=_check, cost=_cost, inputs=2, more_inputs=True,
        minimum_rows=FEWEST,
        invariance="rotating or scaling a side; cosine also the length of each sample's activation, Euclidean also a "
        "common shift",
        papers=("UniFork: Exploring Modality Alignment for Unified Multimodal Understanding and Generation",),
    ),
)  # fmt: skip
