"""Whether a people.db, which anybody may have made, holds what this program writes: looked at before it is used."""

from __future__ import annotations

import json

from sqlalchemy import LargeBinary, Text, func, or_, select

from analysis.errors import LoupeError, StoreDamaged
from analysis.people import link_rows, selection_rows, tour_rows
from analysis.people.places import LONGEST_NAME
from analysis.people.tables import CHANGES, ENTRIES, LINKS, METADATA, SELECTIONS
from analysis.people.things import FIELDS, KINDS
from analysis.people.writing import Book

SEEN = ("selection", "renamed", "tour", "link")  # what the history knows besides


def refuse(book: Book, where: str) -> None:
    """Raises StoreDamaged."""
    if book.connection.dialect.name != "sqlite":
        return  # PostgreSQL keeps its types
    try:
        odd = _of_other_types(book) or _of_other_kinds(book)
        selection_rows.listed(book, None)
        tour_rows.listed(book)
        for row in book.rows(LINKS):
            link_rows.find(book, row.id)
    except (ValueError, TypeError, KeyError, AttributeError, LoupeError) as error:
        odd = repr(error)[:200]
    if odd:
        raise StoreDamaged(f"{where} holds what nobody can have written ({odd})", "what this program keeps",
                           "Ask for it again")  # fmt: skip


def _of_other_types(book: Book) -> str:
    """SQLite lets any value into any column."""
    for table in METADATA.sorted_tables:
        for column in table.columns:
            kind = "text" if isinstance(column.type, Text) else "integer"
            kind = "blob" if isinstance(column.type, LargeBinary) else kind
            allowed = [kind, "null"] if column.nullable else [kind]
            bad = select(func.count()).select_from(table).where(func.typeof(column).not_in(allowed))
            if book.connection.execute(bad).scalar_one():
                return f"{table.name}.{column.name} of another type"
    return ""


def _of_other_kinds(book: Book) -> str:
    """Rows about what does not exist."""
    for table, fields in ((ENTRIES, FIELDS), (CHANGES, (*FIELDS, *SEEN))):
        c = table.c
        odd = or_(c.kind.not_in(KINDS), c.field.not_in(fields), func.length(c.author) > LONGEST_NAME)
        number = or_(c.item.op("GLOB")("*[^0-9]*"), c.item == "", func.length(c.item) > 15)
        odd = or_(odd, (c.kind == "feature") & number)
        odd = or_(odd, (c.field == "reply") & or_(c.part.op("GLOB")("*[^0-9]*"), c.part == ""))
        found = book.connection.execute(select(c.kind, c.field, c.item).where(odd)).first()
        if found:
            return f"{table.name}: {tuple(found)!r}"
    told = select(CHANGES.c.after).where(
        CHANGES.c.field.in_(("selection", "tour")), CHANGES.c.after.is_not(None)
    )
    for text in book.connection.execute(told).scalars():
        json.loads(text)
    known = book.connection.execute(select(func.count()).select_from(SELECTIONS)).scalar_one()
    return "" if known == len(book.rows(SELECTIONS)) else "rows of other workspaces"
