"""UMAP: a map on which points stay near their neighbours, coloured by what it distorts.

Each point's n_neighbors nearest neighbours (exact, not approximate) make a weighted graph; points are laid out so
that linked ones are near and others apart (stochastic gradient descent on a cross entropy, from the first two
principal components). Beside the map: trustworthiness, continuity and neighbour recall of every point.

When it lies: axes, sizes of clusters, densities and the distances between clusters mean nothing. Structureless
data are drawn as clumps too. Low "trust" marks points whose neighbours on the map are not neighbours in the data,
low "recall" points whose neighbours were torn away. Another seed gives another map: believe what stays.

Cost: neighbours O(n² d), layout O(n n_neighbors epochs); quality O(points measured · n d). Memory O(n d).

References: L. McInnes, J. Healy & J. Melville (2018), "UMAP"; J. Venna & S. Kaski (2001), "Neighborhood preservation
in nonlinear projection methods" (trustworthiness and continuity).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations, load_matrix
from analysis.compute.layout import umap_layout
from analysis.compute.machine import machine
from analysis.compute.map_quality import PlacementQuality, placement_quality, quality_estimates
from analysis.compute.neighbours import METRICS, nearest
from analysis.compute.points import OF_HELP, point_set
from analysis.errors import InputError, NotEnoughData
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
    metric: str = param("euclidean", "How neighbours are found in the data.", choices=METRICS)
    epochs: int = param(200, "Passes of the layout.", low=20, high=2000)
    maximum_rows: int = param(
        20_000, "Most points on the map; a seeded random subset above.", low=50, high=200_000
    )
    of: str = param("rows", OF_HELP, label="points are", choices=("rows", "units"))
    quality_points: int = param(
        10_000, "Points whose distortion is measured (each against all others).", low=50, high=50_000
    )


def umap(activations, params: UmapParams = UmapParams(), rng=None, progress=no_progress) -> Scatter:
    """UMAP of a tap, with its distortion per point.

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
        Not more than twice as many points as neighbours.
    InputError
        All points are equal.
    TooLarge
        More than 8 GiB of rows, or more than 8,192 units as points.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    points = point_set(activations, params.of, progress, (0.0, 0.1))
    progress(0.1, "reading")
    loaded = load_matrix(points.points, maximum_rows=params.maximum_rows, minimum_rows=4, rng=rng)
    x, k = loaded.values, params.n_neighbors
    if len(x) <= 2 * k:
        raise NotEnoughData(
            f"{activations.name} gives {len(x)} points for {k} neighbours",
            f"more than {2 * k}",
            "Use fewer neighbours",
        )
    if (x == x[0]).all():
        raise InputError(
            f"all rows of {activations.name} are equal", "rows that differ", "Choose another tap"
        )
    graph = nearest(x, k, params.metric, progress, (0.1, 0.3))
    positions = umap_layout(
        np.asarray(x, np.float64), graph, n_neighbors=k, min_dist=params.min_dist, epochs=params.epochs,
        rng=rng, progress=progress, span=(0.3, 0.7),
    )  # fmt: skip
    quality = placement_quality(
        x, positions, k, metric=params.metric, maximum_anchors=params.quality_points, rng=rng,
        progress=progress, span=(0.7, 1.0),
    )  # fmt: skip
    return _result(activations, params, points, loaded, graph, positions, quality, rng)


def _result(activations, params, points, loaded, graph, positions, quality: PlacementQuality, rng) -> Scatter:
    columns = {}
    for name in ("trust", "continuity", "recall"):
        columns[name] = np.full(len(positions), np.nan, dtype=np.float32)
        columns[name][quality.anchors] = getattr(quality, name)[:, 0]
    estimates = quality_estimates(quality, rng, d=loaded.values.shape[1])
    trust, recall = estimates[0], estimates[2]
    torn = float(np.mean(quality.recall[:, 0] < 0.2))
    return Scatter(
        title=f"UMAP of {activations.name}" + (" (units as points)" if params.of == "units" else ""),
        reading=(
            f"Points that are near on the map are mostly near in the data (trustworthiness {trust.value:.3f}, "
            f"{trust.null:.2f} for a random map). {recall.value:.0%} of each point's {params.n_neighbors} nearest "
            f"neighbours are still its nearest on the map; for {torn:.0%} of the points fewer than a fifth are. "
            "Colour by trust or recall to see where."
        ),
        caveats=_caveats(params, points, loaded, graph, quality),
        estimates=estimates,
        positions=positions,
        rows=points.numbers(loaded.rows),
        of=params.of,
        axes=("", ""),
        columns=columns,
        meaningful_axes=False,
    )


def _caveats(params, points, loaded, graph, quality: PlacementQuality) -> tuple[str, ...]:
    notes = [
        "Axes, cluster sizes, densities and distances between clusters mean nothing; structureless data form "
        "clumps too."
    ]
    if loaded.note:
        notes.append(loaded.note[0].upper() + loaded.note[1:] + ".")
    if quality.is_sampled:
        notes.append(
            f"Distortion measured for a random {len(quality.anchors):,} of {quality.n:,} points, each against all."
        )
    if graph.n_zero:
        notes.append(
            f"{graph.n_zero} zero vector(s) have no direction; they are neighbours of each other only."
        )
    if points.of == "rows" and not points.points.layout.is_pooled:
        notes.append(
            "Tokens of one sample resemble each other: clusters may be samples rather than features."
        )
    return (*notes, *points.notes)


def _cost(shapes, params: UmapParams) -> Cost:
    (rows, units), m = shapes[0], machine()
    n, d = (min(rows, params.maximum_rows), units) if params.of == "rows" else (units, units)
    a = min(n, params.quality_points)
    compared = m.seconds(flops32=2.0 * n * n * d, flops64=2.0 * a * n * d, moved=n * n * 40 + a * n * 200)
    layout = n * params.n_neighbors * params.epochs * 2.5e-7
    if params.of == "units":
        compared += m.seconds(flops64=2.0 * rows * d * d + 40.0 * d**3)
    blocks = min(n * n * 24, 200e6)
    return Cost(compared + layout + 0.05, n * d * 8 * 4 + blocks + n * params.n_neighbors * 120 + 2e6)


def _check() -> tuple[CheckLine, ...]:
    """Six far-apart clusters: no point's neighbours leave its cluster; the same seed draws the same map."""
    rng = np.random.default_rng(3)
    label = np.repeat(np.arange(6), 50)
    x = 12 * np.eye(6, 16)[label] + rng.standard_normal((300, 16))
    first, second = (umap(x, UmapParams(epochs=100), np.random.default_rng(1)) for _ in range(2))
    near = nearest(first.positions, 10).indices
    return (
        CheckLine(
            "map neighbours in the same cluster", 1.0, float((label[near] == label[:, None]).mean()), 0.0
        ),
        CheckLine("trustworthiness", 0.95, first.estimates[0].value, 0.0, "at least"),
        CheckLine(
            "same seed, largest difference", 0.0, float(np.abs(first.positions - second.positions).max()), 0.0
        ),
    )


METHODS = (
    Method(
        id="umap",
        family="projection",
        title="UMAP",
        summary="A map on which neighbours stay together, coloured by what it distorts.",
        version=1,
        function=umap,
        params=UmapParams,
        result=Scatter,
        check=_check,
        cost=_cost,
        minimum_rows=10,
        worker=True,
        invariance="rotating, shifting or rescaling all activations together keeps the neighbours (euclidean), "
        "but not the drawn positions",
        libraries=("umap-learn", "numba"),
    ),
)
