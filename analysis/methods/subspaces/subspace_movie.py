"""The subspace movie: how fast the space that a series of taps uses turns, and where it bends.

S_t is the span of the first k principal axes of tap t: layers of one width, checkpoints of one layer, seeds. Velocity
is the movement Σ (2 sin θ/2)² over the angles between S_{t-1} and S_t, the sum over the difference subspace;
acceleration the same between S_t and the point half-way between S_{t-1} and S_{t+1}: 0 where three taps are equally
spaced on one geodesic, above 0 where the series bends or changes its speed (`compute.subspaces.differences`).

A subspace is cut only where the data tell eigenvalue k from k + 1; steps next to a tap without such a cut are left out
and named. Interval: jackknife over groups of samples. Null: samples drawn again, the same ones at all taps: how far the
difference of two subspaces is uncertain is what sampling would make of a series that stands. Taps of the same samples
err alike, so this is less than the error of each. Beside it, what random subspaces give.

When it lies: in the space of units, taps must share their units, as checkpoints of one layer and the blocks of a
residual stream do; elsewhere a relabelling of units looks like movement (take the space of samples). Only directions of
large variance are followed. Movement is at least 0, so sampling makes it too large on average. The null holds where
sampling turns axes little, and is too small where it turns them by tens of degrees. Acceleration includes changes of
speed along a straight path.

Cost: O((11 + draws) n d min(n, d)) for each tap; memory O(n Σ d + draws Σ d k).

References: K. Fukui et al. (2024), "Second-order difference subspace"; K. Fukui & A. Maki (2015).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.rows.constant_units import constant_notes
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.nulls import against
from analysis.compute.subspaces.differences import difference
from analysis.compute.subspaces.movement import movements
from analysis.compute.subspaces.series import (
    ACCELERATION,
    FEWEST,
    SAMPLES,
    VELOCITY,
    SeriesParams,
    asked_series,
)
from analysis.compute.subspaces.spaces import space_words
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

LEVEL = 0.05
NULL = "a series that stands, samples drawn again"


@dataclass(frozen=True)
class SubspaceMovieParams(SeriesParams):
    draws: int = param(40, "Times that samples are drawn again, for the null.", low=10, high=1000)


def subspace_movie(
    *taps, params: SubspaceMovieParams = SubspaceMovieParams(), rng=None, progress=no_progress
) -> Curve:
    """Velocity or acceleration of the subspaces of three or more taps, in their order.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units), of the same samples (matched by id).

    Returns
    -------
    Curve
        Over the place of a tap in the series (a step counts at the tap it leads to): the movement with interval and
        null, and what random subspaces would give. Estimates: one for each step.

    Raises
    ------
    ParameterError, InputError, NotEnoughData, TooLarge
        Different widths in the space of units; no two (three) neighbouring taps with a subspace; fewer than 20 samples.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    params, data, series = asked_series(taps, params, rng, params.draws, progress)
    names = series.names
    found = movements(series, params.order, params.measure, rng, progress)
    estimates = tuple(_estimate(series, m, params) for m in found)
    q = benjamini_hochberg(np.array([e.p_value for e in estimates]))
    progress(1.0, "done")
    at = np.array([m.taps[1] + 1 for m in found], dtype=float)
    name = params.order
    banded = all(e.low is not None for e in estimates)
    return Curve(
        title=f"{name.capitalize()} of subspaces from {names[0]} to {names[-1]}",
        reading=_reading(series, found, estimates, q, params),
        caveats=(space_words(params.space), *_caveats(series, found, params), *constant_notes(names, data.values),
                 *data.notes),
        estimates=estimates, x=at, y_name=params.measure,
        x_name="tap to which a step leads" if name == VELOCITY else "tap",
        x_labels=tuple(names[m.taps[1]] for m in found),
        series={name: np.array([m.value for m in found]), "random subspaces": np.array([m.random for m in found])},
        low={name: np.array([e.low for e in estimates])} if banded else {},
        high={name: np.array([e.high for e in estimates])} if banded else {},
        null={name: np.array([e.null for e in estimates])},
    )  # fmt: skip


def _estimate(series, m, params) -> Estimate:
    between = [series.names[t] for t in m.taps]
    where = " to ".join(between) if len(between) == 2 else f"at {between[1]}"
    dims = ", ".join(str(int(series.dims[t])) for t in m.taps)
    band = {} if m.half is None else {
        "low": max(0.0, m.value - m.half), "high": m.value + m.half,
        "interval": "jackknife over groups of samples, t",
    }  # fmt: skip
    return Estimate(
        f"{params.order} {where}", m.value, **band, **against(m.value, m.luck), null_method=NULL, n=series.n,
        d=series.d, estimator=f"{params.measure}; k = {dims}",
    )  # fmt: skip


def _reading(series, found, estimates, q, params) -> str:
    place = int(np.argmax([m.value for m in found]))
    top, best = found[place], estimates[place]
    sure = int((q < LEVEL).sum())
    dims = sorted({int(k) for k in series.dims if k})
    size = f"{dims[0]}" if len(dims) == 1 else f"{dims[0]} to {dims[-1]}"
    what = "step(s) move" if params.order == VELOCITY else "tap(s) lie off half-way"
    said = f"Subspaces of {size} dimension(s) in the space of {params.space}. "
    said += f"The largest {best.name} is {best.value:.3g}"
    if best.low is not None:
        said += f" ({best.low:.3g} to {best.high:.3g})"
    return said + (
        f"; sampling alone would give {best.null:.3g}, random subspaces {top.random:.3g}. {sure} of {len(found)} "
        f"{what} further than that (false-discovery rate {LEVEL:.0%})."
    )


