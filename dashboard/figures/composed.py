"""Several results as one printed figure: panels a, b, c in rows, drawn by what draws each of them alone.

Where everything goes is decided first (`composed_plan`), then each panel is drawn on its part of the page. Panels
beside each other, and panels below each other, have their axes in line. What several panels say in the same words
stands once.
"""

from __future__ import annotations

from dataclasses import dataclass

from dashboard.figures.composed_axes import in_line, placed_like
from dashboard.figures.composed_keys import draw_bars, draw_legends
from dashboard.figures.composed_panel import Panel, panel_drawn
from dashboard.figures.composed_places import (
    LETTER,
    Arrangement,
    Part,
    Place,
    parts_of_page,
    places_of,
    strip_of,
)
from dashboard.figures.composed_plan import Plan, panel_sheets, plan_of
from dashboard.figures.paper import empty_figure
from dashboard.figures.raster import rasterise
from dashboard.figures.sheet import Sheet
from dashboard.figures.text import shorten

__all__ = ["Arrangement", "Composed", "Part", "Plan", "compose", "plan_of"]


@dataclass(frozen=True)
class Composed:
    """The drawn figure; `said` is what a reader should know of the arrangement."""

    figure: object
    sheet: Sheet
    said: tuple[str, ...] = ()


def compose(
    parts: list[Part],
    sheet: Sheet,
    arrangement: Arrangement | None = None,
    *,
    greyscale=False,
    plan: Plan | None = None,
) -> Composed:
    """Draw the panels on one page, within `paper_style(sheet)`; `plan` as of `plan_of` with the same arguments, where
    it is known already.

    Raises ParameterError for no panel or too many, ratios that do not fit, and panels that have no room."""
    arrangement = arrangement or Arrangement()
    plan = plan or plan_of(parts, sheet, arrangement, greyscale=greyscale)
    places, keys = places_of(parts, arrangement), plan.keys
    sheets = panel_sheets(sheet, plan.across, places)
    total = sum(plan.rows) + strip_of(sheet) * len(plan.rows) + plan.above + plan.below
    figure = empty_figure(sheet, total)
    figure.set_dpi(sheet.dpi)
    below = parts_of_page(figure, places, plan.across, plan.rows, sheet, plan.above, plan.below)
    pages = []
    for i, part in enumerate(parts):
        on = Panel(below[i], plan.told[i])
        pages.append(panel_drawn(keys.part(part, i), sheets[i], greyscale, keys.shared[i], on))
        placed_like(below[i], plan.laid[i])
    figure.set_layout_engine("none")  # all places are known
    rasterise(figure)
    in_line([(p.row, p.column, p.span, b) for p, b in zip(places, below, strict=True)])
    _letters(figure, places, below, sheet)
    draw_legends(figure, sheet, keys, pages)
    draw_bars(figure, sheet, keys, pages, plan.below)
    figure.set_layout_engine(None)  # with one, even one that does nothing, saving draws everything twice
    return Composed(figure, sheet, keys.said)


def _letters(figure, places: list[Place], below: list, sheet: Sheet) -> None:
    """The letter of each panel and its title, above it to the left."""
    size, wide, high = sheet.points + LETTER, *figure.bbox.size
    for place, part in zip(places, below, strict=True):
        x, y = part.bbox.x0, part.bbox.y1
        dots = figure.dpi / 72
        up = (y + 0.35 * size * dots) / high
        letter = place.part.letter
        if letter:
            figure.text(x / wide, up, letter, fontsize=size, fontweight="bold", va="baseline")
        if place.part.title:
            start = x + (len(letter) * 0.8 + 0.5) * size * dots if letter else x
            room = int((part.bbox.x1 - start) / dots / (sheet.points * 0.56))
            text = shorten(place.part.title, max(room, 4))
            figure.text(start / wide, up, text, fontsize=sheet.points, va="baseline")
