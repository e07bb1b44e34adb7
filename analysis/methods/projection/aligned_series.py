"""Aligned series: the same points in several layers, checkpoints or seeds, placed so that movement means movement.

Each tap is projected onto its own principal components, and each frame is then turned (rotated or mirrored, never
stretched) onto the frame before it: with centred frames, R = U Vᵀ from the singular value decomposition of
frameᵀ previous is the orthogonal matrix with the least squared movement. Rotations of the activations, which change
nothing that a network computes with, therefore draw no movement at all. What turning could not remove is stated as
the residual of every frame: |frame R - previous|² / (|frame|² + |previous|²), 0 for no movement, about 1 when the
points are unrelated.

When it lies: a frame is a flat picture of its own tap, and what moves outside the picture is not seen (see the
variance shares); with near-equal eigenvalues two frames may show different planes of the same data, which looks like
movement; each frame is turned onto the previous one only, so small errors add up along a long series; scaled frames
hide that a layer has larger activations.

Cost: one eigenproblem per tap, O(Σ n d min(n, d)); the rest is O(frames n). Memory O(n Σ d).

References: P. Schönemann (1966), "A generalized solution of the orthogonal Procrustes problem"; J. Gower (1975).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.linear.linalg import principal_components
from analysis.compute.linear.procrustes import best_residual, residual_share, rotation_onto
from analysis.compute.machine import machine
from analysis.compute.maps.map_report import QUALITY_HELP, map_report, report_bytes, report_cost
from analysis.compute.rows.matched_taps import MatchedTaps, matched_taps
from analysis.compute.statistics.nulls import add_one_p
from analysis.compute.statistics.ratios import ratio_interval, sample_sums
from analysis.results import Estimate, Scatter
from analysis.spec import CheckLine, Cost, Method, no_progress, param

SHUFFLES = 99
FEWEST = 10  # rows


@dataclass(frozen=True)
class AlignedSeriesParams:
    components: int = param(2, "Number of coordinates: a plane or a space.", choices=(2, 3))
    scale: bool = param(
        True, "Draw every frame at the same size: layers differ in the size of their activations."
    )
    maximum_rows: int = param(20_000, "Most points; a seeded random subset above.", low=50, high=200_000)
    quality_points: int = param(2000, QUALITY_HELP, low=50, high=50_000)


def aligned_series(
    *taps, params: AlignedSeriesParams = AlignedSeriesParams(), rng=None, progress=no_progress
) -> Scatter:
    """Project two or more taps of the same samples and turn each frame onto the one before.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units), in the order of the series; the same rows, any numbers of units.

    Returns
    -------
    Scatter
        `frames` (taps, points, 2 or 3) with `frame_names`; `positions` is the last one. Columns "path" (length of
        a point's way through all frames), "last step", "trust", "continuity", "recall" (of the last frame).
        Estimates: per frame the residual to the previous one, against unmatched points, and the variance share.

    Raises
    ------
    ParameterError, InputError, NotEnoughData, TooLarge
        Fewer than two taps; different samples or tokens; fewer than ten common finite rows; over 4 GiB.
    """
    taps = [as_activations(t) for t in taps]
    rng = rng or np.random.default_rng(0)
    data = matched_taps(
        taps, rng, maximum_rows=params.maximum_rows, minimum=FEWEST, progress=progress, span=(0.0, 0.2)
    )
    flat, shares = _projected(data, params, progress)
    frames = in_series(flat)
    progress(0.6, "shuffling the points")
    found = _estimates(frames, shares, taps, data, rng)
    report = map_report(
        data.values[-1],
        frames[-1],
        rng,
        maximum_anchors=params.quality_points,
        progress=progress,
        span=(0.7, 1.0),
    )
    steps = np.linalg.norm(np.diff(frames, axis=0), axis=2)
    frames = frames.astype(np.float32)
    names = tuple(tap.name for tap in taps)
    return Scatter(
        title=f"{names[0]} to {names[-1]}, {len(names)} frames aligned",
        reading=_reading(found, len(taps)) + " Of the last frame: " + report.sentence,
        caveats=(*_caveats(params, shares), *data.notes, *report.notes),
        estimates=(*found, *report.estimates),
        positions=frames[-1],
        rows=data.rows,
        axes=tuple(f"aligned coordinate {i + 1}" for i in range(params.components)),
        columns={"path": steps.sum(axis=0), "last step": steps[-1], **report.columns},
        colour="path",
        frames=frames,
        frame_names=names,
    )


def _projected(data: MatchedTaps, params, progress) -> tuple[list[np.ndarray], np.ndarray]:
    """Principal-component scores (n, k) of every tap, and the share of the variance they hold (taps,)."""
    flat, shares = [], np.empty(len(data.values))
    for i, x in enumerate(data.values):
        progress(0.2 + 0.4 * i / len(data.values), "projecting")
        mean, directions, values = principal_components(x, params.components)
        scores = (x - mean) @ directions.T
        shares[i] = values[: len(directions)].sum() * (len(x) - 1) / ((x - mean) ** 2).sum()
        scores = np.pad(scores, ((0, 0), (0, params.components - scores.shape[1])))
        if params.scale:
            scores /= np.sqrt((scores**2).sum(axis=1).mean())
        flat.append(scores)
    return flat, np.minimum(shares, 1.0)


def in_series(flat: list[np.ndarray]) -> np.ndarray:
    """Frames (m, n, k): each of the centred `flat` (n, k) turned onto the one before it, the first as it is."""
    frames = [flat[0]]
    for moving in flat[1:]:
        frames.append(moving @ rotation_onto(moving, frames[-1]))
    return np.stack(frames)


def _estimates(frames, shares, taps, data: MatchedTaps, rng) -> tuple[Estimate, ...]:
    found, n = [], len(data.rows)
    for i in range(1, len(frames)):
        a, b = frames[i - 1], frames[i]
        apart = sample_sums(((a - b) ** 2).sum(axis=1), data.sample)
        whole = sample_sums((a**2).sum(axis=1) + (b**2).sum(axis=1), data.sample)
        low, high = ratio_interval(apart, whole, rng, draws=500)
        value = residual_share(b, a)
        null = np.array([best_residual(b[rng.permutation(n)], a) for _ in range(SHUFFLES)])
        found.append(
            Estimate(
                f"residual of {taps[i].name} on {taps[i - 1].name}" + f" (frame {i + 1})", value, min(low, value),
                max(high, value), interval="bootstrap over samples, frames held fixed", null=float(null.mean()),
                null_low=float(np.percentile(null, 2.5)), null_high=float(np.percentile(null, 97.5)),
                null_method=f"points of the frame exchanged at random, {SHUFFLES} times",
                p_value=float(add_one_p(-value, -null)), n=n, d=frames.shape[2], estimator="orthogonal Procrustes",
            )
        )  # fmt: skip
    for i, share in enumerate(shares):
        d = data.values[i].shape[1]
        found.append(
            Estimate(
                f"variance share of frame {i + 1}", float(share), null=min(frames.shape[2] / d, 1.0),
                null_method="a random plane", n=n, d=d, estimator="principal components",
            )
        )  # fmt: skip
    return tuple(found)


def _reading(found, frames: int) -> str:
    moved = max(found[: frames - 1], key=lambda e: e.value)
    still = min(found[: frames - 1], key=lambda e: e.value)
    if frames == 2:
        return (
            f"After turning, {moved.value:.0%} of the two frames' squared coordinates is movement (unmatched "
            f"points: {moved.null:.0%}). Rotations of the activations draw no movement."
        )
    return (
        f"The points move most into {moved.name.removeprefix('residual of ')} ({moved.value:.0%} of the squared "
        f"coordinates; unmatched points: {moved.null:.0%}) and least into "
        f"{still.name.removeprefix('residual of ')} ({still.value:.0%}). Rotations draw no movement."
    )


def _caveats(params, shares) -> list[str]:
    notes = []
    if shares.min() < 0.5:
        notes.append(
            f"Frame {int(shares.argmin()) + 1} shows {shares.min():.0%} of its tap's variance: most of what moves "
            "may be outside the picture."
        )
    if params.scale:
        notes.append("Frames are drawn at one size: a change of scale between them is not seen.")
    if len(shares) > 2:
        notes.append(
            "Each frame is turned onto the one before it only: compare neighbours, not distant frames."
        )
    return notes


def _cost(shapes, params: AlignedSeriesParams) -> Cost:
    m, flops, memory = machine(), 0.0, 0.0
    n = min(shapes[0][0], params.maximum_rows)
    for _, d in shapes:
        r = min(n, d)
        flops += 2.0 * n * d * r + 10.0 * r**3
        memory += n * d * 8
    last = shapes[-1][1]
    seconds = m.seconds(flops64=flops, moved=memory * 6 + len(shapes) * SHUFFLES * n * 100.0)
    seconds += m.seconds(**report_cost(n, last, params.quality_points))
    return Cost(
        seconds + 0.05, memory * 1.6 + n * last * 8 * 2.0 + n * len(shapes) * 40 + report_bytes(n, last)
    )


def _check() -> tuple[CheckLine, ...]:
    """A tap, the same tap rotated and mirrored in more units, then half of the way to unrelated data."""
    rng = np.random.default_rng(6)
    x = rng.standard_normal((2000, 6)) * [5, 3, 0.1, 0.1, 0.1, 0.1]
    rotated = x @ np.linalg.qr(rng.standard_normal((20, 6)))[0].T + 7.0
    other = rng.standard_normal((2000, 6)) * [5, 3, 0.1, 0.1, 0.1, 0.1]
    series = aligned_series(x, rotated, other)
    residuals = series.estimates
    turned = in_series([x[:, :2], x[:, :2] @ np.array([[0.6, -0.8], [-0.8, -0.6]])])
    return (
        CheckLine("a rotated copy: residual", 0.0, residuals[0].value, 1e-12),
        CheckLine("a rotated copy: largest movement", 0.0,
                  float(np.abs(series.frames[1] - series.frames[0]).max()), 1e-5),
        CheckLine("a mirrored plane: largest movement", 0.0, float(np.abs(turned[1] - turned[0]).max()), 1e-12),
        CheckLine("unrelated data: residual is that of unmatched points", residuals[1].null, residuals[1].value, 0.05),
        CheckLine("scaled frames: mean squared distance from the middle", 1.0,
                  float((series.frames**2).sum(axis=2).mean()), 1e-6),
    )  # fmt: skip


METHODS = (
    Method(
        id="aligned_series",
        family="projection",
        title="Aligned series",
        summary="Layers, checkpoints or seeds side by side, turned so that what moves really moved.",
        version=1,
        function=aligned_series,
        params=AlignedSeriesParams,
        result=Scatter,
        check=_check,
        cost=_cost,
        inputs=2,
        more_inputs=True,
        matches="rows",
        minimum_rows=FEWEST,
        invariance="rotating or shifting each tap changes nothing; nor does rescaling one when frames are scaled",
    ),
)
