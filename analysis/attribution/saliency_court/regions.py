"""A region of a map's places, and the equal ones that it is held against.

On a grid a rectangle, and every other place of the same rectangle; along a line a run of tokens, and every other run of
as many; of words the tokens that are these words, and as many others at random, or all such sets where they are few.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

from analysis.errors import InputError, NotFound, ParameterError

RANDOM_SETS = 99


@dataclass(frozen=True)
class Region:
    """`inside` (tokens,) bool; `equal` (m, tokens) bool: regions of the same size elsewhere or overlapping it, itself
    not among them; `words`: which it is."""

    inside: np.ndarray
    equal: np.ndarray
    words: str

    @property
    def area(self) -> float:
        """Share of all tokens."""
        return float(self.inside.mean())

    def share(self, values: np.ndarray) -> float:
        """Of the sizes of a map (tokens,); that of a map without any size is the area."""
        size = np.abs(values)
        return float(size[self.inside].sum() / size.sum()) if size.any() else self.area

    def place(self, values: np.ndarray) -> float:
        """Share of the equal regions that hold less of the map, ties half: 1 the first, 0.5 in the mean by chance."""
        return placed(float(np.abs(values)[self.inside].sum()), self.equal @ np.abs(values))

    def hit(self, values: np.ndarray, rng: np.random.Generator) -> bool:
        """Whether the largest value of a map lies inside; of equal ones any may be taken."""
        best = np.flatnonzero(values >= values.max())
        return bool(self.inside[rng.choice(best)])


def chance_to_be_first(sizes: np.ndarray, above: float) -> float:
    """Share of regions of these `sizes` (m + 1,), each against all the others, that are `placed` above so much: what a
    region that is any one of them has by chance. Of a few, or of equal ones, it is not 1 - above."""
    return float(np.mean([placed(own, np.delete(sizes, k)) > above for k, own in enumerate(sizes)]))


def placed(own: float, others: np.ndarray) -> float:
    """Share of `others` that are smaller, ties half."""
    same = np.isclose(others, own, rtol=1e-9, atol=0.0)
    return float(((others < own) & ~same).mean() + same.mean() / 2)


def rectangle(
    grid: tuple[int, int] | None, leading: int, tokens: int, top: int, left: int, high: int | None, wide: int | None
) -> Region:  # fmt: skip
    """From row `top` and column `left`, counted from 1, `high` x `wide` places, None for a quarter of the side; along a
    line from token `left`. Raises ParameterError where it leaves the grid."""
    rows, columns = grid or (1, tokens - leading)
    high = min(rows, high or max(1, rows // 4)) if grid else 1
    wide = wide or max(1, columns // 4)
    top = top if grid else 1
    if top < 1 or left < 1 or top - 1 + high > rows or left - 1 + wide > columns:
        size = f"{rows} x {columns} places" if grid else f"{columns} tokens"
        raise ParameterError(
            f"a region of {high} x {wide} from row {top}, column {left}", f"one inside {size}"
        )
    if high * wide == rows * columns:
        raise ParameterError(f"a region of all {high} x {wide} places", "a part of them")
    every = np.zeros((rows - high + 1, columns - wide + 1, tokens), bool)
    for r, c in np.ndindex(every.shape[:2]):
        one = np.zeros((rows, columns), bool)
        one[r : r + high, c : c + wide] = True
        every[r, c, leading:] = one.ravel()
    own = every[top - 1, left - 1].copy()
    others = np.delete(every.reshape(-1, tokens), (top - 1) * every.shape[1] + left - 1, axis=0)
    words = (
        f"rows {top}-{top - 1 + high}, columns {left}-{left - 1 + wide}"
        if grid
        else f"tokens {left}-{left - 1 + wide}"
    )
    return Region(own, others, words)


def of_words(texts: Sequence[str], asked: Sequence[str], rng: np.random.Generator) -> Region:
    """Tokens whose text is one of `asked`, spaces and capitals aside, or that are pieces of such a word of the whole
    text. Raises NotFound."""
    wanted = {word.strip().lower() for word in asked if word.strip()}
    inside = np.array([text.strip().lower() in wanted for text in texts])
    whole, ends = "".join(texts).lower(), np.cumsum([len(text) for text in texts])
    for word in sorted(wanted):
        for found in re.finditer(rf"(?<!\w){re.escape(word)}(?!\w)", whole):
            first, last = np.searchsorted(ends, [found.start(), found.end() - 1], side="right")
            inside[first : last + 1] = True
    if not inside.any():
        raise NotFound(
            f"none of the words {', '.join(sorted(wanted))} in the sample", "a sample that has one"
        )
    if inside.all():
        raise InputError("a sample of nothing but these words", "other words beside them")
    return Region(inside, _other_sets(inside, rng), "the words " + ", ".join(sorted(wanted)))


def _other_sets(inside: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(m, tokens) bool: other sets of as many tokens, each once: all of them, or `RANDOM_SETS`."""
    tokens, many = len(inside), int(inside.sum())
    if comb(tokens, many) - 1 <= RANDOM_SETS:
        sets = np.zeros((comb(tokens, many), tokens), bool)
        for row, some in zip(sets, combinations(range(tokens), many), strict=True):
            row[list(some)] = True
    else:
        sets = np.unique(rng.permuted(np.tile(inside, (2 * RANDOM_SETS, 1)), axis=1), axis=0)
        sets = rng.permutation(sets)
    return sets[(sets != inside).any(axis=1)][:RANDOM_SETS]
