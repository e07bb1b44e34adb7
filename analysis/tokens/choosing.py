"""Steps that several rules take: the lowest of a score are dropped, the most alike of two halves are merged."""

from __future__ import annotations

import numpy as np

from analysis.tokens.state import GONE, Step, TokenState, goes_to, stay, survivors

LEAST_LENGTH = 1e-12


def rank_among(score: np.ndarray, free: np.ndarray) -> np.ndarray:
    """(B, t) rank of each free token by falling score, 0 the highest; ties by position; after all of them otherwise.
    Among free tokens -inf and NaN are last."""
    most = np.finfo(np.float64).max
    falling = np.nan_to_num(-np.asarray(score, np.float64), nan=most, posinf=most, neginf=-most)
    order = np.argsort(np.where(free, falling, np.inf), axis=1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(order.shape[1]), order.shape), axis=1)
    return rank


def lowest(score: np.ndarray, free: np.ndarray, remove: np.ndarray) -> np.ndarray:
    """(B, t) bool: the `remove` (B,) free tokens of lowest score, the later one of a tie."""
    rank, count = rank_among(score, free), free.sum(axis=1)
    return free & (rank >= (count - np.minimum(remove, count))[:, None])


def drop(state: TokenState, score: np.ndarray, gone: np.ndarray) -> Step:
    """The step that drops the tokens `gone` (B, t) bool."""
    return Step(np.where(gone, GONE, stay(state)), score)


def merge_pairs(
    state: TokenState, partner: np.ndarray, score: np.ndarray, chosen: np.ndarray, **facts
) -> Step:
    """The step in which the tokens `chosen` (B, t) bool go into their `partner` (B, t), which stays."""
    return Step(np.where(chosen, partner, stay(state)), score, **facts)


def unit_rows(x: np.ndarray) -> np.ndarray:
    """(..., d) rows of length 1; a row of zeros stays one, so its cosine with all is 0."""
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), LEAST_LENGTH).astype(x.dtype)


def split_places(belongs: np.ndarray) -> np.ndarray:
    """(B, m) places of the True of `belongs` (B, t), rising, GONE at padding."""
    counts = belongs.sum(axis=1)
    order = np.argsort(~belongs, axis=1, kind="stable")[:, : int(counts.max(initial=0))]
    return np.where(np.arange(order.shape[1]) < counts[:, None], order, GONE)


def gathered(x: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(B, m, d) the rows of `x` (B, t, d) at `places` (B, m); the first row where there is none."""
    return x[np.arange(len(x))[:, None], np.maximum(places, 0)]


def bipartite(
    state: TokenState, first: np.ndarray, second: np.ndarray, likeness, remove: np.ndarray, **facts
) -> Step:
    """Soft matching: each of `first` (B, m) is paired with the one of `second` (B, q) that it is most alike, and the
    `remove` (B,) pairs most alike are merged. `likeness(first, second)` -> (B, m, q). O(B m q).

    Places are rising and GONE at padding. Several of the first may go into one of the second.
    """
    b, t = state.at.shape
    score = np.full((b, t), np.nan)
    into = stay(state).copy()
    if not first.shape[1] or not second.shape[1]:
        return Step(into, score, **facts)
    alike = likeness(first, second)
    none = (first == GONE)[:, :, None] | (second == GONE)[:, None, :]
    if none.any():
        alike = np.where(none, -np.inf, alike)
    best = alike.argmax(axis=2)
    value = np.take_along_axis(alike, best[:, :, None], axis=2)[:, :, 0]
    can = (first != GONE) & np.isfinite(value)
    rank = rank_among(np.where(can, value, -np.inf), can)
    chosen = can & (rank < remove[:, None])
    rows = np.arange(b)[:, None]
    into[np.broadcast_to(rows, first.shape)[chosen], first[chosen]] = np.take_along_axis(
        second, best, axis=1
    )[chosen]
    score[np.broadcast_to(rows, first.shape)[can], first[can]] = -value[can]  # the most alike goes first
    return Step(into, score, **facts)


def merge_groups(
    state: TokenState, group: np.ndarray, naming: np.ndarray, score: np.ndarray, **facts
) -> Step:
    """The step in which all tokens of a group (B, t) int go into the one of largest `naming` (B, t), the first of a
    tie; tokens of group GONE stay."""
    into = stay(state).copy()
    rows, places = np.nonzero((group != GONE) & state.valid)
    key = rows * (int(group.max(initial=0)) + 1) + group[rows, places]
    order = np.lexsort((places, -naming[rows, places], key))
    _, first, which = np.unique(key[order], return_index=True, return_inverse=True)
    into[rows[order], places[order]] = places[order][first][which]
    return Step(into, score, **facts)


def then(first: Step, second: Step) -> Step:
    """Two steps as one, the second being of the tokens that the first leaves. Weights are sizes. The score is that of
    the first where it judged, of the second otherwise."""
    keep, goes = survivors(first), goes_to(first)
    behind = np.take_along_axis(second.into, np.maximum(goes, 0), axis=1)
    into = np.take_along_axis(keep, np.maximum(behind, 0), axis=1)
    into = np.where((goes == GONE) | (behind == GONE), GONE, into)
    later = np.where(goes == GONE, np.nan, np.take_along_axis(second.score, np.maximum(goes, 0), axis=1))
    return Step(into, np.where(np.isnan(first.score), later, first.score))
