"""Reading at one moment (`Book`) and writing in one transaction (`Pen`): whatever changes is counted and remembered.

Whoever writes first locks the workspace's row, so that changes are numbered without gaps in the order in which they are
kept, whatever any clock says. The time is the database's own.
"""

from __future__ import annotations

from sqlalchemy import Connection, Row, delete, insert, select, text, update

from analysis.people.tables import CHANGES, ENTRIES, WORKSPACES
from analysis.people.things import Change, EditConflict, Entry, Thing, digest

NOW = {
    "sqlite": "SELECT strftime('%Y-%m-%dT%H:%M:%S+00:00', 'now')",
    "postgresql": "SELECT to_char(clock_timestamp() AT TIME ZONE 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS') || '+00:00'",
}
WORDS = {"note": "this note", "name": "this name", "reply": "this reply", "star": "this star", "tag": "this tag",
         "resolved": "whether this is settled", "selection": "this selection", "tour": "this tour"}  # fmt: skip


class Book:
    """A connection in its transaction, and the workspace in that database."""

    def __init__(self, connection: Connection, workspace: str) -> None:
        self.connection, self.workspace = connection, workspace

    def rows(self, table, *where, order=()) -> list[Row]:
        """Rows of this workspace."""
        asked = select(table).where(table.c.workspace == self.workspace, *where).order_by(*order)
        return self.connection.execute(asked).all()

    def entry(self, thing: Thing, field: str, part: str = "") -> Entry | None:
        """One thing that is written now."""
        e = ENTRIES.c
        found = self.rows(ENTRIES, e.thing == thing.id, e.field == field, e.part == part)
        return entry_of(found[0]) if found else None


class Pen(Book):
    """A book that one person writes in."""

    def __init__(self, connection: Connection, workspace: str, author: str) -> None:
        super().__init__(connection, workspace)
        locked = select(WORKSPACES.c.last).where(WORKSPACES.c.id == workspace).with_for_update()
        self.first = self.seq = connection.execute(locked).scalar_one()
        self.author = author
        self.made = connection.execute(text(NOW[connection.dialect.name])).scalar_one()

    def put(
        self, thing: Thing, field: str, part: str, written: str | None, version: int | None = None
    ) -> Entry | None:
        """Write (or remove, None) one thing; what is there already is left. Raises EditConflict where `version` is
        given and is not the one that is there."""
        there = self.entry(thing, field, part)
        if (there.text if there else None) == written:
            return there
        if version is not None and version != (there.version if there else 0):
            raise EditConflict(WORDS[field], written, there)
        self.changed(thing, field, part, there.text if there else None, written)
        e, key = ENTRIES.c, {"workspace": self.workspace, "thing": thing.id, "field": field, "part": part}
        here = [e[name] == value for name, value in key.items()]
        new = {"text": written, "author": self.author, "made": self.made, "version": self.seq}
        if written is None:
            self.connection.execute(delete(ENTRIES).where(*here))
            return None
        if there is None:
            self.connection.execute(
                insert(ENTRIES).values(**key, **columns_of(thing), spot=spot(thing), **new)
            )
        else:
            self.connection.execute(update(ENTRIES).where(*here).values(**new))
        return Entry(thing, field, part, written, self.author, self.made, self.seq)

    def changed(self, thing: Thing, field: str, part: str, before: str | None, after: str | None,
                packed: bytes | None = None) -> int:  # fmt: skip
        """Remember a change; its number."""
        self.seq += 1
        self.connection.execute(insert(CHANGES).values(
            workspace=self.workspace, seq=self.seq, thing=thing.id, field=field, part=part, **columns_of(thing),
            before=before, after=after, packed=packed, place=thing.place, author=self.author,
            made=self.made, made_with=thing.made_with))  # fmt: skip
        return self.seq

    def close(self) -> None:
        """Say how far the changes are counted."""
        if self.seq != self.first:
            counted = update(WORKSPACES).where(WORKSPACES.c.id == self.workspace)
            self.connection.execute(counted.values(last=self.seq))


def columns_of(thing: Thing) -> dict[str, str]:
    """A thing in the columns of a row."""
    return {"kind": thing.kind, "store": thing.store, "tap": thing.tap, "item": thing.item}


def spot(thing: Thing) -> str:
    """Where it lies: all features of a tap have the same."""
    return digest(thing.kind, thing.store, thing.tap)


def entry_of(row: Row) -> Entry:
    """A row of ENTRIES."""
    thing = Thing(row.kind, row.store, row.tap, row.item)
    return Entry(thing, row.field, row.part, row.text, row.author, row.made, row.version)


def change_of(row: Row) -> Change:
    """A row of CHANGES."""
    thing = Thing(row.kind, row.store, row.tap, row.item, row.place, row.made_with)
    return Change(row.seq, thing, row.field, row.part, row.before, row.after, row.author, row.made)
