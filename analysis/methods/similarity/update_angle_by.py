"""Do the rows of two taps turn towards each other along a sample column, such as the epoch? Their angle as a curve.

Rows are vectors of the same units, matched by sample id, such as each step's update of a layer and its true gradient;
the median of their angles is drawn at each place of the column: at each of its values, or in bins of about equal counts
where there are more values than bins (`compute.rows.column_places`, `compute.similarity.row_angles`).

Null (dashed): random directions, median 90 degrees exactly, which is where random feedback starts. Whether the angle
goes along a numeric column is Spearman's correlation, against the column exchanged over the pairs, 999 draws.

When it lies: steps of one run follow each other, so that exchanging them is too kind and a drift alone looks like a
trend: several runs, or steps far apart, are better; a place with fewer than six pairs has no 95 % interval and shows
its whole range; directions in few dimensions leave 90 degrees by chance more than those in many; tokens are averaged
first.

Cost: O(n d + 999 n).

References: C. Kao & B. Hariharan (2024), "Counter-current learning: A biologically plausible dual network approach for
deep learning"; T. Lillicrap et al. (2016), "Random synaptic feedback weights support error backpropagation for deep
learning" (the angle to the gradient over training).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations, sample_column
from analysis.compute.machine import machine
from analysis.compute.rows.column_places import Places, places_of
from analysis.compute.similarity.row_angles import (
    FEWEST,
    RIGHT,
    median_interval,
    paired_angles,
    random_median,
    rank_test,
)
from analysis.compute.statistics.nulls import add_one_p
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

DRAWS = 999
NAME = "median angle"


@dataclass(frozen=True)
class UpdateAngleByParams:
    column: str = param(
        "label", "Sample column along which the angle is drawn, such as the epoch.", column=True
    )
    bins: int = param(12, "Places for a numeric column with more values than that.", low=2, high=200)
    maximum_samples: int = param(20_000, "Most rows; a seeded random subset above.", low=50, high=500_000)


def update_angle_by(
    first, second, params: UpdateAngleByParams = UpdateAngleByParams(), rng=None, progress=no_progress
) -> Curve:
    """Median angle between the paired rows of two taps along a column of the first tap's samples.

    Parameters
    ----------
    first, second : Activations or arrays (rows, units), of the same units and samples.

    Returns
    -------
    Curve
        x = the column (places 0, 1, … of a text column), the median angle in degrees with band and null. Estimates: the
        median of the first and of the last place, and the correlation with a numeric column.

    Raises
    ------
    NotFound, InputError, NotEnoughData, TooLarge
        No such column; different numbers of units, or one; a tap whose rows are all equal; fewer than six pairs without
        a row of zeros, or fewer than two places.
    """
    taps = [as_activations(first), as_activations(second)]
    rng = rng or np.random.default_rng(0)
    values = sample_column(taps[0], params.column)
    pairs = paired_angles(taps, params.maximum_samples, rng, progress)
    column = values[pairs.position]
    places = places_of(column, params.bins, params.column)
    degrees, column = pairs.degrees[places.samples], column[places.samples]
    progress(0.7, "exchanging the column")
    found = [degrees[places.of == g] for g in range(len(places.x))]
    low, high = np.array([median_interval(v) or (v.min(), v.max()) for v in found]).T
    estimates = _estimates(found, degrees, column, places, pairs.d, params, rng)
    few = sum(len(v) < FEWEST for v in found)
    notes = [f"{few} place(s) with fewer than six pairs: their band is the whole range."] if few else []
    return Curve(
        title=f"Angle between {pairs.names[0]} and {pairs.names[1]} by {params.column}",
        reading=_reading(estimates, places, params),
        caveats=(*notes, "Pairs are taken as independent; steps of one run are not.", *places.notes, *pairs.notes),
        estimates=estimates, x=places.x, x_name=_axis(params.column, places), y_name="median angle (degrees)",
        series={NAME: np.array([np.median(v) for v in found])}, low={NAME: low}, high={NAME: high},
        null={NAME: np.full(len(places.x), RIGHT)},
    )  # fmt: skip


def _estimates(found, degrees, column, places: Places, d: int, params, rng) -> tuple[Estimate, ...]:
    out = []
    for at in (0, len(found) - 1):
        here = found[at]
        ends = median_interval(here)
        ends = (
            {}
            if ends is None
            else {"low": ends[0], "high": ends[1], "interval": "two of the sorted angles, exact"}
        )
        null_low, null_high = random_median(len(here), d)
        out.append(Estimate(
            f"median angle at {params.column} = {places.names[at]}", float(np.median(here)), **ends, null=RIGHT,
            null_low=null_low, null_high=null_high, null_method="random directions of the same space, exact",
            p_value=rank_test(here), n=len(here), d=d, unit="degrees",
            estimator="median; p by Wilcoxon's signed ranks about 90 degrees",
        ))  # fmt: skip
    if places.numeric:
        out.append(_trend(degrees, column, d, params, rng))
    return tuple(out)


def _trend(degrees: np.ndarray, column: np.ndarray, d: int, params, rng) -> Estimate:
    from scipy.stats import rankdata

    a, b = (rankdata(v) - (len(v) + 1) / 2 for v in (np.round(degrees, 9), column.astype(np.float64)))
    scale = np.sqrt((a @ a) * (b @ b))
    value = float(a @ b / scale) if scale > 0 else 0.0
    drawn = np.array([a @ rng.permutation(b) for _ in range(DRAWS)]) / (scale or 1.0)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Estimate(
        f"correlation of the angle with {params.column}", value, null=0.0, null_low=float(low), null_high=float(high),
        null_method=f"{params.column} exchanged over the pairs: exact mean, {DRAWS} draws",
        p_value=float(add_one_p(abs(value) - 1e-12, np.abs(drawn))), n=len(degrees), d=d, estimator="Spearman's",
    )  # fmt: skip


def _axis(column: str, places: Places) -> str:
    if places.numeric:
        return column
    shown = ", ".join(f"{i} {name}" for i, name in enumerate(places.names[:6]))
    return f"{column} ({shown}{' …' if len(places.names) > 6 else ''})"


def _reading(estimates, places: Places, params) -> str:
    first, last = estimates[:2]
    text = (
        f"The median angle is {first.value:.4g} degrees at {params.column} = {places.names[0]} and {last.value:.4g} at "
        f"{params.column} = {places.names[-1]}, where random directions stand at 90."
    )
    if not places.numeric:
        return text
    trend = estimates[2]
    if trend.p_value >= 0.05:
        return text + f" It is not shown to go along {params.column} (p = {trend.p_value:.2g})."
    way = "grows" if trend.value > 0 else "falls"
    return text + f" It {way} along {params.column} (Spearman's {trend.value:.2f}, p = {trend.p_value:.2g})."


def _cost(shapes, params: UpdateAngleByParams) -> Cost:
    n, d = min(min(rows for rows, _ in shapes), params.maximum_samples), shapes[0][1]
    moved = 8.0 * d * (30.0 * n + 4.0 * max(rows for rows, _ in shapes)) + 8.0 * DRAWS * n * 4
    return Cost(machine().seconds(moved=moved) + 0.02, 8.0 * n * (8.0 * d + 15) + 8.0 * DRAWS * 3)


def _check() -> tuple[CheckLine, ...]:
    """Updates that turn from a right angle to the gradient by 30 degrees an epoch: the curve is 90, 60, 30, 0. One
    that does not turn: no trend."""
    rng = np.random.default_rng(69)
    epoch = np.repeat(np.arange(4.0), 25)
    gradient, other = rng.standard_normal((2, 100, 20))
    along = gradient / np.linalg.norm(gradient, axis=1, keepdims=True)
    across = other - (other * along).sum(axis=1, keepdims=True) * along
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    turn = np.radians(90 - 30 * epoch)[:, None]
    samples = {"epoch": epoch}
    by = lambda x, y: update_angle_by(ArrayActivations(x, samples=samples), y, UpdateAngleByParams("epoch"))  # noqa: E731
    turning, still = by(np.cos(turn) * along + np.sin(turn) * across, gradient), by(other, gradient)
    worst = float(np.abs(turning.series[NAME] - [90, 60, 30, 0]).max())
    return (
        CheckLine("turning by 30 degrees an epoch: largest error", 0.0, worst, 1e-6),
        CheckLine("its correlation with the epoch", -1.0, turning.estimates[2].value, 1e-12),
        CheckLine("its p", 1 / (1 + DRAWS), turning.estimates[2].p_value, 1e-12),
        CheckLine("random directions: median of the first epoch", 90.0, still.estimates[0].value, 12.0),
        CheckLine("random directions: p of a trend", 0.01, still.estimates[2].p_value, 0.0, "at least"),
    )  # fmt: skip


METHODS = (
    Method(
        id="update_angle_by", family="similarity", title="Angle of updates along a column", version=1,
        function=update_angle_by,
        summary="The median angle between paired rows of two taps along a sample column, such as the epoch.",
        params=UpdateAngleByParams, result=Curve, check=_check, cost=_cost, inputs=2, minimum_rows=FEWEST,
        invariance="scaling any row by a positive number; one rotation or reflection of both taps; the order of "
        "samples",
        papers=("Counter-Current Learning: A Biologically Plausible Dual Network Approach for Deep Learning",),
    ),
)  # fmt: skip
