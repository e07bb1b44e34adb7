"""EViT: the tokens that the class token reads most are kept, and the others become one token beside them.

    a_i = mean over heads of softmax(q_class k_i / √d)

Of t free tokens the most read stay, and Σ a_i x_i over all others is one token that stays: a sum with the attention as
weights, not a mean, so that it is shorter than the tokens it is made of. The paper keeps ⌈ρ t⌉ and that token beside
them; here it is one of the k, the plan's number, so that rules of one cost are compared.

Reference: Y. Liang, C. Ge, Z. Tong, Y. Song, J. Wang & P. Xie (2022), "Not all patches are what you need: expediting
vision transformers via token reorganizations".
"""

from __future__ import annotations

import numpy as np

from analysis.tokens.choosing import lowest
from analysis.tokens.rule import Rule
from analysis.tokens.state import Step, stay
from analysis.tokens.view import View


def decide(view: View, remove: np.ndarray, settings, rng) -> Step:
    read, free = view.class_attention(), view.free
    gone = lowest(read, free, np.where(remove > 0, np.minimum(remove + 1, free.sum(axis=1)), 0))
    most = np.where(gone, read, -np.inf).argmax(axis=1)  # the token that gives the fused one its name
    into = np.where(gone, most[:, None], stay(view.state))
    return Step(into, read, weight=np.where(gone, read, 1.0), summed=True)


RULES = (
    Rule(
        id="evit",
        title="EViT",
        equation="the most read by the class token are kept; Σ a_i x_i of the others is one token",
        says="keeps what the class token looks at most and puts all others into one token.",
        decide=decide,
        schedule="thirds",
        needs=frozenset({"mean attention"}),
        merges=True,
    ),
)
