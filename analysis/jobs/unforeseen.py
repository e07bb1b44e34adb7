"""A failure that nobody refused, in words: what the system said, or an id whose traceback is in a log."""

from __future__ import annotations

import sqlite3
import traceback
import uuid
from pathlib import Path

from analysis.errors import InputError, LoupeError, TooLarge
from analysis.installed import not_installed
from analysis.store.durable import FULL


def in_words(error: Exception, folder: Path, name: str = "loupe-{id}.log") -> LoupeError:
    """A refusal for any exception. Only faults of the program get an id and a log, written to `folder`."""
    if isinstance(error, LoupeError):
        return error
    if (refusal := not_installed(error)) is not None:
        return refusal
    if isinstance(error, MemoryError):
        return TooLarge("there is not enough memory", "", "Use a smaller batch, fewer taps or fewer rows")
    if isinstance(error, sqlite3.DatabaseError):
        return InputError(
            f"the workspace's people.db cannot be read ({error})", "the selections, stars and notes of the workspace",
            "Restore it from a copy, or move it away to go on without them",
        )  # fmt: skip
    if isinstance(error, OSError) and error.strerror:
        return _of_system(error)
    id = uuid.uuid4().hex[:8]
    path = folder / name.format(id=id)
    try:
        path.write_text(f"error {id}\n" + "".join(traceback.format_exception(error)))
        where = f"The details are in {path}"
    except OSError:
        where = f"The details could not be written to {path}"
    fault = LoupeError(f"The program failed unexpectedly ({type(error).__name__}), error {id}", "", where)
    fault.id = id
    return fault


def _of_system(error: OSError) -> InputError:
    what = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if error.errno in FULL:
        return InputError(f"the disk is full ({what})", "free space", "Free some and start again")
    return InputError(
        what, "a file or folder that can be read or written", "Check the path and its permissions"
    )
