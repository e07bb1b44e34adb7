"""Several results as one printed figure: panels a, b, c in rows, drawn by what draws each of them alone.

Each panel is drawn alone first, to learn how high it wants to be, what its legend and colour scale say, and, at the
height that its row gets, where its axes come to lie; then at the same places on its part of the page. (One layout over
all panels at once finds no solution where legends are high, and not the same one each time.) Panels beside each other,
and panels below each other, have their axes in line. What several panels say in the same words stands once.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from analysis.errors import ParameterError
from analysis.results import Result
from dashboard.figures.composed_axes import in_line, laid_out, lost_to_others, placed_like
from dashboard.figures.composed_keys import Keys, agreed, draw_bars, draw_legends
from dashboard.figures.export import drawn
from dashboard.figures.options import checked
from dashboard.figures.paper import Page, empty_figure
from dashboard.figures.raster import rasterise
from dashboard.figures.sheet import Sheet
from dashboard.figures.text import shorten

GAP = 0.18  # inches between columns, at print scale
MARGIN = 0.05  # inches at both sides
LETTER = 1.0  # points by which the letter of a panel is larger than its names
LEAST = 0.45  # of the height that a panel asks for; less cannot be read
NOTICED = 0.03  # of its height; a drawing that loses less need not know
MOST_PANELS, MOST_COLUMNS = 24, 6


@dataclass(frozen=True)
class Part:
    """One panel: a result, its drawing options (`part` among them), its letter, a title beside it, and over how many
    columns it goes."""

    result: Result
    letter: str = ""
    title: str = ""
    span: int = 1
    options: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Arrangement:
    """Panels fill rows of `columns` from the left. `widths` and `heights` are ratios, none: equal columns, and rows as
    high as their panels want. `share`: whether equal legends and scales stand once."""

    columns: int = 2
    widths: tuple[float, ...] = ()
    heights: tuple[float, ...] = ()
    share: bool = True


@dataclass(frozen=True)
class Composed:
    """The drawn figure; `said` is what a reader should know of the arrangement."""

    figure: object
    sheet: Sheet
    said: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Place:
    part: Part
    row: int
    column: int
    span: int


class _Panel:
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


def compose(
    parts: list[Part], sheet: Sheet, arrangement: Arrangement = Arrangement(), *, greyscale=False
) -> Composed:
    """Draw the panels on one page, within `paper_style(sheet)`.

    Raises ParameterError for no panel or too many, ratios that do not fit, and panels that have no room."""
    places = _places(parts, arrangement)
    across = _widths(sheet, arrangement)
    sheets = [sheet.panel(_inches(sheet, across, p)) for p in places]
    alone = [_alone(p.part, given, greyscale) for p, given in zip(places, sheets, strict=True)]
    keys = Keys.apart(len(parts))
    if arrangement.share:
        keys = agreed(parts, alone, lambda part, i: _alone(part, sheets[i], greyscale))
    for i, shared in enumerate(keys.shared):
        if shared or keys.parts[i]:
            alone[i] = _alone(keys.parts[i] or parts[i], sheets[i], greyscale, shared)
    rows = _heights(places, alone, sheet, arrangement, keys)
    total = sum(rows) + _strip(sheet) * len(rows) + keys.above(sheet) + keys.below(sheet)
    figure = empty_figure(sheet, total)
    figure.set_dpi(sheet.dpi)
    below = _below(figure, places, across, rows, sheet, keys)
    models, told = _models(places, sheets, rows, keys, greyscale)
    for i, (place, given) in enumerate(zip(places, sheets, strict=True)):
        part = keys.parts[i] or place.part
        _drawn(part, given, greyscale, keys.shared[i], _Panel(below[i], told[i]))
        placed_like(below[i], models[i])
    figure.set_layout_engine("none")  # all places are known
    rasterise(figure)
    in_line([(p.row, p.column, p.span, b) for p, b in zip(places, below, strict=True)])
    _letters(figure, places, below, sheet)
    draw_legends(figure, sheet, keys)
    draw_bars(figure, sheet, keys)
    return Composed(figure, sheet, keys.said)


def _models(places: list[_Place], sheets: list[Sheet], rows: list[float], keys: Keys, greyscale: bool):
    """Each panel alone at the height of its row, laid out, and the height that its drawing is to reckon with: less
    where the axes of a neighbour begin later or end sooner."""

    def model(i: int, height: float):
        part, high = keys.parts[i] or places[i].part, rows[places[i].row]
        on = _Panel(empty_figure(sheets[i], high), height)
        _drawn(part, sheets[i], greyscale, keys.shared[i], on)
        return laid_out(on.itself, part.letter or f"{i + 1}")

    told = [rows[place.row] for place in places]
    models = [model(i, height) for i, height in enumerate(told)]
    for row, high in enumerate(rows):
        members = [i for i, place in enumerate(places) if place.row == row]
        for i, lost in zip(members, lost_to_others([models[i] for i in members]), strict=True):
            if lost > NOTICED:
                told[i] = high * (1 - lost)
                models[i] = model(i, told[i])
    return models, told


def _alone(part: Part, sheet: Sheet, greyscale: bool, shared=()) -> Page:
    return _drawn(part, sheet, greyscale, shared, None)


def _drawn(part: Part, sheet: Sheet, greyscale: bool, shared, on) -> Page:
    options = dict(part.options)
    checked(part.result, options)
    which = options.pop("part", "figure")
    options.pop("layout", None)  # of the CSV file of a matrix
    return drawn(part.result, sheet, which, options, greyscale=greyscale, on=on, shared=shared)


# ---------------------------------------------------------------------------- where each panel goes
def _places(parts: list[Part], given: Arrangement) -> list[_Place]:
    if not 1 <= len(parts) <= MOST_PANELS:
        raise ParameterError(f"a figure of {len(parts)} panels", f"1 to {MOST_PANELS}", "Use several baskets")
    if not 1 <= given.columns <= MOST_COLUMNS:
        raise ParameterError(f"columns = {given.columns}", f"1 to {MOST_COLUMNS}")
    found, row, column = [], 0, 0
    for part in parts:
        span = min(max(part.span, 1), given.columns)
        if column + span > given.columns:
            row, column = row + 1, 0
        found.append(_Place(part, row, column, span))
        column += span
    return found


def _ratios(given: tuple[float, ...], n: int, what: str) -> tuple[float, ...]:
    if not given:
        return (1.0,) * n
    if len(given) != n or not all(0.1 <= v <= 10 for v in given):
        raise ParameterError(f"{what} = {', '.join(f'{v:g}' for v in given)}", f"{n} ratios from 0.1 to 10")
    return given


def _widths(sheet: Sheet, given: Arrangement) -> list[float]:
    """Inches of the columns."""
    ratios = _ratios(given.widths, given.columns, "widths")
    free = sheet.inches - (GAP * (given.columns - 1) + 2 * MARGIN) * sheet.scale
    return [free * r / sum(ratios) for r in ratios]


def _inches(sheet: Sheet, across: list[float], place: _Place) -> float:
    return sum(across[place.column : place.column + place.span]) + GAP * sheet.scale * (place.span - 1)


def _strip(sheet: Sheet) -> float:
    """Inches above each row, for the letters."""
    return (sheet.points + LETTER) * 1.45 / 72


def _heights(
    places: list[_Place], pages: list[Page], sheet: Sheet, given: Arrangement, keys: Keys
) -> list[float]:
    """Inches of the rows: as high as their highest panel wants; where the page would be too high, what is drawn is
    less high, and notes and legends stay."""
    n = places[-1].row + 1
    fixed, free = [0.0] * n, [0.0] * n
    for place, page in zip(places, pages, strict=True):
        fixed[place.row] = max(fixed[place.row], min(sum(page.grown), page.figure.get_figheight()))
    for place, page in zip(places, pages, strict=True):
        free[place.row] = max(free[place.row], page.figure.get_figheight() - fixed[place.row])
    if given.heights:
        ratios = _ratios(given.heights, n, "heights")
        free = [sum(free) * r / sum(ratios) for r in ratios]
    room = sheet.highest - _strip(sheet) * n - keys.above(sheet) - keys.below(sheet) - sum(fixed)
    factor = room / sum(free)
    if factor < LEAST:
        raise ParameterError(
            f"{n} rows of panels that want {sum(fixed) + sum(free):.1f} in on a page with room for "
            f"{max(room + sum(fixed), 0):.1f} in",
            f"drawings at least {100 * LEAST:.0f} % as high as they want to be",
            "Choose more columns, smaller letters or another sheet, or take panels out",
        )
    factor = factor if sheet.width == "slide" else min(1.0, factor)  # a slide keeps its shape
    return [still + high * factor for still, high in zip(fixed, free, strict=True)]


def _below(
    figure, places: list[_Place], across: list[float], rows: list[float], sheet: Sheet, keys: Keys
) -> list:
    """A SubFigure for each panel, in a grid of the columns with gaps and the rows with their strips."""
    from matplotlib.gridspec import GridSpec

    gap, strip, side = GAP * sheet.scale, _strip(sheet), MARGIN * sheet.scale
    widths = [side, *[w for width in across for w in (width, gap)][:-1], side]
    heights = [
        keys.above(sheet) or 1e-6,
        *(h for row in rows for h in (strip, row)),
        keys.below(sheet) or 1e-6,
    ]
    grid = GridSpec(
        len(heights), len(widths), figure, width_ratios=widths, height_ratios=heights, wspace=0, hspace=0
    )
    return [
        figure.add_subfigure(grid[2 * p.row + 2, 2 * p.column + 1 : 2 * (p.column + p.span)]) for p in places
    ]


def _letters(figure, places: list[_Place], below: list, sheet: Sheet) -> None:
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
