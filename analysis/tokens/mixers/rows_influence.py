"""What reaches a place of the rows of a tap that read each other by softmax, where no network is run."""

from __future__ import annotations

import numpy as np

from analysis.errors import InputError
from analysis.sources.input_influence import Influence
from analysis.tokens.mixers.fields import (
    cell_at,
    derivative,
    raster,
)
from analysis.tokens.mixers.folding import placed
from analysis.tokens.mixers.reading import MOST_TOKENS, row_tokens


def rows_influence(tap, params, places, why, rng, progress):
    """(`Influence` of two places and of a scan by rows, notes, what it is of) of the rows of a tap; `why` no network
    was run. Raises InputError: a grid of too many tokens."""
    rows = row_tokens(
        tap, params.maximum_samples, rng, lambda f, doing="": progress(0.4 * f, doing), params.sample
    )
    read, one = rows.seen.n_samples, 0 if params.sample is None else list(rows.samples).index(params.sample)
    grid = rows.grid or (1, max(int(c.max()) for c in rows.cell[:read]) + 1)
    if grid[0] * grid[1] > MOST_TOKENS:
        raise InputError(f"a grid of {grid[0]} x {grid[1]} tokens", f"at most {MOST_TOKENS:,} tokens")
    maps = []
    for i, (x, cell) in enumerate(zip(rows.x, rows.cell, strict=True)):
        progress(0.4 + 0.55 * i / len(rows.x), "differentiating rows")
        own = [field_of_rows(x, cell, grid, place, params.directions, rng) for place in places]
        inside = (cell >= 0) & (cell < grid[0] * grid[1])
        there = np.isin(np.arange(grid[0] * grid[1]), cell[inside])
        scan = raster(placed(x[inside], cell[inside], grid), grid, places[0], params.forgets, there)
        maps.append([*own, scan])
    said = "No network was run: rows read each other by softmax, and the derivative is by each of them."
    if rows.cell[one].max() >= grid[0] * grid[1]:
        said += (
            f" Of sample {rows.samples[one]} the first {grid[1]} tokens are drawn, as many as others have."
        )
    return (
        Influence(
            np.array(maps[:read]), rows.samples[:read], np.array(maps[one]), int(rows.samples[one]), None, ""
        ),
        (*why, *rows.notes, said),
        f"the rows of {tap.name}",
    )


def field_of_rows(x, cell, grid, place, directions: int, rng) -> np.ndarray:
    """(rows, columns) of one sample's tokens x (t, d) at `cell` (t,)."""
    row, column = cell_at(place, grid)
    want = row * grid[1] + column
    p = int(np.abs(cell - want).argmin())
    out = np.zeros(grid[0] * grid[1])
    for _ in range(directions):
        v = rng.standard_normal(x.shape[1])
        slope = derivative(x, p, v / np.linalg.norm(v))
        inside = (cell >= 0) & (cell < out.size)
        np.add.at(out, cell[inside], np.square(slope[inside]).sum(axis=1) / directions)
    return out.reshape(grid)
