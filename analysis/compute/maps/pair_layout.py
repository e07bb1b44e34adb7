"""PaCMAP and LocalMAP: a layout from three kinds of pairs, by full-batch descent on two dozen numbers per point.

With d_ij = 1 + |y_i - y_j|², near pairs N (neighbours by d² / (σ_i σ_j), σ_i the mean distance to the 4th to 6th
neighbour), mid-near pairs M (the second nearest of six random points) and further pairs F (random points):

    loss = w_N Σ_N d / (10 + d) + w_M Σ_M d / (10⁴ + d) + w_F Σ_F 1 / (1 + d)

    steps      1 … 100                        … 200     … 450
    w_N        2                              3         1
    w_M        1000 falling to 3              3         0
    w_F        1                              1         1

Adam (rate 1, 0.9, 0.999), from the first principal components. LocalMAP differs in the last phase only: the near
forces are multiplied by 5 / √d, so that a near pair that stayed long on the map, probably a false one, pulls less;
and every ten steps the further pairs are drawn again among points within 10 on the map, so that borders open.

References: Y. Wang, H. Huang, C. Rudin & Y. Shaposhnik (2021), "Understanding how dimension reduction tools work";
Y. Wang, Y. Sun, H. Huang & C. Rudin (2025), "Dimension reduction with locally adjusted graphs".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.maps.layout import first_positions
from analysis.compute.neighbours.neighbours import as_points, near_one
from analysis.compute.row_threads import row_threads
from analysis.spec import Progress, no_progress

PHASES = (100, 100, 250)
REACH = 10.0  # LocalMAP: distance on the map within which further pairs are drawn
EVERY = 10  # steps between two such draws
MORE = 5  # neighbours beyond the near pairs themselves, to choose by scaled distance
START = 0.1  # largest coordinate of the first positions


@dataclass
class Pairs:
    """`near`, `middle`, `far`: int32 (n, pairs) partners of each point; a pair acts on both its points."""

    near: np.ndarray
    middle: np.ndarray
    far: np.ndarray


def near_pairs(indices: np.ndarray, distances: np.ndarray, count: int) -> np.ndarray:
    """The `count` neighbours (n, count) int32 of smallest scaled distance, of more neighbours (n, k)."""
    k = indices.shape[1]
    count = min(count, k)
    scale = np.maximum(np.asarray(distances[:, min(3, k - 1) : 6], np.float64).mean(axis=1), 1e-10)
    scaled = np.asarray(distances, np.float64) ** 2 / scale[indices] / scale[:, None]
    order = np.argsort(scaled, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(indices, order, axis=1).astype(np.int32)


def choose_pairs(points, indices, distances, n_neighbors: int, seed: int, run) -> Pairs:
    """Near, mid-near (half as many) and further pairs (twice as many) of `points` (n, d)."""
    from analysis.compute.maps import pair_kernels as kernels

    n = len(points)
    near = near_pairs(indices, distances, n_neighbors)
    middle = np.empty((n, max(1, n_neighbors // 2)), np.int32)
    far = np.empty((n, min(2 * n_neighbors, n - 1)), np.int32)
    run(kernels.choose_middle, points, np.uint64(seed), middle)
    run(kernels.choose_far, near, np.uint64(seed + 1), far)
    return Pairs(near, middle, far)


class _Both:
    """Partners of each point in both directions of directed pairs."""

    def __init__(self, pairs: np.ndarray) -> None:
        self.starts = np.zeros(len(pairs) + 1, np.int64)
        self.ends = np.empty(2 * pairs.size, np.int32)
        self.again(pairs)

    def again(self, pairs: np.ndarray) -> None:
        from analysis.compute.maps.pair_kernels import both_ways

        both_ways(pairs, self.starts, self.ends)


def pair_layout(
    points: np.ndarray,
    indices: np.ndarray,
    distances: np.ndarray,
    start: np.ndarray,
    *,
    n_neighbors: int,
    reach: float | None,
    seed: int,
    steps: tuple[int, int, int] = PHASES,
    threads: int | None = None,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> np.ndarray:
    """Positions (n, 2 or 3) float32.

    Parameters
    ----------
    points : (n, d) float32 whose Euclidean distances stand for the metric (for the mid-near pairs).
    indices, distances : (n, k) neighbours, nearest first; more than n_neighbors, to choose from.
    start : (n, 2 or 3) first positions.
    reach : LocalMAP with this distance (10 in the paper); None is PaCMAP.
    seed : of all draws; with it the answer is the same for any number of threads.

    Notes
    -----
    Time O(n n_neighbors steps), memory O(n n_neighbors).
    """
    from analysis.compute.maps import pair_kernels as kernels

    n, total = len(points), sum(steps)
    y, g = np.array(start, dtype=np.float32, order="C"), np.zeros(start.shape, np.float32)
    m, v, out = np.zeros_like(y), np.zeros_like(y), np.empty_like(y)
    with row_threads(n, threads) as run:
        progress(span[0], "choosing pairs")
        pairs = choose_pairs(points, indices, distances, n_neighbors, seed, run)
        near, middle, far = _Both(pairs.near), _Both(pairs.middle), _Both(pairs.far)
        for t in range(total):
            if t % 10 == 0:
                progress(span[0] + (span[1] - span[0]) * t / total, f"laying out, step {t} of {total}")
            w_near, w_mid, w_far = weights(t, steps)
            late = reach is not None and t >= steps[0] + steps[1]
            if late and t % EVERY == 0:
                _draw_nearby(y, pairs, reach, seed + 2 + t, run)
                far.again(pairs.far)
            run(
                kernels.gradient, y, near.starts, near.ends, middle.starts, middle.ends, far.starts, far.ends,
                w_near, w_mid, w_far, np.float32(reach / 2 if late else 0), g,
            )  # fmt: skip
            rate = np.float32(np.sqrt(1 - 0.999 ** (t + 1)) / (1 - 0.9 ** (t + 1)))
            run(kernels.step, y, out, m, v, g, rate)
            y, out = out, y
    return y


def weights(t: int, steps: tuple[int, int, int] = PHASES) -> tuple[np.float32, np.float32, np.float32]:
    """Weights of near, mid-near and further pairs at step t (from 0)."""
    if t < steps[0]:
        part = t / steps[0]
        return np.float32(2), np.float32(1000 * (1 - part) + 3 * part), np.float32(1)
    if t < steps[0] + steps[1]:
        return np.float32(3), np.float32(3), np.float32(1)
    return np.float32(1), np.float32(0), np.float32(1)


def phases(steps: int) -> tuple[int, int, int]:
    """So many steps in the proportions of the three phases."""
    total = sum(PHASES)
    first, second = (max(1, steps * p // total) for p in PHASES[:2])
    return first, second, steps - first - second


def laid_out(
    x: np.ndarray,
    graph,
    *,
    components: int,
    n_neighbors: int,
    reach: float | None,
    steps: tuple[int, int, int] = PHASES,
    rng: np.random.Generator,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> np.ndarray:
    """The same for points `x` (n, d) and their `NeighbourGraph`, whose metric it takes."""
    start = first_positions(x, components, rng, START)
    return pair_layout(
        _points(x, graph.metric), graph.indices, graph.distances, start, n_neighbors=n_neighbors, reach=reach,
        steps=steps, seed=int(rng.integers(2**62)), progress=progress, span=span,
    )  # fmt: skip


def _points(x: np.ndarray, metric: str) -> np.ndarray:
    """(n, d) float32 for comparing distances; their scale does not matter."""
    if metric == "euclidean" and x.dtype == np.float32:  # the same, at a fifth of the time
        points = x - np.median(x[:: max(1, len(x) // 500)], axis=0)
        largest = max(float(points.max()), -float(points.min()))
        if 1e-30 < largest < 1e30:
            points *= np.float32(2.0 ** -np.frexp(largest)[1])
            return points
    return near_one(as_points(x, metric)[0])[0].astype(np.float32)


def _draw_nearby(y: np.ndarray, pairs: Pairs, reach: float, seed: int, run) -> None:
    """Draw the further pairs again within `reach` on the map."""
    from analysis.compute.maps import pair_kernels as kernels

    low = y.min(axis=0)
    place = np.minimum((y - low) / np.float32(reach), 255 if y.shape[1] == 2 else 63).astype(np.int64)
    sides = np.ones(3, np.int64)
    sides[: y.shape[1]] = place.max(axis=0) + 1
    cell = place @ np.array([1, sides[0], sides[0] * sides[1]])[: y.shape[1]]
    members = np.argsort(cell, kind="stable").astype(np.int32)
    starts = np.searchsorted(cell[members], np.arange(sides.prod() + 1))
    run(
        kernels.choose_far_nearby, y[members], pairs.near, np.float32(reach), sides, cell[members], starts, members,
        np.uint64(seed), pairs.far,
    )  # fmt: skip
