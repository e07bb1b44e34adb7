"""Folders of encoded taps: a new one for each writer, and none left of writers that were killed.

A writer holds the lock of its folder until the manifest is there. A folder without a manifest that nobody holds is what
a killed process left: nothing can be read from it and it is removed when the next one is made. Making and removing
happen one at a time, under a lock on the folder above, or a folder could be taken for abandoned before its writer has
locked it.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from analysis.errors import Busy, NotFound
from analysis.store.durable import WriterLock, made_directory

FILE = "manifest.json"  # of a finished one


def new_folder(place: Path, slug: str) -> tuple[Path, WriterLock]:
    """A folder of its own under `place`, called `slug` or nearly so, with its lock. Removes what was abandoned."""
    with alone(place):
        _remove_abandoned(place)
        taken = {p.name for p in place.iterdir()}
        names = itertools.chain([slug], (f"{slug}~{k}" for k in itertools.count(2)))
        folder = made_directory(place / next(s for s in names if s not in taken))
        return folder, WriterLock(folder)


def remove_folder(folder: Path) -> None:
    """Delete a finished one, the manifest first: without it nothing is there. Raises NotFound where another process
    was faster."""
    with alone(folder.parent):
        try:
            (folder / FILE).unlink()
        except FileNotFoundError:
            raise NotFound(f"the encoded tap in {folder.name} is gone already") from None
        shutil.rmtree(folder)


def _remove_abandoned(place: Path) -> None:
    for folder in place.iterdir():
        if not folder.is_dir() or (folder / FILE).exists():
            continue
        try:
            lock = WriterLock(folder)
        except Busy:  # its writer is at work
            continue
        try:
            shutil.rmtree(folder)
        finally:
            lock.close()


@contextlib.contextmanager
def alone(place: Path) -> Iterator[None]:
    """Nobody else makes or removes folders under `place` meanwhile; waits for whoever does."""
    fd = os.open(made_directory(place), os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # no locks here: WriterLock says so in words
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
