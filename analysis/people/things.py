"""What can be written about, and what was written: plain frozen values, without a database."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from functools import cached_property

from analysis.errors import Busy, ParameterError

KINDS = ("feature", "sample", "selection", "figure", "tour", "link")
FIELDS = ("note", "name", "star", "tag", "reply", "resolved")  # that any thing may have
LONGEST = {
    "note": 20_000,
    "reply": 20_000,
    "name": 200,
    "tag": 60,
    "title": 200,
    "text": 20_000,
    "query": 100_000,
}
NO_TEXT = re.compile("[\0\ud800-\udfff]")  # what PostgreSQL or UTF-8 cannot hold
LONGEST_PART = 4_000  # of what names a thing: a store, a tap, a sample


@dataclass(frozen=True)
class Thing:
    """Something that people write about; made with `feature`, `sample`, `selection` or `figure`.

    item : the unit's number, the sample's id, the selection's name, the digest of a figure's recipe without versions.
    place : the relative URL where it is seen, for the feed; made_with : which versions made a figure (`figure_things`),
    kept with what is written. Both are no part of what the thing is.
    """

    kind: str
    store: str = ""
    tap: str = ""
    item: str = ""
    place: str = field(default="", compare=False)
    made_with: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ParameterError(f"a thing of kind {self.kind!r}", "one of " + ", ".join(KINDS))
        for part in (self.store, self.tap, self.item):
            checked(part, "the name of what is written about", LONGEST_PART)

    @classmethod
    def feature(cls, store: str, tap: str, unit: int, place: str = "") -> Thing:
        """A unit, or a feature of an encoded tap."""
        return cls("feature", store, tap, str(int(unit)), place)

    @classmethod
    def sample(cls, store: str, id: str, place: str = "") -> Thing:
        """A sample by its own id: the same at every tap of its store."""
        return cls("sample", store, "", str(id), place)

    @classmethod
    def selection(cls, name: str, place: str = "") -> Thing:
        """A named selection."""
        return cls("selection", "", "", name.strip(), place)

    @classmethod
    def figure(
        cls, recipe: str, store: str = "", tap: str = "", place: str = "", made_with: str = ""
    ) -> Thing:
        """A figure: the digest of its recipe without versions. `store`, `tap` : of its first input."""
        return cls("figure", store, tap, recipe, place, made_with)

    @cached_property
    def id(self) -> str:
        """32 hexadecimal characters, the same on every machine."""
        return digest(self.kind, self.store, self.tap, self.item)


def digest(*parts: str) -> str:
    """32 hexadecimal characters for some texts."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Entry:
    """One thing that was written. `field` : of FIELDS. `part` : the tag, or a reply's number. `version` : the sequence
    number of its last change; give it back when you change it."""

    thing: Thing
    field: str
    part: str
    text: str
    author: str
    made: str
    version: int


@dataclass(frozen=True)
class Change:
    """One line of the history: `before` and `after` are texts, None where there was or is nothing.

    seq counts the workspace's changes without gaps, in the order in which they happened: it orders, never the time.
    field : of FIELDS, or "selection", "renamed" (of a selection), "tour", "link".
    """

    seq: int
    thing: Thing
    field: str
    part: str
    before: str | None
    after: str | None
    author: str
    made: str


@dataclass(frozen=True)
class About:
    """Everything on one thing."""

    note: Entry | None = None
    name: Entry | None = None
    star: Entry | None = None
    tags: tuple[Entry, ...] = ()
    replies: tuple[Entry, ...] = ()  # in their order
    resolved: Entry | None = None  # who called the thread settled


@dataclass(frozen=True)
class Link:
    """A page with its parameters, {name: [values]}; `seen` : what it showed then, {name: digest}."""

    id: str
    page: str
    params: dict[str, list[str]]
    seen: dict[str, str]
    author: str
    made: str


@dataclass(frozen=True)
class Step:
    """One stop of a tour: a short link's id, and what to say there."""

    link: str
    text: str = ""


@dataclass(frozen=True)
class Tour:
    """An ordered list of links with text. `version` as in `Entry`."""

    id: str
    title: str
    text: str
    steps: tuple[Step, ...]
    author: str
    made: str
    version: int


class EditConflict(Busy):
    """Somebody changed it since it was read. Nothing was written. `mine` : what was to be written (None: removed);
    `theirs` : the Entry (or Tour) that is there now, None where it was removed. Write again with `theirs.version` (0
    where None) to keep mine."""

    def __init__(self, what: str, mine: str | None, theirs: Entry | Tour | None) -> None:
        self.what, self.mine, self.theirs = what, mine, theirs
        who = f"{theirs.author or 'somebody'} changed" if theirs is not None else "somebody removed"
        super().__init__(f"{who} {what} while you were writing", "what you had read before",
                         "Keep yours, keep theirs, or merge the two; nothing is lost")  # fmt: skip

    @property
    def version(self) -> int:
        """What to write with, having seen theirs."""
        return self.theirs.version if self.theirs is not None else 0

    def __reduce__(self):
        return type(self), (self.what, self.mine, self.theirs)


def checked(text: str, what: str, longest: int) -> str:
    """The text, where every database can keep it. Raises ParameterError."""
    if not isinstance(text, str):
        raise ParameterError(f"{what} is {type(text).__name__}", "a text")
    if len(text) > longest:
        raise ParameterError(f"{what} has {len(text):,} characters", f"at most {longest:,}", "Shorten it")
    if NO_TEXT.search(text):
        raise ParameterError(f"{what} holds a character that is none (NUL, or half of a pair)", "text")
    return text
