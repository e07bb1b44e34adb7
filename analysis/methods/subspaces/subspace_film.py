"""The subspace film: every step of a series of subspaces at once, to be scrubbed through, with what moved in it.

A frame is a step from tap A to tap B (or a bend at a tap). It shows the samples in the plane in which that step turns
most: across, the direction half-way between the two most turned axes u of A and v of B; upwards, their difference
u - v, the largest direction of the difference subspace. A sample on the level line has no part in that turn. Its colour
is its part in the whole difference subspace, as of `moved_samples`:

    Σ_t |Dᵀ (x_t - mean_t)|² / Σ_t |x_t - mean_t|²       in the space of units
    Σ_i m_i d_is², m_i = (2 sin θ_i/2)²                  in the space of samples

Beside each frame: velocity or acceleration with interval (jackknife over groups of samples) and null (samples drawn
again), how many samples moved, and the unit with the largest part.

Null of a part: a difference in random directions, exactly; of the largest part, the largest of such. A sample counts
as moved where it exceeds that, and the mean sample, by more than its spread over groups of samples (Student's t,
Benjamini-Hochberg at 5 % within each step).

When it lies: a frame is one plane of a difference that may have more; each frame has axes of its own, so that the place
of a sample in two frames says little (mirrored frames are turned, that is all); a part says where a sample lies, not
that it is the cause; samples far from the mean pull the axes towards themselves; only directions of large variance are
followed.

Cost: as the subspace movie: O((11 + draws) n d min(n, d)) for each tap; memory O(n Σ d).

References: K. Fukui et al. (2024), "Second-order difference subspace"; K. Fukui & A. Maki (2015).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.rows.constant_units import constant_notes
from analysis.compute.statistics.nulls import against
from analysis.compute.subspaces.moved import coordinate_parts, energy_parts, every_step, step_words
from analysis.compute.subspaces.movement import movements
from analysis.compute.subspaces.series import FEWEST, SeriesParams, asked_series
from analysis.compute.subspaces.spaces import SAMPLES, UNITS, space_words
from analysis.compute.subspaces.turning_plane import facing, turning_plane
from analysis.results import Estimate, Scatter
from analysis.spec import CheckLine, Cost, Method, no_progress, param

LEVEL = 0.05
AXES = ("along what the two subspaces share", "along what turned most")
NULL = "a series that stands, samples drawn again"


@dataclass(frozen=True)
class SubspaceFilmParams(SeriesParams):
    draws: int = param(20, "Times that samples are drawn again, for the null.", low=10, high=1000)


def subspace_film(
    *taps, params: SubspaceFilmParams = SubspaceFilmParams(), rng=None, progress=no_progress
) -> Scatter:
    """All steps, or bends, of a series of subspaces as frames, with each sample's part in each.

    Parameters
    ----------
    *taps : three or more Activations or arrays (rows, units), of the same samples (matched by id).

    Returns
    -------
    Scatter
        `frames` (steps, samples, 2) with `frame_names`; `positions` is the last. Columns: the parts, by the
        frame's name, and "moved" with that name, which samples did. Estimates, whose names end in that of a frame: the
        movement, samples that moved, the largest part of a sample, and of a unit.

    Raises
    ------
    ParameterError, InputError, NotEnoughData, TooLarge
        Other widths in the space of units; no neighbouring taps with a held cut; fewer than 20 samples.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    params, data, series = asked_series(taps, params, rng, params.draws, progress)
    found = movements(series, params.order, params.measure, rng, progress)
    progress(0.95, "finding what moved")
    steps, frames, columns, estimates = every_step(series, params.order), [], {}, []
    names = tuple(step_words(series, step, params.order) for step in steps)
    for name, step, movement in zip(names, steps, found, strict=True):
        parts = _parts(series, step, params)
        frames.append(turning_plane(series, step))
        columns[name] = parts.values
        columns[f"moved {name}"] = np.where(parts.q < LEVEL, "moved", "within chance")
        estimates += _estimates(series, step, movement, parts, data.ids, taps, name, params)
    progress(1.0, "done")
    frames = facing(np.stack(frames)).astype(np.float32)
    what = "share" if params.space == UNITS else "part"
    return Scatter(
        title=f"{params.order.capitalize()} step by step", reading=_reading(found, names, params, what),
        caveats=(
            space_words(params.space), *_caveats(series, steps), *constant_notes(series.names, data.values),
            *data.notes,
        ),
        estimates=tuple(estimates), positions=frames[-1], rows=_rows(taps[0], data.ids), axes=AXES, columns=columns,
        colour=names[-1], frames=frames, frame_names=names,
    )  # fmt: skip


def _parts(series, step, params):
    return (
        energy_parts(series, step)
        if params.space == UNITS
        else coordinate_parts(series, step, params.measure)
    )


def _rows(tap, ids: np.ndarray) -> np.ndarray:
    """The first row of each sample in the first tap."""
    place = {id: i for i, id in enumerate(np.asarray(tap.samples["id"]).astype(str))}
    return np.asarray(tap.layout.offsets)[[place[id] for id in ids.astype(str)]]


