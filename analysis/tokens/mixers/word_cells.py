"""Matrices over the words of path signatures: weights or means of words, and scores without a channel, each cell beside
its null."""

from __future__ import annotations

import numpy as np
from scipy.special import stdtrit

from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.nulls import away_p
from analysis.compute.statistics.sample_groups import (
    groups_of,
    jackknife_error,
    mean_interval,
    share_interval,
)
from analysis.tokens.mixers import path_model
from analysis.tokens.mixers.path_words import path_words, shuffled, words_of
from analysis.tokens.mixers.paths import Paths

LEVEL = 0.05  # false discoveries
WEIGHTS, MEAN, LEFT = "weights of the linear model", "mean over samples", "score without a channel"


def score_interval(each: np.ndarray, found: Paths) -> dict:
    """Of a share told right Wilson's, which is no point where all are."""
    return share_interval(each) if found.classes else mean_interval(each)


def left_cells(found: Paths, params, fold, orders) -> dict:
    """Levels by all channels and all but each."""
    kept = [("all channels", found.steps)]
    if len(found.names) > 1:
        kept += [(f"without {name}", found.without(c)) for c, name in enumerate(found.names)]
    shape = (params.levels, len(kept))
    value, null, low, high, p = (np.zeros(shape) for _ in range(5))
    for k in range(params.levels):
        for c, (_, steps) in enumerate(kept):
            one = path_model.scored(path_words(steps, k + 1), found.target, fold, orders)
            ends = score_interval(one.each, found)
            error = one.each.std(ddof=1) / np.sqrt(found.n)
            p[k, c] = away_p(np.array(one.score - one.chance.mean()), one.chance, error, found.n)
            value[k, c], null[k, c], low[k, c], high[k, c] = (
                one.score,
                one.chance.mean(),
                ends["low"],
                ends["high"],
            )
    return {
        "values": value, "null": null, "low": low, "high": high, "column_names": tuple(name for name, _ in kept),
        "row_names": tuple(f"levels 1 to {k + 1}" for k in range(params.levels)), 
        "significant": (benjamini_hochberg(p.ravel()).reshape(shape) < LEVEL) & (value > null),
        "value_name": "held-out share told right" if found.classes else "held-out R²",
    }  # fmt: skip


def word_cells(found: Paths, words, params, orders, rng) -> dict:
    """Beginnings of words by the last channel."""
    n = len(words)
    if params.show == MEAN:
        value, error = words.mean(axis=0), words.std(axis=0, ddof=1) / np.sqrt(n)
        chance = np.array([path_words(shuffled(found.steps, found.lengths, rng), params.levels).mean(axis=0)
                           for _ in orders])  # fmt: skip
        half, name = stdtrit(n - 1, 0.975) * error, "mean of the word"
    else:
        value = path_model.size(path_model.weights(words, found.target))
        groups = groups_of(n, rng)
        parts = [path_model.size(path_model.weights(words[groups != g], found.target[groups != g]))
                 for g in range(groups.max() + 1)]  # fmt: skip
        error = jackknife_error(np.array(parts))
        chance = np.array([path_model.size(path_model.weights(words, found.target[o])) for o in orders])
        half = stdtrit(groups.max(), 0.975) * error
        name = "weight" if found.target.shape[1] == 1 else "size of the weights"
    mean, many = chance.mean(axis=0), n if params.show == MEAN else int(groups.max()) + 1
    away = np.where(np.abs(value - mean) > 1e-9 * (1 + np.abs(value)), value - mean, 0.0)
    sure = benjamini_hochberg(away_p(away, chance, error, many)) < LEVEL
    d = len(found.names)
    shape, before = (-1, d), [(), *(words_of(d, params.levels - 1) if params.levels > 1 else [])]
    return {
        "values": value.reshape(shape), "null": mean.reshape(shape), "low": (value - half).reshape(shape),
        "high": (value + half).reshape(shape), "significant": sure.reshape(shape), "diverging": bool((value < 0).any()),
        "row_names": tuple(f"{found.word(w)} · …" if w else "level 1" for w in before),
        "column_names": tuple(f"… {name}" for name in found.names), "value_name": name,
    }  # fmt: skip
