"""The language of the search box, read into a tree. Nothing is ever evaluated as code.

    query      = either { "or" either }
    either     = negated { ["and"] negated }            words beside each other must all match
    negated    = { "not" } ( "(" query ")" | condition )
    condition  = "unit" name operator number             unit 412 > 3
               | column operator value                   label = cat, loss > 2, confidence <= .5
               | column ":" value                        caption:beach, token:"New York"
               | word | "a phrase"                       anywhere in ids, texts, metadata, tokens
    operator   = "=" | "!=" | "<" | "<=" | ">" | ">="

Names and values with spaces or signs stand in double quotes; a quote inside is written twice or after a backslash. The
words and, or, not are read in any case.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from analysis.errors import ParameterError

EXAMPLES = (
    "cat",
    '"new york"',
    "label = cat and loss > 2",
    "unit 412 > 3",
    "not (caption:beach or caption:sea)",
)
LONGEST, DEEPEST, MOST_CONDITIONS = 2000, 40, 100
OPERATORS = ("=", "!=", "<", "<=", ">", ">=", ":")
_TOKEN = re.compile(
    r'\s*(?:(?P<quoted>"(?:[^"\\]|\\.|"")*")|(?P<sign><=|>=|!=|==|[=<>:()])|(?P<word>[^\s"()<>=:!]+|!))',
    re.DOTALL,
)


@dataclass(frozen=True)
class Text:
    """A word or phrase, anywhere."""

    text: str


@dataclass(frozen=True)
class Compare:
    """`name` (a column, or a unit where `unit` is true), an operator of OPERATORS, and the value as text."""

    name: str
    operator: str
    value: str
    unit: bool = False

    @property
    def shown(self) -> str:
        return f"{'unit ' if self.unit else ''}{self.name} {self.operator} {self.value}"


@dataclass(frozen=True)
class Not:
    part: Node


@dataclass(frozen=True)
class Both:
    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Either:
    parts: tuple[Node, ...]


Node = Text | Compare | Not | Both | Either


@dataclass(frozen=True)
class _Word:
    kind: str  # "quoted", "sign" or "word"
    text: str
    at: int  # position of its first character, from 1

    def is_(self, *words: str) -> bool:
        return self.kind != "quoted" and self.text.lower() in words


def parse(query: str) -> Node:
    """The tree of a query. Raises ParameterError naming the position, what was expected, and examples."""
    if len(query) > LONGEST:
        raise ParameterError(f"a query of {len(query):,} characters", f"at most {LONGEST:,}")
    reader = _Reader(query)
    if not reader.words:
        raise ParameterError("an empty query", "words, conditions, or both", "Try " + " · ".join(EXAMPLES))
    tree = reader.either(0)
    if reader.next is not None:
        raise reader.error("and, or, or the end" if reader.next.text != ")" else "a ( before this )")
    return tree


class _Reader:
    """Recursive descent over the words of one query."""

    def __init__(self, query: str) -> None:
        self.query, self.at, self.conditions = query, 0, 0
        self.words = self._split(query)

    def _split(self, query: str) -> list[_Word]:
        words, at = [], 0
        while query[at:].strip():
            found = _TOKEN.match(query, at)
            if found is None:  # the only thing that no pattern takes: a quote that is never closed
                start = at + len(query[at:]) - len(query[at:].lstrip())
                raise self._refusal(start + 1, 'a closing " for the one here')
            kind = found.lastgroup
            text = found.group(kind)
            if kind == "quoted":
                text = re.sub(r'\\(.)|""', lambda m: m.group(1) or '"', text[1:-1], flags=re.DOTALL)
            words.append(_Word(kind, "=" if text == "==" and kind == "sign" else text, found.start(kind) + 1))
            at = found.end()
        return words

    @property
    def next(self) -> _Word | None:
        return self.words[self.at] if self.at < len(self.words) else None

    def peek(self, ahead: int) -> _Word | None:
        return self.words[self.at + ahead] if self.at + ahead < len(self.words) else None

    def take(self) -> _Word:
        self.at += 1
        return self.words[self.at - 1]

    def error(self, expected: str) -> ParameterError:
        return self._refusal(self.next.at if self.next else None, expected)

    def _refusal(self, position: int | None, expected: str) -> ParameterError:
        shown = self.query if len(self.query) <= 80 else self.query[:79] + "…"
        if position is None:
            found = f"the query {shown!r} ends too soon (position {len(self.query) + 1})"
        else:
            found = f"the query {shown!r} cannot be read at position {position}: {self.query[position - 1 :][:20]!r}"
        return ParameterError(found, expected, "Examples: " + " · ".join(EXAMPLES))

    def either(self, depth: int) -> Node:
        parts = [self.both(depth)]
        while self.next and self.next.is_("or"):
            self.take()
            parts.append(self.both(depth))
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def both(self, depth: int) -> Node:
        parts = [self.negated(depth)]
        while self.next and not self.next.is_("or", ")"):
            if self.next.is_("and"):
                self.take()
            parts.append(self.negated(depth))
        return parts[0] if len(parts) == 1 else Both(tuple(parts))

    def negated(self, depth: int) -> Node:
        odd = False
        while self.next and self.next.is_("not"):
            self.take()
            odd = not odd
        part = self.group(depth) if self.next and self.next.is_("(") else self.condition()
        return Not(part) if odd else part

    def group(self, depth: int) -> Node:
        if depth >= DEEPEST:
            raise self.error(f"at most {DEEPEST} parentheses inside each other")
        opened = self.take()
        part = self.either(depth + 1)
        if self.next is None or not self.next.is_(")"):
            raise self._refusal(opened.at, "a ) for the ( here") if self.next is None else self.error("a )")
        self.take()
        return part

    def condition(self) -> Node:
        word = self.next
        self.conditions += 1
        if self.conditions > MOST_CONDITIONS:
            raise self.error(f"at most {MOST_CONDITIONS} conditions")
        if word is None or word.kind == "sign" or word.is_("and", "or"):
            raise self.error("a word, a phrase, a column or unit N")
        after, then = self.peek(1), self.peek(2)
        if word.is_("unit") and after and after.kind != "sign" and then and _is_operator(then):
            self.take()
            return self.comparison(unit=True)
        if after and _is_operator(after):
            return self.comparison()
        if not word.text.strip():
            raise self.error("something between the quotes")
        return Text(self.take().text)

    def comparison(self, unit: bool = False) -> Compare:
        name, operator = self.take().text, self.take().text
        if unit and operator == ":":
            self.at -= 1
            raise self.error("one of " + " ".join(OPERATORS[:-1]))
        if self.next is None or self.next.kind == "sign":
            raise self.error("a number" if unit else "a value")
        value = self.next.text
        if unit and not _is_number(value):
            raise self.error("a number")
        self.take()
        return Compare(name, operator, value, unit)


def _is_operator(word: _Word) -> bool:
    return word.kind == "sign" and word.text in OPERATORS


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text
