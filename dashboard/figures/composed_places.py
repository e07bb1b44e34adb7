"""Where the panels of a composed page go: rows and columns, and their inches."""

from __future__ import annotations

from dataclasses import dataclass, field

from analysis.errors import ParameterError
from analysis.results import Result
from dashboard.figures.sheet import Sheet

GAP = 0.18  # inches between columns, at print scale
MARGIN = 0.05  # inches at both sides
LETTER = 1.0  # points by which the letter of a panel is larger than its names
LEAST = 0.45  # of the height that a panel asks for; less cannot be read
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
class Place:
    """A panel in its row, from its first column on."""

    part: Part
    row: int
    column: int
    span: int


@dataclass(frozen=True)
class Wish:
    """Inches that a panel wants: its whole height, and what of it are notes and a legend, which stay as they are."""

    height: float
    still: float


def places_of(parts: list[Part], given: Arrangement) -> list[Place]:
    """Rows filled from the left. Raises ParameterError for no panel, too many panels or columns."""
    if not 1 <= len(parts) <= MOST_PANELS:
        raise ParameterError(f"a figure of {len(parts)} panels", f"1 to {MOST_PANELS}", "Use several baskets")
    if not 1 <= given.columns <= MOST_COLUMNS:
        raise ParameterError(f"columns = {given.columns}", f"1 to {MOST_COLUMNS}")
    found, row, column = [], 0, 0
    for part in parts:
        span = min(max(part.span, 1), given.columns)
        if column + span > given.columns:
            row, column = row + 1, 0
        found.append(Place(part, row, column, span))
        column += span
    return found


def _ratios(given: tuple[float, ...], n: int, what: str) -> tuple[float, ...]:
    if not given:
        return (1.0,) * n
    if len(given) != n or not all(0.1 <= v <= 10 for v in given):
        raise ParameterError(f"{what} = {', '.join(f'{v:g}' for v in given)}", f"{n} ratios from 0.1 to 10")
    return given


def widths_of(sheet: Sheet, given: Arrangement) -> list[float]:
    """Inches of the columns."""
    ratios = _ratios(given.widths, given.columns, "widths")
    free = sheet.inches - (GAP * (given.columns - 1) + 2 * MARGIN) * sheet.scale
    return [free * r / sum(ratios) for r in ratios]


def inches_of(sheet: Sheet, across: list[float], place: Place) -> float:
    """Of a panel, from its left to its right."""
    return sum(across[place.column : place.column + place.span]) + GAP * sheet.scale * (place.span - 1)


def strip_of(sheet: Sheet) -> float:
    """Inches above each row, for the letters."""
    return (sheet.points + LETTER) * 1.45 / 72


def heights_of(
    places: list[Place], wishes: list[Wish], sheet: Sheet, given: Arrangement, keys: float
) -> tuple[float, ...]:
    """Inches of the rows: as high as their highest panel wants; where the page would be too high, what is drawn is
    less high, and notes and legends stay. `keys` : inches of what stands once above and below.

    Raises ParameterError where there is no room."""
    n = places[-1].row + 1
    fixed, free = [0.0] * n, [0.0] * n
    for place, wish in zip(places, wishes, strict=True):
        fixed[place.row] = max(fixed[place.row], min(wish.still, wish.height))
    for place, wish in zip(places, wishes, strict=True):
        free[place.row] = max(free[place.row], wish.height - fixed[place.row])
    if given.heights:
        ratios = _ratios(given.heights, n, "heights")
        free = [sum(free) * r / sum(ratios) for r in ratios]
    room = sheet.highest - strip_of(sheet) * n - keys - sum(fixed)
    factor = room / sum(free)
    if factor < LEAST:
        raise ParameterError(
            f"{n} rows of panels that want {sum(fixed) + sum(free):.1f} in on a page with room for "
            f"{max(room + sum(fixed), 0):.1f} in",
            f"drawings at least {100 * LEAST:.0f} % as high as they want to be",
            "Choose more columns, smaller letters or another sheet, or take panels out",
        )
    factor = factor if sheet.width == "slide" else min(1.0, factor)  # a slide keeps its shape
    return tuple(still + high * factor for still, high in zip(fixed, free, strict=True))


def parts_of_page(
    figure, places: list[Place], across: list[float], rows, sheet: Sheet, above: float, below: float
) -> list:
    """A SubFigure for each panel, in a grid of the columns with gaps and the rows with their strips."""
    from matplotlib.gridspec import GridSpec

    gap, strip, side = GAP * sheet.scale, strip_of(sheet), MARGIN * sheet.scale
    widths = [side, *[w for width in across for w in (width, gap)][:-1], side]
    heights = [above or 1e-6, *(h for row in rows for h in (strip, row)), below or 1e-6]
    grid = GridSpec(
        len(heights), len(widths), figure, width_ratios=widths, height_ratios=heights, wspace=0, hspace=0
    )
    return [
        figure.add_subfigure(grid[2 * p.row + 2, 2 * p.column + 1 : 2 * (p.column + p.span)]) for p in places
    ]
