"""Short links: a page with its parameters under a few characters, which follow from what they stand for."""

from __future__ import annotations

import base64
import hashlib
import json
import re

from sqlalchemy import insert

from analysis.errors import NotFound, ParameterError
from analysis.people.tables import LINKS
from analysis.people.things import LONGEST, LONGEST_PART, Link, Thing, checked
from analysis.people.writing import Book, Pen

SHOWN = "result "  # in what a link showed: before the key of a result
SHORTEST, WHOLE = 8, 26  # characters of 5 bits
ID, PAGE = re.compile(r"[a-z2-7]{8,26}"), re.compile(r"[a-z][a-z0-9_-]{0,59}")


def make(pen: Pen, page: str, params: dict, seen: dict) -> str:
    """The id; the same page, parameters and content always have the same."""
    if not PAGE.fullmatch(page):
        raise ParameterError(f"the page {page[:60]!r}", "a page's name: small letters, digits, - and _")
    query, told = _texts(params), json.dumps(dict(sorted(seen.items())))
    checked(query, "the link", LONGEST["query"])
    checked(told, "what the link showed", LONGEST["query"])
    digest = hashlib.sha256(json.dumps([page, query, told]).encode()).digest()
    whole = base64.b32encode(digest).decode().lower()[:WHOLE]
    for n in range(SHORTEST, WHOLE + 1):  # one that stands for another page already is made longer
        there = find(pen, whole[:n])
        if there is None:
            pen.connection.execute(insert(LINKS).values(
                workspace=pen.workspace, id=whole[:n], page=page, query=query, seen=told, author=pen.author,
                made=pen.made))  # fmt: skip
            pen.changed(Thing("link", item=whole[:n], place=f"?link={whole[:n]}"), "link", "", None, page)
            return whole[:n]
        if (there.page, _texts(there.params), there.seen) == (page, query, dict(sorted(seen.items()))):
            return there.id
    raise ParameterError("no short link is free for this page", "one")  # 130 bits would have to collide


def _texts(params: dict) -> str:
    """{name: [values]} as JSON. The order of the names means nothing, that of the values does."""
    listed = {}
    for name, value in params.items():
        values = list(value) if isinstance(value, list | tuple) else [value]
        listed[checked(str(name), "a parameter", LONGEST_PART)] = [
            checked(str(v).lower() if isinstance(v, bool) else str(v), "a parameter", LONGEST["query"])
            for v in values
        ]
    return json.dumps(dict(sorted(listed.items())))


def find(book: Book, id: str) -> Link | None:
    """None where there is none."""
    if not ID.fullmatch(id):
        return None
    found = book.rows(LINKS, LINKS.c.id == id)
    if not found:
        return None
    row = found[0]
    return Link(row.id, row.page, json.loads(row.query), json.loads(row.seen), row.author, row.made)


def refuse(id: str) -> NotFound:
    """For an id that leads nowhere."""
    return NotFound(f"no short link {id[:40]!r} in this workspace", "one that was made here",
                    "Ask for it again, or for the whole address")  # fmt: skip


def result_keys(book: Book) -> set[str]:
    """Keys of the results that short links showed when they were made."""
    found = set()
    for row in book.rows(LINKS):
        found |= {name.removeprefix(SHOWN) for name in json.loads(row.seen) if name.startswith(SHOWN)}
    return found
