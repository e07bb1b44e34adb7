"""The tables, the same in SQLite and PostgreSQL. Importing this imports SQLAlchemy (a fifth of a second).

Several workspaces share one PostgreSQL database by a column, not by a schema each: one migration, one pool of
connections and one backup for all, and a workspace's rows copied into SQLite are a people.db as they are. In SQLite
the workspace is "".

Digests stand in the keys, because names may be longer than what PostgreSQL indexes: `thing` is `Thing.id`, `spot` that
of its kind, store and tap.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, Table, Text

METADATA = MetaData()


def _text(name: str, **more) -> Column:
    return Column(name, Text, nullable=False, **more)


def _number(name: str, **more) -> Column:
    return Column(name, BigInteger().with_variant(Integer, "sqlite"), nullable=False, **more)


def _of_thing() -> tuple[Column, ...]:
    return tuple(_text(name) for name in ("kind", "store", "tap", "item"))


def _who() -> tuple[Column, Column]:
    return _text("author"), _text("made")


WORKSPACES = Table(  # `last`: the sequence number of the last change; whoever writes locks this row first
    "loupe_workspaces", METADATA, _text("id", primary_key=True), _number("last"), _text("made"))  # fmt: skip

ENTRIES = Table(
    "loupe_entries", METADATA, _text("workspace", primary_key=True), _text("thing", primary_key=True),
    _text("field", primary_key=True), _text("part", primary_key=True), *_of_thing(), _text("spot"),
    _text("text"), *_who(), _number("version"))  # fmt: skip
Index("loupe_entries_by_spot", ENTRIES.c.workspace, ENTRIES.c.field, ENTRIES.c.spot)

CHANGES = Table(
    "loupe_changes", METADATA, _text("workspace", primary_key=True),
    _number("seq", primary_key=True, autoincrement=False), _text("thing"), _text("field"), _text("part"), *_of_thing(),
    Column("before", Text), Column("after", Text), Column("packed", LargeBinary), _text("place"),
    *_who(), _text("made_with", server_default=""))  # of a figure: which versions made it then  # fmt: skip
for _by in ("thing", "author", "kind"):
    Index(f"loupe_changes_by_{_by}", CHANGES.c.workspace, CHANGES.c[_by], CHANGES.c.seq)

SELECTIONS = Table(  # "of" and "ids" as in analysis.selection
    "loupe_selections", METADATA, _text("workspace", primary_key=True), _text("thing", primary_key=True),
    _text("name"), _text("of"), _text("store"), _text("tap"), Column("ids", LargeBinary, nullable=False),
    _text("note"), *_who(), _number("version"))  # fmt: skip

LINKS = Table(
    "loupe_links", METADATA, _text("workspace", primary_key=True), _text("id", primary_key=True), _text("page"),
    _text("query"), _text("seen"), *_who())  # fmt: skip

TOURS = Table(
    "loupe_tours", METADATA, _text("workspace", primary_key=True), _text("id", primary_key=True), _text("title"),
    _text("text"), *_who(), _number("version"))  # fmt: skip

STEPS = Table(
    "loupe_tour_steps", METADATA, _text("workspace", primary_key=True), _text("tour", primary_key=True),
    _number("place", primary_key=True, autoincrement=False), _text("link"), _text("text"))  # fmt: skip

OF_A_WORKSPACE = (ENTRIES, CHANGES, SELECTIONS, LINKS, TOURS, STEPS)  # all but WORKSPACES itself
