"""Shapley values by antithetic permutations: players enter in a random order, and again in the reverse order.

φ_i is the mean over orders of v(those before i, and i) - v(those before i) (J. Castro et al. 2009). An order and its
reverse use complementary coalitions, so a pass is exact for games with no interactions beyond pairs (R. Mitchell et al.
2022); passes are independent, and their spread gives the standard error. Every pass adds up to v(N) - v(∅). A pass
costs 2 (M - 1) evaluations beside the two ends.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from analysis.compute.games.game import Game
from analysis.compute.games.values import PlayerValues, of_game
from analysis.errors import NotEnoughData, ParameterError

Orders = Callable[[np.random.Generator, int], np.ndarray]  # (generator, how many) -> orders (many, players)
FEWEST = 8  # passes before a wanted standard error may stop the run: fewer say too little of the error


def permutation_values(
    game: Game, rng: np.random.Generator, *, budget: int | None = None, wanted_error: float | None = None,
    orders: Orders | None = None,
) -> PlayerValues:  # fmt: skip
    """Shapley values (players, outputs) from passes until `budget` evaluations are spent or every standard error is at
    most `wanted_error`, whichever comes first. One pass has no standard error (NaN). `orders`: another law of orders,
    as likely as its reverse; all orders alike by default."""
    if budget is None and wanted_error is None:
        raise ParameterError(
            "Neither a budget nor a wanted standard error", "one of them: it would never stop"
        )
    before, cost = game.evaluations, max(1, 2 * (game.players - 1))
    empty, _ = game.ends
    most = np.inf if budget is None else (budget - 2) // cost
    if most < 1:
        raise NotEnoughData(f"A budget of {budget:,} evaluations", f"at least {cost + 2:,}, for one pass",
                            "Raise the budget or group players")  # fmt: skip
    draw = orders or (lambda rng, many: rng.permuted(np.tile(np.arange(game.players), (many, 1)), axis=1))
    at_once = max(1, game.batch // cost)
    mean, squares, passes = np.zeros((game.players, len(empty))), 0.0, 0
    while passes < most:
        now = int(min(at_once, most - passes))
        for gained in _passes(game, draw(rng, now)):
            passes += 1
            step = gained - mean
            mean = mean + step / passes
            squares = squares + step * (gained - mean)
        errors = np.sqrt(squares / (passes - 1) / passes) if passes > 1 else np.full_like(mean, np.nan)
        if wanted_error is not None and passes >= FEWEST and errors.max() <= wanted_error:
            break
    if game.players <= 2:  # every order and its reverse: nothing is left to chance
        return of_game(game, mean, np.zeros_like(mean), "all orders", spent_before=before)
    return of_game(game, mean, errors, "antithetic permutations", pairs=passes, spent_before=before)


def _passes(game: Game, orders: np.ndarray) -> np.ndarray:
    """Mean gain (passes, players, outputs) of each player over each order (passes, players) and its reverse."""
    now, players = orders.shape
    place = np.argsort(orders, axis=1)
    before = place[:, None, :] < np.arange(1, players)[None, :, None]  # the first 1 .. M - 1 players
    empty, full = game.ends
    outputs = len(empty)
    if players == 1:
        return np.broadcast_to(full - empty, (now, 1, outputs))
    answers = game(np.concatenate([before, ~before]).reshape(-1, players))
    answers = answers.reshape(2, now, players - 1, outputs)
    ends = [np.broadcast_to(end, (now, 1, outputs)) for end in (empty, full)]
    onward = np.diff(np.concatenate([ends[0], answers[0], ends[1]], axis=1), axis=1)
    back = -np.diff(np.concatenate([ends[1], answers[1], ends[0]], axis=1), axis=1)
    gained = (onward + back) / 2
    return np.take_along_axis(gained, place[:, :, None], axis=1)