def _caveats(series, found, params) -> list[str]:
    pairs = [
        f"{name}: λ_{k}/λ_{k + 1} = {gap:.3g}" if gap > 1 else f"{name}: nothing follows axis {k}"
        for name, k, gap in zip(series.names, series.dims, series.gaps, strict=True)
        if k
    ]
    notes = [f"Eigengaps at the cuts: {'; '.join(pairs)}."]
    lost = [f"{name} ({why})" for name, why in zip(series.names, series.why, strict=True) if why]
    if lost:
        size = 1 if params.order == VELOCITY else 2
        steps = len(series.names) - size - len(found)
        notes.append(f"{steps} step(s) left out, next to taps without a held cut: {'; '.join(lost)}.")
    bends = [m.taps for m in found if params.order == ACCELERATION]
    ends = {run: [series.seen(t, series.axes[t]) for t in (run[0], run[2])] for run in bends}
    square = [series.names[run[1]] for run in bends if difference(*ends[run]).is_square]
    if square:
        notes.append(
            f"The neighbours of {', '.join(square)} stand at 90 degrees: half-way is not one place there."
        )
    if params.space == SAMPLES:
        notes.append(
            "In the space of samples a subspace is what the axes say of these samples, not of others."
        )
    if len({int(k) for k in series.dims if k}) > 1:
        notes.append(
            "Of unequal dimensions the angles of the smaller one count; what only the wider has does not."
        )
    notes.append("Movement cannot be below 0, so sampling adds to it: compare it with its null, not with 0.")
    return notes


def _cost(shapes, params: SubspaceMovieParams) -> Cost:
    m, n, flops, held = machine(), min(min(s[0] for s in shapes), params.maximum_samples), 0.0, 0.0
    k = min(params.dimension or min(params.most, 10), max(d for _, d in shapes))
    for _, d in shapes:
        small = min(n, d)
        flops += (13 + params.draws) * (2.0 * n * d * small + 4.0 * small**3)
        held += 8.0 * (2.2 * n * d + (11 + params.draws) * k * d)
    widest = max(d for _, d in shapes)
    side = n if params.space == SAMPLES else widest
    flops += (len(shapes) * (params.draws + 32)) * 20.0 * side * k * k
    block = min(n, 4096) * widest * 8.0 * 9 + 4.0 * 8 * min(n, widest) ** 2
    return Cost(m.seconds(flops64=flops, moved=held * params.draws) + 0.1, held + block + 8.0 * side * k * 30)


def _check() -> tuple[CheckLine, ...]:
    """A plane that turns by a tenth of a radian a step along a geodesic: velocity (2 sin 0.05)², no acceleration; one
    that turns aside has some; a tap that does not move stays within its null."""
    rng = np.random.default_rng(6)
    scores = np.linalg.qr(rng.standard_normal((400, 8)))[0]
    scores = np.linalg.qr(scores - scores.mean(axis=0))[0] * np.sqrt([40, 25, 1, 1, 1, 1, 1, 1])

    def tap(angle: float, aside: float = 0.0) -> np.ndarray:
        turn = np.eye(8)
        turn[[0, 0, 2, 2], [0, 2, 0, 2]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
        other = np.eye(8)
        other[[1, 1, 3, 3], [1, 3, 1, 3]] = np.cos(aside), -np.sin(aside), np.sin(aside), np.cos(aside)
        return scores @ (other @ turn).T

    def movie(taps, **given):
        return subspace_movie(*taps, params=SubspaceMovieParams(dimension=2, draws=20, **given))

    straight = [tap(0.1 * t) for t in range(4)]
    speed = movie(straight)
    bent = movie([tap(0.0), tap(0.1), tap(0.1, 0.1)], order=ACCELERATION).series[ACCELERATION]
    still = movie([rng.standard_normal((400, 8)) * np.sqrt([40, 25, *[1] * 6]) for _ in range(3)])
    drift = sum(e.value for e in still.estimates)
    # half-way between the ends both pairs turned by 0.05, and the middle tap by 0.1 and 0
    off = 2 * (2 * np.sin(0.025)) ** 2
    return (
        CheckLine("velocity on a geodesic", (2 * np.sin(0.05)) ** 2, float(speed.series[VELOCITY].max()), 1e-10),
        CheckLine("acceleration on it", 0.0,
                  float(movie(straight, order=ACCELERATION).series[ACCELERATION].max()), 1e-10),
        CheckLine("acceleration off it", off, float(bent[0]), 1e-10),
        CheckLine("samples alone: null of the velocity", drift, sum(e.null for e in still.estimates), drift / 2),
    )  # fmt: skip


METHODS = (
    Method(
        id="subspace_movie", family="subspaces", title="Subspace movie (velocity and acceleration)", version=3,
        function=subspace_movie,
        summary="How far the main subspace turns from tap to tap, layers or checkpoints, and where its path bends.",
        params=SubspaceMovieParams, result=Curve, check=_check, cost=_cost, inputs=3, more_inputs=True,
        minimum_rows=FEWEST,
        invariance="any basis of a subspace; rotating all taps alike; in the space of samples, rotating each tap by "
        "itself; shifting and scaling a tap as a whole",
        papers=("Second-order difference subspace",),
    ),
)  # fmt: skip
