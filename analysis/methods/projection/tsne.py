"""t-SNE: a map that keeps close neighbours best, coloured by what it distorts.

Each point's neighbours get Gaussian weights p_ij whose spread is set so that the effective number of neighbours is
the perplexity; points are laid out so that heavy-tailed weights on the map, q_ij ∝ 1 / (1 + |y_i - y_j|²), resemble
them: Σ p_ij log(p_ij / q_ij) is lowered by gradient descent from the first two principal components, with early
exaggeration 12 and learning rate n / exaggeration. The graph is shared with the other neighbour maps and kept:
perplexities up to 42 (85, 170 ...) use the same one of 128 (256, 512 ...) neighbours.

When it lies: axes, cluster sizes, densities and distances between clusters mean nothing; structureless data show
clumps, and a small perplexity tears connected data apart. Low "trust" marks points whose neighbours on the map are
not neighbours in the data. Exaggeration above 1 draws clusters tighter than they are.

Cost: neighbours O(n² d), layout O(n perplexity iterations), one thread; quality O(points measured · n d). Memory
O(n (d + perplexity)).

References: L. van der Maaten & G. Hinton (2008), "Visualizing data using t-SNE"; G. Linderman et al. (2019), "Fast
interpolation-based t-SNE"; D. Kobak & P. Berens (2019), "The art of using t-SNE"; computed by openTSNE (P. Poličar
et al. 2024).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.maps.map_report import QUALITY_HELP, MapReport, map_report, report_bytes, report_cost
from analysis.compute.maps.neighbour_map import NOTHING, six_clusters_apart
from analysis.compute.maps.tsne_layout import EARLY, graph_size, tsne_layout
from analysis.compute.neighbours.neighbour_graph import NeighbourGraph, neighbour_graph
from analysis.compute.neighbours.neighbours import METRICS
from analysis.compute.rows.cloud import Cloud, point_cloud
from analysis.compute.rows.points import OF_HELP
from analysis.results import Scatter
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 16  # points


@dataclass(frozen=True)
class TsneParams:
    perplexity: float = param(
        30.0, "Effective number of neighbours: small shows fine structure, large shows the whole.",
        low=2.0, high=500.0,
    )  # fmt: skip
    exaggeration: float = param(
        1.0, "Attraction between neighbours: above 1 packs clusters tighter (4 resembles UMAP).",
        low=1.0, high=12.0,
    )  # fmt: skip
    iterations: int = param(500, "Iterations after early exaggeration.", low=50, high=5000)
    metric: str = param("euclidean", "How neighbours are found in the data.", choices=METRICS)
    maximum_rows: int = param(
        10_000, "Most points on the map; a seeded random subset above.", low=50, high=200_000
    )
    of: str = param("rows", OF_HELP, label="points are", choices=("rows", "units"))
    quality_points: int = param(5000, QUALITY_HELP, low=50, high=50_000)


def tsne(activations, params: TsneParams = TsneParams(), rng=None, progress=no_progress) -> Scatter:
    """t-SNE of a tap, with its distortion per point.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Scatter
        `positions` (points, 2), no unit; columns "trust", "continuity" and "recall" per point (NaN where not
        measured), each in [0, 1]. Estimates: their means with bootstrap intervals and what a random map gives.

    Raises
    ------
    NotEnoughData
        Fewer than 16 points.
    InputError
        All points are equal.
    TooLarge
        More than 8 GiB of rows, or more than 8,192 units as points.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    cloud = point_cloud(
        activations, rng, maximum_rows=params.maximum_rows, minimum=FEWEST, of=params.of, progress=progress,
        span=(0.0, 0.05),
    )  # fmt: skip
    n = len(cloud.x)
    perplexity = min(params.perplexity, (n - 1) / 3)
    graph = neighbour_graph(
        cloud.x, graph_size(perplexity, n), params.metric, seed=int(rng.integers(2**31)), progress=progress,
        span=(0.05, 0.2),
    )  # fmt: skip
    positions, divergence = tsne_layout(
        cloud.x, graph.indices, graph.distances, perplexity=perplexity, exaggeration=params.exaggeration,
        iterations=params.iterations, rng=rng, progress=progress, span=(0.2, 0.85),
    )  # fmt: skip
    report = map_report(
        cloud.x, positions, rng, metric=params.metric, maximum_anchors=params.quality_points, graph=graph,
        drawn="neighbours", progress=progress, span=(0.85, 1.0),
    )  # fmt: skip
    return Scatter(
        title=f"t-SNE of {activations.name}" + (" (units as points)" if params.of == "units" else ""),
        reading=f"{report.sentence} The layout ended at a divergence of "
        f"{divergence:.3f} nats, which can be compared between seeds, not between data sets.",
        caveats=_caveats(params, cloud, graph, report),
        estimates=report.estimates,
        positions=positions,
        rows=cloud.rows,
        of=params.of,
        columns=report.columns,
        meaningful_axes=False,
    )


def _caveats(params: TsneParams, cloud: Cloud, graph: NeighbourGraph, report: MapReport) -> tuple[str, ...]:
    notes = [NOTHING]
    if 3 * params.perplexity > len(cloud.x) - 1:
        notes.append(f"Perplexity lowered to {(len(cloud.x) - 1) / 3:.1f}: there are {len(cloud.x)} points.")
    if params.exaggeration > 1:
        notes.append(f"Exaggeration {params.exaggeration:g} draws clusters tighter than they are.")
    return (*notes, *cloud.notes, *graph.notes, *report.notes)


def _cost(shapes, params: TsneParams) -> Cost:
    (rows, units), m = shapes[0], machine()
    n, d = (min(rows, params.maximum_rows), units) if params.of == "rows" else (units, units)
    k = graph_size(params.perplexity, n)
    seconds = m.seconds(flops32=2.0 * n * n * d, moved=n * n * 40) + m.seconds(
        **report_cost(n, d, params.quality_points)
    )
    if params.of == "units":
        seconds += m.seconds(flops64=2.0 * rows * d * d + 40.0 * d**3)
    steps = params.iterations + min(EARLY, params.iterations)
    layout = steps * (4e-3 + n * (3e-8 * min(3 * params.perplexity, n) + 1.5e-6))
    memory = n * d * 8 * 3.5 + min(n * n * 24, 200e6) + n * k * 60 + report_bytes(n, d)
    return Cost(seconds + layout + 0.05, memory + 2e6)


def _check() -> tuple[CheckLine, ...]:
    """Six far-apart clusters stay apart; the same seed draws the same map."""
    params = TsneParams(perplexity=15.0, iterations=150)
    return six_clusters_apart(lambda x, rng: tsne(x, params, rng))


METHODS = (
    Method(
        id="tsne",
        family="projection",
        title="t-SNE",
        summary="A map that keeps close neighbours best, coloured by what it distorts.",
        version=1,
        function=tsne,
        params=TsneParams,
        result=Scatter,
        check=_check,
        cost=_cost,
        minimum_rows=FEWEST,
        worker=True,
        invariance="rotating, shifting or rescaling all activations together keeps the neighbours (euclidean), "
        "but not the drawn positions",
        libraries=("openTSNE", "scikit-learn", "numba"),
    ),
)
