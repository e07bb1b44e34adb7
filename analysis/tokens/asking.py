"""One network that is asked about its tokens again and again: the dump of a sample, and its answer under a rule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.errors import InputError
from analysis.tokens.arithmetic import NetworkShape
from analysis.tokens.dump import TokenDump, needed
from analysis.tokens.kept_dump import KeptDump
from analysis.tokens.opened import opened, picture_of
from analysis.tokens.outputs import answers_of, changes
from analysis.tokens.rule import rule, rules
from analysis.tokens.schedule import schedule

TOLD, REPEATS = 6, 3  # answers; runs that are timed


@dataclass(frozen=True)
class Applied:
    """One sample under a rule, tokens really removed. `answers` (name, probability before, after); `cosine` and `nats`
    (Kullback-Leibler, from the answer before) between answers; `seconds_before`, `seconds` of a pass, least of three;
    `counts` (L + 1) tokens; `owners` (L + 1, T); `notes` what the rule could not do as asked."""

    answers: tuple[tuple[str, float, float], ...]
    cosine: float
    nats: float
    seconds_before: float
    seconds: float
    counts: tuple[int, ...]
    owners: np.ndarray
    notes: tuple[str, ...]


class TokenDesk:
    """The network of a tap, opened once.

    Raises InputError, NotFound as `analysis.tokens.opened.opened`.
    """

    def __init__(self, tap: Activations) -> None:
        self.opened = opened(tap, tap.layout.n_samples)
        self._shape: NetworkShape | None = None

    @property
    def shape(self) -> NetworkShape:
        if self._shape is None:
            self._shape = self.opened.shape()
        return self._shape

    def dump(self, sample: int) -> KeptDump:
        """What rules look at, of one sample of the store. One pass. Raises NotFound."""
        place = self.opened.place(sample)
        inputs = self.opened.prepared(place, place + 1)
        run = self.opened.network.run(inputs, record=needed(list(rules().values())))
        p = answers_of(run)[0]
        best = np.argsort(-p, kind="stable")[:TOLD]
        answers = (
            tuple((self.opened.answer_word(int(i)), float(p[i])) for i in best)
            if self.opened.classifies
            else ()
        )
        return KeptDump(TokenDump(run.layout, run.recorded), self.shape, picture_of(inputs),
                        self.opened.words(place), answers)  # fmt: skip

    def applied(self, sample: int, name: str, share: float, settings: dict | None = None) -> Applied:
        """The answer when `share` of the free tokens is left by the rule of this name. Raises NotFound, InputError."""
        place, one = self.opened.place(sample), rule(name)
        inputs, network = self.opened.prepared(place, place + 1), self.opened.network
        try:
            given = one.settings(**(settings or {}))
        except TypeError:
            raise InputError(
                f"settings {sorted(settings or {})} of {one.title}", "those that the rule has"
            ) from None

        def once(rule_, plan):
            return network.run(inputs, rule_, plan, given if rule_ else None, np.random.default_rng(0))

        whole = [once(None, None) for _ in range(REPEATS)]
        less = [once(one, lambda n: schedule(one.schedule, share, network.layers, n)) for _ in range(REPEATS)]
        before, after = answers_of(whole[0])[0], answers_of(less[0])[0]
        best = np.argsort(-np.maximum(before, after), kind="stable")[:TOLD]
        told = tuple((self.opened.answer_word(int(i)), float(before[i]), float(after[i])) for i in best)
        cosine, nats = changes(whole[0], less[0])
        return Applied(
            told if self.opened.classifies else (), float(cosine[0]), float(nats[0]),
            min(r.seconds for r in whole), min(r.seconds for r in less),
            tuple(int(s.counts[0]) for s in less[0].states), np.stack([s.owner[0] for s in less[0].states]),
            less[0].notes,
        )  # fmt: skip
