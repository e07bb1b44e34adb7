"""The one cache: results on disk under a digest of everything that made them."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import time
import zipfile
from pathlib import Path

import numpy as np

from analysis import results
from analysis.errors import StoreDamaged
from analysis.store.timings import Timings

KEY = re.compile(r"[0-9a-f]{32}")  # of a result that a method made
NOTED_AFTER = 300.0  # seconds after which another use is written down
asked = {"hit": 0, "miss": 0}  # by this process, for whoever watches it


class ResultCache:
    """A directory of results by key. Writing is beside-then-rename, so readers never see half a file.

    A damaged file counts as absent and is removed: a cache may always be computed again. The date of a file or folder
    says when it was last used, to a few minutes: what goes first when the cache has a bound (`jobs/cache_bound.py`).
    """

    def __init__(self, directory: str | os.PathLike) -> None:
        self.directory = Path(directory)
        self.timings = Timings(self.directory / "timings.json")

    def path(self, key: str) -> Path:
        return self.directory / f"{key}.npz"

    def has(self, key: str) -> bool:
        return _used(self.path(key))

    def get(self, key: str) -> results.Result | None:
        """The result, or None; None too where the folder that it tells its large part from is gone. O(file)."""
        found = self._read(key)
        asked["miss" if found is None else "hit"] += 1
        return found

    def _read(self, key: str) -> results.Result | None:
        path = self.path(key)
        if not _used(path):
            return None
        try:
            result = results.load(path)
        except StoreDamaged:
            path.unlink(missing_ok=True)
            return None
        tiles = getattr(result, "tiles", "")
        return result if not tiles or self.has_folder(tiles) else None

    def put(self, key: str, result: results.Result) -> None:
        results.save(result, self.path(key))

    def folder(self, key: str) -> Path:
        """Where a large thing that results refer to by key lies (the tiles of a heat map), or is to be put."""
        return self.directory / f"shared-{key}"

    def has_folder(self, key: str) -> bool:
        """Whether that large thing is there; asking is a use of it."""
        return _used(self.folder(key))

    def get_arrays(self, key: str) -> dict[str, np.ndarray] | None:
        """Arrays that several results share (a neighbour graph), or None."""
        path = self.directory / f"shared-{key}.npz"
        if not _used(path):
            return None
        try:
            with np.load(path, allow_pickle=False) as data:
                return {name: data[name] for name in data.files}
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
            path.unlink(missing_ok=True)
            return None

    def put_arrays(self, key: str, arrays: dict[str, np.ndarray]) -> None:
        """Keep them uncompressed: reading them must be quicker than making them."""
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.directory / f"shared-{key}.npz"
        beside = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
        try:
            with open(beside, "wb") as file:
                np.savez(file, **arrays)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)


def _used(path: Path) -> bool:
    """Whether it is there; if so, its date says that it is used. One look at it, and seldom a write."""
    try:
        last = os.stat(path).st_mtime
    except (OSError, ValueError):
        return False
    if abs(time.time() - last) > NOTED_AFTER:
        with contextlib.suppress(OSError):  # somebody else's workspace, or gone meanwhile
            os.utime(path)
    return True
