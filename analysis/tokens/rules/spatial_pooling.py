"""Spatial pooling: every cell of b x b neighbouring tokens becomes its mean, whatever is in it.

    x̂_c = Σ s_i x_i / Σ s_i over the tokens i of cell c,    s_i how many input tokens are inside

A cell does not reach over the border of two pictures. Without a grid, cells are runs of b² tokens in order.
"""

from __future__ import annotations

import numpy as np

from analysis.tokens.choosing import merge_groups
from analysis.tokens.grid_cells import NOTE, POOLS, BlockSettings, blocks, cells
from analysis.tokens.rule import Rule
from analysis.tokens.state import Step
from analysis.tokens.view import View


def decide(view: View, remove: np.ndarray, settings: BlockSettings, rng) -> Step:
    group = cells(view, blocks(settings.side), remove)
    return merge_groups(view.state, group, np.zeros(group.shape), np.full(group.shape, np.nan))


RULES = (
    Rule(
        id="spatial_pooling",
        title="Spatial pooling",
        equation="the mean of every cell of b x b tokens",
        says="means over square cells of the image.",
        decide=decide,
        settings=BlockSettings,
        notes=(NOTE,),
        **POOLS,
    ),
)
