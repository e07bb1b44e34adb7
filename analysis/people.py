"""What people write: selections, stars and notes, in one small SQLite file inside the workspace."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from analysis import access
from analysis.errors import InputError, NewerSchema, NotFound, ParameterError, StoreDamaged
from analysis.selection import Selection, ids_from_bytes, to_bytes

SCHEMA = 2  # 2: the ids of a selection are packed
TABLES = """
CREATE TABLE IF NOT EXISTS selections (
    name TEXT PRIMARY KEY, of TEXT NOT NULL, store TEXT NOT NULL, tap TEXT NOT NULL, ids BLOB NOT NULL,
    note TEXT NOT NULL, author TEXT NOT NULL, made TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS stars (
    store TEXT NOT NULL, tap TEXT NOT NULL, unit INTEGER NOT NULL, author TEXT NOT NULL, made TEXT NOT NULL,
    PRIMARY KEY (store, tap, unit));
CREATE TABLE IF NOT EXISTS notes (
    store TEXT NOT NULL, tap TEXT NOT NULL, unit INTEGER NOT NULL, text TEXT NOT NULL, author TEXT NOT NULL,
    made TEXT NOT NULL, PRIMARY KEY (store, tap, unit));
"""


class People:
    """The people file. Opened anew for every call, so that any thread or process may use it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def selections(self, store: str | None = None) -> list[Selection]:
        """All selections (of one store), by name."""
        where = ("", ()) if store is None else (" WHERE store = ?", (store,))
        return [
            _selection(row)
            for row in self._ask(f"SELECT * FROM selections{where[0]} ORDER BY name", where[1])
        ]

    def selection(self, name: str) -> Selection:
        """One selection. Raises NotFound, listing the names."""
        rows = self._ask("SELECT * FROM selections WHERE name = ?", (name,))
        if not rows:
            there = [row[0] for row in self._ask("SELECT name FROM selections ORDER BY name", ())]
            raise NotFound(f"no selection {name!r}", "one of " + (", ".join(there) or "none yet"))
        return _selection(rows[0])

    def save_selection(self, selection: Selection) -> Selection:
        """Write or replace a selection. Raises ParameterError for an empty name, InputError for an empty set."""
        if not selection.name.strip():
            raise ParameterError("the selection has no name", "a name", "Type one, such as 'blurred 4s'")
        if not len(selection):
            raise InputError("the selection is empty", "at least one point", "Draw around some points first")
        s = selection
        values = (s.name.strip(), s.of, s.store, s.tap, to_bytes(s), s.note, s.author or _me(), _now())
        self._do("INSERT OR REPLACE INTO selections VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
        return self.selection(s.name.strip())

    def delete_selection(self, name: str) -> None:
        self.selection(name)
        self._do("DELETE FROM selections WHERE name = ?", (name,))

    def stars(self, store: str, tap: str) -> tuple[int, ...]:
        """Starred units of a tap, rising."""
        return tuple(
            r[0]
            for r in self._ask("SELECT unit FROM stars WHERE store=? AND tap=? ORDER BY unit", (store, tap))
        )

    def star(self, store: str, tap: str, unit: int, on: bool = True) -> None:
        if on:
            self._do(
                "INSERT OR REPLACE INTO stars VALUES (?, ?, ?, ?, ?)", (store, tap, int(unit), _me(), _now())
            )
        else:
            self._do("DELETE FROM stars WHERE store=? AND tap=? AND unit=?", (store, tap, int(unit)))

    def notes(self, store: str, tap: str) -> dict[int, str]:
        """Notes of a tap by unit."""
        return dict(
            self._ask("SELECT unit, text FROM notes WHERE store=? AND tap=? ORDER BY unit", (store, tap))
        )

    def note(self, store: str, tap: str, unit: int, text: str) -> None:
        """Write a unit's note; an empty text removes it."""
        if text.strip():
            values = (store, tap, int(unit), text, _me(), _now())
            self._do("INSERT OR REPLACE INTO notes VALUES (?, ?, ?, ?, ?, ?)", values)
        else:
            self._do("DELETE FROM notes WHERE store=? AND tap=? AND unit=?", (store, tap, int(unit)))

    def _connect(self) -> sqlite3.Connection:
        fresh = not self.path.exists()
        connection = sqlite3.connect(self.path, timeout=10.0)
        try:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA:
                raise NewerSchema(
                    f"{self.path} has schema {version}", f"at most {SCHEMA}", "Update Feature Loupe"
                )
            if fresh or version < SCHEMA:  # an older file is read as it is: text ids are JSON
                connection.executescript(TABLES)
                connection.execute(f"PRAGMA user_version = {SCHEMA}")
                connection.commit()
        except BaseException:
            connection.close()
            raise
        return connection

    def _ask(self, sql: str, values: tuple = ()) -> list[tuple]:
        if not self.path.exists():
            return []  # looking must not write: a read-only workspace can still be browsed
        with self._in_words(), closing(self._connect()) as connection:
            return connection.execute(sql, values).fetchall()

    def _do(self, sql: str, values: tuple) -> None:
        with self._in_words(), closing(self._connect()) as connection, connection:
            connection.execute(sql, values)

    @contextmanager
    def _in_words(self):
        try:
            yield
        except sqlite3.OperationalError as error:
            raise InputError(
                f"{self.path} cannot be written or read ({error})",
                "a writable workspace",
                "Check its permissions and disk space",
            ) from None
        except sqlite3.DatabaseError as error:
            raise StoreDamaged(
                f"{self.path} is damaged ({error})",
                "the file with selections, stars and notes",
                "Restore it from a copy, or move it away to begin anew",
            ) from None


def _selection(row: tuple) -> Selection:
    name, of, store, tap, packed, *rest = row
    ids = json.loads(packed) if isinstance(packed, str) else ids_from_bytes(of, packed)
    return Selection(name, of, store, tap, ids, *rest)


def _me() -> str:
    return access.acting().name


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
