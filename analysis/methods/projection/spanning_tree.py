"""The minimum spanning tree of the points in the original space, drawn over a map.

The tree joins all points by n - 1 edges of the least total length Σ |x_i - x_j|; every edge is the shortest way between
the two parts that it joins, so a branch that the map shows in one piece is one in the data, and an edge that jumps
across the map shows where the map has torn what is near. Edges carry their true length. With `around` above 1 lengths
are mutual reachability, max(|x_i - x_j|, core_i, core_j), core the distance to the around-th point: the tree from which
density clusters are read.

Numbers: the share of edges that join near neighbours on the map, against edges between random points; the rank
correlation of true and drawn lengths; the total length and the longest edge over the median one, against the trees of
data with each unit shuffled; and the dimension from the growth of the length, L ~ n^((D - 1) / D).

When it lies: the tree follows noise as readily as structure (hold the numbers against their nulls); one edge more or
less can redraw a whole branch, so single edges mean little and long ones much; in many dimensions all edges are about
equally long and the tree is a tangle of hubs; total length mixes scale and dimension, and the dimension is drawn
towards smaller values at the border of the cloud (a square of 4,000 points gives about 1.9). Points left out by
sampling make all edges longer.

Cost: O(n² d) for each tree, three shuffled ones by default, and one map. Memory O(n d), below 3,000 points O(n²).

References: R. Prim (1957); O. Borůvka (1926); J. Steele (1988), "Growth rates of Euclidean minimal spanning trees with
power weighted edges".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.maps.drawn_map import DRAWINGS, LINEAR, NAMES, drawing_seconds, drawn_map, graph_for
from analysis.compute.maps.shuffled_points import MOVED, shuffled_points
from analysis.compute.maps.tree_on_map import EXCHANGES, growth_dimension, tree_of_points, tree_on_map
from analysis.compute.neighbours.neighbours import METRICS
from analysis.compute.rows.cloud import point_cloud
from analysis.compute.rows.points import OF_HELP
from analysis.results import Estimate, Scatter
from analysis.spec import CheckLine, Cost, Method, no_progress, param

PROJECTIONS = tuple(name for name in DRAWINGS if name in NAMES)
CLEAR = 1.5  # times the longest edge of any shuffled tree: a gap
FOR_DIMENSION = 64  # points from which subsets say something of growth


@dataclass(frozen=True)
class SpanningTreeParams:
    projection: str = param("pca", "The map that the tree is drawn over.", choices=PROJECTIONS)
    around: int = param(
        1, "1: plain distances; more: mutual reachability with so many points around.", label="points around",
        low=1, high=200,
    )  # fmt: skip
    neighbors: int = param(
        15, "Neighbours on the map that count as near.", label="neighbours", low=1, high=500
    )
    metric: str = param("euclidean", "How distances are measured in the data.", choices=METRICS)
    shuffles: int = param(3, "Trees of shuffled data to compare with.", low=1, high=99)
    maximum_rows: int = param(3000, "Most points; a seeded random subset above.", low=50, high=50_000)
    of: str = param("rows", OF_HELP, label="points are", choices=("rows", "units"))


def spanning_tree_map(
    activations, params: SpanningTreeParams = SpanningTreeParams(), rng=None, progress=no_progress
) -> Scatter:
    """A map with the tree that joins its points in the data.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Scatter
        `edges` (n - 1, 2) with `edge_values` their lengths in the data (cosine: 1 - cos); column "longest edge" per
        point. Estimates as in the module.

    Raises
    ------
    NotEnoughData, InputError, TooLarge
        Fewer than ten points (neighbour maps: 31); all points equal; over 8 GiB of rows or 8,192 units as points.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    cloud = point_cloud(
        activations, rng, maximum_rows=params.maximum_rows, minimum=10, of=params.of, progress=progress,
        span=(0.0, 0.05),
    )  # fmt: skip
    how, linear = params.projection, params.projection in LINEAR
    graph = None
    if not linear:
        graph = graph_for(cloud.x, how, params.metric, progress=progress, span=(0.05, 0.15))
    positions = drawn_map(
        cloud.x, how, rng, metric=params.metric, graph=graph, progress=progress, span=(0.15, 0.3)
    )
    edges, lengths = tree_of_points(cloud.x, params.metric, params.around, progress=progress, span=(0.3, 0.5))
    null = []
    for i in range(params.shuffles):
        part = (0.5 + 0.4 * i / params.shuffles, 0.5 + 0.4 * (i + 1) / params.shuffles)
        x = shuffled_points(cloud, activations, params.of, rng)
        null.append(
            tree_of_points(x, params.metric, params.around, keep=False, progress=progress, span=part)[1]
        )
    progress(0.9, "subsets of the points")
    estimates = (
        *tree_on_map(positions, edges, lengths, params.neighbors, rng, cloud.x.shape[1]),
        *_length_estimates(lengths, null, MOVED[params.of], cloud.x.shape),
        *_dimension(cloud, lengths, params, rng),
    )
    longest = np.zeros(len(cloud.x))
    np.maximum.at(longest, edges, lengths[:, None])
    return Scatter(
        title=f"Spanning tree of {activations.name} over its {NAMES[how]} map",
        reading=_reading(estimates, params),
        caveats=(*_caveats(params), *cloud.notes, *(graph.notes if graph else ())),
        estimates=estimates,
        positions=positions.astype(np.float32),
        rows=cloud.rows,
        of=params.of,
        axes=("PC 1", "PC 2") if linear else ("", ""),
        columns={"longest edge": longest.astype(np.float32)},
        colour="longest edge",
        meaningful_axes=linear,
        edges=edges,
        edge_values=lengths.astype(np.float32),
        edge_name="length in the data" if params.around == 1 else "mutual reachability",
    )


