"""Cluster and rebuild: behind one layer neighbours become clusters, and behind the last all tokens are made again.

Seeds lie evenly over the grid, as many as tokens are to be left. Some rounds of k-means, in which a token may only join
one of the clusters whose seeds are its nearest on the grid (the 9 nearest),

    c(i) = argmin over near k of |x_i - μ_k|²,    μ_k the mean over its tokens weighed by size

and the clusters go on as tokens, each in the place of its member nearest to the mean. Behind the last layer

    x̂_i = Σ_k w_ik z_k,    w_ik ∝ exp(-|x_i - μ_k|² / (τ |x_i - μ_near|²)) over the nearest k,

with distances from the layer where clusters were made. The paper's temperature is a fixed number; here it is τ times
the squared distance to the nearest mean, so that scale does not matter and a token that equals its mean is made of it
alone: as many clusters as tokens are the identity, and maps that are constant on clusters come back as they were.

Cost: rounds x t k d; t k weights kept to the end.

Reference: W. Liang, Y. Yuan, H. Ding, X. Luo, W. Lin, D. Jia, Z. Zhang, C. Zhang & H. Hu (2022), "Expediting
large-scale vision transformer for dense prediction without fine-tuning".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.spec import param
from analysis.tokens.choosing import merge_groups
from analysis.tokens.rule import AFTER, Rule
from analysis.tokens.state import GONE, Step, goes_to, survivors
from analysis.tokens.view import View

NEAR, EQUAL = 9, 1e-20  # seeds a token may join; squared distance, by the spread of tokens, of equal ones


@dataclass(frozen=True)
class ClusterSettings:
    rounds: int = param(5, "Rounds of k-means.", low=1, high=100)
    neighbours: int = param(4, "Cluster means that a token is made again of.", low=1, high=50)
    temperature: float = param(0.5, "τ: how far beyond the nearest mean others count.", low=0.01, high=100.0)


def seeds(k: int, rows: int, columns: int) -> np.ndarray:
    """(k, 2) rows and columns of k places spread over a grid of at least k."""
    bands = int(np.clip(round(np.sqrt(k * rows / columns)), 1, rows))
    while -(-k // bands) > columns:
        bands += 1
    edges = np.arange(bands + 1) * k // bands
    found = []
    for band, many in enumerate(np.diff(edges)):
        row = int((band + 0.5) * rows / bands)
        found += [(row, int((j + 0.5) * columns / many)) for j in range(many)]
    return np.array(found).reshape(-1, 2)


def local_clusters(x: np.ndarray, size: np.ndarray, where: np.ndarray, start: np.ndarray, rounds: int):
    """((B, t) cluster, (B, k, d) means) of tokens x (B, t, d) of sizes (B, t) at places `where` (t, 2), from the tokens
    `start` (k,); every cluster has a token."""
    k = len(start)
    apart = np.square(where[:, None] - where[start][None]).sum(axis=2)
    near = apart <= np.sort(apart, axis=1)[:, [min(NEAR, k) - 1]]
    means, weighed = x[:, start], x * size[:, :, None]
    for _ in range(rounds):
        distance = np.where(near, squared(x, means), np.inf)
        label = distance.argmin(axis=2)
        members = label[:, None, :] == np.arange(k)[:, None]
        for b in np.flatnonzero(~members.any(axis=2).all(axis=1)):
            _refill(label[b], distance[b, np.arange(len(where)), label[b]], k)
            members[b] = label[b] == np.arange(k)[:, None]
        means = (members @ weighed) / (members @ size[:, :, None])
    return label, means


def squared(x: np.ndarray, means: np.ndarray) -> np.ndarray:
    """(B, t, k) squared distances, up to rounding of the lengths."""
    lengths = np.square(x).sum(axis=2)[:, :, None] + np.square(means).sum(axis=2)[:, None]
    return np.maximum(lengths - 2 * x @ means.transpose(0, 2, 1), 0)


def _refill(label: np.ndarray, distance: np.ndarray, k: int) -> None:
    """Clusters without a token get the worst placed token of one that has several, in place."""
    distance = distance.copy()
    for empty in np.flatnonzero(np.bincount(label, minlength=k) == 0):
        can = np.bincount(label, minlength=k)[label] > 1
        worst = int(np.where(can, distance, -1).argmax())
        label[worst], distance[worst] = empty, -1


def decide(view: View, remove: np.ndarray, settings: ClusterSettings, rng) -> Step:
    state, free = view.state, view.free
    x = np.asarray(view["hidden"], np.float64)
    group, naming = np.full(free.shape, GONE), np.zeros(free.shape)
    done: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []  # samples, places, means
    for samples in _alike(free, view.cell, remove):
        places = np.flatnonzero(free[samples[0]])
        where = _where(view, samples[0], places)
        start = _start(where, max(len(places) - int(remove[samples[0]]), 1))
        at = np.ix_(samples, places)
        group[at], means = local_clusters(x[at], state.size[at], where, start, settings.rounds)
        own = np.take_along_axis(means, group[at][:, :, None], axis=1)
        naming[at] = -np.square(x[at] - own).sum(axis=2)
        done.append((samples, places, means))
    step = merge_groups(state, group, naming, np.where(group == GONE, np.nan, naming))
    return Step(step.into, step.score, rebuild=_rebuild(step, x, group, done, settings))


def _alike(free: np.ndarray, cell: np.ndarray, remove: np.ndarray) -> list[np.ndarray]:
    """Samples that have the same places free and as many to remove, together."""
    same: dict[bytes, list[int]] = {}
    for b in np.flatnonzero(remove > 0):
        key = (
            free[b].tobytes()
            + np.where(free[b], cell[b], -1).tobytes()
            + int(remove[b]).to_bytes(8, "little")
        )
        same.setdefault(key, []).append(int(b))
    return [np.array(rows) for rows in same.values()]


def _where(view: View, b: int, places: np.ndarray) -> np.ndarray:
    """(t, 2) row and column of tokens; their order on a line where there is no grid."""
    if view.layout.grid is None:
        return np.stack([np.zeros(len(places)), np.arange(len(places))], axis=1)
    columns = view.layout.grid[1]
    cell = view.cell[b, places]
    return np.stack([cell // columns, cell % columns], axis=1).astype(float)


def _start(where: np.ndarray, k: int) -> np.ndarray:
    """(k,) different tokens that are near to places spread evenly over the area of all."""
    low, high = where.min(axis=0), where.max(axis=0)
    rows, columns = (high - low + 1).astype(int)
    taken = np.zeros(len(where), bool)
    for row, column in seeds(k, rows, columns) + low:
        apart = np.square(where[:, 0] - row) + np.square(where[:, 1] - column)
        taken[np.where(taken, np.inf, apart).argmin()] = True
    return np.flatnonzero(taken)


def _rebuild(step: Step, x, group, done, settings) -> np.ndarray:
    """(B, t, t') what each token that stays counts in each token."""
    keep, goes = survivors(step), goes_to(step)
    out = ((goes[:, :, None] == np.arange(keep.shape[1])) & (goes != GONE)[:, :, None]) * 1.0
    for samples, places, means in done:
        at = np.ix_(samples, places)
        stands = np.zeros(means.shape[:2], int)
        np.put_along_axis(stands, group[at], goes[at], axis=1)
        here, several = x[at], min(settings.neighbours, means.shape[1])
        nearest = np.argpartition(squared(here, means), several - 1, axis=2)[:, :, :several]
        rows = np.arange(len(samples))[:, None, None]
        distance = np.square(here[:, :, None] - means[rows, nearest]).sum(axis=3)  # exact for equal ones
        least = distance.min(axis=2, keepdims=True)
        spread = np.square(here - here.mean(axis=1, keepdims=True)).sum(axis=2).mean(axis=1)[:, None, None]
        scale = settings.temperature * np.maximum(least, np.maximum(EQUAL * spread, 1e-300))
        weight = np.exp(np.maximum(-(distance - least) / scale, -700))
        weight = np.where(weight > 1e-300, weight, 0)
        part = np.zeros((*here.shape[:2], keep.shape[1]))
        places_of = stands[rows, nearest]
        np.put_along_axis(part, places_of, weight / weight.sum(axis=2, keepdims=True), axis=2)
        out[at] = part
    return out


RULES = (
    Rule(
        id="cluster_rebuild",
        title="Cluster and rebuild",
        equation="local k-means; behind the last layer x̂_i = Σ w_ik z_k, w ∝ exp(-|x_i - μ_k|² / τ̂)",
        says="groups tokens that are near each other in place and content, and spreads the result back over "
        "all places behind the last layer.",
        decide=decide,
        papers=("Expediting Large-Scale Vision Transformer for Dense Prediction without Fine-tuning",),
        place=AFTER,
        schedule="once",
        needs=frozenset({"hidden"}),
        settings=ClusterSettings,
        merges=True,
        notes=(
            "The temperature is a multiple of the squared distance to the nearest mean, where the paper has a number.",
        ),
    ),
)
