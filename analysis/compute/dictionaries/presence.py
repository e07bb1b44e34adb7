"""Is a feature there in another network too? Partners by correlation, found on half of the samples and scored on the
other half, both ways.

A partner is the feature of the other network with the largest correlation over the same samples: any number of
features may share one (many to one), or each serves once (one to one, the pairs of largest sum). The score is r on the
samples that took no part in finding it, averaged over the two ways; on the same samples a maximum over many is above 0
without any relation. By chance: the other network's samples exchanged inside each half, everything else the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.dictionaries.consistency import lines
from analysis.compute.matching.unit_pairing import correlation_blocks, pair_units


@dataclass(frozen=True)
class Presence:
    """Of k features in one other network: `partner` (k,) on all samples, -1 for none; `many` and `once` (k,) held-out
    r; `null_many` and `null_once` (draws, k) by chance."""

    partner: np.ndarray
    many: np.ndarray
    once: np.ndarray
    null_many: np.ndarray
    null_once: np.ndarray


def best_partners(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Partner (k,) in `b` (q, n) of each line of `a` (k, n), any number to one; -1 where a line is 0."""
    found = np.concatenate([r.argmax(axis=1) for _, r in correlation_blocks(a, b)])
    found[~a.any(axis=1)] = -1
    return found


def presence(x: np.ndarray, y: np.ndarray, halves: np.ndarray, draws: int, rng, step) -> Presence:
    """`x` (n, k) and `y` (n, q) over the same samples; `halves` (n,) bool; `step()` is called before each draw.

    Time: 3 + 2 draws products of (k, n) with (n, q) each way, and as many assignments.
    """
    sides = [
        (lines((x[h] - x[h].mean(axis=0)).T), lines((y[h] - y[h].mean(axis=0)).T)) for h in (halves, ~halves)
    ]
    whole = best_partners(lines((x - x.mean(axis=0)).T), lines((y - y.mean(axis=0)).T))
    many, once = _scored(sides)
    null = []
    for _ in range(draws):
        step()
        null.append(_scored([(a, b[:, rng.permutation(b.shape[1])]) for a, b in sides]))
    return Presence(whole, many, once, np.array([m for m, _ in null]), np.array([o for _, o in null]))


def _scored(sides) -> tuple[np.ndarray, np.ndarray]:
    """Held-out r (k,), many to one and one to one."""
    found = []
    for (a, b), (other_a, other_b) in (sides, sides[::-1]):
        once = pair_units(a, b, True)
        once[~a.any(axis=1)] = -1
        found.append([_r(other_a, other_b, partner) for partner in (best_partners(a, b), once)])
    return tuple(np.mean(found, axis=0))


def _r(a: np.ndarray, b: np.ndarray, partner: np.ndarray) -> np.ndarray:
    r = np.einsum("ij,ij->i", a, b[np.maximum(partner, 0)])
    return np.where(partner >= 0, np.clip(r, -1, 1), 0.0)
