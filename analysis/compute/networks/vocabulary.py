"""What directions say through an unembedding, block by block of the vocabulary, keeping the first few tokens.

    logits of direction w :  l_t = <u_t - ū, w>          ū the mean row: a softmax does not see a constant
    cosine               :  c_t = l_t / (‖u_t - ū‖ ‖w‖)

Tokens are ranked by cosine: by logit, rare tokens with long rows would come first whatever the direction. Softmax
entropy is that of the logits, by a running maximum and sums; memory is that of a block, whatever the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from analysis.errors import InputError

Blocks = Callable[[], Iterator[tuple[int, np.ndarray]]]  # -> (first token, rows (b, d) float64), in order
AT_ONCE = 4096  # directions


@dataclass(frozen=True)
class Said:
    """Of m directions: `first` and `last` (m, k) tokens of largest and smallest cosine, `highest` (m, k) and `lowest`
    (m, k) their cosines; `score` (m,) the largest cosine in deviations from the mean over tokens; `entropy` (m,) nats.
    """

    first: np.ndarray
    highest: np.ndarray
    last: np.ndarray
    lowest: np.ndarray
    score: np.ndarray
    entropy: np.ndarray


def mean_row(blocks: Blocks) -> tuple[np.ndarray, int]:
    """ū (d,) and the number of tokens; rows with NaN are left out. Raises InputError without any."""
    total, n = 0.0, 0
    for _, rows in blocks():
        good = np.isfinite(rows).all(axis=1)
        total, n = total + rows[good].sum(axis=0), n + int(good.sum())
    if n < 2:
        raise InputError(f"{n} finite row(s) of the unembedding", "at least 2")
    return np.asarray(total) / n, n


def said_by(blocks: Blocks, mean: np.ndarray, directions: np.ndarray, k: int) -> Said:
    """Of `directions` (m, d). Time O(V m d), memory O(b m + m k). Raises InputError: all rows are equal."""
    parts = [_scan(blocks, mean, directions[a : a + AT_ONCE], k) for a in range(0, len(directions), AT_ONCE)]
    return Said(*(np.concatenate([getattr(p, f) for p in parts]) for f in Said.__dataclass_fields__))


def _scan(blocks: Blocks, mean: np.ndarray, w: np.ndarray, k: int) -> Said:
    m, length = len(w), np.linalg.norm(w, axis=1)
    length = np.where(length > 0, length, 1.0)
    best, worst = _Best(m, k), _Best(m, k)
    top, sums, weighted = np.full(m, -np.inf), np.zeros(m), np.zeros(m)
    n, middle, square = 0, np.zeros(m), np.zeros(m)
    for start, rows in blocks():
        good = np.isfinite(rows).all(axis=1)
        own = rows[good] - mean
        if not len(own):
            continue
        logits, size = w @ own.T, np.linalg.norm(own, axis=1)
        cosine = logits / np.where(size > 0, size, 1.0) / length[:, None]
        tokens = start + np.flatnonzero(good)
        best.take(cosine, tokens)
        worst.take(-cosine, tokens)
        higher = np.maximum(top, logits.max(axis=1))
        shrink = np.exp(np.where(np.isfinite(top), top - higher, -np.inf))
        e = np.exp(logits - higher[:, None])
        sums, weighted = sums * shrink + e.sum(axis=1), weighted * shrink + (e * logits).sum(axis=1)
        top, n = higher, n + len(own)
        middle, square = middle + cosine.sum(axis=1), square + (cosine**2).sum(axis=1)
    middle = middle / n
    spread = np.sqrt(np.maximum(square / n - middle**2, 0.0))
    if not (spread > 0).any():
        raise InputError("all rows of the unembedding are equal", "rows that differ")
    score = (best.values[:, 0] - middle) / np.where(spread > 0, spread, 1.0)
    entropy = np.maximum(np.log(sums) + top - weighted / sums, 0.0)
    return Said(best.tokens, best.values, worst.tokens, -worst.values, score, entropy)


class _Best:
    """The k largest of what was shown: `values`, `tokens` (m, k), falling; of equal ones the first token."""

    def __init__(self, m: int, k: int) -> None:
        self.k, self.values, self.tokens = k, np.empty((m, 0)), np.empty((m, 0), np.int64)

    def take(self, values: np.ndarray, tokens: np.ndarray) -> None:
        if values.shape[1] > self.k:
            part = np.argpartition(-values, self.k - 1, axis=1)[:, : self.k]
        else:
            part = np.broadcast_to(np.arange(values.shape[1]), values.shape)
        both = np.hstack([self.values, np.take_along_axis(values, part, axis=1)])
        where = np.hstack([self.tokens, tokens[part]])
        order = np.lexsort((where, -both), axis=1)[:, : self.k]
        self.values, self.tokens = (np.take_along_axis(x, order, axis=1) for x in (both, where))
