"""How much of a game is of players alone, of pairs, of triples: its variance over random coalitions, order by order.

Over all 2^M coalitions S, each as likely as any other, a game is a sum of 2^M uncorrelated pieces, one for each set T:

    v(S) = Σ_T w_T Π_{i in T} s_i ,   s_i = 1 where i is in S, else -1
    w_T  = 2^-M Σ_S v(S) Π_{i in T} s_i              Var v = Σ_{T ≠ ∅} w_T²

(the Fourier-Walsh transform; with players that are absent half of the time these are the pieces of the functional
analysis of variance.) The share of order k is the part of Σ w_T² that sets of k players have; a game that adds up its
players has order 1 alone, a product of two players of mean 0 order 2 alone. O(M 2^M).

And of attention: paths that at every layer stay where they are or go to what is attended to, and how many different
players they pass. A path of k players carries what k of them bring together, if anything.
"""

from __future__ import annotations

import numpy as np

from analysis.compute.games.exact import coalition_sizes, players_of
from analysis.errors import ShapeError, TooLarge

MOST_ON_PATHS = 12  # players: all sets of them are held


def walsh(v: np.ndarray) -> np.ndarray:
    """w_T (2^M, outputs) of all values (2^M, outputs), in the order of `all_values`."""
    w = np.array(v, dtype=np.float64)
    for player in range(players_of(v)):
        halves = w.reshape(-1, 2, 2**player, w.shape[1])
        without, there = halves[:, 0].copy(), halves[:, 1].copy()
        halves[:, 0], halves[:, 1] = (there + without) / 2, (there - without) / 2
    return w


def variance_by_order(v: np.ndarray) -> np.ndarray:
    """(M,) of order 1 … M: the sum of w_T² over sets of so many players and all outputs."""
    sizes = coalition_sizes(players_of(v))
    return np.bincount(sizes, weights=(walsh(v) ** 2).sum(axis=1))[1:]


def players_on_paths(layers: np.ndarray, stay: float) -> np.ndarray:
    """(layers + 1, players) chances that a path has passed 1 … players different ones after 0 … all layers; paths begin
    at every player alike behind the last layer considered and run back to the first.

    `layers` (layers, players, players): rows sum to 1, first layer first. `stay`: chance to stay at each layer.
    """
    if layers.ndim != 3 or layers.shape[1] != layers.shape[2]:
        raise ShapeError(f"attention of shape {layers.shape}", "(layers, players, players)")
    m = layers.shape[1]
    if m > MOST_ON_PATHS:
        raise TooLarge(f"{m} players on paths of attention", f"at most {MOST_ON_PATHS}", "Join players")
    sizes = coalition_sizes(m)
    found = [np.bincount(sizes[1 << np.arange(m)], weights=np.full(m, 1 / m), minlength=m + 1)[1:]]
    for depth in range(1, len(layers) + 1):
        at = np.zeros((m, 2**m))  # chance to stand at a player having passed a set
        at[np.arange(m), 1 << np.arange(m)] = 1 / m
        for a in layers[:depth][::-1]:
            at = stay * at + (1 - stay) * _moved(at, a)
        found.append(np.bincount(sizes, weights=at.sum(axis=0), minlength=m + 1)[1:])
    return np.array(found)


def _moved(at: np.ndarray, attention: np.ndarray) -> np.ndarray:
    m, sets = len(at), np.arange(at.shape[1])
    reached = attention.T @ at  # standing at j, before j is counted as passed
    out = np.zeros_like(at)
    for j in range(m):
        np.add.at(out[j], sets | (1 << j), reached[j])
    return out
