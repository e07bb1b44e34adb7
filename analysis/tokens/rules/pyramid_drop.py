"""PyramidDrop: at the ends of stages the tokens that the last word of the instruction reads least are dropped.

    a_i = mean over heads of softmax(q_last k_i / √d),    q and k of the *next* layer, over all keys

With share λ at each of three ends of four equal stages, 576 tokens become 288, 144, 72 (λ = ½): a mean share of
(1 - λ⁴) / (4 (1 - λ)) = 0.469. q_last as in `fastv`. Published code numbers the tokens that are left anew, which moves
their rotary positions; here they keep their positions unless a run is told to number anew (`repack`).

Cost: one row of attention more at each end.

Reference: L. Xing, Q. Huang, X. Dong, J. Lu, P. Zhang, Y. Zang, Y. Cao, C. He, J. Wang, F. Wu & D. Lin (2025),
"PyramidDrop: accelerating your large vision-language models via pyramid visual redundancy reduction".
"""

from __future__ import annotations

import numpy as np

from analysis.tokens.choosing import drop, lowest
from analysis.tokens.rule import AFTER, Rule
from analysis.tokens.state import Step
from analysis.tokens.view import View


def decide(view: View, remove: np.ndarray, settings, rng) -> Step:
    read = view.answering_attention(view.ahead)
    return drop(view.state, read, lowest(read, view.free, remove))


RULES = (
    Rule(
        id="pyramid_drop",
        title="PyramidDrop",
        equation="the share λ of largest softmax(q_last k_i / √d) of the next layer is kept at the end of each stage",
        says="at the end of each stage keeps a share, by what the last token looks at most.",
        decide=decide,
        papers=(
            "PyramidDrop: Accelerating Your Large Vision-Language Models via Pyramid Visual Redundancy Reduction",
        ),
        place=AFTER,
        schedule="quarters",
        needs=frozenset({"next mean attention"}),
        notes=(
            "Published code numbers positions anew after a drop; here they stay unless the run is told to.",
        ),
    ),
)
