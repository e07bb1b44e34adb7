"""Which parts of a printed figure cannot be told apart once it is copied in grey.

Two series are told apart by their mark, their dashes, or a difference in lightness (CIE L*, 0 black to 100 white) of
at least `APART`; a scale of colours by lightness that only rises or only falls. The drawn figure itself is looked at.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from analysis.results import Result
from dashboard.figures.export import page_of
from dashboard.figures.text import listed, plain

APART = 10.0  # of lightness; side by side less is seen, not in two places of a page
HIDDEN = ("", "None", " ", None)
Look = tuple[str, str, float]  # mark, dashes, lightness


def lightness(colour) -> float:
    """CIE L* of a colour of Matplotlib, seen on white."""
    from matplotlib.colors import to_rgba

    *rgb, alpha = to_rgba(colour)
    shown = np.asarray(rgb) * alpha + (1 - alpha)
    linear = np.where(shown <= 0.04045, shown / 12.92, ((shown + 0.055) / 1.055) ** 2.4)
    y = float(linear @ [0.2126, 0.7152, 0.0722])
    return 116 * y ** (1 / 3) - 16 if y > 0.008856 else 903.3 * y


def grey_check(result: Result, **options) -> tuple[str, ...]:
    """One sentence for each thing that is lost in grey; empty where all can be told apart. Options as of `on_paper`."""
    page = page_of(result, **options)
    looks, said = series_looks(page.figure), []
    pairs = [(a, b) for a, b in combinations(looks, 2) if alike(looks[a], looks[b])]
    if pairs:
        shown = listed([f"{plain(a).strip()} and {plain(b).strip()}" for a, b in pairs], 4)
        said.append(f"In grey these look the same: {shown}.")
    if any(not _monotone(cmap) for cmap in _colour_maps(page.figure)):
        said.append("In grey the two ends of the colour scale look the same: the sign of a value is lost.")
    return tuple(said)


def alike(one: Look, other: Look) -> bool:
    """Whether two series have the same mark and dashes and about the same lightness."""
    return one[:2] == other[:2] and abs(one[2] - other[2]) < APART


def series_looks(figure) -> dict[str, Look]:
    """How every named series of a drawn figure looks: those of the legends, and the named lines of the panels."""
    found: dict[str, Look] = {}
    for legend in figure.legends + [a.get_legend() for a in figure.axes if a.get_legend()]:
        for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=True):
            found.setdefault(text.get_text(), _look(handle))
    for axes in figure.axes:
        for line in axes.lines:
            if not line.get_label().startswith("_"):
                found.setdefault(line.get_label(), _look(line))
    return found


def _look(artist) -> Look:
    if hasattr(artist, "get_marker"):  # a line
        mark = "" if artist.get_marker() in HIDDEN else str(artist.get_marker())
        dashes = "" if artist.get_linestyle() in HIDDEN else str(artist._unscaled_dash_pattern)
        return mark, dashes, lightness(artist.get_color())
    face = np.atleast_2d(artist.get_facecolor())[0]
    return str(getattr(artist, "get_hatch", lambda: "")() or ""), "area", lightness(face)


def _colour_maps(figure) -> list:
    """Of whatever is coloured by value: the colour bars, which stand for the panels."""
    bars = [bar for axes in figure.axes if (bar := getattr(axes, "_colorbar", None)) is not None]
    return [bar.mappable.get_cmap() for bar in bars]


def _monotone(cmap) -> bool:
    steps = np.diff([lightness(cmap(x)) for x in np.linspace(0, 1, 33)])
    return bool((steps > -0.5).all() or (steps < 0.5).all())
