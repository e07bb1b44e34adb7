"""What noise looks like: the same projection of the same data with every unit's values shuffled among the samples.

A shuffled unit keeps its values and loses its relation to all others: x'_sj = x_π_j(s)j, with a permutation π_j of its
own for each unit j (the tokens of a sample move together). Clumps, threads and gaps on this picture come from the
method. What the data's map may claim is the distance between the two in the numbers below: how many neighbours are
kept, whether far and near are kept, and for principal components how much of the variance is shown.

When it lies: shuffled data have no relation between units at all, which is less than any data worth a look, so that a
difference from it says "not independent units" and nothing about clusters (ask `separation` for those); in few units
there is little to lose, and a map may keep the neighbours of noise as well; a shuffled unit keeps its own two humps,
which then show as a lattice. Units as points are held against independent Gaussian units. With few samples of many
tokens there are few ways to move a sample, and some units stay together.

Cost: one map and its quality for the data and for each draw. Memory O(n d).

Reference: A. Buja & N. Eyuboglu (1992), "Remarks on parallel analysis" (shuffling each column as the null).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.maps.drawn_map import DRAWINGS, LINEAR, NAMES, drawing_seconds, drawn_map, graph_for
from analysis.compute.maps.map_report import QUALITY_HELP, MapReport, map_report, report_bytes, report_cost
from analysis.compute.maps.shuffled_points import MOVED, shuffled_points
from analysis.compute.neighbours.neighbours import METRICS
from analysis.compute.rows.cloud import point_cloud
from analysis.compute.rows.points import OF_HELP
from analysis.results import Estimate, Scatter
from analysis.spec import CheckLine, Cost, Method, no_progress, param

PROJECTIONS = tuple(name for name in DRAWINGS if name in NAMES)
SHARE = "variance share of the picture"


@dataclass(frozen=True)
class MapNullParams:
    projection: str = param("pca", "The method whose picture of noise is wanted.", choices=PROJECTIONS)
    metric: str = param("euclidean", "How neighbours are found in the data.", choices=METRICS)
    draws: int = param(3, "Shuffles; the first is drawn, all are measured.", low=1, high=99)
    maximum_rows: int = param(10_000, "Most points; a seeded random subset above.", low=50, high=1_000_000)
    of: str = param("rows", OF_HELP, label="points are", choices=("rows", "units"))
    quality_points: int = param(1000, QUALITY_HELP, low=50, high=50_000)


def map_null(activations, params: MapNullParams = MapNullParams(), rng=None, progress=no_progress) -> Scatter:
    """A projection of shuffled data, with its quality beside that of the data's own map.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Scatter
        `positions` (points, 2) of the first shuffle; a point is no sample. Columns as of every map ("trust" ...).
        Estimates: each quality of the data's map with the shuffled ones as its null, then those of the picture.

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
    maps = []
    for i in range(params.draws + 1):
        x = cloud.x if i == 0 else shuffled_points(cloud, activations, params.of, rng)
        width = 0.95 / (params.draws + 1)
        found = _measured(x, params, rng, i == 0, progress, (0.05 + i * width, 0.05 + (i + 1) * width))
        maps.append(found if i < 2 else (None, found[1], found[2]))
    data, null = maps[0], maps[1:]
    positions, report = null[0][0], null[0][1]
    pairs = _data_estimates(data, null, MOVED[params.of])
    name = NAMES[params.projection]
    return Scatter(
        title=f"What noise looks like: {name} of {activations.name}, shuffled",
        reading=_reading(name, params.of, pairs, report),
        caveats=(*_caveats(cloud, params), *cloud.notes, *report.notes),
        estimates=(*pairs, *(replace(e, name=f"{e.name}, shuffled") for e in report.estimates)),
        positions=positions.astype(np.float32),
        rows=cloud.rows,
        of=params.of,
        axes=("PC 1 of shuffled data", "PC 2 of shuffled data") if params.projection in LINEAR else ("", ""),
        columns=report.columns,
        meaningful_axes=params.projection in LINEAR,
    )


def _measured(x, params, rng, keep: bool, progress, span) -> tuple[np.ndarray, MapReport, float | None]:
    """Positions, report and, for principal components, the share of the variance."""
    third = span[0] + (span[1] - span[0]) / 3
    later = span[0] + (span[1] - span[0]) * 0.7
    linear, graph = params.projection in LINEAR, None
    if not linear:
        graph = graph_for(
            x, params.projection, params.metric, keep=keep, progress=progress, span=(span[0], third)
        )
    y = drawn_map(
        x, params.projection, rng, metric=params.metric, graph=graph, progress=progress, span=(third, later)
    )
    report = map_report(
        x, y, rng, metric=params.metric, maximum_anchors=params.quality_points, graph=graph, progress=progress,
        span=(later, span[1]),
    )  # fmt: skip
    share = float((y**2).sum() / ((x - x.mean(axis=0)) ** 2).sum()) if linear else None
    return y, report, share


