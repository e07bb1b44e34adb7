"""How much of a map lies outside what maps of the same way of other samples have at the same token.

A token is beyond where its value is larger, or smaller, than that of every other map that reaches so far. The null is
exact at every token: were the map one more of the others, each of the k values there would be the own one with equal
chance, so that it is beyond with probability

    (values that no other equals and that are the largest or the smallest) / k

which is 2 / k without ties, less with them (maps are 0 at many tokens), and more at the end of a long text, which few
others reach; where none does a token is not judged. Tokens of a map go together, as maps are smooth. So the spread of
the share is read from the others, each held against the rest, and Wilson's interval counts as many tokens as these
shares vary like.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.compute.statistics.nulls import add_one_p, wilson
from analysis.results import Estimate


@dataclass(frozen=True)
class Beyond:
    """Of so many `maps`: `found` bool by judged token, one map after the other; `null` their mean chance; `others`
    (draws,) the shares of the other maps, each against the rest; `left_out` tokens that no other map reaches."""

    found: np.ndarray
    null: float
    others: np.ndarray
    maps: int
    left_out: int

    @property
    def share(self) -> float:
        return float(self.found.mean()) if len(self.found) else 0.0

    @property
    def independent(self) -> float:
        """How many independent tokens the shares of the other maps vary like."""
        p, spread = float(self.others.mean()), float(self.others.var(ddof=1))
        each = len(self.found) / self.maps
        return self.maps * (float(np.clip(p * (1 - p) / spread, 1.0, each)) if spread > 0 else each)


def beyond_others(own: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> Beyond:
    """Maps (tokens,), NaN where a token has no value, of other lengths or the same, against two others or more."""
    found, chance, shares, left_out = [], [], [], 0
    for values in own:
        every = padded([values, *others])[:, : len(values)]
        extreme, reached = _extremes(every), np.isfinite(every)
        enough = reached.sum(axis=0) > 1
        judged = enough & reached[0]
        left_out += int((reached[0] & ~enough).sum())
        found.append(extreme[0, judged])
        chance.append((extreme.sum(axis=0) / np.maximum(reached.sum(axis=0), 1))[judged])
        shares.append(_shares(extreme[1:], reached[1:] & judged))
    found, chance = np.concatenate(found), np.concatenate(chance)
    null = float(chance.mean()) if len(chance) else 0.0
    return Beyond(found, null, np.mean(shares, axis=0), len(own), left_out)


def _extremes(every: np.ndarray) -> np.ndarray:
    """(maps, tokens) bool: the largest or the smallest value of a token, which no other map has."""
    ends = [np.where(np.isfinite(every), every, fill) for fill in (-np.inf, np.inf)]
    ends = [ends[0].max(axis=0), ends[1].min(axis=0)]
    alone = [(every == end) & ((every == end).sum(axis=0) == 1) for end in ends]
    return alone[0] | alone[1]


def _shares(extreme: np.ndarray, reached: np.ndarray) -> np.ndarray:
    """(maps,) over the tokens that each reaches; of one that reaches none 0."""
    return (extreme & reached).sum(axis=1) / np.maximum(reached.sum(axis=1), 1)


def padded(maps: Sequence[np.ndarray]) -> np.ndarray:
    """(maps, most tokens), NaN behind the end of a shorter one."""
    out = np.full((len(maps), max(len(m) for m in maps)), np.nan)
    for row, one in zip(out, maps, strict=True):
        row[: len(one)] = one
    return out


def beyond_estimate(found: Beyond, d: int) -> Estimate:
    """The share of tokens that lie beyond, against the share of the others."""
    draws, tokens, value = len(found.others), found.independent, found.share
    low, high = wilson(value * tokens, tokens)
    ends = np.percentile(found.others, [2.5, 97.5])
    return Estimate(
        "tokens beyond the null", value, min(low, value), max(high, value),
        interval=f"Wilson, as if of {tokens:,.0f} independent tokens: maps of other samples vary like that",
        null=found.null, null_low=float(ends[0]), null_high=float(ends[1]),
        null_method=f"each of {draws} other samples' maps against the rest; exact at every token, ties counted",
        p_value=float(add_one_p(value, found.others)), n=len(found.found), d=d,
        estimator="outside the smallest and largest value that other samples have at the same token",
    )  # fmt: skip
