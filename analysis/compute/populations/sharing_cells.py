"""wMPPC of every tap into every other, without each group of samples, and with samples exchanged."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np

from analysis.compute.matching.unit_sharing import Units, correlations, correlations_without, shared_share
from analysis.spec import Progress


@dataclass(frozen=True)
class Counting:
    """How units count: each partner `once` only; a falling partner as a rising one (`either_sign`); by their total
    activation or all alike (`by_activation`)."""

    once: bool
    either_sign: bool
    by_activation: bool


def sharing_cells(
    sides: list[Units],
    groups: list[np.ndarray],
    counting: Counting,
    draws: int,
    rng: np.random.Generator,
    progress: Progress,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """wMPPC (k, k), without each group (G, k, k), and with samples exchanged (draws, k, k)."""
    k, n = len(sides), len(sides[0].x)
    values, without, null = np.eye(k), np.tile(np.eye(k), (len(groups), 1, 1)), np.empty((draws, k, k))
    pairs = list(combinations_with_replacement(range(k), 2))
    for i, (a, b) in enumerate(pairs):
        progress(0.3 + 0.7 * i / len(pairs), "comparing units")
        one, other = sides[a], sides[b]
        if a != b:
            whole = correlations(one, other)
            values[a, b], values[b, a] = _both(whole, one, other, 0, counting)
            for g, r in enumerate(correlations_without(one, other, groups, whole)):
                without[g, a, b], without[g, b, a] = _both(r, one, other, 1 + g, counting)
        for draw in range(draws):
            r = correlations(one, other, rng.permutation(n))
            null[draw, a, b], null[draw, b, a] = _both(r, one, other, 0, counting)
    return values, without, null


def _both(r: np.ndarray, one: Units, other: Units, at: int, counting: Counting) -> tuple[float, float]:
    """wMPPC of one side into the other and back, from their r (p, q); `at`: the group left out, 0 for none."""
    r = np.abs(r) if counting.either_sign else r
    weights = [u.activation[at] if counting.by_activation else np.ones(u.d) for u in (one, other)]
    return tuple(shared_share(x, w, counting.once) for x, w in zip((r, r.T), weights, strict=True))
