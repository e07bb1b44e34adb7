"""What parts would be owed by Shapley values if the network stood elsewhere or something else was asked of it: the
changes of a sample made to other samples.

    v'(S) = y'(x' - Σ_{k not in S} part_k)      part_k of the sample x and its background, x' another sample

y' is the number of x', or another number of x itself (x' = x). Of a linear network these are the parts that exchanged
slopes give. Tokens of x' are taken again from the beginning where it is shorter, and are put into the network as it
stands with x where they are not as many.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from analysis.attribution.backgrounds import Background
from analysis.attribution.exchanged_slopes import as_long
from analysis.attribution.players import Players
from analysis.attribution.sample_run import SampleRun
from analysis.attribution.split_game import split_game
from analysis.attribution.targets import Target
from analysis.compute.games.owen import owen_values
from analysis.compute.games.shapley import shapley_values


@dataclass(frozen=True)
class Carried:
    """The players `who` of the sample `x`, whose changes are made to whatever sample is run."""

    who: Players
    x: object

    @property
    def names(self) -> tuple[str, ...]:
        return self.who.names

    def mixed(self, coalitions, x, base):
        return x + (self.who.mixed(coalitions, self.x, base) - self.x)


def exchanged_values(
    run: SampleRun, who: Players, behind: Background, asked: Iterable[tuple[SampleRun, Target]], tree: list | None,
    budget: int, rng: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    """(n, players): the parts of the sample of `run` at each of n pairs of another run and what is asked of it; Owen
    values where there is a `tree`; at most `budget` coalitions for each."""
    found = []
    for other, target in asked:
        if other.shape != run.shape:
            other = run.holding(as_long(other.clean[None], run.shape[0])[0])
        game = split_game(other, Carried(who, run.clean), behind, target)
        one = shapley_values(game, budget, rng) if tree is None else owen_values(game, tree, rng, budget)
        found.append(one.values[:, 0])
    return np.array(found)


def budget_of_a_draw(budget: int, draws: int, players: int) -> int:
    """Coalitions for each of so many draws: all together as many as the sample itself has, but at least a pass forth
    and back over the players, which is right on average and adds its error to the null."""
    return max(budget // max(draws, 1), 2 * players + 2)
