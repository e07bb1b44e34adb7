"""Many lines on paper: the lines, and their ranked list with intervals, beside them or (in one column) below."""

from __future__ import annotations

import numpy as np

from analysis.results import Curve
from dashboard.figures.crowd import Row, nulls, ranked, reach, total_name
from dashboard.figures.curve_parts import BANDS, crowded, drawn_places, span, ticks
from dashboard.figures.legends import entry, legend_above
from dashboard.figures.paper import Page, label_axes
from dashboard.figures.sheet import Sheet
from dashboard.figures.short_names import told_apart
from dashboard.figures.style import DASHES, OKABE_ITO
from dashboard.figures.text import power_of_ten

CONTROL_DASHES = ((0, (2, 2)), (0, (12, 2)), (0, (2, 6)), (0, (12, 2, 2, 2)))  # in grey
EVERY_LETTER = 10_000  # names that do not fit beside each other are slanted, not cut
GREY, ROW = "#9a9a9a", 0.14  # of controls; inches of a line of the list
KEY = (-0.16, -0.03)  # where the piece of the line stands, beside the list


def paper_height(result: Curve, sheet: Sheet, **_ignored) -> float | None:
    """Inches of a crowd; None leaves all else to the shape."""
    if not crowded(result):
        return None
    rows = (ROW * len(result.series) + 0.5) * sheet.scale
    if not _listed(result, sheet):
        return 0.62 * sheet.inches
    if sheet.width == "single":
        return min(0.62 * sheet.inches + rows, sheet.highest)
    return max(sheet.inches * 0.42, rows)


def _listed(result: Curve, sheet: Sheet) -> bool:
    """Whether lines are named by a list: in one column a list that says nothing else is a legend."""
    return bool(total_name(result)) or sheet.width != "single"


def paper(result: Curve, page: Page) -> None:
    """Draw on the page."""
    rows, summed = ranked(result), total_name(result)
    shape = (
        {"nrows": 2, "height_ratios": [1.1, 1]}
        if page.width == "single"
        else {"ncols": 2, "width_ratios": [1.9, 1]}
    )
    listed = _listed(result, page.sheet)
    left, right = page.figure.subplots(**shape) if listed else (page.figure.add_subplot(), None)
    x = np.asarray(result.x, float)
    if (ends := nulls(result)) is not None:
        left.fill_between(x, *ends, color="#d9d9d9", linewidth=0)
    first = [row for row in rows if not row.control][:BANDS]
    for row in reversed(rows):
        good, (colour, dash) = drawn_places(result, x, row.name), look(row, page)
        if row in first and row.name in result.low and row.name in result.high:
            left.fill_between(
                x[good],
                result.low[row.name][good],
                result.high[row.name][good],
                color=colour,
                alpha=0.16,
                linewidth=0,
            )
        left.plot(
            x[good],
            np.asarray(result.series[row.name])[good],
            color=colour,
            linestyle=dash,
            label=entry(row.name),
            linewidth=(1.4 if row in first else 0.9) * page.scale,
        )
    label_axes(page, left, result.x_name, result.y_name)
    left.set_ylim(span(result, {row.name for row in first}))
    if result.log_x:
        left.set_xscale("log")
        left.xaxis.set_major_formatter(power_of_ten)
        left.xaxis.set_minor_formatter("")
    if result.x_labels:
        names_along(page, left, result)
    if listed:
        _list(right, page, rows, summed)
        return
    handles, labels = left.get_legend_handles_labels()
    legend_above(
        page, handles=handles[::-1], labels=labels[::-1]
    )  # lines were drawn from the last to the first


def look(row: Row, page: Page) -> tuple[str, object]:
    """(colour, dash) of a line."""
    if row.control:
        return GREY, CONTROL_DASHES[row.dash] if page.greyscale else DASHES[row.dash][1]
    if page.greyscale:
        return page.line(row.hue + 7 * row.dash)
    return OKABE_ITO[row.hue], DASHES[row.dash][1]


def names_along(page: Page, axes, result: Curve) -> None:
    """Names along the axis, slanted where they would touch."""
    places, names = ticks(result, EVERY_LETTER)
    slanted = sum(len(name) + 2 for name in names) > 0.8 * page.characters
    turned = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if slanted else {}
    axes.minorticks_off()
    axes.set_xticks(places, names, **turned)


def _list(axes, page: Page, rows: list[Row], summed: str) -> None:
    """Names with a piece of their line, and what sums them up where something does."""
    shown = range(len(rows))
    for i, row in zip(shown, rows, strict=True):
        colour, dash = look(row, page)
        if summed and row.null is not None:
            axes.barh(
                i, row.null[1] - row.null[0], left=row.null[0], height=1.0, color="#e3e3e3", linewidth=0
            )
        if summed and np.isfinite(row.value):
            axes.plot([row.low, row.high], [i, i], color=colour, linewidth=0.9 * page.scale)
            axes.plot(row.value, i, "o", color=colour, markersize=3 * page.scale, markeredgewidth=0)
        axes.plot(KEY, [i, i], color=colour, linestyle=dash, transform=axes.get_yaxis_transform(), clip_on=False,
                  linewidth=1.2 * page.scale)  # fmt: skip
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_yticks(list(shown), told_apart([row.name for row in rows], 24))
    axes.tick_params(axis="y", length=0, pad=(26 if page.width != "single" else 30) * page.scale)
    axes.spines["left"].set_visible(False)
    if summed:
        axes.set_xlim(reach(rows))
        label_axes(page, axes, summed, "")
    else:
        axes.set_xticks([])
        axes.spines[:].set_visible(False)
