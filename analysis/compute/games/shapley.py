"""Shapley values of a game within a budget of evaluations: the estimator that measurement chose.

`auto`: all coalitions where the budget covers them (up to 20 players), antithetic permutations below 2.5 M + 2
evaluations of M players, and adjusted regression on balanced pairs from there on, which uses its surrogate where that
explains answers left out; `method` of the result says which it was. Measured by benchmarks/shapley_evaluations.py:
evaluations for the error of the better of shap's Kernel (without its l1 selection) and Permutation explainers after 4,
8 and 16 times 2 M, as a share of theirs (2 to 8 seeds: 10 to 20 % uncertain, stories more), and the processor's time:

    game, players                              evaluations         time               ms each
    MLP on breast cancer data, 30              0.40  0.32  0.17    0.54  0.70  0.23    0.13
    California housing MLP, hidden units, 100  0.42  0.36   .      1.15  0.69   .      0.13
    CNN on Fashion-MNIST, patches, 196         0.37  0.32   .      1.42  1.72   .      0.05
    ViT on digits, patches, 49                 0.64  0.41   .      0.70  0.45   .      2.4
    language model, tokens, 30                 0.56  0.39   .      0.88  0.41   .      1.2
    random attention, 100                      0.65  0.42   .      1.01  0.68   .      0.29
    products of up to 4 players, 30            0.50  0.53  0.42    1.35  1.22  1.30    0.00
    products of up to 4 players, 100           0.57  0.42   .      10.8  2.25   .      0.01
    noise, 30                                  0.71  1.01  0.87    2.68  3.03  3.00    0.00

(.: not measured.) From 8 times 2 M on all but noise keep one half, give or take that uncertainty; at 4 times the ViT,
the language model and games without training do not, where 3 passes of Permutation do well. Run again with other seeds
the language model's second number did not hold: its squared error was 1.8 times the target. For noise, where the value
of a coalition says nothing of another's, the benchmark prints what no estimator can go below. Balance and surrogate
take some 0.02 s at 50 pairs of 30 players and 0.25 s at 300 pairs of 196: below 0.1 ms an evaluation `shap` is quicker.
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
