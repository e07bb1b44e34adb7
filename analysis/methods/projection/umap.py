"""UMAP: a map on which points stay near their neighbours, coloured by what it distorts.

Each point's n_neighbors nearest neighbours make a weighted graph; points are laid out so that linked ones are near
and others apart (stochastic gradient descent on a cross entropy). It begins at the first principal components, or,
as umap-learn does, at the slow directions of the graph: those unroll a rolled-up sheet, where components leave it
rolled and may draw its windings into each other; they take longer and tell far-apart clusters badly. The graph is
shared with the other neighbour maps and kept: another min_dist, seed or number of epochs does not compute it again.
Graph and layout are our own; unlike umap-learn all points of an epoch move at once, so that a seed gives the same
map whatever the number of threads (see `analysis.compute.maps.layout`).

When it lies: axes, sizes of clusters, densities and the distances between clusters mean nothing. Structureless
data are drawn as clumps too. Low "trust" marks points whose neighbours on the map are not neighbours in the data,
low "recall" points whose neighbours were torn away. Another seed gives another map: believe what stays.

Cost: neighbours O(n² d) (above 1.5e12 coordinate pairs about O(n^1.14 d), approximate), layout O(n n_neighbors
epochs); quality O(points measured · n d). Memory O(n d).

References: L. McInnes, J. Healy & J. Melville (2018), "UMAP"; J. Venna & S. Kaski (2001), "Neighborhood preservation
in nonlinear projection methods" (trustworthiness and continuity).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.maps.layout import STARTS, umap_layout
from analysis.compute.maps.map_report import QUALITY_HELP
from analysis.compute.maps.neighbour_map import (
    COMPONENTS_HELP,
    METRIC_HELP,
    ROWS_HELP,
    neighbour_map,
    neighbour_map_cost,
    six_clusters_apart,
)
from analysis.compute.neighbours.neighbours import METRICS
from analysis.compute.rows.points import OF_HELP
from analysis.results import Scatter
from analysis.spec import CheckLine, Cost, Method, no_progress, param


@dataclass(frozen=True)
class UmapParams:
    n_neighbors: int = param(
        15,
        "Neighbours per point, itself included: small shows fine structure, large shows the whole.",
        label="neighbours",
        low=3,
        high=200,
    )
    min_dist: float = param(
        0.1, "How close points may be drawn: smaller packs clusters tighter.", label="minimum distance",
        low=0.0, high=0.99,
    )  # fmt: skip
    components: int = param(2, COMPONENTS_HELP, choices=(2, 3))
    metric: str = param("euclidean", METRIC_HELP, choices=METRICS)
    epochs: int | None = param(
        None, "Passes of the layout; automatic: 500 up to 10,000 points, 200 above.", low=20, high=2000
    )
    begin: str = param(
        "components", "First positions: principal components, or slow directions of the neighbour graph, which unroll "
        "curved sheets.", label="begin at", choices=STARTS,
    )  # fmt: skip
    maximum_rows: int = param(50_000, ROWS_HELP, low=50, high=1_000_000)
    of: str = param("rows", OF_HELP, label="points are", choices=("rows", "units"))
    quality_points: int = param(2000, QUALITY_HELP, low=50, high=50_000)


def umap(activations, params: UmapParams = UmapParams(), rng=None, progress=no_progress) -> Scatter:
    """UMAP of a tap, with its distortion per point.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Scatter
        `positions` (points, 2 or 3), no unit; columns "trust", "continuity" and "recall" per point (NaN where not
        measured), each in [0, 1]. Estimates: their means with bootstrap intervals and what a random map gives.

    Raises
    ------
    NotEnoughData
        Not more than twice as many points as neighbours.
    InputError
        All points are equal; more than 200 pieces of the graph to begin at.
    TooLarge
        More than 8 GiB of rows, or more than 8,192 units as points.
    """
    rng = rng or np.random.default_rng(0)

    def lay_out(cloud, graph, progress, span):
        epochs = params.epochs or (500 if len(cloud.x) <= 10_000 else 200)
        return umap_layout(
            cloud.x, graph, n_neighbors=params.n_neighbors, min_dist=params.min_dist, epochs=epochs,
            components=params.components, begin=params.begin, rng=rng, progress=progress, span=span,
        )  # fmt: skip

    return neighbour_map(
        activations, params, rng, progress, title="UMAP", k=params.n_neighbors - 1, lay_out=lay_out
    )


def _cost(shapes, params: UmapParams) -> Cost:
    def seconds(n: int) -> float:
        begun = n * params.n_neighbors * 5e-6 if params.begin == "graph" else 0.0
        return begun + n * params.n_neighbors * (params.epochs or (500 if n <= 10_000 else 200)) * 6.5e-8

    return neighbour_map_cost(shapes, params, seconds)


def _check() -> tuple[CheckLine, ...]:
    """Six far-apart clusters stay apart; the same seed draws the same map."""
    return six_clusters_apart(lambda x, rng: umap(x, UmapParams(epochs=100), rng))


METHODS = (
    Method(
        id="umap",
        family="projection",
        title="UMAP",
        summary="A map on which neighbours stay together, coloured by what it distorts.",
        version=3,
        function=umap,
        params=UmapParams,
        result=Scatter,
        check=_check,
        cost=_cost,
        minimum_rows=10,
        worker=True,
        invariance="rotating, shifting or rescaling all activations together keeps the neighbours (euclidean), "
        "but not the drawn positions",
        libraries=("numba",),
    ),
)
