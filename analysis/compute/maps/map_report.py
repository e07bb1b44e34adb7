"""What every map says about itself: how much of the neighbourhoods it keeps, per point and over all points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.maps.distance_ranks import distance_ranks
from analysis.compute.maps.local_expansion import neighbour_expansion
from analysis.compute.maps.map_quality import placement_quality, quality_estimates
from analysis.compute.maps.map_reading import map_reading, misplaced
from analysis.compute.neighbours.neighbours import as_points, near_one, search_bytes
from analysis.results import Estimate
from analysis.spec import Progress, no_progress

NEIGHBOURS = 15
RANKED = 2000  # points whose distances are ranked
QUALITY_HELP = "Points up to which distortion is measured exactly, each against all others."


@dataclass(frozen=True)
class MapReport:
    """`columns` (n,) per point, NaN where not measured: "trust", "continuity", "recall", "expansion" (log2 of map over
    data neighbour distance, 0 the median) and "distance rank" (rank correlation of the point's distances);
    `estimates` of the means; `sentence` for the reading; `notes` for the caveats."""

    columns: dict[str, np.ndarray]
    estimates: tuple[Estimate, ...]
    sentence: str
    notes: tuple[str, ...]


def map_report(
    x: np.ndarray,
    positions: np.ndarray,
    rng: np.random.Generator,
    *,
    k: int = NEIGHBOURS,
    metric: str = "euclidean",
    maximum_anchors: int = 2000,
    graph=None,
    drawn: str = "",
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.7, 1.0),
) -> MapReport:
    """Measure the map `positions` (n, 2 or 3) of the points `x` (n, d), n >= 4.

    `k` is lowered where there are too few points for it (n > 2 k is needed). With a neighbour `graph` of the same
    metric all points are measured (starts Numba); otherwise at most `maximum_anchors`. `drawn` : a key of
    `map_reading.KINDS`, when the sentence shall say what the axes mean. Time O(anchors n (d + log n)).
    """
    n = len(x)
    k = min(k, (n - 1) // 2)
    quality = placement_quality(
        x, positions, k, metric=metric, maximum_anchors=maximum_anchors, graph=graph, rng=rng, progress=progress,
        span=span,
    )  # fmt: skip
    columns = {}
    for name in ("trust", "continuity", "recall"):
        columns[name] = np.full(n, np.nan, dtype=np.float32)
        columns[name][quality.anchors] = getattr(quality, name)[:, 0]
    points = near_one(as_points(x, metric)[0])[0]
    columns["expansion"] = np.full(n, np.nan, dtype=np.float32)
    columns["expansion"][quality.anchors] = neighbour_expansion(
        points, np.asarray(positions, np.float64), quality.anchors, quality.nearest[:, :k]
    )
    some = quality.anchors[:: -(-len(quality.anchors) // RANKED)]
    ranks = distance_ranks(x, positions, rng, rows=some, metric=metric)
    columns["distance rank"] = np.full(n, np.nan, dtype=np.float32)
    columns["distance rank"][some] = ranks.correlation
    estimates = (*quality_estimates(quality, rng, d=x.shape[1]), ranks.overall)
    notes = (quality.note,) if quality.note else ()
    sentence = map_reading(
        estimates[0], estimates[2], misplaced(quality), drawn=drawn, distances=ranks.overall
    )
    return MapReport(columns, estimates, sentence, notes)


def report_cost(n: int, d: int, anchors: int) -> dict[str, float]:
    """Operations of `map_report` as `Machine.seconds` takes them."""
    a = min(n, anchors)
    return {"flops64": 2.0 * a * n * (d + 2), "moved": a * n * 200.0}


def report_bytes(n: int, d: int) -> float:
    """Memory of `map_report` beyond the points themselves."""
    return n * d * 4.0 + min(32 << 20, 8.0 * n * n) + search_bytes(n, d, NEIGHBOURS)
