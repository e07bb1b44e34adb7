"""A linear model on the words of paths: how well it foretells a target on samples it has not seen, and its weights.

Words are brought to deviation 1, the model is ridge regression (`compute.linear.ridge_probe`); of classes the score is
the share that is told right, of a number R². The null exchanges targets between samples.

Reference: L. Bleistein, A. Fermanian, A.-S. Jannot & A. Guilloux (2023), "Learning the dynamics of sparsely observed
interacting systems".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.linear.cross_fitting import folds_of
from analysis.compute.linear.ridge_probe import held_out_predictions, ridge_weights

FOLDS = 5


@dataclass(frozen=True)
class Scored:
    """`each` (n,) of which `score` is the mean (right or not; of a number 1 - squared error over variance), `chance`
    (draws,) of targets exchanged."""

    each: np.ndarray
    chance: np.ndarray

    @property
    def score(self) -> float:
        return float(self.each.mean())


def standardised(words: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(words of mean 0 and deviation 1, their means, their deviations (1 where a word does not vary))."""
    mean, spread = words.mean(axis=0), words.std(axis=0)
    spread = np.where(spread > 1e-12 * (1 + np.abs(mean)), spread, 1.0)
    z = (words - mean) / spread
    return np.where(np.abs(z) < 1e-9, 0.0, z), mean, spread


def folds(target: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n,) fold of each sample, the same for every model that is to be compared."""
    keys = target.argmax(axis=1) if target.shape[1] > 1 else np.zeros(len(target), np.int64)
    return folds_of(keys, FOLDS, rng)


def scored(words: np.ndarray, target: np.ndarray, fold: np.ndarray, orders: list[np.ndarray]) -> Scored:
    """Held-out score; `orders` of the samples (n,) for the null."""
    m, moved = target.shape[1], [target, *(target[order] for order in orders)]
    y, group = np.concatenate(moved, axis=1), np.repeat(np.arange(len(moved)), m)
    told = held_out_predictions(
        standardised(words)[0], y, group, fold, np.ones(len(moved), bool) if m > 1 else None
    )
    each = np.array([_each(told[:, k * m : (k + 1) * m], y) for k, y in enumerate(moved)])
    return Scored(each[0], each[1:].mean(axis=1))


def _each(told: np.ndarray, target: np.ndarray) -> np.ndarray:
    if target.shape[1] > 1:
        return (told.argmax(axis=1) == target.argmax(axis=1)).astype(float)
    away = np.square(target - target.mean()).mean()
    return 1 - np.square(told - target)[:, 0] / (away if away > 0 else 1.0)


def weights(words: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(words, m) of the model on all samples, per deviation of a word and of the target."""
    z, _, _ = standardised(words)
    y = target - target.mean(axis=0)
    spread = y.std(axis=0)
    return ridge_weights(z, y / np.where(spread > 0, spread, 1.0))


def size(weight: np.ndarray) -> np.ndarray:
    """(words,) of a number the weight itself, of classes the root of the mean square over them."""
    return weight[:, 0] if weight.shape[1] == 1 else np.sqrt(np.square(weight).mean(axis=1))
