"""Curve on paper."""

from __future__ import annotations

import numpy as np

from analysis.results import Curve
from dashboard.figures import crowd_paper, curve_film
from dashboard.figures.contrast import readable
from dashboard.figures.curve_parts import (
    DIRECT_LABELS,
    chosen,
    crowded,
    drawn_places,
    last_points,
    marked,
    span,
)
from dashboard.figures.labels import label_heights
from dashboard.figures.legends import entry, legend_above
from dashboard.figures.paper import Page, label_axes
from dashboard.figures.style import MARKS
from dashboard.figures.text import power_of_ten, shorten

WHITE = "#ffffff"
NEAR = 0.3  # of the distance of two names; a name nearer to its line needs nothing that leads to it


def paper(result: Curve, page: Page) -> None:
    """Draw on the page."""
    if crowded(result):
        crowd_paper.paper(result, page)
        return
    axes, film = curve_film.axes_on_paper(page.figure, result)
    x = np.asarray(result.x, float)
    coloured, rest = chosen(result)
    for name in rest:
        axes.plot(x, result.series[name], color="#c4c4c4", linewidth=0.4 * page.scale, zorder=1)
    for k, name in enumerate(coloured):
        if name in result.low and name in result.high and name not in result.bars:
            good = drawn_places(result, x, name)
            ends = result.low[name][good], result.high[name][good]
            axes.fill_between(x[good], *ends, color=page.line(k)[0], alpha=0.16, linewidth=0)
    for values in result.null.values():
        axes.plot(x, values, color="#8a8a8a", dashes=(4, 2), linewidth=0.8 * page.scale)
    for k, name in enumerate(coloured):
        colour, dash = page.line(k)
        good, at = drawn_places(result, x, name), marked(result, name)
        if curve_film.ghost(result, name):
            colour, dash = curve_film.GHOST, ":"
        if name in result.bars:
            curve_film.bar_on_paper(axes, result, name, good, colour, entry(name, 26), page.scale)
            continue
        axes.plot(
            x[good],
            result.series[name][good],
            color=colour,
            linestyle=dash,
            label=entry(name, 26),
            marker=_mark(page, k) if dotted(result, name, x, coloured) else "",
            markersize=2.2 * page.scale,
        )
        size = 5 * page.scale
        axes.plot(x[at], result.series[name][at], "D", color=colour, markersize=size, markeredgecolor="white")
    if rest:
        axes.plot([], [], color="#c4c4c4", linewidth=0.4 * page.scale, label=f"other ({len(rest):,} series)")
    label_axes(page, axes, "" if film else result.x_name, result.y_name)
    axes.set_ylim(span(result))
    if result.log_x:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(power_of_ten)
        axes.xaxis.set_minor_formatter("")
    elif (x == np.round(x)).all():  # no half of a layer or a step
        axes.xaxis.get_major_locator().set_params(integer=True)
    if result.x_labels:
        crowd_paper.names_along(page, axes, result)
    if film:
        curve_film.strip_on_paper(film, result, page.greyscale)
        label_axes(page, film, result.x_name, "")
    if 1 < len(result.series) <= DIRECT_LABELS:
        _paper_labels(axes, result, coloured, page)
    elif len(result.series) > 1:
        legend_above(page, axes)


def _mark(page: Page, k: int) -> str:
    """Of the points of the k-th line: in grey its own, since marks hide dashes."""
    return MARKS[k % len(MARKS)][1] if page.greyscale else "o"


def dotted(result: Curve, name: str, x: np.ndarray, coloured: list[str]) -> bool:
    """Whether the places of a line have a dot."""
    return len(x) <= 30 and len(coloured) <= DIRECT_LABELS and not curve_film.ghost(result, name)


def _paper_labels(axes, result: Curve, names: list[str], page: Page) -> None:
    """The name of each line at its end, with a thin line to it where it had to move away."""
    ends = last_points(result, names)
    gap = 9.5 * page.scale / (page.figure.get_figheight() * 72 * 0.78)
    heights = label_heights([y for _, y in ends.values()], span(result), gap)
    moved = gap * (span(result)[1] - span(result)[0]) * NEAR
    last = max((x for x, _ in ends.values()), default=0.0)
    for (name, (x, at)), y in zip(ends.items(), heights, strict=True):
        colour = page.line(names.index(name))[0]
        if x == last and abs(at - y) > moved:
            axes.annotate(
                "",
                (x, at),
                (1.012, y),
                textcoords=("axes fraction", "data"),
                arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.5 * page.scale,
                            "shrinkA": 0, "shrinkB": 2.5 * page.scale},
                annotation_clip=False,
            )  # fmt: skip
        axes.annotate(
            shorten(name, 18),
            (1.015, y),
            xycoords=("axes fraction", "data"),
            va="center",
            color=curve_film.GHOST if curve_film.ghost(result, name) else readable(colour, WHITE),
            annotation_clip=False,
        )
