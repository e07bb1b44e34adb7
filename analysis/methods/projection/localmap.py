"""LocalMAP: the default neighbour map. Local structure as on a UMAP, in less time, with clearer borders.

Near pairs attract, mid-near pairs attract at first so that the rough arrangement settles, further pairs repel
(PaCMAP, see `analysis.compute.maps.pair_layout` for the loss and its three phases). In the last phase the graph is
adjusted where it is wrong: a near pair that is still far apart on the map, d = 1 + |y_i - y_j|², pulls with a factor
5 / √d only, and the further pairs are drawn again among points at most `reach` apart on the map, so that borders
between touching clusters open. Full-batch descent (Adam) from the first principal components.

Why it is the default: on six kinds of data (recorded layers, digits, clothes, two synthetic ones; 1,800 to 50,000
points) its trustworthiness and neighbour recall were equal to umap-learn's defaults or better, at a quarter of the
time or less; `benchmarks/projection_speed.py` prints the comparison. Near pairs are chosen by scaled distance among
5 more neighbours than used (the paper: among 50 more), so that all neighbour maps share one graph; recall did not
suffer.

When it lies: axes, sizes of clusters, densities and distances between clusters mean nothing. It sharpens: a smooth
transition may be drawn as a gap, and structureless data show clumps too. Low "trust" marks points whose neighbours
on the map are not neighbours in the data, low "recall" points whose neighbours were torn away. Another seed gives
another map: believe what stays.

Cost: neighbours O(n² d) (above 1.5e12 coordinate pairs about O(n^1.14 d), approximate), layout O(n n_neighbors
steps); quality O(points measured · n d). Memory O(n d).

References: Y. Wang, Y. Sun, H. Huang & C. Rudin (2025), "Dimension reduction with locally adjusted graphs"; Y. Wang,
H. Huang, C. Rudin & Y. Shaposhnik (2021), "Understanding how dimension reduction tools work".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.maps.map_report import QUALITY_HELP
from analysis.compute.maps.neighbour_map import (
    COMPONENTS_HELP,
    METRIC_HELP,
    ROWS_HELP,
    neighbour_map,
    neighbour_map_cost,
    six_clusters_apart,
)
from analysis.compute.maps.pair_layout import MORE, REACH, laid_out, phases
from analysis.compute.neighbours.neighbours import METRICS
from analysis.compute.rows.points import OF_HELP
from analysis.results import Scatter
from analysis.spec import CheckLine, Cost, Method, no_progress, param


@dataclass(frozen=True)
class LocalMapParams:
    n_neighbors: int = param(
        10, "Near pairs per point: small shows fine structure, large shows the whole.", label="neighbours",
        low=3, high=100,
    )  # fmt: skip
    reach: float = param(
        REACH, "Points within this distance on the map are pushed apart late: small opens narrow gaps only.",
        low=2.0, high=50.0,
    )  # fmt: skip
    components: int = param(2, COMPONENTS_HELP, choices=(2, 3))
    metric: str = param("euclidean", METRIC_HELP, choices=METRICS)
    steps: int = param(450, "Steps of the descent.", low=90, high=4500)
    maximum_rows: int = param(50_000, ROWS_HELP, low=50, high=1_000_000)
    of: str = param("rows", OF_HELP, label="points are", choices=("rows", "units"))
    quality_points: int = param(2000, QUALITY_HELP, low=50, high=50_000)


def localmap(
    activations, params: LocalMapParams = LocalMapParams(), rng=None, progress=no_progress
) -> Scatter:
    """LocalMAP of a tap, with its distortion per point.

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
        All points are equal.
    TooLarge
        More than 8 GiB of rows, or more than 8,192 units as points.
    """
    rng = rng or np.random.default_rng(0)

    def lay_out(cloud, graph, progress, span):
        return laid_out(
            cloud.x, graph, components=params.components, n_neighbors=params.n_neighbors, reach=params.reach,
            steps=phases(params.steps), rng=rng, progress=progress, span=span,
        )  # fmt: skip

    return neighbour_map(
        activations, params, rng, progress, title="LocalMAP", k=params.n_neighbors + MORE, lay_out=lay_out
    )


def _cost(shapes, params: LocalMapParams) -> Cost:
    return neighbour_map_cost(shapes, params, lambda n: n * params.n_neighbors * params.steps * 2.4e-8)


def _check() -> tuple[CheckLine, ...]:
    """Six far-apart clusters stay apart; the same seed draws the same map."""
    return six_clusters_apart(lambda x, rng: localmap(x, LocalMapParams(), rng))


METHODS = (
    Method(
        id="localmap",
        family="projection",
        title="LocalMAP",
        summary="The quickest neighbour map, with clear borders, coloured by what it distorts.",
        version=2,
        function=localmap,
        params=LocalMapParams,
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
