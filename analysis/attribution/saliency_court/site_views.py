"""The tokens of a site as the places of a map: on their grid, or the units of a site of one token."""

from __future__ import annotations

from collections.abc import Mapping

from analysis.activations import Layout
from analysis.attribution.saliency.by_unit import ByUnit
from analysis.attribution.sample_run import SampleRun

MOST_LEADING = 5  # class token and registers


def place_run(run: SampleRun, layout: Layout | None = None) -> SampleRun:
    """A run whose tokens are places: `run` itself, on its grid, or its units where it has one token only."""
    if run.shape[0] == 1:
        return ByUnit(run)
    run.grid, run.leading = grid_within(run, layout)
    return run


def grid_within(run: SampleRun, layout: Layout | None) -> tuple[tuple[int, int] | None, int]:
    """(height, width) of the tokens and how many come before them: of a map its own, of tokens in a row what `layout`
    knows, or the square that fits where the input is an image. (None, 0) of a line."""
    tokens = run.shape[0]
    if isinstance(run, ByUnit):
        return None, 0
    if run.grid is not None:
        return run.grid, run.leading
    if layout is not None and layout.grid and layout.leading + layout.grid[0] * layout.grid[1] == tokens:
        return tuple(layout.grid), layout.leading
    inputs = run.inputs.values() if isinstance(run.inputs, Mapping) else [run.inputs]
    side = int(tokens**0.5)
    if side > 1 and tokens - side * side <= MOST_LEADING and any(getattr(x, "ndim", 0) == 4 for x in inputs):
        return (side, side), tokens - side * side
    return None, 0
