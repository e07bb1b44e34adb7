"""Legends on paper: above the plot, in as many columns as fit; on a slide, which is low, of a few lines."""

from __future__ import annotations

from dataclasses import dataclass

from dashboard.figures.paper import Key, Page
from dashboard.figures.sheet import Sheet
from dashboard.figures.short_names import told_apart
from dashboard.figures.text import breadth, shorten

LEGEND_LINE = 0.135  # inches, at print scale
MOST_LINES = 5  # of a page that does not grow
SMALLER, SHORTEST = 0.8, 10  # letters of what has more; characters to which its entries are cut at most


@dataclass(frozen=True)
class Setting:
    """How a legend is set: its entries, their size in points, and how many columns and lines (with its title)."""

    labels: tuple[str, ...]
    points: float
    columns: int
    lines: int


def entry(name, limit: int = 26) -> str:
    """A legend entry. Matplotlib drops entries that begin with an underscore, and names may: a space saves them."""
    text = shorten(name, limit)
    return " " + text if text.startswith("_") else text


def setting(sheet: Sheet, labels, title=None) -> Setting:
    """Across the sheet. Where a page that does not grow would give it too many lines, its letters are smaller and its
    entries as much shorter as it takes."""
    found = _set(tuple(labels), sheet.characters, sheet.points - 0.5, title)
    if sheet.grows or found.lines - bool(title) <= MOST_LINES:
        return found
    points, room = SMALLER * sheet.points, int(sheet.characters / SMALLER)
    longest = max(map(len, labels))
    for limit in range(max(longest, SHORTEST), SHORTEST - 1, -1):
        found = _set(tuple(map(entry, told_apart(labels, limit))), room, points, title, mark=5)
        if found.lines - bool(title) <= MOST_LINES:
            break
    return found


def _set(labels: tuple[str, ...], characters: int, points: float, title, mark: int = 6) -> Setting:
    longest = max(map(breadth, labels), default=1)
    columns = max(1, min(len(labels), int(characters / (longest + mark))))
    rows = max(1, -(-len(labels) // columns))
    # no line with one entry under a full one
    return Setting(labels, points, max(1, -(-len(labels) // rows)), rows + bool(title))


def legend_lines(sheet: Sheet, labels, title=None) -> tuple[int, int]:
    """(columns, lines) of a legend across the sheet."""
    found = setting(sheet, labels, title)
    return found.columns, found.lines


def legend_above(page: Page, axes=None, *, handles=None, labels=None, title=None) -> None:
    """A legend over the plot in as many columns as fit; the page grows by the lines it needs, as far as it may."""
    if handles is None:
        handles, labels = axes.get_legend_handles_labels()
    page.legends.append(Key(tuple(handles), tuple(labels), title or ""))
    if "legend" in page.shared:
        return
    found, bold = setting(page.sheet, labels, title), {}
    if page.heading is not None:  # title and legend would take the same place: the legend carries the title
        title, bold = page.heading.get_text() + (f"\n{title}" if title else ""), {"weight": "bold"}
        page.heading.set_visible(False)
        page.heading.set_in_layout(False)
    look = {"size": page.sheet.points, **bold}
    page.figure.legend(
        handles=handles, title=title, title_fontproperties=look, loc="outside upper left", **drawn_as(found)
    )
    page.grown.append(LEGEND_LINE * page.scale * found.lines)
    page.figure.set_figheight(min(page.figure.get_figheight() + page.grown[-1], page.sheet.highest))


def drawn_as(found: Setting) -> dict:
    """What Matplotlib is told of the setting."""
    return {"labels": found.labels, "ncols": found.columns, "fontsize": found.points, "alignment": "left",
            "columnspacing": 1.0, "handletextpad": 0.4}  # fmt: skip
