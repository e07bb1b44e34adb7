"""How well a linear probe tells the classes of a tap's samples that it did not see.

Ridge regression onto class membership, read by the nearest class mean of the fitted values (`linear.ridge_probe`), in
five folds with as many of each class as can be. With nothing to tell, the answers agree with the labels as they do when
the labels are shuffled: Σ (share of class c) (share of answers c), exactly. It favours no frequent class, so that
accuracies of taps whose classes are unequal can be compared; where the majority rate is to be the floor, as it is
after something was taken out, `linear.bayes_probe` is the one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations, sample_column
from analysis.compute.linear.cross_fitting import folds_of
from analysis.compute.linear.ridge_probe import held_out_predictions
from analysis.compute.rows.class_codes import class_codes
from analysis.compute.rows.samples import pooled_samples
from analysis.compute.streaming import refuse_few
from analysis.spec import Progress, no_progress

FOLDS, SMALLEST = 5, 5


@dataclass(frozen=True)
class Probed:
    """`right` (m,) bool of the labelled samples `ids` (m,); the agreement with shuffled labels by `chance`; `notes`."""

    right: np.ndarray
    ids: np.ndarray
    chance: float
    notes: tuple[str, ...]

    @property
    def accuracy(self) -> float:
        return float(self.right.mean())


def tap_probe(
    tap: Activations,
    at: np.ndarray,
    column: str,
    minimum: int,
    rng: np.random.Generator,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> Probed:
    """Of the samples `at` (m,) of a tap, tokens averaged, those in classes with at least five. O(n d min(n, d)).

    Raises
    ------
    NotFound, NotEnoughData
        No such column; fewer than two such classes, or than `minimum` samples in them.
    """
    middle = (span[0] + span[1]) / 2
    x, good, _ = pooled_samples(tap, "mean", at, progress, (span[0], middle))
    at = at[good]
    classes = class_codes(sample_column(tap, column)[at], column, SMALLEST)
    refuse_few(tap.name, len(classes.codes), minimum, "sample(s) with a label")
    y, fold = classes.one_hot(), folds_of(classes.codes, FOLDS, rng)
    scores = held_out_predictions(
        x[classes.stay],
        y,
        np.zeros(y.shape[1], np.int64),
        fold,
        np.array([True]),
        progress,
        (middle, span[1]),
    )
    answers = scores.argmax(axis=1)
    said = np.bincount(answers, minlength=y.shape[1]) / len(answers)
    chance = float(said @ (classes.counts / classes.counts.sum()))
    ids = np.asarray(tap.samples["id"]).astype(str)[at[classes.stay]]
    return Probed(answers == classes.codes, ids, chance, classes.notes)
