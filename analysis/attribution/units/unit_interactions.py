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
    """`strength`, `low`, `high`, `null` (m, m), symmetric, 0 on the diagonal; `firm` (m, m) bool where an interval that
    is wide enough for all pairs at once (Bonferroni) lies above `null` and above rounding; `faint` where the pair
    hardly moves the number. `above`, `below` (n,): squares of what sums of single units miss of each sample's number,
    and of the number, both about their means. `rows` of the network. `rounding` (m, m): what the precision of the
    answers leaves of a strength of 0."""

    strength: np.ndarray
    low: np.ndarray
    high: np.ndarray
    null: np.ndarray
    firm: np.ndarray
    faint: np.ndarray
    above: np.ndarray
    below: np.ndarray
    rows: int
    exact: bool
    rounding: np.ndarray


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


def _rounding(games: list[Game], single: bool) -> float:
    """What the precision of the answers leaves of a difference of four of them."""
    return (
        8
        * float(np.finfo(np.float32 if single else np.float64).eps)
        * max(np.abs(g.ends).max() for g in games)
    )


def _ends(value: np.ndarray, error: np.ndarray, null: np.ndarray, n: int):
    """low, high (m, m) by Student's t, and whether the interval that holds for all pairs lies above the null."""
    pairs = max(len(value) * (len(value) - 1) // 2, 1)
    one, every = (stdtrit(n - 1, 1 - 0.025 / k) * error for k in (1, pairs))
    return np.maximum(value - one, 0.0), value + one, value - every > null


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
    share = found.share[..., 0]
    floor = np.divide(_rounding(kept, single) ** 2, share, out=np.ones_like(value), where=share > 0)
    low, high, firm = _ends(value, error, np.maximum(null, floor), n)
    rows = sum(game.model_rows for game in kept)
    return Interactions(value, low, high, null, firm & ~faint, faint, above, below, rows, True, floor)


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
    value, error = found.mean(axis=0), found.std(axis=0, ddof=1) / np.sqrt(n)
    floor = np.full(value.shape, _rounding(kept, single))
    low, high, firm = _ends(value, error, np.maximum(by_chance, floor), n)
    faint = np.zeros(value.shape, bool)
    rows = sum(game.model_rows for game in kept)
    return Interactions(value, low, high, by_chance, firm, faint, above, below, rows, exact, floor)
