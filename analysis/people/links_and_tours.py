"""Short links to pages as they were, and tours of them."""

from __future__ import annotations

from analysis.errors import NotFound
from analysis.people.desk import Desk
from analysis.people.things import Link, Step, Tour


class LinksAndTours(Desk):
    """Links never change; tours have versions."""

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
