"""Dimension from how the minimum spanning tree grows: L ~ n^((D - 1) / D), so D = 1 / (1 - slope) of log L on log n.

The tree is made over all points, over both halves of them, their quarters and their eighths (each part's points drawn
at random once, parts disjoint); the mean length of each size goes into the fit, so that every point counts in every
size. A part may be made without some points, for intervals by leaving out groups of samples.

References: J. Beardwood, J. Halton & J. Hammersley (1959); J. Steele (1988), "Growth rates of Euclidean minimal
spanning trees with power weighted edges".
"""

from __future__ import annotations

import numpy as np

from analysis.compute.neighbours.neighbours import as_points, near_one
from analysis.compute.neighbours.spanning_tree import spanning_tree

SIZES = 4  # all, halves, quarters, eighths
STEEPEST = 1 - 1e-3  # slope: larger ones are all read as 1,000 dimensions


def edge_lengths(x: np.ndarray) -> np.ndarray:
    """Lengths (n - 1,), rising, of the edges of the minimum spanning tree of the points `x` (n, d), n >= 2. O(n² d)."""
    points, scale = near_one(as_points(x)[0])
    return spanning_tree(points, 1)[1] * scale


def tree_length(x: np.ndarray) -> float:
    """Length of that tree."""
    return float(edge_lengths(x).sum())


def parts_of(n: int, levels: int, rng: np.random.Generator) -> np.ndarray:
    """Part (n,) of each point at the finest of `levels` halvings, 0 … 2^levels - 1, of nearly equal sizes; the part at
    a coarser level is this number without its last bits."""
    return rng.permutation(np.arange(n) % 2**levels)


def mean_lengths(x: np.ndarray, part: np.ndarray, levels: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean number of points and mean tree length (levels + 1,) of the parts at each level, all points first."""
    sizes, lengths = np.empty(levels + 1), np.empty(levels + 1)
    for level in range(levels + 1):
        of = part >> (levels - level)
        found = [tree_length(x[of == i]) for i in range(2**level)]
        sizes[level], lengths[level] = len(x) / 2**level, np.mean(found)
    return sizes, lengths


def growth_dimension(sizes: np.ndarray, lengths: np.ndarray) -> float:
    """1 / (1 - slope) of log length on log size, at most 1,000: there the length grows as the number of points does."""
    slope = float(np.polyfit(np.log(sizes), np.log(lengths), 1)[0])
    return 1.0 / (1.0 - min(slope, STEEPEST))


def tree_dimension(x: np.ndarray, part: np.ndarray) -> float:
    """The dimension of all points `x` (n, d), different ones, with their `part` (n,) of eight. About 1.9 trees."""
    return growth_dimension(*mean_lengths(x, part, SIZES - 1))
