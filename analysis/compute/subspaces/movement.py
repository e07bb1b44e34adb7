"""Velocity and acceleration along a series of subspaces, each with its interval and what chance would move."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.statistics.sample_groups import jackknife_half
from analysis.compute.subspaces.differences import Difference, difference, random_movement, second_difference
from analysis.compute.subspaces.series import VELOCITY, Series
from analysis.spec import Progress, no_progress

RANDOM_DRAWS = 20


@dataclass(frozen=True)
class Movement:
    """One step or bend of a series, over the `taps`: the `difference`; its `value` with `half` the width of the 95 %
    interval (None: too few groups); `luck` (draws,), what samples drawn again move a tap against itself; `random`, the
    mean for random subspaces of the same dimensions."""

    taps: tuple[int, ...]
    difference: Difference
    value: float
    half: float | None
    luck: np.ndarray
    random: float


def turned(bases) -> Difference:
    """Of two subspaces the difference, of three the second-order one."""
    return difference(*bases) if len(bases) == 2 else second_difference(*bases)


def movements(
    series: Series,
    order: str,
    measure: str,
    rng: np.random.Generator,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.9, 1.0),
) -> list[Movement]:
    """Every step ("velocity") or bend ("acceleration") between taps that have a subspace."""
    found, windows = [], series.windows(order)
    luck = {t: _luck(series, t, order, measure) for t in sorted({t for run in windows for t in run})}
    chance: dict[tuple[int, ...], float] = {}
    for i, run in enumerate(windows):
        progress(span[0] + (span[1] - span[0]) * i / len(windows), "measuring movement")
        dims = tuple(int(series.dims[t]) for t in run)
        if dims not in chance:
            drawn = random_movement(dims, series.d, rng, RANDOM_DRAWS, measure)
            chance[dims] = float(drawn.mean())
        whole = turned([series.seen(t, series.axes[t]) for t in run])
        without = [
            turned([series.seen(t, series.without[t][g], left) for t in run]).movement(measure)
            for g, left in enumerate(series.groups)
        ]
        half = jackknife_half(np.array(without))
        own = np.concatenate([luck[t] for t in (run if order == VELOCITY else run[1:2])])
        found.append(Movement(run, whole, whole.movement(measure), half, own, chance[dims]))
    return found


def _luck(series: Series, t: int, order: str, measure: str) -> np.ndarray:
    """(draws,) movement of a tap against itself, each time with its axes found on other samples."""
    bases = [series.seen(t, basis) for basis in series.redrawn[t]]
    size, count = 2 if order == VELOCITY else 3, len(bases)
    runs = [[bases[(i + j) % count] for j in range(size)] for i in range(count)]
    return np.array([turned(run).movement(measure) for run in runs])
