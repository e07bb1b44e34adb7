"""What a result looks like at the end of a notebook's cell: its numbers with their intervals and nulls, in words.

Results know nothing of notebooks: IPython is told here how to show them. All text may come from data, and is escaped.
"""

from __future__ import annotations

import sys
from html import escape

from analysis.results import KINDS, Estimate, Result
from analysis.selection import Selection
from dashboard.figures.estimates import detail_words, null_words, value_words
from dashboard.figures.text import plain

_CELL = "text-align:left;vertical-align:top;padding:2px 14px 2px 0"
_HEADS = ("Number", "Value [interval]", "On structureless data", "How")


def result_html(result: Result) -> str:
    """Title, numbers with their nulls, reading, caveats, and how it was made."""
    parts = [f"<b>{_text(result.title)}</b>"]
    if result.estimates:
        head = "".join(f'<th style="{_CELL}">{name}</th>' for name in _HEADS)
        rows = "".join(f"<tr>{_row(e)}</tr>" for e in result.estimates)
        parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>")
    else:
        parts.append("<p>No single numbers: its values are in the figure and in its table.</p>")
    parts += [f"<p>{_text(result.reading)}</p>"] if result.reading else []
    if result.caveats:
        parts.append("<ul>" + "".join(f"<li>{_text(caveat)}</li>" for caveat in result.caveats) + "</ul>")
    parts += [f"<small>{_text(made_of(result))}</small>"] if result.origin else []
    return "<div>" + "".join(parts) + "</div>"


def result_text(result: Result) -> str:
    """The same for a terminal."""
    lines = [f"{result.kind}: {plain(result.title)}"]
    lines += [f"  {plain(e.name)}: {value_words(e)}, {null_words(e)}" for e in result.estimates]
    return "\n".join(lines)


def made_of(result: Result) -> str:
    """One line: method, version, inputs, seed."""
    origin = result.origin
    inputs = ", ".join(str(given.get("name", "")) for given in origin.inputs)
    return f"{origin.method} version {origin.version} on {inputs}, seed {origin.seed}"


def selection_text(selection: Selection) -> str:
    """Name, what it holds, and where it is from."""
    name = f"{plain(selection.name)}: " if selection.name else ""
    note = f" ({plain(selection.note)})" if selection.note else ""
    return f"{name}{plain(selection.described)}{note}"


def _row(e: Estimate) -> str:
    cells = (plain(e.name), value_words(e), null_words(e), detail_words(e))
    return "".join(f'<td style="{_CELL}">{_text(cell)}</td>' for cell in cells)


def _text(text: str) -> str:
    """As text, also where a notebook looks for formulas between dollars."""
    return escape(plain(text)).replace("$", "&#36;<span></span>")


def register() -> None:
    """Tell the IPython that runs this, if one does; done twice it is the same."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is None:
        return
    formatters = shell.display_formatter.formatters
    formatters["text/html"].for_type(Result, result_html)
    for kind in KINDS.values():  # one by one: a kind's own repr, with all its arrays, would come first
        formatters["text/plain"].for_type(kind, lambda r, printer, cycle: printer.text(result_text(r)))
    formatters["text/plain"].for_type(Selection, lambda s, printer, cycle: printer.text(selection_text(s)))
