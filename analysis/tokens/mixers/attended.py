"""The attention of a tap's network sample by sample, whatever its shapes, and the rows of a tap as its stand-in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.errors import InputError, NotFound
from analysis.sources.input_picture import picture_of
from analysis.tokens.mixers.attention_calls import Call, paid
from analysis.tokens.mixers.reading import row_tokens
from analysis.tokens.subject import ROWS

OTHERS = 7  # samples besides the one that is shown


@dataclass(frozen=True)
class Attended:
    """Of one sample the attention of a network in order, its `picture`, and `facts` of its configuration; `others` runs
    a few more samples, that numbers may be told over samples."""

    calls: list[Call]
    picture: np.ndarray | None
    facts: dict
    what: str
    notes: tuple[str, ...]
    others: Callable[[], Iterator[list[Call]]]


@dataclass(frozen=True)
class SampleRows:
    """Of one sample its rows `x` (T, d), centred and of unit size, and as they were, `grid` or None; `others` by sample
    the same (x, plain) of a few more with as many rows."""

    x: np.ndarray
    plain: np.ndarray
    grid: tuple[int, int] | None
    notes: tuple[str, ...]
    others: dict[int, tuple[np.ndarray, np.ndarray]]


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
    more = _some(len(run.samples), int(at[0]), rng)

    def others() -> Iterator[list[Call]]:
        for k in more:
            yield paid(run.loaded, run.loaded.prepare(run.data.items(k, k + 1)))

    config = getattr(run.loaded.module, "config", None)
    return Attended(
        calls, picture_of(given), vars(config) if config is not None else {}, type(run.loaded.module).__name__,
        (f"The network was run on sample {sample}, and on {len(more)} others for numbers over samples.",), others,
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
    """Raises NotFound, NotEnoughData, InputError: rows that are not finite."""
    rows = row_tokens(tap, tap.layout.n_samples, rng, progress)
    at = np.flatnonzero(rows.samples == sample)
    if not len(at):
        raise NotFound(f"sample {sample} of {tap.name}", "a sample with two tokens or more")
    here = int(at[0])
    x, plain, grid = _laid_out(tap, rows, here)
    if x is None:
        raise InputError(
            f"rows of sample {sample} of {tap.name} that are not finite", "tokens that all have their place",
            "Choose another sample",
        )  # fmt: skip
    others = {}
    for k in _some(len(rows.samples), here, rng):
        more, as_were, _ = _laid_out(tap, rows, k)
        if more is not None and len(more) == len(x):
            others[int(rows.samples[k])] = more, as_were
    return SampleRows(x, plain, grid, rows.notes, others)


def _some(n: int, but: int, rng: np.random.Generator) -> list[int]:
    """A few of n, at random, without one."""
    rest = np.delete(np.arange(n), but)
    return np.sort(rng.choice(rest, min(OTHERS, len(rest)), replace=False)).tolist()


def _laid_out(tap: Activations, rows, k: int):
    """(x, as they were, grid or None) of the k-th sample; nothing where a row of a grid is not finite, since those
    behind it would move to other cells."""
    x, cell, grid, sample = rows.x[k], rows.cell[k], rows.grid, int(rows.samples[k])
    offsets, plain = tap.layout.offsets, x
    if grid is not None and len(x) < offsets[sample + 1] - offsets[sample]:
        return None, None, None
    if not tap.layout.is_pooled:
        own = np.arange(offsets[sample], offsets[sample + 1])
        plain = np.asarray(tap.take(own), np.float64)[tap.layout.leading if grid else 0 :]
    if grid is not None:
        x = x[cell >= 0]
        grid = tuple(grid) if len(x) == grid[0] * grid[1] else None
    return x, plain if len(plain) == len(x) else x, grid


def grid_of(tokens: int, picture: np.ndarray | None) -> tuple[tuple[int, int], int]:
    """((rows, columns), tokens before them) of the proportions of a picture; a line where none fits."""
    high, wide = (1, 1) if picture is None else picture.shape[:2]
    for leading in (0, 1):
        rows = round(((tokens - leading) * high / max(wide, 1)) ** 0.5)
        if rows and rows * ((tokens - leading) // rows) == tokens - leading and tokens > leading:
            return (rows, (tokens - leading) // rows), leading
    return (1, tokens), 0
