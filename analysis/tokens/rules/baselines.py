"""What any rule has to beat: tokens kept at random, evenly over their order, the first ones or the last ones.

Random: every free token has the same chance. Even: of t free tokens in order those at ⌊(j + ½) t / k⌋, j = 0 … k - 1,
are kept, which on a grid is nearly a lattice. First: the k first. Last: a few first ones, which attention sinks into,
and the last (a sliding window with sinks).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.spec import param
from analysis.tokens.choosing import drop, lowest
from analysis.tokens.rule import AFTER, Rule
from analysis.tokens.state import Step
from analysis.tokens.view import View


def at_random(view: View, remove: np.ndarray, settings, rng: np.random.Generator) -> Step:
    score = rng.random(view.state.at.shape)
    return drop(view.state, score, lowest(score, view.free, remove))


def evenly(view: View, remove: np.ndarray, settings, rng) -> Step:
    free = view.free
    score, count = np.zeros(free.shape), free.sum(axis=1)
    for row, (t, gone) in enumerate(zip(count, np.minimum(remove, count), strict=True)):
        k = int(t - gone)
        score[row, np.flatnonzero(free[row])[np.floor((np.arange(k) + 0.5) * t / max(k, 1)).astype(int)]] = (
            1.0
        )
    return drop(view.state, score, lowest(score, free, remove))


@dataclass(frozen=True)
class WindowSettings:
    sinks: int = param(1, "First free tokens that stay beside the last.", low=0, high=64)


def first_ones(view: View, remove: np.ndarray, settings, rng) -> Step:
    score = -np.cumsum(view.free, axis=1) * 1.0
    return drop(view.state, score, lowest(score, view.free, remove))


def last_ones(view: View, remove: np.ndarray, settings: WindowSettings, rng) -> Step:
    order = np.cumsum(view.free, axis=1) * 1.0
    score = np.where(order <= settings.sinks, np.inf, order)
    return drop(view.state, order, lowest(score, view.free, remove))


RULES = (
    Rule(
        "random",
        "Random",
        "every free token is kept with the same chance",
        at_random,
        place=AFTER,
        baseline=True,
    ),
    Rule(
        "even", "Evenly spread", "every ⌊t / k⌋-th token in order is kept", evenly, place=AFTER, baseline=True
    ),
    Rule("first", "First tokens", "the k first tokens are kept", first_ones, place=AFTER, baseline=True),
    Rule(
        "last",
        "Last tokens",
        "the first few and the last tokens are kept",
        last_ones,
        place=AFTER,
        baseline=True,
        settings=WindowSettings,
    ),
)
