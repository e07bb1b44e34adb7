"""What a rule may look at when it decides: the current tokens of some samples, at one place of a network or of a dump.

Everything that costs something is computed when it is asked for, once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from analysis.errors import InputError
from analysis.tokens.state import TokenState

PADDING, CLASS, REGISTER, PATCH, TEXT = -1, 0, 1, 2, 3
NO_CLASS = "There is no class token: what all tokens read on average ranks them instead."


@dataclass(frozen=True)
class TokenLayout:
    """What T tokens of B samples are. `kinds` (B, T) of the constants above; `free` (B, T) bool: a rule may remove it;
    `cell` (B, T) int: row-major place on the `grid` (rows, columns), -1 where there is none; `causal`: tokens read only
    those before them. `frames` : the grid is one picture of so many, one below the other."""

    kinds: np.ndarray
    free: np.ndarray
    cell: np.ndarray
    grid: tuple[int, int] | None = None
    causal: bool = False
    frames: int = 1

    @property
    def present(self) -> np.ndarray:
        return self.kinds != PADDING

    def rows(self, at) -> TokenLayout:
        """The same of some of the samples."""
        return TokenLayout(self.kinds[at], self.free[at], self.cell[at], self.grid, self.causal, self.frames)

    @property
    def class_at(self) -> int | None:
        """Where the one class token of every sample stands; None where there is none."""
        found = (self.kinds == CLASS).argmax(axis=1)
        has = (self.kinds == CLASS).any(axis=1)
        return int(found[0]) if has.all() and (found == found[0]).all() else None


@dataclass
class View:
    """t current tokens of B samples behind layer `layer` (0 the first) of `layers`. `ask(name)` gives, as NumPy arrays,
    "hidden" (B, t, d), "keys" and "queries" (B, H, t, e), "attention" (B, H, t, t) whose rows sum to 1; "mean keys"
    (B, t, e) and "mean attention" (B, t, t) are means over heads; "next attention" (B, H, t, t) and its mean, "next
    mean attention", are of the layer behind it on the current tokens; "plain keys" and "plain queries" are without
    rotary positions. `notes` : what a rule has to say about its decision."""

    layer: int
    layers: int
    state: TokenState
    layout: TokenLayout
    ask: Callable[[str], np.ndarray]
    notes: list[str] = field(default_factory=list)
    _known: dict[str, np.ndarray] = field(default_factory=dict, repr=False)

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._known:
            self._known[name] = self.ask(name)
        return self._known[name]

    def _of(self, values: np.ndarray, absent) -> np.ndarray:
        found = np.take_along_axis(values, np.maximum(self.state.at, 0), axis=1)
        return np.where(self.state.valid, found, absent)

    @property
    def kinds(self) -> np.ndarray:
        """(B, t) what each current token is."""
        return self._of(self.layout.kinds, PADDING)

    @property
    def free(self) -> np.ndarray:
        """(B, t) bool: may be removed."""
        return self._of(self.layout.free, False)

    @property
    def cell(self) -> np.ndarray:
        """(B, t) place on the grid, -1 where there is none."""
        return self._of(self.layout.cell, -1)

    def class_attention(self) -> np.ndarray:
        """(B, t) what the class token reads from each token, mean over heads; without one, what all tokens read of it
        on average, which is said."""
        at = (self.kinds == CLASS).argmax(axis=1)
        if not (self.kinds == CLASS).any(axis=1).all():
            self.notes.append(NO_CLASS)
            return self.received()
        return self["mean attention"][np.arange(len(at)), at]

    def last_attention(self, name: str = "mean attention") -> np.ndarray:
        """(B, t) what the last token reads from each token, mean over heads."""
        return self[name][np.arange(len(self.state.at)), self._last]

    @property
    def ahead(self) -> str:
        """The mean attention of the layer behind this one; behind the last layer its own."""
        return "next mean attention" if self.layer + 1 < self.layers else "mean attention"

    def answering_attention(self, name: str = "mean attention") -> np.ndarray:
        """(B, t) what the token that the answer is read from reads from each: the last one of text, else the class
        token; without either what all tokens read on average, which is said."""
        if not self.answers:
            self.notes.append(NO_CLASS)
            return self.received(name)
        return self[name][np.arange(len(self.state.at)), self.answering]

    @property
    def _last(self) -> np.ndarray:
        """(B,) where the last token stands; padding may be on either side."""
        valid = self.state.valid
        return valid.shape[1] - 1 - valid[:, ::-1].argmax(axis=1)

    @property
    def answers(self) -> bool:
        """Whether there is a token that the answer is read from: text, or a class token in every sample."""
        return self.layout.causal or bool((self.kinds == CLASS).any(axis=1).all())

    @property
    def answering(self) -> np.ndarray:
        """(B,) where the token stands that the answer is read from. Raises InputError where there is none."""
        if self.layout.causal:
            return self._last
        if not self.answers:
            raise InputError(
                "a network without text and without a class token", "a token that the answer is read from",
                "Choose a rule that does without one, such as ToMe or received attention",
            )  # fmt: skip
        return (self.kinds == CLASS).argmax(axis=1)

    def received(self, name: str = "mean attention") -> np.ndarray:
        """(B, t) what each token is read on average, over heads and over tokens that can read it."""
        attention, valid = self[name], self.state.valid
        reads = valid.astype(attention.dtype)[:, None, :]
        if not self.layout.causal:
            return (reads @ attention)[:, 0] / np.maximum(valid.sum(axis=1, keepdims=True), 1)
        readers = np.cumsum(valid[:, ::-1], axis=1)[:, ::-1]
        return (reads @ np.tril(attention))[:, 0] / np.maximum(readers, 1)
