"""The tokens of pictures or frames pooled to any shape T x h x w, as a rule that a network is run with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from analysis.tokens.choosing import merge_groups
from analysis.tokens.pooling.weighted_volume import volume_cells
from analysis.tokens.rule import Rule, rule
from analysis.tokens.state import GONE, Step
from analysis.tokens.view import TokenLayout, View

Shape = tuple[int, int, int]


def shape_of(layout: TokenLayout) -> Shape:
    """(frames, rows, columns) of the free tokens of the first sample; a line of one row where they lie on no grid."""
    if layout.grid is None:
        return 1, 1, int(layout.free[0].sum())
    frames = max(layout.frames, 1)
    return frames, layout.grid[0] // frames, layout.grid[1]


def pooled_to(wanted: Shape) -> Rule:
    """Means of cells of time, rows and columns, as equal as can be."""

    def decide(view: View, remove: np.ndarray, settings, rng) -> Step:
        free = view.free
        group = np.full(free.shape, GONE)
        for b in range(len(free)):
            at = np.flatnonzero(free[b])
            if view.layout.grid is None:
                group[b, at] = volume_cells((1, 1, len(at)), (1, 1, min(wanted[2], len(at))))
            else:
                group[b, at] = volume_cells(shape_of(view.layout), wanted)[view.cell[b, at]]
        return merge_groups(view.state, group, np.zeros(free.shape), np.full(free.shape, np.nan))

    return replace(rule("spatial_pooling"), id=f"pooled to {wanted}", title="Pooling to a shape", decide=decide,
                   settings=rule("random").settings, notes=())  # fmt: skip


def ladder(shape: Shape, over_time: bool) -> list[Shape]:
    """Shapes from all tokens down, halving time alone or rows and columns alone."""
    out, now = [shape], list(shape)
    axes = (0,) if over_time else (1, 2)
    while any(now[a] > 1 for a in axes):
        for a in axes:
            now[a] = max(now[a] // 2, 1)
        out.append(tuple(now))
    return out
