"""Named selections: what there is, one more, another name, an end."""

from __future__ import annotations

from analysis.errors import NotFound
from analysis.people.desk import Desk
from analysis.selection import Selection


class KeptSelections(Desk):
    """The selections of a workspace, each with its version."""

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

    def delete_selection(self, name: str, version: int | None = None) -> None:
        """Remove a selection; its history brings it back. Raises NotFound."""
        self.selection(name)
        with self.place.writing("delete a selection") as pen:
            from analysis.people import selection_rows

            selection_rows.remove(pen, name, version)
