"""Three readers of a concept, judged on samples that had no part in fitting them: linear, MLP, nearest neighbours.

Folds of the samples are read by probes of the others. *Linear*: multinomial logistic regression with a ridge (of a
number: ridge regression by generalised cross-validation). *MLP*: one hidden layer of 32 rectified units. *kNN*: the
vote, or the mean, of the 15 nearest. The strength of ridge and MLP's weight decay is the one that did best on a fifth
of the training samples, so that a probe with nothing to read falls back on the majority instead of reciting noise.

Score: accuracy, or R² against the mean of the training samples; both of all samples, each by the probe that did not
see it. Interval: Wilson's over samples, or the bootstrap over samples. Null: the samples' values exchanged while the
predictions stay, which is what any probe that reads nothing of the concept, fitted however, would score. The majority
rate (of a number 0) is what naming the most frequent class scores.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.groups.concept import Concept
from analysis.compute.linear.cross_fitting import folds_of
from analysis.compute.linear.ridge_probe import held_out_predictions
from analysis.compute.linear.small_network import fit_network
from analysis.compute.linear.softmax_regression import softmax_fit
from analysis.compute.statistics.nulls import add_one_p, wilson
from analysis.compute.statistics.ratios import ratio_interval
from analysis.results import Estimate

LINEAR, MLP, NEIGHBOURS = "linear", "MLP", "kNN"
PROBES = (LINEAR, MLP, NEIGHBOURS)
HIDDEN, ITERATIONS = 32, 60
RIDGES = (1e-3, 1e-2, 1e-1, 1.0)  # of data scaled to unit mean variance
DECAYS = (1.0, 30.0, 1000.0)  # α, of the sum over training samples
NEAREST = 15
DRAWS = 400
ROUNDING = 1e-9  # of the data's scale: what an eraser leaves of a removed direction


@dataclass(frozen=True)
class Score:
    """`value` on n samples in [`low`, `high`]; `null` with `null_low`, `null_high` and `p` when values are exchanged;
    `chance`, the majority rate (of a number 0); `right` (n,) of each sample: 1 or 0, or the squared error and the
    squared distance to the training mean, (n, 2)."""

    value: float
    low: float
    high: float
    null: float
    null_low: float
    null_high: float
    p: float
    chance: float
    right: np.ndarray

    @property
    def reads(self) -> bool:
        """Better than exchanged values would be (5 %), and than the majority by more than the interval."""
        return self.p < 0.05 and self.low > self.chance

    def estimate(self, name: str, d: int, probe: str) -> Estimate:
        number = self.right.ndim == 2
        return Estimate(
            name, self.value, low=self.low, high=self.high,
            interval="bootstrap over samples" if number else "Wilson over samples", null=self.null,
            null_low=self.null_low, null_high=self.null_high, p_value=self.p,
            null_method="values exchanged between the held-out samples, predictions kept", n=len(self.right), d=d,
            estimator=f"held-out {'R²' if number else 'accuracy'} of a {probe} probe; naming the "
            f"{'mean' if number else 'majority'} gives {self.chance:.3g}",
        )  # fmt: skip


def probe_folds(concept: Concept, folds: int, rng: np.random.Generator) -> np.ndarray:
    """Fold (n,) of each sample, every fold with its share of each class."""
    return folds_of(concept.keys, folds, rng)


def scored(
    x: np.ndarray,
    concept: Concept,
    fold: np.ndarray,
    probe: str,
    scale: float,
    rng: np.random.Generator,
    bare: bool = False,
) -> Score:
    """Held-out score of one probe on rows `x` (n, d); `scale` is what a unit varied by before anything was erased.
    `bare`: the value alone, no interval and no exchanged values. O(folds n d) times the steps of the probe; kNN
    O(n² d)."""
    z = (x - x.mean(axis=0)) / scale
    z[np.abs(z) < ROUNDING] = 0.0
    made, middle, seed = np.empty(len(x)), np.zeros(len(x)), int(rng.integers(2**31))
    linear_number = concept.is_number and probe == LINEAR
    for f in range(int(fold.max()) + 1):
        train, test = np.flatnonzero(fold != f), np.flatnonzero(fold == f)
        part = concept.only(train)
        if concept.is_number:
            middle[test] = part.values.mean()
        if not linear_number:
            made[test] = READERS[probe](z[train], part, z[test], np.random.default_rng(seed + f))
    if linear_number:
        made = held_out_predictions(z, concept.values[:, None], np.zeros(1, np.int64), fold)[:, 0]
    if bare:
        return _bare_score(made, middle, concept)
    return (
        _number_score(made, middle, concept, rng) if concept.is_number else _class_score(made, concept, rng)
    )


def _bare_score(made: np.ndarray, middle: np.ndarray, concept: Concept) -> Score:
    blank = (np.nan,) * 7
    if not concept.is_number:
        right = (made == concept.of).astype(np.float64)
        return Score(float(right.mean()), *blank, right)
    error, whole = (concept.values - made) ** 2, (concept.values - middle) ** 2
    return Score(1 - float(error.sum() / whole.sum()), *blank, np.column_stack([error, whole]))


def _class_score(made: np.ndarray, concept: Concept, rng: np.random.Generator) -> Score:
    right = made == concept.of
    value, n = float(right.mean()), len(right)
    null = np.concatenate([
        (rng.permuted(np.tile(concept.of, (DRAWS // 8, 1)), axis=1) == made).mean(axis=1) for _ in range(8)
    ])  # fmt: skip
    named, there = (
        np.bincount(v.astype(np.int64), minlength=len(concept.classes)) / n for v in (made, concept.of)
    )
    low, high = wilson(float(right.sum()), n)
    return Score(
        value, low, high, float(named @ there), *(float(q) for q in np.percentile(null, [2.5, 97.5])),
        float(add_one_p(value, null)), float(there.max()), right.astype(np.float64),
    )  # fmt: skip


def _number_score(made: np.ndarray, middle: np.ndarray, concept: Concept, rng: np.random.Generator) -> Score:
    y = concept.values
    error, whole = (y - made) ** 2, (y - middle) ** 2
    value = 1 - float(error.sum() / whole.sum())
    null = np.array([1 - ((rng.permutation(y) - made) ** 2).sum() / whole.sum() for _ in range(DRAWS)])
    low, high = (1 - v for v in ratio_interval(error, whole, rng, draws=500)[::-1])
    return Score(
        value, min(low, value), max(high, value), float(null.mean()),
        *(float(q) for q in np.percentile(null, [2.5, 97.5])), float(add_one_p(value, null)), 0.0,
        np.column_stack([error, whole]),
    )  # fmt: skip


# ---------------------------------------------------------------------------- the readers: train, concept, test -> made
def _linear(x: np.ndarray, concept: Concept, test: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    c, inner = len(concept.classes), _fifth(concept, rng)
    start, best, chosen = None, -1.0, RIDGES[-1]
    for ridge in RIDGES[::-1]:  # the strongest first: ties go to it
        start = softmax_fit(x[~inner], concept.of[~inner], c, ridge, start)
        share = float((start.predicted(x[inner]) == concept.of[inner]).mean())
        if share > best + 1e-12:
            best, chosen = share, ridge
    return softmax_fit(x, concept.of, c, chosen, start).predicted(test)


def _mlp(x: np.ndarray, concept: Concept, test: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    inner, seed = _fifth(concept, rng), int(rng.integers(2**31))
    number = concept.is_number
    middle, spread = (concept.values.mean(), concept.values.std() or 1.0) if number else (0.0, 1.0)
    of, y = (None, (concept.values - middle) / spread) if number else (concept.of, None)
    best, chosen = -np.inf, None
    for decay in DECAYS[::-1]:
        model = fit_network(
            x[~inner], None if number else of[~inner], y[~inner] if number else None,
            1 if number else len(concept.classes), HIDDEN, decay, ITERATIONS, np.random.default_rng(seed),
        )  # fmt: skip
        out = model(x[inner])
        share = (
            -float(((out[:, 0] - y[inner]) ** 2).mean())
            if number
            else np.mean(out.argmax(axis=1) == of[inner])
        )
        if share > best + 1e-12:
            best, chosen = share, model
    out = chosen(test)
    return out[:, 0] * spread + middle if number else out.argmax(axis=1)


def _neighbours(x: np.ndarray, concept: Concept, test: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    k = min(NEAREST, len(x))
    away = np.einsum("ij,ij->i", x, x) - 2 * test @ x.T  # less what is the same for all
    near = np.argpartition(away, k - 1, axis=1)[:, :k]
    if concept.is_number:
        return concept.values[near].mean(axis=1)
    votes = np.zeros((len(test), len(concept.classes)))
    for column in near.T:
        votes[np.arange(len(test)), concept.of[column]] += 1
    share = np.bincount(concept.of, minlength=votes.shape[1]) / len(x)
    return (votes + 0.5 * share).argmax(axis=1)  # a tie goes to the more frequent class


def _fifth(concept: Concept, rng: np.random.Generator) -> np.ndarray:
    """Boolean (n,): a fifth of the training samples, every class with its share."""
    return folds_of(concept.keys, 5, rng) == 0


READERS = {LINEAR: _linear, MLP: _mlp, NEIGHBOURS: _neighbours}
