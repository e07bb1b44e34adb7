"""Units that never change: they add nothing to a comparison of representations, and that is said."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.compute.statistics.moments import is_varying


def varies(x: np.ndarray) -> np.ndarray:
    """Boolean (d,): which units of `x` (n, d) differ between samples by more than rounding."""
    return is_varying(x.var(axis=0), x.mean(axis=0))


def constant_notes(names: Sequence[str], values: Sequence[np.ndarray]) -> list[str]:
    """A sentence for each tap, `values` (n, d_i) each, that has units that never change."""
    counts = [int((~varies(x)).sum()) for x in values]
    return [
        f"{name}: {count} of {x.shape[1]} units never change and add nothing."
        for name, x, count in zip(names, values, counts, strict=True)
        if count
    ]
