"""A workspace's writings from one database into another: into PostgreSQL at first, and into the file of a pack."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from sqlalchemy import Connection, delete, func, insert, select

from analysis.people.tables import CHANGES, OF_A_WORKSPACE, WORKSPACES

BLOCK = 500  # rows in memory: one may hold a selection of a million samples


def begin(connection: Connection, workspace: str) -> bool:
    """Whether the workspace was new in this database; it is there now, until the transaction's end."""
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as into
    else:
        from sqlalchemy.dialects.sqlite import insert as into
    new = into(WORKSPACES).values(id=workspace, last=0, made="").on_conflict_do_nothing()
    return connection.execute(new.returning(WORKSPACES.c.id)).first() is not None


def copy(source: Connection, workspace: str, target: Connection, new: str) -> None:
    """All rows of a workspace to another database, where it is there and empty, under its name there."""
    last = source.execute(select(WORKSPACES.c.last).where(WORKSPACES.c.id == workspace)).scalar_one_or_none()
    if last is None:
        return
    target.execute(WORKSPACES.update().where(WORKSPACES.c.id == new).values(last=last))
    for table in OF_A_WORKSPACE:
        asked = select(table).where(table.c.workspace == workspace).order_by(*table.primary_key.columns)
        for rows in source.execute(asked).mappings().partitions(BLOCK):
            target.execute(insert(table), [{**row, "workspace": new} for row in rows])


def renew(path: Path, out: Path) -> None:
    """A copy of a people.db as it is at this moment, with the present tables."""
    from analysis.people import engines, figure_moves, migrating
    from analysis.people.older_files import CACHE, file_version

    uri = f"{Path(os.path.abspath(path)).as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=engines.WAIT)) as db:
        db.execute("VACUUM INTO ?", (str(out),))
    with engines.of_file(out).connect().execution_options(writes=True) as connection, connection.begin():
        if file_version(connection, path) < migrating.SCHEMA:
            migrating.upgrade(connection)
            figure_moves.move(connection, "", path.parent / CACHE)


def export(source: Connection, workspace: str, out: Path) -> None:
    """A new people.db at `out` with what the workspace holds; the same rows give the same bytes.

    What was removed does not travel, nor what was said before it was: deleting a note keeps it from whoever gets the
    pack.
    """
    from analysis.people import engines, migrating

    whole = out.with_name(out.name + ".whole")
    with engines.of_file(whole, create=True).connect().execution_options(writes=True) as made, made.begin():
        migrating.upgrade(made)
        begin(made, "")
        copy(source, workspace, made, "")
        _forget_removed(made)
    engines.forget(whole)
    with contextlib.closing(sqlite3.connect(whole)) as db:
        db.execute("VACUUM INTO ?", (str(out),))
    with contextlib.closing(sqlite3.connect(out)) as db:
        db.execute("PRAGMA schema_version = 1")  # counts how often this was done
        db.commit()
    whole.unlink()


def _forget_removed(connection: Connection) -> None:
    """Drop each history up to the moment when there was nothing any more."""
    later, key = CHANGES.alias("later"), ("workspace", "thing", "field", "part")
    same = [later.c[name] == CHANGES.c[name] for name in key]
    removed = select(func.max(later.c.seq)).where(*same, later.c.after.is_(None)).scalar_subquery()
    connection.execute(delete(CHANGES).where(CHANGES.c.seq <= removed))
