"""What changed, by whom, and back to what it was."""

from __future__ import annotations

from analysis.people.desk import Desk
from analysis.people.things import Change, Thing


class Past(Desk):
    """The history of one thing, and the feed of all."""

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
             kind: str | None = None, field: str | None = None, store: str | None = None,
             without: str | None = None) -> list[Change]:  # fmt: skip
        """What changed in the workspace, newest first. `before` : the `seq` of the last one of the page before;
        `kind`, `store` : of the thing; `without` : a kind that is left out. Raises ParameterError for more than 500 at
        once."""
        with self.place.reading() as book:
            if book is None:
                return []
            from analysis.people import history

            return history.feed(
                book, limit, before, without, author=author, kind=kind, field=field, store=store
            )

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
