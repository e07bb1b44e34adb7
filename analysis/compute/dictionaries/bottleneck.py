"""A sparse head on concepts: what it tells of samples it has not seen, with which concepts, and what remains where the
concepts are others, random, or say nothing beyond their own label.

Accuracy is of held-out folds. The penalty is a share of the least that leaves no concept in; each fold chooses it on a
fifth of its own training samples, and what is compared takes the same share of its own.

    used            concepts of a sample that are not 0 and have a weight for the class that is answered
    random          (x - mean) r for random r of length 1, of which as large a share is kept as the concept is active in
    label alone     every concept's values exchanged between samples of which its own label is the same
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.linear.cross_fitting import folds_of
from analysis.compute.linear.sparse_softmax import SparseHead, chosen_share, sparse_heads

FOLDS, CHOOSING = 3, 5


@dataclass(frozen=True)
class Bottleneck:
    """Of n samples: class `named` (n,) by the head of the other folds, `used` (n,) concepts; the `heads` of the folds
    and the `share` of λ_max that each took."""

    named: np.ndarray
    used: np.ndarray
    heads: tuple[SparseHead, ...]
    share: tuple[float, ...]


def bottleneck(
    codes: np.ndarray, of: np.ndarray, fold: np.ndarray, classes: int, shares: tuple[float, ...]
) -> Bottleneck:
    """Heads on `codes` (n, k); one share for each fold. O(folds n k classes) times the steps."""
    named, used, heads = np.empty(len(of), np.int64), np.empty(len(of)), []
    for f, share in enumerate(shares):
        train, test = fold != f, fold == f
        path = tuple(s for s in (0.5, 0.15) if s > share)  # on the way, for a warm start
        head = sparse_heads(codes[train], of[train], classes, (*path, share))[-1]
        heads.append(head)
        named[test] = head.named(codes[test])
        used[test] = ((codes[test] != 0) & (head.weights[:, named[test]].T != 0)).sum(axis=1)
    return Bottleneck(named, used, tuple(heads), shares)


def folds_and_shares(codes: np.ndarray, of: np.ndarray, classes: int, asked: float | None, rng):
    """Fold (n,) of each sample, and each fold's share of λ_max: `asked`, or chosen inside its training samples."""
    fold, shares = folds_of(of, FOLDS, rng), []
    for f in range(FOLDS):
        if asked is not None:
            shares.append(float(asked))
            continue
        train = np.flatnonzero(fold != f)
        shares.append(chosen_share(codes[train], of[train], classes, folds_of(of[train], CHOOSING, rng) == 0))
    return fold, tuple(shares)


def switched_off(found: Bottleneck, codes: np.ndarray, fold: np.ndarray, off: np.ndarray) -> np.ndarray:
    """(n,) class named where the concepts `off` (k,) bool are 0; the heads stay."""
    named, left = np.empty(len(codes), np.int64), np.where(off, 0.0, codes)
    for f, head in enumerate(found.heads):
        named[fold == f] = head.named(left[fold == f])
    return named


def random_concepts(x: np.ndarray, active: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n, k) values of random directions on `x` (n, d); of column j the share `active` (k,) of largest is kept."""
    r = rng.standard_normal((x.shape[1], len(active)))
    values = (x - x.mean(axis=0)) @ (r / np.sqrt((r**2).sum(axis=0)))
    ordered = np.sort(values, axis=0)
    at = np.clip(np.round((1 - active) * len(x)).astype(np.int64), 0, len(x) - 1)
    least = ordered[at, np.arange(len(active))]
    return np.where((active >= 1) | (values >= least), values, 0.0)


def label_alone(codes: np.ndarray, own: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """`codes` (n, k) with every column exchanged among the samples of one own label, `own` (n, k) bool."""
    out = codes.copy()
    for j in range(codes.shape[1]):
        for side in (own[:, j], ~own[:, j]):
            at = np.flatnonzero(side)
            out[at, j] = codes[rng.permutation(at), j]
    return out


def own_labels(codes: np.ndarray, names, columns: dict[str, np.ndarray]) -> tuple[np.ndarray, int]:
    """(n, k) bool, the concept's own label of each sample, and for how many concepts a column has it.

    "COLUMN = VALUE" is looked up in `columns` (n,); any other concept has its label where it is active, or, where it
    is active nearly everywhere, above its median."""
    out, known = np.empty(codes.shape, bool), 0
    for j, name in enumerate(names):
        column, equal, value = str(name).partition(" = ")
        told = columns[column].astype(str) == value if equal and column in columns else None
        if told is not None and 0 < told.sum() < len(told):
            out[:, j], known = told, known + 1
            continue
        on = codes[:, j] != 0
        out[:, j] = on if on.mean() < 0.95 else codes[:, j] > np.median(codes[:, j])
    return out, known
