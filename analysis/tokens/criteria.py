"""What each criterion of MCTF would merge by itself, from the very tokens that the joint rule has at one layer.

The joint rule runs; behind the asked layer every criterion, the others left out, decides on what the joint rule sees
there, and so does chance: likeness of random vectors in place of the tokens'.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from analysis.tokens.rule import Rule, rule
from analysis.tokens.rules.mctf import MctfSettings, decide
from analysis.tokens.state import GONE, Step, TokenState, after
from analysis.tokens.view import View

JOINT, CHANCE = "all three", "chance"
CRITERIA = ("similarity", "information", "size")  # alike, read little, small


@dataclass
class Overheard:
    """What was decided about one sample behind the asked layer: the state before, and a step for each way."""

    layer: int
    settings: MctfSettings
    rng: np.random.Generator
    state: TokenState | None = None
    steps: dict[str, Step] = field(default_factory=dict)

    def rule(self) -> Rule:
        """MCTF, listened to."""
        return replace(rule("mctf"), decide=self._decide)

    def _decide(self, view: View, remove, settings, rng) -> Step:
        step = decide(view, remove, self.settings, rng)
        if view.layer == self.layer:
            self.state, self.steps = view.state, {JOINT: step}
            for name in CRITERIA:
                self.steps[name] = decide(view, remove, alone(self.settings, name), rng)
            self.steps[CHANCE] = decide(self._random(view), remove, alone(self.settings, "similarity"), rng)
        return step

    def _random(self, view: View) -> View:
        shape = view["hidden"].shape
        return replace(view, ask=lambda name: self.rng.standard_normal(shape) if name == "hidden" else view[name],
                       _known={})  # fmt: skip


def alone(settings: MctfSettings, criterion: str) -> MctfSettings:
    """One criterion at its temperature (1 where it was left out), the others left out."""
    others = {name: 0.0 for name in CRITERIA if name != criterion}
    return replace(settings, **others, **{criterion: getattr(settings, criterion) or 1.0})


def pairs(state: TokenState, step: Step) -> set[tuple[int, int]]:
    """Input tokens of the first sample that name what the step brings together: (the one that goes, where to)."""
    into, at = step.into[0], state.at[0]
    gone = np.flatnonzero((into != np.arange(len(into))) & (into != GONE))
    return {(int(at[i]), int(at[into[i]])) for i in gone}


def shared(a: set, b: set) -> float:
    """Jaccard index of two sets of pairs, whichever way a pair goes; 1 of two empty ones."""
    a, b = ({tuple(sorted(pair)) for pair in x} for x in (a, b))
    return len(a & b) / len(a | b) if a | b else 1.0


def owners(state: TokenState, step: Step) -> np.ndarray:
    """(T,) owner of every input token of the first sample behind the step."""
    return after(state, step).owner[0]


def judged_by(state: TokenState, step: Step) -> np.ndarray:
    """(T,) W of the best pair of each input token of the first sample through the token that it is in, NaN where it was
    not judged."""
    place = state.place[0]
    return np.where(place == GONE, np.nan, -np.asarray(step.score, float)[0][np.maximum(place, 0)])
