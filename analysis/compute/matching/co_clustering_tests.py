"""Co-clusters of the units of two sides, with what the same procedure makes of moved and of resampled samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.matching.co_clustering import (
    clusters_by_gap,
    co_clusters_of,
    contrast,
    cut_values,
    joint_values,
    modularity,
    share_inside,
)
from analysis.compute.matching.unit_pairing import correlation
from analysis.compute.matching.unit_sides import UnitSides, moved_order, unit_norm
from analysis.compute.statistics.partition_agreement import Contingency, adjusted_rand
from analysis.spec import Progress

MOVES, DRAWS = 20, 20


@dataclass(frozen=True)
class CoClustered:
    """`r` (p, q); the clusters `a` (p,), `b` (q,); `joint`, the joint values of |r|, and `null_joint` (draws, ·) those
    of moved samples; of those, clustered into as many, `null_inside` (draws, 3) as `inside` has it; `alike` and
    `null_alike` (draws,), adjusted Rand index with the clusters of resampled samples."""

    r: np.ndarray
    a: np.ndarray
    b: np.ndarray
    joint: np.ndarray
    null_joint: np.ndarray
    null_inside: np.ndarray
    alike: np.ndarray
    null_alike: np.ndarray

    @property
    def k(self) -> int:
        return int(max(self.a.max(), self.b.max())) + 1

    @property
    def floor(self) -> float:
        """What 95 % of the first joint values of moved samples stay below."""
        return _floor(self.null_joint)

    @property
    def above(self) -> int:
        """How many joint values pass that."""
        return int((self.joint > self.floor).sum())


def co_clustered(
    sides: UnitSides,
    clusters: int | None,
    most: int,
    rng: np.random.Generator,
    progress: Progress,
    span: tuple[float, float],
) -> CoClustered:
    """`clusters` of them, or as many as the widest gap that passes the null says. Time O(n p q + p q min(p, q)), about
    sixty times."""
    every, done = 2 * MOVES + DRAWS, 0

    def step(doing: str) -> None:
        nonlocal done
        progress(span[0] + (span[1] - span[0]) * done / every, doing)
        done += 1

    r = correlation(sides.x, sides.y)
    joint, moved, null_joint = joint_values(np.abs(r)), [], []
    for _ in range(MOVES):
        step("cutting moved samples")
        moved.append(moved_order(sides.sample, sides.n_samples, rng))
        null_joint.append(joint_values(np.abs(correlation(sides.x, sides.y[:, moved[-1]]))))
    above = int((joint > _floor(null_joint)).sum())
    k = clusters or clusters_by_gap(cut_values(np.abs(r)), above, most)
    codes, null_inside, null_alike, alike = co_clusters_of(np.abs(r), k, rng), [], [], []
    for order in moved:
        step("clustering moved samples")
        y = sides.y[:, order]
        w = np.abs(correlation(sides.x, y))
        by_chance = co_clusters_of(w, k, rng)
        null_inside.append(inside(w, *by_chance))
        null_alike.append(_again(y, sides, by_chance, k, rng))
    for _ in range(DRAWS):
        step("clustering resampled samples")
        alike.append(_again(sides.y, sides, codes, k, rng))
    return CoClustered(r, *codes, joint, *map(np.array, (null_joint, null_inside, alike, null_alike)))


def _floor(null_joint) -> float:
    return float(np.quantile([v[0] for v in null_joint], 0.95))


def inside(weights: np.ndarray, a: np.ndarray, b: np.ndarray) -> tuple[float, float, float]:
    """Share of all weight inside the clusters, modularity, and mean weight inside less that outside."""
    return share_inside(weights, a, b), modularity(weights, a, b), contrast(weights, a, b)


def _again(y: np.ndarray, sides: UnitSides, codes, k: int, rng) -> float:
    """Adjusted Rand index of these clusters with those of samples drawn again with replacement."""
    times = np.bincount(rng.integers(sides.n_samples, size=sides.n_samples), minlength=sides.n_samples)
    columns = np.repeat(np.arange(len(sides.sample)), times[sides.sample])
    r = correlation(unit_norm(sides.x[:, columns]), unit_norm(y[:, columns]))
    again = co_clusters_of(np.abs(r), k, rng)
    return adjusted_rand(Contingency.of(np.concatenate(codes), np.concatenate(again)))


def without_groups(found: CoClustered, sides: UnitSides, group: np.ndarray) -> np.ndarray:
    """(G, 4) first joint value and what `inside` gives without each group (n,) of columns, the clusters held."""
    out = []
    for g in range(int(group.max()) + 1):
        stay = group != g
        w = np.abs(correlation(unit_norm(sides.x[:, stay]), unit_norm(sides.y[:, stay])))
        out.append((joint_values(w)[0], *inside(w, found.a, found.b)))
    return np.array(out)


def drawing_order(weights: np.ndarray, own: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Rows (p,) cluster by cluster, inside each the strongest first."""
    inside = own[:, None] == other
    return np.lexsort((-(weights * inside).sum(axis=1), own)).astype(np.int64)
