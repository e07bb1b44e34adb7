"""Shapley values of a game within a budget of evaluations: the estimator that measurement chose.

`auto`: all coalitions where the budget covers them (up to 20 players), antithetic permutations below 4 M + 2
evaluations of M players, and adjusted regression from there on. Measured by benchmarks/shapley_evaluations.py: the
evaluations for the error that the better of shap's Kernel (without its l1 selection) and Permutation explainers has
after 4, 8 and 16 times 2 M, as a share of theirs (2 to 6 seeds, so some 10 to 20 % uncertain):

    game, players                         adjusted regression   paired regression   permutations
    MLP on breast cancer data, 30         0.50  0.37  0.19      0.79  0.99  0.60    0.76  1.33  0.81
    CNN on Fashion-MNIST, patches, 100    0.65  0.36  0.36      0.83  0.50   -      0.60  1.86   -
    CNN on Fashion-MNIST, patches, 196    0.50  0.37  0.28      0.59  0.64  0.54    0.66  0.94  0.72
    products of up to 4 players, 30       0.64  0.63  0.60      0.75  0.72  0.72    1.05  1.49   -
    products of up to 4 players, 100      0.56  0.60  0.59      0.65  0.73  0.72    0.82  0.93   -
    products of up to 4 players, 196      0.53  0.53  0.53      0.66  0.60  0.60    0.76  0.97   -
    random attention, 100 (earlier fit)   1.07  0.59  0.61      1.20  0.99  0.90    1.54  1.18   -

(-: not reached with as many evaluations.) Trained networks keep the limit of one half from 8 times 2 M on; sums of
random products, each as large as any other, and untrained attention do not. The surrogate's own time, tenths of a
second at 500 pairs and about two at 2,000, is more than it saves where an evaluation takes less than some 0.2 ms: for a
tiny network `permutations` or `paired regression` may be quicker by the clock.
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
    return "permutations" if budget < 5 * players // 2 + 2 else "adjusted regression"
