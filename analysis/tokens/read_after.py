"""What is read behind each removal: of one sample, the weights that its readers pay in the layers that have fewer
tokens than the layer before, beside those of the same layers with all tokens there.

Readers are the token that the answer is read from, or all tokens of text. Weights of a merged token are shared alike by
what is inside it, so that they lie over the input tokens whatever became of these.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.tokens.dump import TokenDump, attention_inside, simulate
from analysis.tokens.pooling.effective import effective
from analysis.tokens.state import GONE, TokenState
from analysis.tokens.view import TEXT, TokenLayout, View

ANSWER, WORDS = "the token that answers", "all tokens of text"
READERS = (ANSWER, WORDS)
PAID = "mean attention"


@dataclass(frozen=True)
class Stage:
    """`layer` (0 the first) reads `left` free tokens. (T,) over the input tokens: `before` what is paid with all tokens
    there, `after` with those that are left, which `there` (T,) bool says. Both sum to 1."""

    layer: int
    left: int
    before: np.ndarray
    after: np.ndarray
    there: np.ndarray


def paid(attention: np.ndarray, state: TokenState, layout: TokenLayout, reader: str) -> np.ndarray:
    """(T,) what the readers of the first sample pay each input token, mean over heads and readers; 0 where gone."""
    view = View(0, 1, state, layout, lambda name: attention)
    text = view.kinds[0] == TEXT
    if reader == WORDS and text.any():
        rows = attention[0][text]
        found = rows.mean(axis=0)
    else:
        found = view.answering_attention(PAID)[0]
    place = state.place[0]
    each = np.where(state.valid[0], found / np.maximum(state.size[0], 1), 0.0)
    return np.where(place == GONE, 0.0, each[np.maximum(place, 0)])


def stages(who, place: int, rule, plan, reader: str, rng) -> tuple[list[Stage], TokenLayout, object]:
    """The first layer and every layer behind a removal of the place-th sample of a subject, with all tokens and with
    those that the rule leaves; in a network its answer to what is gone, in a dump of rows the same weights less those.
    Also its layout and what a network was given (None of rows)."""
    given, dump = who.one(place, (PAID,))
    states, reads = _run(who, given, dump, rule, plan, rng)
    whole, layout, out = TokenState.start(dump.layout.present), dump.layout, []
    for i in range(who.layers):
        if i and states[i].counts[0] == states[i - 1].counts[0]:
            continue
        now = states[i]
        free = np.take_along_axis(layout.free, np.maximum(now.at, 0), axis=1) & now.valid
        before = paid(dump.recorded[PAID][i], whole, layout, reader)
        after = paid(reads(i), now, layout, reader)
        out.append(Stage(i, int(free.sum()), before, after, now.place[0] != GONE))
    return out, layout, given if who.is_network else None


def _run(who, given, dump: TokenDump, rule, plan, rng):
    """(states, the function layer -> (1, t, t) mean attention there)."""
    if who.is_network:
        run = who.opened.network.run(given, rule, plan, None, rng, record=(PAID,))
        return run.states, lambda i: run.recorded[PAID][i]
    found = simulate(given, rule, plan, None, rng)
    return found.states, lambda i: attention_inside(dump.recorded[PAID][i], found.states[i])


def kept_reading(stage: Stage, free: np.ndarray) -> float:
    """Share of what free tokens are paid with all there that goes to those that are left."""
    own = stage.before * free
    return float(own[stage.there].sum() / max(own.sum(), 1e-300))


def moved(stage: Stage) -> float:
    """Total variation between what is paid to the tokens left and what was, brought to the sum 1."""
    before = np.where(stage.there, stage.before, 0.0)
    return float(0.5 * np.abs(stage.after - before / max(before.sum(), 1e-300)).sum())


def in_effect(weights: np.ndarray, count: int) -> float:
    """exp entropy of weights (T,) of sum 1, over how many tokens there are."""
    return float(effective(weights[None])[0]) / max(count, 1)


def behind(found: list[Stage], layer: int) -> Stage | None:
    """The stage of that layer: of a sample of another length tokens may go behind other layers."""
    return next((one for one in found if one.layer == layer), None)
