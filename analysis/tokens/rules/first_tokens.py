"""First tokens: the k first free tokens are kept, a prefix of the cache.

    token i of the free ones is kept where i <= k

One of the baselines that any rule has to beat.
"""

from __future__ import annotations

import numpy as np

from analysis.tokens.choosing import drop, lowest
from analysis.tokens.rule import AFTER, Rule
from analysis.tokens.state import Step
from analysis.tokens.view import View


def decide(view: View, remove: np.ndarray, settings, rng) -> Step:
    score = -np.cumsum(view.free, axis=1) * 1.0
    return drop(view.state, score, lowest(score, view.free, remove))


RULES = (
    Rule(
        id="first",
        title="First tokens",
        equation="the k first tokens are kept",
        says="keeps the first tokens: a baseline.",
        decide=decide,
        place=AFTER,
        baseline=True,
    ),
)
