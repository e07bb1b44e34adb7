"""Which number of one sample is explained, and what the same number would be of something else, for the null."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from analysis.attribution import targets
from analysis.attribution.backgrounds import Background
from analysis.attribution.exchanged_slopes import slopes_of
from analysis.attribution.one_sample import tap_numbers
from analysis.attribution.one_sample.tap_numbers import TapNumbers
from analysis.attribution.sample_run import SampleRun
from analysis.errors import InputError

NUMBERS = (*targets.KINDS, *tap_numbers.KINDS)


def of_classes(number: str) -> bool:
    """Whether it is a number of the network's answer."""
    return number in targets.KINDS


class AnswerQuestion:
    """A number of the answer; for the null the likeliest answers of `others`."""

    of = "other samples"

    def __init__(self, samples, run: SampleRun, number: str, answer: int | None, others: np.ndarray) -> None:
        if samples.number and number in (targets.LOGIT, targets.DIFFERENCE):
            number, answer = targets.LOGIT, answer or 0  # what the network gives is the number
        elif samples.number:
            raise InputError(
                f"the {number} of a network that gives {samples.number}, which is no class", "the number itself",
                f"Explain its {targets.LOGIT}",
            )  # fmt: skip
        self.target = targets.logit_target(run.logits, number, answer)
        self.sentence = "Explained is " + samples.what
        self._samples, self._others, self._ask = samples, others, (number, answer)
        asked = [c for c in (self.target.answer, self.target.against) if c is not None]
        self.words = samples.number or f"{self.target.kind} of " + " less ".join(map(samples.word, asked))

    def slopes(self, run: SampleRun, behind: Background, steps: int, progress: Callable) -> list:
        """Of every other sample, (tokens, units) each."""
        found = []
        for i, other in enumerate(self._others):
            progress(i / len(self._others))
            own = self._samples.run(int(other))
            target = targets.logit_target(own.logits, *self._ask)
            found.append(slopes_of(own, behind.rows, target, steps))
        return found


class TapQuestion:
    """A number of the tap itself; for the null the same of other references."""

    def __init__(self, samples, at: int, run: SampleRun, numbers: TapNumbers, draws: int) -> None:
        self._numbers, self._draws, self._vector = numbers, draws, samples.vector(at, run)
        self.target, self.of = numbers.target(self._vector), numbers.null_words
        self.words, self.sentence = self.target.words, f"Explained is where {samples.what} puts the sample"

    def slopes(self, run: SampleRun, behind: Background, steps: int, progress: Callable) -> list:
        found = []
        for i, target in enumerate(self._numbers.exchanged(self._vector, self._draws)):
            progress(min(i / self._draws, 1.0))
            found.append(slopes_of(run, behind.rows, target, steps))
        return found
