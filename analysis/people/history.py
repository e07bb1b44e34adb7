"""What changed: of one thing, and in the whole workspace; and back to what was."""

from __future__ import annotations

from sqlalchemy import select

from analysis.errors import NotFound, ParameterError
from analysis.people import selection_rows, tour_rows
from analysis.people.tables import CHANGES
from analysis.people.things import Change, Thing
from analysis.people.writing import Book, Pen, change_of

C = CHANGES.c
SHOWN = [c for c in CHANGES.c if c.name != "packed"]
MOST = 500  # changes at once


def of_thing(book: Book, thing: Thing, field: str | None) -> list[Change]:
    """Newest first."""
    where = [C.workspace == book.workspace, C.thing == thing.id]
    where += [] if field is None else [C.field == field]
    asked = select(*SHOWN).where(*where).order_by(C.seq.desc())
    return [change_of(row) for row in book.connection.execute(asked)]


def feed(
    book: Book, limit: int, before: int | None, without: str | None, **asked: str | None
) -> list[Change]:
    """Newest first; `asked` : columns that must be so; `without` : a kind of thing that is left out."""
    if not 1 <= limit <= MOST:
        raise ParameterError(f"{limit} changes at once", f"1 to {MOST}")
    where = [C[name] == value for name, value in asked.items() if value is not None]
    where += [] if before is None else [C.seq < before]
    where += [] if without is None else [C.kind != without]
    found = select(*SHOWN).where(C.workspace == book.workspace, *where).order_by(C.seq.desc()).limit(limit)
    return [change_of(row) for row in book.connection.execute(found)]


def authors(book: Book) -> list[str]:
    """Everybody who wrote something."""
    asked = select(C.author).where(C.workspace == book.workspace).distinct()
    return sorted(book.connection.execute(asked).scalars())


def restore(pen: Pen, seq: int, version: int | None) -> None:
    """As it was after the change `seq`."""
    found = pen.rows(CHANGES, C.seq == int(seq))
    if not found or found[0].field in ("renamed", "link"):
        raise NotFound(f"no change {seq} to go back to", "one of the history")
    row = found[0]
    if row.field == "selection":
        selection_rows.restore(pen, row, version)
    elif row.field == "tour":
        tour_rows.restore(pen, row, version)
    else:
        thing = Thing(row.kind, row.store, row.tap, row.item, row.place, row.made_with)
        pen.put(thing, row.field, row.part, row.after, version)
