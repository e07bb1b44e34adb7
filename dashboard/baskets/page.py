"""The composed figure of a basket: as Matplotlib's figure and as bytes, the same for the same basket."""

from __future__ import annotations

from analysis.errors import InputError, NotFound
from analysis.sharing.baskets.basket import Basket
from dashboard.baskets.kept_plans import kept_plan
from dashboard.baskets.panels import Ready
from dashboard.figures.composed import Arrangement, Composed, Part, compose
from dashboard.figures.paper import paper_style
from dashboard.figures.saving import saved
from dashboard.figures.sheet import Sheet, sheet
from dashboard.figures.text import plain
from dashboard.figures.words import alt_text

PICTURES = ("pdf", "svg", "png")
MOST_WORDS = 4000  # characters of the description inside a file


def sheet_of(basket: Basket) -> Sheet:
    """What it is printed on. Raises ParameterError."""
    said = {name: value for name, value in basket.sheet.items() if name != "greyscale" and value is not None}
    return sheet(**said)


def composed(basket: Basket, panels: list[Ready]) -> Composed:
    """The drawn figure, within `paper_style`. Raises NotFound, InputError, ParameterError."""
    if not panels:
        raise NotFound(f"the basket {basket.name!r} is empty", "a panel", "Add figures by their Export menu")
    for one in panels:
        if one.result is None:
            why = one.problem or "its result is not computed yet"
            raise InputError(f"panel {one.named} cannot be drawn: {why}", "", "Compute it, or take it out")
    parts = [Part(p.result, p.letter, p.panel.title, p.panel.span, p.options or {}) for p in panels]
    given = Arrangement(basket.columns, basket.widths, basket.heights, basket.share)
    sheet, greyscale = sheet_of(basket), bool(basket.sheet.get("greyscale"))
    plan = kept_plan(parts, sheet, given, greyscale=greyscale)
    return compose(parts, sheet, given, greyscale=greyscale, plan=plan)


def pictures(basket: Basket, panels: list[Ready], formats=PICTURES, dpi: float | None = None):
    """({format: bytes}, what is to be said of the arrangement); `dpi` of a png, None for the sheet's."""
    given = sheet_of(basket)
    with paper_style(given):
        drawn = composed(basket, panels)
        files = {
            format: saved(drawn.figure, format, dpi or given.dpi, _about(basket, panels, format))
            for format in formats
        }
    return files, drawn.said


def _about(basket: Basket, panels: list[Ready], format: str) -> dict:
    """What a file says of itself: nothing of when and by which version it was made."""
    title = plain(basket.name)
    said = " ".join(f"{one.named}: {alt_text(one.result, show=_show(one))}" for one in panels)[:MOST_WORDS]
    if format == "pdf":
        return {
            "Title": title,
            "Creator": "Feature Loupe",
            "Subject": said,
            "Producer": None,
            "CreationDate": None,
        }
    if format == "svg":
        return {"Title": title, "Creator": "Feature Loupe", "Description": said, "Date": None}
    return {"Title": title, "Description": said, "Software": "Feature Loupe"}


def _show(one: Ready) -> str:
    return (one.options or {}).get("show", "value")
