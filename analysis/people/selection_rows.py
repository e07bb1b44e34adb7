"""Named selections in the tables. Their ids are packed; each change keeps those that it brought, to come back to."""

from __future__ import annotations

import json
from dataclasses import replace

from sqlalchemy import Row, delete, insert, update

from analysis.errors import InputError, NotFound, ParameterError
from analysis.people.tables import CHANGES, ENTRIES, SELECTIONS
from analysis.people.things import LONGEST_PART, EditConflict, Entry, Thing, checked
from analysis.people.writing import Book, Pen
from analysis.selection import Selection, ids_from_bytes, to_bytes

S = SELECTIONS.c


def listed(book: Book, store: str | None) -> list[Selection]:
    """All (of one store), by name."""
    where = [] if store is None else [S.store == store]
    return [_selection(row) for row in sorted(book.rows(SELECTIONS, *where), key=lambda r: r.name)]


def one(book: Book, name: str) -> Selection:
    """Raises NotFound, listing the names."""
    row = _row(book, name)
    if row is None:
        there = sorted(r.name for r in book.rows(SELECTIONS))
        raise NotFound(f"no selection {name!r}", "one of " + (", ".join(there) or "none yet"))
    return _selection(row)


def version(book: Book, name: str) -> int:
    """0 where there is none."""
    row = _row(book, name)
    return row.version if row else 0


def save(pen: Pen, selection: Selection, version: int | None) -> Selection:
    """Write or replace."""
    name = checked(selection.name, "the selection's name", LONGEST_PART).strip()
    checked(selection.note, "the selection's note", 20_000)
    for part in (selection.store, selection.tap, selection.author):
        checked(part, "a part of the selection", LONGEST_PART)
    if not name:
        raise ParameterError("the selection has no name", "a name", "Type one, such as 'blurred 4s'")
    if not len(selection):
        raise InputError("the selection is empty", "at least one point", "Draw around some points first")
    _put(pen, replace(selection, name=name), to_bytes(selection), version)
    return one(pen, name)


def _put(pen: Pen, s: Selection, packed: bytes, version: int | None) -> None:
    thing, there = Thing.selection(s.name), _row(pen, s.name)
    _refuse_changed(thing, there, version, _told(s))
    seq = pen.changed(thing, "selection", "", _told(there) if there else None, _told(s), packed)
    pen.connection.execute(delete(SELECTIONS).where(*_here(pen, thing)))
    pen.connection.execute(insert(SELECTIONS).values(
        workspace=pen.workspace, thing=thing.id, name=s.name, of=s.of, store=s.store, tap=s.tap, ids=packed,
        note=s.note, author=s.author or pen.author, made=pen.made, version=seq))  # fmt: skip


def _refuse_changed(thing: Thing, there: Row | None, version: int | None, mine: str | None) -> None:
    """Raise EditConflict where what is there is not what was read."""
    if version is None or version == (there.version if there else 0):
        return
    theirs = None
    if there is not None:
        theirs = Entry(thing, "selection", "", _told(there), there.author, there.made, there.version)
    raise EditConflict("this selection", mine, theirs)


def remove(pen: Pen, name: str, version: int | None) -> None:
    """Raises NotFound, EditConflict."""
    one(pen, name)
    thing, there = Thing.selection(name), _row(pen, name)
    _refuse_changed(thing, there, version, None)
    pen.changed(thing, "selection", "", _told(there), None)
    pen.connection.execute(delete(SELECTIONS).where(*_here(pen, thing)))


def rename(pen: Pen, old: str, new: str) -> Selection:
    """Another name; what was written about it, and its history, go with it. Raises NotFound, ParameterError."""
    new = checked(new, "the selection's name", LONGEST_PART).strip()
    one(pen, old)
    before, after = Thing.selection(old), Thing.selection(new)
    if not new or (_row(pen, new) is not None and before != after):
        raise ParameterError(f"there is a selection {new!r} already" if new else "the selection has no name",
                             "a new name", "Choose another")  # fmt: skip
    if before == after:
        return one(pen, old)
    seq = pen.changed(before, "renamed", "", old, new)
    here = [S.workspace == pen.workspace, S.thing == before.id]
    pen.connection.execute(update(SELECTIONS).where(*here).values(thing=after.id, name=new, version=seq))
    for table in (ENTRIES, CHANGES):
        # what an earlier selection of the new name left stays, where nothing takes its place
        c = table.c
        if table is ENTRIES:
            pen.connection.execute(delete(table).where(c.workspace == pen.workspace, c.thing == after.id))
        moved = update(table).where(c.workspace == pen.workspace, c.thing == before.id)
        pen.connection.execute(moved.values(thing=after.id, item=new))
    return one(pen, new)


def restore(pen: Pen, change: Row, version: int | None) -> None:
    """As it was after a change of its."""
    if change.packed is None:
        remove(pen, change.item, version)
        return
    told = json.loads(change.after)
    ids = ids_from_bytes(told["of"], change.packed)
    found = Selection(change.item, told["of"], told["store"], told["tap"], ids, told["note"], change.author)
    _put(pen, found, change.packed, version)


def _told(s: Selection | Row) -> str:
    return json.dumps({"of": s.of, "store": s.store, "tap": s.tap, "note": s.note})


def _row(book: Book, name: str) -> Row | None:
    found = book.rows(SELECTIONS, S.thing == Thing.selection(name).id)
    return found[0] if found else None


def _here(pen: Pen, thing: Thing) -> list:
    return [S.workspace == pen.workspace, S.thing == thing.id]


def _selection(row: Row) -> Selection:
    ids = ids_from_bytes(row.of, row.ids)
    return Selection(row.name, row.of, row.store, row.tap, ids, row.note, row.author, row.made)
