"""Shapley values without sampling: by all coalitions of few players, or in closed form for a linear model.

    φ_i = Σ_{S without i}  |S|! (M - |S| - 1)! / M!  (v(S + i) - v(S))                 (L. Shapley 1953)

All 2^M values lie in one array in the order of the coalition's number, so that player i's gains are differences along
one axis of length 2, and the sum is M passes over it: O(M 2^M) instead of the O(4^M) of pairing coalitions by search.
"""

from __future__ import annotations

from math import comb

import numpy as np

from analysis.compute.games.game import Game
from analysis.compute.games.values import PlayerValues, of_game
from analysis.compute.memory import free_bytes
from analysis.errors import ShapeError, TooLarge

MOST_PLAYERS = 20
KEPT_PLAYERS = 12  # up to here the game remembers every answer


def exact_bytes(players: int, outputs: int = 1) -> int:
    """Peak memory of `exact_values`: all values, the gains of one player, weights and sizes."""
    return int(2**players * (8 * outputs * 2 + 8 + 1))


def exact_values(game: Game) -> PlayerValues:
    """Shapley values (players, outputs) from all coalitions. Refused above 20 players or the free memory."""
    before = game.evaluations
    v = all_values(game)
    return of_game(game, shapley_of(v), np.zeros((game.players, v.shape[1])), "all coalitions",
                   spent_before=before)  # fmt: skip


def all_values(game: Game) -> np.ndarray:
    """v of every coalition (2^players, outputs); player i is in coalition number c where bit i of c is 1."""
    players = game.players
    empty, _ = game.ends
    needed, free = exact_bytes(players, len(empty)), free_bytes()
    if players > MOST_PLAYERS or needed > free:
        raise TooLarge(
            f"{players} players have {2**players:,} coalitions, {needed / 2**30:,.1f} GiB",
            f"at most {MOST_PLAYERS} players and {free / 2**30:,.1f} GiB",
            "Group players, or sample (analysis.compute.games.shapley)",
        )
    v = np.empty((2**players, len(empty)))
    step = max(game.batch, 1 << 12)
    ask = game if players <= KEPT_PLAYERS else game.unremembered
    for start in range(0, len(v), step):
        numbers = np.arange(start, min(start + step, len(v)))
        v[start : start + step] = ask((numbers[:, None] >> np.arange(players)) & 1)
    return v


def shapley_of(v: np.ndarray) -> np.ndarray:
    """Shapley values (players, outputs) from all values (2^players, outputs)."""
    players = players_of(v)
    weights = shapley_weights(players)[coalition_sizes(players - 1)]
    return np.stack([np.einsum("s,so->o", weights, gains(v, i)) for i in range(players)])


def gains(v: np.ndarray, player: int) -> np.ndarray:
    """v(S + player) - v(S) for all S without the player, ordered by the other players' numbers (2^(M-1), outputs)."""
    halves = v.reshape(-1, 2, 2**player, v.shape[1])
    return (halves[:, 1] - halves[:, 0]).reshape(-1, v.shape[1])


def players_of(v: np.ndarray) -> int:
    """How many players have as many coalitions as `v` has rows."""
    players = len(v).bit_length() - 1
    if v.ndim != 2 or len(v) != 2**players or players < 1:
        raise ShapeError(f"Values of shape {v.shape}", "(2 to the number of players, outputs)")
    return players


def coalition_sizes(players: int) -> np.ndarray:
    """Sizes (2^players,) of all coalitions in the order of their numbers."""
    sizes = np.zeros(1, dtype=np.int8)
    for _ in range(players):
        sizes = np.concatenate([sizes, sizes + 1])
    return sizes


def shapley_weights(players: int) -> np.ndarray:
    """|S|! (M - |S| - 1)! / M! for |S| = 0 .. M - 1: one over M times the number of coalitions of that size."""
    return np.array([1.0 / (players * comb(players - 1, s)) for s in range(players)])


def linear_values(weights: np.ndarray, x: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """φ_i = w_i (x_i - E x_i), (columns, outputs), of a linear model with `weights` (columns,) or (columns, outputs) at
    `x` (columns,) against a background with `mean` (columns,)."""
    weights = np.asarray(weights, dtype=np.float64)
    weights = weights[:, None] if weights.ndim == 1 else weights
    return weights * (np.asarray(x, dtype=np.float64) - np.asarray(mean, dtype=np.float64))[:, None]
