"""The empty printed page: sizes, real text in embedded fonts, and settings that leave the bytes the same."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field

from dashboard.figures.hatching import strokes
from dashboard.figures.sheet import Sheet
from dashboard.figures.style import (
    DASHES,
    FONTS,
    GREY_SCALE,
    GREYS,
    MARKS,
    MORE_DASHES,
    ON_WHITE,
    RED_BLUE,
    RED_BLUE_MARKS,
    VIRIDIS,
)
from dashboard.figures.text import plain, power_of_ten, shorten, wrapped

MOST_LAYOUTS = 3
BAR_HIGH, SHORTEST_LABEL = 0.75, 12  # of the page; characters
_PAPER = threading.RLock()  # Matplotlib's settings are global to the process


@dataclass(frozen=True)
class Key:
    """A legend: what its marks are called, and what they are of."""

    handles: tuple
    labels: tuple[str, ...]
    title: str = ""


@dataclass(frozen=True)
class Bar:
    """A colour bar: the scale (Matplotlib's ScalarMappable), what it says, and the band that is hatched in it."""

    scale: object
    label: str
    band: tuple[float, float] | None = None


@dataclass(frozen=True)
class Page:
    """What a drawing on paper needs to know: the Matplotlib figure, its sheet and its colours."""

    figure: object
    sheet: Sheet
    greyscale: bool
    heading: object = None  # the title's text, where one is drawn
    shared: frozenset[str] = frozenset()  # "legend", "bar": what stands once for several panels, and not here
    legends: list[Key] = field(default_factory=list)  # what the panel's legend says, drawn or not
    bars: list[Bar] = field(default_factory=list)
    grown: list[float] = field(default_factory=list)  # inches by which notes and legends made it higher
    draft: bool = False  # drawn only to find where axes lie: what stands inside of them can be left out

    @property
    def width(self) -> str:
        return self.sheet.width

    @property
    def inches(self) -> float:
        return self.sheet.inches

    @property
    def scale(self) -> float:
        """Lines and marks grow with the text: 1 in print, 2 on a slide."""
        return self.sheet.scale

    @property
    def characters(self) -> int:
        """About how many characters fit in one line of the page."""
        return self.sheet.characters

    def mark(self, i: int) -> tuple[str, str]:
        """(colour, Matplotlib marker) of the i-th category."""
        if self.greyscale:  # no two of the first 24 are alike
            return GREYS[(i + i // 12) % len(GREYS)], MARKS[i % len(MARKS)][1]
        return ON_WHITE[i % 8], MARKS[i // 8 % len(MARKS)][1]

    def line(self, i: int) -> tuple[str, object]:
        """(colour, dash) of the i-th line."""
        if self.greyscale:
            if i < 12:
                return GREYS[i // 4], DASHES[i % 4][1]
            if i < 21:
                return GREYS[(i - 12) // 3], MORE_DASHES[i % 3]
            return GREYS[3], (*MORE_DASHES, *(dash for _, dash in DASHES))[(i - 21) % 7]
        return ON_WHITE[i % 8], DASHES[i // 8 % 4][1]

    def colour_map(self, diverging: bool, *, marks: bool = False):
        """Matplotlib's, of cells or, darker where it would be lost on white, of `marks`."""
        from matplotlib.colors import LinearSegmentedColormap

        if self.greyscale:
            return LinearSegmentedColormap.from_list("grey", GREY_SCALE)
        if marks:
            stops = RED_BLUE_MARKS if diverging else VIRIDIS[:-1]
        else:
            stops = RED_BLUE if diverging else VIRIDIS
        return LinearSegmentedColormap.from_list("signed" if diverging else "sequential", stops)


_ALWAYS = {
    "font.monospace": ["DejaVu Sans Mono"],
    "text.parse_math": False,
    "text.usetex": False,
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "feature-loupe",
    "pdf.compression": 6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.handlelength": 1.4,
    "legend.borderaxespad": 0.2,
    "legend.labelspacing": 0.3,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "axes.edgecolor": "#333333",
    "axes.labelcolor": "#1a1a1a",
    "xtick.color": "#333333",
    "ytick.color": "#333333",
    "text.color": "#1a1a1a",
}


def _settings(sheet: Sheet) -> dict:
    """Matplotlib settings of a sheet."""
    size, scale = sheet.points, sheet.scale
    return {
        **_ALWAYS,
        "font.family": list(FONTS[sheet.font]),
        "font.size": size,
        "axes.titlesize": size,
        "axes.labelsize": size,
        "xtick.labelsize": size - 0.5,
        "ytick.labelsize": size - 0.5,
        "legend.fontsize": size - 0.5,
        "figure.titlesize": size + 0.5,
        "axes.linewidth": 0.6 * scale,
        "xtick.major.width": 0.6 * scale,
        "ytick.major.width": 0.6 * scale,
        "xtick.major.size": 2.5 * scale,
        "ytick.major.size": 2.5 * scale,
        "xtick.minor.size": 1.5 * scale,
        "ytick.minor.size": 1.5 * scale,
        "xtick.minor.width": 0.4 * scale,
        "ytick.minor.width": 0.4 * scale,
        "lines.linewidth": 1.0 * scale,
        "axes.labelpad": 2.5 * scale,
        "hatch.linewidth": 0.5 * scale,
    }


@contextmanager
def paper_style(sheet: Sheet):
    """The printing settings, held by one thread at a time: real text, embedded TrueType, no math markup."""
    import matplotlib

    with _PAPER, matplotlib.rc_context(), _quiet_about_glyphs():
        matplotlib.rcdefaults()  # a user's matplotlibrc must not change the bytes
        matplotlib.rcParams.update(_settings(sheet))
        yield


@contextmanager
def _quiet_about_glyphs():
    """Names in scripts that the embedded font lacks are drawn as boxes; the warning helps nobody."""
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*[Gg]lyph.*missing.*")
        yield


def new_page(
    sheet: Sheet,
    height: float,
    title: str,
    notes=(),
    *,
    greyscale=False,
    show_title=False,
    on=None,
    shared=frozenset(),
    draft=False,
) -> Page:
    """A Matplotlib page `height` inches high (at print scale) with title and notes reserved for; `on` a part of a
    composed page, where one is given, without what is `shared` there."""
    figure = empty_figure(sheet, height) if on is None else on
    heading = None
    if show_title and title:
        lines = wrapped(title, int(sheet.inches * 72 / (sheet.points * 0.62)), 2)
        heading = figure.suptitle("\n".join(lines), x=0.01, ha="left", fontweight="bold")
    page = Page(figure, sheet, greyscale, heading, shared, draft=draft)
    small = [line for note in notes if note for line in wrapped(note, page.characters + 6, 3)]
    if small:
        text = figure.supxlabel("\n".join(small), x=0.01, ha="left", color="#555555")
        text.set_fontsize(sheet.points - 0.5)
        page.grown.append(0.13 * sheet.scale * len(small))
        figure.set_figheight(min(height + page.grown[-1], sheet.highest))
    return page


def empty_figure(sheet: Sheet, height: float):
    """A Matplotlib figure of the sheet's width that gives its parts the room that they need."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(sheet.inches, height), layout="constrained")
    FigureCanvasAgg(figure)
    pad = 0.03 * sheet.scale
    figure.get_layout_engine().set(w_pad=pad, h_pad=pad, wspace=0.04, hspace=0.04)
    return figure


def find_places(figure) -> None:
    """Give everything on a page the room that it needs. Again where panels keep a shape of their own and something is
    not on the page yet: how wide they come to be, and with it how much their names take, is known only then."""
    for _ in range(MOST_LAYOUTS):
        figure.get_layout_engine().execute(figure)
        if _bar_names_fit(figure):
            figure.get_layout_engine().execute(figure)
        if all(axes.get_aspect() == "auto" for axes in figure.axes) or _whole(figure):
            return


def _bar_names_fit(figure) -> bool:
    """Break or cut the names of colour bars that would leave the page, which is lower than they are long; whether any
    was."""
    changed, high = False, figure.bbox.height
    for axes in figure.axes:
        bar = getattr(axes, "_colorbar", None)
        if bar is None or bar.orientation != "vertical" or not axes.get_ylabel():
            continue
        box, middle = axes.yaxis.label.get_window_extent(), sum(axes.bbox.intervaly) / 2
        room = 2 * min(middle, high - middle) / max(box.height, 1e-9)
        if room < 1:
            text = axes.get_ylabel().replace("\n", " ")
            most = max(map(len, axes.get_ylabel().split("\n")))
            bar.set_label(_in_lines(text, max(int(0.95 * room * most), SHORTEST_LABEL)))
            changed = True
    return changed


def _whole(figure) -> bool:
    """Whether everything that is drawn is on the page."""
    found, (wide, high), slack = figure.get_tightbbox(), figure.get_size_inches(), 1 / figure.dpi
    return found.x0 > -slack and found.y0 > -slack and found.x1 < wide + slack and found.y1 < high + slack


def label_axes(page: Page, axes, x: str, y: str) -> None:
    """Axis names, in two lines where they are longer than their side of the page, cut where they need more."""
    beside = page.characters * 0.72 * page.figure.get_figheight() / page.inches
    axes.set_xlabel(_in_lines(x, int(page.characters * 0.8)))
    axes.set_ylabel(_in_lines(y, int(beside)))


def _in_lines(name: str, room: int) -> str:
    text = plain(name)
    if len(text) <= room:
        return text
    for width in range(len(text) // 2, room + 1):  # the narrowest two lines: about as long as each other
        lines = wrapped(text, width, 9)
        if len(lines) <= 2:
            return "\n".join(lines)
    return shorten(text, room)


def scale_bar(page: Page, scale, axes, label: str, band: tuple[float, float] | None = None) -> None:
    """The bar of a colour scale beside the panels `axes`; `band` is hatched into it (what chance gives)."""
    room = int(BAR_HIGH * page.figure.get_figheight() * 72 / (0.56 * page.sheet.points))
    found = Bar(scale, _in_lines(shorten(label, 40), max(room, SHORTEST_LABEL)), band)
    page.bars.append(found)
    if "bar" not in page.shared:
        drawn = page.figure.colorbar(scale, ax=axes, fraction=0.05, pad=0.02, aspect=25)
        dress_bar(drawn, found, page.scale)


def dress_bar(drawn, bar: Bar, scale: float) -> None:
    """Its name, no frame, and the hatched band."""
    drawn.set_label(bar.label)
    drawn.outline.set_visible(False)
    if bar.band is not None:
        span = drawn.ax.axhspan if drawn.orientation == "vertical" else drawn.ax.axvspan
        span(*bar.band, facecolor="none", edgecolor="#444444", hatch=strokes(6, scale), linewidth=0.5)


def paper_sentence(page: Page, sentence: str) -> None:
    """Say on paper why there is nothing to draw."""
    axes = page.figure.add_subplot()
    axes.set_axis_off()
    axes.text(
        0.5,
        0.5,
        "\n".join(wrapped(sentence, page.characters - 6)),
        ha="center",
        va="center",
        color="#555555",
        transform=axes.transAxes,
    )


def log_ticks(axis) -> None:
    """Log tick labels without math markup, which is switched off so that names stay text."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(numticks=7))
    axis.set_major_formatter(FuncFormatter(power_of_ten))
    axis.set_minor_formatter(NullFormatter())