# ---------------------------------------------------------------------------- numbers
def _length_estimates(lengths, null: list[np.ndarray], how: str, shape) -> tuple[Estimate, ...]:
    n, d = shape
    found = []
    for name, of in (("total length", np.sum), ("longest edge over the median one", _gap)):
        chance = [float(of(line)) for line in null]
        found.append(
            Estimate(name, float(of(lengths)), null=float(np.mean(chance)), null_low=min(chance), null_high=max(chance),
                     null_method=f"{how}, {len(null)} tree(s): mean, least, most", n=n, d=d,
                     estimator="minimum spanning tree")
        )  # fmt: skip
    return tuple(found)


def _gap(lengths: np.ndarray) -> float:
    """Longest over median positive length; 1 where all points are equal."""
    some = lengths[lengths > 0]
    return float(some.max() / np.median(some)) if len(some) else 1.0


def _dimension(cloud, lengths, params, rng) -> tuple[Estimate, ...]:
    n, d = cloud.x.shape
    if n < FOR_DIMENSION or params.around > 1 or params.metric == "cosine" or params.of == "units":
        return ()
    value, draws = growth_dimension(cloud, float(lengths.sum()), params.metric, rng)
    if not np.isfinite([value, *draws]).all():
        return ()
    return (
        Estimate("dimension from the growth of the length", value, min(draws.min(), value), max(draws.max(), value),
                 interval=f"least and most of {len(draws)} draws of subsets", n=n, d=d,
                 estimator="1 / (1 - slope) of log length on log n, subsets of n/8 to n"),
    )  # fmt: skip


# ---------------------------------------------------------------------------- words
def _reading(estimates, params) -> str:
    near, stretch, _, gap = estimates[:4]
    lines = [
        f"{near.value:.0%} of the tree's edges join near neighbours on this map ({near.null:.1%} by chance); the "
        "ends of the others are near in the data, and the map tears them apart or puts strangers between.",
        f"The longest edge is {gap.value:.1f} times the median one, {gap.null:.1f} in shuffled data: "
        + (
            "a gap that noise does not make." if gap.value > CLEAR * gap.null_high else "no gap beyond noise."
        ),
    ]
    if stretch.low <= stretch.null_high:
        lines.append("Edges that look long need not be long: go by their colour.")
    return " ".join(lines)


def _caveats(params) -> list[str]:
    notes = ["Single edges mean little: one point more or less can redraw a branch."]
    if params.around > 1:
        notes.append("Lengths are mutual reachability, at least the distance to the points around.")
    return notes


def _cost(shapes, params: SpanningTreeParams) -> Cost:
    (rows, units), m = shapes[0], machine()
    n, d = (min(rows, params.maximum_rows), units) if params.of == "rows" else (units, units)
    tree = m.seconds(flops64=2.0 * n * n * d, moved=n * n * 60.0) + n * 2e-5
    seconds = tree * (1 + params.shuffles + 1.4) + drawing_seconds(n, d, params.projection)
    seconds += m.seconds(moved=EXCHANGES * n * 1500.0 + n * d * 60.0)
    if params.of == "units":
        seconds += m.seconds(flops64=2.0 * rows * d * d + 40.0 * d**3)
    square = n * n * 8 * 3.2 if n <= 3000 else 128e6
    return Cost(seconds + 0.05, n * d * 8 * 4.0 + square + n * 200.0 + 1e6)


def _check() -> tuple[CheckLine, ...]:
    """A regular simplex has n - 1 equal edges; a line's tree is the line; a plane keeps its tree; a square has
    0.63 √(n A) and its border, and two dimensions."""
    rng = np.random.default_rng(9)
    simplex = tree_of_points(np.eye(6))[1]
    line = rng.permutation(200)
    ordered = tree_of_points(np.outer(line, [3.0, 4.0]))
    square = rng.random((2000, 2))
    cut = spanning_tree_map(np.vstack([square[:300], square[300:600] + np.r_[40, 0]]))
    value = {e.name: e for e in cut.estimates}
    flat = {e.name: e for e in spanning_tree_map(square @ rng.standard_normal((2, 9))).estimates}
    dimension = next((e.value for name, e in flat.items() if name.startswith("dimension")), float("nan"))
    doubled = tree_of_points(np.repeat(square[:100], 5, axis=0))[1].sum()
    return (
        CheckLine("regular simplex of 6: length", 5 * np.sqrt(2), float(simplex.sum()), 1e-12),
        CheckLine("200 points on a line: longest edge", 5.0, float(ordered[1].max()), 1e-12),
        CheckLine("each point five times: length", float(tree_of_points(square[:100])[1].sum()), float(doubled), 1e-9),
        CheckLine("uniform square: length / √n", 0.655, float(tree_of_points(square)[1].sum() / np.sqrt(2000)), 0.015),
        CheckLine("a plane: edges among the nearest", 1.0, flat["edges among the 15 nearest on the map"].value, 0.0),
        CheckLine("a plane: dimension", 2.0, dimension, 0.25),
        CheckLine("two far squares: longest over median edge", 39 / np.median(cut.edge_values),
                  value["longest edge over the median one"].value, 30.0),
    )  # fmt: skip


METHODS = (
    Method(
        id="spanning_tree", family="projection", title="Spanning tree over a map", version=2,
        function=spanning_tree_map, params=SpanningTreeParams, result=Scatter, check=_check, cost=_cost,
        summary="The tree that joins the points in the data, over a map: gaps, branches, and what the map tears.",
        minimum_rows=10, worker=True, invariance="the tree: rotating, shifting or rescaling all activations together; "
        "the shuffled trees change with a rotation", papers=("T-REGS: minimum-spanning-tree regularisation",),
        libraries=("umap-learn", "openTSNE", "numba"),
    ),
)  # fmt: skip
