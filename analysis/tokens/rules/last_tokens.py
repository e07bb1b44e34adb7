"""Last tokens: a few first ones, which attention sinks into, and the last: a sliding window with sinks.

    of t free tokens those with i <= s or i > t - (k - s) are kept

One of the baselines that any rule has to beat.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.spec import param
from analysis.tokens.choosing import drop, lowest
from analysis.tokens.rule import AFTER, Rule
from analysis.tokens.state import Step
from analysis.tokens.view import View


@dataclass(frozen=True)
class WindowSettings:
    sinks: int = param(1, "First free tokens that stay beside the last.", low=0, high=64)


def decide(view: View, remove: np.ndarray, settings: WindowSettings, rng) -> Step:
    order = np.cumsum(view.free, axis=1) * 1.0
    score = np.where(order <= settings.sinks, np.inf, order)
    return drop(view.state, order, lowest(score, view.free, remove))


RULES = (
    Rule(
        id="last",
        title="Last tokens",
        equation="the first few and the last tokens are kept",
        says="keeps the first few and the last tokens, as a sliding window does: a baseline.",
        decide=decide,
        place=AFTER,
        baseline=True,
        settings=WindowSettings,
    ),
)
