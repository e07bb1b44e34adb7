"""What the layers of a residual stream add to it, and at which depth that changes.

    size of a layer   ‖u_l‖ / ‖h_{l-1}‖           cosine   <u_l, h_{l-1}> / (‖u_l‖ ‖h_{l-1}‖)

u_l being what layer l adds. Where the first state and all updates are of one length and orthogonal, the size is 1/√l:
that decay is no sign of laziness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.compute.statistics.nulls import add_one_p

FEWEST_LAYERS = 4  # that a change of depth is looked for in


def fresh(layers: int) -> np.ndarray:
    """(layers,) sizes of updates of one length, orthogonal to all before: 1/√l."""
    return 1 / np.sqrt(np.arange(1, layers + 1))


def over_tokens(values: np.ndarray, present: np.ndarray, largest: bool = False) -> np.ndarray:
    """(b,) means, or largest, of `values` (b, T) over the tokens that are `present`."""
    if largest:
        return np.where(present, values, -np.inf).max(axis=1)
    return np.where(present, values, 0.0).sum(axis=1) / np.maximum(present.sum(axis=1), 1)


def lengths(x: np.ndarray) -> np.ndarray:
    """(…) of rows (…, d)."""
    return np.sqrt(np.square(x).sum(axis=-1))


def sizes_and_cosines(
    before: Sequence[np.ndarray], behind: Sequence[np.ndarray], present: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Two (b, L): of what is added between `before` and `behind`, L pairs of (b, T, d), means over tokens. Tokens of
    length 0 count 0."""
    sizes, cosines = [], []
    for h, x in zip(before, behind, strict=True):
        u = x - h
        length, size = lengths(h), lengths(u)
        sizes.append(over_tokens(_over(size, length), present))
        cosines.append(over_tokens(_over((u * h).sum(axis=-1), size * length), present))
    return np.stack(sizes, axis=1), np.stack(cosines, axis=1)


def changed_updates(
    plain: Sequence[np.ndarray], other: Sequence[np.ndarray], present: np.ndarray, largest: bool
) -> np.ndarray:
    """(b, L) ‖u'_l - u_l‖ / ‖u_l‖ over tokens, from states L + 1 of a pass and of an altered one. Where u_l is 0 it is
    held against u'_l."""
    found = []
    for i in range(len(plain) - 1):
        u, v = plain[i + 1] - plain[i], other[i + 1] - other[i]
        length = lengths(u)
        found.append(
            over_tokens(_over(lengths(v - u), np.where(length > 0, length, lengths(v))), present, largest)
        )
    return np.stack(found, axis=1)


def _over(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.where(b > 0, a / np.where(b > 0, b, 1.0), 0.0)


@dataclass(frozen=True)
class Change:
    """`at` layers lie before the change, of L; [low, high] over samples drawn again; `share` of the squares that two
    levels explain, `p` that of a random order of layers; `null_low`, `null_high` where random orders have theirs."""

    at: int
    low: float
    high: float
    share: float
    p: float
    null_low: float
    null_high: float


def change_of_level(profiles: np.ndarray, rng: np.random.Generator, draws: int = 200) -> Change:
    """Where the mean of `profiles` (n, L), L >= 4, is best described by two levels."""
    n, mean = len(profiles), profiles.mean(axis=0)
    at, share = (x[0] for x in _best_splits(mean[None]))
    drawn = rng.integers(0, n, (draws, n))
    again = _best_splits(np.stack([profiles[one].mean(axis=0) for one in drawn]))[0]
    places, shares = _best_splits(rng.permuted(np.repeat(mean[None], 5 * draws - 1, axis=0), axis=1))
    low, high = np.percentile(again, [2.5, 97.5])
    null = np.percentile(places, [2.5, 97.5])
    p = float(add_one_p(share - 1e-9, shares))
    return Change(
        int(at), min(float(low), at), max(float(high), at), float(share), p, float(null[0]), float(null[1])
    )


def _best_splits(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each of the lines `y` (m, L): how many places lie before the best split, and the share of the squares that
    two levels explain; the middle and 0 of a flat one."""
    layers = y.shape[1]
    total = np.square(y - y.mean(axis=1, keepdims=True)).sum(axis=1)
    first = np.arange(1, layers)
    sums = y.cumsum(axis=1)
    apart = sums[:, :-1] / first - (sums[:, -1:] - sums[:, :-1]) / (layers - first)
    explained = first * (layers - first) / layers * apart**2
    best = explained.argmax(axis=1)
    flat = ~(total > 1e-24 * np.maximum(np.square(y).sum(axis=1), 1e-300))
    share = explained[np.arange(len(y)), best] / np.where(flat, 1.0, total)
    return np.where(flat, layers // 2, best + 1), np.where(flat, 0.0, np.minimum(share, 1.0))
