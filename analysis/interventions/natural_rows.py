"""What stands at a site in natural samples, and how the answer hears it: ranges, spans of slopes, variance.

Ranges and spans that a sample is judged by are those of other samples: samples are dealt into folds. At the input of a
probe units are counted in their own deviations, as columns of a table have units of measure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from analysis.interventions.components import INPUT, Site

FOLDS, ROWS, TAIL, WIDEST = 4, 400, 0.5, 8  # of samples; rows of a span; percent; main directions of a change


@dataclass
class NaturalRows:
    """`rows`, `slopes` (rows, d) of the `sample` (rows,) each is of, in units of `scale` (d,); `fold` (n,) of every
    sample."""

    rows: np.ndarray
    slopes: np.ndarray
    sample: np.ndarray
    fold: np.ndarray
    scale: np.ndarray
    _kept: dict = field(default_factory=dict)

    @property
    def mean(self) -> np.ndarray:
        return self._once("mean", lambda: self.rows.mean(axis=0))

    @property
    def folds(self) -> int:
        return int(self.fold.max()) + 1

    def range(self, fold: int, frame: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Low and high of each unit, or along the columns of `frame` from the mean, in samples of other folds."""
        if frame is not None:
            return self._ends(fold, (self.rows - self.mean) @ frame)
        return self._once(("range", fold), lambda: self._ends(fold, self.rows))

    def _ends(self, fold: int, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if not x.size:
            return np.zeros(x.shape[1]), np.zeros(x.shape[1])
        low, high = np.percentile(x[self.fold[self.sample] != fold], [TAIL, 100 - TAIL], axis=0)
        return low, high

    def span(self, fold: int, energy: float) -> np.ndarray:
        """(d, r) fewest directions that hold this share of the squared length of slopes of other folds."""
        return self._once(
            ("span", fold), lambda: span_of(self.slopes[self.fold[self.sample] != fold], energy)
        )

    def variance(self, frame: np.ndarray, weights: np.ndarray) -> float:
        """Natural variance along the columns of `frame` (d, k), in weights (k,)."""
        some = self._once("some", lambda: self.rows[:: -(-len(self.rows) // (2 * ROWS))])
        return float((some @ frame).var(axis=0) @ weights) if frame.size else 0.0

    def _once(self, key, make):
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]


def span_of(slopes: np.ndarray, energy: float) -> np.ndarray:
    """As `connected_span`, of at most `ROWS` rows, those with the longest slopes."""
    if len(slopes) > ROWS:
        slopes = slopes[np.argsort(-np.linalg.norm(slopes, axis=1), kind="stable")[:ROWS]]
    values, vectors = np.linalg.svd(slopes, full_matrices=False)[1:]
    total = float((values**2).sum())
    if total == 0:
        return np.zeros((slopes.shape[1], 0))
    r = int(np.searchsorted(np.cumsum(values**2), energy * total * (1 - 1e-12))) + 1
    return vectors[:r].T


def main_directions(changes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(d, k) and weights (k,) of the directions of changes (rows, d): as many as they go along evenly, at most 8."""
    if len(changes) > ROWS:
        changes = changes[:: -(-len(changes) // ROWS)]
    values, vectors = np.linalg.svd(changes, full_matrices=False)[1:]
    power = values**2
    if not power.sum() > 0:
        return np.zeros((changes.shape[1], 0)), np.zeros(0)
    even = int(np.ceil(power.sum() ** 2 / (power**2).sum() - 1e-9))
    k = min(max(even, 1), WIDEST, int((values > 1e-9 * values[0]).sum()))
    return vectors[:k].T, power[:k] / power[:k].sum()


def natural_rows(runs: Sequence, slopes: Sequence[dict], site: Site, fold: np.ndarray) -> NaturalRows:
    """Of all tokens that are no padding. `slopes` of each run by site, `fold` (n,) of all samples of the runs."""
    rows, heard, owner, first = [], [], [], 0
    for run, found in zip(runs, slopes, strict=True):
        x = run.caught([site])[site]
        real = run.real(x.shape[1])
        rows.append(x.double().numpy()[real])
        heard.append(found[site].double().numpy()[real])
        owner.append(first + np.nonzero(real)[0])
        first += run.n
    x, g = np.concatenate(rows), np.concatenate(heard)
    scale = np.ones(x.shape[1])
    if site.module == INPUT:
        spread = x.std(axis=0)
        scale = np.where(spread > 1e-9 * max(float(spread.max(initial=0.0)), 1e-300), spread, 1.0)
    return NaturalRows(x / scale, g * scale, np.concatenate(owner), fold, scale)


def folds_of(n: int, rng: np.random.Generator) -> np.ndarray:
    return rng.permutation(n) % min(FOLDS, n)
