"""DynamicViT: a predictor scores the tokens, and a fixed share of the best is kept at three depths.

    kept = the k largest of s_i

s is the output of small networks that are trained with the transformer. Without them, an untrained predictor means
nothing: s are oracle scores instead, which no predictor could know where it stands: what the answer reads from each
token in the last layer of a pass without any removal, or, where they are given, other scores of the same shape, such as
how far the answer moves without a token (`analysis.tokens.oracle.missed`) or those of a trained predictor.

Training masks tokens by random draws (Gumbel softmax) and lets all be computed; this is the rule of inference, which
takes the best and removes the others.

Reference: Y. Rao, W. Zhao, B. Liu, J. Lu, J. Zhou & C.-J. Hsieh (2021), "DynamicViT: efficient vision transformers with
dynamic token sparsification".
"""

from __future__ import annotations

import numpy as np

from analysis.errors import ShapeError
from analysis.tokens.choosing import drop, lowest
from analysis.tokens.rule import AFTER, Rule
from analysis.tokens.state import Step
from analysis.tokens.view import View


def decide(view: View, remove: np.ndarray, settings, rng) -> Step:
    scores = np.asarray(view["oracle"], np.float64)
    if scores.shape != (*view.state.at.shape, 1):
        raise ShapeError(
            f"scores of shape {scores.shape}", f"one for each token, {(*view.state.at.shape, 1)}"
        )
    score = scores[:, :, 0]
    return drop(view.state, score, lowest(np.where(np.isnan(score), -np.inf, score), view.free, remove))


RULES = (
    Rule(
        id="dynamicvit",
        title="DynamicViT",
        equation="the k largest scores s_i are kept",
        says="keeps the tokens of the largest score that a small predictor was trained to give.",
        decide=decide,
        place=AFTER,
        schedule="quarters",
        needs=frozenset({"oracle"}),
        trained="Trained predictors are replaced by oracle scores: what the answer reads from each token in the last "
        "layer of a whole pass, unless scores are given.",
    ),
)
