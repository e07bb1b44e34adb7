"""Text as text: what a name may contain never becomes markup, a formula or a control character.

Names come from data sets and checkpoints, so they are somebody else's. Every drawing passes them through
here: `plain` for everything, then `markup` for Plotly, `tex` for LaTeX and `cell` for CSV.
"""

from __future__ import annotations

import re
import textwrap
import unicodedata

import numpy as np

from analysis.sharing.latex_letters import latex_letters
from dashboard.figures.plurals import counted

MINUS = "−"
_MARKDOWN = re.compile(r"[\\`*_{}\[\]<>#|~$^@&!]")
_FORBIDDEN = {"Cc", "Cs", "Co", "Cn"}
_DIRECTION = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")  # they could turn a label around
_JOINED = re.compile(r"([-`',?!<>])(?=[-`',<>])")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_UNSEEN = "\ufeff\u200b\u200c\u200d\u2060"
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"{\char34}", "[": "{[}",
}  # fmt: skip
_BREAKS = re.compile(r"(?<=[\w}])(\\_|[./:,=-])(?=[\w\\{$(])")


def plain(text) -> str:
    """One line of printable text: control characters, lone surrogates and direction marks taken out."""
    text = counted(_DIRECTION.sub("", str(text)))
    if text.isascii() and text.isprintable():
        return text
    kept = (" " if c in "\n\r\t\v\f" else c for c in text)
    return "".join(c if unicodedata.category(c) not in _FORBIDDEN else "�" for c in kept)


def shorten(text, limit: int = 32) -> str:
    """`plain` text of at most `limit` characters, cut in the middle, where names differ least."""
    text = plain(text)
    if len(text) <= limit:
        return text
    head = (limit - 1 + 1) // 2
    return text[:head] + "…" + text[len(text) - (limit - 1 - head) :]


def breadth(text: str) -> int:
    """About how many letters wide a text is drawn: East Asian letters, and what stands for one that fonts lack, are as
    wide as two."""
    if text.isascii():
        return len(text)
    return sum(2 if c == "�" or unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def markup(text, limit: int | None = None) -> str:
    """Text for Plotly, which reads HTML tags, entities, `$TeX$` and `%{templates}` in every label."""
    text = plain(text) if limit is None else shorten(text, limit)
    for mark, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("$", "&#36;"), ("%{", "&#37;{")):
        text = text.replace(mark, entity)
    return text


def tex(text) -> str:
    """Text for LaTeX with every special character escaped. A bracket or a star at the beginning of a line of a table
    would be read as an option of the line break before it, and repeated marks as one (-- as a dash)."""
    text = "".join(_TEX.get(c, c) for c in _JOINED.sub(r"\1\0", plain(text).replace("\0", "")))
    text = latex_letters(text).replace("\0", "{}")
    return "{*}" + text[1:] if text.startswith("*") else text


def tex_prose(text) -> str:
    """`tex`, with places where long names may be broken: LaTeX hyphenates none with a dot or a line in it."""
    words = (
        tex(word) if len(word) < 12 else _BREAKS.sub(r"\1\\allowbreak{}", tex(word))
        for word in plain(text).split(" ")
    )
    return " ".join(words)


def markdown(text) -> str:
    """Text for Markdown as it is, within a line: no markup, no link, no citation."""
    return _MARKDOWN.sub(r"\\\g<0>", plain(text))


def cell(text) -> str:
    """Text for a CSV cell: a leading apostrophe where a spreadsheet would otherwise run a formula.

    Text that is merely a number ("-1") is left alone, since a number cannot be a formula.
    """
    text = str(text).replace("\0", "")
    begins = text.startswith(_FORMULA) or text.lstrip().lstrip(_UNSEEN).lstrip().startswith(_FORMULA)
    return "'" + text if begins and not _NUMBER.fullmatch(text) else text


def number(value, digits: int = 3, *, padded: bool = False) -> str:
    """A number for people: significant digits (trailing zeros kept when `padded`), thousands separated, a real
    minus sign."""
    if value is None:
        return "not known"
    value = float(value)
    if np.isnan(value):
        return "not a number"
    if np.isinf(value):
        return "∞" if value > 0 else MINUS + "∞"
    if value == int(value) and abs(value) < 1e9 and not (padded and abs(value) < 100):
        shown = f"{int(value):,}"
    elif abs(value) >= 10**digits and abs(value) < 1e9:
        shown = f"{value:,.0f}"
    else:
        shown = (f"{value:#.{digits}g}" if padded else f"{value:.{digits}g}").rstrip(".")
    return shown.replace("-", MINUS)


def power_of_ten(value, _position=None) -> str:
    """A tick on a log axis without math markup: 10⁻³; plain digits between 0.01 and 1,000."""
    if value <= 0 or not np.isfinite(value):
        return ""
    if 0.009 < value < 1001:
        return f"{value:g}"
    exponent = int(np.floor(np.log10(value) + 1e-9))
    factor = value / 10.0**exponent
    power = "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return power if abs(factor - 1) < 1e-6 else f"{factor:g}×{power}"


def wrapped(text: str, width: int, lines: int = 4) -> list[str]:
    """At most `lines` lines of at most `width` characters; the last ends with … when text was cut."""
    found = textwrap.wrap(plain(text), width, break_long_words=True) or [""]
    if len(found) > lines:
        found = [*found[: lines - 1], found[lines - 1][: width - 1].rstrip() + "…"]
    return found


def unique(names) -> list[str]:
    """Names as given, repeated ones numbered so that no two are equal: a, a (2), a (3)."""
    found: dict[str, None] = {}
    for name in map(str, names):
        new, k = name, 1
        while new in found:
            k += 1
            new = f"{name} ({k})"
        found[new] = None
    return list(found)


def listed(names, limit: int = 6) -> str:
    """Names in a sentence: a, b, c and 4 more."""
    names = [plain(n) for n in names]
    if len(names) <= limit:
        return ", ".join(names)
    return ", ".join(names[: limit - 1]) + f" and {len(names) - limit + 1:,} more"
