"""Whose tokens: those of a network that can be run again, or the rows of a tap as they are.

Without a network a rule can still be run on what was recorded (`analysis.tokens.tap_dump`): the rows of a sample are
then its tokens, the same in each of a few layers, and the answer is the mean of the tokens that are left, weighed by
their size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from analysis.activations import Activations
from analysis.attribution.network_cost import ROWS
from analysis.errors import InputError, NotFound
from analysis.spec import Progress, no_progress
from analysis.tokens.arithmetic import NetworkShape
from analysis.tokens.dump import LEDGER, TokenDump, simulate
from analysis.tokens.opened import Opened, opened
from analysis.tokens.outputs import logits_of_answer
from analysis.tokens.recorded_dump import NOTE as RECORDED
from analysis.tokens.recorded_dump import parts_of, recorded_dump
from analysis.tokens.rule import Rule
from analysis.tokens.state import Step, TokenState, carried
from analysis.tokens.tap_dump import NOTE, RUN, dump_of_rows, sampled
from analysis.tokens.view import TokenLayout

AUTOMATIC = "the network where it can be run"
SOURCES = (AUTOMATIC, ROWS)
MERGING = (
    "The mean of rows does not judge merging: tokens merged into means weighed by size leave it as it was."
)


@dataclass(frozen=True)
class Answered:
    """Of b samples: `logits` (b, C), the states before each layer and after the last, what the tokens are, seconds of
    the pass, notes, and the steps behind each layer, None where nothing was done."""

    logits: np.ndarray
    states: list[TokenState]
    layout: TokenLayout
    seconds: float
    notes: tuple[str, ...]
    steps: list[Step | None]


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

    def one(self, place: int, names=LEDGER) -> tuple[object, TokenDump]:
        """(what `answer` takes, the dump) of the place-th sample alone, by one pass."""
        given = self.opened.prepared(place, place + 1)
        run = self.opened.network.run(given, record=tuple(names))
        return given, TokenDump(run.layout, run.recorded)

    def answer(self, given, rule: Rule | None = None, plan=None, settings=None, rng=None) -> Answered:
        """What the network says with the tokens that a rule leaves."""
        run = self.opened.network.run(given, rule, plan, settings, rng)
        return Answered(logits_of_answer(run), run.states, run.layout, run.seconds, run.notes, run.steps)


class RowSubject:
    """The rows of a tap, a few layers alike, and their mean as a class token; or what was recorded of several layers
    (`analysis.tokens.recorded_dump`). `note` : what stands for the network."""

    is_network, classifies, labels = False, False, None
    what, classes = "the recorded rows themselves", ()

    def __init__(
        self, tap: Activations, maximum: int, rng: np.random.Generator, progress: Progress, weights: bool = True
    ) -> None:  # fmt: skip
        parts = parts_of(tap)
        if parts:
            self.dump, self.samples, self.seen = recorded_dump(parts, maximum, rng, progress)
            self.note = RECORDED.format(blocks=self.dump.layers, what=", ".join(parts))
        else:
            self.dump, self.samples, self.seen = dump_of_rows(tap, maximum, rng, progress, weights)
            self.note = NOTE
        self.layers, self.recorded = self.dump.layers, bool(parts)
        lost = min(maximum, tap.layout.n_samples) - self.n if parts else 0
        left = [f"Samples with NaN or infinity are left out: {lost}."] if lost else []
        said = [
            *sampled(tap, maximum),
            self.note,
            *left,
            "The answer is the mean of the tokens that are left.",
        ]
        if tap.layout.is_pooled:
            said.append(f"{tap.name} holds one row of each sample: {RUN} neighbours are read as one sample.")
        self.notes: tuple[str, ...] = (*self.seen.notes, *said)
        self._width = self.dump.recorded["hidden"][-1].shape[2]

    @property
    def n(self) -> int:
        return len(self.samples)

    def shape(self) -> NetworkShape:
        """That of a block four times as wide inside, as is usual."""
        d = self._width
        return NetworkShape(self.layers, d, d, d, 4 * d)

    def dumps(self, size: int, names=LEDGER) -> Iterator[tuple[slice, TokenDump]]:
        return self.batches(size)

    def batches(self, size: int) -> Iterator[tuple[slice, TokenDump]]:
        return self.dump.blocks(size)

    def one(self, place: int, names=LEDGER) -> tuple[TokenDump, TokenDump]:
        """(what `answer` takes, the dump) of the place-th sample alone."""
        found = self.dump.rows(slice(place, place + 1))
        return found, found

    def answer(
        self, given: TokenDump, rule: Rule | None = None, plan=None, settings=None, rng=None
    ) -> Answered:
        """The mean of what the free tokens that are left have become, weighed by their size; nothing is timed."""
        x, free = given.recorded["hidden"][-1], given.layout.free
        states, notes = [TokenState.start(given.layout.present)] * (self.layers + 1), ()
        steps: list[Step | None] = [None] * self.layers
        if rule is not None:
            found = simulate(given, rule, plan, settings, rng)
            states, steps, notes = found.states, found.steps, found.notes
        if rule is not None and rule.merges:
            notes = (*notes, MERGING)
        left = states[-1]
        size = np.where(np.take_along_axis(free, np.maximum(left.at, 0), axis=1), left.size, 0.0)[:, :, None]
        went = [
            replace(s, values=None) if s and self.recorded else s for s in steps
        ]  # of another layer than x
        mean = (carried(x, states, went) * size).sum(axis=1) / np.maximum(size.sum(axis=1), 1)
        return Answered(mean, states, given.layout, float("nan"), notes, steps)


def subject(
    tap: Activations,
    maximum: int,
    rng: np.random.Generator,
    source: str = AUTOMATIC,
    progress: Progress = no_progress,
    attention: bool = True,
    weights: bool = True,
) -> tuple[NetworkSubject | RowSubject, tuple[str, ...]]:
    """Whose tokens of a tap, with at most `maximum` samples, and what is to be said about it. `attention`: a network
    has to have some. Without `weights` no T x T of them are made of rows.

    Raises NotEnoughData: too few samples of two tokens or more.
    """
    why = ()
    if source != ROWS:
        try:
            found = NetworkSubject(opened(tap, maximum, rng, attention))
            return found, found.notes
        except (InputError, NotFound) as error:
            why = (f"The network is not run: {str(error).split('. ')[0]}.",)
    rows = RowSubject(tap, maximum, rng, progress, weights)
    return rows, (*why, *rows.notes)
