"""What people wrote on the units of one tap, by their numbers."""

from __future__ import annotations

from analysis.people.on_things import OnThings
from analysis.people.things import Thing


class OnUnits(OnThings):
    """The same as `OnThings` for the features of a tap: one question for all of them."""

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
