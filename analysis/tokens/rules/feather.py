"""FEATHER: attention without rotary positions decides, and a coarse grid of the picture always stays; twice.

    a_i = mean over heads of softmax(q_last k_i / √d),    q and k before they are turned by their positions

Behind a quarter of the layers the tokens of every third row and column stay, and those of largest a_i up to the number
wanted; behind half of the layers a_i alone decides, with the square of the share. q_last as in `fastv`. A last cell of
fewer than three rows or columns has a token of the grid as well. A grid that has more tokens than are wanted keeps the
best of them, and then not every 3 x 3 cell has a survivor. Without a grid, every ninth token in order.

The paper keeps 30 % and the grid beside them; here the grid is inside the number wanted, so that rules of one cost
are compared.

Reference: M. Endo, X. Wang & S. Yeung-Levy (2025), "Feather the throttle: revisiting visual token pruning for
vision-language model acceleration".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.spec import param
from analysis.tokens.choosing import drop, lowest
from analysis.tokens.rule import AFTER, Rule
from analysis.tokens.state import GONE, Step
from analysis.tokens.view import NO_CLASS, View


@dataclass(frozen=True)
class FeatherSettings:
    stride: int = param(3, "Rows and columns from one token of the grid to the next.", low=1, high=64)


def read_without_positions(view: View) -> np.ndarray:
    """(B, t) what the answering token would read from each token were there no rotary positions; where there is none,
    what all tokens would on average, which is said."""
    keys, queries, valid = view["plain keys"], view["plain queries"], view.state.valid
    if view.answers:
        queries, asking = (
            queries[np.arange(len(keys)), :, view.answering][:, :, None],
            np.ones((len(keys), 1)),
        )
    else:
        view.notes.append(NO_CLASS)
        asking = valid * 1.0
    logits = queries @ keys.transpose(0, 1, 3, 2) / np.sqrt(keys.shape[-1])
    logits = np.where(valid[:, None, None], logits, -np.inf)
    weight = np.exp(logits - logits.max(axis=-1, keepdims=True))
    weight = (weight / weight.sum(axis=-1, keepdims=True)).mean(axis=1)
    return (asking[:, None] @ weight)[:, 0] / np.maximum(asking.sum(axis=1), 1)[:, None]


def on_grid(view: View, stride: int) -> np.ndarray:
    """(B, t) bool: free tokens of every `stride`-th row and column, from the middle of the first cell."""
    free, cell, start = view.free, view.cell, (stride - 1) // 2
    if view.layout.grid is None:
        return free & ((np.cumsum(free, axis=1) - 1) % stride**2 == (stride**2 - 1) // 2)
    rows, columns = view.layout.grid
    frame = rows // max(view.layout.frames, 1)
    down, right = (cell // columns) % frame, cell % columns
    return free & (cell != GONE) & _line(down, frame, stride, start) & _line(right, columns, stride, start)


def _line(place: np.ndarray, length: int, stride: int, start: int) -> np.ndarray:
    """Whether a place is the middle of its cell; a last cell too short for a middle has its last place."""
    middle = np.minimum(place // stride * stride + start, length - 1)
    return place == middle


def decide(view: View, remove: np.ndarray, settings: FeatherSettings, rng) -> Step:
    read, free, state = read_without_positions(view), view.free, view.state
    started = (state.counts < view.layout.present.sum(axis=1))[:, None]  # some have gone: the second time
    first = on_grid(view, settings.stride) & ~started
    return drop(state, read, lowest(read + 2.0 * first, free, remove))  # attention is at most 1


RULES = (
    Rule(
        id="feather",
        title="FEATHER",
        equation="every third row and column, then the largest softmax(q_last k_i / √d) without rotary positions",
        says="keeps a coarse grid, so that no part of the image is lost, and what the last token looks at "
        "most when place is left out of attention.",
        decide=decide,
        papers=(
            "Feather the Throttle: Revisiting Visual Token Pruning for Vision-Language Model Acceleration",
        ),
        place=AFTER,
        schedule="twice",
        needs=frozenset({"plain keys", "plain queries"}),
        settings=FeatherSettings,
    ),
)
