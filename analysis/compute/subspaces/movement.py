"""Velocity and acceleration along a series of subspaces, each with its interval and what chance would move."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.statistics.sample_groups import jackknife_half
from analysis.compute.subspaces.differences import (
    Difference,
    difference,
    midpoint,
    random_movement,
    second_difference,
)
from analysis.compute.subspaces.series import Series
from analysis.spec import Progress, no_progress

RANDOM_DRAWS = 20


@dataclass(frozen=True)
class Movement:
    """One step or bend of a series, over the `taps`: the `difference`; its `value` with `half` the width of the 95 %
    interval (None: too few groups); `luck` (draws,), what sampling alone would make of a series that stands; `random`,
    the mean for random subspaces of the same dimensions."""

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
        found.append(Movement(run, whole, whole.movement(measure), half, _luck(series, run), chance[dims]))
    return found


def _luck(series: Series, run: tuple[int, ...]) -> np.ndarray:
    """(draws,) movement that a standing series would seem to make: how far the difference of the two projections lies
    from that of other samples, the same at all taps. With Δ = P_A - P_B of two draws it is |Δ - Δ'|² / 4: |P_A - P_B|²
    is 2 Σ sin² θ, and two draws differ by twice the variance of one."""
    pairs = [
        _ends([series.seen(t, series.redrawn[t][b]) for t in run]) for b in range(len(series.redrawn[run[0]]))
    ]
    return np.array([_apart(pairs[b - 1], pairs[b]) for b in range(len(pairs))])


def _ends(bases) -> tuple[np.ndarray, np.ndarray]:
    """The two subspaces whose difference is the step, or the bend."""
    return (bases[0], bases[1]) if len(bases) == 2 else (midpoint(bases[0], bases[2]), bases[1])


def _apart(one, other) -> float:
    """|P_A - P_B - P_A' + P_B'|² / 4 from inner products of the bases."""
    bases, signs = (*one, *other), (1, -1, -1, 1)
    whole = sum(s * t * float(((a.T @ b) ** 2).sum()) for a, s in zip(bases, signs, strict=True)
                for b, t in zip(bases, signs, strict=True))  # fmt: skip
    return max(whole, 0.0) / 4
