"""What is decided before a composed page is drawn: the heights of its rows, what stands once, and where axes lie.

Each panel is drawn alone to find it out: how high it wants to be, what its legend and colour scale say, and, at the
height that its row gets, where its axes come to lie. (One layout over all panels at once finds no solution where
legends are high, and not the same one each time.) A plan is plain numbers: kept, it spares the same page all of this;
and so is what the drawing of one panel tells, which spares a page of which one panel changed all other drawings.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

from dashboard.figures.composed_axes import Laid, laid_out, lost_to_others, upright
from dashboard.figures.composed_keys import Keys, agreed, inches_above, inches_below, on_scale
from dashboard.figures.composed_panel import Alone, Panel, panel_drawn, wish_of
from dashboard.figures.composed_places import (
    Arrangement,
    Part,
    Place,
    Wish,
    heights_of,
    inches_of,
    places_of,
    widths_of,
)
from dashboard.figures.paper import empty_figure
from dashboard.figures.sheet import Sheet

NOTICED = 0.03  # of its height; a drawing that loses less need not know


@dataclass(frozen=True)
class Plan:
    """`across`, `rows`, `above`, `below` : inches of columns and rows, and of what stands once over and under them.
    `told` : the height that each drawing is to reckon with. `laid` : where the axes of each panel lie. `keys` : what
    stands once."""

    across: tuple[float, ...]
    rows: tuple[float, ...]
    above: float
    below: float
    told: tuple[float, ...]
    laid: tuple[Laid, ...]
    keys: Keys


Keep = Callable[[int, Hashable, Callable[[], object]], object]


def _made(_place: int, _of: Hashable, make: Callable[[], object]) -> object:
    """Nothing is kept."""
    return make()


def plan_of(
    parts: list[Part], sheet: Sheet, arrangement: Arrangement, *, greyscale=False, keep: Keep = _made
) -> Plan:
    """Decide, within `paper_style(sheet)`. Raises as `compose`.

    `keep(place, of, make)` gives what `make()` does, which depends on the part at this place, on `of` and on nothing
    else: plain numbers and words, of one panel."""
    places, across = places_of(parts, arrangement), widths_of(sheet, arrangement)
    one = _Panels(parts, places, panel_sheets(sheet, across, places), greyscale, keep)
    alone = [one.alone(i) for i in range(len(parts))]
    keys = Keys.apart(len(parts))
    if arrangement.share:
        keys = agreed(parts, alone, one.alone)
    above, below = inches_above(sheet, keys, alone), inches_below(sheet, keys)
    wishes = [one.wish(i, keys) for i in range(len(parts))]
    rows = heights_of(places, wishes, sheet, arrangement, above + below)
    laid, told = _laid(one, rows, keys)
    return Plan(tuple(across), rows, above, below, tuple(told), tuple(laid), keys)


def panel_sheets(sheet: Sheet, across, places: list[Place]) -> list[Sheet]:
    """The sheet of each panel. Raises ParameterError for one that is too narrow."""
    return [sheet.panel(inches_of(sheet, across, p)) for p in places]


@dataclass(frozen=True)
class _Panels:
    """Drawn one by one, and what each drawing tells."""

    parts: list[Part]
    places: list[Place]
    sheets: list[Sheet]
    greyscale: bool
    keep: Keep

    def alone(self, i: int, ends=None, shared=frozenset()) -> Alone:
        """At the height that it wants, without what is `shared`, on a scale with these ends (None: its own)."""

        def make() -> Alone:
            return Alone.of(
                panel_drawn(on_scale(self.parts[i], ends), self.sheets[i], self.greyscale, shared, draft=True)
            )

        return self._kept(i, ("alone", ends, frozenset(shared)), make)

    def wish(self, i: int, keys: Keys) -> Wish:
        """What the panel wants, given what stands once."""
        found = wish_of(self.alone(i), keys.shared[i]) if keys.ends[i] is None else None
        return found or wish_of(self.alone(i, keys.ends[i], keys.shared[i]), set())

    def laid(self, i: int, row: float, told: float, keys: Keys) -> tuple[Laid, tuple[float, float] | None]:
        """Where all lies in a row of so many inches, drawn as if `told` so many, and where the axes begin and end."""
        ends, shared = keys.ends[i], keys.shared[i]

        def make() -> tuple:
            on = Panel(empty_figure(self.sheets[i], row), told)
            panel_drawn(on_scale(self.parts[i], ends), self.sheets[i], self.greyscale, shared, on, draft=True)
            model = laid_out(on.itself, self.parts[i].letter or f"{i + 1}")
            return Laid.of(model), upright(model)

        return self._kept(i, ("laid", row, told, ends, frozenset(shared)), make)

    def _kept(self, i: int, of: tuple, make: Callable[[], object]):
        return self.keep(i, (self.sheets[i], bool(self.greyscale), *of), make)


def _laid(one: _Panels, rows, keys: Keys) -> tuple[list[Laid], list[float]]:
    """Where everything lies in each panel at the height of its row, and the height that its drawing is to reckon with:
    less where the axes of a neighbour begin later or end sooner."""
    told = [rows[place.row] for place in one.places]
    found = [one.laid(i, high, high, keys) for i, high in enumerate(told)]
    for row, high in enumerate(rows):
        members = [i for i, place in enumerate(one.places) if place.row == row]
        for i, lost in zip(members, lost_to_others([found[i][1] for i in members]), strict=True):
            if lost > NOTICED:
                told[i] = high * (1 - lost)
                found[i] = one.laid(i, high, told[i], keys)
    return [laid for laid, _ in found], told
