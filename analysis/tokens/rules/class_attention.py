"""Class attention: the tokens that the class token reads most are kept, the others are dropped, all at once.

    a_i = mean over heads of softmax(q_class k_i / √d)

Of t free tokens the k of largest a_i stay, behind one layer (the second of six): what EViT does without its fused token
and its stages. A network without a class token ranks by what all tokens read on average, and says so.
"""

from __future__ import annotations

import numpy as np

from analysis.tokens.choosing import drop, lowest
from analysis.tokens.rule import AFTER, Rule
from analysis.tokens.state import Step
from analysis.tokens.view import View


def decide(view: View, remove: np.ndarray, settings, rng) -> Step:
    read = view.class_attention()
    return drop(view.state, read, lowest(read, view.free, remove))


RULES = (
    Rule(
        id="class_attention",
        title="Class attention",
        equation="the largest mean over heads of softmax(q_class k_i / √d) are kept",
        says="keeps what the class token looks at most.",
        decide=decide,
        place=AFTER,
        schedule="once",
        needs=frozenset({"mean attention"}),
    ),
)
