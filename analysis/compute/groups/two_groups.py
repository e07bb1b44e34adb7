"""Two groups of rows: read, pooled by sample, and given other labels without taking a sample apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.arrays import finite_rows
from analysis.compute.groups.mean_difference import FEWEST
from analysis.compute.rows.copies import copies_note
from analysis.errors import NotEnoughData
from analysis.spec import Progress, no_progress


@dataclass(frozen=True)
class TwoGroups:
    """Finite rows of both groups: `x` (m, d) float64, `rows` (m,) rising, `first` (m,) bool, `owner` (m,) the sample
    of each (the row itself where there is one sample only); `names`; `share` of their rows that was read; `notes`."""

    x: np.ndarray
    rows: np.ndarray
    first: np.ndarray
    owner: np.ndarray
    names: tuple[str, str]
    share: float
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Entries:
    """One line per sample and side: `values` (e, d) means of the rows there, `first` (e,) bool, `owner` (e,) rising."""

    values: np.ndarray
    first: np.ndarray
    owner: np.ndarray


def read_groups(
    activations: Activations,
    side: np.ndarray,
    names: tuple[str, str],
    most: int,
    rng: np.random.Generator,
    progress: Progress = no_progress,
) -> TwoGroups:
    """Rows with `side` (rows,) 1 or -1, at most about `most` of them, taken from both groups at one rate.

    Raises NotEnoughData when a group has fewer than eight samples with a finite row. Time and memory O(m d).
    """
    rows, share, notes = np.flatnonzero(side), 1.0, []
    if len(rows) > most:
        share = most / len(rows)
        notes.append(f"A random {most:,} of {len(rows):,} rows of the two groups used.")
        rows = np.sort(rng.choice(rows, size=most, replace=False))
    progress(0.05, "reading the groups")
    x = np.asarray(activations.take(rows))
    good = finite_rows(x)
    if not good.all():
        notes.append(f"{int((~good).sum())} row(s) with NaN or infinity left out.")
    x, rows = np.array(x[good], dtype=np.float64), rows[good]
    owner = activations.layout.sample_of(rows)
    if activations.layout.n_samples == 1:
        owner = rows
        notes.append("There is one sample only: its rows are taken as independent.")
    notes += copies_note(x, "rows")
    first = side[rows] > 0
    for name, mine in zip(names, (first, ~first), strict=True):
        count = len(np.unique(owner[mine]))
        if count < 2 * FEWEST:
            raise NotEnoughData(
                f"{name} has {count} sample(s) with finite values",
                f"at least {2 * FEWEST}: half find the direction, half are asked",
                "Select more, or raise 'maximum rows'",
            )
    return TwoGroups(x, rows, first, owner, names, share, tuple(notes))


def pooled(groups: TwoGroups) -> Entries:
    """Means by sample and side. O(m d)."""
    samples, owner = np.unique(groups.owner, return_inverse=True)
    key = 2 * owner.reshape(-1) + groups.first
    order = np.argsort(key, kind="stable")
    found, start, count = np.unique(key[order], return_index=True, return_counts=True)
    if len(found) == len(key):
        values = groups.x[order]
    else:
        values = np.add.reduceat(groups.x[order], start, axis=0) / count[:, None]
    return Entries(values, found % 2 == 1, samples[found // 2])


def relabelled(e: Entries, block: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Labels (draws, entries) bool under which samples stay whole: a sample on one side only exchanges its label with
    another such sample of the same `block` (entries,); one on both sides keeps one entry on each and may swap them.

    Every block keeps its number of each label. O(draws entries).
    """
    paired = np.zeros(len(e.owner), bool)
    twin = np.flatnonzero(e.owner[1:] == e.owner[:-1])
    paired[twin] = paired[twin + 1] = True
    out = np.tile(e.first, (draws, 1))
    for b in np.unique(block[~paired]):
        mine = np.flatnonzero(~paired & (block == b))
        out[:, mine] = rng.permuted(out[:, mine], axis=1)
    swap = rng.random((draws, len(twin))) < 0.5
    out[:, twin] ^= swap
    out[:, twin + 1] ^= swap
    return out
