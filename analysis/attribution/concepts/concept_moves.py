"""Concepts of a tap as moves of one sample: with a concept, as samples have it that show it; without it, as the others.

groups    along the group's direction v, to the median product with v of its members, or of the others
units     along the unit, to its 95th or 5th percentile over samples
features  of a dictionary: without it, what it adds is taken away token by token; with it, it is raised at all tokens
          alike to its 95th percentile over the samples in which it is active

A move that would go the other way (the sample shows more than that already) is not offered.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.attribution.concepts.concepts import Concepts, feature_concepts, group_concepts
from analysis.attribution.concepts.counterfactual_search import Moves
from analysis.attribution.random_directions import random_directions
from analysis.attribution.tap_features import contributions_of
from analysis.features.tap_dictionary import TapDictionary

SHOWN, HIGH, LOW = 3, 95, 5  # samples that show a concept; percentiles


@dataclass(frozen=True)
class Levels:
    """`concepts`; `low`, `high` (k,) products with the direction; `shows` (k, 3) places of samples that show it most;
    `tokens` that directions keep apart (1: all alike); `of_codes`: features of a dictionary, moved by their codes."""

    concepts: Concepts
    low: np.ndarray
    high: np.ndarray
    shows: np.ndarray
    tokens: int
    of_codes: bool

    def moves(self, h: np.ndarray, made: TapDictionary) -> Moves:
        """The moves of rows h (tokens, d)."""
        found, concept, adds = [], [], []
        directions = self._directions(len(h))
        codes = contributions_of(made)(h)[:, self.concepts.numbers] if self.of_codes else None
        for j, v in enumerate(directions):
            now = float((h * v).sum()) if codes is None else float(codes[:, j].mean())
            up, down = (self.high[j] - now) * v, (self.low[j] - now) * v
            if codes is not None:
                d = made.features.decoder[self.concepts.numbers[j]].astype(np.float64)
                up, down = np.tile((self.high[j] - now) * d, (len(h), 1)), -codes[:, j, None] * d
            if now < self.high[j]:
                found, concept, adds = [*found, up], [*concept, j], [*adds, True]
            if now > self.low[j]:
                found, concept, adds = [*found, down], [*concept, j], [*adds, False]
        return Moves(np.array(found).reshape(-1, *h.shape), np.array(concept, int), np.array(adds, bool))

    def _directions(self, tokens: int) -> np.ndarray:
        """(k, tokens, d)."""
        v = self.concepts.directions
        if self.tokens > 1:
            return v.reshape(len(v), self.tokens, -1)
        return np.repeat(v[:, None], tokens, axis=1) / np.sqrt(tokens)


def group_levels(rows: list[np.ndarray], labels: np.ndarray, tokens: int, most: int) -> Levels:
    """Of samples' rows [(tokens, d)] with `labels` (n,); `tokens` of the sample to be moved. Raises NotEnoughData."""
    alike = {len(r) for r in rows} == {tokens}
    x = np.array([r.ravel() for r in rows]) if alike else np.array([r.mean(axis=0) for r in rows])
    concepts = group_concepts(x, labels, most)
    # of tokens that move together the summed product with v / sqrt(tokens) is sqrt(tokens) times that of their mean
    along = x @ concepts.directions.T * (1.0 if alike else np.sqrt(tokens))
    own = [labels == name for name in concepts.names]
    high = np.array([np.median(along[o, j]) for j, o in enumerate(own)])
    low = np.array([np.median(along[~o, j]) for j, o in enumerate(own)])
    shows = np.array([_first(np.where(o, along[:, j], -np.inf)) for j, o in enumerate(own)])
    return Levels(concepts, low, high, shows, tokens if alike else 1, False)


def feature_levels(rows: list[np.ndarray], made: TapDictionary, tokens: int, most: int) -> Levels:
    """The same for features, or units."""
    mean = np.array([r.mean(axis=0) for r in rows])
    concepts = feature_concepts(made, mean, most)
    if made.of_units:
        along = mean @ concepts.directions.T * np.sqrt(tokens)
        ends = np.percentile(along, [LOW, HIGH], axis=0)
    else:
        codes = contributions_of(made)
        along = np.array([codes(r)[:, concepts.numbers].mean(axis=0) for r in rows])
        high = [np.percentile(a[a > 0], HIGH) if (a > 0).any() else 0.0 for a in along.T]
        ends = np.zeros(len(high)), np.array(high)
    return Levels(concepts, *ends, np.array([_first(a) for a in along.T]), 1, not made.of_units)


def random_like(moves: Moves, deviation: np.ndarray, rng: np.random.Generator) -> Moves:
    """Moves of the same lengths in random directions, counted in the natural `deviation` (units,) of units."""
    each = np.tile(deviation, moves.rows.shape[1])
    drawn = [random_directions(row.ravel(), each, 1, rng)[0].reshape(row.shape) for row in moves.rows]
    return replace(moves, rows=np.array(drawn).reshape(moves.rows.shape))


def _first(values: np.ndarray) -> np.ndarray:
    """Places of the largest three, the last one again where there are fewer."""
    best = np.argsort(-values, kind="stable")[:SHOWN]
    best = best[np.isfinite(values[best])]
    return best[np.minimum(np.arange(SHOWN), len(best) - 1)]
