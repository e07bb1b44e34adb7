"""What people wrote on the units of one tap, by their numbers."""

from __future__ import annotations

from dataclasses import dataclass, field

from analysis.people.on_things import OnThings
from analysis.people.things import Thing


@dataclass(frozen=True)
class OnTap:
    """What people wrote on the units of a tap, by unit: `stars` rising; notes, names and tags as People gives them."""

    stars: tuple[int, ...] = ()
    notes: dict[int, str] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    tags: dict[int, tuple[str, ...]] = field(default_factory=dict)


class OnUnits(OnThings):
    """The same as `OnThings` for the features of a tap: one question for all of them."""

    def on_tap(self, store: str, tap: str) -> OnTap:
        """Stars, notes, names and tags of all units of a tap: one question to the database."""
        found: dict[str, list] = {"star": [], "note": [], "name": [], "tag": []}
        with self.place.reading() as book:
            if book is not None:
                from analysis.people import entries

                for kind, *entry in entries.of_units(book, tuple(found), store, tap):
                    found[kind].append(entry)
        tags: dict[int, list[str]] = {}
        for unit, word, _ in found["tag"]:
            tags.setdefault(unit, []).append(word)
        return OnTap(
            stars=tuple(unit for unit, _, _ in found["star"]),
            notes={unit: text for unit, _, text in found["note"]},
            names={unit: text for unit, _, text in found["name"]},
            tags={unit: tuple(words) for unit, words in tags.items()},
        )

    def stars(self, store: str, tap: str) -> tuple[int, ...]:
        """Starred units of a tap, rising."""
        return self.on_tap(store, tap).stars

    def star(self, store: str, tap: str, unit: int, on: bool = True) -> None:
        self.set_star(Thing.feature(store, tap, unit), on)

    def notes(self, store: str, tap: str) -> dict[int, str]:
        """Notes of a tap by unit."""
        return self.on_tap(store, tap).notes

    def note(self, store: str, tap: str, unit: int, text: str) -> None:
        """Write a unit's note; an empty text removes it."""
        self.write(Thing.feature(store, tap, unit), "note", text)

    def names(self, store: str, tap: str) -> dict[int, str]:
        """Names that people gave to units of a tap."""
        return self.on_tap(store, tap).names

    def tags(self, store: str, tap: str) -> dict[int, tuple[str, ...]]:
        """Tags of a tap by unit."""
        return self.on_tap(store, tap).tags
