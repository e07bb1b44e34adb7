"""What people write about a workspace, for pages, commands and notebooks: one object, safe in any thread or process."""

from __future__ import annotations

from pathlib import Path

from analysis.people.kept_selections import KeptSelections
from analysis.people.links_and_tours import LinksAndTours
from analysis.people.on_units import OnUnits
from analysis.people.past import Past


class People(OnUnits, KeptSelections, LinksAndTours, Past):
    """The writings of the workspace whose people.db is (or would be) at `path`.

    Reading gives nothing where nothing was written, and never writes. Every method that writes needs the role of an
    editor (`Forbidden`), keeps all or nothing, and raises ParameterError for a text that is too long (LONGEST),
    `Unreachable`, DiskFull, Busy or InputError where it cannot be kept. Where `version` is given, EditConflict is
    raised when somebody else changed it since; without it the last one wins, and the history has the other.
    """

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
