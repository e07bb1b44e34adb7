"""What a figure is printed on: the preset's width, the size of the letters as printed, and their face."""

from __future__ import annotations

from dataclasses import dataclass, replace

from analysis.errors import ParameterError
from dashboard.figures.style import DPI, FONTS, HIGHEST, INCHES, POINTS

PRINT = 7.5  # points, to which all sizes of the drawings are meant
FEWEST_CHARACTERS = 15  # in a line; larger letters leave no room for the drawing
WIDE = 90  # characters in a line, from which on a panel is drawn like two columns
MOST_ACROSS = 12_000  # pixels of an image
SMALLEST = 4.0  # points; smaller cannot be read


@dataclass(frozen=True)
class Sheet:
    """`points` is the size of names and titles; ticks and legends are half a point smaller."""

    width: str = "single"
    points: float = PRINT
    font: str = "sans"
    dpi: float = 300  # of what is an image
    across: float | None = None  # inches of a panel of a composed page; None: the preset's own

    @property
    def inches(self) -> float:
        return self.across or INCHES[self.width]

    @property
    def highest(self) -> float:
        """Inches."""
        return HIGHEST[self.width]

    @property
    def scale(self) -> float:
        """Lines, marks and rows grow with the text: 1 in print, 2 on a slide."""
        return self.points / PRINT

    @property
    def characters(self) -> int:
        """About how many characters fit in one line."""
        return int(self.inches * 72 / (self.points * 0.56))

    @property
    def grows(self) -> bool:
        """Whether a page has room for legends of any height; a slide is 16 : 9 at most."""
        return self.width != "slide"

    def room(self, characters: int) -> int:
        """How many characters fit where `characters` do at the preset's own size."""
        letters = self.inches / self.points * POINTS[self.width] / INCHES[self.width]
        return max(1, int(characters * letters + 1e-9))

    def across_of(self, pictures: int) -> int:
        """How many pictures go beside each other where `pictures` do at the preset's own size; never more."""
        return min(pictures, self.room(pictures))

    def panel(self, inches: float) -> Sheet:
        """The sheet of one panel of this page: the same letters, drawn like one column or like two by what fits.

        Raises ParameterError where a line of the panel holds too few letters."""
        panel = Sheet("single", self.points, self.font, self.dpi, inches)
        if panel.characters < FEWEST_CHARACTERS:
            raise ParameterError(
                f"a panel of {inches:.1f} in with letters of {self.points:g} points",
                f"room for {FEWEST_CHARACTERS} characters in a line",
                "Choose fewer columns, smaller letters or a wider preset",
            )
        return replace(panel, width="double") if panel.characters > WIDE else panel


def sheet(
    width: str = "single", font_size: float | None = None, font: str = "sans", dpi: float | None = None
) -> Sheet:
    """The sheet of a preset, with letters of `font_size` points and images of `dpi` (None: the preset's own).

    Raises ParameterError for an unknown preset or font, letters that leave no room, or more pixels than a page has."""
    if width not in INCHES:
        raise ParameterError(f"width = {width!r}", "one of " + ", ".join(INCHES))
    if font not in FONTS:
        raise ParameterError(f"font = {font!r}", "one of " + ", ".join(FONTS))
    points, most = float(font_size or POINTS[width]), largest(width)
    if not SMALLEST <= points <= most:
        raise ParameterError(
            f"font_size = {points:g} points on a page of {INCHES[width]:g} in",
            f"{SMALLEST:g} to {most:g} points",
            "Choose a wider preset for larger letters",
        )
    dots = dpi or DPI[width]
    if dots * INCHES[width] > MOST_ACROSS:
        raise ParameterError(
            f"dpi = {dots:g} on a page of {INCHES[width]:g} in",
            f"at most {MOST_ACROSS / INCHES[width]:.0f} dpi",
            "Choose a narrower preset for finer images",
        )
    return Sheet(width, points, font, dots)


def largest(width: str) -> float:
    """The largest letters of a preset, in points."""
    return float(int(INCHES[width] * 72 / (FEWEST_CHARACTERS * 0.56)))
