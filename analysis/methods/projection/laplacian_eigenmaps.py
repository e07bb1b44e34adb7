"""Laplacian eigenmaps: coordinates that change as slowly as can be along the neighbour graph.

Every point is linked to its k nearest neighbours (an edge where either names the other). With weights W and degrees
D, the coordinates are the eigenvectors of the normalised Laplacian I - D^(-1/2) W D^(-1/2) with the smallest
eigenvalues above 0, divided by √degree: each minimises Σ W_ij (y_i - y_j)² at fixed spread. An eigenvalue near 0
means an almost separate part of the graph; 0 itself comes once per connected piece. Where the graph falls into
pieces, they are linked by their shortest gaps (said, with the number), so that every point has a place.

When it lies: the first coordinates of a chain of points are bent copies of one another (a horseshoe: the second is
a function of the first); a few outlying points can own a coordinate; near-equal eigenvalues rotate freely;
distances are those of a random walk, not of the data.

Cost: neighbours O(n² d), eigenvectors O(n k steps), the null as often again as it is drawn. Memory O(n (d + k)).

References: M. Belkin & P. Niyogi (2003), "Laplacian eigenmaps"; U. von Luxburg (2007), "A tutorial on spectral
clustering".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.maps.map_report import QUALITY_HELP, MapReport, map_report, report_bytes, report_cost
from analysis.compute.neighbours.graph_laplacian import (
    DENSE,
    WEIGHTS,
    adjacency,
    joined,
    pieces,
    slow_coordinates,
    slow_eigenvectors,
)
from analysis.compute.neighbours.neighbour_graph import NeighbourGraph, neighbour_graph
from analysis.compute.neighbours.neighbours import METRICS, as_points, nearest
from analysis.compute.rows.cloud import Cloud, point_cloud
from analysis.compute.rows.points import OF_HELP
from analysis.compute.statistics.nulls import moved_samples
from analysis.results import Estimate, Scatter
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 10  # points


@dataclass(frozen=True)
class LaplacianEigenmapsParams:
    n_neighbors: int = param(15, "Neighbours per point.", label="neighbours", low=2, high=200)
    components: int = param(2, "Number of coordinates: a plane or a space.", choices=(2, 3))
    weights: str = param(
        "equal", "Weight of an edge: 1, or falling with the distance (heat kernel).", choices=WEIGHTS
    )
    metric: str = param("euclidean", "How neighbours are found in the data.", choices=METRICS)
    null_draws: int = param(
        3, "Structureless copies of the data for the null of the eigenvalues.", low=1, high=50
    )
    maximum_rows: int = param(
        5000, "Most points on the map; a seeded random subset above.", low=50, high=100_000
    )
    of: str = param("rows", OF_HELP, label="points are", choices=("rows", "units"))
    quality_points: int = param(2000, QUALITY_HELP, low=50, high=50_000)


def laplacian_eigenmaps(
    activations, params: LaplacianEigenmapsParams = LaplacianEigenmapsParams(), rng=None, progress=no_progress
) -> Scatter:
    """Laplacian eigenmaps of a tap.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Scatter
        `positions` (points, 2 or 3), mean square 1 by degree; columns "piece" (of the graph before joining, largest
        first), "neighbours" (edges of the point), "trust", "continuity", "recall". Estimates: the eigenvalues of
        the drawn coordinates against data whose units were moved apart, the number of pieces, and map quality.

    Raises
    ------
    NotEnoughData, InputError, TooLarge
        Fewer than ten points; all equal; more than 200 pieces.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    cloud = point_cloud(
        activations, rng, maximum_rows=params.maximum_rows, minimum=FEWEST, of=params.of, progress=progress
    )
    k = min(params.n_neighbors, len(cloud.x) - 1)
    graph = neighbour_graph(
        cloud.x, k, params.metric, seed=int(rng.integers(2**31)), progress=progress, span=(0.1, 0.3)
    )
    values, positions, count, of, degree = _mapped(cloud.x, graph, params, rng, progress, 0.4)
    null = np.empty((params.null_draws, params.components))
    for i in range(params.null_draws):
        start, stop = (0.4 + 0.3 * j / params.null_draws for j in (i, i + 1))
        moved = moved_samples(cloud.x, rng, cloud.offsets)
        other = nearest(moved, k, params.metric, progress, (start, stop))  # never asked for again: not kept
        null[i] = _mapped(moved, other, params, rng, progress, stop)[0]
    found = _estimates(values, null, count, params, cloud)
    report = map_report(
        cloud.x,
        positions,
        rng,
        metric=params.metric,
        maximum_anchors=params.quality_points,
        progress=progress,
    )
    columns = {"piece": of, "neighbours": degree, **report.columns}
    return Scatter(
        title=f"Laplacian eigenmap of {activations.name}"
        + (" (units as points)" if params.of == "units" else ""),
        reading=_reading(found, count) + " " + report.sentence,
        caveats=_caveats(values, count, params, cloud, graph, report),
        estimates=(*found, *report.estimates),
        positions=positions.astype(np.float32),
        rows=cloud.rows,
        of=params.of,
        axes=tuple(f"eigenvector {i + 2} (λ = {v:.3g})" for i, v in enumerate(values)),
        columns=columns,
    )


