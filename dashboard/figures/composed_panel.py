"""One panel of a composed page, drawn alone or on its part of the page."""

from __future__ import annotations

from dashboard.figures.composed_places import Part, Wish
from dashboard.figures.export import drawn
from dashboard.figures.options import checked
from dashboard.figures.paper import LEGEND_LINE, Page, legend_lines
from dashboard.figures.sheet import Sheet


class Panel:
    """A part of the composed page, as the drawings of single figures know a page: its height is given."""

    def __init__(self, below, height: float) -> None:
        self._below, self._height = below, height

    def __getattr__(self, name: str):
        return getattr(self._below, name)

    def get_figheight(self) -> float:
        return self._height

    def set_figheight(self, height: float) -> None:
        """The row decides."""

    @property
    def itself(self):
        """The figure or SubFigure."""
        return self._below


def panel_drawn(part: Part, sheet: Sheet, greyscale: bool, shared=(), on: Panel | None = None) -> Page:
    """A panel without what is `shared`, on its part of a page, or alone at the height that it wants."""
    options = dict(part.options)
    checked(part.result, options)
    which = options.pop("part", "figure")
    options.pop("layout", None)  # of the CSV file of a matrix
    return drawn(part.result, sheet, which, options, greyscale=greyscale, on=on, shared=shared)


def wish_of(page: Page, shared: set[str]) -> Wish | None:
    """What a panel that was drawn alone wants without what is `shared`; None where only drawing it again tells."""
    height = page.figure.get_figheight()
    if "legend" not in shared or not page.sheet.grows:
        return Wish(height, sum(page.grown))
    (key,) = page.legends
    own = LEGEND_LINE * page.scale * legend_lines(page.sheet, key.labels, key.title)[1]
    if height >= page.sheet.highest - 1e-9 or not page.grown or abs(page.grown[-1] - own) > 1e-9:
        return None  # it was cut at the end of the page
    return Wish(height - own, sum(page.grown[:-1]))
