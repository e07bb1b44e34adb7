"""ToMe, bipartite soft matching: the most alike tokens are merged, a few in every layer.

The free tokens of a layer alternate between two sets A and B. Every token a of A proposes its most alike b of B,

    cos(k_a, k_b),    k the mean over heads of the keys of this layer's attention,

and the r best proposals are merged into b as means weighed by size. Attention afterwards is

    softmax(q k' / √d + log s),    s how many input tokens are inside a key,

so that a token merged with its copy reads and is read as before. Between attention and MLP; at most half of the free
tokens go in one layer. Class tokens and the like belong to neither set. Ties go to the token that stands first.

Cost: one product of (t/2, d) by (d, t/2) a layer.

Reference: D. Bolya, C.-Y. Fu, X. Dai, P. Zhang, C. Feichtenhofer & J. Hoffman (2023), "Token merging: your ViT but
faster".
"""

from __future__ import annotations

import numpy as np

from analysis.tokens.choosing import bipartite, gathered, split_places, unit_rows
from analysis.tokens.rule import Rule
from analysis.tokens.state import Step
from analysis.tokens.view import View


def halves(free: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places of the free tokens in turn: A has the first, B the second, and so on."""
    turn = np.cumsum(free, axis=1) - 1
    return split_places(free & (turn % 2 == 0)), split_places(free & (turn % 2 == 1))


def decide(view: View, remove: np.ndarray, settings, rng) -> Step:
    keys = unit_rows(view["mean keys"])
    first, second = halves(view.free)
    return bipartite(
        view.state,
        first,
        second,
        lambda a, b: gathered(keys, a) @ gathered(keys, b).transpose(0, 2, 1),
        remove,
    )


RULES = (
    Rule(
        id="tome",
        title="ToMe",
        equation="the r largest of max over b in B of cos(k_a, k_b), a in A, are merged",
        says="token merging: joins the most alike pairs of tokens, by their keys, in every layer.",
        decide=decide,
        needs=frozenset({"mean keys"}),
        proportional=True,
        most=0.5,
        merges=True,
    ),
)
