"""Attention from fewer numbers than it has entries: blocks of many sizes, few keys of each query, or few dimensions.

Blocks (Z. Zeng et al. 2022): the mean score of a block is the score of its mean query and mean key, exactly,

    mean over block of q_i · k_j  =  q̄ · k̄

so that a block costs one number whatever its size. From the whole, the block that seems to hold most mass, its area
times exp(q̄ · k̄), is cut in four until the budget of blocks is spent; every entry then has the score of its block, and
rows are made whole. exp(mean) <= mean(exp): blocks never give more than there is (the gap of Jensen). Of a text,
blocks that the diagonal runs through are cut first, down to single entries, about 2 m of them for m tokens.

Beside it at no more numbers: the largest entries of each row, and singular vectors of A, rows made whole again.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

import numpy as np

from analysis.tokens.attention.heads import HeadReader

MOST = 192  # tokens of a sample
NOT_PAID = (
    "The network pays other weights than softmax(q k') (windows, masks): what is told is of queries and keys."
)


@dataclass
class Blocks:
    """Blocks of the scores of q (m, e), k (m, e), already scaled, that may be read (`causal`: backwards only).
    `leaves` are (size, row block, column block); `refine` cuts until there are so many of them."""

    q: np.ndarray
    k: np.ndarray
    causal: bool
    leaves: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        m = len(self.q)
        self.m, size = m, 1 << max(m - 1, 0).bit_length()
        self._pooled, self._queue = {}, []
        while size >= 1:
            self._pooled[size] = self._level(size)
            size //= 2
        largest = max(self._pooled)
        self._add(largest, 0, 0)
        while self.causal and (crossing := [leaf for leaf in self.leaves if self._crosses(*leaf)]):
            for leaf in crossing:
                self._cut(leaf)

    def _level(self, size: int) -> tuple[np.ndarray, np.ndarray]:
        """(scores of blocks, tokens in each block of rows)."""
        starts = np.arange(0, self.m, size)
        inside = np.diff(np.append(starts, self.m))
        q, k = (np.add.reduceat(x, starts, axis=0) / inside[:, None] for x in (self.q, self.k))
        return q @ k.T, inside

    def _crosses(self, size: int, a: int, b: int) -> bool:
        return size > 1 and a == b

    def area(self, size: int, a: int, b: int) -> int:
        """Entries of a block that may be read; those on the diagonal of a text are cut until they are single ones."""
        inside = self._pooled[size][1]
        if max(a, b) >= len(inside) or (self.causal and b > a):
            return 0
        return int(inside[a]) * int(inside[b])

    def _add(self, size: int, a: int, b: int) -> None:
        area = self.area(size, a, b)
        if area:
            score = float(self._pooled[size][0][a, b])
            self.leaves[size, a, b] = score
            if area > 1:
                heapq.heappush(self._queue, (-(score + np.log(area)), size, a, b))

    def _parts(self, size: int, a: int, b: int) -> list[tuple[int, int, int]]:
        four = [(size // 2, row, column) for row in (2 * a, 2 * a + 1) for column in (2 * b, 2 * b + 1)]
        return [part for part in four if self.area(*part)]

    def _cut(self, leaf: tuple[int, int, int]) -> None:
        del self.leaves[leaf]
        for part in self._parts(*leaf):
            self._add(*part)

    def refine(self, budget: int) -> Blocks:
        """Cut the heaviest block until the next cut would make more than `budget`, or none is left to cut."""
        while self._queue:
            leaf = self._queue[0][1:]
            if leaf in self.leaves and len(self.leaves) - 1 + len(self._parts(*leaf)) > budget:
                break
            heapq.heappop(self._queue)
            if leaf in self.leaves:
                self._cut(leaf)
        return self

    def scores(self) -> np.ndarray:
        """(m, m) the score of the block that each entry is in, -inf where nothing may be read."""
        found = np.full((self.m, self.m), -np.inf)
        for (size, a, b), score in self.leaves.items():
            found[a * size : (a + 1) * size, b * size : (b + 1) * size] = score
        return found

    def outlines(self) -> np.ndarray:
        """(blocks, 4) first row, row after the last, first column, column after the last."""
        found = np.array([(a * s, (a + 1) * s, b * s, (b + 1) * s) for s, a, b in self.leaves])
        return np.minimum(found, self.m)


def whole(rows: np.ndarray, may: np.ndarray) -> np.ndarray:
    """Rows without negative weights that sum to 1; all read alike where nothing is left."""
    rows = np.maximum(rows, 0) * may
    total = rows.sum(axis=1, keepdims=True)
    return np.where(total > 0, rows / np.where(total > 0, total, 1), may / may.sum(axis=1, keepdims=True))


def attention_of(scores: np.ndarray) -> np.ndarray:
    """(m, m) softmax of rows."""
    weight = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weight / weight.sum(axis=1, keepdims=True)


def keys_kept(entries: np.ndarray, budget: int) -> np.ndarray:
    """(m,) how many of its `entries` (m,) each row keeps so that all keep `budget` together, in proportion; what whole
    numbers leave over goes to rows that are owed most, the first among equals."""
    fair = budget * entries / entries.sum()
    keep = np.floor(fair + 1e-9).astype(int)
    keep[np.argsort(keep - fair, kind="stable")[: budget - keep.sum()]] += 1
    return keep


def largest_kept(a: np.ndarray, may: np.ndarray, budget: int) -> np.ndarray:
    """The largest weights of each row, `budget` of them in all, made whole; rows that have none read all alike."""
    keep = keys_kept(may.sum(axis=1), budget)
    rank = np.argsort(np.argsort(-a, axis=1, kind="stable"), axis=1)
    return whole(a * (rank < keep[:, None]), may)


def low_rank(svd, may: np.ndarray, numbers: float) -> np.ndarray:
    """From (u, s, vt) of the attention as many directions as `numbers` hold, 2 m a direction, made whole."""
    u, s, vt = svd
    r = min(int(numbers // (2 * len(may))), len(s))
    return whole((u[:, :r] * s[:r]) @ vt[:r], may)


def error(found: np.ndarray, a: np.ndarray) -> float:
    """|found - a| / |a|, Frobenius."""
    return float(np.linalg.norm(found - a) / np.linalg.norm(a))


def missed_mass(coarse: np.ndarray, scores: np.ndarray, may: np.ndarray) -> float:
    """Share of Σ exp(score) that blocks do not give, their scores being `coarse`: the gap of Jensen, 0 to 1."""
    top = scores[may].max()
    return float(1 - np.exp(coarse[may] - top).sum() / np.exp(scores[may] - top).sum())


def compared(q: np.ndarray, k: np.ndarray, causal: bool, shares: np.ndarray) -> np.ndarray:
    """(shares, 4) errors of blocks, of the largest entries and of low rank, and the mass that blocks miss, of scaled q
    and k (m, e); NaN where the diagonal alone takes more blocks."""
    m, scores = len(q), q @ k.T
    may = np.tri(m, dtype=bool) if causal else np.ones((m, m), bool)
    a = attention_of(np.where(may, scores, -np.inf))
    svd, blocks, cells, found = np.linalg.svd(a), Blocks(q, k, causal), may.sum(), []
    for share in shares:
        budget = int(np.ceil(share * cells - 1e-9))
        if len(blocks.leaves) > budget:
            found.append((np.nan,) * 4)
            continue
        coarse = blocks.refine(budget).scores()
        found.append((error(attention_of(coarse), a), error(largest_kept(a, may, budget), a),
                      error(low_rank(svd, may, budget), a), missed_mass(coarse, scores, may)))  # fmt: skip
    return np.array(found)


def scaled(reader: HeadReader, layer: int, head: int, b: int) -> tuple[np.ndarray, np.ndarray]:
    """(q times the scale, k), each (m, e), of the tokens of a sample, the first `MOST` of them."""
    there = np.flatnonzero(reader.layout.present[b])[:MOST]
    q, k = (x[layer][b, head][there].astype(np.float64) for x in (reader.queries, reader.keys))
    return q * (q.shape[1] ** -0.5 if reader.scale is None else reader.scale), k


def said_of(reader: HeadReader) -> tuple[str, ...]:
    """What is to be said of the tokens that are read."""
    cut = (reader.layout.present.sum(axis=1) > MOST).any()
    return (
        *reader.notes,
        *([f"The first {MOST} tokens of each sample are taken."] if cut else []),
        *([NOT_PAID] if reader.weights is not None else []),
    )
