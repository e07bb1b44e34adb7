"""Volumes of tokens, time x rows x columns: those of a network, which answers with them pooled, or clips of a tap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.arrays import chosen_samples
from analysis.attribution.network_cost import ROWS
from analysis.errors import InputError, NotFound
from analysis.tokens.chance import chance_of
from analysis.tokens.opened import opened
from analysis.tokens.pooling.volume_rule import Shape, pooled_to, shape_of
from analysis.tokens.schedule import schedule
from analysis.tokens.sets.clips import Clips
from analysis.tokens.subject import NetworkSubject

NONE = (float("nan"), float("nan"))


@dataclass(frozen=True)
class Volume:
    """`x` (P, d) tokens of a `shape`, `present` (P,) bool. `answers(shape, rng)` -> (cosine of the answer with tokens
    pooled to it, cosine with as many tokens at random), not numbers without a network."""

    x: np.ndarray
    present: np.ndarray
    shape: Shape
    answers: Callable[[Shape, np.random.Generator], tuple[float, float]]


class AnswerVolumes:
    """Free tokens of some samples behind the layer at which they are pooled; all of one shape."""

    answers = True

    def __init__(self, who: NetworkSubject, maximum: int, rng: np.random.Generator) -> None:
        self.who = who
        self.layer = min(1, who.layers - 1)  # where the spread "second" acts
        self.places = chosen_samples(who.n, maximum, rng)
        shapes = [shape_of(who.one(int(p), ())[1].layout) for p in self.places]
        self.shape = max(set(shapes), key=shapes.count)
        kept = [p for p, s in zip(self.places, shapes, strict=True) if s == self.shape]
        lost = len(self.places) - len(kept)
        self.places = np.array(kept)
        self.notes = (f"{lost} sample(s) with another number of tokens were left out.",) if lost else ()

    @property
    def n(self) -> int:
        return len(self.places)

    def read(self, k: int) -> Volume:
        given, dump = self.who.one(int(self.places[k]), ("hidden",))
        layout, states = dump.layout, dump.recorded["hidden"][self.layer + 1][0]
        at = np.flatnonzero(layout.free[0])
        cell = layout.cell[0][at] if layout.grid is not None else np.arange(len(at))
        x = np.zeros((int(np.prod(self.shape)), states.shape[1]))
        x[cell] = states[at]
        present = np.zeros(len(x), bool)
        present[cell] = True
        whole = self.who.answer(given).logits[0]
        return Volume(x, present, self.shape, lambda shape, rng: self._answers(given, whole, shape, rng))

    def _answers(self, given, whole: np.ndarray, shape: Shape, rng) -> tuple[float, float]:
        share = float(np.prod(shape) / np.prod(self.shape))
        if share == 1:
            return 1.0, 1.0

        def plan(tokens):
            return schedule("second", share, self.who.layers, tokens)

        rule = pooled_to(shape)
        found = (self.who.answer(given, one, plan, None, rng).logits[0] for one in (rule, chance_of(rule)))
        return tuple(_cosine(whole, logits) for logits in found)


class RowVolumes:
    """Clips of a tap."""

    answers = False

    def __init__(self, tap: Activations, params, rng: np.random.Generator) -> None:
        clips = Clips(tap, params.clip, params.frame, params.frames)
        found = clips.read_all(params.maximum_samples, rng)
        shapes = [(c.n, *(c.grid or (1, c.patches))) for c in found]
        self.shape = max(set(shapes), key=shapes.count)
        self.clips = [c for c, s in zip(found, shapes, strict=True) if s == self.shape]
        lost = len(found) - len(self.clips)
        self.notes = (*clips.notes,
                      *([f"{lost} clip(s) of another shape were left out."] if lost else []))  # fmt: skip

    @property
    def n(self) -> int:
        return len(self.clips)

    def read(self, k: int) -> Volume:
        clip = self.clips[k]
        x = clip.x.reshape(-1, clip.x.shape[2])
        return Volume(x, clip.present.ravel(), self.shape, lambda shape, rng: NONE)


def volumes(tap: Activations, params, rng: np.random.Generator, progress):
    """(AnswerVolumes where the network of the tap can be run, else RowVolumes; notes)."""
    why = ()
    if params.source != ROWS:
        try:
            who = NetworkSubject(opened(tap, params.maximum_samples, rng, attention=False))
            return AnswerVolumes(who, params.maximum_samples, rng), who.notes
        except (InputError, NotFound) as error:
            why = (f"The network is not run: {str(error).split('. ')[0]}.",)
    progress(0.5, "reading clips")
    return RowVolumes(tap, params, rng), why


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-300))
