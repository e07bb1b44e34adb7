"""Shapley values by regression on coalitions in complementary pairs: KernelSHAP without regularisation, paired.

    φ = argmin Σ_S k(|S|) / p(S) (v_odd(S) - ½ Σ_i φ_i x_i)²   with Σ φ = v(N) - v(∅),

x_i = 1 for members of S and -1 for others, v_odd(S) = (v(S) - v(N - S)) / 2, k(s) = 1 / (C(M, s) s (M - s)) and p(S)
the chance that S is drawn. Over all coalitions this gives Shapley values (A. Charnes et al. 1988; S. Lundberg & S.-I.
Lee 2017); pairs of equal leverage are those of C. Musco & R. T. Witter (2025), "Provably Accurate Shapley Value
Estimation via Leverage Score Sampling". The constraint is eliminated, so the values add up to float error. Standard
errors are the sandwich over pairs with each pair's own leverage taken off (HC2) and the finite number of coalitions of
its size taken into account: they are 0 when all are drawn. Pairs are put in balance (`balanced_pairs`), which takes off
what chance correlations of the design would cost. O(n M² + M³) beside the evaluations.
"""

from __future__ import annotations

import numpy as np

from analysis.compute.games.balanced_pairs import balanced
from analysis.compute.games.coalitions import Pairs, draw_pairs
from analysis.compute.games.game import Game
from analysis.compute.games.values import PlayerValues, of_game


def paired_regression(game: Game, budget: int, rng: np.random.Generator) -> PlayerValues:
    """Shapley values (players, outputs) from at most `budget` evaluations, the two ends included.

    `budget` is at least twice the number of players; all coalitions are drawn where it covers them.
    """
    before = game.evaluations
    pairs, odd, total = drawn_game(game, budget, rng)
    values, errors = solve(pairs, odd, total)
    return of_game(game, values, errors, "paired regression", pairs=0 if pairs.everything else len(odd),
                   freedom=len(odd) - game.players + 1, spent_before=before)  # fmt: skip


def drawn_game(game: Game, budget: int, rng: np.random.Generator) -> tuple[Pairs, np.ndarray, np.ndarray]:
    """Pairs within the budget, the odd part of the game at them (n, outputs), and v(N) - v(∅) (outputs,)."""
    empty, full = game.ends
    if game.players == 1:
        nobody = Pairs(np.zeros((0, 1), dtype=bool), np.zeros(0), np.zeros(0))
        return nobody, np.zeros((0, len(full))), full - empty
    pairs = balanced(draw_pairs(game.players, (budget - 2) // 2, rng), rng)
    answers = game(np.concatenate([pairs.members, ~pairs.members]))
    n = len(pairs.members)
    return pairs, (answers[:n] - answers[n:]) / 2, full - empty


def solve(
    pairs: Pairs, odd: np.ndarray, total: np.ndarray, fitted: np.ndarray | None = None,
    mutual: np.ndarray | None = None, power: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Values and standard errors (players, outputs) from the odd part `odd` (n, outputs) of a game that is worth
    `total` (outputs,).

    `mutual` (m, m): where the answers `fitted` (m,) were adjusted by help of each other, the product of what two owe
    each other. Errors of such two go together, by that factor: a term of the variance that the sandwich lacks.
    `power` of 1 - leverage that squares are divided by: 1 is HC2, 2 HC3; between them where much else was fitted.
    """
    players = pairs.members.shape[1]
    if players == 1:
        return total[None].copy(), np.zeros((1, len(total)))
    design, weights, inverse = pairs.regression
    target = odd - pairs.signs.mean(axis=1, keepdims=True) * total / 2
    values = inverse @ (design.T @ (weights[:, None] * target))
    rest = target - design @ values
    reach = design @ inverse
    leverage = np.minimum((reach * design).sum(axis=1) * weights, 1 - 1e-9)
    left_out = np.where(pairs.drawn == 1, 0.0, np.sqrt((1 - pairs.drawn) / (1 - leverage) ** power))
    pull = weights * left_out
    pulled = reach * pull[:, None]
    variance = np.einsum("nm,no->mo", pulled**2, rest**2)
    if mutual is not None:
        for k, column in enumerate(rest.T):
            each = (pulled * column[:, None])[fitted]
            variance[:, k] += np.maximum(((mutual @ each) * each).sum(axis=0), 0.0)
    errors = np.sqrt(variance)
    values -= values.mean(axis=0)
    return values + total / players, errors
