"""How much of the variance of values lies between groups (η²), and what groups drawn at random give."""

from __future__ import annotations

import numpy as np


def between_share(values: np.ndarray, group: np.ndarray) -> float:
    """Mean over columns of Σ_g n_g (mean_g - mean)² / Σ (v - mean)², of `values` (m, k) and `group` (m,); columns that
    do not vary are left out, 0 where none does. By chance about (groups - 1) / (m - 1)."""
    of = np.unique(group, return_inverse=True)[1].reshape(-1)
    centred = values - values.mean(axis=0)
    total = (centred**2).sum(axis=0)
    good = total > 1e-20 * max(float(total.max(initial=0.0)), 1e-300)
    if not good.any():
        return 0.0
    order = np.argsort(of, kind="stable")
    cuts = np.flatnonzero(np.r_[True, np.diff(of[order]) != 0])
    sums = np.add.reduceat(centred[order], cuts, axis=0)
    between = (sums**2 / np.bincount(of)[:, None]).sum(axis=0)
    return float((between[good] / total[good]).mean())
