"""A people.db of an earlier version: which it is, and how it is read without being written."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.errors import NewerSchema

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

CACHE = "cache"  # beside people.db: the workspace's results
_copies: dict[tuple, Path] = {}  # of older files, as they will be


def file_version(connection: Connection, path: Path) -> int:
    """PRAGMA user_version of a people.db. Raises NewerSchema."""
    from analysis.people.migrating import SCHEMA

    version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    if not 0 <= version <= SCHEMA:
        raise NewerSchema(f"{path} has schema {version}", f"at most {SCHEMA}", "Update Feature Loupe")
    return version


def renewed(path: Path) -> Engine:
    """The pool of a copy of an older people.db, brought to the present schema: looking never writes."""
    from analysis.people import carrying, engines

    found = os.stat(path)
    key = (str(path), found.st_ino, found.st_mtime_ns, found.st_size, os.getpid())
    if key not in _copies:
        folder = Path(tempfile.mkdtemp(prefix="loupe-people-"))
        atexit.register(_remove_copy, folder, os.getpid())
        carrying.renew(path, folder / "people.db")
        _copies[key] = folder / "people.db"
    return engines.of_file(_copies[key])


def _remove_copy(folder: Path, process: int) -> None:
    if os.getpid() == process:  # a forked child leaves its parent's
        shutil.rmtree(folder, ignore_errors=True)
