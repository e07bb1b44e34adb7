"""How alike two representations of the same samples are, by their Gram matrices, without ever making these.

K = X Xᵀ and L = Y Yᵀ of centred X (n, p), Y (n, q), with diagonals k and l. The biased inner product is
<K, L> = |XᵀY|²; the unbiased one leaves the diagonals out and centres what remains (U-centring, Székely & Rizzo 2014):

    U(X, Y) = |XᵀY|² - n / (n - 2) Σ k_i l_i + Σ k_i Σ l_i / ((n - 1) (n - 2)),    HSIC = U / (n (n - 3))

and CKA = U(X, Y) / sqrt(U(X, X) U(Y, Y)), an inner product of unit vectors and so never beyond 1.

Null: when the samples of one side are exchanged, U has mean exactly 0 and CKA a variance of exactly 2 / (n (n - 3)),
whatever the data. The biased <K, L> has the mean and variance of `exchange_moments`.

Every product is made group by group of samples, so that the values without each group (the jackknife) come from the
same products: with C_g = X_gᵀ Y_g and W their sum, |W - C_g|² needs only the inner products of the C_g.

References: L. Song et al. (2012), "Feature selection via dependence maximization" (unbiased HSIC); S. Kornblith et al.
(2019); G. Székely & M. Rizzo (2014).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.statistics.exchange_moments import Centred
from analysis.compute.statistics.sample_groups import GROUPS

FEWEST = 4  # samples: below, nothing is left after U-centring
ROUNDING = 1e-12  # of the biased inner product
BLOCK_BYTES = 64 << 20  # of the groups' products at a time
AT_ONCE = 128  # rows


@dataclass(frozen=True)
class Inner:
    """Inner products of two sides on all `n` samples, then without each group, (1 + G,): `biased` and `unbiased`."""

    biased: np.ndarray
    unbiased: np.ndarray


@dataclass(frozen=True)
class Side:
    """One representation of n samples in G groups, centred, with r <= n features.

    `parts` (G, m, r), rows of zeros where a group is smaller; `shift` (G, r), the mean without each group; `moved`
    (G m,), each row times its own group's shift; `norms` (1 + G, G m), squared lengths of rows about the mean, of all,
    then without each group, 0 for rows that are not there; `counts` (1 + G,) samples of each; `own` inner products;
    `gram` what the exchange of samples needs to know.
    """

    parts: np.ndarray
    shift: np.ndarray
    moved: np.ndarray
    norms: np.ndarray
    counts: np.ndarray
    own: Inner
    gram: Centred


class Scratch:
    """Memory for the groups' products, used again for every pair: the system would clear as much each time."""

    def __init__(self) -> None:
        self._memory = np.empty(0)

    def array(self, *shape: int) -> np.ndarray:
        """Uninitialised; it is the same memory at every call."""
        size = int(np.prod(shape))
        if size > self._memory.size:
            self._memory = np.empty(size)
        return self._memory[:size].reshape(shape)


def side_of(
    x: np.ndarray, group: np.ndarray, scratch: Scratch | None = None, own: Inner | None = None
) -> Side:
    """`x` (n, d), of single or double precision, in groups (n,). With more units than samples, n features with the same
    Gram matrix stand for them. Time O(n d min(n, d)), and O(n d) where its `own` inner products are known and d <= n;
    memory 8 bytes per sample and feature."""
    parts = _in_groups(_features(x, np.argsort(group, kind="stable")), np.bincount(group))
    n, (groups, m, r) = len(x), parts.shape
    there = np.sort(group)
    filled = np.arange(m) < np.bincount(there, minlength=groups)[:, None]
    counts = np.append(n, n - filled.sum(axis=1)).astype(np.float64)
    shift = -parts.sum(axis=1) / counts[1:, None]
    flat = parts.reshape(groups * m, r)
    lengths = np.einsum("ij,ij->i", flat, flat)
    along = flat @ shift.T
    of = np.repeat(np.arange(groups), m)
    norms = np.concatenate(
        [lengths[None], lengths - 2 * along.T + np.einsum("gr,gr->g", shift, shift)[:, None]]
    )
    norms *= filled.ravel()
    norms[1:][of == np.arange(groups)[:, None]] = 0.0
    bare = Side(parts, shift, along[np.arange(len(of)), of], norms, counts, None, None)
    own = own or _with_itself(bare, scratch or Scratch())
    gram = Centred(float(norms[0].sum()), float(own.biased[0]), float(norms[0] @ norms[0]), n)
    return Side(parts, shift, bare.moved, norms, counts, own, gram)


