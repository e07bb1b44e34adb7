"""Partners between the units of two sides: at most one each (`pair_units`), or the strongest few (`strongest`).

One to one: the pairs whose scores (|r|, or r) have the largest sum (Hungarian method, exact) up to 4,096 units a side.
Above, greedy: the strongest pair of all, then the strongest of what is free, and so on. Greedy needs no matrix: from
lists of the k strongest partners of every unit, a pair that is in both lists and best of what is free for both is the
one greedy would take; units left undecided get longer lists in the next round. A block of r has at most 64 MiB.

References: H. Kuhn (1955), "The Hungarian method"; D. Crouse (2016) for the shortest augmenting paths SciPy uses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

EXACT_UNITS = 4096  # a side; above, pairs are greedy
BLOCK_BYTES = 64 << 20  # of one block of r; with its transpose, scores and order four of them are in memory
LIST = 64  # partners a unit lists in the first round of greedy


@dataclass(frozen=True)
class Strongest:
    """The `k` strongest partners of each unit, strongest first, and their r: `of_x`, `r_x` (p, k); `of_y`, `r_y`
    (q, k'). k is cut to the number of units of the other side."""

    of_x: np.ndarray
    r_x: np.ndarray
    of_y: np.ndarray
    r_y: np.ndarray


def score(r: np.ndarray, signed: bool) -> np.ndarray:
    """What is maximised: r, or |r|."""
    return r if signed else np.abs(r)


def correlation_blocks(x: np.ndarray, y: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """(first unit of x, r (m, q)) over the units of x, of standardised lines (p, n) and (q, n). O(n p q)."""
    step = max(1, BLOCK_BYTES // (8 * len(y)))
    for start in range(0, len(x), step):
        r = x[start : start + step] @ y.T
        yield start, np.clip(r, -1.0, 1.0, out=r)


def correlation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(p, q) Pearson correlations of standardised lines (p, n) and (q, n)."""
    r = x @ y.T
    return np.clip(r, -1.0, 1.0, out=r)


def is_exact(p: int, q: int) -> bool:
    """Are these few enough units for the Hungarian method?"""
    return max(p, q) <= EXACT_UNITS


def pair_units(x: np.ndarray, y: np.ndarray, signed: bool) -> np.ndarray:
    """Partner (p,) in y of each unit of x, -1 for none; min(p, q) pairs.

    Time O(n p q) and the Hungarian method's O(max(p, q)³) at worst, far less on data without ties; memory 24 p q bytes,
    above 4,096 units four blocks of 64 MiB and the lists.
    """
    if is_exact(len(x), len(y)):
        return hungarian(score(correlation(x, y), signed))
    return greedy(x, y, signed)


def hungarian(scores: np.ndarray) -> np.ndarray:
    """Partner (p,) of each row under the pairs of largest sum, -1 for none."""
    from scipy.optimize import linear_sum_assignment

    partner = np.full(len(scores), -1, dtype=np.int64)
    row, column = linear_sum_assignment(scores, maximize=True)
    partner[row] = column
    return partner


def strongest(x: np.ndarray, y: np.ndarray, k: int, signed: bool) -> Strongest:
    """The k strongest partners of every unit of both sides, in one pass over blocks. O(n p q)."""
    return strongest_of(correlation_blocks(x, y), len(x), len(y), k, signed)


def strongest_of(blocks, p: int, q: int, k: int, signed: bool) -> Strongest:
    """The same from blocks (first unit of x, r (m, q)) that cover all p units of x."""
    of_x, r_x = np.empty((p, min(k, q)), np.int64), np.empty((p, min(k, q)))
    of_y, r_y = np.empty((q, 0), np.int64), np.empty((q, 0))
    for start, r in blocks:
        here = slice(start, start + len(r))
        of_x[here], r_x[here] = _first(r, None, k, signed)
        numbers, values = _first(np.ascontiguousarray(r.T), None, k, signed)
        of_y, r_y = np.hstack([of_y, numbers + start]), np.hstack([r_y, values])
        if of_y.shape[1] > k:
            of_y, r_y = _first(r_y, of_y, k, signed)
    return Strongest(of_x, r_x, of_y, r_y)


def _first(r: np.ndarray, numbers: np.ndarray | None, k: int, signed: bool):
    """The k largest scores of each line of `r` (m, c), falling, ties to the lower number: numbers, r."""
    s = -score(r, signed)
    if k < r.shape[1]:
        at = np.argpartition(s, k - 1, axis=1)[:, :k]
    else:
        at = np.broadcast_to(np.arange(r.shape[1]), r.shape)
    own = at if numbers is None else np.take_along_axis(numbers, at, axis=1)
    order = np.lexsort((own, np.take_along_axis(s, at, axis=1)), axis=1)
    at = np.take_along_axis(at, order, axis=1)
    return np.take_along_axis(own, order, axis=1), np.take_along_axis(r, at, axis=1)


# ---------------------------------------------------------------------------- greedy
def greedy(x: np.ndarray, y: np.ndarray, signed: bool) -> np.ndarray:
    """Partner (p,) of each unit of x, -1 for none: the strongest free pair again and again."""
    partner = np.full(len(x), -1, dtype=np.int64)
    left, right, k = np.arange(len(x)), np.arange(len(y)), LIST
    while len(left) and len(right):
        mine = x if len(left) == len(x) else x[left]
        others = y if len(right) == len(y) else y[right]
        if is_exact(len(left), len(right)):
            i, j = _all_pairs(score(correlation(mine, others), signed))
        else:
            i, j = _settled(strongest(mine, others, k, signed), signed)
        partner[left[i]] = right[j]
        left, right, k = np.delete(left, i), np.delete(right, j), 2 * k
    return partner


def _all_pairs(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Greedy over a whole matrix."""
    p, q = scores.shape
    order = np.argsort(-scores, axis=None, kind="stable")
    return _taken(order, np.ones(len(order), bool), p, q)


def _settled(top: Strongest, signed: bool) -> tuple[np.ndarray, np.ndarray]:
    """The pairs that greedy is sure to take, from lists that end at their k-th strongest."""
    (p, k), (q, m) = top.of_x.shape, top.of_y.shape
    one = np.repeat(np.arange(p), k) * q + top.of_x.ravel()
    two = top.of_y.ravel() * q + np.repeat(np.arange(q), m)
    pairs, first = np.unique(np.concatenate([one, two]), return_index=True)
    s = score(np.concatenate([top.r_x.ravel(), top.r_y.ravel()])[first], signed)
    whole = np.zeros(len(pairs), bool) | (k == q) | (m == p)
    both = whole | (np.isin(pairs, one) & np.isin(pairs, two))
    order = np.argsort(-s, kind="stable")
    return _taken(pairs[order], both[order], p, q)


def _taken(pairs: np.ndarray, sure: np.ndarray, p: int, q: int) -> tuple[np.ndarray, np.ndarray]:
    """Walk along `pairs` (number of x times q plus number of y), strongest first. A pair that is not `sure` leaves both
    units open for now, and so does one whose other unit is open: something stronger may be missing from the lists."""
    x_open, y_open = [True] * p, [True] * q  # neither taken nor waiting
    x_taken, y_taken = [False] * p, [False] * q
    found, most = [], min(p, q)
    for pair, is_sure in zip(pairs.tolist(), sure.tolist(), strict=True):
        i, j = divmod(pair, q)
        if x_taken[i] or y_taken[j]:
            continue
        if is_sure and x_open[i] and y_open[j]:
            x_taken[i] = y_taken[j] = True
            found.append((i, j))
            if len(found) == most:
                break
        else:
            x_open[i] = y_open[j] = False
    i, j = np.array(found, dtype=np.int64).reshape(-1, 2).T
    return i, j
