"""How low-rank attention is, and how well a few landmark tokens stand for all of it.

    softmax     exp(q·k), rows to the sum 1        Gaussian    exp(-|q - k|² / 2), rows as they are

of queries and keys whose product is the logit (each times the root of the scale), so that of the same head
exp(q·k) = exp(-|q - k|² / 2) exp(|q|² / 2) exp(|k|² / 2), exactly. With landmarks c_q, c_k (m, e),

    K ≈ K(q, c_k) X K(c_q, k),      X = K(c_q, c_k)⁺ (Nyström)  or  the best X there is between these two

(of softmax each factor has rows with the sum 1, as in a Nyström transformer). Exact where m reaches the rank.
"""

from __future__ import annotations

import numpy as np

from analysis.tokens.attention.heads import HeadReader
from analysis.tokens.mixers.linear_attention import gaussian

SOFTMAX, GAUSSIAN = "softmax attention", "Gaussian kernel"
KERNELS = (SOFTMAX, GAUSSIAN)
POOLED, CLUSTERS, SPREAD = "means of neighbours", "k-means", "tokens evenly spread"
WAYS = (POOLED, CLUSTERS, SPREAD)
BEST, NYSTROEM = "the best there is", "Nyström's own"
SMALL = 1e-10  # of the largest singular value: what counts as none
ROUNDS = 20  # of k-means
PAID = "weights that are paid"
SHARE, MOST = 0.9, 256  # of the sum of squares; tokens of a sample


def kernel(q: np.ndarray, k: np.ndarray, kind: str, may: np.ndarray | None = None) -> np.ndarray:
    """(t, s) of queries (t, e) and keys (s, e); 0 where `may` (t, s) is False."""
    if kind == GAUSSIAN:
        found = gaussian(q, k)
        return found if may is None else np.where(may, found, 0.0)
    logits = q @ k.T
    logits = logits if may is None else np.where(may, logits, -np.inf)
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def landmarks(q: np.ndarray, k: np.ndarray, m: int, way: str, rng) -> tuple[np.ndarray, np.ndarray]:
    """(c_q, c_k), each (m, e) at most, of queries and keys (t, e) of the same tokens."""
    t = len(q)
    if way == SPREAD:
        at = np.unique(np.linspace(0, t - 1, m).round().astype(int))
        return q[at], k[at]
    of = np.arange(t) * m // t if way == POOLED else clusters(np.concatenate([q, k], axis=1), m, rng)
    count = np.bincount(of, minlength=m)
    sums = [np.stack([np.bincount(of, x[:, j], m) for j in range(x.shape[1])], axis=1) for x in (q, k)]
    there = count > 0
    return sums[0][there] / count[there, None], sums[1][there] / count[there, None]


def clusters(x: np.ndarray, m: int, rng: np.random.Generator) -> np.ndarray:
    """(t,) the nearest of m means of x (t, d): Lloyd's rounds from tokens drawn far apart (k-means++)."""
    first = int(rng.integers(len(x)))
    centres, apart = [x[first]], np.square(x - x[first]).sum(axis=1)
    while len(centres) < m and apart.sum() > 0:
        at = int(rng.choice(len(x), p=apart / apart.sum()))
        centres.append(x[at])
        apart = np.minimum(apart, np.square(x - x[at]).sum(axis=1))
    means, of = np.array(centres), np.zeros(len(x), int)
    for _ in range(ROUNDS):
        near = (np.square(means).sum(axis=1) - 2 * x @ means.T).argmin(axis=1)
        if (near == of).all() and _ > 0:
            break
        of = near
        count = np.bincount(of, minlength=len(means))
        sums = np.zeros_like(means)
        np.add.at(sums, of, x)
        means = np.where(count[:, None] > 0, sums / np.maximum(count, 1)[:, None], means)
    return of


def left_by(q: np.ndarray, k: np.ndarray, marks, kind: str, core: str = BEST) -> float:
    """|K - C X R| / |K|, at most 1: from there on it is no better than nothing."""
    whole = kernel(q, k, kind)
    columns, rows = kernel(q, marks[1], kind), kernel(marks[0], k, kind)
    if core == NYSTROEM:
        made = columns @ np.linalg.pinv(kernel(*marks, kind), rcond=SMALL) @ rows
    else:
        left, right = _span(columns), _span(rows.T)
        made = left @ (left.T @ whole @ right) @ right.T
    return min(float(np.linalg.norm(whole - made) / max(np.linalg.norm(whole), 1e-300)), 1.0)


def _span(columns: np.ndarray) -> np.ndarray:
    left, size, _ = np.linalg.svd(columns, full_matrices=False)
    return left[:, size > SMALL * max(float(size[0]), 1e-300)]


def holding(values: np.ndarray, share: float) -> int:
    """How many singular values, largest first, hold this share of the sum of their squares."""
    squares = np.cumsum(np.square(values))
    return int(np.searchsorted(squares, share * squares[-1] * (1 - 1e-12))) + 1


def sizes_of(reader: HeadReader) -> np.ndarray:
    """Numbers of landmarks: 1, 2, 4, … up to all tokens of the shortest sample."""
    least = int(min(reader.layout.present.sum(axis=1).min(), MOST))
    return np.unique(np.append(2 ** np.arange(int(np.log2(least)) + 1), least))


def measured(
    reader: HeadReader, layer: int, heads, sizes, of: tuple[str, str], rng, told
) -> tuple[dict, dict]:
    """({kernel: (n, t) σ_i / σ_1, means over heads; 0 beyond the tokens}, {way: (n, m) errors of `of`, a kernel and a
    core}); with the
    number of singular values for 90 % under (kernel, SHARE), (n,)."""
    n, most = reader.n, int(min(reader.layout.present.sum(axis=1).max(), MOST))
    names = (*KERNELS, PAID) if reader.weights is not None else KERNELS
    values = {name: np.zeros((n, most)) for name in names} | {(name, SHARE): np.zeros(n) for name in names}
    errors = {way: np.zeros((n, len(sizes))) for way in WAYS}
    for b, there in enumerate(reader.layout.present):
        at = np.flatnonzero(there)[:MOST]
        for head in heads:
            told((b * len(heads) + head - heads[0]) / (n * len(heads)))
            q, k = _scaled(reader, layer, head, b, at)
            may = np.tri(len(at), dtype=bool) if reader.layout.causal else None
            made = {name: kernel(q, k, name, may) for name in KERNELS}
            if reader.weights is not None:
                made[PAID] = reader.rows(layer, head)[b][np.ix_(at, at)]
            for name, matrix in made.items():
                size = np.linalg.svd(matrix, compute_uv=False)
                values[name][b, : len(size)] += size / max(size[0], 1e-300) / len(heads)
                values[name, SHARE][b] += holding(size, SHARE) / len(heads)
            for way in WAYS:
                errors[way][b] += [
                    left_by(q, k, landmarks(q, k, m, way, rng), *of) / len(heads) for m in sizes
                ]
    return values, errors


def _scaled(reader: HeadReader, layer: int, head: int, b: int, at: np.ndarray):
    q, k = (x[layer][b, head][at].astype(np.float64) for x in (reader.queries, reader.keys))
    root = np.sqrt(q.shape[1] ** -0.5 if reader.scale is None else reader.scale)
    return q * root, k * root
