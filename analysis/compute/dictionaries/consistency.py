"""Which features of a dictionary come back in dictionaries of other seeds, and how many would by chance.

Features are lines (k, p) of length 1: directions, or centred codes over the same samples. Two dictionaries are matched
one to one with the largest sum of cosines (`compute.matching.unit_pairing`: exactly up to 4,096 features, greedily
above). PW-MCC is the mean matched cosine, averaged over pairs of dictionaries (Song et al. 2025). By chance it is far
from 0: 0.331 for 256 random directions in 64 dimensions, 0.377 for 1,024, 0.146 for 2,048 in 512. So every cosine here
is read against dictionaries matched in the same way that have nothing to do with each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from analysis.compute.dictionaries.coherence import random_directions
from analysis.compute.matching.unit_pairing import pair_units
from analysis.spec import Progress


@dataclass(frozen=True)
class Consistency:
    """Of S dictionaries: `partner` and `cosine` (S - 1, k) of the features of the first in each other (-1 and 0 for
    none); `matched` all cosines of all pairs, by pair; `null_feature` (m,) means over S - 1 others of features that
    have nothing to do with each other, `null_mean` (draws,) of PW-MCC."""

    partner: np.ndarray
    cosine: np.ndarray
    matched: tuple[np.ndarray, ...]
    null_feature: np.ndarray
    null_mean: np.ndarray

    @property
    def pw_mcc(self) -> float:
        return float(np.mean([_mean(m) for m in self.matched]))


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0


def lines(values: np.ndarray) -> np.ndarray:
    """`values` (k, p) at length 1, float64; what is 0 stays 0."""
    wide = np.asarray(values, np.float64)
    size = np.sqrt((wide**2).sum(axis=1, keepdims=True))
    return wide / np.where(size > 0, size, 1)


def matched_cosines(a: np.ndarray, b: np.ndarray, signed: bool) -> tuple[np.ndarray, np.ndarray]:
    """Partner (k_a,) in `b` of each line of `a`, -1 for none, and the cosine (|cosine| unless `signed`), 0 for none.
    Lines of length 0 have none."""
    partner = pair_units(a, b, signed)
    partner[~a.any(axis=1) | ~b.any(axis=1)[partner]] = -1
    cosine = np.einsum("ij,ij->i", a, b[partner])
    cosine = np.clip(cosine if signed else np.abs(cosine), -1, 1)
    return partner, np.where(partner >= 0, cosine, 0.0)


def pairwise_consistency(
    sets: Sequence[np.ndarray],
    signed: bool,
    unrelated: Callable[[], Sequence[np.ndarray]],
    draws: int,
    progress: Progress,
    span: tuple[float, float],
) -> Consistency:
    """Of `sets` of lines; `unrelated()` draws as many sets of the same shapes that have nothing in common.

    Time: (S (S - 1) / 2 + draws (S - 1)) matchings, each O(k² p) and the Hungarian method's O(k³) at worst.
    """
    pairs = list(combinations(range(len(sets)), 2))
    steps, done = len(pairs) + draws * (len(sets) - 1), 0

    def match(a, b):
        nonlocal done
        progress(span[0] + (span[1] - span[0]) * done / steps, "matching features")
        done += 1
        return matched_cosines(a, b, signed)

    found = {(i, j): match(sets[i], sets[j]) for i, j in pairs}
    null_feature, null_mean = [], []
    for _ in range(draws):
        others = list(unrelated())
        own = [match(others[0], other) for other in others[1:]]
        null_feature.append(np.mean([c for _, c in own], axis=0))
        null_mean.append(np.mean([_mean(c[p >= 0]) for p, c in own]))
    first = [found[0, j] for j in range(1, len(sets))]
    return Consistency(
        np.stack([p for p, _ in first]), np.stack([c for _, c in first]),
        tuple(c[p >= 0] for p, c in found.values()), np.concatenate(null_feature), np.array(null_mean),
    )  # fmt: skip


def random_sets(sets: Sequence[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    """Random directions in the shapes of `sets`."""
    return [random_directions(*s.shape, rng).astype(np.float64) for s in sets]


def moved_sets(sets: Sequence[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    """The lines themselves, the samples (columns) of each set but the first in an order of its own."""
    return [sets[0], *(s[:, rng.permutation(s.shape[1])] for s in sets[1:])]
