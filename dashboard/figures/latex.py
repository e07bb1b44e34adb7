"""A table for LaTeX, as the package booktabs sets it: as wide and as high as a page of two columns has room for."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass

import numpy as np

from analysis.results import Matrix, Result, Table
from dashboard.figures.captions import besides, caption
from dashboard.figures.estimates import estimates_table
from dashboard.figures.table import is_number, shown
from dashboard.figures.text import plain, shorten, tex, tex_prose

MOST_TEX_CELLS = 14  # along one side of a matrix
MOST_TEX_ROWS, FEWEST_TEX_ROWS = 40, 6
LONGEST_CELL = 40  # characters
LETTER = 5.2  # points that a letter takes at ten points, with some to spare
HIGHEST = 480  # points of a page, for caption and rows
NARROWEST = 60  # points of a column whose texts are broken into lines


@dataclass(frozen=True)
class Setting:
    """How a table is set: LaTeX's environment and size, the points between columns, those of a line, those across."""

    environment: str
    size: str
    part: float  # of ten points
    between: int
    across: float

    def width(self, column: tuple[str, ...]) -> float:
        """Points of a column of texts."""
        return LETTER * self.part * max(map(len, column)) + 2 * self.between


SETTINGS = (
    Setting("table", "", 1, 6, 229),
    Setting("table", "\\footnotesize", 0.8, 3, 229),
    Setting("table*", "", 1, 6, 469),
    Setting("table*", "\\footnotesize", 0.8, 3, 469),
    Setting("table*", "\\scriptsize", 0.7, 2, 469),
)


def tabular(result: Result, columns: dict, part: str) -> str:
    """A booktabs table. A table gives its rows, a small matrix its cells, anything else its estimates (or its
    numbers, when it has none); what the page has no room for is told in the caption."""
    small = isinstance(result, Matrix) and max(np.asarray(result.values).shape, default=0) <= MOST_TEX_CELLS
    if part == "figure" and result.estimates and not isinstance(result, Table) and not small:
        columns = _numbers(estimates_table(result))
    n, said = min((len(v) for v in columns.values()), default=0), caption(result)
    most = _most_rows(said)
    columns = columns or {"nothing": np.array([], dtype=str)}
    texts = {name: shown(np.asarray(v)[: min(n, most)], LONGEST_CELL) for name, v in columns.items()}
    heads = {name: _head(name, cells) for name, cells in texts.items()}
    setting, kept, widths = _set(texts, heads)
    most = min(most, _high_enough({k: texts[k] for k in widths}, widths, setting, most))
    lost = []  # in the caption: a comment would not be printed
    if n > most:
        lost.append(f"the first {most} of {n:,} rows")
    if len(kept) < len(texts):
        lost.append(f"{len(kept)} of {len(texts):,} columns")
    cut = f" Here are {' and '.join(lost)}; the CSV file has them all." if lost else ""
    sides = [
        f"p{{{widths[k]:.0f}pt}}" if k in widths else "r" if is_number(columns[k]) else "l" for k in kept
    ]
    rows = list(zip(*([tex(text) for text in texts[k][:most]] for k in kept), strict=True))
    return _written(
        setting, said + cut, "".join(sides), [_stacked(k, heads[k], k in widths) for k in kept], rows
    ) + _to_say(result)


def _to_say(result: Result) -> str:
    """A comment with what belongs into the text, since the caption has no room for it."""
    text = besides(result)
    return f"% To say in the text: {tex(text)}\n" if text else ""


def _numbers(table: dict) -> dict:
    """What of the estimates is printed; a size that is not known is no nought."""
    columns = {k: v for k, v in table.items() if k in ("name", "value", "low", "high", "null", "n", "d")}
    sizes = {k: np.where(columns[k] > 0, columns[k].astype(float), np.nan) for k in ("n", "d")}
    return {**columns, **sizes}


