"""Clusters of several levels put into a tree by where most of their samples are."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np


@dataclass(frozen=True)
class Tree:
    """Clusters of all levels, children below their parent, the larger first: `level` and `number` (m,) in `codes`, one
    (n,) array for each level; `names` such as "1.2"; `samples` (m,) and `purity` (m,), NaN at the coarsest level."""

    codes: list[np.ndarray]
    level: np.ndarray
    number: np.ndarray
    names: list[str]
    samples: np.ndarray
    purity: np.ndarray


def purities(fine: np.ndarray, coarse: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each cluster of `fine` (n,) the share of its samples in the cluster of `coarse` (n,) that holds most of them,
    and which that is. O(n + k K)."""
    k, parents = int(fine.max()) + 1, int(coarse.max()) + 1
    table = np.bincount(fine.astype(np.int64) * parents + coarse, minlength=k * parents).reshape(k, parents)
    return table.max(axis=1) / np.maximum(table.sum(axis=1), 1), table.argmax(axis=1)


def shuffled_purities(
    fine: np.ndarray, coarse: np.ndarray, draws: int, rng: np.random.Generator
) -> np.ndarray:
    """(draws, k) purities when the clusters of `fine` are given to other samples: all sizes stay. O(draws n)."""
    return np.array([purities(rng.permutation(fine), coarse)[0] for _ in range(draws)])


def tree_of(codes: list[np.ndarray]) -> Tree:
    """From the cluster numbers (n,) of each level, coarse to fine."""
    held = [purities(fine, coarse) for coarse, fine in pairwise(codes)]
    sizes, lines = [np.bincount(c) for c in codes], []

    def below(level: int, members: np.ndarray, prefix: str) -> None:
        for place, c in enumerate(members[np.argsort(-sizes[level][members], kind="stable")], 1):
            name = f"{prefix}{place}"
            purity = held[level - 1][0][c] if level else np.nan
            lines.append((level, int(c), name, int(sizes[level][c]), float(purity)))
            if level + 1 < len(codes):
                below(level + 1, np.flatnonzero(held[level][1] == c), f"{name}.")

    below(0, np.arange(len(sizes[0])), "")
    level, number, names, samples, purity = zip(*lines, strict=True)
    return Tree(
        list(codes), np.array(level), np.array(number), list(names), np.array(samples), np.array(purity)
    )
