"""First words of the logit lens at every layer and place of one sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.tokens.lens import first_answers, paired_and_others
from analysis.tokens.outputs import log_probabilities
from analysis.tokens.readouts import FROZEN, NOT_LINEAR, linear


@dataclass(frozen=True)
class Said:
    """Of the layers `layers` (l,) (0 the input) and t places with `names`: `top` (l, t, k) answers, likeliest first,
    `chance` (l, t, k) their probabilities; `outputs` how many answers there are; notes."""

    layers: np.ndarray
    names: tuple[str, ...]
    top: np.ndarray
    chance: np.ndarray
    outputs: int
    notes: tuple[str, ...]


def said_at(who, place: int, params, progress=lambda f: None) -> Said:
    """Of the place-th sample of a stream; `params` has `words`, `layers`, `places` at most, and whose `norm`."""
    p = who.passed(who.alone(place))
    whole = int(p.present[0].sum())
    there = np.flatnonzero(p.present[0])[: params.places]
    states = np.stack([x[0][there] for x in p.states])
    layers = np.unique(np.linspace(0, len(states) - 1, min(params.layers, len(states))).round().astype(int))
    notes = [] if whole == len(there) else [f"The first {len(there)} of {whole} places are drawn."]
    if len(layers) < len(states):
        notes.append(f"{len(layers)} of {len(states)} layers (the input among them) are drawn.")
    held = (
        linear(lambda rows: who.read(place, rows), states[0], states[-1]) if params.norm == FROZEN else None
    )
    if params.norm == FROZEN and held is None:
        notes.append(NOT_LINEAR)
    top, chance, outputs = [], [], 0
    for i, layer in enumerate(layers):
        progress(i / len(layers))
        z = who.read(place, states[layer])
        z = z if held is None else held.frozen(z, states[layer], states[-1])
        outputs = z.shape[1]
        first = np.argsort(-z, axis=1, kind="stable")[:, : params.words]
        top.append(first)
        chance.append(np.exp(np.take_along_axis(log_probabilities(z), first, axis=1)))
    names = who.places(place)[: len(there)]
    return Said(layers, names, np.array(top), np.array(chance), outputs, tuple(notes))


def agreeing(top: np.ndarray) -> list[tuple[float, float]]:
    """Of first words (l, t) of each layer: (share of places that say the last layer's, the same of other places)."""
    _, codes = np.unique(top, return_inverse=True)
    marks = first_answers(np.eye(int(codes.max()) + 1)[codes.reshape(top.shape)].reshape(top.size, -1), 1)
    marks = marks.reshape(*top.shape, -1)
    found = [paired_and_others(marks[-1], one) for one in marks]
    return [(float(own.mean()), others) for own, others in found]
