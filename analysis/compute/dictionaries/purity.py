"""Of which class are the samples in which a feature is strongest, against how frequent that class is."""

from __future__ import annotations

import numpy as np

from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.nulls import wilson
from analysis.errors import NotEnoughData

FEWEST = 8


def owner_by_half(values, of, classes: int, k: int, rng) -> tuple[np.ndarray, np.ndarray]:
    """The commonest class of the strongest samples of one half, (features,), and which samples are the other half."""
    known = rng.permutation(np.flatnonzero(of >= 0))
    first, second = known[: len(known) // 2], np.zeros(len(of), bool)
    second[known[len(known) // 2 :]] = True
    if len(first) < FEWEST // 2:
        raise NotEnoughData(
            f"{len(known)} sample(s) have a class", f"at least {FEWEST}", "Record more samples"
        )
    top = np.argsort(-values[first], axis=0, kind="stable")[: min(k, len(first))]
    hits = np.stack([(of[first][top] == c).sum(axis=0) for c in range(classes)])
    return hits.argmax(axis=0), second


def purity_of(values, of, owner, names, k: int) -> dict[str, np.ndarray]:
    """Of the strongest samples of each feature, among judged ones (m, features) of known class (m,)."""
    from scipy.stats import hypergeom

    m, features = values.shape
    blank = np.full(features, np.nan)
    if not m:
        none = np.full(features, "not known")
        return {"purity": blank, "low": blank, "high": blank, "chance": blank, "q": blank, "mostly": none}
    k = min(k, m)
    top = of[np.argsort(-values, axis=0, kind="stable")[:k]]
    count = np.bincount(of, minlength=len(names))
    has = owner >= 0
    hits, size = (top == owner).sum(axis=0), np.where(has, count[owner], 0)
    ends = np.array([wilson(int(h), k) for h in hits]).T
    ends[0], ends[1] = np.minimum(ends[0], hits / k), np.maximum(ends[1], hits / k)
    p = np.where(has, hypergeom.sf(hits - 1, m, size, k), np.nan)
    each = np.stack([(top == c).sum(axis=0) for c in range(len(names))])
    mostly = each.argmax(axis=0)
    return {
        "purity": np.where(has, hits / k, np.nan), "low": np.where(has, ends[0], np.nan),
        "high": np.where(has, ends[1], np.nan), "chance": np.where(has, size / m, np.nan),
        "q": benjamini_hochberg(p), "share": each.max(axis=0) / k, "other": mostly,
        "mostly": np.array([names[c] for c in mostly]),
    }  # fmt: skip
