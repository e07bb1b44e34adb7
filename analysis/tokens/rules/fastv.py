"""FastV: behind an early layer the tokens that the answer's token reads least are dropped, all at once.

    a_i = mean over heads of softmax(q_last k_i / √d)

q_last is the query of the last token of text, from which the next word is read; in a network without text the class
token's. Published for pictures in language models: behind layer 2 or 3, half or a quarter of the picture's tokens kept.

With rotary positions a_i favours keys near the query: what stands last in the picture (`feather` scores without them).

Reference: L. Chen, H. Zhao, T. Liu, S. Bai, J. Lin, C. Zhou & B. Chang (2024), "An image is worth 1/2 tokens after
layer 2: plug-and-play inference acceleration for large vision-language models".
"""

from __future__ import annotations

import numpy as np

from analysis.tokens.choosing import drop, lowest
from analysis.tokens.rule import AFTER, Rule
from analysis.tokens.state import Step
from analysis.tokens.view import View


def decide(view: View, remove: np.ndarray, settings, rng) -> Step:
    read = view.answering_attention()
    return drop(view.state, read, lowest(read, view.free, remove))


RULES = (
    Rule(
        id="fastv",
        title="FastV",
        equation="the largest mean over heads of softmax(q_last k_i / √d) are kept, behind one early layer",
        says="behind one early layer keeps what the last token (which answers) looks at most.",
        decide=decide,
        papers=(
            "Feather the Throttle: Revisiting Visual Token Pruning for Vision-Language Model Acceleration",
        ),
        place=AFTER,
        schedule="second",
        needs=frozenset({"mean attention"}),
    ),
)
