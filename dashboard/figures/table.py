"""Table: the first rows, sorted as the result wishes, with the number of those left out."""

from __future__ import annotations

import re

import numpy as np

from analysis.results import Table
from dashboard.figures.paper import Page
from dashboard.figures.screen import screen_figure
from dashboard.figures.sheet import Sheet
from dashboard.figures.short_names import told_apart
from dashboard.figures.style import Theme, translucent
from dashboard.figures.text import breadth, markup, number, plain, shorten

ROWS_ON_SCREEN = 200
ROWS_ON_PAPER = {"single": 24, "double": 30, "slide": 10, "poster": 24}
CHARACTERS = {"single": 54, "double": 118, "slide": 74, "poster": 74}
LOOSEST = 1.6  # of a line's height; further apart rows are no table
LINE = 0.155  # inches at print size
WIDEST = 50  # characters of a cell
_NUMBERED = re.compile(r" \(\d+\)$")


def empty(result: Table) -> str:
    if not result.columns:
        return "The table has no column."
    if length(result) == 0:
        return "The table has no row."
    return ""


def length(result: Table) -> int:
    return min((len(c) for c in result.columns.values()), default=0)


def drawing_order(result: Table) -> np.ndarray:
    """Rows as drawn: falling in the column `sort`, NaN last, ties in their own order."""
    n = length(result)
    if result.sort not in result.columns:
        return np.arange(n)
    values = np.asarray(result.columns[result.sort])[:n]
    if values.dtype.kind not in "fiub":
        return np.argsort(values.astype(str), kind="stable")
    keys = values.astype(np.float64)
    return np.argsort(np.where(np.isnan(keys), np.inf, -keys), kind="stable")


def is_number(values) -> bool:
    return np.asarray(values).dtype.kind in "fiu"


def shown(values, limit: int = 28) -> list[str]:
    """Cells as text for people."""
    values = np.asarray(values)
    if values.dtype.kind == "f":
        good = values[np.isfinite(values)]
        whole = bool(len(good)) and bool((good == np.round(good)).all())
        return ["–" if np.isnan(v) else number(v, padded=not whole) for v in values]
    if values.dtype.kind in "iu":
        return [number(v) if abs(int(v)) >= 10_000 else str(int(v)) for v in values]
    if values.dtype.kind == "b":
        return ["yes" if v else "no" for v in values]
    return _told(values, limit)


def _told(values: np.ndarray, limit: int) -> list[str]:
    """Texts of at most `limit` characters, or of a few more where that keeps them unlike without numbers."""
    texts = [plain(v) for v in values]
    for most in range(limit, WIDEST, 6):
        found = told_apart(texts, most)
        if not any(
            _NUMBERED.search(short) and short != text for short, text in zip(found, texts, strict=True)
        ):
            return found
    return told_apart(texts, limit)


def notes(result: Table, *, rows: int | None = None, **_ignored) -> tuple[str, ...]:
    n, limit = length(result), rows or ROWS_ON_SCREEN
    said = []
    if n > limit:
        said.append(f"the first {limit:,} of {n:,} rows; the CSV file has them all")
    if result.sort in result.columns:
        said.append(f"sorted by {plain(result.sort)}")
    return tuple(said)


def screen(result: Table, theme: Theme, *, rows=ROWS_ON_SCREEN, height=420, title=True):
    """Plotly table of the first rows."""
    import plotly.graph_objects as go

    figure = screen_figure(theme, result.title, notes(result, rows=rows), height=height, show_title=title)
    order = drawing_order(result)[:rows]
    cells = [[markup(text) for text in shown(np.asarray(c)[order])] for c in result.columns.values()]
    sides = ["right" if is_number(c) else "left" for c in result.columns.values()]
    font = {"size": 12, "color": theme.text}
    head = {
        "values": [f"<b>{markup(name, 28)}</b>" for name in result.columns],
        "align": sides,
        "font": font,
        "fill": {"color": translucent(theme.missing, 0.2)},
        "line": {"color": theme.grid},
        "height": 28,
    }
    body = {
        "values": cells,
        "align": sides,
        "font": font,
        "fill": {"color": "rgba(0,0,0,0)"},
        "line": {"color": theme.grid},
        "height": 24,
    }
    figure.add_trace(go.Table(header=head, cells=body))
    figure.update_layout(margin={"l": 8, "r": 8, "b": 8})
    return figure


