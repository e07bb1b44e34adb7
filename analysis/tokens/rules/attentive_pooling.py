"""Attentive sets: every cell of b x b tokens becomes one token by a softmax over its tokens in every unit by itself.

    f_cu = Σ_i w_iu x_iu,    w_iu = exp(s_iu) / Σ_j exp(s_ju) over the tokens of cell c

Trained scores s = x W are replaced by β times each unit in standard deviations over the tokens of the sample: β = 0 is
the mean, a large β the maximum. The score is the mean weight over units. The order of tokens changes nothing, and a
cell of one token is that token.

Reference: B. Yang, S. Wang, A. Markham & N. Trigoni (2020), "Robust attentional aggregation of deep feature sets for
multi-view 3D reconstruction".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.spec import param
from analysis.tokens.choosing import merge_groups
from analysis.tokens.grid_cells import NOTE, POOLS, alike, blocks, cells
from analysis.tokens.pooling.attentive_sets import set_weights
from analysis.tokens.rule import Rule
from analysis.tokens.state import Step
from analysis.tokens.view import View


@dataclass(frozen=True)
class AttentiveSettings:
    side: int = param(2, "Rows and columns of a cell.", low=1, high=64)
    sharpness: float = param(1.0, "β: 0 is the mean, a large one the largest value.", low=0.0, high=1000.0)


def decide(view: View, remove: np.ndarray, settings: AttentiveSettings, rng) -> Step:
    group = cells(view, blocks(settings.side), remove)
    x = np.asarray(view["hidden"], np.float64)
    values, score = x.copy(), np.full(group.shape, np.nan)
    for samples, inside, each in alike(group):
        spread = x[np.ix_(samples, inside)].std(axis=1, keepdims=True)  # the mean is the same for all tokens
        for places in each:
            at = np.ix_(samples, places)
            weight = set_weights(settings.sharpness * x[at] / np.where(spread > 0, spread, 1.0))
            values[at] = (weight * x[at]).sum(axis=1, keepdims=True)
            score[at] = weight.mean(axis=2)
    step = merge_groups(view.state, group, np.zeros(group.shape), score)
    return Step(step.into, step.score, values=values)


RULES = (
    Rule(
        id="attentive_pooling",
        title="Attentive sets",
        equation="Σ softmax(s_i) x_i of every unit over every cell of b x b tokens",
        says="one token for each cell, in which every unit weighs the tokens by itself.",
        decide=decide,
        needs=frozenset({"hidden"}),
        settings=AttentiveSettings,
        trained="Trained scores are replaced by β times each unit in standard deviations.",
        notes=(NOTE,),
        **POOLS,
    ),
)
