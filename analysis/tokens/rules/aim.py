"""AIM: neighbours are merged before anything else, and later the tokens of least PageRank are dropped.

Behind the first layer, in rounds, every free token at an odd place of its frame is paired with its most alike one at an
even place, by cosine of the tokens themselves, and the best pairs are merged, at most half of the tokens a round.
Behind later layers the tokens of smallest

    p ← (1 - δ) p softmax(log a / τ) + δ / t

go, as in `pagerank`, which says what a causal mask does to it.

In the paper merging comes before the language model; rules act inside blocks, so here it is behind the first.

Reference: Y. Zhong, Z. Liu, Y. Li & L. Wang (2025), "AIM: adaptive inference of multi-modal LLMs via token merging and
pruning".
"""

from __future__ import annotations

import numpy as np

from analysis.tokens.choosing import bipartite, gathered, split_places, then, unit_rows
from analysis.tokens.rule import AFTER, Rule
from analysis.tokens.rules.pagerank import PAPER, PagerankSettings
from analysis.tokens.rules.pagerank import decide as drop_least
from analysis.tokens.state import Step, after, merged, stay
from analysis.tokens.view import View


def merge_neighbours(view: View, remove: np.ndarray) -> Step:
    """Rounds of matching between odd and even places, each of at most half of the free tokens that are left."""
    state, x, left = view.state, view["hidden"], remove.copy()
    step = None
    frame = _frame(view)
    while (left > 0).any():
        free = np.where(
            state.valid, np.take_along_axis(view.layout.free, np.maximum(state.at, 0), axis=1), False
        )
        now = np.minimum(left, free.sum(axis=1) // 2)
        if not now.any():
            break
        likeness = _alike_in_frame(unit_rows(x), np.take_along_axis(frame, np.maximum(state.at, 0), axis=1))
        turn = np.cumsum(free, axis=1) - 1
        one = bipartite(
            state, split_places(free & (turn % 2 == 1)), split_places(free & (turn % 2 == 0)), likeness, now
        )
        before, state = state, after(state, one)
        x = merged(x, before, one)
        gone = before.counts - state.counts
        if not gone.any():
            break
        step = one if step is None else then(step, one)
        left = np.where(gone > 0, left - gone, 0)
    return Step(stay(view.state), np.full(view.state.at.shape, np.nan)) if step is None else step


def _frame(view: View) -> np.ndarray:
    """(B, T) of which picture each input token is."""
    if view.layout.grid is None:
        return np.zeros(view.layout.cell.shape, int)
    rows, columns = view.layout.grid
    return view.layout.cell // (columns * max(rows // max(view.layout.frames, 1), 1))


def _alike_in_frame(x: np.ndarray, frame: np.ndarray):
    def likeness(a, b):
        alike = gathered(x, a) @ gathered(x, b).transpose(0, 2, 1)
        fa, fb = (gathered(frame[:, :, None], p)[:, :, 0] for p in (a, b))
        return np.where(fa[:, :, None] == fb[:, None, :], alike, -np.inf)

    return likeness


def decide(view: View, remove: np.ndarray, settings: PagerankSettings, rng) -> Step:
    return merge_neighbours(view, remove) if view.layer == 0 else drop_least(view, remove, settings, rng)


RULES = (
    Rule(
        id="aim",
        title="AIM",
        equation="neighbours of largest cosine merged first; later the smallest p of p ← p softmax(log a / τ) go",
        says="adaptive inference by merging and pruning: first merges the most alike neighbours, in later "
        "layers drops what few other tokens lead to when attention is walked along (PageRank).",
        decide=decide,
        papers=PAPER,
        place=AFTER,
        schedule="halved",
        needs=frozenset({"attention", "hidden"}),
        settings=PagerankSettings,
        notes=("It merges behind the first layer, where the paper merges before it.",),
    ),
)
