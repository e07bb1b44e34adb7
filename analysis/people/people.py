"""What people write about a workspace, for pages, commands and notebooks: one object, safe in any thread or process."""

from __future__ import annotations

from pathlib import Path

from analysis.errors import NotFound
from analysis.people.places import Place
from analysis.people.things import About, Change, Entry, Link, Step, Thing, Tour
from analysis.selection import Selection


class People:
    """The writings of the workspace whose people.db is (or would be) at `path`.

    Reading gives nothing where nothing was written, and never writes. Every method that writes needs the role of an
    editor (`Forbidden`), keeps all or nothing, and raises ParameterError for a text that is too long (LONGEST),
    `Unreachable`, DiskFull, Busy or InputError where it cannot be kept. Where `version` is given, EditConflict is
    raised when somebody else changed it since; without it the last one wins, and the history has the other.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.place = Path(path), Place(Path(path))

    # ------------------------------------------------------------------ on one thing
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

    # ------------------------------------------------------------------ what there is
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

    def _of_tap(self, field: str, store: str, tap: str) -> list[tuple[int, str, str]]:
        with self.place.reading() as book:
            if book is None:
                return []
            from analysis.people import entries

            return entries.of_units(book, field, store, tap)

    def stars(self, store: str, tap: str) -> tuple[int, ...]:
        """Starred units of a tap, rising."""
        return tuple(unit for unit, _, _ in self._of_tap("star", store, tap))

    def star(self, store: str, tap: str, unit: int, on: bool = True) -> None:
        self.set_star(Thing.feature(store, tap, unit), on)

    def notes(self, store: str, tap: str) -> dict[int, str]:
        """Notes of a tap by unit."""
        return {unit: text for unit, _, text in self._of_tap("note", store, tap)}

    def note(self, store: str, tap: str, unit: int, text: str) -> None:
        """Write a unit's note; an empty text removes it."""
        self.write(Thing.feature(store, tap, unit), "note", text)

    def names(self, store: str, tap: str) -> dict[int, str]:
        """Names that people gave to units of a tap."""
        return {unit: text for unit, _, text in self._of_tap("name", store, tap)}

    def tags(self, store: str, tap: str) -> dict[int, tuple[str, ...]]:
        """Tags of a tap by unit."""
        found: dict[int, list[str]] = {}
        for unit, word, _ in self._of_tap("tag", store, tap):
            found.setdefault(unit, []).append(word)
        return {unit: tuple(words) for unit, words in found.items()}

    # ------------------------------------------------------------------ selections
    def selections(self, store: str | None = None) -> list[Selection]:
        """All selections (of one store), by name."""
        with self.place.reading() as book:
            if book is None:
                return []
            from analysis.people import selection_rows

            return selection_rows.listed(book, store)

    def selection(self, name: str) -> Selection:
        """One selection. Raises NotFound, listing the names."""
        with self.place.reading() as book:
            if book is None:
                raise NotFound(f"no selection {name!r}", "one of none yet")
            from analysis.people import selection_rows

            return selection_rows.one(book, name)

    def selection_version(self, name: str) -> int:
        """For `save_selection`; 0 where there is none."""
        with self.place.reading() as book:
            if book is None:
                return 0
            from analysis.people import selection_rows

            return selection_rows.version(book, name)

    def save_selection(self, selection: Selection, version: int | None = None) -> Selection:
        """Write or replace a selection. Raises ParameterError for an empty name, InputError for an empty set."""
        with self.place.writing("save a selection") as pen:
            from analysis.people import selection_rows

            return selection_rows.save(pen, selection, version)

    def rename_selection(self, old: str, new: str) -> Selection:
        """Another name; notes and history go with it. Raises NotFound, ParameterError where the name is taken."""
        with self.place.writing("rename a selection") as pen:
            from analysis.people import selection_rows

            return selection_rows.rename(pen, old, new)

    def delete_selection(self, name: str) -> None:
        """Remove a selection; its history brings it back. Raises NotFound."""
        self.selection(name)
        with self.place.writing("delete a selection") as pen:
            from analysis.people import selection_rows

            selection_rows.remove(pen, name)

    # ------------------------------------------------------------------ what changed
    def history(self, thing: Thing, field: str | None = None) -> list[Change]:
        """All changes of one thing (of one field of it), newest first."""
        with self.place.reading() as book:
            if book is None:
                return []
            from analysis.people import history

            return history.of_thing(book, thing, field)

    def restore(self, seq: int, version: int | None = None) -> None:
        """Make it what it was after the change `seq`: a change like any other, with its author and time. Raises
        NotFound."""
        with self.place.writing("restore what was") as pen:
            from analysis.people import history

            history.restore(pen, seq, version)

    def feed(self, limit: int = 50, before: int | None = None, *, author: str | None = None,
             kind: str | None = None, field: str | None = None, store: str | None = None) -> list[Change]:  # fmt: skip
        """What changed in the workspace, newest first. `before` : the `seq` of the last one of the page before;
        `kind`, `store` : of the thing. Raises ParameterError for more than 500 at once."""
        with self.place.reading() as book:
            if book is None:
                return []
            from analysis.people import history

            return history.feed(book, limit, before, author=author, kind=kind, field=field, store=store)

    def authors(self) -> list[str]:
        """Everybody who wrote something here."""
        with self.place.reading() as book:
            if book is None:
                return []
            from analysis.people import history

            return history.authors(book)

    def figure_keys(self) -> set[str]:
        """Keys of the results that somebody wrote about, or that a short link showed."""
        with self.place.reading() as book:
            if book is None:
                return set()
            from analysis.people import entries, link_rows

            return entries.figure_keys(book) | link_rows.result_keys(book)

    # ------------------------------------------------------------------ links and tours
    def short_link(self, page: str, params: dict, seen: dict[str, str] | None = None) -> str:
        """An id of at least 8 small letters and digits for a page with its parameters ({name: value or values}); the
        same always has the same id. `seen` : digests of what it shows, {name: digest}, for whoever follows it later."""
        with self.place.writing("make a short link") as pen:
            from analysis.people import link_rows

            return link_rows.make(pen, page, params, seen or {})

    def follow(self, id: str) -> Link:
        """The page that a short link stands for. Raises NotFound."""
        from analysis.people.things import LONGEST_PART, checked

        checked(id, "the short link", LONGEST_PART)
        with self.place.reading() as book:
            found = None
            if book is not None:
                from analysis.people import link_rows

                found = link_rows.find(book, id)
        if found is None:
            raise NotFound(f"no short link {id[:40]!r} in this workspace", "one that was made here",
                           "Ask for it again, or for the whole address")  # fmt: skip
        return found

    def tours(self) -> list[Tour]:
        """All, by title."""
        with self.place.reading() as book:
            if book is None:
                return []
            from analysis.people import tour_rows

            return tour_rows.listed(book)

    def tour(self, id: str) -> Tour:
        """One tour. Raises NotFound."""
        with self.place.reading() as book:
            found = None
            if book is not None:
                from analysis.people import tour_rows

                found = tour_rows.one(book, id)
        if found is None:
            raise NotFound(f"no tour {id[:40]!r} in this workspace", "one that is there")
        return found

    def save_tour(
        self, id: str, title: str, text: str, steps: tuple[Step, ...], version: int | None = None
    ) -> Tour:
        """A new tour (`id` "") or another version of one. Raises NotFound for a link or tour that is not there,
        EditConflict with `theirs` a Tour."""
        with self.place.writing("write a tour") as pen:
            from analysis.people import tour_rows

            return tour_rows.save(pen, id, title, text, tuple(steps), version)

    def delete_tour(self, id: str, version: int | None = None) -> None:
        """Remove a tour; its history brings it back. Raises NotFound."""
        with self.place.writing("delete a tour") as pen:
            from analysis.people import tour_rows

            tour_rows.remove(pen, id, version)

    # ------------------------------------------------------------------ taking it along
    def export(self, out: Path) -> bool:
        """Write a people.db with all of it at `out`, from wherever it is kept, without what was removed; False where
        nothing was ever written. The same content gives the same bytes."""
        with self.place.reading() as book:
            if book is None:
                return False
            from analysis.people import carrying

            carrying.export(book.connection, book.workspace, Path(out))
            return True

    def refuse_unsound(self) -> None:
        """Look at every row, of a people.db from a stranger. Raises StoreDamaged, NewerSchema."""
        with self.place.reading() as book:
            if book is not None:
                from analysis.people import soundness

                soundness.refuse(book, str(self.path))
