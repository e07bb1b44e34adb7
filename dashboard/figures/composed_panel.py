"""One panel of a composed page, drawn alone or on its part of the page, and what its drawing alone tells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dashboard.figures.composed_places import Part, Wish
from dashboard.figures.export import drawn
from dashboard.figures.legends import LEGEND_LINE, legend_lines
from dashboard.figures.options import checked
from dashboard.figures.paper import Bar, Key, Page
from dashboard.figures.sheet import Sheet


@dataclass(frozen=True)
class Said:
    """What a legend says: its title, the names of its entries, and how each looks."""

    title: str
    labels: tuple[str, ...]
    looks: tuple[tuple, ...]

    @classmethod
    def of(cls, key: Key) -> Said:
        return cls(key.title, key.labels, tuple(_mark(handle) for handle in key.handles))


@dataclass(frozen=True)
class Shade:
    """What a colour bar says: its name, its ends, its colours (as bytes), and the band hatched in it."""

    label: str
    ends: tuple[float, float]
    colours: bytes
    band: tuple[float, float] | None

    @classmethod
    def of(cls, bar: Bar) -> Shade:
        colours = bar.scale.get_cmap()(np.linspace(0, 1, 17)).round(6).tobytes()
        return cls(bar.label, (bar.scale.norm.vmin, bar.scale.norm.vmax), colours, bar.band)


@dataclass(frozen=True)
class Alone:
    """What is known of a panel that was drawn alone, without the drawing: its sheet and height, the inches by which
    notes and legends made it higher, its legends and its colour bars."""

    sheet: Sheet
    height: float
    grown: tuple[float, ...]
    legends: tuple[Said, ...]
    bars: tuple[Shade, ...]

    @classmethod
    def of(cls, page: Page) -> Alone:
        return cls(
            page.sheet,
            page.figure.get_figheight(),
            tuple(page.grown),
            tuple(Said.of(key) for key in page.legends),
            tuple(Shade.of(bar) for bar in page.bars),
        )


def _mark(handle) -> tuple:
    """How an entry looks."""
    from matplotlib.colors import to_hex

    if hasattr(handle, "get_marker"):
        dashes = str(getattr(handle, "_unscaled_dash_pattern", handle.get_linestyle()))
        return str(handle.get_marker()), dashes, to_hex(handle.get_color())
    face = np.atleast_2d(handle.get_facecolor())
    return "area", str(getattr(handle, "get_hatch", lambda: "")()), to_hex(face[0]) if len(face) else ""


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


def panel_drawn(
    part: Part, sheet: Sheet, greyscale: bool, shared=(), on: Panel | None = None, *, draft=False
) -> Page:
    """A panel without what is `shared`, on its part of a page, or alone at the height that it wants; a `draft` only to
    find where its axes lie."""
    options = dict(part.options)
    checked(part.result, options)
    which = options.pop("part", "figure")
    options.pop("layout", None)  # of the CSV file of a matrix
    return drawn(part.result, sheet, which, options, greyscale=greyscale, on=on, shared=shared, draft=draft)


def wish_of(alone: Alone, shared: set[str]) -> Wish | None:
    """What a panel that was drawn alone wants without what is `shared`; None where only drawing it again tells."""
    given, grown = alone.sheet, alone.grown
    if "legend" not in shared or not given.grows:
        return Wish(alone.height, sum(grown))
    (key,) = alone.legends
    own = LEGEND_LINE * given.scale * legend_lines(given, key.labels, key.title)[1]
    if alone.height >= given.highest - 1e-9 or not grown or abs(grown[-1] - own) > 1e-9:
        return None  # it was cut at the end of the page
    return Wish(alone.height - own, sum(grown[:-1]))
