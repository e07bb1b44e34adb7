"""Nested pooling: every cell of the finest of a nest of grids with no more tokens than wanted becomes its mean.

    24 x 24:  576, 144, 36, 9, 1 tokens

Sides halve while they are even, and shrink by their smallest divisor where not, so that cells hold equally many tokens
and pooling in stages is pooling at once (Matryoshka grids).

Reference: M. Cai, J. Yang, J. Gao & Y. J. Lee (2024), "Matryoshka multimodal models".
"""

from __future__ import annotations

import numpy as np

from analysis.tokens.choosing import merge_groups
from analysis.tokens.grid_cells import NOTE, POOLS, cells, nest
from analysis.tokens.rule import Rule
from analysis.tokens.state import Step
from analysis.tokens.view import View


def cut(rows: int, columns: int, wanted: int):
    high, wide = next(
        ((h, w) for h, w in nest(rows, columns) if (rows // h) * (columns // w) <= wanted), (rows, columns)
    )
    return np.arange(rows) // high, np.arange(columns) // wide


def decide(view: View, remove: np.ndarray, settings, rng) -> Step:
    group = cells(view, cut, remove)
    return merge_groups(view.state, group, np.zeros(group.shape), np.full(group.shape, np.nan))


RULES = (
    Rule(
        id="nested_pooling",
        title="Nested pooling",
        equation="the mean of every cell of the finest nested grid of no more than wanted",
        says="means over the cells of grids that lie in each other (Matryoshka), the finest that is allowed.",
        decide=decide,
        papers=("Matryoshka Multimodal Models",),
        notes=(NOTE,),
        **POOLS,
    ),
)