def _with_itself(side: Side, scratch: Scratch) -> Inner:
    biased = _squares(side, side, scratch)
    unbiased = _unbiased(biased, side, side)
    unbiased[unbiased <= ROUNDING * biased] = 0.0  # what rounding leaves of equal distances is no length
    return Inner(biased, unbiased)


def inner(one: Side, other: Side, scratch: Scratch | None = None) -> Inner:
    """Time O(n p q), memory O(G p q) up to 64 MB."""
    if one is other:
        return one.own
    biased = _squares(one, other, scratch or Scratch())
    return Inner(biased, _unbiased(biased, one, other))


def alignment(cross: np.ndarray, own: np.ndarray, others: np.ndarray) -> np.ndarray:
    """CKA (1 + G,) from inner products; 0 where one side has none with itself (all of its distances are equal), NaN
    where samples are too few."""
    scale = np.sqrt(np.maximum(own, 0.0) * np.maximum(others, 0.0))
    return np.clip(np.divide(cross, scale, out=0 * cross, where=scale > 0), -1.0, 1.0)


def block_bytes(features: int) -> float:
    """Memory of the groups' products of two sides with so many features each."""
    return min(float(BLOCK_BYTES), 8.0 * GROUPS * features**2)


def null_deviation(n: int) -> float:
    """Standard deviation of the unbiased CKA when samples are exchanged, exact for any data."""
    return float(np.sqrt(2 / (n * (n - 3))))


def _features(x: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Centred features (n, r), in this order, with the Gram matrix of `x` up to its scale, r <= n."""
    mean = x.mean(axis=0, dtype=np.float64)
    largest = max((x.max(axis=0) - mean).max(initial=0.0), (mean - x.min(axis=0)).max(initial=0.0))
    centred = np.empty(x.shape)
    for start in range(0, len(x), AT_ONCE):  # few rows stay in the processor's memory from step to step
        block = centred[start : start + AT_ONCE]
        block[...] = x[order[start : start + AT_ONCE]]
        block -= mean
        if largest > 0:
            block /= largest  # its scale does not matter, its fourth power could overflow
    return np.linalg.qr(centred.T, mode="r").T if centred.shape[1] > len(centred) else centred


def _in_groups(x: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """(G, m, r), rows of zeros behind the smaller groups; `x` (n, r) has its groups one after the other."""
    if (sizes == sizes[0]).all():
        return x.reshape(len(sizes), sizes[0], x.shape[1])
    parts = np.zeros((len(sizes), sizes.max(), x.shape[1]))
    for part, group in zip(parts, np.split(x, np.cumsum(sizes)[:-1]), strict=True):
        part[: len(group)] = group
    return parts


def _squares(one: Side, other: Side, scratch: Scratch) -> np.ndarray:
    """|XᵀY|² (1 + G,) of all samples, then without each group: the rest's product is W - C_g - m a bᵀ for m samples
    whose means moved by a and b."""
    groups, _, p = one.parts.shape
    products, along = np.zeros((groups, groups)), np.zeros(groups)
    for columns in _blocks(p, groups * other.parts.shape[2] * 8):
        crosses = _crosses(one.parts[:, :, columns], other.parts, scratch)
        flat = crosses.reshape(groups, -1)
        products += flat @ flat.T
        whole = crosses.sum(axis=0)
        along += ((one.shift[:, columns] @ whole) * other.shift).sum(axis=1)
    along -= (one.moved * other.moved).reshape(groups, -1).sum(axis=1)
    m, total = one.counts[1:], products.sum()
    rest = total - 2 * products.sum(axis=1) + np.diag(products)
    a, b = (np.einsum("gr,gr->g", s.shift, s.shift) for s in (one, other))
    return np.maximum(np.append(total, rest - 2 * m * along + m**2 * a * b), 0.0)


def _crosses(x: np.ndarray, y: np.ndarray, scratch: Scratch) -> np.ndarray:
    """X_gᵀ Y_g (G, p, q)."""
    out = scratch.array(len(x), x.shape[2], y.shape[2])
    for g in range(len(x)):
        np.matmul(x[g].T, y[g], out=out[g])  # with itself half of the work
    return out


def _blocks(columns: int, bytes_each: int):
    step = max(1, min(columns, BLOCK_BYTES // bytes_each))
    return (slice(start, min(start + step, columns)) for start in range(0, columns, step))


def _unbiased(biased: np.ndarray, one: Side, other: Side) -> np.ndarray:
    n = one.counts
    product = np.einsum("gi,gi->g", one.norms, other.norms)
    sums = one.norms.sum(axis=1) * other.norms.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = biased - n / (n - 2) * product + sums / ((n - 1) * (n - 2))
    return np.where(n >= FEWEST, found, np.nan)