def _written(setting: Setting, said: str, sides: str, heads: list[str], rows: list[tuple[str, ...]]) -> str:
    lines = [
        "% needs \\usepackage{booktabs}",
        f"\\begin{{{setting.environment}}}",
        "\\centering",
        f"\\caption{{{tex_prose(said)}}}",
        *([setting.size] if setting.size else []),
        *([f"\\setlength{{\\tabcolsep}}{{{setting.between}pt}}"] if setting.between != 6 else []),
        f"\\begin{{tabular}}{{{sides}}}",
        "\\toprule",
        " & ".join(heads) + r" \\",
        "\\midrule",
        *(" & ".join(row) + r" \\" for row in rows),
        "\\bottomrule",
        "\\end{tabular}",
        f"\\end{{{setting.environment}}}",
    ]
    return "\n".join([*lines, ""])


def _most_rows(said: str) -> int:
    """Rows that stand below such a caption on a page, where it is as narrow as a column."""
    above = 12 * (len(said) * LETTER * 0.9 / SETTINGS[0].across + 2)
    return int(np.clip((HIGHEST - above) / 12 - 3, FEWEST_TEX_ROWS, MOST_TEX_ROWS))


def _high_enough(broken: dict, widths: dict[str, float], setting: Setting, most: int) -> int:
    """How many rows stand where `most` of one line do; columns `broken` into lines make theirs higher."""
    if not broken:
        return most
    letters = {k: max(int(widths[k] / (LETTER * setting.part)), 1) for k in broken}
    each = [max(len(_lines(row, n)) for row, n in zip(rows, letters.values(), strict=True))
            for rows in zip(*broken.values(), strict=True)]  # fmt: skip
    return max(
        int(np.searchsorted(np.cumsum(each) * setting.part, most, side="right")), min(FEWEST_TEX_ROWS, most)
    )


def _head(name: str, cells: list[str]) -> tuple[str, ...]:
    """A column's name in lines that are not much wider than what stands below."""
    widest = min(max([10, *(len(text) for text in cells)]), LONGEST_CELL)
    return tuple(_lines(shorten(plain(name), 60), widest)[:4] or [""])


def _lines(text: str, limit: int) -> list[str]:
    """Lines of at most so many characters, broken between words; in names of taps behind a point or a stroke."""
    found: list[str] = []
    for word in text.split():
        pieces = re.split(r"(?<=[._:/-])(?=.)", word) if len(word) > limit else [word]
        for k, piece in enumerate(pieces):
            between = "" if k else " "
            if found and len(found[-1] + between + piece) <= limit:
                found[-1] += between + piece
            else:
                found += textwrap.wrap(piece, limit)
    return found


def _stacked(name: str, head: tuple[str, ...], broken: bool) -> str:
    if broken or len(head) == 1:
        return tex(shorten(plain(name), 60))
    return "\\shortstack{" + "\\\\".join(tex(line) for line in head) + "}"


def _set(texts: dict[str, list[str]], heads: dict[str, tuple[str, ...]]):
    """(setting, the columns that there is room for, {column: points} of those whose texts are broken into lines)."""
    each = {name: (*heads[name], *cells) for name, cells in texts.items()}
    for setting in SETTINGS:
        if sum(setting.width(column) for column in each.values()) <= setting.across:
            return setting, list(each), {}
    setting = SETTINGS[-1]
    wide = {name: setting.width(column) for name, column in each.items()}
    least = {name: min(width, NARROWEST) if _is_text(each[name]) else width for name, width in wide.items()}
    kept, used = [], 0.0
    for name, width in least.items():
        if kept and used + width > setting.across:
            break
        kept.append(name)
        used += width
    spare, broken = setting.across - used, {}
    for name in sorted(
        kept, key=lambda k: wide[k] - least[k]
    ):  # what is short is set as it is, as long as it fits
        needs = wide[name] - least[name]
        if needs <= spare:
            spare -= needs
        else:
            broken[name] = least[name] - 2 * setting.between
    for name in broken:
        broken[name] += spare / len(broken)
    return setting, kept, broken


def _is_text(column: tuple[str, ...]) -> bool:
    return any(" " in text and len(text) > 12 for text in column)
