"""What a way to a map is given and what it gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from analysis.attribution.backgrounds import Background
from analysis.attribution.sample_run import SampleRun
from analysis.attribution.targets import Target
from analysis.errors import InputError


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

    `held`: bytes of what it keeps beside the network's own.
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
    held: Callable[[int, Settings], float] = lambda tokens, settings: 0.0


def checked_map(way: Way, question: Question) -> SaliencyMap:
    """The map, with a note where it says nothing of any token. Raises InputError as the way does, and where the answer
    or the map is not finite; of random masks single tokens may be NaN, which no mask ever covered."""
    run, target = question.run, question.target
    if run.logits is not None and not target.catch and not np.isfinite(_answer(run, target)):
        raise InputError(
            f"an answer that is {_answer(run, target)}: the {target.words or 'number explained'} of the sample",
            "a finite number", "Look for NaN in the sample and in the weights",
        )  # fmt: skip
    found = way.make(question)
    values = np.asarray(found.values, np.float64)
    good = np.isfinite(values)
    if np.isinf(values).any() or not good.any() or (found.errors is None and not good.all()):
        raise InputError(
            f"a map by {way.name} at {run.site} with NaN or infinity", "finite numbers",
            "Choose another background, or look for samples on which the answer is not finite",
        )  # fmt: skip
    if way.control or len(values) == 1 or np.ptp(values[good]) > 0:
        return found
    same = "0" if not values[good].any() else "the same value"
    note = f"{way.name} gives {same} everywhere: it says nothing of any token of {run.site}."
    return replace(found, notes=(*found.notes, note))


def _answer(run: SampleRun, target: Target) -> float:
    return float(target.of(run.logits, {}).detach().double()[0])
