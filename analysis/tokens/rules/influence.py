"""What tokens are worth by themselves and by what others take of them; both go without attention weights.

    norm        ‖x_i‖, the length of the token behind the block
    influence   mean over tokens j that can take of i of  share of i in what j takes,
                of attention Σ_h w_h[j, i] ‖v_hi‖, of a scan Σ_h |g_hj| |M_h[j, i]| ‖u_hi‖, rows divided by their sum

The first looks at one token alone and says nothing of who needs it: the longest tokens of large networks are registers
without content of their own (`shortest` keeps the others). The second counts values, not weights alone: a token that
is read much and gives nothing is worth nothing. Where tokens read only those before them, the mean is over those that
can, which does not favour the first tokens.

Cost: t d; heads t².

References: A. Ali, I. Zimerman & L. Wolf (2024), "The hidden attention of Mamba models"; Z. Guo, H. Kamigaito & T.
Watanabe (2024), "Attention score is not all you need for token importance indicator in KV cache reduction: value also
matters".
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


def by_length(view: View, remove: np.ndarray, settings: NormSettings, rng) -> Step:
    length = np.linalg.norm(np.asarray(view["hidden"], np.float64), axis=2)
    score = -length if settings.shortest else length
    return drop(view.state, score, lowest(score, view.free, remove))


def by_influence(view: View, remove: np.ndarray, settings, rng) -> Step:
    score = view.received("mean influence")
    return drop(view.state, score, lowest(score, view.free, remove))


RULES = (
    Rule(
        id="token_norm",
        title="Token norm",
        equation="the largest ‖x_i‖ are kept",
        decide=by_length,
        place=AFTER,
        needs=frozenset({"hidden"}),
        settings=NormSettings,
    ),
    Rule(
        id="received_influence",
        title="Received influence",
        equation="the largest mean share of i in what tokens take, Σ_h w_h[j, i] ‖v_hi‖ or Σ_h |M_h[j, i]| ‖u_hi‖",
        decide=by_influence,
        place=AFTER,
        needs=frozenset({"mean influence"}),
    ),
)
