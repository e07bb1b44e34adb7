"""Boxes that a person draws on a sample, and what a rule leaves of the tokens inside them.

Of N tokens, k of them kept at random, the number that is left of the m inside is hypergeometric: its mean is m k / N.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import comb

import numpy as np

from analysis.errors import ParameterError

BOX = re.compile(r"^\s*(?:rows?\s*)?(\d+)(?:\s*-\s*(\d+))?\s*,\s*(?:columns?\s*)?(\d+)(?:\s*-\s*(\d+))?\s*$")
SPAN = re.compile(r"^\s*(?:tokens?\s*)?(\d+)(?:\s*-\s*(\d+))?\s*$")
RANGE = 0.95  # of what chance leaves


@dataclass(frozen=True)
class Recall:
    """Of `total` tokens in boxes `standing` have a place of their own left, `inside` are left when those count that are
    inside another; `low`, `chance`, `high` what is standing of as many tokens kept at random, its mean between the
    ends of its middle 95 %."""

    standing: int
    inside: int
    total: int
    low: int
    chance: float
    high: int


def rectangles_of(text: str, rows: int, columns: int) -> list[tuple[int, int, int, int]]:
    """(top, low, first, last), counted from 0 and both ends inside, of the boxes "2-4, 3-5; 6, 1-7" (rows, columns;
    counted from 1). Raises ParameterError where that is no box, or one that is not on the picture."""
    out = []
    for part in (p for p in text.split(";") if p.strip()):
        found = BOX.match(part)
        if not found:
            raise ParameterError(
                f"box = {part.strip()!r}", "rows and columns of patches, such as 2-4, 3-5; several with ; between"
            )  # fmt: skip
        top, low, first, last = (int(g) if g else None for g in found.groups())
        low, last = top if low is None else low, first if last is None else last
        if not (1 <= top <= low <= rows and 1 <= first <= last <= columns):
            lies = f"{rows} rows and {columns} columns of patches"
            raise ParameterError(
                f"a box of rows {top} to {low} and columns {first} to {last}",
                f"one inside the picture, which has {lies if rows > 1 else f'one row of {columns} tokens'}, counted "
                "from 1, from the smaller number to the larger",
            )
        out.append((top - 1, low - 1, first - 1, last - 1))
    return out


def spans_of(text: str, tokens: int) -> list[tuple[int, int]]:
    """(first, last), both inside, of the stretches "5-9; 20" of so many tokens, counted from 0 as a film counts them.
    Raises ParameterError where that is no stretch, or one beyond the text."""
    out = []
    for part in (p for p in text.split(";") if p.strip()):
        found = SPAN.match(part)
        if not found:
            raise ParameterError(
                f"stretch = {part.strip()!r}", "numbers of tokens, such as 5-9; several with ; between"
            )
        first = int(found[1])
        last = int(found[2] or first)
        if not first <= last < tokens:
            raise ParameterError(
                f"a stretch of tokens {first} to {last}", f"one inside the text, tokens 0 to {tokens - 1}"
            )
        out.append((first, last))
    return out


def marked(text: str, cell: np.ndarray | None, grid: tuple[int, int] | None, tokens: int) -> np.ndarray:
    """(T,) bool: the tokens inside the boxes, which of a text (no `grid`) are stretches. Raises ParameterError."""
    inside = np.zeros(tokens, bool)
    if grid is None or cell is None:
        for first, last in spans_of(text, tokens):
            inside[first : last + 1] = True
        return inside
    for top, low, first, last in rectangles_of(text, *grid):
        row, column = np.divmod(cell, grid[1])
        inside |= (cell >= 0) & (row >= top) & (row <= low) & (column >= first) & (column <= last)
    return inside


def recall(owner: np.ndarray, inside: np.ndarray, free: np.ndarray) -> Recall:
    """Of tokens with `owner` (T,) those `inside` (T,) bool, where `free` (T,) bool are all that chance draws from."""
    standing = (owner == np.arange(len(owner))) & free
    inside = inside & free
    total, kept, left = int(inside.sum()), int(standing.sum()), int((owner[inside] >= 0).sum())
    n = int(free.sum())
    low, high = _middle(n, total, kept)
    return Recall(int(standing[inside].sum()), left, total, low, total * kept / max(n, 1), high)


def _middle(tokens: int, inside: int, kept: int) -> tuple[int, int]:
    """The ends between which the middle 95 % of the hypergeometric number lie."""
    every = comb(tokens, kept)
    steps = np.arange(inside + 1)
    share = np.cumsum(
        [comb(inside, i) * comb(tokens - inside, kept - i) / every if i <= kept else 0.0 for i in steps]
    )
    edge = (1 - RANGE) / 2
    return int(steps[share >= edge - 1e-12][0]), int(steps[share >= 1 - edge - 1e-12][0])
