"""At which angle do the rows of two taps stand? An update against the gradient, or any two directions of one space.

Rows are vectors of the same units, matched by sample id: what a learning rule would add to the weights of a layer and
the gradient of the loss with its sign turned, a concept direction in two layers of one width, a sample's activations in
two checkpoints. Drawn is the distribution of their angles (`compute.similarity.row_angles`). An update below 90 degrees
from the negative gradient is a descent direction: a small enough step along it lowers the loss.

Null (grey): random directions of the same space, exact: cos² is Beta(1/2, (d - 1)/2), symmetric about 90 degrees, with
a spread of about 57 / √d degrees. The share below 90 degrees is tested by the signs (exact), the median by the signed
ranks; the mean cosine has variance 1 / (n d) among random directions.

When it lies: real updates and gradients live in far fewer dimensions than there are units, so that their angles spread
wider than random directions; the tests need independent rows, and steps of one run are not independent: their p and
intervals are then too small; the smallest angle below 90 counts as descent, though a step along it hardly lowers the
loss; with the gradient itself, not its negative, descent lies above 90; tokens are averaged first.

Cost: O(n d).

References: C. Kao & B. Hariharan (2024), "Counter-current learning: A biologically plausible dual network approach for
deep learning"; T. Lillicrap et al. (2016), "Random synaptic feedback weights support error backpropagation for deep
learning" (below 90 degrees an update still learns); T. Cai, J. Fan & T. Jiang (2013).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.similarity.row_angles import (
    FEWEST,
    RIGHT,
    ROUNDING,
    PairedAngles,
    median_interval,
    paired_angles,
    random_below,
    random_median,
    random_quantile,
    rank_test,
    sign_test,
)
from analysis.compute.statistics.sample_groups import mean_interval, share_interval
from analysis.results import Distribution, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

RANDOM = "random directions of the same space, exact"


@dataclass(frozen=True)
class UpdateAngleParams:
    bins: int = param(18, "Bins of the histogram on each side of 90 degrees.", low=2, high=200)
    maximum_samples: int = param(20_000, "Most rows; a seeded random subset above.", low=50, high=500_000)


def update_angle(
    first, second, params: UpdateAngleParams = UpdateAngleParams(), rng=None, progress=no_progress
) -> Distribution:
    """Angles between the paired rows of two taps.

    Parameters
    ----------
    first, second : Activations or arrays (rows, units), of the same units and samples.

    Returns
    -------
    Distribution
        Degrees, in equal bins on both sides of 90, with the counts that random directions give as `null`. Estimates:
        median angle, share below 90 degrees, mean cosine.

    Raises
    ------
    InputError, NotEnoughData, TooLarge
        Different numbers of units, or one; a tap whose rows are all equal; fewer than six pairs without a row of zeros.
    """
    taps = [as_activations(first), as_activations(second)]
    rng = rng or np.random.default_rng(0)
    pairs = paired_angles(taps, params.maximum_samples, rng, progress)
    progress(0.7, "testing against random directions")
    estimates = _estimates(pairs)
    edges = _edges(pairs, params.bins)
    counts = np.histogram(pairs.degrees, edges)[0].astype(np.float64)
    return Distribution(
        title=f"Angles between {pairs.names[0]} and {pairs.names[1]}",
        reading=_reading(pairs, estimates), caveats=(*_caveats(pairs), *pairs.notes), estimates=estimates, edges=edges,
        counts={"pairs of rows": counts}, value_name="angle (degrees)",
        markers={"median": estimates[0].value, "right angle": RIGHT},
        null=len(pairs.degrees) * np.diff(random_below(edges, pairs.d)),
    )  # fmt: skip


def _edges(pairs: PairedAngles, bins: int) -> np.ndarray:
    """Equal bins about 90 degrees that reach all angles and nearly all of the random ones."""
    reach = max(np.abs(pairs.degrees - RIGHT).max(), RIGHT - float(random_quantile(0.0005, pairs.d)))
    edges = RIGHT + min(reach, RIGHT) * np.linspace(-1, 1, 2 * bins + 1)
    edges[[0, -1]] += np.array([-1, 1]) * np.spacing(2 * RIGHT)  # the outermost angle is inside
    return np.clip(edges, 0.0, 2 * RIGHT)


def _estimates(pairs: PairedAngles) -> tuple[Estimate, ...]:
    degrees, n, d = pairs.degrees, len(pairs.degrees), pairs.d
    common = {"n": n, "d": d, "null_method": RANDOM}
    low, high = median_interval(degrees)
    null_low, null_high = random_median(n, d)
    below = (degrees < RIGHT - ROUNDING).astype(np.float64)
    cosine = np.cos(np.radians(degrees))
    mean, spread = float(cosine.mean()), 1 / np.sqrt(n * d)
    return (
        Estimate("median angle", float(np.median(degrees)), low, high, interval="two of the sorted angles, exact",
                 null=RIGHT, null_low=null_low, null_high=null_high, p_value=rank_test(degrees),
                 estimator="median; p by Wilcoxon's signed ranks about 90 degrees", unit="degrees", **common),
        Estimate("share below 90 degrees", float(below.mean()), **share_interval(below), null=0.5,
                 p_value=sign_test(degrees), estimator="share of pairs; p by their signs", **common),
        Estimate("mean cosine", mean, **mean_interval(cosine, -1.0, 1.0), null=0.0, null_low=-1.96 * spread,
                 null_high=1.96 * spread, p_value=max(float(2 * ndtr(-abs(mean) / spread)), 1e-300),
                 estimator="mean; p normal, from its exact variance 1 / (n d)", **common),
    )  # fmt: skip


def _reading(pairs: PairedAngles, estimates) -> str:
    median, share, _ = estimates
    text = (
        f"The median angle between {pairs.names[0]} and {pairs.names[1]} is {median.value:.4g} degrees "
        f"({median.low:.4g} to {median.high:.4g}); {share.value:.1%} of the pairs are below 90 degrees. "
    )
    if share.p_value >= 0.05:
        return text + f"That is not shown to differ from random directions (p = {share.p_value:.2g})."
    side = "below" if share.value > 0.5 else "above"
    return (
        text + f"More of them lie {side} 90 degrees than random directions would (p = {share.p_value:.2g})."
    )


def _caveats(pairs: PairedAngles) -> list[str]:
    notes = [
        "Intervals and tests take the rows as independent; steps of one run are not, and make them too small.",
        f"Random directions spread {np.degrees(1 / np.sqrt(pairs.d)):.2g} degrees about 90 in {pairs.d:,} dimensions; "
        "directions in fewer spread wider.",
    ]
    right = int((np.abs(pairs.degrees - RIGHT) <= ROUNDING).sum())
    if right:
        notes.append(
            f"{right:,} pair(s) at a right angle take no part in the tests and are not below 90 degrees."
        )
    return notes


def _cost(shapes, params: UpdateAngleParams) -> Cost:
    n, d = min(min(rows for rows, _ in shapes), params.maximum_samples), shapes[0][1]
    moved = 8.0 * d * (30.0 * n + 4.0 * max(rows for rows, _ in shapes))
    return Cost(machine().seconds(moved=moved) + 0.02, 8.0 * n * (8.0 * d + 10))


def _check() -> tuple[CheckLine, ...]:
    """A row and itself: 0 degrees; its negative: 180; turned by 60 degrees in a plane: 60. Random directions: median
    90 and, in three dimensions, angles with cosines spread evenly. Turning all space changes nothing."""
    rng = np.random.default_rng(68)
    x, y = rng.standard_normal((2, 400, 3))
    median = lambda a, b: update_angle(a, b).estimates[0].value  # noqa: E731
    aside = np.cross(x, y)
    aside *= np.linalg.norm(x, axis=1, keepdims=True) / np.linalg.norm(aside, axis=1, keepdims=True)
    turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    random = update_angle(x, y).estimates
    return (
        CheckLine("a row and itself", 0.0, median(x, 5 * x), 1e-6),
        CheckLine("a row and its negative", 180.0, median(x, -x), 1e-6),
        CheckLine("60 degrees", 60.0, median(x, 0.5 * x + np.sqrt(0.75) * aside), 1e-9),
        CheckLine("random directions: median", 90.0, random[0].value, 5.0),
        CheckLine("random directions: p of the signs", 0.01, random[1].p_value, 0.0, "at least"),
        CheckLine("three dimensions: 60 degrees and less with chance 1/4", 0.25, float(random_below(60.0, 3)), 1e-12),
        CheckLine("all turned alike: change of the median", 0.0, median(x @ turn, y @ turn) - random[0].value, 1e-9),
        CheckLine("share below 90, half of the rows turned round", 0.5,
                  update_angle(x, x * np.resize([1.0, -1.0], (400, 1))).estimates[1].value, 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="update_angle", family="similarity", title="Angles between updates and gradients", version=1,
        function=update_angle,
        summary="The angle between each row of one tap and its counterpart in another, against random directions.",
        params=UpdateAngleParams, result=Distribution, check=_check, cost=_cost, inputs=2, minimum_rows=FEWEST,
        invariance="scaling any row by a positive number; one rotation or reflection of both taps; the order of "
        "samples",
        papers=("Counter-Current Learning: A Biologically Plausible Dual Network Approach for Deep Learning",),
    ),
)  # fmt: skip
