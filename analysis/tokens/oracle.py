"""Scores that a rule could not know where it acts: what stands in the place of trained predictors.

    what the answer reads in the end   attention of the last layer, from the class token, or the last one of text, or
                                       the mean over all where there is neither
    what is missed                     KL(p ‖ p without the token): the answer asked again with each token left out

They are bounds on what a trained predictor may find, not what one would find.
"""

from __future__ import annotations

import numpy as np

from analysis.tokens.rule import AFTER, Rule
from analysis.tokens.schedule import Schedule
from analysis.tokens.state import GONE, Step, stay
from analysis.tokens.view import CLASS, TokenLayout


def read_in_the_end(attention: np.ndarray, layout: TokenLayout) -> np.ndarray:
    """(B, T, 1) of the mean attention (B, T, T) of the last layer."""
    rows = np.arange(len(attention))
    if layout.causal:
        last = layout.present.shape[1] - 1 - layout.present[:, ::-1].argmax(axis=1)
        return attention[rows, last][:, :, None]
    if (layout.kinds == CLASS).any(axis=1).all():
        return attention[rows, (layout.kinds == CLASS).argmax(axis=1)][:, :, None]
    there = layout.present[:, :, None] * 1.0
    return ((attention * there).sum(axis=1) / np.maximum(there.sum(axis=1), 1))[:, :, None]


def missed(network, inputs, layer: int = 0) -> np.ndarray:
    """(B, T, 1) nats by which the answer of a `TokenNetwork` moves when one token alone is dropped behind `layer`, NaN
    where it may not be. One pass for every place."""
    import torch

    whole = network.run(inputs)
    layout = whole.layout
    full = torch.log_softmax(_answers(whole.logits, layout).double(), dim=-1)
    found = np.full((*layout.kinds.shape, 1), np.nan)
    for place in np.flatnonzero(layout.free.any(axis=0)):
        one = Rule("one", "One token", "", _without(int(place)), place=AFTER)

        def plan(n):
            return Schedule(tuple(int(n > 0 and i == layer) for i in range(network.layers)), n)

        asked = network.run(inputs, one, plan)
        logs = torch.log_softmax(_answers(asked.logits, layout).double(), dim=-1)
        moved = (full.exp() * (full - logs)).sum(dim=-1).numpy()
        found[:, place, 0] = np.where(layout.free[:, place], moved, np.nan)
    return found


def _without(place: int):
    def decide(view, remove, settings, rng) -> Step:
        gone = (view.state.at == place) & view.free
        return Step(np.where(gone, GONE, stay(view.state)), np.where(gone, 0.0, np.nan))

    return decide


def _answers(logits, layout: TokenLayout):
    """(B, C) the answer of a sample: behind its last token in text."""
    import torch

    if logits.ndim == 2:
        return logits
    last = layout.present.shape[1] - 1 - layout.present[:, ::-1].argmax(axis=1)
    return logits[torch.arange(len(logits)), torch.from_numpy(last.copy())]