def _estimates(series, step, movement, parts, ids, taps, name, params) -> list[Estimate]:
    common = {"n": series.n, "d": series.d}
    top, moved = int(np.argmax(parts.values)), int((parts.q < LEVEL).sum())
    half = movement.half
    band = {} if half is None else {
        "low": max(0.0, movement.value - half), "high": movement.value + half,
        "interval": "jackknife over groups of samples, t",
    }  # fmt: skip
    about = {"interval": "jackknife over groups of samples, t"}
    of = "share" if params.space == UNITS else "part"
    estimator = "|Dᵀx|² / |x|²" if params.space == UNITS else params.measure
    said = [
        Estimate(f"{params.order} {name}", movement.value, **band, **against(movement.value, movement.luck),
                 null_method=NULL, estimator=params.measure, **common),
        Estimate(f"samples that moved {name}", moved, null=0.0, null_method="false-discovery control",
                 estimator="count", **common),
        Estimate(f"largest {of}, sample {ids[top]}, {name}", float(parts.values[top]), float(parts.low[top]),
                 float(parts.high[top]), estimator=estimator, **parts.against_largest(), **about, **common),
    ]  # fmt: skip
    if params.space == UNITS:
        units = coordinate_parts(series, step, params.measure)
        best = int(np.argmax(units.values))
        unit = taps[step.taps[1]].unit_names[best]
        said.append(
            Estimate(f"largest part, unit {unit}, {name}", float(units.values[best]), float(units.low[best]),
                     float(units.high[best]), estimator=params.measure, **units.against_largest(), **about,
                     **common)
        )  # fmt: skip
    return said


def _reading(found, names, params, what: str) -> str:
    largest, least = (f([m.value for m in found]) for f in (np.argmax, np.argmin))
    most = f"The largest {params.order} is {found[largest].value:.3g} ({names[largest]})"
    if len(found) > 1:
        most += f", the smallest {found[least].value:.3g} ({names[least]})"
    meant = (
        "of its distance from the mean that lies in what turned"
        if what == "share"
        else "that it adds to the turn"
    )
    return (
        f"{most}. Each frame is one step: a sample far above or below 0 lies along what turned most, and its colour is "
        f"the {what} {meant}."
    )


def _caveats(series, steps) -> list[str]:
    sizes = [int(s.difference.moved.sum()) for s in steps]
    notes = [
        "Each frame has axes of its own: compare a sample with the others of its frame, not with itself in another.",
        "The largest of many was picked because it is: its interval is that of one chosen beforehand.",
    ]
    if max(sizes) > 1:
        notes.append(
            f"What turned has up to {max(sizes)} directions; a frame is drawn along one of them, its colours count all."
        )
    lost = [f"{name} ({why})" for name, why in zip(series.names, series.why, strict=True) if why]
    if lost:
        notes.append(f"Steps next to taps without a held cut are left out: {'; '.join(lost)}.")
    return notes


def _cost(shapes, params: SubspaceFilmParams) -> Cost:
    m, n, flops, held = machine(), min(min(s[0] for s in shapes), params.maximum_samples), 0.0, 0.0
    k = min(params.dimension or min(params.most, 10), max(d for _, d in shapes))
    for _, d in shapes:
        small = min(n, d)
        flops += (13 + params.draws) * (2.0 * n * d * small + 4.0 * small**3)
        held += 8.0 * (2.2 * n * d + (11 + params.draws) * k * d)
    widest = max(d for _, d in shapes)
    side = n if params.space == SAMPLES else widest
    flops += len(shapes) * ((params.draws + 32) * 20.0 * side * k * k + 40.0 * n * widest * k)
    block = min(n, 4096) * widest * 8.0 * 9 + 4.0 * 8 * min(n, widest) ** 2
    return Cost(
        m.seconds(flops64=flops, moved=held * params.draws) + 0.1, held + block + 8.0 * side * k * 30 + 80 * n
    )


def _check() -> tuple[CheckLine, ...]:
    """The first axis turns by 0.3 in the second step only, into a unit in which only eight samples differ."""
    x, i = np.zeros((200, 5)), np.arange(192)
    x[:192, 0], x[:192, 1] = np.where(i % 2, 3.0, -3.0), np.where(i // 2 % 2, 5.0, -5.0)
    x[192:, 2] = np.where(np.arange(8) % 2, 1.0, -1.0)
    turn = np.eye(5)
    turn[[0, 0, 2, 2], [0, 2, 0, 2]] = np.cos(0.3), -np.sin(0.3), np.sin(0.3), np.cos(0.3)
    found = subspace_film(x, x, x @ turn.T, params=SubspaceFilmParams(dimension=2, draws=10))
    still, turned = (found.columns[name] for name in found.frame_names)
    speeds = [e.value for e in found.estimates if e.name.startswith("velocity")]
    return (
        CheckLine("velocity of the step that stands", 0.0, speeds[0], 1e-12),
        CheckLine("of the one that turns", (2 * np.sin(0.15)) ** 2, speeds[1], 1e-10),
        CheckLine("parts of the step that stands", 0.0, float(still.max()), 1e-12),
        CheckLine("least share of the eight that lie along the turn", np.cos(0.15) ** 2, float(turned[192:].min()),
                  1e-10),
        CheckLine("their distance from the middle line", np.cos(0.15), float(np.abs(found.frames[1, 192:, 1]).min()),
                  1e-6),
        CheckLine("that of the others, which turn with the axis", 3 * np.sin(0.15),
                  float(np.abs(found.frames[1, :192, 1]).max()), 1e-6),
    )  # fmt: skip


METHODS = (
    Method(
        id="subspace_film", family="subspaces", title="Subspace film", version=2, function=subspace_film,
        summary="Every step of a series of subspaces, to be scrubbed through: how fast, and which samples moved.",
        params=SubspaceFilmParams, result=Scatter, check=_check, cost=_cost, inputs=3, more_inputs=True,
        minimum_rows=FEWEST,
        invariance="any basis of a subspace; rotating all taps alike; shifting a tap; scaling the taps alike",
        papers=("Second-order difference subspace",),
    ),
)  # fmt: skip
