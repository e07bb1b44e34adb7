"""The papers behind the methods, as BibTeX: `papers.bib` beside this file, one entry for each paper.

An entry has what is known for sure: a title always, authors, year and venue where they are certain; nothing is guessed.
One that lacks any of these says so in its note, and the methods paragraph that cites it says it again.
Three fields are ours and are not given out: `index` are the titles by which methods and rules for tokens name the paper
(`Method.papers`, `Rule.papers`), `method` the methods that rest on it without naming it there, `library` the
distributions whose paper it is.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from analysis.errors import InputError
from analysis.sharing.latex_letters import latex_letters

FILE = Path(__file__).with_name("papers.bib")
OURS = ("index", "method", "library")
UNCONFIRMED = "details not confirmed"  # the note of an entry that is not whole
VENUES = ("journal", "booktitle", "howpublished")
_HEAD = re.compile(r"@(\w+)\s*\{\s*([^\s,{}]+)\s*,")
_FIELD = re.compile(r"\s*(\w+)\s*=\s*")


@dataclass(frozen=True)
class Entry:
    """One paper: BibTeX's type, its key, its fields in order."""

    type: str
    key: str
    fields: dict[str, str]

    def told(self, name: str) -> tuple[str, ...]:
        """The parts of one of our own fields."""
        return tuple(part.strip() for part in self.fields.get(name, "").split("|") if part.strip())

    @property
    def unconfirmed(self) -> bool:
        """Whether its authors, year or venue are to be looked up by whoever cites it."""
        return self.fields.get("note") == UNCONFIRMED

    def bibtex(self) -> str:
        """As BibTeX, without our own fields; letters beyond ASCII as LaTeX's commands. Without authors it is sorted by
        its title."""
        given = {name: value for name, value in self.fields.items() if name not in OURS}
        if "author" not in given:
            given["key"] = re.sub(r"[^A-Za-z0-9 ]", "", self.fields["title"].partition(":")[0])
        lines = [f"  {name} = {{{latex_letters(value)}}}" for name, value in given.items()]
        return f"@{self.type}{{{self.key},\n" + ",\n".join(lines) + "\n}\n"


@functools.cache
def entries() -> dict[str, Entry]:
    """All papers by key. Raises InputError where the file is not BibTeX."""
    return {entry.key: entry for entry in parsed(FILE.read_text(encoding="utf-8"))}


def bibtex(keys: Iterable[str]) -> str:
    """The entries of these keys, sorted. Raises KeyError for one that there is not."""
    return "\n".join(entries()[key].bibtex() for key in sorted(set(keys)))


@functools.cache
def key_of_title(title: str) -> str | None:
    """The key of the paper that methods call by this title; None for one that has no entry."""
    return _by("index").get(_plain(title), [None])[0]


def keys_of_method(id: str) -> tuple[str, ...]:
    """The papers behind a method, in the order that it names them."""
    from analysis import registry

    method = registry.methods().get(id)
    titles = method.papers if method is not None else ()
    return tuple(dict.fromkeys([*keys_of_titles(titles), *_by("method").get(_plain(id), [])]))


def keys_of_titles(titles: Iterable[str]) -> tuple[str, ...]:
    """The papers of these titles, in order; those without an entry are left out."""
    return tuple(dict.fromkeys(key for title in titles if (key := key_of_title(title)) is not None))


def keys_of_library(name: str) -> tuple[str, ...]:
    """The paper of a library, or the program itself."""
    return tuple(_by("library").get(_plain(name), []))


@functools.cache
def _by(field: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for entry in entries().values():
        for part in entry.told(field):
            found.setdefault(_plain(part), []).append(entry.key)
    return found


def _plain(title: str) -> str:
    """Titles compare by their letters and digits."""
    return re.sub(r"[^a-z0-9]+", " ", title.lower()).strip()


def parsed(text: str) -> list[Entry]:
    """The entries of a BibTeX text; values stand in braces. Raises InputError, naming the entry."""
    found, at, keys = [], 0, set()
    while (head := _HEAD.search(text, at)) is not None:
        between = text[at : head.start()].strip()
        type, key = head.group(1).lower(), head.group(2)
        if between and not between.startswith("%"):
            raise InputError(f"the bibliography has {between[:40]!r} before the entry {key}", "entries only")
        if key in keys:
            raise InputError(f"the bibliography has the key {key} twice", "one entry for each key")
        keys.add(key)
        fields, at = _fields(text, head.end(), key)
        found.append(Entry(type, key, fields))
    if text[at:].strip():
        raise InputError(f"the bibliography ends in {text[at:].strip()[:40]!r}", "entries only")
    return found


def _fields(text: str, at: int, key: str) -> tuple[dict[str, str], int]:
    fields: dict[str, str] = {}
    while True:
        rest = text[at:].lstrip()
        at = len(text) - len(rest)
        if rest.startswith("}"):
            return fields, at + 1
        name = _FIELD.match(text, at)
        if name is None or text[name.end() : name.end() + 1] != "{" or name.group(1) in fields:
            raise InputError(f"the entry {key} of the bibliography", "fields as name = {value}, each once")
        value, at = _braced(text, name.end(), key)
        fields[name.group(1)] = value
        if text[at : at + 1] == ",":
            at += 1


def _braced(text: str, at: int, key: str) -> tuple[str, int]:
    depth = 0
    for i in range(at, len(text)):
        depth += {"{": 1, "}": -1}.get(text[i], 0)
        if depth == 0:
            return text[at + 1 : i], i + 1
    raise InputError(f"the entry {key} of the bibliography", "as many closing braces as opening ones")
