"""How far a head compares tokens with themselves: the isotropic share of W = W_Q W_K',

    tr(W)² / (d |W|²_F) = (E q_i · k_i)² / (d E (q_i · k_j)²)      i and j independent, tokens white

W = I gives 1, a head e wide at most e/d, and independent Gaussian weights 1/d². Taken from q and k, centred, the tokens
weigh as they occur: in a stream with few strong directions chance is larger than 1/d². The null therefore pairs each
query with the key of the same place in another sample.

The interval is that of the signed root r = E q_i · k_i / √(d E (q_i · k_j)²), which does not pile up at 0 as its square
does: jackknife pseudo-values of r, the ends then squared, from 0 where they have two signs.
"""

from __future__ import annotations

import numpy as np

from analysis.compute.statistics.skewed_means import skewed_interval
from analysis.tokens.attention.heads import HeadReader
from analysis.tokens.attention.position_null import Measured

ISOTROPIC = "isotropic share of QK"
MEANING = "how far a head looks for tokens like the query (W_Q W_K' near the identity): 1 nothing else, 1/d² by chance"


def share_of_weights(w: np.ndarray) -> float:
    """Of W (d, d) itself."""
    return float(np.trace(w) ** 2 / (len(w) * np.square(w).sum()))


def shares(
    queries: np.ndarray, keys: np.ndarray, present: np.ndarray, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Of q, k (n, T, e) of samples: pseudo-values (n,) of the share and of its null, whose mean is the jackknife's
    estimate and whose spread its error."""
    n = len(queries)
    q, k = (_centred(x, present) for x in (queries, keys))
    count = present.sum(axis=1).astype(np.float64)
    other = np.roll(np.arange(n), 1)
    both = present & present[other]
    own = np.einsum("nte,nte->n", q, k)
    crossed = np.where(both, np.einsum("nte,nte->nt", q, k[other]), 0.0).sum(axis=1)
    moments = [np.einsum("nte,ntf->nef", x, x) for x in (q, k)]
    return (_pseudo(own, count, moments, count, width),
            _pseudo(crossed, both.sum(axis=1).astype(np.float64), moments, count, width))  # fmt: skip


def roots(queries: np.ndarray, keys: np.ndarray, present: np.ndarray, width: int) -> np.ndarray:
    """(n,) pseudo-values of the signed root of the share."""
    n, (q, k) = len(queries), (_centred(x, present) for x in (queries, keys))
    count = present.sum(axis=1).astype(np.float64)
    own = np.einsum("nte,nte->n", q, k)
    second = [np.einsum("nte,ntf->nef", x, x) for x in (q, k)]

    def root(out: int | None) -> float:
        own_, count_, q2, k2 = (x.sum(axis=0) - (0 if out is None else x[out]) for x in (own, count, *second))
        return float(np.sign(own_) * np.sqrt(_share(own_, count_, q2, k2, count_, width)))

    return n * root(None) - (n - 1) * np.array([root(b) for b in range(n)])


def squared_ends(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(low, high) of the squares of what lies between low and high."""
    both = np.stack([np.square(low), np.square(high)])
    return np.where((low <= 0) & (high >= 0), 0.0, both.min(axis=0)), both.max(axis=0)


def _centred(x: np.ndarray, present: np.ndarray) -> np.ndarray:
    x = x.astype(np.float64) * present[:, :, None]
    mean = x.sum(axis=(0, 1)) / max(present.sum(), 1)
    return (x - mean) * present[:, :, None]


def _pseudo(own, pairs, moments, count, width) -> np.ndarray:
    n = len(own)
    whole = _share(own.sum(), pairs.sum(), *(m.sum(axis=0) for m in moments), count.sum(), width)
    less = [
        _share(own.sum() - own[b], pairs.sum() - pairs[b], *(m.sum(axis=0) - m[b] for m in moments),
               count.sum() - count[b], width) for b in range(n)
    ]  # fmt: skip
    return n * whole - (n - 1) * np.array(less)


def _share(own, pairs, second_q, second_k, count, width) -> float:
    spread = float((second_q * second_k).sum()) / max(count, 1) ** 2  # E (q_i · k_j)²
    return float((own / max(pairs, 1)) ** 2 / (width * spread)) if spread > 0 else 0.0


def isotropic(reader: HeadReader, progress, rng: np.random.Generator) -> Measured:
    """Pseudo-values (L, H, n) of all heads, and intervals."""
    value, null, root = (np.zeros((reader.layers, reader.heads, reader.n)) for _ in range(3))
    present = reader.layout.present
    for layer in range(reader.layers):
        for head in range(reader.heads):
            progress((layer * reader.heads + head) / (reader.layers * reader.heads), "reading heads")
            q, k = reader.queries[layer][:, head], reader.keys[layer][:, head]
            value[layer, head], null[layer, head] = shares(q, k, present, reader.width)
            root[layer, head] = roots(q, k, present, reader.width)
    ends = squared_ends(
        *(e.reshape(value.shape[:2]) for e in skewed_interval(root.reshape(-1, reader.n).T, rng))
    )
    return Measured(value, null, np.full(reader.n, 1.0 / reader.width**2), ends)
