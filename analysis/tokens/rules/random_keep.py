"""Random: every free token is kept with the same chance.

    the k largest of u_i are kept,    u_i uniform on (0, 1)

One of the baselines that any rule has to beat.
"""

from __future__ import annotations

import numpy as np

from analysis.tokens.choosing import drop, lowest
from analysis.tokens.rule import AFTER, Rule
from analysis.tokens.state import Step
from analysis.tokens.view import View


def decide(view: View, remove: np.ndarray, settings, rng: np.random.Generator) -> Step:
    score = rng.random(view.state.at.shape)
    return drop(view.state, score, lowest(score, view.free, remove))


RULES = (
    Rule(
        id="random",
        title="Random",
        equation="every free token is kept with the same chance",
        says="keeps tokens by lot: what a rule has to beat.",
        decide=decide,
        place=AFTER,
        baseline=True,
    ),
)
