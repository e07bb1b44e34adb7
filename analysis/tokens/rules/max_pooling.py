"""Max pooling: every cell of b x b tokens becomes, unit by unit, the largest value in it.

    f_cu = max over the tokens i of cell c of x_iu

The score is the share of units that a token carries. Only what stands at the place where the rule acts is pooled so;
keys and attention of merged tokens are means.
"""

from __future__ import annotations

import numpy as np

from analysis.tokens.choosing import merge_groups
from analysis.tokens.grid_cells import NOTE, POOLS, BlockSettings, alike, blocks, cells
from analysis.tokens.rule import Rule
from analysis.tokens.state import Step
from analysis.tokens.view import View


def decide(view: View, remove: np.ndarray, settings: BlockSettings, rng) -> Step:
    group = cells(view, blocks(settings.side), remove)
    x = np.asarray(view["hidden"], np.float64)
    values, score = x.copy(), np.full(group.shape, np.nan)
    for samples, _, each in alike(group):
        for places in each:
            at = np.ix_(samples, places)
            values[at] = x[at].max(axis=1, keepdims=True)
            first = x[at].argmax(axis=1)[:, None]  # (samples, 1, units)
            score[at] = (first == np.arange(len(places))[:, None]).mean(axis=2)
    step = merge_groups(view.state, group, np.zeros(group.shape), score)
    return Step(step.into, step.score, values=values)


RULES = (
    Rule(
        id="max_pooling",
        title="Max pooling",
        equation="the largest value of every unit over every cell of b x b tokens",
        says="one token for each cell: in every unit the largest value in it.",
        decide=decide,
        needs=frozenset({"hidden"}),
        settings=BlockSettings,
        notes=(NOTE,),
        **POOLS,
    ),
)
