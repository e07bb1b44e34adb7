"""The principal angles of two subspaces as a Curve: intervals, random subspaces, what it says and what it does not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.compute.statistics.sample_groups import jackknife_half
from analysis.compute.subspaces.angles import overlap, overlap_by_chance, principal_angles
from analysis.compute.subspaces.random_subspaces import overlap_p, random_angles
from analysis.compute.subspaces.tap_subspaces import TapSubspaces
from analysis.results import Curve, Estimate

ANGLES, RANDOM = "principal angles", "random subspaces"
SHARED = 10.0  # degrees: an angle below is said to be a shared direction
LEFT_OUT = "jackknife over groups of samples, axes found anew, t"


def angle_curve(found: TapSubspaces, rng: np.random.Generator, notes: Sequence[str] = ()) -> Curve:
    """Of the two members of `found`: angles in degrees over their number, with an interval where groups of samples were
    left out, beside those of random subspaces with their middle 95 %."""
    a, b = found.members
    series = np.degrees([principal_angles(x, y) for x, y in zip(a.bases, b.bases, strict=False)])
    if len(a.bases) != len(b.bases):
        series = series[:1]
    drawn = np.degrees(random_angles(a.k, b.k, found.dimensions, rng))
    estimates = _estimates(found, series, drawn)
    return Curve(
        title=f"Principal angles between {a.name} ({a.k}) and {b.name} ({b.k})",
        reading=_reading(series[0], drawn, estimates), caveats=(*found.notes, *notes, *_caveats(found)),
        estimates=estimates, x=np.arange(1, series.shape[1] + 1, dtype=np.float64), x_name="number of the angle",
        y_name="angle (degrees)", **_lines(series, drawn),
    )  # fmt: skip


def _interval(series: np.ndarray, top: float) -> dict:
    """Of series[0] by series[1:]; nothing for fewer than three groups."""
    half = jackknife_half(series[1:])
    if half is None:
        return {}
    value = float(series[0])
    return {"low": max(value - float(half), 0.0), "high": min(value + float(half), top), "interval": LEFT_OUT}


def _lines(series: np.ndarray, drawn: np.ndarray) -> dict:
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    half, mean = jackknife_half(series[1:]), drawn.mean(axis=0)
    lows, highs = {RANDOM: low}, {RANDOM: high}
    if half is not None:
        lows[ANGLES], highs[ANGLES] = np.maximum(series[0] - half, 0.0), np.minimum(series[0] + half, 90.0)
    return {"series": {ANGLES: series[0], RANDOM: mean}, "low": lows, "high": highs, "null": {ANGLES: mean}}


def _estimates(found: TapSubspaces, series: np.ndarray, drawn: np.ndarray) -> tuple[Estimate, ...]:
    a, b = found.members
    common = {"n": found.n, "d": found.dimensions}
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)

    def angle(word: str, i: int) -> Estimate:
        return Estimate(
            f"{word} principal angle", float(series[0, i]), **_interval(series[:, i], 90.0),
            null=float(drawn[:, i].mean()), null_low=float(low[i]), null_high=float(high[i]),
            null_method=f"random subspaces, {len(drawn)} draws",
            p_value=float((1 + (drawn[:, i] <= series[0, i]).sum()) / (1 + len(drawn))), unit="degrees",
            estimator="arc cosine, arc sine when small", **common,
        )  # fmt: skip

    overlaps = overlap(np.radians(series))
    mean, deviation = overlap_by_chance(a.k, b.k, found.dimensions)
    whole = Estimate(
        "overlap, Σ cos² θ / m", float(overlaps[0]), **_interval(overlaps, 1.0), null=mean,
        null_low=mean - 1.96 * deviation, null_high=mean + 1.96 * deviation, estimator="plug-in", **common,
        null_method="random subspaces, exact mean and deviation; p exact for a line, else drawn",
        p_value=float(overlap_p(overlaps[0], a.k, b.k, found.dimensions, np.radians(drawn))),
    )  # fmt: skip
    below = (drawn < SHARED).sum(axis=1)
    shared = Estimate(
        f"angles below {SHARED:g} degrees", int((series[0] < SHARED).sum()), null=float(below.mean()),
        null_low=float(np.percentile(below, 2.5)), null_high=float(np.percentile(below, 97.5)), unit="angles",
        null_method=f"random subspaces, {len(drawn)} draws", estimator="count", **common,
    )  # fmt: skip
    return angle("smallest", 0), angle("largest", -1), whole, shared


def _reading(angles: np.ndarray, drawn: np.ndarray, estimates) -> str:
    smallest, largest, whole, shared = estimates
    below = int((angles < np.percentile(drawn, 2.5, axis=0)).sum())
    return (
        f"The {len(angles)} angle(s) run from {smallest.value:.1f} to {largest.value:.1f} degrees; random subspaces of "
        f"these dimensions give {smallest.null:.1f} to {largest.null:.1f}. {below} of them below the 95 % of random "
        f"ones, {shared.value} below {SHARED:g} degrees. The overlap is {whole.value:.2f}, by chance {whole.null:.2f}."
    )


def _caveats(found: TapSubspaces) -> list[str]:
    notes = [f"{m.name}: {m.k} axes, {m.subspace.share:.0%} of its variance." for m in found.members]
    a, b = found.members
    extra = a.k + b.k - found.dimensions
    if extra > 0:
        notes.append(
            f"{extra} angle(s) are 0 whatever the data: {a.k} + {b.k} axes in {found.dimensions} dimensions."
        )
    return notes
