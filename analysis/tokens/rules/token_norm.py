"""Token norm: the longest tokens are kept.

    ‖x_i‖,    x_i the token behind the block

It looks at one token alone and says nothing of who needs it: the longest tokens of large networks are registers without
content of their own (`shortest` keeps the others). Cost: t d.
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
class NormSettings:
    shortest: bool = param(False, "Keep the shortest tokens instead of the longest.")


def decide(view: View, remove: np.ndarray, settings: NormSettings, rng) -> Step:
    length = np.linalg.norm(np.asarray(view["hidden"], np.float64), axis=2)
    score = -length if settings.shortest else length
    return drop(view.state, score, lowest(score, view.free, remove))


RULES = (
    Rule(
        id="token_norm",
        title="Token norm",
        equation="the largest ‖x_i‖ are kept",
        says="keeps the longest tokens.",
        decide=decide,
        place=AFTER,
        needs=frozenset({"hidden"}),
        settings=NormSettings,
    ),
)
