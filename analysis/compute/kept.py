"""Arrays that several methods share, such as a neighbour graph: made once, kept under a digest of all that made them.

The last few stay in memory; a `Shelf` (the workspace's result cache, put there by the pipeline) keeps them on disk.
What is too large for memory (the cells of a heat map) gets a folder there; without a shelf, as in a notebook, that
folder lies in a temporary directory and lives as long as the process.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import hashlib
import json
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

MOST, MOST_BYTES = 8, 512 << 20  # kept in memory

Arrays = dict[str, np.ndarray]
_recent: OrderedDict[str, Arrays] = OrderedDict()
_lock = threading.Lock()


class Shelf(Protocol):
    """Where arrays are kept by key; `get_arrays` returns None for what is not there."""

    def get_arrays(self, key: str) -> Arrays | None: ...

    def put_arrays(self, key: str, arrays: Arrays) -> None: ...

    def folder(self, key: str) -> Path: ...


_shelf: contextvars.ContextVar[Shelf | None] = contextvars.ContextVar("shelf", default=None)


@contextlib.contextmanager
def keeping(shelf: Shelf | None) -> Iterator[None]:
    """Arrays kept in this block go to, and come from, `shelf` too."""
    token = _shelf.set(shelf)
    try:
        yield
    finally:
        _shelf.reset(token)


def shelved() -> bool:
    """Whether there is a shelf. What would hide that a check or a notebook runs the code anew is kept there only."""
    return _shelf.get() is not None


def content_digest(x: np.ndarray) -> str:
    """Digest of shape, type and bytes: 32 hexadecimal characters. About a second per GB."""
    x = np.ascontiguousarray(x)
    h = hashlib.sha256(repr((x.shape, x.dtype.str)).encode())
    h.update(x.data if x.size else b"")
    return h.hexdigest()[:32]


def key_of(name: str, made_of: dict) -> str:
    """The key of arrays called `name`, made of these JSON values (digests, parameters, the maker's version)."""
    return hashlib.sha256(json.dumps([name, made_of], sort_keys=True).encode()).hexdigest()[:32]


def find(name: str, made_of: dict) -> Arrays | None:
    """What `keep` was given for the same name and values, from memory or the shelf, or None."""
    key = key_of(name, made_of)
    with _lock:
        if key in _recent:
            _recent.move_to_end(key)
            return _recent[key]
    shelf = _shelf.get()
    found = None if shelf is None else shelf.get_arrays(key)
    return None if found is None else _remember(key, found)


def keep(name: str, made_of: dict, arrays: Arrays) -> Arrays:
    """Keep arrays; the same ones, read-only from now on. A shelf that is full is no reason to fail."""
    key = key_of(name, made_of)
    shelf = _shelf.get()
    if shelf is not None:
        with contextlib.suppress(OSError):
            shelf.put_arrays(key, arrays)
    return _remember(key, arrays)


def folder(key: str) -> Path:
    """Where a large thing lies, or is to be put, under a key of `key_of`: beside the results of the shelf; without a
    shelf in a temporary directory that goes with this process. Whoever writes it writes beside and renames."""
    shelf = _shelf.get()
    if shelf is not None:
        return shelf.folder(key)
    with _lock:  # two threads must not make two, of which one goes
        return Path(_temporary().name) / key


@functools.cache
def _temporary() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="feature-loupe-", ignore_cleanup_errors=True)


def forget() -> None:
    """Drop what memory holds (the shelf keeps its own)."""
    with _lock:
        _recent.clear()


def _remember(key: str, arrays: Arrays) -> Arrays:
    for array in arrays.values():
        array.flags.writeable = False
    with _lock:
        _recent[key] = arrays
        while len(_recent) > MOST or (len(_recent) > 1 and _size() > MOST_BYTES):
            _recent.popitem(last=False)
    return arrays


def _size() -> int:
    return sum(array.nbytes for arrays in _recent.values() for array in arrays.values())
