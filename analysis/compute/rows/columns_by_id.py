"""A sample column in the order of given ids, as samples matched between taps have them."""

from __future__ import annotations

import numpy as np

from analysis.activations import Activations, sample_column


def column_by_id(tap: Activations, ids: np.ndarray, column: str) -> np.ndarray:
    """(n,) entries of a column of `tap` for its samples `ids` (n,), each of which it has. Raises NotFound, listing what
    there is, where there is no such column."""
    values = sample_column(tap, column)
    own = np.asarray(tap.samples["id"]).astype(str)
    order = np.argsort(own, kind="stable")
    return values[order[np.searchsorted(own, ids, sorter=order)]]
