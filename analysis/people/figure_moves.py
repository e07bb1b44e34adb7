"""What was written on figures before revision 0004, under what they are called since.

Their names were digests with the versions in them, which tell nothing of the recipe; but the results that they were
drawn from lie in the workspace's cache, and know their recipes. What has no result there any more stays as it is: in
the feed and in the history.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, delete, select, update

from analysis.people import figure_things
from analysis.people.tables import CHANGES, ENTRIES
from analysis.people.things import Thing
from analysis.store.cache import ResultCache


def waiting(connection: Connection, workspace: str) -> bool:
    """Whether there is anything of before."""
    c = CHANGES.c
    asked = select(c.seq).where(c.workspace == workspace, c.kind == "figure", c.item.contains(":")).limit(1)
    return connection.execute(asked).first() is not None


def move(connection: Connection, workspace: str, cache: Path) -> int:
    """Give figures of before their new names; how many. O(results in the cache), and only where there are any."""
    if not waiting(connection, workspace):
        return 0
    c = CHANGES.c
    asked = select(c.item, c.store, c.tap).where(c.workspace == workspace, c.kind == "figure").distinct()
    before = [
        Thing("figure", store, tap, item) for item, store, tap in connection.execute(asked) if ":" in item
    ]
    known = {figure_things.former_item(origin): origin for origin in ResultCache(cache).origins()}
    found = [(thing, known[thing.item]) for thing in before if thing.item in known]
    for thing, origin in found:
        after = Thing.figure(figure_things.recipe_digest(origin.recipe()), thing.store, thing.tap)
        _moved(connection, workspace, thing, after, figure_things.made_with(origin))
    return len(found)


def _moved(connection: Connection, workspace: str, before: Thing, after: Thing, made_with: str) -> None:
    """The same figure made by two versions had two notes: the later is the note, the history has the other."""
    e, c = ENTRIES.c, CHANGES.c
    mine = connection.execute(
        select(e.field, e.part, e.version).where(e.workspace == workspace, e.thing == before.id)
    )
    for field, part, version in mine.all():
        there = [e.workspace == workspace, e.thing == after.id, e.field == field, e.part == part]
        other = connection.execute(select(e.version).where(*there)).scalar_one_or_none()
        older = before.id if other is not None and other > version else after.id
        connection.execute(
            delete(ENTRIES).where(
                e.workspace == workspace, e.thing == older, e.field == field, e.part == part
            )
        )
    named = {"thing": after.id, "item": after.item}
    connection.execute(update(ENTRIES).where(e.workspace == workspace, e.thing == before.id).values(**named))
    connection.execute(
        update(CHANGES)
        .where(c.workspace == workspace, c.thing == before.id)
        .values(**named, made_with=made_with)
    )
