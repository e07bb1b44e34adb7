"""Which tokens are still there, and which input tokens are inside each: a partition, followed step by step.

A step says for every current token into which one it goes: itself (it stays), another (they are merged) or none (it is
dropped). Survivors keep their order. Samples may keep different numbers of tokens; rows are then padded at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.errors import ParameterError

GONE = -1


@dataclass(frozen=True)
class TokenState:
    """Of B samples with T input tokens, t of them current. `at` (B, t) int: the input token that each is named by,
    rising along a row, GONE at padding. `place` (B, T) int: where each input token is now, GONE where it was dropped.
    `size` (B, t) float: how many input tokens are inside, 0 at padding."""

    at: np.ndarray
    place: np.ndarray
    size: np.ndarray

    @classmethod
    def start(cls, present: np.ndarray) -> TokenState:
        """All tokens that `present` (B, T) bool says are there, each by itself."""
        present = np.asarray(present, bool)
        every = np.broadcast_to(np.arange(present.shape[1]), present.shape)
        own = np.where(present, every, GONE)
        return cls(own, own.copy(), present.astype(np.float64))

    @property
    def valid(self) -> np.ndarray:
        """(B, t) bool, False at padding."""
        return self.at != GONE

    @property
    def counts(self) -> np.ndarray:
        """(B,) current tokens."""
        return self.valid.sum(axis=1)

    @property
    def owner(self) -> np.ndarray:
        """(B, T) int: the input token that each one's survivor is named by, GONE where it was dropped."""
        found = np.take_along_axis(self.at, np.maximum(self.place, 0), axis=1)
        return np.where(self.place == GONE, GONE, found)

    def sources(self) -> np.ndarray:
        """(B, t, T) bool: which input tokens are inside which current one. Columns sum to 1, to 0 where dropped."""
        return (self.place[:, None, :] == np.arange(self.at.shape[1])[None, :, None]) & self.valid[:, :, None]


@dataclass(frozen=True)
class Step:
    """What a rule decided about t current tokens of B samples. `into` (B, t) int: the current token that each goes
    into, its own place where it stays, GONE where it is dropped or padding. `weight` (B, t) float, what each counts in
    a merge (None: its size); `summed`: weights are used as they are instead of being made to sum to 1 in a group.
    `score` (B, t) float: by what the rule judged, larger is kept (merged later), NaN where it did not judge.
    `rebuild` (B, t, t') float: of what the tokens are made again behind the last layer, where they are, from those that
    stay; rows sum to 1. `values` (B, t, d): what the tokens at the place where the rule acts become, where that is no
    mean of those that go into them; everything else of theirs is the mean."""

    into: np.ndarray
    score: np.ndarray
    weight: np.ndarray | None = None
    summed: bool = False
    rebuild: np.ndarray | None = None
    values: np.ndarray | None = None

    @property
    def kept(self) -> np.ndarray:
        """(B, t) bool."""
        return self.into == np.arange(self.into.shape[1])


def stay(state: TokenState) -> np.ndarray:
    """(B, t) the step in which nothing happens."""
    own = np.broadcast_to(np.arange(state.at.shape[1]), state.at.shape)
    return np.where(state.valid, own, GONE)


def survivors(step: Step) -> np.ndarray:
    """(B, t') places of the tokens that stay, rising, GONE at padding."""
    kept = step.kept
    counts = kept.sum(axis=1)
    order = np.argsort(~kept, axis=1, kind="stable")[:, : max(int(counts.max(initial=0)), 1)]
    return np.where(np.arange(order.shape[1]) < counts[:, None], order, GONE)


