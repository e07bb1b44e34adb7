"""What is decided before a composed page is drawn: the heights of its rows, what stands once, and where axes lie.

Each panel is drawn alone to find it out: how high it wants to be, what its legend and colour scale say, and, at the
height that its row gets, where its axes come to lie. (One layout over all panels at once finds no solution where
legends are high, and not the same one each time.) A plan is plain numbers: kept, it spares the same page all of this.
"""

from __future__ import annotations

from dataclasses import dataclass

from dashboard.figures.composed_axes import Laid, laid_out, lost_to_others
from dashboard.figures.composed_keys import Keys, agreed, inches_above, inches_below
from dashboard.figures.composed_panel import Panel, panel_drawn, wish_of
from dashboard.figures.composed_places import (
    Arrangement,
    Part,
    Place,
    heights_of,
    inches_of,
    places_of,
    widths_of,
)
from dashboard.figures.paper import Page, empty_figure
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


def plan_of(parts: list[Part], sheet: Sheet, arrangement: Arrangement, *, greyscale=False) -> Plan:
    """Decide, within `paper_style(sheet)`. Raises as `compose`."""
    places, across = places_of(parts, arrangement), widths_of(sheet, arrangement)
    sheets = panel_sheets(sheet, across, places)
    pages = [panel_drawn(p, given, greyscale) for p, given in zip(parts, sheets, strict=True)]
    keys = Keys.apart(len(parts))
    if arrangement.share:
        keys = agreed(parts, pages, lambda part, i: panel_drawn(part, sheets[i], greyscale))
    above, below = inches_above(sheet, keys, pages), inches_below(sheet, keys)
    wishes = [_wish(keys.part(part, i), pages[i], sheets[i], keys.shared[i], greyscale, keys.ends[i] is None)
              for i, part in enumerate(parts)]  # fmt: skip
    rows = heights_of(places, wishes, sheet, arrangement, above + below)
    laid, told = _laid(
        [keys.part(part, i) for i, part in enumerate(parts)], places, sheets, rows, keys, greyscale
    )
    return Plan(tuple(across), rows, above, below, tuple(told), tuple(laid), keys)


def panel_sheets(sheet: Sheet, across, places: list[Place]) -> list[Sheet]:
    """The sheet of each panel. Raises ParameterError for one that is too narrow."""
    return [sheet.panel(inches_of(sheet, across, p)) for p in places]


def _wish(part: Part, page: Page, sheet: Sheet, shared: set[str], greyscale: bool, unchanged: bool):
    found = wish_of(page, shared) if unchanged else None
    return found or wish_of(panel_drawn(part, sheet, greyscale, shared), set())


def _laid(parts: list[Part], places: list[Place], sheets: list[Sheet], rows, keys: Keys, greyscale: bool):
    """Where everything lies in each panel at the height of its row, and the height that its drawing is to reckon with:
    less where the axes of a neighbour begin later or end sooner."""

    def model(i: int, height: float):
        on = Panel(empty_figure(sheets[i], rows[places[i].row]), height)
        panel_drawn(parts[i], sheets[i], greyscale, keys.shared[i], on)
        return laid_out(on.itself, parts[i].letter or f"{i + 1}")

    told = [rows[place.row] for place in places]
    models = [model(i, height) for i, height in enumerate(told)]
    for row, high in enumerate(rows):
        members = [i for i, place in enumerate(places) if place.row == row]
        for i, lost in zip(members, lost_to_others([models[i] for i in members]), strict=True):
            if lost > NOTICED:
                told[i] = high * (1 - lost)
                models[i] = model(i, told[i])
    return [Laid.of(model) for model in models], told
