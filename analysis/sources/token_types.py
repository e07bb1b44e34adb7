"""What the tokens of a tap are, where they are not a class token, registers and then patches: a token-type map.

"class:1+patch:4x4+head:4"     one class token, sixteen patches, one token of each of four heads, in this order

Counts add up to the tokens of the tap. Rows are kept with everything that is no patch in front, the class token first,
so that a store knows such a tap as a grid with leading tokens, like any other: its patches are the H·W rows behind
them, means leave head tokens out, and "cls" is the class token. `told` says which leading row is what.

Reference: "Bridging the gap between vision transformers and convolutional neural networks on small datasets" (one head
token for each head of attention).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from math import isqrt

from analysis.errors import ParameterError

CLASS, PATCH = "class", "patch"
PART = re.compile(r"([a-z][a-z _]*?)\s*:\s*(\d+)(?:x(\d+))?")
EXPECTED = "a type and its count for each run of tokens, such as class:1+patch:4x4+head:4"


@dataclass(frozen=True)
class TokenTypes:
    """`parts` runs of tokens as the network has them: (type, first, count). `grid` of the patches."""

    parts: tuple[tuple[str, int, int], ...]
    grid: tuple[int, int]

    @property
    def order(self) -> tuple[int, ...]:
        """Places of the tokens as they are kept: class token, what else is no patch, patches."""
        kinds = sorted(self.parts, key=lambda p: (p[0] == PATCH, p[0] != CLASS))  # a stable sort
        return tuple(i for _, first, count in kinds for i in range(first, first + count))

    @property
    def leading(self) -> int:
        """Tokens that are no patch."""
        return sum(count for kind, _, count in self.parts if kind != PATCH)

    @property
    def tokens(self) -> int:
        return len(self.order)

    @property
    def has_class(self) -> bool:
        return any(kind == CLASS for kind, _, _ in self.parts)

    @property
    def told(self) -> str:
        """Which rows of a sample are what, in words."""
        said, at = [], 0
        for kind, _, count in sorted(self.parts, key=lambda p: (p[0] == PATCH, p[0] != CLASS)):
            rows = f"row {at}" if count == 1 else f"rows {at} to {at + count - 1}"
            said.append(f"{rows}: {kind}")
            at += count
        return "token types, in the order kept: " + ", ".join(said)


def token_types(text: str, tokens: int | None = None) -> TokenTypes:
    """The map that a text says, of so many tokens; of as many as it names, where the tap is not known yet.

    Raises
    ------
    ParameterError
        Another form; counts that do not add up to the tokens; patches that are no one run, or fill no grid; more than
        one class token.
    """
    parts, grid, first = [], None, 0
    for part in text.split("+"):
        found = PART.fullmatch(part.strip())
        if found is None:
            raise ParameterError(f"{part!r} in the token types {text!r}", EXPECTED)
        kind, count = found[1].strip(), int(found[2]) * int(found[3] or 1)
        if count < 1:
            raise ParameterError(f"{part!r} in the token types {text!r}", "a count of 1 or more")
        if kind == PATCH and grid is not None:
            raise ParameterError(f"several runs of patches in {text!r}", "one: the grid is read row by row")
        if kind == PATCH:
            grid = (int(found[2]), int(found[3])) if found[3] else _square(count, text)
        parts.append((kind, first, count))
        first += count
    if tokens is not None and first != tokens:
        raise ParameterError(
            f"token types {text!r}, which are {first} tokens", f"the {tokens} tokens of the tap"
        )
    if grid is None:
        raise ParameterError(f"token types {text!r} without patches", EXPECTED)
    if sum(count for kind, _, count in parts if kind == CLASS) > 1:
        raise ParameterError(f"several class tokens in {text!r}", "one, the others under a name of their own")
    return TokenTypes(tuple(parts), grid)


def fitting(texts: Iterable[str], tokens: int) -> TokenTypes | None:
    """The first of these maps whose counts add up to the tokens; None where none does."""
    for text in filter(None, texts):
        counts = [
            int(c[2]) * int(c[3] or 1) for c in map(PART.fullmatch, map(str.strip, text.split("+"))) if c
        ]
        if sum(counts) == tokens:
            return token_types(text, tokens)
    return None


def _square(count: int, text: str) -> tuple[int, int]:
    side = isqrt(count)
    if side * side != count:
        raise ParameterError(
            f"{count} patches in {text!r}, which are no square", "their rows x columns, as in 4x8"
        )
    return side, side
