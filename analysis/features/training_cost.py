"""What a training will take: seconds measured by its own first steps, memory from the sizes of its arrays."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np

from analysis.errors import LoupeError
from analysis.features.asking import asked
from analysis.features.row_stream import BUFFER_BYTES, HELD_ROWS
from analysis.features.training import train
from analysis.features.training_settings import Training
from analysis.spec import Progress, no_progress
from analysis.store.reader import Store

TRIED_SECONDS, TRIED_STEPS, FIRST = (
    3.0,
    12,
    2,
)  # how long is tried; the first steps do not count: they are slower
LOOK = 0.4  # of a step: the forward half alone, for each batch of held-out rows
COPIES = 4  # of the weights: themselves, gradient, two moments
CODES = 8  # arrays of (batch, latents) alive at once, in float32, some in int64
LIBRARY = 300e6  # what torch itself takes


@dataclass(frozen=True)
class TrainingCost:
    """`steps` of at most `batch` rows, `seconds` in all, `bytes` of memory at the peak."""

    steps: int
    seconds: float
    bytes: float


class _Enough(LoupeError):
    """The trial is over."""


def training_bytes(shape: tuple[int, int], params, training: Training) -> float:
    """Peak memory of a training on a tap of `shape` (rows, units); an estimate, known at once."""
    (n, d), k = shape, int(params.latents)
    held = min(HELD_ROWS, training.held_out * n) * d
    window = min(4.0 * n * d, BUFFER_BYTES)
    batch = min(training.batch, n)
    weights = COPIES * 4 * (2 * k * d + k + d)
    return LIBRARY + weights + CODES * 4 * batch * k + 12 * held + 3 * window + 6 * 4 * batch * d


def training_cost(
    store: Store,
    tap: str,
    architecture: str,
    params: dict | None = None,
    training: dict | None = None,
    *,
    seed: int = 0,
    progress: Progress = no_progress,
) -> TrainingCost:
    """Tried for a few seconds: the training itself begins, without a folder, and is dropped after a few steps.

    Cost: a pass over the tap, and 3 seconds or 12 steps, whichever is less (one step at least). Raises what `train`
    raises.
    """
    _, made, settings = asked(architecture, params, training)
    started, at = time.perf_counter(), []

    def watched(share: float, doing: str = "") -> None:
        progress(min(share, 0.9), doing)
        if "rows" not in doing:  # the pass over the tap
            return
        at.append(time.perf_counter())
        if len(at) >= TRIED_STEPS or (len(at) > FIRST and at[-1] - at[0] > TRIED_SECONDS):
            raise _Enough("tried")

    try:
        train(store, tap, architecture, made, settings, seed=seed, progress=watched)
        seconds = time.perf_counter() - started
    except _Enough:
        step = float(np.median(np.diff(at)[FIRST - 1 :]))
        n = store.activations(tap).shape[0]
        held = math.ceil(min(HELD_ROWS, settings.held_out * n) / settings.batch)
        looks = settings.steps / settings.every * held * LOOK
        seconds = (at[0] - started) + step * (settings.steps + looks)
    return TrainingCost(settings.steps, seconds, training_bytes(store.activations(tap).shape, made, settings))
