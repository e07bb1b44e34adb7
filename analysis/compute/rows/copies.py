"""Samples that are exact copies of others: they bring nothing new, and yet each is counted as a sample of its own."""

from __future__ import annotations

import numpy as np

SHARE = 0.1  # of the samples, from which a word is said
LOOK = 8  # columns that are compared before whole rows are


def copies(x: np.ndarray) -> int:
    """How many rows of `x` (n, d) equal another one that is counted already, value by value. O(n d), and O(n log n)
    comparisons."""
    n, d = x.shape
    if n < 2 or d == 0:
        return 0
    _, group, counts = _kinds(x[:, :: max(1, d // LOOK)])
    doubtful = counts[group] > 1
    if not doubtful.any():
        return 0
    return int(doubtful.sum()) - len(_kinds(x[doubtful])[2])


def _kinds(x: np.ndarray):
    """Positions of one row of each kind, the kind of every row, and how many rows a kind has."""
    x = np.ascontiguousarray(x) + 0.0  # one zero, of positive sign
    rows = x.view(np.dtype((np.void, x.dtype.itemsize * x.shape[1]))).reshape(-1)
    _, first, group, counts = np.unique(rows, return_index=True, return_inverse=True, return_counts=True)
    return first, group.reshape(-1), counts


def copies_note(x: np.ndarray, what: str = "sample(s)") -> tuple[str, ...]:
    """What to say of rows `x` (n, d) that count as independent: nothing below a tenth of copies."""
    count = copies(x)
    if count < SHARE * len(x):
        return ()
    return (
        f"{count:,} of {len(x):,} {what} are exact copies of others and count like any: intervals are too narrow, and "
        "what is held out may have a copy among what was fitted.",
    )
