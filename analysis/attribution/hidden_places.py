"""The places of an input that are hidden one by one: squares of an image, words of a text, columns of a table."""

from __future__ import annotations

import numpy as np

from analysis.attribution.players import Coordinates, each_token, each_unit, patches
from analysis.attribution.sample_run import SampleRun
from analysis.attribution.tap_runs import TapRuns
from analysis.compute.rows.token_names import token_names

ACROSS = 8  # squares, where nobody says their size


def hidden_places(
    runs: TapRuns, run: SampleRun, sample: int, size: int | None
) -> tuple[Coordinates, tuple[int, int] | None, int]:
    """The places as players, the grid that they lie on or None, and the side of a square."""
    if run.grid is not None:
        size = min(size or max(1, round(max(run.grid) / ACROSS)), max(run.grid))
        return patches(run.grid, size), tuple(-(-side // size) for side in run.grid), size
    tokens, units = run.shape
    if tokens == 1:
        return each_unit(units, column_names(runs, units)), None, 1
    return each_token(tokens, word_names(runs, sample, tokens)), None, 1


def column_names(runs: TapRuns, units: int) -> tuple[str, ...]:
    """Of the columns of a table that the network reads, of the units of a tap itself; nothing where not known."""
    names = runs.loaded.input_names if runs.is_network else [f"unit {n}" for n in runs.tap.unit_names]
    return tuple(names) if len(names) == units else ()


def word_names(runs: TapRuns, sample: int, tokens: int) -> tuple[str, ...]:
    """A name for each token of the input, no two alike; nothing where not known."""
    said = runs.loaded.tokens([runs.item(sample)]) if runs.is_network else None
    if said and len(said[0]) == tokens:
        return tuple(f"{t}: {word!r}" for t, word in enumerate(said[0]))
    rows = int(runs.tap.layout.offsets[sample + 1] - runs.tap.layout.offsets[sample])
    return token_names(runs.tap, sample, np.arange(tokens)) if rows == tokens else ()
