"""What is covered at once: squares of a grid, or runs of tokens."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from analysis.attribution.sample_run import SampleRun
from analysis.errors import ParameterError

MOST = 1 << 24  # tokens of windows at a time


def windows(run: SampleRun, window: int, stride: int) -> np.ndarray:
    """(windows, tokens) bool, all that `window_blocks` gives. Raises the same."""
    return np.concatenate(list(window_blocks(run, window, stride)))


def window_blocks(run: SampleRun, window: int, stride: int, most: int = MOST) -> Iterator[np.ndarray]:
    """(windows, tokens) bool in turn: squares of `window` tokens a side, `stride` apart, the last ones up to the edge;
    runs of tokens where there is no grid. Every token is in at least one; each leading token is one by itself. A block
    has at most `most` tokens in all, or the windows of one height.

    Raises ParameterError: strides that would leave tokens out.
    """
    if not 1 <= stride <= window:
        raise ParameterError(
            f"windows of {window} tokens, {stride} apart", "1 … window, so that none is left out"
        )
    tokens, leading = run.shape[0], run.leading
    if leading:
        yield np.eye(leading, tokens, dtype=bool)
    high, wide = (1, tokens - leading) if run.grid is None else run.grid
    down, along = (_starts(side, window, stride) for side in (high, wide))
    many = max(1, most // max(tokens, 1))
    if run.grid is not None:
        many = max(len(along), many // len(along) * len(along))
    places = [(r, c) for r in down for c in along]
    for first in range(0, len(places), many):
        some = np.array(places[first : first + many])
        rows, columns = (
            (at >= some[:, [k]]) & (at < some[:, [k]] + window)
            for k, at in enumerate((np.arange(high), np.arange(wide)))
        )
        rest = (rows[:, :, None] & columns[:, None, :]).reshape(len(some), -1)
        yield np.pad(rest, ((0, 0), (leading, 0)))


def _starts(side: int, window: int, stride: int) -> np.ndarray:
    window = min(window, side)
    return np.unique(np.r_[np.arange(0, side - window + 1, stride), side - window])


def most_windows(tokens: int, stride: int) -> int:
    """At most so many, whatever the grid, with up to eight leading tokens."""
    return min(tokens, tokens // stride + 8)
