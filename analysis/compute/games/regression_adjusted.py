"""Shapley values by paired regression on what a surrogate leaves over.

A surrogate with known Shapley values is fitted to the answers; its part that Shapley values do not see is taken off the
game, and what is left is regressed as always. The answer at a pair is adjusted by a surrogate fitted without it, so no
answer is used to predict itself, and an estimate stays as unbiased as the regression: a bad surrogate costs precision,
never truth (R. T. Witter, Y. Liu & C. Musco 2025, "Regression-adjusted Monte Carlo Estimators for Shapley Values and
Probabilistic Values"). A surrogate that explains a share r of the odd part beyond pairs saves about that share of the
evaluations.
"""

from __future__ import annotations

import numpy as np

from analysis.compute.games.cubic_surrogate import fit_surrogate
from analysis.compute.games.game import Game
from analysis.compute.games.paired_regression import drawn_game, solve
from analysis.compute.games.values import PlayerValues, of_game


def adjusted_values(game: Game, budget: int, rng: np.random.Generator) -> PlayerValues:
    """Shapley values (players, outputs) from at most `budget` evaluations, the two ends included."""
    before = game.evaluations
    pairs, odd, total = drawn_game(game, budget, rng)
    values, errors = solve(pairs, odd, total)
    method, n = "paired regression", len(odd)
    if not pairs.everything and 4 * n >= 5 * game.players:
        even = game(pairs.members) - odd
        surrogate = fit_surrogate(pairs, odd, even, values, rng)
        if surrogate.explained > 0:
            values, _ = solve(pairs, odd - surrogate.apart, total)
            _, errors = solve(
                pairs, odd - surrogate.told, total, surrogate.fitted, surrogate.mutual, power=1.5
            )
            method = "paired regression, adjusted by a cubic surrogate"
    return of_game(game, values, errors, method, pairs=0 if pairs.everything else n,
                   freedom=n - game.players + 1, spent_before=before)  # fmt: skip