def on_page(result: Table, sheet: Sheet) -> tuple[list[str], list[list[str]], list[str], list[str]]:
    """(heads, cell texts by column, sides, notes): the columns and rows that fit on this sheet."""
    limit, room = _most_rows(sheet), sheet.room(CHARACTERS[sheet.width])
    order = drawing_order(result)[:limit]
    heads, columns, sides, used = [], [], [], 0
    for name, values in result.columns.items():
        texts = shown(np.asarray(values)[order], 22)
        head = shorten(name, 18)
        needs = max(map(breadth, [head, *texts])) + 2
        if heads and used + needs > room:
            break
        used += needs
        heads.append(head)
        columns.append(texts)
        sides.append("right" if is_number(values) else "left")
    said = list(notes(result, rows=limit))
    if len(heads) < len(result.columns):
        said.append(f"{len(result.columns) - len(heads)} of {len(result.columns)} columns do not fit here")
    return heads, columns, sides, said


def _most_rows(sheet: Sheet) -> int:
    """That fit below the head."""
    return max(1, min(ROWS_ON_PAPER[sheet.width], int((sheet.highest - 0.4) / (LINE * sheet.scale) - 1.6)))


def paper_height(result: Table, sheet: Sheet) -> float:
    """Inches that the rows need at print size."""
    return (min(length(result), _most_rows(sheet)) + 1.6) * LINE * sheet.scale + 0.16 * sheet.scale


def paper(result: Table, page: Page, **_ignored) -> None:
    """Rules above, below the head and at the end, as booktabs sets them; numbers to the right."""
    heads, columns, sides, _ = on_page(result, page.sheet)
    axes = page.figure.add_subplot()
    axes.set_axis_off()
    lines = len(columns[0]) + 1
    room = (page.figure.get_figheight() - sum(page.grown)) / (
        LINE * page.scale
    )  # beside a high neighbour: more lines than there are
    axes.set_ylim(max(lines + 0.1, room / LOOSEST), -0.1)
    widths = np.array([max(map(breadth, [h, *c])) + 2 for h, c in zip(heads, columns, strict=True)], float)
    stops = np.r_[0, np.cumsum(widths)]
    total = max(stops[-1], page.characters * (0.5 if page.width == "double" else 0.9))
    axes.set_xlim(0, total)
    for head, texts, side, start, stop in zip(heads, columns, sides, stops[:-1], stops[1:], strict=True):
        x = stop - 0.8 if side == "right" else start + 0.6
        axes.text(x, 0.5, head, ha=side, va="center", fontweight="bold")
        for i, text in enumerate(texts):
            axes.text(x, i + 1.5, text, ha=side, va="center")
    for y, thick in ((0, 0.9), (1, 0.5), (lines, 0.9)):
        axes.plot([0, stops[-1]], [y, y], color="#1a1a1a", linewidth=thick * page.scale, clip_on=False)


def table(result: Table, **_ignored) -> dict[str, np.ndarray]:
    """All columns and rows, in drawing order."""
    order = drawing_order(result)
    return {name: np.asarray(values)[order] for name, values in result.columns.items()}


def words(result: Table) -> str:
    parts = [
        f"Table of {length(result):,} row(s), one per {plain(result.index)}, and {len(result.columns):,} column(s)."
    ]
    order = drawing_order(result)
    if result.sort in result.columns:
        parts.append(f"Sorted by {plain(result.sort)}.")
    for name, values in list(result.columns.items())[:5]:
        values = np.asarray(values)
        good = values[np.isfinite(values)] if values.dtype.kind == "f" else values
        if is_number(values) and len(good):
            parts.append(f"{shorten(name)} from {number(good.min())} to {number(good.max())}.")
    first = "; ".join(
        f"{shorten(n)} {shown(np.asarray(v)[order[:1]])[0]}" for n, v in list(result.columns.items())[:5]
    )
    parts.append(f"First row: {first}.")
    return " ".join(parts)
