"""What a feature set does on rows that its training never saw."""

from __future__ import annotations

import numpy as np

from analysis.compute.statistics.moments import UnitMoments
from analysis.features.feature_set import FeatureSet


def judged(features: FeatureSet, x: np.ndarray, target: np.ndarray | None = None, rows: int = 2048) -> dict:
    """What a set does on rows `x` (n, d) by its own rule: explained variance (squares of what is left, over those
    about the rows' mean), L0 with its deviation, and the share of features that are never active. Of a transcoder it is
    the variance of `target` (n, e), the same rows of the tap that it tells."""
    seen, left, sizes, active = None, 0.0, [], np.zeros(features.n_features, bool)
    pieces = -(-len(x) // rows)
    wanted = x if target is None else target
    for part, told in zip(np.array_split(x, pieces), np.array_split(wanted, pieces), strict=True):
        codes = features.encode(part)
        left += float(((told.astype(np.float64) - features.decode_beside(codes, part)) ** 2).sum())
        seen = UnitMoments.of(told) if seen is None else seen.merge(UnitMoments.of(told))
        sizes.append((codes != 0).sum(axis=1))
        active |= (codes != 0).any(axis=0)
    total, sizes = float(seen.m2.sum()), np.concatenate(sizes)
    return {
        "explained_variance": 1 - left / total if total > 0 else None, "l0": float(sizes.mean()),
        "l0_deviation": float(sizes.std()), "never_active": float(1 - active.mean()), "rows": len(x),
    }  # fmt: skip
