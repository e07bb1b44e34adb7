"""What is covered at once: squares of a grid, or runs of tokens."""

from __future__ import annotations

import numpy as np

from analysis.attribution.sample_run import SampleRun
from analysis.errors import ParameterError


def windows(run: SampleRun, window: int, stride: int) -> np.ndarray:
    """(windows, tokens) bool: squares of `window` tokens a side, `stride` apart, the last ones up to the edge; runs of
    tokens where there is no grid. Every token is in at least one; each leading token is one by itself.

    Raises ParameterError: strides that would leave tokens out.
    """
    if not 1 <= stride <= window:
        raise ParameterError(
            f"windows of {window} tokens, {stride} apart", "1 … window, so that none is left out"
        )
    tokens, leading = run.shape[0], run.leading
    first = np.eye(leading, tokens, dtype=bool)
    if run.grid is None:
        rest = _lines(tokens - leading, window, stride)
    else:
        rows, columns = (_lines(side, window, stride) for side in run.grid)
        rest = (rows[:, None, :, None] & columns[None, :, None, :]).reshape(len(rows) * len(columns), -1)
    return np.r_[first, np.pad(rest, ((0, 0), (leading, 0)))]


def _lines(side: int, window: int, stride: int) -> np.ndarray:
    """(m, side) bool."""
    window = min(window, side)
    starts = np.unique(np.r_[np.arange(0, side - window + 1, stride), side - window])
    at = np.arange(side)
    return (at >= starts[:, None]) & (at < starts[:, None] + window)


def most_windows(tokens: int, stride: int) -> int:
    """At most so many, whatever the grid, with up to eight leading tokens."""
    return min(tokens, tokens // stride + 8)
