"""Evenly spread: of t free tokens in order those at

    ⌊(j + ½) t / k⌋,    j = 0 … k - 1

are kept, which on a grid is nearly a lattice. What any rule has to beat.
"""

from __future__ import annotations

import numpy as np

from analysis.tokens.choosing import drop, lowest
from analysis.tokens.rule import AFTER, Rule
from analysis.tokens.state import Step
from analysis.tokens.view import View


def decide(view: View, remove: np.ndarray, settings, rng) -> Step:
    free = view.free
    score, count = np.zeros(free.shape), free.sum(axis=1)
    for row, (t, gone) in enumerate(zip(count, np.minimum(remove, count), strict=True)):
        k = int(t - gone)
        score[row, np.flatnonzero(free[row])[np.floor((np.arange(k) + 0.5) * t / max(k, 1)).astype(int)]] = (
            1.0
        )
    return drop(view.state, score, lowest(score, free, remove))


RULES = (
    Rule(
        id="even",
        title="Evenly spread",
        equation="every ⌊t / k⌋-th token in order is kept",
        says="keeps tokens at even steps, whatever is in them: a baseline.",
        decide=decide,
        place=AFTER,
        baseline=True,
    ),
)
