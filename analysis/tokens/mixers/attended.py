"""The attention of a tap's network sample by sample, whatever its shapes, and the rows of a tap as its stand-in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.errors import InputError, NotFound
from analysis.sources.input_picture import picture_of
from analysis.tokens.mixers.attention_calls import Call, paid
from analysis.tokens.mixers.reading import row_tokens
from analysis.tokens.subject import ROWS


@dataclass(frozen=True)
class Attended:
    """Of one sample the attention of a network in order, its `picture`, and `facts` of its configuration."""

    calls: list[Call]
    picture: np.ndarray | None
    facts: dict
    what: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class SampleRows:
    """Of one sample its rows `x` (T, d), centred and of unit size, and as they were, `grid` or None."""

    x: np.ndarray
    plain: np.ndarray
    grid: tuple[int, int] | None
    notes: tuple[str, ...]


def attended(tap: Activations, sample: int, rng: np.random.Generator) -> Attended:
    """Raises InputError, NotFound: a network that cannot be run or has no attention; no such sample."""
    from analysis.sources.rerun import rerun

    own = getattr(tap, "source", None)
    run = rerun(tap if own is None else own(), tap.layout.n_samples, partial=True, rng=rng)
    at = np.flatnonzero(run.samples == sample)
    if not len(at):
        raise NotFound(f"sample {sample}", f"0 to {tap.layout.n_samples - 1}")
    given = run.loaded.prepare(run.data.items(int(at[0]), int(at[0]) + 1))
    calls = paid(run.loaded, given)
    config = getattr(run.loaded.module, "config", None)
    return Attended(
        calls, picture_of(given), vars(config) if config is not None else {}, type(run.loaded.module).__name__,
        (f"The network was run on sample {sample}.",),
    )  # fmt: skip


def network_or_why(tap, sample: int, rng, source: str) -> tuple[Attended | None, tuple[str, ...]]:
    """The attention of its network, or None and why there is none."""
    if source == ROWS:
        return None, ()
    try:
        found = attended(tap, sample, rng)
        return found, found.notes
    except (InputError, NotFound) as error:
        return None, (f"The network is not run: {str(error).split('. ')[0]}.",)


def sample_rows(tap: Activations, sample: int, rng, progress) -> SampleRows:
    """Raises NotFound, NotEnoughData."""
    rows = row_tokens(tap, tap.layout.n_samples, rng, progress)
    at = np.flatnonzero(rows.samples == sample)
    if not len(at):
        raise NotFound(f"sample {sample} of {tap.name}", "a sample with two tokens or more")
    x, cell, grid = rows.x[at[0]], rows.cell[at[0]], rows.grid
    offsets, plain = tap.layout.offsets, x
    if not tap.layout.is_pooled:
        own = np.arange(offsets[sample], offsets[sample + 1])
        plain = np.asarray(tap.take(own), np.float64)[tap.layout.leading if grid else 0 :]
    if grid is not None:
        x = x[cell >= 0]
        grid = tuple(grid) if len(x) == grid[0] * grid[1] else None
    return SampleRows(x, plain if len(plain) == len(x) else x, grid, rows.notes)


def grid_of(tokens: int, picture: np.ndarray | None) -> tuple[tuple[int, int], int]:
    """((rows, columns), tokens before them) of the proportions of a picture; a line where none fits."""
    high, wide = (1, 1) if picture is None else picture.shape[:2]
    for leading in (0, 1):
        rows = round(((tokens - leading) * high / max(wide, 1)) ** 0.5)
        if rows and rows * ((tokens - leading) // rows) == tokens - leading and tokens > leading:
            return (rows, (tokens - leading) // rows), leading
    return (1, tokens), 0