def after(state: TokenState, step: Step) -> TokenState:
    """The state when a step is done.

    Raises ParameterError where the step sends tokens into one that does not stay, which no rule may.
    """
    into = np.asarray(step.into)
    target = np.take_along_axis(into, np.maximum(into, 0), axis=1)
    if (np.where(into == GONE, GONE, target) != into).any() or (into[~state.valid] != GONE).any():
        raise ParameterError("a step that merges tokens into one that is gone", "targets that stay")
    keep = survivors(step)
    new = np.full(into.shape, GONE)
    rows = np.arange(len(into))[:, None]
    own = keep != GONE
    new[np.broadcast_to(rows, keep.shape)[own], keep[own]] = np.broadcast_to(
        np.arange(keep.shape[1]), keep.shape
    )[own]
    goes = np.where(into == GONE, GONE, np.take_along_axis(new, np.maximum(into, 0), axis=1))
    place = np.where(state.place == GONE, GONE, np.take_along_axis(goes, np.maximum(state.place, 0), axis=1))
    at = np.where(own, np.take_along_axis(state.at, np.maximum(keep, 0), axis=1), GONE)
    return TokenState(at, place, grouped_sums(state.size, goes, keep.shape[1]))


def goes_to(step: Step) -> np.ndarray:
    """(B, t) place among the survivors that each current token goes to, GONE where dropped."""
    rank = np.cumsum(step.kept, axis=1) - 1
    return np.where(step.into == GONE, GONE, np.take_along_axis(rank, np.maximum(step.into, 0), axis=1))


def grouped_sums(values: np.ndarray, goes: np.ndarray, groups: int) -> np.ndarray:
    """(B, groups) sums of `values` (B, t) over tokens that go to the same place."""
    b = len(values)
    flat = np.where(goes == GONE, b * groups, goes + np.arange(b)[:, None] * groups)
    return np.bincount(flat.ravel(), values.ravel(), b * groups + 1)[:-1].reshape(b, groups)


def shares(state: TokenState, step: Step) -> np.ndarray:
    """(B, t) what each current token counts in the one it goes to, 0 where dropped; they sum to 1 in a group unless
    the step says otherwise. A group of weight 0 counts its tokens alike."""
    weight = state.size if step.weight is None else np.asarray(step.weight, np.float64)
    weight = np.where(step.into == GONE, 0.0, weight)
    if step.summed:
        return weight
    goes = goes_to(step)
    width = max(int(step.kept.sum(axis=1).max(initial=0)), 1)
    total = np.take_along_axis(grouped_sums(weight, goes, width), np.maximum(goes, 0), axis=1)
    alike = np.take_along_axis(grouped_sums((goes != GONE) * 1.0, goes, width), np.maximum(goes, 0), axis=1)
    share = np.where(total > 0, weight / np.where(total > 0, total, 1.0), 1.0 / np.maximum(alike, 1))
    return np.where(step.into == GONE, 0.0, share)


def merged(x: np.ndarray, state: TokenState, step: Step) -> np.ndarray:
    """(B, t', ...) values `x` (B, t, ...) of the tokens after a step: means by `shares`, zeros at padding."""
    keep, share = survivors(step), shares(state, step)
    extra = (1,) * (x.ndim - 2)
    at = np.maximum(keep, 0)
    weight = np.where(keep == GONE, 0.0, np.take_along_axis(share, at, axis=1))
    out = x[np.arange(len(x))[:, None], at] * weight.reshape(*at.shape, *extra).astype(x.dtype)
    rows, tokens = np.nonzero((step.into != GONE) & ~step.kept)
    if len(rows):
        goes = goes_to(step)[rows, tokens]
        flat = out.reshape(-1, *x.shape[2:])
        add = x[rows, tokens] * share[rows, tokens].reshape(-1, *extra).astype(x.dtype)
        np.add.at(flat, rows * out.shape[1] + goes, add)
    return out


def carried(x: np.ndarray, states: Sequence[TokenState], steps: Sequence[Step | None]) -> np.ndarray:
    """(B, t', d) what tokens x (B, T, d) have become behind all steps, were nothing else to change them."""
    for state, step in zip(states, steps, strict=False):
        if step is None:
            continue
        if step.values is None:
            x = merged(x, state, step)
            continue
        keep = survivors(step)[:, :, None]
        x = np.where(keep == GONE, 0.0, np.take_along_axis(step.values, np.maximum(keep, 0), axis=1))
    return x
