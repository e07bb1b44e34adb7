"""Received influence: the tokens of which others take most are kept, counted in values and not in weights alone.

    influence   mean over tokens j that can take of i of  share of i in what j takes,
                of attention Σ_h w_h[j, i] ‖v_hi‖, of a scan Σ_h |g_hj| |M_h[j, i]| ‖u_hi‖, rows divided by their sum

A token that is read much and gives nothing is worth nothing. Where tokens read only those before them, the mean is over
those that can, which does not favour the first tokens. It goes without attention weights. Cost: heads t².

References: A. Ali, I. Zimerman & L. Wolf (2024), "The hidden attention of Mamba models"; Z. Guo, H. Kamigaito & T.
Watanabe (2024), "Attention score is not all you need for token importance indicator in KV cache reduction: value also
matters".
"""

from __future__ import annotations

import numpy as np

from analysis.tokens.choosing import drop, lowest
from analysis.tokens.rule import AFTER, Rule
from analysis.tokens.state import Step
from analysis.tokens.view import View


def decide(view: View, remove: np.ndarray, settings, rng) -> Step:
    score = view.received("mean influence")
    return drop(view.state, score, lowest(score, view.free, remove))


RULES = (
    Rule(
        id="received_influence",
        title="Received influence",
        equation="the largest mean share of i in what tokens take, Σ_h w_h[j, i] ‖v_hi‖ or Σ_h |M_h[j, i]| ‖u_hi‖",
        says="keeps tokens that go into others most: weight times length of what is read.",
        decide=decide,
        place=AFTER,
        needs=frozenset({"mean influence"}),
    ),
)
