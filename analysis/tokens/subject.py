"""Whose tokens: those of a network that can be run again, or the rows of a tap as they are.

Without a network a rule can still be run on what was recorded. The rows of a sample are then its tokens, the same in
each of a few layers; keys and queries are the rows, attention is softmax(x x' / √d), and the answer is the mean of the
tokens that are left, weighed by their size. A tap with one row of each sample is read as one sequence of tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.errors import InputError, NotEnoughData, NotFound
from analysis.tokens.arithmetic import NetworkShape
from analysis.tokens.dump import LEDGER, TokenDump, simulate
from analysis.tokens.opened import Opened, opened
from analysis.tokens.outputs import logits_of_answer
from analysis.tokens.rule import Rule
from analysis.tokens.state import TokenState
from analysis.tokens.view import CLASS, PADDING, PATCH, TokenLayout

AUTOMATIC, ROWS = "the network where it can be run", "the recorded rows"
SOURCES = (AUTOMATIC, ROWS)
LAYERS, MOST_TOKENS, FEWEST_TOKENS = 4, 256, 2


@dataclass(frozen=True)
class Answered:
    """Of b samples: `logits` (b, C), the states before each layer and after the last, what the tokens are, seconds of
    the pass, notes."""

    logits: np.ndarray
    states: list[TokenState]
    layout: TokenLayout
    seconds: float
    notes: tuple[str, ...]


class NetworkSubject:
    """A network that is run: tokens are really removed."""

    is_network = True

    def __init__(self, found: Opened) -> None:
        self.opened = found
        self.samples, self.labels, self.classes = found.samples, found.labels, found.classes
        self.notes, self.layers = found.notes, found.network.layers
        self.what = f"the network ({type(found.network.loaded.module).__name__})"
        self.classifies = found.classifies

    @property
    def n(self) -> int:
        return len(self.samples)

    def shape(self) -> NetworkShape:
        return self.opened.shape()

    def dumps(self, size: int, names=LEDGER) -> Iterator[tuple[slice, TokenDump]]:
        """(which of the samples, their dump); only "hidden" of a network without attention that can be read."""
        for part, inputs in self.opened.batches(size):
            run = self.opened.network.run(inputs, record=tuple(names))
            yield part, TokenDump(run.layout, run.recorded)

    def batches(self, size: int) -> Iterator[tuple[slice, object]]:
        """(which of the samples, what `answer` takes)."""
        return self.opened.batches(size)

    def answer(self, given, rule: Rule | None = None, plan=None, settings=None, rng=None) -> Answered:
        """What the network says with the tokens that a rule leaves."""
        run = self.opened.network.run(given, rule, plan, settings, rng)
        return Answered(logits_of_answer(run), run.states, run.layout, run.seconds, run.notes)


class RowSubject:
    """The rows of a tap, a few layers alike."""

    is_network, classifies, layers = False, False, LAYERS
    what, classes = "the recorded rows themselves", ()

    def __init__(self, tap: Activations, maximum: int, rng: np.random.Generator) -> None:
        layout = tap.layout
        self.notes: tuple[str, ...] = ()
        if layout.is_pooled:
            few = min(layout.n_rows, MOST_TOKENS)
            rows, self.samples = [np.arange(few)], np.zeros(1, int)
            self.notes = (
                f"{tap.name} holds one row of each sample: the first {few:,} are read as one sequence.",
            )
        else:
            chosen = np.sort(rng.permutation(layout.n_samples)[:maximum])
            self.samples = chosen
            rows = [np.arange(*layout.offsets[i : i + 2])[:MOST_TOKENS] for i in chosen]
            if max(map(len, rows)) == MOST_TOKENS:
                self.notes = (f"Of each sample the first {MOST_TOKENS} tokens.",)
        self._tap, self._rows = tap, rows
        label = tap.samples.get("label")
        self.labels = (
            None if label is None else np.unique(np.asarray(label), return_inverse=True)[1][self.samples]
        )
        if max(map(len, rows)) < FEWEST_TOKENS:
            raise NotEnoughData(
                f"samples of at most {max(map(len, rows))} tokens", f"at least {FEWEST_TOKENS}",
                "Record the tap with all its tokens",
            )  # fmt: skip
        self._leading, self._grid = layout.leading, layout.grid

    @property
    def n(self) -> int:
        return len(self.samples)

    def shape(self) -> NetworkShape:
        """That of a block four times as wide inside, as is usual."""
        d = self._tap.shape[1]
        return NetworkShape(LAYERS, d, d, d, 4 * d)

    def dumps(self, size: int, names=LEDGER) -> Iterator[tuple[slice, TokenDump]]:
        return self.batches(size)

    def batches(self, size: int) -> Iterator[tuple[slice, TokenDump]]:
        for start in range(0, self.n, size):
            part = slice(start, min(start + size, self.n))
            yield part, self._dump(self._rows[part])

    def answer(
        self, given: TokenDump, rule: Rule | None = None, plan=None, settings=None, rng=None
    ) -> Answered:
        """The mean of the tokens that are left, weighed by their size; nothing is timed."""
        x = given.recorded["hidden"][0]
        present = given.layout.present
        if rule is None:
            states, notes = [TokenState.start(present)] * (LAYERS + 1), ()
        else:
            found = simulate(given, rule, plan, settings, rng)
            states, notes = found.states, found.notes
        inside = states[-1].owner >= 0
        mean = (x * inside[:, :, None]).sum(axis=1) / np.maximum(inside.sum(axis=1), 1)[:, None]
        return Answered(mean, states, given.layout, float("nan"), notes)

    def _dump(self, rows: list[np.ndarray]) -> TokenDump:
        longest = max(map(len, rows))
        x = np.zeros((len(rows), longest, self._tap.shape[1]))
        kinds = np.full((len(rows), longest), PADDING)
        for i, at in enumerate(rows):
            values = np.asarray(self._tap.take(at), np.float64)
            good = np.isfinite(values).all(axis=1)
            x[i, : len(at)] = np.where(good[:, None], values, 0)
            kinds[i, : len(at)] = np.where(good, PATCH, PADDING)
            kinds[i, : self._leading] = np.where(good[: self._leading], CLASS, PADDING)
        if (kinds == PADDING).all():
            raise NotEnoughData(
                "rows that are not finite, all of them", "finite numbers", "Look at the tap's values"
            )
        every = np.arange(longest) - self._leading
        cells = 0 if self._grid is None else int(np.prod(self._grid))
        cell = np.where((kinds == PATCH) & (every < cells), every, -1)
        layout = TokenLayout(kinds, kinds == PATCH, cell, self._grid)
        scores = x @ x.transpose(0, 2, 1) / np.sqrt(x.shape[2])
        scores = np.where(layout.present[:, None, :], scores, -np.inf)
        top = np.where(layout.present.any(axis=1)[:, None, None], scores.max(axis=2, keepdims=True), 0)
        weights = np.exp(scores - np.where(np.isfinite(top), top, 0))
        attention = weights / np.maximum(weights.sum(axis=2, keepdims=True), 1e-300)
        heads = {"keys": x[:, None], "queries": x[:, None], "plain keys": x[:, None], "plain queries": x[:, None],
                 "values": x[:, None], "attention": attention[:, None], "mean keys": x,
                 "mean attention": attention, "between": x}  # fmt: skip
        return TokenDump(
            layout, {"hidden": [x] * (LAYERS + 1), **{k: [v] * LAYERS for k, v in heads.items()}}
        )


def subject(
    tap: Activations, maximum: int, rng: np.random.Generator, source: str = AUTOMATIC
) -> tuple[NetworkSubject | RowSubject, tuple[str, ...]]:
    """Whose tokens of a tap, with at most `maximum` samples, and what is to be said about it.

    Raises NotEnoughData: too few tokens.
    """
    if source == ROWS:
        found = RowSubject(tap, maximum, rng)
        return found, (*found.notes, _WITHOUT)
    try:
        found = NetworkSubject(opened(tap, maximum, rng))
        return found, found.notes
    except (InputError, NotFound) as error:
        rows = RowSubject(tap, maximum, rng)
        return rows, (*rows.notes, f"The network is not run: {str(error).split('. ')[0]}.", _WITHOUT)


_WITHOUT = (
    "Without a network its layers are alike, attention is softmax(x x' / √d) of the rows, and the answer is the mean "
    "of the tokens that are left."
)
