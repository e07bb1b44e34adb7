"""Rows of an unfinished store that are not in a shard yet, read while it may be growing."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np

from analysis.errors import NotFound, StoreDamaged
from analysis.store.journal import JournalState
from analysis.store.manifest import TapSpec
from analysis.store.shards import ahead_name


def has_grown(path: Path) -> NotFound:
    """What to raise where a file of an unfinished store is gone."""
    return NotFound(f"{path} has grown since it was opened", "", "Open it again")


def read_pending(folder: Path, slug: str, tap: TapSpec, state: JournalState) -> np.ndarray | None:
    """(rows, units) as stored; None where there are none. Every batch is compared with its checksum.

    Raises NotFound where the store has grown since `state`, StoreDamaged for bytes that are not as they were written.
    """
    waiting = state.pending(slug)
    rows = [line["rows"][slug] for line in waiting]
    if not sum(rows):
        return None
    path = folder / ahead_name(len(state.shards.get(slug, ())))
    try:
        values = np.fromfile(path, tap.numpy_dtype, sum(rows) * tap.n_units)
    except FileNotFoundError:
        raise has_grown(folder.parents[1]) from None
    ends = np.cumsum(rows) * tap.n_units
    for line, n, end in zip(waiting, rows, ends, strict=True):
        part = values[end - n * tap.n_units : end]
        if len(part) < n * tap.n_units or zlib.crc32(part) != line["crc"].get(slug):
            short = "ends before" if len(values) < end else "does not match its checksum in"
            raise StoreDamaged(
                f"{folder.name}/{path.name} {short} batch {line['batch']}",
                "the bytes as they were written",
                "Resume the recording: it is repaired then",
            )
    return values.reshape(-1, tap.n_units)
