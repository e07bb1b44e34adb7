"""Notes, names, stars, tags and threads: what any thing may have."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import func, select

from analysis.errors import NotFound, ParameterError
from analysis.people.tables import CHANGES, ENTRIES
from analysis.people.things import FIELDS, KINDS, LONGEST, About, Entry, Thing, checked, digest
from analysis.people.writing import Book, Pen, entry_of

E = ENTRIES.c


def about(book: Book, thing: Thing) -> About:
    """Everything on one thing."""
    found = [entry_of(row) for row in book.rows(ENTRIES, E.thing == thing.id)]
    found = _with_versions(book, found) if thing.kind == "figure" and found else found
    one = {e.field: e for e in found if not e.part}
    tags = sorted((e for e in found if e.field == "tag"), key=lambda e: e.part)
    replies = sorted((e for e in found if e.field == "reply"), key=lambda e: _number(e.part))
    return About(*(one.get(name) for name in ("note", "name", "star")), tuple(tags), tuple(replies),
                 one.get("resolved"))  # fmt: skip


def _with_versions(book: Book, found: list[Entry]) -> list[Entry]:
    """Entries on a figure, with what had made it when each was written."""
    asked = select(CHANGES.c.seq, CHANGES.c.made_with).where(
        CHANGES.c.workspace == book.workspace, CHANGES.c.seq.in_([e.version for e in found])
    )
    with_ = {seq: made_with for seq, made_with in book.connection.execute(asked)}
    return [replace(e, thing=replace(e.thing, made_with=with_.get(e.version, ""))) for e in found]


def listed(
    book: Book, field: str, kind: str | None, store: str | None, tap: str | None, part: str | None
) -> list[Entry]:
    """All entries of one field, by what they are about."""
    asked = {"kind": kind, "store": store, "tap": tap, "part": part}
    where = [E[name] == value for name, value in asked.items() if value is not None]
    found = [entry_of(row) for row in book.rows(ENTRIES, E.field == field, *where)]
    return sorted(
        found, key=lambda e: (e.thing.kind, e.thing.store, e.thing.tap, _number(e.thing.item), e.part)
    )


def _number(text: str) -> tuple[int, str]:
    return (int(text), "") if text.isdecimal() and len(text) < 20 else (-1, text)


def of_units(book: Book, fields: tuple[str, ...], store: str, tap: str) -> list[tuple[str, int, str, str]]:
    """(field, unit, part, text) of these fields at a tap, by field and unit: what a list of all units asks for."""
    asked = select(E.field, E.item, E.part, E.text).where(
        E.workspace == book.workspace, E.field.in_(fields), E.spot == digest("feature", store, tap)
    )
    return sorted(
        (field, int(item), part, text) for field, item, part, text in book.connection.execute(asked)
    )


def tags(book: Book) -> dict[str, int]:
    """Every tag of the workspace, and how many things have it."""
    asked = (
        select(E.part, func.count()).where(E.workspace == book.workspace, E.field == "tag").group_by(E.part)
    )
    return dict(sorted(tuple(row) for row in book.connection.execute(asked)))


def write(pen: Pen, thing: Thing, field: str, text: str, version: int | None) -> Entry | None:
    """A note or a name; an empty text removes it."""
    checked(text, f"the {field}", LONGEST[field])
    return pen.put(thing, field, "", text if text.strip() else None, version)


def tag(pen: Pen, thing: Thing, word: str, on: bool) -> Entry | None:
    """Give or take one tag."""
    word = " ".join(checked(word, "the tag", LONGEST["tag"]).split())
    if not word:
        raise ParameterError("the tag is empty", "a word or two")
    return pen.put(thing, "tag", word, "yes" if on else None)


def reply(pen: Pen, thing: Thing, text: str) -> Entry:
    """One more in the thread; it opens the thread again."""
    _said(text)
    pen.put(thing, "resolved", "", None)
    return pen.put(thing, "reply", str(pen.seq + 1), text)


def edit_reply(pen: Pen, thing: Thing, part: str, text: str, version: int | None) -> Entry | None:
    """Another text for a reply; an empty one removes it. Raises NotFound."""
    checked(text, "the reply", LONGEST["reply"])
    if pen.entry(thing, "reply", part) is None and version in (None, 0):
        raise NotFound("this reply is not there any more", "one of the thread")
    return pen.put(thing, "reply", part, text if text.strip() else None, version)


def _said(text: str) -> None:
    if not checked(text, "the reply", LONGEST["reply"]).strip():
        raise ParameterError("the reply is empty", "a text")


def figure_keys(book: Book) -> set[str]:
    """Digests of the recipes of all figures about which something is written; of those written about before revision
    0004 that have not found their new names, keys of results."""
    return {row.item.partition(":")[0] for row in book.rows(ENTRIES, ENTRIES.c.kind == "figure")}


def refuse_unknown(field: str, kind: str | None) -> None:
    """Raises ParameterError for what nobody can have written."""
    if field not in FIELDS or kind not in (None, *KINDS):
        raise ParameterError(f"{field!r} of {kind!r}", "one of " + ", ".join(FIELDS))
