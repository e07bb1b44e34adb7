"""Substring search in a column of texts: all of it as one string, searched once, instead of text by text."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations

SEPARATOR = "\x00"  # no query holds one


@dataclass(frozen=True)
class Joined:
    """`text`, all texts case-folded, each after a separator; `starts` (n,) where each begins."""

    text: str
    starts: np.ndarray

    @staticmethod
    def of(texts: Iterable[str]) -> Joined:
        folded = [t.casefold() for t in texts]
        lengths = np.fromiter(map(len, folded), np.int64, len(folded))
        return Joined(SEPARATOR.join(folded), np.cumsum(lengths + 1) - lengths - 1)

    def containing(self, words: str) -> np.ndarray:
        """(n,) bool: the texts that contain `words`, whatever the case. O(characters)."""
        mask = np.zeros(len(self.starts), bool)
        words = words.replace(SEPARATOR, "").casefold()
        if not words:
            return mask
        at, places = self.text.find(words), []
        while at >= 0:
            places.append(at)
            # on to the next text: one hit is enough
            end = self.text.find(SEPARATOR, at)
            at = self.text.find(words, end) if end >= 0 else -1
        mask[np.searchsorted(self.starts, places, side="right") - 1] = True
        return mask

    def equal(self, words: str) -> np.ndarray:
        """(n,) bool: the texts that are `words`, whatever the case."""
        words = words.casefold()
        ends = np.append(self.starts[1:] - 1, len(self.text)) if len(self.starts) else self.starts
        mask = (ends - self.starts) == len(words)
        for i in np.flatnonzero(mask) if words else ():
            mask[i] = self.text.startswith(words, self.starts[i])
        return mask


class _Key:
    """A column of activations as a key of the cache: equal digests mean equal columns."""

    def __init__(self, activations: Activations, column: str) -> None:
        self.activations, self.column = activations, column
        self.key = (activations.digest, column)

    def __eq__(self, other) -> bool:
        return isinstance(other, _Key) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


def joined_column(activations: Activations, column: str) -> Joined:
    """The texts of a sample column, made ready once; the last few are kept."""
    return _joined(_Key(activations, column))


@functools.lru_cache(maxsize=8)
def _joined(key: _Key) -> Joined:
    return Joined.of(map(str, np.asarray(key.activations.samples[key.column]).tolist()))
