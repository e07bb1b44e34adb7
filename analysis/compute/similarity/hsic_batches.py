"""CKA from minibatches: the inner products of each small batch, averaged before the ratio is taken.

Averaging the unbiased HSIC over batches is unbiased again, so that a representation that never fits into memory has
the same CKA on average; averaging the *ratios*, or biased inner products, does not (a biased one at batch 8 gives 0.90
where 0.61 is right). What batches lose is precision: only pairs of samples within a batch are compared.

Reference: T. Nguyen, M. Raghu & S. Kornblith (2021), "Do wide and deep networks learn the same things?"
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

GROUPS = 10  # of batches, for the jackknife


def batch_products(
    values: Sequence[np.ndarray], order: np.ndarray, batch: int, gram: Callable[[np.ndarray, int], np.ndarray]
) -> tuple[np.ndarray, np.ndarray, int]:
    """Unbiased inner products (1 + G, k, k) of k representations, summed over batches, then without each group of
    batches (no group below three batches); the variance (k, k) of their sums when samples are exchanged within batches,
    exact; and the number of batches.

    values : k arrays (n, d_i). order : (n,) the samples as they are drawn; what does not fill a batch is left out.
    gram : (rows (b, d_i), number of the representation) -> its Gram matrix (b, b).

    Time O(n b Σ d + n b k²), memory O(k b²).
    """
    count = len(order) // batch
    groups = min(GROUPS, count) if count >= 3 else 0
    sums = np.zeros((max(groups, 1), len(values), len(values)))
    variance = np.zeros(sums.shape[1:])
    for i in range(count):
        rows = order[i * batch : (i + 1) * batch]
        flat = np.array([u_centred(gram(x[rows], a)).ravel() for a, x in enumerate(values)])
        products = flat @ flat.T
        sums[i % len(sums)] += products
        variance += 2 / (batch * (batch - 3)) * np.outer(np.diag(products), np.diag(products))
    whole = sums.sum(axis=0)
    return (np.concatenate([whole[None], whole - sums]) if groups else whole[None]), variance, count


def u_centred(gram: np.ndarray) -> np.ndarray:
    """The Gram matrix (b, b) without its diagonal, centred so that rows sum to zero (Székely & Rizzo 2014); b >= 4."""
    b = len(gram)
    out = gram - np.diag(np.diag(gram))
    rows = out.sum(axis=1) / (b - 2)
    out -= rows[:, None] + rows
    out += rows.sum() / (b - 1)
    np.fill_diagonal(out, 0.0)
    return out
