"""Interactions of pairs from a sample of coalitions, with standard errors.

In a random order, two neighbours i, j meet a coalition S of those before them whose size is uniform and whose members
are random: Δ_ij(S) has the Shapley interaction index as its mean, and times 2 (M - 1 - |S|) / M the Shapley-Taylor
index of order 2. A round takes M / 2 orders in which every two players are neighbours exactly once (the zigzag paths of
E. Walecki, with players shuffled; with one empty place where M is odd), each with its reverse, which meets the
coalition's complement: the Shapley interaction of a round is exact where no more than three players act together.
Rounds are independent, so their spread gives the standard error. A round costs about 2 M² evaluations, of which the
game remembers some.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from analysis.compute.games.game import Game
from analysis.errors import NotEnoughData


@dataclass(frozen=True)
class PairValues:
    """`shapley`, `taylor` (players, players, outputs), symmetric, with `shapley_errors`, `taylor_errors`; the diagonal
    of `taylor` is v(i) - v(∅), exact. `residual` (outputs,): what Shapley-Taylor values miss of v(N) - v(∅)."""

    shapley: np.ndarray
    shapley_errors: np.ndarray
    taylor: np.ndarray
    taylor_errors: np.ndarray
    residual: np.ndarray
    evaluations: int
    model_rows: int
    rounds: int

    def half_width(self, errors: np.ndarray, level: float = 0.95) -> np.ndarray:
        """Half of the interval that belongs to `errors`, by Student's t over the rounds."""
        return (
            stdtrit(self.rounds - 1, 0.5 + level / 2) * errors
            if self.rounds > 1
            else np.full_like(errors, np.nan)
        )


def sampled_interactions(game: Game, budget: int, rng: np.random.Generator) -> PairValues:
    """Both indices from as many rounds as `budget` evaluations surely pay for; at least one."""
    before, players = game.evaluations, game.players
    empty, full = game.ends
    cost = round_cost(players)
    rounds = (budget - 2 - players) // cost
    if rounds < 1 or players < 2:
        raise NotEnoughData(f"A budget of {budget:,} evaluations for pairs of {players} players",
                            f"2 players and at least {cost + players + 2:,}")  # fmt: skip
    alone = game(np.eye(players, dtype=bool)) - empty
    mean, squares = np.zeros((2, players, players, len(empty))), 0.0
    for done in range(1, rounds + 1):
        found = _round(game, rng)
        step = found - mean
        mean = mean + step / done
        squares = squares + step * (found - mean)
    errors = np.sqrt(squares / (rounds - 1) / rounds) if rounds > 1 else np.full_like(mean, np.nan)
    mean[1][np.diag_indices(players)], errors[:, np.arange(players), np.arange(players)] = alone, 0.0
    upper = np.triu_indices(players)
    residual = mean[1][upper].sum(axis=0) - (full - empty)
    used = game.evaluations - before
    return PairValues(mean[0], errors[0], mean[1], errors[1], residual, used, used * game.background, rounds)


def round_cost(players: int) -> int:
    """Most evaluations of one round: the coalitions of its orders and, at each place, the one that skips a player."""
    return len(zigzags(players)) * 2 * 2 * (players - 1)


def zigzags(players: int) -> np.ndarray:
    """Orders (about players / 2, players) in which every two players are neighbours once; -1 is an empty place."""
    even = players + players % 2
    steps = np.zeros(even, dtype=np.int64)
    steps[1::2], steps[2::2] = np.arange(1, even // 2 + 1), -np.arange(1, even // 2)
    orders = (np.arange(even // 2)[:, None] + steps) % even
    return np.where(orders == players, -1, orders)


def _round(game: Game, rng: np.random.Generator) -> np.ndarray:
    """One estimate (2, players, players, outputs) of both indices."""
    players = game.players
    found = np.zeros((2, players, players, len(game.ends[0])))
    names = rng.permutation(players + players % 2)  # the empty place is shuffled too
    for order in zigzags(len(names)):
        order = names[order]
        for path in (order, order[::-1]):
            _meet(game, path, found)
    return (found + found.transpose(0, 2, 1, 3)) / 2  # each pair was met twice, once in each order


def _meet(game: Game, path: np.ndarray, found: np.ndarray) -> None:
    """Add Δ of every two neighbours on the path, at the coalition of those before."""
    players = game.players
    place = np.full(players, -1)
    there = path < players
    place[path[there]] = np.flatnonzero(there)
    first = np.array([t for t in range(len(path) - 1) if there[t] and there[t + 1]])
    i, j = path[first], path[first + 1]
    rows = np.arange(len(first))
    base = place[None, :] < first[:, None]
    with_i, with_j = base.copy(), base.copy()
    with_i[rows, i], with_j[rows, j] = True, True
    both = with_i | with_j
    answers = game(np.concatenate([base, with_i, with_j, both])).reshape(4, len(first), -1)
    delta = answers[3] - answers[1] - answers[2] + answers[0]
    size = base.sum(axis=1)
    np.add.at(found[0], (i, j), delta)
    np.add.at(found[1], (i, j), delta * (2 * (players - 1 - size) / players)[:, None])
