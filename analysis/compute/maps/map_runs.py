"""The same map drawn again, from another seed or other samples, and laid over the first: who stayed where.

Overlap of point i: |N_k(i) ∩ N'_k(i)| / k, the k nearest on either map among the points that both show. Displacement:
|s y'_i R - y_i| / sqrt(mean |y|²) after the best rotation or reflection R (orthogonal Procrustes) and, where a map has
no scale of its own, the best scale s.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.linear.linalg import principal_components
from analysis.compute.linear.procrustes import rotation_onto
from analysis.compute.maps.drawn_map import LINEAR, drawn_map, graph_for
from analysis.compute.neighbours.map_neighbours import nearest_on_map
from analysis.spec import Progress, no_progress

RESAMPLING = ("half", "bootstrap")
SEEDS, SAMPLES = "another seed", "other samples"
BLOCK = 4096
SHUFFLES = 20


@dataclass(frozen=True)
class Run:
    """One map against the first: `places` (n, 2) laid over it, `overlap` and `displacement` (n,), all NaN for points
    that it does not show; `chance` overlap k / (m - 1) of the m points that both show, and `unmatched`, the mean
    displacement when its points are exchanged."""

    places: np.ndarray
    overlap: np.ndarray
    displacement: np.ndarray
    chance: float
    unmatched: float


@dataclass(frozen=True)
class Plan:
    """What is drawn again: a name of `drawn_map.DRAWINGS`, the data's `metric`, `k` neighbours to compare, how samples
    are drawn, and how many runs of each kind (a linear map takes no seeds)."""

    how: str
    metric: str
    k: int
    resampling: str
    seeds: int
    draws: int


def all_runs(
    x: np.ndarray,
    sample: np.ndarray,
    plan: Plan,
    rng: np.random.Generator,
    *,
    keep: bool = True,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> tuple[np.ndarray, dict[str, list[Run]]]:
    """The first map (n, 2), and the others laid over it under "another seed" (where there are seeds) and "other
    samples".

    `x` (n, d), `sample` (n,) rising from 0; `keep` the neighbour graph for other methods. One map a run.

    Raises NotEnoughData when a neighbour map has 30 points or fewer, as a half may.
    """
    neighbours = plan.how not in LINEAR
    edges = np.linspace(*span, plan.seeds + plan.draws + 2)
    graph, begin = None, edges[0]
    if neighbours:
        begin = (edges[0] + edges[1]) / 2
        graph = graph_for(x, plan.how, plan.metric, keep=keep, progress=progress, span=(edges[0], begin))

    def draw(span):
        return drawn_map(x, plan.how, rng, metric=plan.metric, graph=graph, progress=progress, span=span)

    first = draw((begin, edges[1]))
    found: dict[str, list[Run]] = {SEEDS: [], SAMPLES: []} if plan.seeds else {SAMPLES: []}
    for i in range(1, plan.seeds + 1):
        found[SEEDS].append(compared(first, draw((edges[i], edges[i + 1])), plan.k, True, rng))
    for i, rows in enumerate(resampled_rows(sample, plan.resampling, plan.draws, rng), plan.seeds + 1):
        progress(edges[i], "drawing the map of other samples")
        again = map_of_rows(x, rows, plan.how, rng, plan.metric, progress, (edges[i], edges[i + 1]))
        found[SAMPLES].append(compared(first, again, plan.k, neighbours, rng))
    return first, found


def resampled_rows(sample: np.ndarray, how: str, draws: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Rows of each draw, whole samples together. "half": halves of the samples, each followed by the other half, so
    that with an even number of draws every point is in half of them; "bootstrap": as many samples, with replacement.

    `sample` (n,) rising from 0.
    """
    starts = np.searchsorted(sample, np.arange(sample[-1] + 2))
    n_samples, found, rest = len(starts) - 1, [], None
    for _ in range(draws):
        if how == "bootstrap":
            picked = np.sort(rng.integers(n_samples, size=n_samples))
        elif rest is None:
            order = rng.permutation(n_samples)
            picked, rest = np.sort(order[: n_samples // 2]), np.sort(order[n_samples // 2 :])
        else:
            picked, rest = rest, None
        found.append(np.concatenate([np.arange(starts[s], starts[s + 1]) for s in picked]))
    return found


def map_of_rows(
    x: np.ndarray, rows: np.ndarray, how: str, rng: np.random.Generator, metric: str, progress: Progress, span
) -> np.ndarray:
    """Positions (n, 2) made from some rows (repeated ones are repeated points); NaN for points that it cannot place.

    A linear map places all points of `x`; a neighbour map those it was made from, a repeated one at the mean of its
    copies.
    """
    if how in LINEAR:
        mean, directions, _ = principal_components(x[rows], 2)
        y = (x - mean) @ directions.T
        return np.pad(y, ((0, 0), (0, 2 - y.shape[1])))
    y = drawn_map(x[rows], how, rng, metric=metric, progress=progress, span=span)
    out, times = np.zeros((len(x), 2)), np.bincount(rows, minlength=len(x))
    np.add.at(out, rows, y)
    with np.errstate(invalid="ignore"):
        return np.where(times[:, None] > 0, out / times[:, None], np.nan)


def compared(first: np.ndarray, again: np.ndarray, k: int, scaled: bool, rng: np.random.Generator) -> Run:
    """Lay `again` (n, 2, NaN where absent) over `first` (n, 2). O(n (k² + log n))."""
    there = np.isfinite(again[:, 0])
    a, b = first[there], again[there]
    m = len(a)
    k = min(k, (m - 1) // 2)
    places, overlap, displacement = (
        np.full(first.shape, np.nan),
        np.full(len(first), np.nan),
        np.full(len(first), np.nan),
    )
    overlap[there] = shared_neighbours(nearest_on_map(a, k)[0], nearest_on_map(b, k)[0])
    middle = a.mean(axis=0)
    laid, spread = laid_over(a - middle, b - b.mean(axis=0), scaled)
    places[there] = laid + middle
    displacement[there] = np.linalg.norm(laid - (a - middle), axis=1) / spread
    return Run(
        places, overlap, displacement, k / (m - 1), _unmatched(a - middle, b - b.mean(axis=0), scaled, rng)
    )


def shared_neighbours(near: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Share (n,) of the indices `near` (n, k) that are also in `other` (n, k)."""
    out = np.empty(len(near))
    for i in range(0, len(near), BLOCK):
        part = near[i : i + BLOCK, :, None] == other[i : i + BLOCK, None, :]
        out[i : i + BLOCK] = part.any(axis=2).mean(axis=1)
    return out


def laid_over(fixed: np.ndarray, moving: np.ndarray, scaled: bool) -> tuple[np.ndarray, float]:
    """`moving` turned (and scaled) onto `fixed`, both (m, 2) centred, and the spread of `fixed`."""
    turned = moving @ rotation_onto(moving, fixed)
    own = float((moving**2).sum())
    if scaled and own > 0:
        turned *= float((turned * fixed).sum()) / own
    return turned, float(np.sqrt((fixed**2).sum(axis=1).mean())) or 1.0


def _unmatched(fixed, moving, scaled, rng) -> float:
    found = []
    for _ in range(SHUFFLES):
        laid, spread = laid_over(fixed, moving[rng.permutation(len(moving))], scaled)
        found.append(np.linalg.norm(laid - fixed, axis=1).mean() / spread)
    return float(np.mean(found))


def mean_over_runs(values: np.ndarray) -> np.ndarray:
    """(n,) mean over runs (r, n) of what is there; NaN where nothing is."""
    known = np.isfinite(values)
    times = known.sum(axis=0)
    with np.errstate(invalid="ignore"):
        return np.where(times > 0, np.where(known, values, 0).sum(axis=0) / np.maximum(times, 1), np.nan)


def run_interval(
    values: np.ndarray, sample: np.ndarray, rng: np.random.Generator, draws: int = 500, step: int = 50
) -> tuple[float, float, float]:
    """Mean over runs of the mean over points of `values` (r, n), and its 95 % interval [low, high] by resampling
    samples and, with more than one, runs as well. `sample` (n,) rising from 0. O(draws (n + r))."""
    known = np.isfinite(values)
    cuts = np.flatnonzero(np.r_[True, np.diff(sample) != 0])
    sums = np.add.reduceat(np.where(known, values, 0.0), cuts, axis=1)
    counts = np.add.reduceat(known.astype(np.float64), cuts, axis=1)
    value = float((sums.sum(axis=1) / counts.sum(axis=1)).mean())
    n, runs, found = sums.shape[1], len(values), []
    for _ in range(0, draws, step):
        weights = rng.multinomial(n, np.full(n, 1 / n), size=step).astype(np.float64)
        below = weights @ counts.T
        means = (weights @ sums.T) / np.where(below > 0, below, 1.0)
        picked = rng.integers(runs, size=(step, runs))
        found.append(np.take_along_axis(means, picked, axis=1).mean(axis=1))
    low, high = np.percentile(np.concatenate(found), [2.5, 97.5])
    return value, min(float(low), value), max(float(high), value)
