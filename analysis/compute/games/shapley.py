"""Shapley values of a game within a budget of evaluations: the estimator that measurement chose.

MEASURED
"""

from __future__ import annotations

import numpy as np

from analysis.compute.games.exact import MOST_PLAYERS, exact_values
from analysis.compute.games.game import Game
from analysis.compute.games.paired_regression import paired_regression
from analysis.compute.games.permutations import permutation_values
from analysis.compute.games.regression_adjusted import adjusted_values
from analysis.compute.games.values import PlayerValues
from analysis.errors import ParameterError

METHODS = ("auto", "exact", "permutations", "paired regression", "adjusted regression")


def shapley_values(game: Game, budget: int, rng: np.random.Generator, method: str = "auto") -> PlayerValues:
    """Shapley values (players, outputs) with standard errors from at most `budget` evaluations."""
    if method not in METHODS:
        raise ParameterError(f"Estimator {method!r}", f"one of {', '.join(METHODS)}")
    if method == "auto":
        method = chosen(game.players, budget)
    if method == "exact":
        return exact_values(game)
    if method == "permutations":
        return permutation_values(game, rng, budget=budget)
    return (paired_regression if method == "paired regression" else adjusted_values)(game, budget, rng)


def chosen(players: int, budget: int) -> str:
    """The estimator for so many players and evaluations."""
    if players <= MOST_PLAYERS and 2**players <= budget:
        return "exact"
    return "permutations" if budget < 4 * players + 2 else "adjusted regression"
