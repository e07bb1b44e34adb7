"""The null strip on a page: HTML of a few hundred bytes a line, so that it costs the page no plotting library.

Loading one takes a browser most of a second, in which a map above it could not draw itself.
"""

from __future__ import annotations

from html import escape

from analysis.results import Estimate, Result
from dashboard.figures.estimates import detail_words, null_words, value_words
from dashboard.figures.rounding import rounded
from dashboard.figures.strip import MOST_LINES, NOTHING, at, known, rest, span
from dashboard.figures.style import Theme
from dashboard.figures.text import number, plain

_LINE = "display:flex;flex-wrap:wrap;gap:4px 32px;align-items:center;padding:5px 0"
_WORDS = "flex:1 1 340px;min-width:0;overflow-wrap:anywhere"
_DRAWN = "flex:1 1 280px;position:relative;height:46px;margin:0 8px"


def strip_on_page(result: Result, theme: Theme) -> str:
    """HTML of the strip: the words at the left, the line at the right; below each other where there is less room."""
    shown = result.estimates[:MOST_LINES]
    if not shown:
        return f"<p style='color:{theme.muted}'>{NOTHING}</p>"
    lines = "".join(_line(e, theme) for e in shown)
    more = "".join(
        f"<p style='color:{theme.muted};font-size:13px'>{escape(text)}</p>" for text in rest(result)
    )
    return f"<div style='color:{theme.text};font-size:14px;line-height:1.4'>{lines}{more}</div>"


def _line(e: Estimate, theme: Theme) -> str:
    under = "; ".join(part for part in (null_words(e), detail_words(e)) if part)
    words = (
        f"<div style='{_WORDS}'><b>{escape(plain(e.name))}</b>&ensp;{escape(value_words(e))}"
        f"<div style='color:{theme.muted};font-size:12px'>{escape(under)}</div></div>"
    )
    said = escape(f"{plain(e.name)} {value_words(e)}, {null_words(e)}", quote=True)
    drawn = f"<div style='{_DRAWN}' role='img' aria-label='{said}' title='{said}'>{_marks(e, theme)}</div>"
    return f"<div style='{_LINE}'>{words}{drawn}</div>"


def _marks(e: Estimate, theme: Theme) -> str:
    """The line with its ends, the null, then the value with its interval."""
    e = rounded(e)
    ends = span(e)
    if ends is None:
        return ""
    parts = [_box("line", 0, 1, 18, 2, theme.grid)]
    if known(e.null_low, e.null_high):
        low, high = at(e.null_low, ends), at(e.null_high, ends)
        parts.append(_box("null-band", low, high, 11, 16, theme.missing, "opacity:.45"))
    if known(e.null):
        parts.append(
            _box("null", at(e.null, ends), None, 8, 22, theme.missing, "width:3px;margin-left:-1.5px")
        )
    if known(e.low, e.high):
        low, high = at(e.low, ends), at(e.high, ends)
        parts.append(_box("interval", low, high, 18, 2, theme.accent))
        for end in (low, high):
            parts.append(_box("end", end, None, 14, 10, theme.accent, "width:2px;margin-left:-1px"))
    if known(e.value):
        round_ = "width:11px;margin-left:-5.5px;border-radius:50%"
        parts.append(_box("value", at(e.value, ends), None, 13.5, 11, theme.accent, round_))
    for value, side in zip(ends, ("left", "right"), strict=True):
        where = f"position:absolute;top:28px;{side}:0;font-size:11px;color:{theme.muted}"
        parts.append(f"<span style='{where}'>{escape(number(value))}</span>")
    return "".join(parts)


def _box(
    kind: str, low: float, high: float | None, top: float, tall: float, colour: str, more: str = ""
) -> str:
    """A box of one colour from `low` to `high` (shares of the line), or at `low`."""
    wide = "" if high is None else f"width:{100 * max(high - low, 0):.3f}%;"
    where = f"position:absolute;left:{100 * low:.3f}%;{wide}top:{top}px;height:{tall}px"
    return f"<i data-part='{kind}' style='{where};background:{colour};{more}'></i>"
