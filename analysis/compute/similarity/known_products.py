"""Inner products of pairs of taps found before, so that a network added to a comparison costs its own work only.

For the same samples in the same groups an inner product of two taps is the same whatever else is compared, so it is
kept with the workspace by what the two are made of, in this order: the other order may differ in the last bit, and a
result must not depend on what was computed before. What is kept is a few hundred bytes a pair, on each of the samples'
groups; the values of the taps are read again by whoever needs a new pair of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.compute import kept
from analysis.compute.similarity.hsic import Inner
from analysis.compute.statistics.exchange_moments import Centred

NAME, VERSION = "inner products", 1


@dataclass(frozen=True)
class Own:
    """A tap's inner product with itself, and what the exchange of its samples needs to know."""

    own: Inner
    gram: Centred


class KnownProducts:
    """Those of taps with these `keys` (`CommonSamples.keys`), of samples in groups (n,). Without keys, or without a
    shelf to keep them on (a check, a call in a notebook), none."""

    def __init__(self, keys: Sequence[str] | None, group: np.ndarray) -> None:
        self._keys = [key.encode() for key in keys] if keys is not None and kept.shelved() else None
        self._n = len(group)
        self._made_of = {"groups": kept.content_digest(group), "version": VERSION}
        self._own: dict[bytes, Own] = {}
        self._pairs: dict[tuple[bytes, bytes], Inner] = {}
        self._new = False
        if self._keys is not None:
            self._read()

    def own(self, tap: int) -> Own | None:
        return None if self._keys is None else self._own.get(self._keys[tap])

    def pair(self, one: int, other: int) -> Inner | None:
        return None if self._keys is None else self._pairs.get((self._keys[one], self._keys[other]))

    def add(self, one: int, other: int, found: Inner, own: Own, others: Own) -> None:
        """A pair, with what each of its taps is to itself."""
        if self._keys is not None:
            a, b = self._keys[one], self._keys[other]
            self._pairs[a, b], self._own[a], self._own[b] = found, own, others
            self._new = True

    def save(self) -> None:
        """Keep what was added. Two processes at once: the later one's stays, and the other's is found again."""
        if not self._new:
            return
        pairs, own = list(self._pairs), list(self._own)
        arrays = {
            "pairs": np.array(pairs), "taps": np.array(own),
            "of pairs": np.array([[p.biased, p.unbiased] for p in self._pairs.values()]),
            "of taps": np.array([[o.own.biased, o.own.unbiased] for o in self._own.values()]),
            "grams": np.array([[o.gram.trace, o.gram.squared, o.gram.diagonal] for o in self._own.values()]),
        }  # fmt: skip
        kept.keep(NAME, self._made_of, arrays)
        self._new = False

    def _read(self) -> None:
        found = kept.find(NAME, self._made_of)
        if found is None:
            return
        for (a, b), (biased, unbiased) in zip(found["pairs"].tolist(), found["of pairs"], strict=True):
            self._pairs[a, b] = Inner(biased, unbiased)
        for tap, (biased, unbiased), gram in zip(
            found["taps"].tolist(), found["of taps"], found["grams"].tolist(), strict=True
        ):
            self._own[tap] = Own(Inner(biased, unbiased), Centred(*gram, self._n))
