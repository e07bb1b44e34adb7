"""Pooling on the grid: cells of neighbouring tokens become one token each, whatever is in them.

    spatial      cells of b x b, their mean
    adaptive     as many equal cells as come nearest below the number wanted, at most twice as long as wide
    nested       cells of the finest of a nest of grids with no more tokens than wanted: sides halve while they are
                 even, and shrink by their smallest divisor where not (24: 576, 144, 36, 9, 1); pooling in stages is
                 pooling at once
    windows      cells of b x b; x̂ = Σ w_i x_i, w = softmax(m x_i / √d), m the mean of the cell, rows first divided by
                 their root mean square: a token that asks its own cell (TokenPacker has trained queries and keys)

Means are weighed by how many input tokens are inside. Without a grid, cells are runs of b² tokens in order. The number
of tokens left is the rule's own.

References: M. Cai, J. Yang, J. Gao & Y. J. Lee (2024), "Matryoshka multimodal models"; W. Li, Y. Yuan, J. Liu, D. Tang,
S. Wang, J. Qin, J. Zhu & L. Zhang (2024), "TokenPacker: efficient visual projector for multimodal LLM".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis.spec import param
from analysis.tokens.choosing import merge_groups
from analysis.tokens.rule import AFTER, Rule
from analysis.tokens.state import GONE, Step
from analysis.tokens.view import View


@dataclass(frozen=True)
class BlockSettings:
    side: int = param(2, "Rows and columns of a cell.", low=1, high=64)


def nest(rows: int, columns: int) -> list[tuple[int, int]]:
    """Cells (rows, columns) of nested grids, from single tokens to one cell of all."""
    found, left = [(1, 1)], [rows, columns]
    while left[0] > 1 or left[1] > 1:
        by = [next((f for f in range(2, side + 1) if side % f == 0), 1) for side in left]
        left = [side // f for side, f in zip(left, by, strict=True)]
        found.append((rows // left[0], columns // left[1]))
    return found


def adaptive(rows: int, columns: int, wanted: int) -> tuple[int, int]:
    """Rows and columns of cells, at most `wanted` in all and as many as there may be; 1 x 1 if nothing else."""
    best, worth = (1, 1), (1, -np.inf)
    for a in range(1, rows + 1):
        b = min(columns, wanted // a)
        shape = abs(np.log(max(b, 1) / columns * rows / a))
        if b and shape <= np.log(2) + 1e-9 and (a * b, -shape) > worth:
            best, worth = (a, b), (a * b, -shape)
    return best


def cells(
    view: View, cut: Callable[[int, int, int], tuple[np.ndarray, np.ndarray]], remove: np.ndarray
) -> np.ndarray:
    """(B, t) the cell of each free token of samples where something is to go, GONE of others. `cut(rows, columns,
    wanted)` -> the cell row of every row of a frame and the cell column of every column."""
    free, group = view.free, np.full(view.free.shape, GONE)
    rows, columns = view.layout.grid or (1, 0)
    frames = max(view.layout.frames, 1)
    for b in np.flatnonzero(remove > 0):
        places = np.flatnonzero(free[b])
        wanted = len(places) - int(remove[b])
        if view.layout.grid is None:
            across = cut(1, len(places), max(wanted, 1))[1]
            group[b, places] = across
            continue
        high = rows // frames
        down, across = cut(high, columns, max(wanted // frames, 1))
        cell = view.cell[b, places]
        row, column = cell // columns, cell % columns
        wide = int(across.max()) + 1
        group[b, places] = (row // high * (int(down.max()) + 1) + down[row % high]) * wide + across[column]
    return group


def blocks(side: int):
    def cut(rows: int, columns: int, wanted: int):
        across = side if rows > 1 or columns == 1 else side**2
        return np.arange(rows) // side, np.arange(columns) // across

    return cut


def _adaptive(rows: int, columns: int, wanted: int):
    a, b = (
        adaptive(rows, columns, wanted)
        if rows > 1 and columns > 1
        else (min(rows, wanted), min(columns, wanted))
    )
    return np.arange(rows) * a // rows, np.arange(columns) * b // columns


def _nested(rows: int, columns: int, wanted: int):
    high, wide = next(
        ((h, w) for h, w in nest(rows, columns) if (rows // h) * (columns // w) <= wanted), (rows, columns)
    )
    return np.arange(rows) // high, np.arange(columns) // wide


def _mean(cut_of: Callable) -> Callable:
    def decide(view: View, remove: np.ndarray, settings, rng) -> Step:
        group = cells(view, cut_of(settings), remove)
        return merge_groups(view.state, group, np.zeros(group.shape), np.full(group.shape, np.nan))

    return decide


def windows(view: View, remove: np.ndarray, settings: BlockSettings, rng) -> Step:
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


NOTE = ("The number of tokens left is that of the grid, not exactly the share that is asked for.",)
ALL = {"place": AFTER, "schedule": "second", "own_count": True, "merges": True, "notes": NOTE}
RULES = (
    Rule(
        "spatial_pooling", "Spatial pooling", "the mean of every cell of b x b tokens",
        _mean(lambda settings: blocks(settings.side)), settings=BlockSettings, **ALL,
    ),
    Rule(
        "adaptive_pooling", "Adaptive pooling", "the mean of each of a x b equal cells, as many as are wanted",
        _mean(lambda settings: _adaptive), **ALL,
    ),
    Rule(
        "nested_pooling", "Nested pooling", "the mean of every cell of the finest nested grid of no more than wanted",
        _mean(lambda settings: _nested), papers=("Matryoshka Multimodal Models",), **ALL,
    ),
    Rule(
        "window_attention", "Attention in windows", "Σ softmax(m x_i / √d) x_i over every cell, m its mean", windows,
        papers=("TokenPacker: Efficient Visual Projector for Multimodal LLM",), needs=frozenset({"hidden"}),
        settings=BlockSettings,
        trained="Trained queries and keys are replaced by the mean of each cell and the tokens themselves.", **ALL,
    ),
)  # fmt: skip
