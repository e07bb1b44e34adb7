"""How much of the data's neighbourhoods a map keeps, at every neighbourhood size.

Trustworthiness (are the neighbours shown real?), continuity (are the real neighbours shown?) and neighbour recall
(the share kept) against the size k, for a plane of principal components, a random plane or UMAP. Formulas in
`analysis.compute.maps.map_quality`.

When it lies: the numbers judge ranks, not distances, so a map may score well and still distort every scale;
trustworthiness is high for any map of a few tight clusters (compare maps of the same data, not of different data);
small k is noisy, large k says whether the rough arrangement holds. The null is a map that places points at random;
a map of unstructured data is better than that.

Cost: O(a n d) for a measured points, plus the map's own cost. Memory O(n d).

Reference: J. Venna & S. Kaski (2001), "Neighborhood preservation in nonlinear projection methods".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations, load_matrix
from analysis.compute.machine import machine
from analysis.compute.maps.drawn_map import DRAWINGS, HELP, LINEAR, drawing_seconds, drawn_map, graph_for
from analysis.compute.maps.map_quality import EXACT_POINTS, placement_quality, quality_estimates, random_map
from analysis.compute.neighbours.neighbours import METRICS
from analysis.compute.rows.points import OF_HELP, point_set
from analysis.compute.statistics.nulls import bootstrap_mean
from analysis.errors import InputError
from analysis.results import Curve
from analysis.spec import CheckLine, Cost, Method, no_progress, param

SERIES = {"trust": "trustworthiness", "continuity": "continuity", "recall": "neighbour recall"}
NEIGHBOURS = 15


@dataclass(frozen=True)
class MapQualityParams:
    projection: str = param(
        "pca", HELP, choices=DRAWINGS,
    )  # fmt: skip
    maximum_k: int = param(100, "Largest neighbourhood size.", label="largest k", low=2, high=1000)
    metric: str = param("euclidean", "How neighbours are found in the data.", choices=METRICS)
    maximum_rows: int = param(
        3000,
        "Most points; a seeded random subset above. All of them are measured, exactly up to 5,000.",
        low=50,
        high=200_000,
    )
    of: str = param("rows", OF_HELP, label="points are", choices=("rows", "units"))


def map_quality(activations, params: MapQualityParams = MapQualityParams(), rng=None, progress=no_progress):
    """Quality of a two-dimensional map against neighbourhood size.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Curve
        x = k; series "trustworthiness", "continuity", "neighbour recall" in [0, 1] with 95 % bootstrap bands over
        points and the value of a random map as null; estimates at k = 15 (or the largest k).

    Raises
    ------
    NotEnoughData, InputError
        Fewer than ten points (for UMAP 31); all points equal.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    points = point_set(activations, params.of, progress, (0.0, 0.1))
    progress(0.1, "reading")
    loaded = load_matrix(points.points, maximum_rows=params.maximum_rows, minimum_rows=10, rng=rng)
    x = np.asarray(loaded.values, dtype=np.float64)
    if (x == x[0]).all():
        raise InputError(
            f"all rows of {activations.name} are equal", "rows that differ", "Choose another tap"
        )
    ks = sizes(len(x), params.maximum_k)
    graph = None
    if len(x) > EXACT_POINTS or params.projection not in LINEAR:
        graph = graph_for(
            x, params.projection, params.metric, at_least=int(ks[-1]), progress=progress, span=(0.1, 0.3)
        )
    placed = drawn_map(
        x, params.projection, rng, metric=params.metric, graph=graph, progress=progress, span=(0.3, 0.6)
    )
    quality = placement_quality(
        x, placed, tuple(ks), metric=params.metric, graph=graph, rng=rng, progress=progress, span=(0.6, 1.0)
    )
    at = int(np.searchsorted(ks, NEIGHBOURS)) if ks[-1] >= NEIGHBOURS else len(ks) - 1
    chance = random_map(quality.n, ks)
    series, low, high, null = {}, {}, {}, {}
    for short, name in SERIES.items():
        values = getattr(quality, short)
        series[name], null[name] = values.mean(axis=0), chance["recall" if short == "recall" else "trust"]
        low[name], high[name] = bootstrap_mean(values, rng, draws=500)
    estimates = quality_estimates(quality, rng, at, d=x.shape[1])
    return Curve(
        title=f"Map quality: {params.projection} of {activations.name}",
        reading=_reading(params, estimates, int(ks[at])),
        caveats=(*_caveats(points, loaded), *((quality.note,) if quality.note else ())),
        estimates=estimates,
        x=ks,
        x_name="neighbourhood size k",
        y_name="quality (1 is perfect)",
        series=series,
        low=low,
        high=high,
        null=null,
        log_x=True,
    )


