"""What moved in one step of a series of subspaces: each unit's and each sample's part in the difference subspace, with
the part without each group of samples (intervals, tests) and that of a random difference."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import betaincinv, stdtr

from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.sample_groups import FEWEST, jackknife_error, jackknife_half
from analysis.compute.subspaces.differences import Difference
from analysis.compute.subspaces.movement import turned
from analysis.compute.subspaces.random_subspaces import random_basis
from analysis.compute.subspaces.series import VELOCITY, Series
from analysis.errors import InputError, ParameterError

LARGEST_DRAWS = 20


@dataclass(frozen=True)
class Step:
    """A step or bend over the `taps` with its `difference`, and those `without` each group of samples."""

    taps: tuple[int, ...]
    difference: Difference
    without: tuple[Difference, ...]


@dataclass(frozen=True)
class Parts:
    """`values` (p,) of units or samples with `low`, `high` (p,); `null`, the mean part of a random difference; `q` (p,)
    that a part is no larger than that, nor than the mean part. `largest`: middle, low and high of the largest part of a
    random difference, and `largest_how`, where the three are from."""

    values: np.ndarray
    low: np.ndarray
    high: np.ndarray
    null: float
    q: np.ndarray
    largest: tuple[float, float, float] = (0.0, 0.0, 0.0)
    largest_how: str = ""

    def against_largest(self) -> dict:
        """The null of the largest part, as an `Estimate` takes it."""
        middle, low, high = self.largest
        return {"null": middle, "null_low": low, "null_high": high, "null_method": self.largest_how}


def chosen_step(series: Series, order: str, measure: str, place: int) -> Step:
    """The step that leads to tap number `place` (from 1), or the bend there; 0: the largest.

    Raises ParameterError where there is none, InputError where nothing moves in it.
    """
    windows = series.windows(order)
    if place:
        run = [w for w in windows if w[1] == place - 1]
        if not run:
            there = ", ".join(str(w[1] + 1) for w in windows)
            why = series.why[place - 1] if place <= len(series.why) else ""
            raise ParameterError(
                f"step = {place}, where nothing is known ({why or 'no such step'})", f"one of {there}"
            )
        windows = run
    found = [(run, turned([series.seen(t, series.axes[t]) for t in run])) for run in windows]
    run, best = max(found, key=lambda f: f[1].movement(measure))
    if not best.moved.any():
        raise InputError(
            f"the subspaces of {' and '.join(series.names[t] for t in run)} are the same", "subspaces that differ",
            "Choose other taps, or another dimension",
        )  # fmt: skip
    return Step(run, best, _without(series, run))


def every_step(series: Series, order: str) -> list[Step]:
    """All steps, or bends, between taps that have a subspace, in the order of the series; some may not move at all."""
    return [
        Step(run, turned([series.seen(t, series.axes[t]) for t in run]), _without(series, run))
        for run in series.windows(order)
    ]


def _without(series: Series, run: tuple[int, ...]) -> tuple[Difference, ...]:
    return tuple(
        turned([series.seen(t, series.without[t][g]) for t in run]) for g in range(len(series.groups))
    )


def step_words(series: Series, step: Step, order: str) -> str:
    names = [series.names[t] for t in step.taps]
    return f"from {names[0]} to {names[1]}" if order == VELOCITY else f"at {names[1]}"


def parts(values: np.ndarray, without: np.ndarray, null: float) -> Parts:
    """Tests each of `values` (p,) against `null`, or their mean where it is larger, by its spread `without` (G, p)
    groups, Student's t."""
    if len(without) < FEWEST:
        raise InputError(f"{len(without)} group(s) of samples", f"at least {FEWEST}", "Record more samples")
    half, error = jackknife_half(without), jackknife_error(without)
    safe = np.maximum(error, 1e-12 * max(float(np.abs(values).max()), 1e-300))
    p = stdtr(len(without) - 1, (max(null, float(values.mean())) - values) / safe)
    return Parts(values, np.maximum(values - half, 0.0), values + half, null, benjamini_hochberg(p))


def coordinate_parts(series: Series, step: Step, measure: str) -> Parts:
    """What each coordinate of the space (a unit, or a sample) adds to the movement; they sum to it."""
    values = step.difference.shares(measure)
    without = np.array([w.shares(measure) for w in step.without])
    found = parts(values, without, float(values.sum()) / series.width)
    largest = largest_coordinate(step.difference.sizes(measure), series.width)
    how = f"largest of random directions, {LARGEST_DRAWS} draws: mean, least, most"
    return replace(found, largest=largest, largest_how=how)


def largest_coordinate(sizes: np.ndarray, width: int) -> tuple[float, float, float]:
    """Mean, least and most of the largest part of a coordinate when a difference of such `sizes` (r,) has random
    directions in `width` dimensions: the largest of many is large by chance. O(draws width r²)."""
    if not len(sizes):
        return 0.0, 0.0, 0.0
    rng = np.random.default_rng([width, len(sizes)])
    tops = [float((random_basis(width, len(sizes), rng) ** 2 @ sizes).max()) for _ in range(LARGEST_DRAWS)]
    return float(np.mean(tops)), min(tops), max(tops)


def largest_share(n: int, r: int, d: int) -> tuple[float, float, float]:
    """Median and 95 % range of the largest of n independent shares of a random r-dimensional subspace of d, each of
    which follows Beta(r / 2, (d - r) / 2). Shares of samples that are alike, or of many tokens, are below."""
    if r == 0 or r >= d:
        return (float(r > 0),) * 3
    return tuple(float(betaincinv(r / 2, (d - r) / 2, level ** (1 / n))) for level in (0.5, 0.025, 0.975))


def energy_parts(series: Series, step: Step) -> Parts:
    """The share of each sample's distance from the mean (squared, over the taps and its tokens) that lies in the
    difference subspace.

    A sample at the mean of every tap has share 0. The null is that of a random subspace: dimension / units.
    """
    centred = [series.values[t] - series.values[t].mean(axis=0) for t in step.taps]
    whole = sum((x * x).sum(axis=1) for x in centred)

    whole = np.bincount(series.sample, whole)

    def shares(d: Difference) -> np.ndarray:
        inside = sum(((x @ d.directions) ** 2).sum(axis=1) for x in centred)
        inside = np.bincount(series.sample, inside)
        return np.divide(inside, whole, out=np.zeros_like(inside), where=whole > 0)

    without = np.array([shares(w) for w in step.without])
    found = parts(shares(step.difference), without, step.difference.directions.shape[1] / series.d)
    largest = largest_share(series.n, step.difference.directions.shape[1], series.d)
    how = "largest of as many independent samples in random directions: median, 95 %"
    return replace(found, high=np.minimum(found.high, 1.0), largest=largest, largest_how=how)
