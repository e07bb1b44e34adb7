"""What a way to a map is given and what it gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from analysis.attribution.backgrounds import Background
from analysis.attribution.sample_run import SampleRun
from analysis.attribution.targets import Target


@dataclass(frozen=True)
class Settings:
    """`steps` slopes along a way, or more where their sum misses the answer; `window`, `stride` sides of what is
    covered, in tokens; `masks` random masks; `budget` of coalitions; `layer` that Grad-CAM stands at where it guides
    another site, "" for the last one with a map."""

    steps: int = 32
    window: int = 3
    stride: int = 1
    masks: int = 500
    budget: int = 1000
    layer: str = ""


@dataclass(frozen=True)
class Question:
    """One sample at its site, the explained number, and what stands where something is taken away."""

    run: SampleRun
    target: Target
    background: Background
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    settings: Settings = Settings()


@dataclass(frozen=True)
class SaliencyMap:
    """`values` (tokens,) float64; `passes` through the network that they took, a pass backward counted as one;
    `residual` their sum less target(x) - mean target of the background, of ways whose parts sum to it, else None;
    `errors` (tokens,) standard errors of sampled ways."""

    values: np.ndarray
    passes: int
    residual: float | None = None
    errors: np.ndarray | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Way:
    """`make` a map of a question; `passes` it will take for so many tokens and background rows, told before: at most
    so many, but for ways that go on until their sum is close enough.

    `signed`: whether a value below 0 speaks against the answer. `complete`: whether values sum to the answer less the
    background's. `control`: looks at no weights. `input_only`: of other sites it raises InputError.
    """

    name: str
    summary: str
    make: Callable[[Question], SaliencyMap]
    passes: Callable[[int, int, Settings], int]
    signed: bool
    complete: bool = False
    control: bool = False
    input_only: bool = False
    paper: str = ""
