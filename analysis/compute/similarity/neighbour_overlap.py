"""Mutual nearest neighbours: which share of a sample's k nearest neighbours in one representation is among those in
another, on all samples and without each group of samples.

Without a group the k nearest of the samples that stay are the first k of a longer list: lists are made long enough
that none runs short. The overlap is Σ_ij A_ij B_ij / (n k) of two directed graphs, so that its mean k / (n - 1) and its
variance when samples are exchanged are exact (`directed_exchange`).

Reference: M. Huh, B. Cheung, T. Wang & P. Isola (2024), "The platonic representation hypothesis".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.neighbours.neighbour_graph import neighbour_graph
from analysis.compute.similarity.similarity_grid import Pair
from analysis.compute.statistics.directed_exchange import FEWEST, Arrows, arrow_moments
from analysis.errors import NotEnoughData
from analysis.spec import Progress, no_progress

CROWDED = 0.3  # share of all samples that are neighbours from which on samples are too few


@dataclass(frozen=True)
class Neighbourhood:
    """One representation: `arrows` of its graph; of all samples, then without each group, the sorted numbers i n + j of
    its arrows from i to j (`edges`, each (m k,)); `notes` on the graph."""

    arrows: Arrows
    edges: tuple[np.ndarray, ...]
    k: int
    n: int
    notes: tuple[str, ...]


def neighbourhood(
    x: np.ndarray,
    k: int,
    metric: str,
    group: np.ndarray,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> Neighbourhood:
    """`x` (n, d) with its samples in groups (n,). Time O(n² d) for the neighbours, memory 88 bytes per neighbour.

    Without intervals where fewer than k + 1 samples would stay. Raises NotEnoughData below k + 2 samples, or four.
    """
    n = len(x)
    if n < max(k + 2, FEWEST):
        raise NotEnoughData(f"{n} samples for {k} neighbours", f"at least {max(k + 2, FEWEST)}", "Lower 'k'")
    left = n - int(np.bincount(group).max())
    length = min(n - 1, 2 * k + 10 if left > k else k)
    while True:
        graph = neighbour_graph(x, length, metric, progress=progress, span=span)
        found = _edges(graph.indices, k, group) if left > k else [_all_edges(graph.indices[:, :k])]
        if found is not None:
            break
        length = min(n - 1, 2 * length)
    return Neighbourhood(Arrows.of_neighbours(graph.indices[:, :k]), tuple(found), k, n, graph.notes)


def overlap(one: Neighbourhood, other: Neighbourhood) -> Pair:
    """Share of common neighbours, of all samples and without each group. Time O(G n k log(n k))."""
    series = []
    for a, b in zip(one.edges, other.edges, strict=True):
        at = np.minimum(np.searchsorted(a, b), len(a) - 1)
        series.append(float((a[at] == b).mean()))
    mean, variance = arrow_moments(one.arrows, other.arrows)
    count = one.n * one.k
    crowded = one.k / (one.n - 1) > CROWDED
    return Pair.with_moments(series, mean / count, float(np.sqrt(variance)) / count, few=crowded)


def _all_edges(indices: np.ndarray) -> np.ndarray:
    n = len(indices)
    return np.sort((np.arange(n)[:, None] * n + indices).ravel())


def _edges(indices: np.ndarray, k: int, group: np.ndarray) -> list[np.ndarray] | None:
    """Arrows of all and without each group from lists of neighbours (n, length); None where a list is too short."""
    n, found = len(indices), [_all_edges(indices[:, :k])]
    of = group[indices]
    for g in range(group.max() + 1):
        rows = np.flatnonzero(group != g)
        stay = of[rows] != g
        place = np.cumsum(stay, axis=1, dtype=np.int32)
        if (place[:, -1] < k).any():
            return None
        first = stay & (place <= k)
        found.append(np.sort((rows[:, None] * n + indices[rows])[first]))
    return found
