"""Which number of one sample is explained, and what the same number would be of something else, for the null."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from analysis.attribution import targets
from analysis.attribution.one_sample import tap_numbers
from analysis.attribution.one_sample.tap_numbers import TapNumbers
from analysis.attribution.sample_run import SampleRun

NUMBERS = (*targets.KINDS, *tap_numbers.KINDS)


def of_classes(number: str) -> bool:
    """Whether it is a number of the network's answer."""
    return number in targets.KINDS


class AnswerQuestion:
    """A number of the answer; for the null the likeliest answers of `others`."""

    of = "other samples"

    def __init__(self, samples, run: SampleRun, number: str, answer: int | None, others: np.ndarray) -> None:
        number, answer = targets.number_wanted(samples, run.logits, number, answer)
        self.target = targets.logit_target(run.logits, number, answer)
        self.sentence = "Explained is " + samples.what
        self._samples, self._others, self._ask = samples, others, (number, answer)
        self.words = targets.words_of(samples, self.target, run.logits)

    def exchanged(self, run: SampleRun, progress: Callable) -> Iterator:
        """(run, target) of every other sample."""
        for i, other in enumerate(self._others):
            progress(i / len(self._others))
            own = self._samples.run(int(other))
            yield own, targets.logit_target(own.logits, *self._ask)


class TapQuestion:
    """A number of the tap itself; for the null the same of other references."""

    def __init__(self, samples, at: int, run: SampleRun, numbers: TapNumbers, draws: int) -> None:
        self._numbers, self._draws, self._vector = numbers, draws, samples.vector(at, run)
        self.target, self.of = numbers.target(self._vector), numbers.null_words
        self.words, self.sentence = self.target.words, f"Explained is where {samples.what} puts the sample"

    def exchanged(self, run: SampleRun, progress: Callable) -> Iterator:
        """(run, target) of other references."""
        for i, target in enumerate(self._numbers.exchanged(self._vector, self._draws)):
            progress(min(i / self._draws, 1.0))
            yield run, target
