"""One visual identity: palettes, sizes, fonts, light and dark, on screen and on paper.

Categories are Okabe and Ito's colours with a different mark for each further eight; quantities are viridis;
signed quantities are a diverging map centred at zero (light centre on light, dark centre on dark). Greys are
chosen for a contrast of at least 4.5 : 1 against the background they stand on.
"""

from __future__ import annotations

from dataclasses import dataclass

from analysis.errors import ParameterError

FONT_ON_SCREEN = (
    "Source Sans, Source Sans Pro, sans-serif"  # as the page calls its own font, then as others do
)
OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#F0E442")
ON_WHITE = (*OKABE_ITO[:7], "#D2C83A")  # the same in print, where yellow is lost on the page
GREYS = ("#1a1a1a", "#585858", "#868686", "#a8a8a8")  # the lightest is seen on white
GREY_SCALE = ("#b8b8b8", "#0d0d0d")  # of quantities; white is left for what has no value
MARKS = (("circle", "o"), ("square", "s"), ("triangle-up", "^"), ("diamond", "D"), ("x", "X"), ("star", "*"))
DASHES = (("solid", "-"), ("dash", (0, (5, 2))), ("dot", (0, (1, 1.5))), ("dashdot", (0, (5, 2, 1, 2))))
VIRIDIS = (
    "#440154",
    "#482475",
    "#414487",
    "#355f8d",
    "#2a788e",
    "#21918c",
    "#22a884",
    "#44bf70",
    "#7ad151",
    "#bddf26",
    "#fde725",
)
RED_BLUE = (
    "#053061",
    "#2065ab",
    "#4393c3",
    "#90c4dd",
    "#d1e5f0",
    "#f7f7f7",
    "#fddbc7",
    "#f3a481",
    "#d6604d",
    "#b1182b",
    "#67001f",
)
BERLIN = (
    "#9eb0ff",
    "#62a6e0",
    "#3280a6",
    "#20526a",
    "#1b3039",
    "#22262e",
    "#40231a",
    "#61200b",
    "#964a36",
    "#ca7b71",
    "#ffadad",
)
RED_BLUE_MARKS = (
    *RED_BLUE[:4],
    "#a9bfd0",
    "#b9b9b9",
    "#dcb3a1",
    *RED_BLUE[7:],
)  # a point at 0 is seen on white
MORE_DASHES = (
    (0, (9, 3)),
    (0, (1, 4)),
    (0, (5, 2, 1, 2, 1, 2)),
)  # of lines in grey, when the others are used up
MOST_CATEGORIES = 20
INCHES = {"single": 3.5, "double": 7.2, "slide": 10.0, "poster": 16.0}
POINTS = {"single": 7.5, "double": 7.5, "slide": 15.0, "poster": 24.0}  # text size as printed
HIGHEST = {"single": 9.0, "double": 9.0, "slide": 5.625, "poster": 24.0}  # inches; a slide is 16 : 9
DPI = {"single": 300, "double": 300, "slide": 300, "poster": 150}  # of what is an image
FONTS = {"sans": ("DejaVu Sans",), "serif": ("STIXGeneral", "DejaVu Serif")}  # the next writes what one lacks
RASTER_ABOVE = 3_000


@dataclass(frozen=True)
class Theme:
    """Colours of one theme on screen; the background itself stays transparent."""

    name: str
    text: str
    muted: str
    grid: str
    missing: str
    dimmed: str
    accent: str
    ground: str
    categories: tuple[str, ...]
    sequential: tuple[str, ...]
    diverging: tuple[str, ...]


LIGHT = Theme(
    "light",
    "#31333F",
    "#5B5E6B",
    "#E3E5EA",
    "#9A9DA8",
    "#B9BCC4",
    "#0072B2",
    "#FFFFFF",
    OKABE_ITO,
    VIRIDIS,
    RED_BLUE,
)
DARK = Theme(
    "dark",
    "#FAFAFA",
    "#A9AEBA",
    "#2B303B",
    "#7C818E",
    "#555A66",
    "#56B4E9",
    "#0E1117",
    ("#4C9BE8", "#F0743E", "#00B383", "#DB8FBB", "#9ADBFF", "#E69F00", "#F5F5F5", "#F0E442"),
    ("#5a3f8f", *VIRIDIS[2:]),
    BERLIN,
)
THEMES = {"light": LIGHT, "dark": DARK}


def theme_named(theme: str | Theme) -> Theme:
    """The theme called "light" or "dark"."""
    if isinstance(theme, Theme):
        return theme
    if theme not in THEMES:
        raise ParameterError(f"theme = {theme!r}", "one of light, dark")
    return THEMES[theme]


def steps(colours) -> list[list]:
    """A Plotly colour scale through evenly spaced colours."""
    return [[i / (len(colours) - 1), c] for i, c in enumerate(colours)]


def translucent(colour: str, alpha: float) -> str:
    """A hex colour as CSS rgba()."""
    r, g, b = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({r},{g},{b},{alpha:g})"
