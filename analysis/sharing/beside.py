"""Places to write beside another one, renamed when whole: nobody sees half of a file or folder, and none is left.

Whoever writes there holds a lock, so that what a killed process left is known and removed by the next.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from analysis.errors import InputError, NotFound
from analysis.store.durable import sync_directory


@contextlib.contextmanager
def beside(place: Path, folder: bool = False) -> Iterator[Path]:
    """A new file (or folder) beside `place`; removed afterwards unless it was renamed. Raises NotFound, InputError."""
    start = f".{place.name[:150]}.partial-"
    try:
        _remove_abandoned(place.parent, start)
        made = place.parent / f"{start}{secrets.token_hex(8)}"
        made.mkdir() if folder else made.touch(exist_ok=False)
    except FileNotFoundError:
        if place.parent.is_dir():  # one in which nothing can be made
            raise InputError(f"{place} cannot be written", "a writable folder") from None
        raise NotFound(f"there is no folder {place.parent}", "one that is there", "Make it first") from None
    except OSError as error:
        raise InputError(f"{place} cannot be written ({error.strerror})", "a writable folder") from None
    lock = os.open(made, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # no locks here: then nothing is ever taken for abandoned
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield made
    finally:
        _remove(made)
        os.close(lock)


def _remove_abandoned(parent: Path, start: str) -> None:
    for found in parent.iterdir():
        if found.name.startswith(start) and not found.is_symlink() and not is_held(found):
            _remove(found)


def is_held(path: Path) -> bool:
    """Whether another process holds a lock on it, or that cannot be known."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def put_folder(made: Path, out: Path) -> None:
    """Rename a folder into its place; what was there goes only when the new one is in its place."""
    if not out.exists() or not any(out.iterdir()):
        os.rename(made, out)
        sync_directory(out.parent)
        return
    old = out.parent / f".{out.name[:150]}.replaced-{secrets.token_hex(8)}"
    os.rename(out, old)
    try:
        os.rename(made, out)
    except BaseException:
        os.rename(old, out)
        raise
    sync_directory(out.parent)
    shutil.rmtree(old, ignore_errors=True)
