"""Notes, names, stars, tags and threads, of anything."""

from __future__ import annotations

from analysis.errors import NotFound
from analysis.people.desk import Desk
from analysis.people.things import About, Entry, Thing


class OnThings(Desk):
    """What people write on one thing, and what there is of it in the workspace."""

    def about(self, thing: Thing) -> About:
        """Note, name, star, tags and thread of one thing: one question to the database."""
        with self.place.reading() as book:
            if book is None:
                return About()
            from analysis.people import entries

            return entries.about(book, thing)

    def write(self, thing: Thing, field: str, text: str, version: int | None = None) -> Entry | None:
        """Its "note" or "name"; an empty text removes it. `version` : of the entry that was read, 0 where there was
        none."""
        if field not in ("note", "name"):
            raise NotFound(f"no text {field!r}", "note or name")
        with self.place.writing(f"write a {field}") as pen:
            from analysis.people import entries

            return entries.write(pen, thing, field, text, version)

    def set_star(self, thing: Thing, on: bool = True) -> None:
        """A star that everybody sees."""
        with self.place.writing("set a star") as pen:
            pen.put(thing, "star", "", "yes" if on else None)

    def tag(self, thing: Thing, word: str, on: bool = True) -> None:
        """Give or take one tag. Two who give tags at once give both."""
        with self.place.writing("set a tag") as pen:
            from analysis.people import entries

            entries.tag(pen, thing, word, on)

    def reply(self, thing: Thing, text: str) -> Entry:
        """One more in the thread of its note; opens a thread that was settled. Never in conflict."""
        with self.place.writing("reply") as pen:
            from analysis.people import entries

            return entries.reply(pen, thing, text)

    def edit_reply(self, thing: Thing, part: str, text: str, version: int | None = None) -> Entry | None:
        """Another text for the reply with this `Entry.part`; an empty one removes it. Raises NotFound."""
        with self.place.writing("change a reply") as pen:
            from analysis.people import entries

            return entries.edit_reply(pen, thing, part, text, version)

    def resolve(self, thing: Thing, on: bool = True) -> None:
        """Call the thread settled, or open it again."""
        with self.place.writing("settle a thread") as pen:
            pen.put(thing, "resolved", "", "yes" if on else None)

    def entries(self, field: str, kind: str | None = None, store: str | None = None, tap: str | None = None,
                tag: str | None = None) -> list[Entry]:  # fmt: skip
        """All entries of one field (of a kind of thing, a store, a tap), by what they are about; `tag` : only this."""
        with self.place.reading() as book:
            if book is None:
                return []
            from analysis.people import entries

            entries.refuse_unknown(field, kind)
            return entries.listed(book, field, kind, store, tap, tag)

    def all_tags(self) -> dict[str, int]:
        """Every tag of the workspace, and how many things have it."""
        with self.place.reading() as book:
            if book is None:
                return {}
            from analysis.people import entries

            return entries.tags(book)
