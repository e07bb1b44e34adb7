"""Multilayer graph fusion: one map from the neighbour graphs of several taps of the same samples.

Each tap gives a graph of k nearest neighbours and the subspace U_l of its slow Laplacian eigenvectors. The fused
subspace U makes Σ tr(Uᵀ L_l U) + α Σ (k - |Uᵀ U_l|²) smallest: slow on every graph and near every tap's own subspace
(on the Grassmann manifold). It is spanned by the smallest eigenvectors of Σ L_l - α Σ U_l U_lᵀ, and drawn as
Laplacian eigenmaps are. Fusing equal graphs returns that graph's own map.

When it lies: a tap whose graph is noise still pulls (see its agreement); agreement is above 0 by construction, since
every tap has a say (its null fuses taps whose points were exchanged); what only one tap knows is averaged away;
quality is measured against all taps side by side, each scaled to the same variance.

Cost: neighbours O(taps n² d), eigenvectors O(taps n k steps), again for each null draw. Memory O(n (Σ d + taps k)).

Reference: paper "Multilayer graph approach to deep subspace clustering"; X. Dong et al. (2014), "Clustering on
multi-layer graphs via subspace analysis on Grassmann manifolds".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.maps.map_report import QUALITY_HELP, map_report, report_bytes, report_cost
from analysis.compute.neighbours.graph_laplacian import (
    DENSE,
    WEIGHTS,
    adjacency,
    joined,
    merged_eigenvectors,
    pieces,
    slow_coordinates,
    slow_eigenvectors,
)
from analysis.compute.neighbours.neighbour_graph import neighbour_graph
from analysis.compute.neighbours.neighbours import METRICS, as_points, nearest
from analysis.compute.rows.matched_taps import MatchedTaps, matched_taps
from analysis.compute.statistics.nulls import add_one_p
from analysis.results import Estimate, Scatter
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 10  # points


@dataclass(frozen=True)
class GraphFusionParams:
    n_neighbors: int = param(15, "Neighbours per point in each tap.", label="neighbours", low=2, high=200)
    alpha: float = param(
        0.5, "How strongly the map is held near every tap's own subspace.", low=0.0, high=10.0
    )
    components: int = param(2, "Number of coordinates: a plane or a space.", choices=(2, 3))
    weights: str = param(
        "equal", "Weight of an edge: 1, or falling with the distance (heat kernel).", choices=WEIGHTS
    )
    metric: str = param("euclidean", "How neighbours are found in each tap.", choices=METRICS)
    null_draws: int = param(
        5, "Fusions with exchanged points for the null of the agreement.", low=2, high=100
    )
    maximum_rows: int = param(3000, "Most points; a seeded random subset above.", low=50, high=50_000)
    quality_points: int = param(2000, QUALITY_HELP, low=50, high=50_000)


def graph_fusion(
    *taps, params: GraphFusionParams = GraphFusionParams(), rng=None, progress=no_progress
) -> Scatter:
    """Fuse the neighbour graphs of two or more taps.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units), the same rows, any numbers of units.

    Returns
    -------
    Scatter
        `positions` (points, 2 or 3), mean square 1 by degree; columns "shared neighbours" (share of a point's
        neighbours that all taps agree on), "trust", "continuity", "recall". Estimates: agreement of each tap's
        subspace with the fused one in [0, 1], against taps whose points were exchanged; map quality.

    Raises
    ------
    ParameterError, InputError, NotEnoughData, TooLarge
        Fewer than two taps; different samples or tokens; fewer than ten common finite rows; over 4 GiB.
    """
    taps = [as_activations(t) for t in taps]
    rng = rng or np.random.default_rng(0)
    data = matched_taps(taps, rng, maximum_rows=params.maximum_rows, minimum=FEWEST, progress=progress)
    graphs, counts, shared, said = _graphs(data, params, int(rng.integers(2**31)), progress)
    progress(0.4, "fusing the graphs")
    k = params.components + 1
    merged, own = merged_eigenvectors(graphs, k, params.alpha, rng)
    total = graphs[0]
    for graph in graphs[1:]:
        total = total + graph
    positions = slow_coordinates(total, merged[:, 1:])
    found = _estimates(graphs, merged, own, taps, data, params, rng, progress)
    together = np.hstack([_unit_variance(v) for v in data.values])
    report = map_report(
        together,
        positions,
        rng,
        metric=params.metric,
        maximum_anchors=params.quality_points,
        progress=progress,
    )
    return Scatter(
        title=f"{len(taps)} taps fused: {taps[0].name} to {taps[-1].name}",
        reading=_reading(found, taps) + " " + report.sentence,
        caveats=(*_caveats(counts, taps), *said, *data.notes, *report.notes),
        estimates=(*found, *report.estimates),
        positions=positions.astype(np.float32),
        rows=data.rows,
        axes=tuple(f"fused eigenvector {i + 2}" for i in range(params.components)),
        columns={"shared neighbours": shared, **report.columns},
    )


def _graphs(data: MatchedTaps, params, seed: int, progress):
    """Joined weights of every tap, their numbers of pieces, and the share (n,) of neighbours that all taps
    name; notes."""
    graphs, counts, said, n = [], [], {}, len(data.rows)
    k, common = min(params.n_neighbors, n - 1), None
    for i, x in enumerate(data.values):
        span = 0.1 + 0.3 * i / len(data.values), 0.1 + 0.3 * (i + 1) / len(data.values)
        graph = neighbour_graph(x, k, params.metric, seed=seed, progress=progress, span=span)
        said.update(dict.fromkeys(graph.notes))
        weights = adjacency(graph.indices, graph.distances, params.weights)
        counts.append(pieces(weights)[0])
        graphs.append(joined(weights, as_points(x, params.metric)[0], progress, span[1])[0])
        named = adjacency(graph.indices, graph.distances)
        common = named if common is None else common.multiply(named).tocsr()
    least = np.minimum.reduce([np.diff(g.indptr) for g in graphs])
    shared = np.asarray(common.sum(axis=1)).ravel() / np.maximum(least, 1)
    return graphs, counts, np.minimum(shared, 1.0).astype(np.float32), tuple(said)


def _unit_variance(x: np.ndarray) -> np.ndarray:
    centred = x - x.mean(axis=0)
    return centred / np.sqrt((centred**2).sum() / len(x))


def agreement(merged: np.ndarray, own: np.ndarray) -> float:
    """|Uᵀ U_l|² / k of the non-constant eigenvectors: 1 for the same subspace, k / n for unrelated ones."""
    fused, mine = (np.linalg.qr(u[:, 1:])[0] for u in (merged, own))
    return float(((fused.T @ mine) ** 2).sum() / mine.shape[1])


def _estimates(graphs, merged, own, taps, data: MatchedTaps, params, rng, progress) -> tuple[Estimate, ...]:
    n, k = len(data.rows), params.components + 1
    null = np.empty((params.null_draws, len(graphs)))
    for i in range(params.null_draws):
        progress(0.45 + 0.25 * i / params.null_draws, "fusing exchanged points")
        orders = [rng.permutation(n) for _ in graphs]
        shuffled = [g[o][:, o] for g, o in zip(graphs, orders, strict=True)]
        other, each = merged_eigenvectors(shuffled, k, params.alpha, rng)
        null[i] = [agreement(other, u) for u in each]
    return tuple(
        Estimate(
            f"agreement of {tap.name} (tap {i + 1})", value, null=float(null[:, i].mean()),
            null_low=float(null[:, i].min()), null_high=float(null[:, i].max()),
            null_method=f"points of every tap exchanged, {params.null_draws} times: mean, smallest, largest",
            p_value=float(add_one_p(value, null[:, i])), n=n, d=data.values[i].shape[1],
            estimator="overlap of the slow subspaces",
        )
        for i, (tap, value) in enumerate(zip(taps, (agreement(merged, u) for u in own), strict=True))
    )  # fmt: skip


def _reading(found, taps) -> str:
    best, worst = max(found, key=lambda e: e.value), min(found, key=lambda e: e.value)
    first, last = (e.name.removeprefix("agreement of ") for e in (best, worst))
    text = (
        f"The fused map is nearest to {first} ({best.value:.2f}) and farthest from {last} ({worst.value:.2f})"
    )
    if all(e.value <= e.null_high for e in found):
        return text + ", no nearer than maps of taps that have nothing in common."
    return text + f"; taps that have nothing in common would reach {worst.null:.2f}."


def _caveats(counts, taps) -> list[str]:
    notes = ["Quality is measured against all taps side by side, each scaled to the same variance."]
    for tap, count in zip(taps, counts, strict=True):
        if count > 1:
            notes.append(
                f"The graph of {tap.name} falls into {count} pieces; {count - 1} link(s) were added."
            )
    return notes


def _cost(shapes, params: GraphFusionParams) -> Cost:
    m, n = machine(), min(shapes[0][0], params.maximum_rows)
    d, k, taps = sum(s[1] for s in shapes), min(params.n_neighbors, n - 1), len(shapes)
    runs = (1 + params.null_draws) * (taps + 1)
    solve = 2.5 * n**3 * runs if n <= DENSE else 0.0
    steps = 0.0 if n <= DENSE else runs * 130.0 * n * (k * 24 + 60 * 16)
    seconds = m.seconds(flops32=2.0 * n * n * d, flops64=solve, moved=taps * n * n * 40.0 + steps)
    seconds += m.seconds(**report_cost(n, d, params.quality_points))
    dense = 8.0 * n**2 * 5 if n <= DENSE else 8.0 * n * 200
    return Cost(seconds + 0.05, n * d * 8 * 3.5 + min(n * n * 24, 200e6) + dense + taps * n * k * 60
                + report_bytes(n, d))  # fmt: skip


def _check() -> tuple[CheckLine, ...]:
    """Three equal graphs give that graph's own map; two halves of the same ring give the ring; noise does not."""
    rng = np.random.default_rng(2)
    turn = 2 * np.pi * np.arange(90) / 90
    x = np.stack([3 * np.cos(turn), np.sin(turn), 0.1 * rng.standard_normal(90)], axis=1)
    graph = nearest(x, 6)
    weights = adjacency(graph.indices, graph.distances)
    alone = slow_coordinates(weights, slow_eigenvectors(weights, 3, rng)[1][:, 1:])
    params = GraphFusionParams(n_neighbors=6, null_draws=2)
    fused = graph_fusion(x, x, x, params=params)
    related = graph_fusion(x, x @ np.linalg.qr(rng.standard_normal((3, 3)))[0] * 2, params=params).estimates
    blank = graph_fusion(x, rng.standard_normal((90, 3)), params=GraphFusionParams(n_neighbors=6)).estimates[
        1
    ]
    return (
        CheckLine("equal graphs: largest difference from the map of one", 0.0,
                  float(np.abs(fused.positions - alone).max()), 1e-5),
        CheckLine("equal graphs: agreement", 1.0, fused.estimates[0].value, 1e-10),
        CheckLine("a rotated and scaled tap: agreement", 1.0, related[1].value, 1e-10),
        CheckLine("a tap of noise: agreement below a related one", 0.9, blank.value, 0.0, "at most"),
    )  # fmt: skip


METHODS = (
    Method(
        id="graph_fusion",
        family="projection",
        title="Graph fusion",
        summary="One map from the neighbour graphs of several taps, and how far each tap agrees with it.",
        version=1,
        function=graph_fusion,
        params=GraphFusionParams,
        result=Scatter,
        check=_check,
        cost=_cost,
        inputs=2,
        more_inputs=True,
        matches="rows",
        minimum_rows=FEWEST,
        worker=True,
        libraries=("numba",),
        invariance="rotating, shifting or rescaling each tap changes nothing (euclidean), nor does the taps' order",
        papers=("Multilayer graph approach to deep subspace clustering",),
    ),
)