def sizes(n: int, largest: int) -> np.ndarray:
    """Neighbourhood sizes, geometrically spaced, 15 among them, all below n / 2."""
    top = min(largest, (n - 1) // 2)
    ks = np.unique(
        np.append(np.geomspace(min(2, top), top, 10).round().astype(np.int64), min(NEIGHBOURS, top))
    )
    return ks[ks >= 1]


def _reading(params, estimates, k: int) -> str:
    trust, continuity, recall = estimates
    gap = trust.value - continuity.value
    fault = ""
    if abs(gap) > 0.005:
        fault = "; it rather " + ("tears true neighbours apart" if gap > 0 else "shows false neighbours")
    return (
        f"At k = {k} the {params.projection} map keeps {recall.value:.1%} of the neighbours "
        f"({recall.null:.1%} by chance){fault}. Trustworthiness {trust.value:.3f}, continuity "
        f"{continuity.value:.3f}; about {trust.null:.2f} for a random map."
    )


def _caveats(points, loaded) -> tuple[str, ...]:
    notes = ["Ranks only: a map may score well and still distort distances. Compare maps of the same data."]
    if loaded.note:
        notes.append(loaded.note[0].upper() + loaded.note[1:] + ".")
    if loaded.is_sampled:
        notes.append("With fewer points the same k reaches further: compare at equal numbers of points.")
    return (*notes, *points.notes)


def _cost(shapes, params: MapQualityParams) -> Cost:
    (rows, units), m = shapes[0], machine()
    n, d = (min(rows, params.maximum_rows), units) if params.of == "rows" else (units, units)
    a = min(n, EXACT_POINTS)
    seconds = m.seconds(flops64=2.0 * a * n * d, moved=a * n * 250.0, calls=a * 25)
    seconds += drawing_seconds(n, d, params.projection)
    if params.of == "units":
        seconds += m.seconds(flops64=2.0 * rows * d * d + 40.0 * d**3)
    return Cost(seconds + 0.05, n * d * 8 * 4 + min(n * n * 40, 250e6) + 1e6)


def _check() -> tuple[CheckLine, ...]:
    """A plane in 20 dimensions is mapped perfectly; a random map of noise gives the closed-form null."""
    rng = np.random.default_rng(5)
    plane = rng.standard_normal((400, 2)) @ np.linalg.qr(rng.standard_normal((20, 2)))[0].T + 3
    perfect = map_quality(plane)
    noise, elsewhere = rng.standard_normal((800, 10)), rng.standard_normal((800, 2))
    chance = placement_quality(noise, elsewhere, 15)
    expected = random_map(800, 15)
    lines = [CheckLine(f"a plane: {e.name}", 1.0, e.value, 0.0) for e in perfect.estimates]
    return (
        *lines,
        CheckLine("random map: trustworthiness", float(expected["trust"]), float(chance.trust.mean()), 0.015),
        CheckLine("random map: recall", float(expected["recall"]), float(chance.recall.mean()), 0.006),
        CheckLine("by hand: five points on a line, 2 and 3 swapped", *_by_hand(), 1e-12),
    )


def _by_hand() -> tuple[float, float]:
    """Trustworthiness at k = 1 of five points on a line, two of them swapped: by the definition, and by ours."""
    data = np.array([0, 1, 2.1, 3.3, 4.6])[:, None]
    drawn = data[[0, 1, 3, 2, 4]]
    penalty = 0
    for i in range(5):
        others = [j for j in range(5) if j != i]
        shown = min(others, key=lambda j: abs(drawn[j, 0] - drawn[i, 0]))
        rank = sorted(others, key=lambda j: abs(data[j, 0] - data[i, 0])).index(shown) + 1
        penalty += max(0, rank - 1)
    expected = 1 - 2 / (5 * 1 * (2 * 5 - 3 - 1)) * penalty
    return expected, float(placement_quality(data, drawn, 1).trust.mean())


METHODS = (
    Method(
        id="map_quality",
        family="projection",
        title="Map quality",
        summary="What a two-dimensional map keeps of the data's neighbourhoods, at every size.",
        version=4,
        function=map_quality,
        params=MapQualityParams,
        result=Curve,
        check=_check,
        cost=_cost,
        minimum_rows=10,
        worker=True,
        invariance="rotating, shifting or rescaling the activations changes nothing; nor does moving, turning, "
        "flipping or rescaling the map",
        libraries=("umap-learn", "numba"),
    ),
)