def _mapped(x: np.ndarray, graph, params, rng, progress, at: float):
    """Eigenvalues (k,) above the first, positions (n, k), pieces, the piece (n,) and the degree (n,) of each point."""
    weights = adjacency(graph.indices, graph.distances, params.weights)
    count, of = pieces(weights)
    whole, _ = joined(weights, as_points(x, params.metric)[0], progress, at)
    progress(at, "eigenvectors of the graph")
    values, vectors = slow_eigenvectors(whole, params.components + 1, rng)
    order = np.argsort(-np.bincount(of), kind="stable")
    rank = np.empty(count, np.int64)
    rank[order] = np.arange(1, count + 1)
    degree = np.diff(weights.indptr).astype(np.int64)
    return values[1:], slow_coordinates(whole, vectors[:, 1:]), count, rank[of], degree


def _estimates(values, null, count: int, params, cloud: Cloud) -> tuple[Estimate, ...]:
    n, d = cloud.x.shape
    how = f"units moved apart, {len(null)} times: mean, smallest, largest"
    common = {"n": n, "d": d, "estimator": f"normalised Laplacian, {params.n_neighbors} neighbours"}
    found = [
        Estimate(
            f"eigenvalue {i + 2}", float(value), null=float(null[:, i].mean()), null_low=float(null[:, i].min()),
            null_high=float(null[:, i].max()), null_method=how, **common,
        )
        for i, value in enumerate(values)
    ]  # fmt: skip
    return (*found, Estimate("connected pieces of the graph", float(count), **common))


def _reading(found, count: int) -> str:
    first = found[0]
    if count > 1:
        return (
            f"The graph falls into {count} separate pieces (column 'piece'); they were linked by their shortest gaps, "
            "and the first coordinates mainly tell the pieces apart."
        )
    if first.value < first.null_low:
        return (
            f"The first coordinate runs along a slow direction of the graph (eigenvalue {first.value:.3g}; data "
            f"without relations between units: {first.null:.3g})."
        )
    return (
        f"The slowest direction of the graph is no slower than in data without relations between units (eigenvalue "
        f"{first.value:.3g} against {first.null:.3g}): do not read structure off this map."
    )


