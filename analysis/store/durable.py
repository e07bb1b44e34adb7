"""Writing that survives a kill, and full disks said in words.

A file that others read is written beside its name, synced and renamed, so it is there whole or not at all.
Appended files (journal, write-ahead rows, sample lines) grow by `write_all`; what lies behind the last
journal line is cut off on resume.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import zlib
from pathlib import Path

from analysis.errors import Busy, LoupeError

FULL = (errno.ENOSPC, errno.EDQUOT)


class DiskFull(LoupeError):
    """No room left while writing a store; everything finished before is kept."""


def write_all(fd: int, data) -> int:
    """Write every byte of `data` (bytes-like) to `fd`; returns the number of bytes. Raises OSError."""
    view = memoryview(data).cast("B")
    done = 0
    while done < len(view):
        done += os.write(fd, view[done : done + (1 << 30)])
    return len(view)


AGAIN = "Free some space and do it again: nothing half-written is left in its place"
RESUME = "Free some space and resume: finished batches are kept and the store stays readable"


@contextlib.contextmanager
def room_for(path: Path, what: str, remedy: str = AGAIN):
    """Turn "no space left" into a refusal that says what was being written and what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise DiskFull(
            f"the disk is full: {what} could not be written under {path}",
            "free space",
            remedy,
        ) from None


def sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_file(path: Path, *parts, sync_folder: bool = True) -> None:
    """Write `parts` (bytes-like) as `path`: beside, synced, then renamed (the caller of many syncs the folder)."""
    path = Path(path)
    # a name of its own for every writer: two threads of one process may write the same file
    beside = path.with_name(f".{os.getpid()}-{secrets.token_hex(4)}.{path.name}.tmp")
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        for part in parts:
            write_all(fd, part)
        os.fsync(fd)
    except BaseException:
        os.close(fd)
        with contextlib.suppress(OSError):
            os.unlink(beside)  # a half-written file only takes away room
        raise
    os.close(fd)
    os.replace(beside, path)
    if sync_folder:
        sync_directory(path.parent)


def made_directory(path: Path) -> Path:
    """Make `path` with its parents, each entry on the disk: what lies in a folder that a loss of power takes away
    is lost with it."""
    missing = [p for p in (path, *path.parents) if not p.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for made in missing:
        sync_directory(made.parent)
    return path


def read_at(fd: int, n: int, start: int) -> bytes:
    """`n` bytes from `start`, fewer only where the file ends. Linux gives at most 2 GiB at once."""
    data = os.pread(fd, n, start)
    if len(data) == n or not data:
        return data
    pieces, done = [data], len(data)
    while done < n and (piece := os.pread(fd, n - done, start + done)):
        pieces.append(piece)
        done += len(piece)
    return b"".join(pieces)


def file_crc(path: Path) -> int:
    """CRC-32 of a file, read in pieces of 16 MiB."""
    crc = 0
    with open(path, "rb") as f:
        while piece := f.read(1 << 24):
            crc = zlib.crc32(piece, crc)
    return crc


class Appender:
    """A file that only grows. `size` is where the finished part ends; `cut` returns to an earlier end."""

    def __init__(self, path: Path, size: int | None = None) -> None:
        self.path = Path(path)
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            self.size = os.fstat(self._fd).st_size if size is None else size
            self.cut(self.size)
        except BaseException:
            self.close()
            raise

    def append(self, data) -> int:
        """Append `data`; returns the new end."""
        self.size += write_all(self._fd, data)
        return self.size

    def cut(self, size: int) -> None:
        os.ftruncate(self._fd, size)
        self.size = size

    def sync(self) -> None:
        os.fdatasync(self._fd)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
_ours: set[tuple[int, int]] = set()  # lock files held by this process


class WriterLock:
    """One writer per store: an flock on a lock file, released by the kernel when its process dies.

    Raises Busy where somebody writes there; LoupeError on a file system that has no locks.
    """

    def __init__(self, directory: Path) -> None:
        self._fd = os.open(Path(directory) / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        about = os.fstat(self._fd)
        self._file = (about.st_dev, about.st_ino)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._fd)
            self._fd = -1
            raise _refused(directory, error, self._file in _ours) from None
        _ours.add(self._file)

    def close(self) -> None:
        if self._fd >= 0:
            _ours.discard(self._file)
            os.close(self._fd)
            self._fd = -1


def _refused(directory: Path, error: OSError, ours: bool) -> Exception:
    """Why there is no lock, in words; the error itself where it says nothing about locks."""
    if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
        return Busy(
            f"{directory} is being written by {'this process itself' if ours else 'another process'}",
            "one writer for a store",
            "Wait for it to finish, stop it, or record under another name",
        )
    if error.errno in _NO_LOCKS:
        return LoupeError(
            f"{directory} cannot be locked ({error.strerror})",
            "a file system with file locks, so that two recordings cannot mix",
            "Put the workspace on a local disk",
        )
    return error
