"""What one head does, as a number for each sample, summed up over blocks of queries.

    entropy         H_i = -sum_j A_ij log A_ij, mean over queries i (nats; log m where m keys are read alike)
    keys            fewest keys that hold 90 % of a row, mean over queries
    share           the same over how many keys the query may read, median over queries
    distance        (1/N) sum_ij A_ij |p_i - p_j|, p on the grid of patches or along the text; weights among tokens
                    that have a place, made whole
    gini            of the mass that tokens receive: uniform 0, all on one of n 1 - 1/n
    cosine          mean over pairs of queries of the cosine of their rows
    rank            singular values of A above 1 % of the largest
    neighbours      mass inside the 3 x 3 patches (three words) around the query, where that has a place

Cosine: with unit rows u_i it is (|sum u_i|² - N) / (N (N - 1)), so that sums are enough. Rank: above 128 tokens from
A W and V A with random W (T, 128) and V (257, N), summed up as rows come (Tropp et al. 2017), singular values of
(V Q)^+ (V A), Q a basis of A W: exact up to rank 128, a floor above.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

MASS, NUMERICAL, SKETCH = 0.9, 1e-2, 128
ENTROPY, KEYS, SHARE, DISTANCE, GINI, COSINE, RANK, NEIGHBOURS = (
    "entropy of a row", "keys for 90 % of the mass", "share of the keys for 90 %", "mean distance",
    "Gini of received mass", "mean cosine of rows", "numerical rank", "mass on neighbours",
)  # fmt: skip
UNITS = {
    ENTROPY: "nats",
    KEYS: "keys",
    SHARE: "",
    DISTANCE: "tokens",
    GINI: "",
    COSINE: "",
    RANK: "",
    NEIGHBOURS: "",
}
MEANS = {  # in a sentence, for who sees the number
    ENTROPY: "how evenly a query spreads over the keys: 0 where it reads one, log n where it reads n alike",
    KEYS: "how many keys it takes to collect 90 % of what a query reads",
    SHARE: "the same over all keys that the query may read, of the query in the middle: a head that averages globally "
    "takes most of them, one that tells single patterns apart next to none, between them lie metastable states",
    DISTANCE: "how far from the query lies what it reads, in patches or words (non-locality)",
    GINI: "how unequally tokens are read: 0 all alike, near 1 where all read the same one (a sink)",
    COSINE: "how alike two queries read: 1 where all read the same, whatever that is",
    RANK: "how many patterns the rows are mixed of: 1 where all queries read the same",
    NEIGHBOURS: "share of what a query reads in the 3 x 3 patches, or three words, around it",
}
AVERAGES = (
    DISTANCE,
    NEIGHBOURS,
)  # of A: the mean over samples is the measure of the mean pattern, of any head
ENDS = {
    DISTANCE: (0.0, np.inf),
    ENTROPY: (0.0, np.inf),
    KEYS: (1.0, np.inf),
    RANK: (0.0, np.inf),
}  # else 0 to 1


def entropy(rows: np.ndarray) -> np.ndarray:
    """(...) nats of rows (..., T)."""
    return -(rows * np.log(np.where(rows > 0, rows, 1.0))).sum(axis=-1)


def keys_for(rows: np.ndarray, mass: float = MASS) -> np.ndarray:
    """(...) fewest keys that hold this share of each row (..., T)."""
    held = np.cumsum(-np.sort(-rows, axis=-1), axis=-1)
    return 1 + (held < mass * held[..., -1:] - 1e-12).sum(axis=-1)


def gini(x: np.ndarray) -> np.ndarray:
    """(...) of non-negative x (..., n): sum_ij |x_i - x_j| / (2 n² mean)."""
    n = x.shape[-1]
    order = 2 * np.arange(1, n + 1) - n - 1
    total = x.sum(axis=-1)
    return np.where(
        total > 0, (np.sort(x, axis=-1) * order).sum(axis=-1) / (n * np.where(total > 0, total, 1)), 0
    )


def row_cosine(rows: np.ndarray) -> float:
    """Mean cosine between two different rows of (N, T)."""
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    n = len(rows)
    return float((np.square(unit.sum(axis=0)).sum() - n) / (n * (n - 1)))


def places(layout) -> tuple[np.ndarray, np.ndarray]:
    """((n, T, 2) row and column of each token, or its number and 0; (n, T) bool: it has a place)."""
    at = np.where(layout.present, np.arange(layout.kinds.shape[1]), -1)
    if layout.grid is None or not (layout.cell >= 0).any():
        return np.stack([at, np.zeros_like(at)], axis=2).astype(np.float64), at >= 0
    cell = layout.cell
    return np.stack(np.divmod(cell, layout.grid[1]), axis=2).astype(np.float64), cell >= 0


@dataclass
class Tally:
    """What is known of the rows of n samples so far, for one `measure`. `add` any block of queries once, then `finish`
    (n,); 0 for a sample that no row of says anything."""

    measure: str
    layout: object
    total: np.ndarray | None = None
    count: np.ndarray | None = None
    norms: float = 0.0
    kept: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        n, t = self.layout.kinds.shape
        self.total = np.zeros((n, t) if self.measure in (GINI, COSINE) else n)
        self.count = np.zeros(n)
        if self.measure in (DISTANCE, NEIGHBOURS):
            self.place, self.placed = places(self.layout)
        if self.measure == SHARE:
            self.kept = {"shares": np.full((n, t), np.nan)}
        if self.measure == RANK:
            rng, s = np.random.default_rng(0), min(t, SKETCH)
            self.right = np.eye(t) if s == t else rng.standard_normal((t, s))
            self.kept = {"y": np.zeros((n, t, s))}
            if s < t:
                self.left = rng.standard_normal((2 * s + 1, t))
                self.kept["z"] = np.zeros((n, 2 * s + 1, t))

    def add(self, rows: np.ndarray, start: int) -> None:
        """Attention (n, t, T) of the queries from `start` on; rows of padding are 0."""
        stop = start + rows.shape[1]
        asked = self.layout.present[:, start:stop]
        if self.measure in (ENTROPY, KEYS):
            each = entropy(rows) if self.measure == ENTROPY else keys_for(rows)
            self.total += (each * asked).sum(axis=1)
        elif self.measure == SHARE:
            self.kept["shares"][:, start:stop] = np.where(
                asked, keys_for(rows) / self._readable(start, stop), np.nan
            )
        elif self.measure == GINI:
            self.total += rows.sum(axis=1)
        elif self.measure == COSINE:
            length = np.linalg.norm(rows, axis=2, keepdims=True)
            self.total += (rows / np.where(length > 0, length, 1)).sum(axis=1)
        elif self.measure == RANK:
            self.kept["y"][:, start:stop] = rows @ self.right
            if "z" in self.kept:
                self.kept["z"] += self.left[:, start:stop] @ rows
        else:
            self._by_place(rows, start, stop)
            return
        self.count += asked.sum(axis=1)

    def _readable(self, start: int, stop: int) -> np.ndarray:
        """(n, stop - start) how many keys each of these queries may read; at least 1."""
        there = self.layout.present
        if self.layout.causal:
            return np.maximum(np.cumsum(there, axis=1)[:, start:stop], 1)
        return np.maximum(there.sum(axis=1, keepdims=True), 1)

    def _by_place(self, rows, start, stop) -> None:
        among = rows * self.placed[:, None, :]
        whole = among.sum(axis=2)
        asked = self.placed[:, start:stop] & (whole > 0)
        for b in range(len(rows)):
            apart = self.place[b, start:stop, None] - self.place[b, None]
            far = np.hypot(apart[..., 0], apart[..., 1])
            what = far if self.measure == DISTANCE else (np.abs(apart).max(axis=2) <= 1) * 1.0
            each = (among[b] * what).sum(axis=1) / np.where(asked[b], whole[b], 1)
            self.total[b] += (each * asked[b]).sum()
        self.count += asked.sum(axis=1)

    def finish(self) -> np.ndarray:
        if self.measure == GINI:
            there = self.layout.present
            return np.array([gini(x[t]) for x, t in zip(self.total, there, strict=True)])
        if self.measure == SHARE:
            return np.array([np.median(x[t]) if t.any() else 0.0
                             for x, t in zip(self.kept["shares"], self.layout.present, strict=True)])  # fmt: skip
        if self.measure == COSINE:
            pairs = self.count * (self.count - 1)
            return (np.square(self.total).sum(axis=1) - self.count) / np.where(pairs > 0, pairs, 1)
        if self.measure == RANK:
            return np.array([self._rank(b) for b in range(len(self.count))], np.float64)
        return self.total / np.where(self.count > 0, self.count, 1)

    def _rank(self, b: int) -> int:
        values = np.linalg.svd(self._projected(b), compute_uv=False)
        return int((values > NUMERICAL * values[0]).sum()) if values[0] > 0 else 0

    def _projected(self, b: int) -> np.ndarray:
        if "z" not in self.kept:
            return self.kept["y"][b]
        basis = np.linalg.qr(self.kept["y"][b])[0]
        return np.linalg.lstsq(self.left @ basis, self.kept["z"][b], rcond=None)[0]
