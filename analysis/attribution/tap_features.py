"""The features of a tap as players."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from analysis.features.tap_dictionary import TapDictionary


def contributions_of(made: TapDictionary) -> Callable[[np.ndarray], np.ndarray]:
    """Rows (n, d) to what each feature adds along its direction, (n, k) float64: of units themselves the rows."""
    if made.of_units:
        return lambda rows: rows
    features = made.features
    return lambda rows: features.contributions(
        features.encode(rows.astype(np.float32)).astype(np.float64), rows
    )
