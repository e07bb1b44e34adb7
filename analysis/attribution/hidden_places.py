"""The places of an input that are hidden one by one: squares of an image, words of a text, columns of a table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.attribution.players import Coordinates, each_token, each_unit, patches
from analysis.attribution.sample_run import SampleRun
from analysis.attribution.tap_runs import TapRuns
from analysis.compute.rows.token_names import token_names

ACROSS = 8  # squares, where nobody says their size


@dataclass(frozen=True)
class Places:
    """`players`, the places; `grid` of those after `leading` ones, or None; `side` of a square in the input."""

    players: Coordinates
    grid: tuple[int, int] | None = None
    leading: int = 0
    side: int = 1


def hidden_places(runs: TapRuns, run: SampleRun, sample: int, size: int | None) -> Places:
    """Of one sample; `size`: side of a square of an image, about eight across where None."""
    if run.grid is not None:
        size = min(size or max(1, round(max(run.grid) / ACROSS)), max(run.grid))
        return Places(patches(run.grid, size), tuple(-(-side // size) for side in run.grid), 0, size)
    tokens, units = run.shape
    if tokens == 1:
        return Places(each_unit(units, column_names(runs, units)))
    players, layout = each_token(tokens, word_names(runs, sample, tokens)), runs.tap.layout
    grid = None if runs.is_network else layout.grid
    if grid is None or layout.leading + grid[0] * grid[1] != tokens:
        return Places(players)
    return Places(players, grid, layout.leading)


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
