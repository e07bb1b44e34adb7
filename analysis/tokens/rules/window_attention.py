"""Attention in windows: every cell of b x b tokens becomes one token by attention of its mean to what is in it.

    x̂_c = Σ w_i x_i,    w = softmax(m x_i / √d) over cell c,    m the mean of the cell,

rows first divided by their root mean square: a token that asks its own cell. TokenPacker has trained queries and keys,
which are replaced by the mean and the tokens themselves.

Reference: W. Li, Y. Yuan, J. Liu, D. Tang, S. Wang, J. Qin, J. Zhu & L. Zhang (2024), "TokenPacker: efficient visual
projector for multimodal LLM".
"""

from __future__ import annotations

import numpy as np

from analysis.tokens.choosing import merge_groups
from analysis.tokens.grid_cells import NOTE, POOLS, BlockSettings, blocks, cells
from analysis.tokens.rule import Rule
from analysis.tokens.state import GONE, Step
from analysis.tokens.view import View


def decide(view: View, remove: np.ndarray, settings: BlockSettings, rng) -> Step:
    group = cells(view, blocks(settings.side), remove)
    x = np.asarray(view["hidden"], np.float64)
    x = x / np.sqrt(np.maximum(np.square(x).mean(axis=2, keepdims=True), 1e-12))
    inside = group[:, None, :] == np.arange(group.max(initial=0) + 1)[:, None]  # (B, cells, t)
    mean = (inside @ x) / np.maximum(inside.sum(axis=2), 1)[:, :, None]
    asked = np.take_along_axis(mean, np.maximum(group, 0)[:, :, None], axis=1)
    logits = (x * asked).sum(axis=2) / np.sqrt(x.shape[2])
    top = np.where(inside, logits[:, None], -np.inf).max(axis=2)
    top = np.take_along_axis(np.where(np.isfinite(top), top, 0), np.maximum(group, 0), axis=1)
    weight = view.state.size * np.where(group == GONE, 1.0, np.exp(np.minimum(logits - top, 0)))
    score = np.where(group == GONE, np.nan, weight)
    return merge_groups(view.state, group, np.zeros(group.shape), score, weight=weight)


RULES = (
    Rule(
        id="window_attention",
        title="Attention in windows",
        equation="Σ softmax(m x_i / √d) x_i over every cell, m its mean",
        says="each cell of the image becomes one token, read from the cell by attention with its mean.",
        decide=decide,
        papers=("TokenPacker: Efficient Visual Projector for Multimodal LLM",),
        needs=frozenset({"hidden"}),
        settings=BlockSettings,
        trained="Trained queries and keys are replaced by the mean of each cell and the tokens themselves.",
        notes=(NOTE,),
        **POOLS,
    ),
)
