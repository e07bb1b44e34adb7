"""Tours: an ordered list of short links, each with a text."""

from __future__ import annotations

import json
import secrets

from sqlalchemy import Row, delete, insert

from analysis.errors import NotFound, ParameterError
from analysis.people import link_rows
from analysis.people.tables import STEPS, TOURS
from analysis.people.things import LONGEST, EditConflict, Step, Thing, Tour, checked
from analysis.people.writing import Book, Pen

MOST_STEPS = 500


def listed(book: Book) -> list[Tour]:
    """All, by title."""
    steps: dict[str, list[Step]] = {}
    for row in book.rows(STEPS, order=(STEPS.c.tour, STEPS.c.place)):
        steps.setdefault(row.tour, []).append(Step(row.link, row.text))
    found = [_tour(row, steps.get(row.id, [])) for row in book.rows(TOURS)]
    return sorted(found, key=lambda t: (t.title, t.id))


def one(book: Book, id: str) -> Tour | None:
    """None where there is none."""
    found = book.rows(TOURS, TOURS.c.id == id)
    if not found:
        return None
    steps = book.rows(STEPS, STEPS.c.tour == id, order=(STEPS.c.place,))
    return _tour(found[0], [Step(row.link, row.text) for row in steps])


def _tour(row: Row, steps: list[Step]) -> Tour:
    return Tour(row.id, row.title, row.text, tuple(steps), row.author, row.made, row.version)


def save(pen: Pen, id: str, title: str, text: str, steps: tuple[Step, ...], version: int | None) -> Tour:
    """A new one where `id` is "", else in the place of what is there."""
    _refuse(pen, title, text, steps)
    if id and one(pen, id) is None and version in (None, 0):
        raise NotFound(f"no tour {id[:40]!r}", "one that is there")
    return _put(pen, id or secrets.token_hex(6), title.strip(), text, steps, version)


def _refuse(pen: Pen, title: str, text: str, steps: tuple[Step, ...]) -> None:
    if not checked(title, "the title", LONGEST["title"]).strip():
        raise ParameterError("the tour has no title", "one")
    if len(steps) > MOST_STEPS:
        raise ParameterError(f"{len(steps):,} steps", f"at most {MOST_STEPS}", "Make two tours of it")
    for words in (text, *(step.text for step in steps)):
        checked(words, "a text of the tour", LONGEST["text"])
    for step in steps:
        if link_rows.find(pen, step.link) is None:
            raise link_rows.refuse(step.link)


def _put(pen: Pen, id: str, title: str, text: str, steps: tuple[Step, ...], version: int | None) -> Tour:
    there = one(pen, id)
    if there and (there.title, there.text, there.steps) == (title, text, tuple(steps)):
        return there
    told = _told(title, text, steps)
    if version is not None and version != (there.version if there else 0):
        raise EditConflict("this tour", told, there)
    before = _told(there.title, there.text, there.steps) if there else None
    seq = pen.changed(Thing("tour", item=id, place=f"?tour={id}"), "tour", "", before, told)
    _drop(pen, id)
    key = {"workspace": pen.workspace}
    pen.connection.execute(insert(TOURS).values(
        **key, id=id, title=title, text=text, author=pen.author, made=pen.made, version=seq))  # fmt: skip
    rows = [{**key, "tour": id, "place": n, "link": s.link, "text": s.text} for n, s in enumerate(steps)]
    if rows:
        pen.connection.execute(insert(STEPS), rows)
    return one(pen, id)


def remove(pen: Pen, id: str, version: int | None) -> None:
    """Raises NotFound, EditConflict."""
    there = one(pen, id)
    if there is None:
        raise NotFound(f"no tour {id[:40]!r}", "one that is there")
    if version is not None and version != there.version:
        raise EditConflict("this tour", None, there)
    pen.changed(Thing("tour", item=id), "tour", "", _told(there.title, there.text, there.steps), None)
    _drop(pen, id)


def _drop(pen: Pen, id: str) -> None:
    pen.connection.execute(delete(TOURS).where(TOURS.c.workspace == pen.workspace, TOURS.c.id == id))
    pen.connection.execute(delete(STEPS).where(STEPS.c.workspace == pen.workspace, STEPS.c.tour == id))


def restore(pen: Pen, change: Row, version: int | None) -> None:
    """As it was after a change of its."""
    if change.after is None:
        remove(pen, change.item, version)
        return
    told = json.loads(change.after)
    steps = tuple(Step(*step) for step in told["steps"])
    _put(pen, change.item, told["title"], told["text"], steps, version)


def _told(title: str, text: str, steps: tuple[Step, ...]) -> str:
    return json.dumps({"title": title, "text": text, "steps": [[s.link, s.text] for s in steps]})
