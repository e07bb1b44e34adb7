"""Owen values: Shapley values when players stand in groups that join as wholes, groups in groups as deep as wanted.

The orders in which players enter are those where no group is left before all its members are in: siblings are shuffled
at every level (G. Owen 1977; nested by E. Winter 1989). Groups of words, of neighbouring patches or of correlated
columns are then never torn apart by strangers, and a group's values sum to its own Shapley value in the game among
groups. The values depend on the grouping. Exactly: the members of a group play an inner game, the mean of v over
coalitions of the siblings with Shapley's weights, which is again a game with groups; level by level, the numbers of
coalitions multiply. Sampled: antithetic passes over such orders.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from analysis.compute.games.exact import coalition_sizes, shapley_weights
from analysis.compute.games.game import Game
from analysis.compute.games.permutations import permutation_values
from analysis.compute.games.values import PlayerValues, of_game
from analysis.errors import InputError, NotEnoughData, TooLarge

Tree = int | Sequence["Tree"]  # a player, or a group of such
MOST_COALITIONS = 1 << 17  # of the exact way


def owen_values(
    game: Game, hierarchy: Sequence[Tree], rng: np.random.Generator | None = None, budget: int | None = None
) -> PlayerValues:
    """Owen values (players, outputs). `hierarchy` holds every player once, as [[0, 1], [2, [3, 4]], 5].

    Exact where that costs at most `budget` evaluations and 131,072; otherwise sampled with `rng` within `budget`.
    """
    found = sorted(leaves(hierarchy))
    if found != list(range(game.players)):
        raise InputError(f"A hierarchy with players {found[:10]}", f"each of 0 to {game.players - 1} once")
    cost = exact_cost(hierarchy)
    if cost <= min(MOST_COALITIONS, np.inf if budget is None else budget):
        before = game.evaluations
        values = np.zeros((game.players, len(game.ends[0])))
        _share(game, game.players, hierarchy, [np.zeros(game.players, dtype=bool)], np.ones(1), values)
        return of_game(game, values, np.zeros_like(values), "all orders of the groups", spent_before=before)
    if rng is None or budget is None:
        raise TooLarge(f"This hierarchy has up to {cost:,} coalitions", f"at most {MOST_COALITIONS:,}",
                       "Give a budget and a generator to sample")  # fmt: skip
    if budget < 2 * game.players:
        raise NotEnoughData(
            f"A budget of {budget:,} evaluations", f"at least {2 * game.players:,}, for one pass"
        )
    return permutation_values(game, rng, budget=budget, orders=_orders(hierarchy))


def leaves(tree: Tree) -> list[int]:
    """The players below a node."""
    if isinstance(tree, int | np.integer):
        return [int(tree)]
    return [player for child in tree for player in leaves(child)]


def exact_cost(tree: Tree, outer: int = 1) -> int:
    """Most coalitions that the exact way asks for below a node with `outer` coalitions of its surroundings."""
    if isinstance(tree, int | np.integer):
        return 2 * outer
    return sum(exact_cost(child, outer * 2 ** (len(tree) - 1)) for child in tree)


def _share(
    game: Callable,
    players: int,
    tree: Tree,
    around: list[np.ndarray],
    weights: np.ndarray,
    values: np.ndarray,
) -> None:
    """Fill `values` of the players below `tree`; `around`: the coalitions outside it, with their `weights`."""
    if isinstance(tree, int | np.integer):
        outside = np.stack(around)
        inside = outside.copy()
        inside[:, tree] = True
        answers = game(np.concatenate([outside, inside]))
        values[tree] = weights @ (answers[len(outside) :] - answers[: len(outside)])
        return
    members = np.zeros((len(tree), players), dtype=bool)
    for child, row in zip(tree, members, strict=True):
        row[leaves(child)] = True
    others = len(tree) - 1
    chosen = (np.arange(2**others)[:, None] >> np.arange(others)) & 1
    law = shapley_weights(len(tree))[coalition_sizes(others)]
    for k, child in enumerate(tree):
        siblings = (chosen @ np.delete(members, k, axis=0)) > 0
        here = [a | s for a in around for s in siblings]
        _share(game, players, child, here, (weights[:, None] * law).ravel(), values)


def _orders(hierarchy: Tree) -> Callable[[np.random.Generator, int], np.ndarray]:
    def one(tree: Tree, rng: np.random.Generator) -> list[int]:
        if isinstance(tree, int | np.integer):
            return [int(tree)]
        return [player for k in rng.permutation(len(tree)) for player in one(tree[k], rng)]

    return lambda rng, many: np.array([one(hierarchy, rng) for _ in range(many)])
