"""Interactions of units over samples, beside those of the additive surrogate: the game in which every unit adds what it
adds alone, v(∅) + Σ_{i in S} (v(i) - v(∅)), in the precision of the network's own answers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from analysis.compute.games.exact import all_values
from analysis.compute.games.friedman import friedman_of
from analysis.compute.games.game import Game
from analysis.compute.games.interactions import shapley_interactions
from analysis.compute.games.sampled_interactions import round_cost, sampled_interactions
from analysis.spec import Progress

EXACT_PLAYERS = 10
HARDLY = 1e-4  # of the number's variance: a pair that moves it less


@dataclass(frozen=True)
class Interactions:
    """`strength`, `low`, `high`, `null` (m, m), symmetric, 0 on the diagonal; `faint` (m, m) bool where the pair hardly
    moves the number. `above`, `below` (n,): squares of what sums of single units miss of each sample's number, and of
    the number, both about their means. `rows` of the network."""

    strength: np.ndarray
    low: np.ndarray
    high: np.ndarray
    null: np.ndarray
    faint: np.ndarray
    above: np.ndarray
    below: np.ndarray
    rows: int
    exact: bool


def additive(game: Game, single: bool) -> Game:
    """The additive surrogate of a game of one output; `single`: answers are rounded as a float32 network's are."""
    alone = game(np.eye(game.players, dtype=bool))[:, 0]
    empty = float(game.ends[0][0])

    def value(coalitions: np.ndarray) -> np.ndarray:
        v = empty + coalitions.astype(np.float64) @ (alone - empty)
        return v.astype(np.float32).astype(np.float64) if single else v

    return Game(value, game.players)


def _from_nobody(game: Game) -> Game:
    """The game less v(∅): samples may be read by different probes, which begin at different values."""
    return Game(lambda coalitions: game(coalitions) - game.ends[0], game.players)


def _misses(games: list[Game], surrogates: list[Game]) -> tuple[np.ndarray, np.ndarray]:
    full = np.array([g.ends[1][0] for g in games])
    left = full - np.array([s.ends[1][0] for s in surrogates])
    return (left - left.mean()) ** 2, (full - full.mean()) ** 2


def friedman_interactions(games: Iterable[Game], n: int, single: bool, progress: Progress) -> Interactions:
    """Friedman's H² with the jackknife's interval."""
    kept = list(games)
    found = friedman_of((_from_nobody(game) for game in kept), n, progress)
    surrogates = [additive(game, single) for game in kept]
    null = friedman_of((_from_nobody(game) for game in surrogates), n).squared[..., 0]
    above, below = _misses(kept, surrogates)
    value, error = found.squared[..., 0], found.errors[..., 0]
    faint = ~np.isfinite(value) | (found.share[..., 0] < HARDLY * below.mean())
    np.fill_diagonal(faint, False)
    value, error, null = (np.nan_to_num(a, nan=0.0, posinf=0.0) for a in (value, error, null))
    half = stdtrit(n - 1, 0.975) * error
    rows = sum(game.model_rows for game in kept)
    return Interactions(
        value, np.maximum(value - half, 0.0), value + half, null, faint, above, below, rows, True
    )


def shapley_pairs(
    games: Iterable[Game], n: int, single: bool, rounds: int, rng: np.random.Generator, progress: Progress
) -> Interactions:
    """Mean over samples of |Shapley interaction|, with Student's t over samples."""
    each, null, kept, surrogates, exact = [], [], [], [], True
    for i, game in enumerate(games):
        progress(i / n, f"interactions of {i:,} of {n:,} samples")
        exact = game.players <= EXACT_PLAYERS
        seed = int(rng.integers(2**62))
        own = additive(game, single)
        for one, into in ((game, each), (own, null)):
            if exact:
                into.append(np.abs(shapley_interactions(all_values(one))[..., 0]))
                continue
            budget = round_cost(game.players) * rounds + game.players + 2
            pairs = sampled_interactions(one, budget, np.random.default_rng(seed))
            into.append(np.abs(pairs.shapley[..., 0]))
        kept.append(game)
        surrogates.append(own)
    found, by_chance = np.array(each), np.array(null).mean(axis=0)
    above, below = _misses(kept, surrogates)
    value, half = found.mean(axis=0), stdtrit(n - 1, 0.975) * found.std(axis=0, ddof=1) / np.sqrt(n)
    faint = np.zeros(value.shape, bool)
    rows = sum(game.model_rows for game in kept)
    return Interactions(
        value, np.maximum(value - half, 0.0), value + half, by_chance, faint, above, below, rows, exact
    )
