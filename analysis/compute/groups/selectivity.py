"""How well units tell classes apart, what the best of several classes reaches by luck, and without that luck."""

from __future__ import annotations

import numpy as np

from analysis.compute.rows.samples import LabelledMatrix
from analysis.compute.statistics.auroc import class_auroc, from_rank_sums, midranks, null_sd, two_sided_p
from analysis.spec import Progress, no_progress

BLOCK = 128  # units at a time


def measure(
    data: LabelledMatrix,
    permutations: int,
    rng: np.random.Generator,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """AUROC and p (C, d), and the best AUROC of each unit under permuted labels (permutations, d)."""
    (n, d), c = data.values.shape, len(data.names)
    auroc, p, null = np.empty((c, d)), np.empty((c, d)), np.empty((permutations, d), np.float32)
    shuffles = rng.permuted(np.tile(data.of, (permutations, 1)), axis=1)
    for start in range(0, d, BLOCK):
        progress(span[0] + (span[1] - span[0]) * start / d, "ranking units")
        part = slice(start, min(start + BLOCK, d))
        ranks, ties = midranks(data.values[:, part])
        auroc[:, part] = class_auroc(ranks, data.of, data.counts)
        sd = null_sd(data.counts, ties, n)
        p[:, part] = two_sided_p(auroc[:, part], sd, data.counts, n)
        null[:, part] = _permuted_best(ranks, shuffles, data.counts)
    return auroc, p, null


def _permuted_best(ranks: np.ndarray, shuffles: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Largest AUROC over classes (permutations, u) for each row of permuted labels."""
    n, middle = len(ranks), (len(ranks) + 1) / 2
    centred = (ranks - middle).astype(np.float32)  # centred so that float32 sums lose nothing that matters
    best = np.full((len(shuffles), ranks.shape[1]), -np.inf, np.float32)
    for c, count in enumerate(counts):
        sums = (shuffles == c).astype(np.float32) @ centred
        np.maximum(best, from_rank_sums(sums + count * middle, count, n).astype(np.float32), out=best)
    return best


def held_out(data: LabelledMatrix, rng: np.random.Generator) -> np.ndarray:
    """AUROC (d,) on one half of every class for the class that was best on the other half."""
    order = np.lexsort((rng.random(len(data.of)), data.of))
    first = np.zeros(len(data.of), dtype=bool)
    first[order[::2]] = True
    halves = []
    for half in (first, ~first):
        counts = np.bincount(data.of[half], minlength=len(data.names))
        blocks = range(0, data.values.shape[1], BLOCK)
        parts = [midranks(data.values[half, b : b + BLOCK])[0] for b in blocks]
        halves.append(np.hstack([class_auroc(r, data.of[half], counts) for r in parts]))
    picked = halves[0].argmax(axis=0)
    return np.take_along_axis(halves[1], picked[None], axis=0)[0]
