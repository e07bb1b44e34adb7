"""Trustworthiness, continuity and recall of every point of a large map, from its neighbour graph.

The definitions are those of `map_quality`. What the graph knows is exact: recall, and every rank up to the graph's
K. The rank of a point j beyond it is K + 1 plus the number of the n - 1 - K points outside the graph that are nearer
than j, which is counted on m references drawn at random without replacement, c of whose m' lie outside the graph:

    r(i, j) ≈ 1 + K + (n - 1 - K) c / m'

an unbiased count, so that every penalty max(0, r - k) with k <= K, and each mean of them, is unbiased too. The
references are the same for all points, so the error of the mean is taken over references, not over points. On the
map the neighbours come from a k-d tree, and the ranks beyond them from references in the same way.
Starts Numba. Points at equal distances beyond the graph (squares to single precision) count as not nearer.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from analysis.compute.machine import machine
from analysis.compute.neighbours.map_neighbours import nearest_on_map
from analysis.errors import NotEnoughData
from analysis.spec import Progress

IN_DATA, ON_MAP = 256, 512  # references
BLOCK = 4096  # rows


def graph_quality(
    points: np.ndarray,
    low: np.ndarray,
    indices: np.ndarray,
    ks: np.ndarray,
    rng: np.random.Generator,
    progress: Progress,
    span: tuple[float, float],
    references: int = IN_DATA,
) -> dict[str, np.ndarray]:
    """Keys "trust", "continuity", "recall" (n, len(ks)); "trust error", "continuity error" (n, len(ks)), one
    standard error of each point's value; "trust mean error", "continuity mean error" (len(ks),) of the means.

    Parameters
    ----------
    points, low : finite float64 (n, d) and (n, 2 or 3), centred; Euclidean distances stand for the metric.
    indices : (n, K) neighbours in the data, nearest first, K >= the largest k.
    ks : rising numbers, the largest below n / 2.

    Raises NotEnoughData when the graph has fewer than max(ks) neighbours.

    Notes
    -----
    Time O(n (references + k) d) and O(n k references); memory O(n (K + k)) plus blocks.
    """
    n, top = len(points), int(ks[-1])
    if indices.shape[1] < top:
        raise NotEnoughData(
            f"a graph of {indices.shape[1]} neighbours",
            f"at least k = {top}",
            "Use a smaller k or a larger graph",
        )
    middle = span[0] + (span[1] - span[0]) / 2
    progress(span[0], "neighbours on the map")
    known = np.ascontiguousarray(indices, dtype=np.int32)
    near, away = nearest_on_map(low, min(n - 1, max(top, 30)))
    radius = _radius(points, known[:, -1])
    sides = (
        ("trust", points, near, known, radius, references, (span[0], middle)),
        ("continuity", low, known, near, away[:, -1] ** 2, max(ON_MAP, references), (middle, span[1])),
    )
    found = {}
    for name, space, shown, graph, reach, m, part in sides:
        value = _penalties(space, shown, graph, reach, min(m, n), ks, rng, progress, part)
        scale = 2.0 / (ks * (2 * n - 3 * ks - 1))
        found[name] = 1 - scale * value["penalty"]
        found[f"{name} error"] = scale * value["error"]
        found[f"{name} mean error"] = scale * value["mean error"]
        if name == "trust":
            found["recall"] = value["inside"] / ks
    return found


def _radius(points: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Squared distance (n,) of each point to the point `last` (n,), block by block."""
    out = np.empty(len(points))
    for start in range(0, len(points), BLOCK):
        part = points[start : start + BLOCK] - points[last[start : start + BLOCK]]
        out[start : start + BLOCK] = np.einsum("ij,ij->i", part, part)
    return out


def _scaled(points: np.ndarray, radius: np.ndarray, some: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points and squared radii (float32) with a typical radius of 1: the squares of float32 reach from 1e-38 to 1e38,
    and whatever lies beyond that is as near or as far as can be."""
    typical = float(np.median(radius)) or float((points[some] ** 2).sum(axis=1).mean()) or 1.0
    with np.errstate(over="ignore"):
        return points / np.sqrt(typical), (radius / typical).astype(np.float32)


def _with_norms(points: np.ndarray) -> np.ndarray:
    """(n, d + 2): the points, their squared norms, and ones: a product of two such is a squared distance."""
    return np.column_stack([points, np.einsum("ij,ij->i", points, points), np.ones(len(points))])


def _penalties(points, shown, known, radius, m, ks, rng, progress, span) -> dict[str, np.ndarray]:
    """Sums of rank penalties per point and k, with their errors; see `placement_kernels.rank_penalties`."""
    from analysis.compute.maps.placement_kernels import rank_penalties

    n, threads = len(points), max(1, min(machine().cores, 16))
    chosen = np.sort(rng.choice(n, size=m, replace=False))
    place = np.full(n, -1, np.int32)
    place[chosen] = np.arange(m)
    points, radius = _scaled(points, radius, chosen)
    there = _with_norms(points[chosen])
    there = np.hstack([-2 * there[:, :-2], there[:, :-3:-1]]).T
    single = points.astype(np.float32)
    penalty, error = np.zeros((n, len(ks))), np.zeros((n, len(ks)))
    inside = np.zeros((n, len(ks)), np.int32)
    sums = np.zeros((threads, len(ks), m), np.int64)
    with ThreadPoolExecutor(threads) as pool:
        for first in range(0, n, BLOCK):
            progress(span[0] + (span[1] - span[0]) * first / n, "measuring the map")
            squares = (_with_norms(points[first : first + BLOCK]) @ there).astype(np.float32)
            edges = [len(squares) * t // threads for t in range(threads + 1)]
            jobs = [
                pool.submit(rank_penalties, single, shown, known, radius, squares, first, place, ks, penalty, error,
                            inside, sums[t], edges[t], edges[t + 1])
                for t in range(threads)
            ]  # fmt: skip
            for job in jobs:
                job.result()
    per_reference = sums.sum(axis=0) * ((n - 1 - known.shape[1]) / n)
    # the mean penalty is the mean over references: its error is theirs, without replacement
    mean_error = per_reference.std(axis=1, ddof=1) / np.sqrt(m) * np.sqrt(max(0.0, 1 - m / n))
    return {"penalty": penalty, "error": error, "inside": inside, "mean error": mean_error}
