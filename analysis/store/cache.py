"""The one cache: results on disk under a digest of everything that made them."""

from __future__ import annotations

import os
from pathlib import Path

from analysis import results
from analysis.errors import StoreDamaged


class ResultCache:
    """A directory of results by key. Writing is beside-then-rename, so readers never see half a file.

    A damaged file counts as absent and is removed: a cache may always be computed again.
    """

    def __init__(self, directory: str | os.PathLike) -> None:
        self.directory = Path(directory)

    def path(self, key: str) -> Path:
        return self.directory / f"{key}.npz"

    def has(self, key: str) -> bool:
        return self.path(key).is_file()

    def get(self, key: str) -> results.Result | None:
        """The result, or None. O(size of the file)."""
        path = self.path(key)
        if not path.is_file():
            return None
        try:
            return results.load(path)
        except StoreDamaged:
            path.unlink(missing_ok=True)
            return None

    def put(self, key: str, result: results.Result) -> None:
        results.save(result, self.path(key))