def _data_estimates(data, null, how: str) -> tuple[Estimate, ...]:
    """Each estimate of the data's map, held against the same of the shuffled ones."""
    found = []
    for i, e in enumerate(data[1].estimates):
        found.append(_against(e, np.array([n[1].estimates[i].value for n in null]), how))
    if data[2] is not None:
        e = data[1].estimates[0]
        share = Estimate(SHARE, data[2], n=e.n, d=e.d, estimator="over that of all units")
        found.append(_against(share, np.array([n[2] for n in null]), how))
    return tuple(found)


def _against(e: Estimate, null: np.ndarray, how: str) -> Estimate:
    many = len(null) > 1
    return replace(
        e, null=float(null.mean()), null_low=float(null.min()) if many else None,
        null_high=float(null.max()) if many else None, p_value=None,
        null_method=f"the same projection, {how}, {len(null)} draw(s)" + (": mean, least, most" if many else ""),
    )  # fmt: skip


def _reading(name: str, of: str, pairs, report: MapReport) -> str:
    recall = pairs[2]
    most = recall.null if recall.null_high is None else recall.null_high
    lines = [
        f"{name} of data whose units know nothing of each other: what you see here comes from the method, not from "
        f"the network."
    ]
    numbers = f"{recall.value:.0%} of the nearest neighbours against {recall.null:.0%} here"
    if recall.low > most:
        lines.append(f"The map of the data keeps more of what it was made from: {numbers}.")
    else:
        lines.append(f"The map of the data keeps no more neighbours than this one: {numbers}.")
    if pairs[-1].name == SHARE:
        share = pairs[-1]
        lines.append(f"It shows {share.value:.1%} of the variance, this one {share.null:.1%}.")
    lines.append("Believe only shapes of the data's map that have no like here.")
    return " ".join(lines)


def _caveats(cloud, params) -> list[str]:
    what = "unit" if params.of == "units" else "sample"
    notes = [f"No point here is a {what} of the data, and no point corresponds to one of the other map."]
    if params.of == "rows" and cloud.n_samples < len(cloud.x) and cloud.n_samples < 20:
        notes.append(f"Only {cloud.n_samples} samples to move: some units stay together by chance.")
    return notes


def _cost(shapes, params: MapNullParams) -> Cost:
    (rows, units), m = shapes[0], machine()
    n, d = (min(rows, params.maximum_rows), units) if params.of == "rows" else (units, units)
    one = drawing_seconds(n, d, params.projection) + m.seconds(**report_cost(n, d, params.quality_points))
    seconds = (params.draws + 1) * (one + m.seconds(moved=n * d * 60.0))
    if params.of == "units":
        seconds += m.seconds(flops64=2.0 * rows * d * d + 40.0 * d**3 * (params.draws + 1))
    return Cost(seconds + 0.05, n * d * 8 * 4.0 + report_bytes(n, d) + 2e6)


def _check() -> tuple[CheckLine, ...]:
    """A plane in 30 units: the data's map keeps it all, the shuffled one what independent units would give; of
    independent units, shuffling changes nothing."""
    rng = np.random.default_rng(4)
    plane = rng.standard_normal((600, 2)) @ rng.standard_normal((2, 30))
    found = {e.name: e for e in map_null(plane, MapNullParams(draws=5)).estimates}
    noise = {e.name: e for e in map_null(rng.standard_normal((600, 30)), MapNullParams(draws=5)).estimates}
    recall = "neighbour recall at k = 15"
    edge = (1 + np.sqrt(30 / 600)) ** 2 / 30  # largest eigenvalue of independent units with equal variances
    return (
        CheckLine("a plane: neighbours kept", 1.0, found[recall].value, 1e-12),
        CheckLine("a plane, shuffled: neighbours kept at most", 0.2, found[recall].null, 0.0, "at most"),
        CheckLine("a plane: variance share", 1.0, found[SHARE].value, 1e-12),
        CheckLine("noise: variance share of two axes (Marchenko-Pastur edge)", 2 * edge, noise[SHARE].null, 0.012),
        CheckLine("noise: variance share, data less shuffled", 0.0, noise[SHARE].value - noise[SHARE].null, 0.01),
        CheckLine("noise: neighbours kept, data less shuffled", 0.0, noise[recall].value - noise[recall].null, 0.03),
    )  # fmt: skip


METHODS = (
    Method(
        id="map_null",
        family="projection",
        title="The map of shuffled data",
        summary="What a projection draws when the units know nothing of each other.",
        version=2,
        function=map_null,
        params=MapNullParams,
        result=Scatter,
        check=_check,
        cost=_cost,
        minimum_rows=10,
        worker=True,
        invariance="shifting or rescaling all activations together changes nothing; rotating them does, because units "
        "are what is shuffled",
        libraries=("umap-learn", "openTSNE", "numba"),
    ),
)
