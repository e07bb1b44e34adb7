"""Sentences with names, citations and emphasis in them, written as Markdown or as LaTeX. Whatever comes from a file or
a data set is escaped here and nowhere else."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from dashboard.figures.text import markdown, plain, tex, tex_prose

_LIST = re.compile(r"^(\d*)([-+=:.)])")  # what would make a list or a heading of a paragraph that begins so


@dataclass(frozen=True)
class Cite:
    """The papers behind what was just said, by their keys in the bibliography."""

    keys: tuple[str, ...]


@dataclass(frozen=True)
class Bold:
    """The letter of a panel."""

    text: str


@dataclass(frozen=True)
class Code:
    """A name as a program spells it: a tap, a parameter, a digest."""

    text: str


Prose = list  # of str, Cite, Bold, Code


def as_markdown(prose: Iterable) -> str:
    """Markdown as Pandoc reads it: [@key; @other]."""
    text = "".join(_markdown(piece) for piece in prose).strip()
    return _LIST.sub(r"\1\\\2", text)


def as_tex(prose: Iterable) -> str:
    """LaTeX that needs no package."""
    return "".join(_tex(piece) for piece in prose).strip()


def _markdown(piece) -> str:
    if isinstance(piece, Cite):
        return " [" + "; ".join(f"@{key}" for key in piece.keys) + "]" if piece.keys else ""
    if isinstance(piece, Bold):
        return f"**{markdown(piece.text)}**"
    if isinstance(piece, Code):
        text = plain(piece.text)
        return f"`{text}`" if text and "`" not in text and text == text.strip() else markdown(text)
    return markdown(piece)


def _tex(piece) -> str:
    if isinstance(piece, Cite):
        return "~\\cite{" + ",".join(piece.keys) + "}" if piece.keys else ""
    if isinstance(piece, Bold):
        return f"\\textbf{{{tex(piece.text)}}}"
    if isinstance(piece, Code):
        return f"\\texttt{{{tex_prose(piece.text)}}}"
    text = piece.strip(" ")  # blanks at the ends stand between pieces
    return (
        " " * piece.startswith(" ") + tex_prose(text) + " " * piece.endswith(" ")
        if text
        else " " * bool(piece)
    )


def joined(pieces: list[Prose], between: str = "; ", last: str = "; ") -> Prose:
    """Several pieces of a sentence: a; b; c (`last` stands before the last)."""
    found: Prose = []
    for i, piece in enumerate(pieces):
        if i:
            found.append(last if i == len(pieces) - 1 else between)
        found += piece
    return found


def words(items: list[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1] if items else ""
