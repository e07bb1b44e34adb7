"""G-Search: tokens that the words read least go, so many behind every layer as a sigmoid over depth says.

    a_i = mean over heads and over the tokens that can read i of softmax(q_j k_i / √d),    j words where there are any
    k(l) / T = 1 / (1 + exp((l - m) / w)),    l = 1 … L

The paper searches the fewest tokens of every layer, from shallow to deep, at which the output stays as it is (the
question "How few tokens does every layer need?" does, with this rule as with others), finds that they fall as a
sigmoid, and meets any budget by moving its middle m: this rule at a share of the tokens or of the multiply-adds. The
width is an eighth of the depth here, where the paper fits it.

Reference: S. Zhao, Z. Wang, F. Juefei-Xu, X. Xia, M. Liu, X. Wang, M. Liang, N. Zhang, D. N. Metaxas & L. Yu (2025),
"Accelerating multimodal large language models by searching optimal vision token reduction".
"""

from __future__ import annotations

import numpy as np

from analysis.tokens.choosing import drop, lowest
from analysis.tokens.rule import AFTER, Rule
from analysis.tokens.state import Step
from analysis.tokens.view import TEXT, View


def read_by_words(view: View) -> np.ndarray:
    """(B, t) what the words that can read a token read of it on average; where a sample has no words behind its free
    tokens, or is all words, what all tokens do."""
    words = (view.kinds == TEXT) & ~view.free
    if not words.any(axis=1).all() or not view.layout.causal or (view.free & (view.kinds == TEXT)).any():
        return view.received()
    later = np.cumsum(words[:, ::-1], axis=1)[:, ::-1]
    read = (words[:, None, :] * 1.0 @ view["mean attention"])[:, 0]
    return np.where(later > 0, read / np.maximum(later, 1), view.received())


def decide(view: View, remove: np.ndarray, settings, rng) -> Step:
    read = read_by_words(view)
    return drop(view.state, read, lowest(read, view.free, remove))


RULES = (
    Rule(
        id="g_search",
        title="G-Search",
        equation="the tokens that words read least go, so many that 1 / (1 + e^((l - m) / w)) are left behind layer l",
        says="keeps what the words (or all tokens that can read it) look at most, fewer behind every layer "
        "along a sigmoid over depth.",
        decide=decide,
        papers=("Accelerating Multimodal Large Language Models by Searching Optimal Vision Token Reduction",),
        place=AFTER,
        schedule="sigmoid",
        needs=frozenset({"mean attention"}),
        notes=(
            "Counts follow a sigmoid over depth that is moved to the budget; the search for the fewest tokens of every "
            "layer is a question of its own.",
        ),
    ),
)
