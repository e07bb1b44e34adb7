"""From activations to a neighbour map: the cloud, the shared graph, somebody's layout, and what it distorts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.maps.map_report import map_report, report_bytes, report_cost
from analysis.compute.neighbours.neighbour_graph import NeighbourGraph, is_exact, neighbour_graph
from analysis.compute.neighbours.neighbours import nearest
from analysis.compute.rows.cloud import Cloud, point_cloud
from analysis.errors import NotEnoughData
from analysis.results import Scatter
from analysis.spec import CheckLine, Cost, Progress

NOTHING = "Structureless data form clumps, too, under this method: compare the picture with its null."
COMPONENTS_HELP = "Number of coordinates: a plane or a space."
ROWS_HELP = "Most points on the map; a seeded random subset above."
METRIC_HELP = "How neighbours are found in the data."

Layout = Callable[[Cloud, NeighbourGraph, Progress, tuple[float, float]], np.ndarray]


def neighbour_map(
    activations, params, rng, progress: Progress, *, title: str, k: int, lay_out: Layout
) -> Scatter:
    """Draw the map and measure it.

    Parameters
    ----------
    activations : Activations or array (rows, units)
    params : has n_neighbors, metric, maximum_rows, of and quality_points.
    title : name of the method.
    k : neighbours that the layout wants; fewer are given where there are fewer points.
    lay_out : (cloud, graph, progress, span) -> positions (n, 2 or 3).

    Raises
    ------
    NotEnoughData
        Not more than twice as many points as neighbours.
    InputError, TooLarge
        All points are equal; more than 8 GiB of rows, or more than 8,192 units as points.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    cloud = point_cloud(
        activations, rng, maximum_rows=params.maximum_rows, minimum=4, of=params.of, progress=progress,
        span=(0.0, 0.05),
    )  # fmt: skip
    n = len(cloud.x)
    if n <= 2 * params.n_neighbors:
        raise NotEnoughData(
            f"{activations.name} gives {n} points for {params.n_neighbors} neighbours",
            f"more than {2 * params.n_neighbors}",
            "Use fewer neighbours",
        )
    graph = neighbour_graph(
        cloud.x, min(k, n - 1), params.metric, seed=int(rng.integers(2**31)), progress=progress, span=(0.05, 0.3)
    )  # fmt: skip
    positions = lay_out(cloud, graph, progress, (0.3, 0.75))
    report = map_report(
        cloud.x, positions, rng, metric=params.metric, maximum_anchors=params.quality_points, graph=graph,
        drawn="neighbours", progress=progress, span=(0.75, 1.0),
    )  # fmt: skip
    measured = report.columns["recall"][np.isfinite(report.columns["recall"])]
    torn = float(np.mean(measured < 0.2))
    return Scatter(
        title=f"{title} of {activations.name}" + (" (units as points)" if params.of == "units" else ""),
        reading=f"{report.sentence}{_torn(torn)}",
        caveats=(NOTHING, *cloud.notes, *graph.notes, *report.notes),
        estimates=report.estimates,
        positions=positions,
        rows=cloud.rows,
        of=params.of,
        axes=("",) * positions.shape[1],
        columns=report.columns,
        meaningful_axes=False,
    )


def _torn(share: float) -> str:
    """Which points not to believe, where there are any."""
    if share == 0:
        return ""
    shown = f"{share:.1%}" if share >= 0.001 else "Less than 0.1%"
    return (
        f" {shown} of the points keep fewer than a fifth of their neighbours: colour by recall to see which."
    )


def neighbour_map_cost(shapes, params, layout_seconds: Callable[[int], float]) -> Cost:
    """What `neighbour_map` costs; `layout_seconds` of n points on one core."""
    (rows, units), m = shapes[0], machine()
    n, d = (min(rows, params.maximum_rows), units) if params.of == "rows" else (units, units)
    if is_exact(n, d):
        seconds = m.seconds(flops32=2.0 * n * n * d, moved=n * n * 2.0 + n * d * 300.0) / min(m.cores, 8)
    else:
        seconds = n**1.14 * (d + 64) * 4e-7 / min(m.cores, 8)
    seconds += m.seconds(**report_cost(n, d, params.quality_points))
    seconds += m.seconds(flops64=2.0 * n * d * min(n, d))  # the first positions
    if params.of == "units":
        seconds += m.seconds(flops64=2.0 * rows * d * d + 40.0 * d**3)
    seconds += layout_seconds(n) / min(m.cores, max(1, n // 4096), 8)
    return Cost(seconds + 0.05, n * d * 8 * 4.0 + n * 16 * 100.0 + report_bytes(n, d) / 4 + 2e6)


def six_clusters_apart(draw: Callable[[np.ndarray, np.random.Generator], Scatter]) -> tuple[CheckLine, ...]:
    """A known answer: no point's neighbours leave its cluster of six far-apart ones; a seed draws one map."""
    rng = np.random.default_rng(3)
    label = np.repeat(np.arange(6), 50)
    x = 12 * np.eye(6, 16)[label] + rng.standard_normal((300, 16))
    first, second = (draw(x, np.random.default_rng(1)) for _ in range(2))
    near = nearest(first.positions, 10).indices
    same = float((label[near] == label[:, None]).mean())
    apart = float(np.abs(first.positions - second.positions).max())
    return (
        CheckLine("map neighbours in the same cluster", 1.0, same, 0.0),
        CheckLine("trustworthiness", 0.95, first.estimates[0].value, 0.0, "at least"),
        CheckLine("same seed, largest difference", 0.0, apart, 0.0),
    )
