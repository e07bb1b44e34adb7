"""Told apart by their history: later samples against the mean of each group's earlier ones, before and after a
projection that was made for just these groups.

Features are centred by the history's mean. Before: as they are. After: Fisher's discriminants of the history, S_b w = λ
((1 - a) S_w + a μ I) w with Ledoit and Wolf's a (`compute.linear.fisher`). Similarity is the cosine of a later sample
with the mean of each group's history. Margin of groups: the least mean similarity of a group to itself less the largest
to another; margin of a sample: its similarity to its own group less the largest to another.

Reference: R. Gao et al. (2025), "History-aware transformation of ReID features for multiple object tracking".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.linear.fisher import basis_of, discriminants


@dataclass(frozen=True)
class ToldApart:
    """`before`, `after` (m, K) similarities of later samples of group `of` (m,); `ratios` λ (<= K - 1,) of the history;
    `own` (h, K) similarities after of the history itself, of group `past` (h,)."""

    before: np.ndarray
    after: np.ndarray
    of: np.ndarray
    ratios: np.ndarray
    own: np.ndarray
    past: np.ndarray


def told_apart(
    x: np.ndarray, of: np.ndarray, later: np.ndarray, groups: int, shrinkage: float | None = None
) -> ToldApart:
    """Rows `x` (n, d) of group `of` (n,), every group in both parts; `later` (n,) bool. O(n d min(n, d))."""
    past = ~later
    basis = basis_of(x[past])
    found = discriminants(basis, of[past], groups, shrinkage)
    weights = basis.vectors @ found.weights
    parts = [(x[part] - basis.mean) for part in (past, later)]
    before = _similar(parts[0], of[past], parts[1], groups)
    parts = [v @ weights for v in parts]
    return ToldApart(
        before, _similar(parts[0], of[past], parts[1], groups), of[later], found.ratios,
        _similar(parts[0], of[past], parts[0], groups), of[past],
    )  # fmt: skip


def _similar(history: np.ndarray, of: np.ndarray, samples: np.ndarray, groups: int) -> np.ndarray:
    """Cosines (m, K) of `samples` with the mean of each group's `history`; 0 where one has no length."""
    means = (of == np.arange(groups)[:, None]).astype(np.float64) @ history
    return np.clip(_unit(samples) @ _unit(means).T, -1.0, 1.0)


def _unit(x: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return np.divide(x, length, out=np.zeros_like(x), where=length > 0)


def group_similarity(similar: np.ndarray, of: np.ndarray) -> np.ndarray:
    """(K, K) mean similarity of the samples of each group (rows) to each group's history (columns)."""
    groups = similar.shape[1]
    sums = (of == np.arange(groups)[:, None]).astype(np.float64) @ similar
    return sums / np.maximum(np.bincount(of, minlength=groups), 1)[:, None]


def group_margin(similar: np.ndarray, of: np.ndarray) -> float:
    """Least similarity of a group to its own history less the largest to that of another."""
    matrix = group_similarity(similar, of)
    off = matrix[~np.eye(len(matrix), dtype=bool)]
    return float(np.diag(matrix).min() - off.max())


def sample_margins(similar: np.ndarray, of: np.ndarray) -> np.ndarray:
    """(m,) similarity to the own group less the largest to another; above 0 where the own is the nearest."""
    own = np.take_along_axis(similar, of[:, None], axis=1)[:, 0]
    rest = similar.copy()
    np.put_along_axis(rest, of[:, None], -np.inf, axis=1)
    return own - rest.max(axis=1)
