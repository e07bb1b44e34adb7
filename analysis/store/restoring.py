"""What of an unfinished store can be gone on with, checked against its journal."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from analysis.errors import StoreDamaged
from analysis.store import journal
from analysis.store.batch_files import sound_batches
from analysis.store.tap_writer import TapWriter


def restored(path: Path, writers: Mapping[str, TapWriter]) -> journal.JournalState:
    """The state to go on from: `writers` (by tap) take up their rows, and batches that did not survive a loss of power
    are cut off. Reads what is not in shards yet, and all sample lines and blobs once. Raises StoreDamaged."""
    for stray in path.glob("*.tmp"):  # half-written by a killed process
        with contextlib.suppress(OSError):
            stray.unlink()
    state = journal.read(path)
    sound = min([w.restore(state) for w in writers.values()] + [sound_batches(path, state.batches)])
    if sound < state.settled:
        what = f"batch {sound} of the unfinished store at {path} does not match its checksum"
        raise StoreDamaged(what, "what was written", "Delete the store and record it again")
    if sound < state.n_batches:  # the tail did not survive a loss of power: record it again
        os.truncate(path / journal.FILE, state.starts[sound])
        state = journal.read(path)
    for writer in writers.values():
        writer.keep(state.rows.get(writer.slug, 0) - writer.rows_in_shards)
    state.forget_lines()
    return state