def _caveats(
    values, count, params, cloud: Cloud, graph: NeighbourGraph, report: MapReport
) -> tuple[str, ...]:
    notes = ["Distances are those of a random walk on the graph, not of the data."]
    if count > 1:
        notes.append(
            f"{count - 1} link(s) were added so that all points have a place; more neighbours add none."
        )
    for i in range(len(values) - 1):
        if values[i + 1] - values[i] < 0.05 * values[i + 1]:
            notes.append(f"Eigenvectors {i + 2} and {i + 3} have nearly equal eigenvalues and rotate freely.")
    if params.n_neighbors > len(cloud.x) - 1:
        notes.append(f"Neighbours lowered to {len(cloud.x) - 1}: there are {len(cloud.x)} points.")
    return (*notes, *cloud.notes, *graph.notes, *report.notes)


def _cost(shapes, params: LaplacianEigenmapsParams) -> Cost:
    (rows, units), m = shapes[0], machine()
    n, d = (min(rows, params.maximum_rows), units) if params.of == "rows" else (units, units)
    k, times = min(params.n_neighbors, n - 1), 1 + params.null_draws
    seconds = m.seconds(flops32=2.0 * n * n * d * times, moved=n * n * 40.0 * times)
    solve = 2.5 * n**3 if n <= DENSE else 0.0
    seconds += m.seconds(
        flops64=solve * times, moved=0 if n <= DENSE else times * 300.0 * n * (k * 24 + 60 * 16)
    )
    seconds += m.seconds(**report_cost(n, d, params.quality_points))
    if params.of == "units":
        seconds += m.seconds(flops64=2.0 * rows * d * d + 40.0 * d**3)
    dense = 8.0 * min(n, DENSE) ** 2 * 4 if n <= DENSE else 8.0 * n * 200
    memory = n * d * 8 * 4.0 + min(n * n * 24, 200e6) + dense + n * k * 100 + report_bytes(n, d)
    return Cost(seconds + 0.05, memory)


def _check() -> tuple[CheckLine, ...]:
    """A ring of points: eigenvalues 1 - cos(2 π j / n), the map is a circle; three far pieces give 0 three times;
    a graph in which all are neighbours has eigenvalue n / (n - 1)."""
    n = 60
    turn = 2 * np.pi * np.arange(n) / n
    ring = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    result = laplacian_eigenmaps(ring, LaplacianEigenmapsParams(n_neighbors=2, null_draws=1))
    radius = np.linalg.norm(result.positions, axis=1)
    rng = np.random.default_rng(1)
    apart = np.repeat([[0.0], [100.0], [300.0]], 40, axis=0) + rng.standard_normal((120, 1))
    graph = nearest(apart, 5)
    weights = adjacency(graph.indices, graph.distances)
    values = slow_eigenvectors(weights, 5, rng)[0]
    full = nearest(rng.standard_normal((30, 4)), 29)
    second = slow_eigenvectors(adjacency(full.indices, full.distances), 2, rng)[0][1]
    return (
        CheckLine("ring: eigenvalue 2", 1 - np.cos(2 * np.pi / n), result.estimates[0].value, 1e-10),
        CheckLine("ring: eigenvalue 3", 1 - np.cos(2 * np.pi / n), result.estimates[1].value, 1e-10),
        CheckLine("ring: radius of the map, spread", 0.0, float(np.ptp(radius)), 1e-5),
        CheckLine("pieces of the planted graph", 3.0, float(pieces(weights)[0]), 0.0),
        CheckLine("eigenvalues at 0", 3.0, float((values < 1e-10).sum()), 0.0),
        CheckLine("all points neighbours: eigenvalue 2", 30 / 29, float(second), 1e-10),
    )


METHODS = (
    Method(
        id="laplacian_eigenmaps",
        family="projection",
        title="Laplacian eigenmaps",
        summary="Coordinates that change as slowly as can be along the neighbour graph, with its pieces.",
        version=1,
        function=laplacian_eigenmaps,
        params=LaplacianEigenmapsParams,
        result=Scatter,
        check=_check,
        cost=_cost,
        minimum_rows=FEWEST,
        worker=True,
        libraries=("numba",),
        invariance="rotating, shifting or rescaling all activations together changes nothing (euclidean)",
    ),
)
