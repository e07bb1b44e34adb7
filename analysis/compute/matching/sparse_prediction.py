"""How many units of one side does it take to tell a unit of the other? Cross-fitted forward selection, from moments.

Samples are cut into five folds. On four of them each target's path of predictors is selected (`forward_selection`) with
its coefficients; the fifth gives the error. Sums over folds make R² = 1 - Σ errors / Σ squares about the mean of the
four, so that a prediction that knows nothing more than the mean has 0, and one that learned noise less. Everything
comes from the folds' second moments: one pass over the samples, then O(p q m) per fold.

Null: the same after the targets' samples were moved.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.linear.forward_selection import forward_paths
from analysis.compute.matching.unit_sides import moved_order
from analysis.spec import Progress

FOLDS = 5
AT_ONCE = 64 << 20  # bytes of one (targets, steps, candidates) array
FEWEST_MOVES, MOST_MOVES = 5, 20


@dataclass(frozen=True)
class Told:
    """`error` (F, p, m) squared error of each fold, target and number of predictors, `square` (F, p) that about the
    mean of the other folds; `fitted` (p, m) R² on the samples fitted, and `chosen` (p, m) the predictors in order on
    all samples, -1 where none was left; `null` (draws, p, m) held-out R² of moved samples."""

    error: np.ndarray
    square: np.ndarray
    fitted: np.ndarray
    chosen: np.ndarray
    null: np.ndarray

    @property
    def held_out(self) -> np.ndarray:
        """(p, m) R²."""
        return held_out_r2(self.error, self.square)

    def without(self, fold: int) -> np.ndarray:
        """(p, m) R² without the errors of one fold."""
        stay = np.arange(len(self.square)) != fold
        return held_out_r2(self.error[stay], self.square[stay])


def held_out_r2(error: np.ndarray, square: np.ndarray) -> np.ndarray:
    """1 - Σ error / Σ square over folds; 0 for a target that varies in none of them."""
    total = square.sum(axis=0)[:, None]
    return np.where(total > 0, 1 - error.sum(axis=0) / np.where(total > 0, total, 1.0), 0.0)


def moves(p: int, q: int) -> int:
    """How many times samples are moved."""
    return int(np.clip(4_000_000 // (p * q), FEWEST_MOVES, MOST_MOVES))


def told_by(
    targets: np.ndarray,
    predictors: np.ndarray,
    sample: np.ndarray,
    n_samples: int,
    steps: int,
    rng: np.random.Generator,
    progress: Progress,
    span: tuple[float, float],
) -> Told:
    """Predict each of `targets` (p, n) from at most `steps` of `predictors` (q, n), both standardised lines; `sample`
    (n,) of each column.

    Time O(n q (p draws + q)) and O(draws p q m); memory O(q² + draws p q).
    """
    fold = rng.permutation(np.arange(n_samples) % FOLDS)[sample]
    orders = [np.arange(len(sample))]
    orders += [moved_order(sample, n_samples, rng) for _ in range(moves(len(targets), len(predictors)))]
    return _predicted(targets, predictors, fold, orders, steps, progress, span)


def _predicted(targets, predictors, fold, orders, steps: int, progress, span) -> Told:
    p, draws = len(targets), len(orders)
    gram = predictors @ predictors.T
    crosses = np.empty((draws, p, len(predictors)))
    for d, order in enumerate(orders):
        progress(span[0] + (span[1] - span[0]) * 0.3 * d / draws, "correlating units")
        crosses[d] = targets[:, order] @ predictors.T
    fitted, chosen = np.empty((p, steps)), np.empty((p, steps), np.int64)
    for here in _blocks(p, len(predictors), steps):
        whole = _paths(crosses[0, here], gram, steps)
        fitted[here], chosen[here] = whole.explained, whole.chosen  # of lines whose squares sum to 1
    error, square = np.empty((draws, FOLDS, p, steps)), np.empty((draws, FOLDS, p))
    for f in range(FOLDS):
        held = _HeldOut.of(predictors, gram, fold == f)
        for d, order in enumerate(orders):
            done = (f * draws + d) / (FOLDS * draws)
            progress(span[0] + (span[1] - span[0]) * (0.3 + 0.7 * done), "predicting units")
            error[d, f], square[d, f] = held.errors(targets[:, order[held.columns]], crosses[d], steps)
    null = np.array([held_out_r2(error[d], square[d]) for d in range(1, draws)])
    return Told(error[0], square[0], fitted, chosen, null)


@dataclass(frozen=True)
class _HeldOut:
    """One fold: its `columns` (n',) of `rest` + n' in all, the predictors there `part` (q, n'), the `mean` (q,) of the
    others' columns, products (q, q) about that mean over the others (`train`) and over these (`test`)."""

    columns: np.ndarray
    rest: int
    part: np.ndarray
    mean: np.ndarray
    train: np.ndarray
    test: np.ndarray

    @staticmethod
    def of(predictors: np.ndarray, gram: np.ndarray, held: np.ndarray) -> _HeldOut:
        """`gram` holds the products over all columns, of lines with mean 0."""
        part, rest = predictors[:, held], int((~held).sum())
        total, here = part.sum(axis=1), part @ part.T
        mean = -total / rest
        both = np.outer(total, mean)
        test = here - both - both.T + held.sum() * np.outer(mean, mean)
        return _HeldOut(
            np.flatnonzero(held), rest, part, mean, gram - here - rest * np.outer(mean, mean), test
        )

    def errors(self, target: np.ndarray, cross: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
        """Errors (p, m) and squares (p,) on the fold, of targets (p, n') there; `cross` (p, q) products over all
        columns."""
        total = target.sum(axis=1)
        mean, here = -total / self.rest, target @ self.part.T
        train = cross - here - self.rest * np.outer(mean, self.mean)
        away = target - mean[:, None]
        test = here - np.outer(total, self.mean) - np.outer(mean, self.part.sum(axis=1))
        test += target.shape[1] * np.outer(mean, self.mean)
        square = np.einsum("pn,pn->p", away, away)
        error = np.empty((len(target), steps))
        for block in _blocks(len(target), len(self.part), steps):
            found = _paths(train[block], self.train, steps)
            at, w = np.maximum(found.chosen, 0), found.weights  # weights of -1 are 0
            own = np.take_along_axis(test[block], at, axis=1)
            among = self.test[at[:, :, None], at[:, None, :]]
            told = 2 * np.einsum("tms,ts->tm", w, own) - np.einsum(
                "tmr,trs,tms->tm", w, among, w, optimize=True
            )
            error[block] = square[block, None] - told
        return np.maximum(error, 0.0), square


def _blocks(p: int, q: int, steps: int):
    step = max(1, AT_ONCE // (8 * q * steps))
    return (slice(start, start + step) for start in range(0, p, step))


def _paths(cross: np.ndarray, gram: np.ndarray, steps: int):
    return forward_paths(cross, np.diag(gram), lambda pick: gram[pick], steps)
