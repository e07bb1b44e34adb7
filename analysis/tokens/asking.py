"""One network that is asked about its tokens again and again: the dump of a sample, and its answer under a rule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.errors import InputError, NotFound
from analysis.sources.input_picture import picture_of
from analysis.spec import no_progress
from analysis.tokens.arithmetic import NetworkShape
from analysis.tokens.chance import chance_of
from analysis.tokens.dump import TokenDump, needed
from analysis.tokens.faults import SEEN, faults
from analysis.tokens.kept_dump import KeptDump
from analysis.tokens.opened import opened
from analysis.tokens.outputs import answers_of, changes
from analysis.tokens.rule import rule, rules
from analysis.tokens.rule_settings import with_settings
from analysis.tokens.schedule import schedule
from analysis.tokens.subject import RowSubject
from analysis.tokens.tap_dump import RUN

TOLD, REPEATS, DRAWS = 6, 3, 10  # answers; runs that are timed; times that as many tokens are kept at random


@dataclass(frozen=True)
class Applied:
    """One sample under a rule, tokens really removed. `answers` (name, probability before, after); `cosine` and `nats`
    (Kullback-Leibler, from the answer before) between answers, `by_chance` the same (cosine, nats) of as many tokens
    kept at random behind the same layers, draw by draw; `seconds_before`, `seconds` of a pass, least
    of three, and the most; `counts` (L + 1) tokens; `owners` (L + 1, T); `notes` what the rule could not do as asked;
    `faults` (what was looked for, verdict, sentence), as in `analysis.tokens.faults`."""

    answers: tuple[tuple[str, float, float], ...]
    cosine: float
    nats: float
    seconds_before: float
    seconds: float
    counts: tuple[int, ...]
    owners: np.ndarray
    notes: tuple[str, ...]
    faults: tuple[tuple[str, str, str], ...]
    by_chance: tuple[tuple[float, float], ...] = ()
    most_seconds_before: float = 0.0
    most_seconds: float = 0.0


class TokenDesk:
    """The network of a tap, opened once; where it cannot be run, the rows of the tap, `note` saying why.

    Raises NotEnoughData: no network, and fewer than two samples of two tokens.
    """

    def __init__(self, tap: Activations) -> None:
        self._shape: NetworkShape | None = None
        self.opened, self.rows, self.note, self._pooled = None, None, "", tap.layout.is_pooled
        try:
            self.opened = opened(tap, tap.layout.n_samples, attention=False)
        except (InputError, NotFound) as error:
            self.rows = RowSubject(tap, tap.layout.n_samples, np.random.default_rng(0), no_progress)
            self.note = f"The network is not run ({error.found}). {self.rows.note}"

    @property
    def shape(self) -> NetworkShape:
        if self._shape is None:
            self._shape = (self.rows or self.opened).shape()
        return self._shape

    def dump(self, sample: int) -> KeptDump:
        """What rules look at, of one sample of the store. One pass. Raises NotFound."""
        if self.rows is not None:
            return KeptDump(self._of_rows(sample), self.shape, None, (), (), self.note)
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
        one = with_settings(rule(name), settings or {})
        if self.rows is not None:
            return self._applied_to_rows(sample, one, share)
        place = self.opened.place(sample)
        inputs, network = self.opened.prepared(place, place + 1), self.opened.network

        def plan(n):
            return schedule(one.schedule, share, network.layers, n)

        def once(asked, record=()):
            how = (asked, plan) if asked else (None, None)
            return network.run(inputs, *how, rng=np.random.default_rng(0), record=record)

        whole, less = ([once(asked) for _ in range(REPEATS)] for asked in (None, one))
        seen = once(None, needed([one]))
        found = faults(TokenDump(seen.layout, seen.recorded), one, once(one, SEEN))
        before, after = answers_of(whole[0])[0], answers_of(less[0])[0]
        best = np.argsort(-np.maximum(before, after), kind="stable")[:TOLD]
        told = tuple((self.opened.answer_word(int(i)), float(before[i]), float(after[i])) for i in best)
        cosine, nats = changes(whole[0], less[0])
        chance = [network.run(inputs, chance_of(one), plan, rng=rng) for rng in _draws()]
        return Applied(
            told if self.opened.classifies else (), float(cosine[0]), float(nats[0]),
            min(r.seconds for r in whole), min(r.seconds for r in less),
            tuple(int(s.counts[0]) for s in less[0].states), np.stack([s.owner[0] for s in less[0].states]),
            less[0].notes, _told(found), tuple(tuple(float(v[0]) for v in changes(whole[0], run)) for run in chance),
            max(r.seconds for r in whole), max(r.seconds for r in less),
        )  # fmt: skip

    def _of_rows(self, sample: int) -> TokenDump:
        """Of a tap with one row of each sample the run of neighbours that the sample is in. Raises NotFound."""
        place = np.flatnonzero(self.rows.samples == (sample // RUN if self._pooled else sample))
        if self._pooled and not len(place):  # the last few samples make no whole run
            place = np.array([self.rows.n - 1])
        if not len(place):
            raise NotFound(
                f"sample {sample}, which has no two finite tokens",
                f"one of the {self.rows.n:,} samples that have",
                "Choose another sample",
            )
        return self.rows.dump.rows(slice(int(place[0]), int(place[0]) + 1))

    def _applied_to_rows(self, sample: int, one, share: float) -> Applied:
        given = self._of_rows(sample)
        whole = self.rows.answer(given).logits[0]

        def plan(n):
            return schedule(one.schedule, share, self.rows.layers, n)

        less = self.rows.answer(given, one, plan)
        chance = [self.rows.answer(given, chance_of(one), plan, None, rng).logits[0] for rng in _draws()]
        return Applied(
            (), _cosine(whole, less.logits[0]), 0.0, 0.0, 0.0,
            tuple(int(s.counts[0]) for s in less.states), np.stack([s.owner[0] for s in less.states]), less.notes,
            _told(faults(given, one, less)), tuple((_cosine(whole, found), 0.0) for found in chance),
        )  # fmt: skip


def _draws() -> list[np.random.Generator]:
    return [np.random.default_rng([1, k]) for k in range(DRAWS)]  # none is that of the rule


def _cosine(x: np.ndarray, y: np.ndarray) -> float:
    lengths = np.linalg.norm(x) * np.linalg.norm(y)
    return float(x @ y / lengths) if lengths > 0 else 1.0


def _told(found) -> tuple[tuple[str, str, str], ...]:
    return tuple((f.name, f.verdict, f.sentence) for f in found)
