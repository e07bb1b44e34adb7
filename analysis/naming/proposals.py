"""What language models have answered, in one small SQLite file of the workspace.

A name for each feature, its score or why it has none, who was asked and when. No key, no text that was sent.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from analysis import access
from analysis.errors import InputError, StoreDamaged
from analysis.naming.detection import Detection

FILE = "proposed_names.db"
TABLE = """
CREATE TABLE IF NOT EXISTS names (
    store TEXT NOT NULL, tap TEXT NOT NULL, digest TEXT NOT NULL, unit INTEGER NOT NULL, name TEXT NOT NULL,
    model TEXT NOT NULL, asked TEXT NOT NULL, score TEXT NOT NULL, unscored TEXT NOT NULL, made TEXT NOT NULL,
    PRIMARY KEY (store, tap, unit));
"""


@dataclass(frozen=True)
class Proposal:
    """`name` that `model` gave a feature when `asked` (a server's address, or the program) was asked; `score` on
    held-out examples, or why it is `unscored`; `made` when."""

    unit: int
    name: str
    model: str
    asked: str
    score: Detection | None = None
    unscored: str = ""
    made: str = ""


class Proposals:
    """Opened anew for every call, so that any thread or process may use it; looking never writes."""

    def __init__(self, workspace: Path) -> None:
        self.path = Path(workspace) / FILE

    def of(self, store: str, tap: str, digest: str) -> dict[int, Proposal]:
        """Those of a tap by feature; none that were made when its activations were others."""
        if not self.path.exists():
            return {}
        with self._in_words(), closing(sqlite3.connect(self.path, timeout=10.0)) as connection:
            rows = connection.execute(
                "SELECT unit, name, model, asked, score, unscored, made FROM names "
                "WHERE store=? AND tap=? AND digest=? ORDER BY unit",
                (store, tap, digest),
            ).fetchall()
            return {row[0]: _proposal(row) for row in rows}

    def keep(self, store: str, tap: str, digest: str, found: Proposal) -> None:
        """In the place of what there was. Raises Forbidden."""
        access.require("editor", f"keep a proposed name of feature {found.unit}")
        score = "" if found.score is None else json.dumps(asdict(found.score))
        now = datetime.now(UTC).isoformat(timespec="seconds")
        values = (
            store,
            tap,
            digest,
            found.unit,
            found.name,
            found.model,
            found.asked,
            score,
            found.unscored,
            now,
        )
        self._do("INSERT OR REPLACE INTO names VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)

    def forget(self, store: str, tap: str, unit: int) -> None:
        """Raises Forbidden."""
        access.require("editor", f"drop the proposed name of feature {unit}")
        if self.path.exists():
            self._do("DELETE FROM names WHERE store=? AND tap=? AND unit=?", (store, tap, int(unit)))

    def _do(self, sql: str, values: tuple) -> None:
        with self._in_words(), closing(sqlite3.connect(self.path, timeout=10.0)) as connection, connection:
            connection.executescript(TABLE)
            connection.execute(sql, values)

    @contextmanager
    def _in_words(self):
        try:
            yield
        except sqlite3.OperationalError as error:
            raise InputError(
                f"{self.path} cannot be written or read ({error})", "a writable workspace",
                "Check its permissions and disk space",
            ) from None  # fmt: skip
        except (sqlite3.DatabaseError, ValueError, TypeError) as error:
            raise StoreDamaged(
                f"{self.path} is damaged ({error})", "the file with the names that language models proposed",
                "Move it away; nothing else is in it",
            ) from None  # fmt: skip


def _proposal(row: tuple) -> Proposal:
    unit, name, model, asked, score, unscored, made = row
    return Proposal(
        unit, name, model, asked, Detection(**json.loads(score)) if score else None, unscored, made
    )
