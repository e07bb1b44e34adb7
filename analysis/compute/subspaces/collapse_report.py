"""The numbers of neural collapse with intervals (jackknife over samples) and chance (classes exchanged)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.linear.cross_fitting import folds_of
from analysis.compute.statistics.nulls import add_one_p, wilson
from analysis.compute.statistics.sample_groups import GROUPS, jackknife_half
from analysis.compute.subspaces.neural_collapse import (
    NAMES,
    class_means,
    collapse,
    nearest_mean,
    self_duality,
)
from analysis.errors import InputError
from analysis.results import Estimate
from analysis.spec import Progress, no_progress

FEWEST = 4  # samples of a class: two are left when one group is out
EXCHANGES = 500  # of the rows of a head between classes
LOGARITHMIC = (0, 1)  # positive and without a bound
SMALLER, LARGER = (0, 1), (2,)  # than by chance, where classes have collapsed
HOW = ("plug-in", "without what sampling adds")


@dataclass(frozen=True)
class Collapse:
    """`values`, `low`, `high` (2, 6): the numbers of `NAMES`, plug-in and corrected; NaN where there is none. `null`
    (draws, 6) of the plug-in numbers; `n`, `d`, `classes`; `nearest` (n,) class of the nearest held-out mean."""

    values: np.ndarray
    low: np.ndarray
    high: np.ndarray
    null: np.ndarray
    nearest: np.ndarray
    n: int
    d: int
    classes: int

    @property
    def resolved(self) -> bool:
        """Whether every class mean differs from their mean by more than sampling makes it."""
        return bool(np.isfinite(self.values[1, 3:]).all())


def measured(
    x: np.ndarray,
    of: np.ndarray,
    classes: int,
    permutations: int,
    rng: np.random.Generator,
    name: str = "the tap",
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> Collapse:
    """Of rows `x` (n, d) of class `of` (n,). Time O((permutations + 21) n d C), memory O(n d).

    Raises InputError where all class means are equal, or nothing varies within classes.
    """
    x = x - x.mean(axis=0)
    scale = float(np.abs(x).max())
    x = x / scale if scale > 0 else x
    values = np.array([collapse(x, of, classes, corrected) for corrected in (False, True)])
    if not np.isfinite(values[0]).all() or values[0, 1] > 1e24:
        raise InputError(
            f"class means of {name} are the same, all or two of them", "classes that differ",
            "Choose another tap or column",
        )  # fmt: skip
    if values[0, 1] < 1e-24:
        raise InputError(
            f"no sample of {name} differs from its class mean beyond rounding",
            "classes that vary",
            "Choose another tap",
        )
    fold, without = folds_of(of, GROUPS, rng), []
    for f in range(GROUPS):
        progress(span[0] + 0.3 * (span[1] - span[0]) * f / GROUPS, "leaving samples out")
        keep = fold != f
        without.append([collapse(x[keep], of[keep], classes, corrected) for corrected in (False, True)])
    low, high = _ends(values, np.array(without))
    null = np.empty((permutations, len(NAMES)))
    for i in range(permutations):
        progress(span[0] + (span[1] - span[0]) * (0.3 + 0.7 * i / permutations), "exchanging classes")
        null[i] = collapse(x, rng.permutation(of), classes)
    return Collapse(values, low, high, null, nearest_mean(x, of, classes, fold), *x.shape, classes)


def _ends(values: np.ndarray, without: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95 % jackknife ends (2, 6) from `without` (groups, 2, 6); of ratios on the logarithm."""
    logs = np.zeros(values.shape[1], bool)
    logs[list(LOGARITHMIC)] = True
    with np.errstate(invalid="ignore", divide="ignore"):
        middle, series = np.where(logs, np.log(values), values), np.where(logs, np.log(without), without)
        half = jackknife_half(series)
        low, high = middle - half, middle + half
        low, high = np.where(logs, np.exp(low), low), np.where(logs, np.exp(high), high)
    low[:, 3:] = np.maximum(low[:, 3:], 0.0)
    high[:, 2] = np.minimum(high[:, 2], 1.0)
    return low, high


def collapse_estimates(found: Collapse) -> list[Estimate]:
    """Each number as it is, beside exchanged classes, and without what sampling adds, where that has a value."""
    made, draws = [], len(found.null)
    common = {"n": found.n, "d": found.d}
    for i, name in enumerate(NAMES):
        chance = found.null[:, i]
        about = {
            "null": float(chance.mean()),
            "null_method": f"classes exchanged, {draws} times: mean, middle 95 %",
        }
        about["null_low"], about["null_high"] = (float(v) for v in np.percentile(chance, [2.5, 97.5]))
        if i in SMALLER + LARGER:
            sign = -1.0 if i in SMALLER else 1.0
            about["p_value"] = float(add_one_p(sign * found.values[0, i], sign * chance))
        made.append(Estimate(name, float(found.values[0, i]), **_interval(found, 0, i), **about, **common,
                             estimator=HOW[0]))  # fmt: skip
    for i, name in enumerate(NAMES):
        if np.isfinite(found.values[1, i]):
            zero = {"null": 0.0, "null_method": "expected for classes without a difference"} if i == 2 else {}
            made.append(Estimate(f"{name}, {HOW[1]}", float(found.values[1, i]), **_interval(found, 1, i), **zero,
                                 **common, estimator="unbiased inner products of class means"))  # fmt: skip
    return made


def _interval(found: Collapse, row: int, i: int) -> dict:
    low, high = float(found.low[row, i]), float(found.high[row, i])
    if not np.isfinite([low, high]).all():
        return {}
    value = float(found.values[row, i])
    return {"low": min(low, value), "high": max(high, value),
            "interval": f"jackknife over {GROUPS} groups of samples, t"}  # fmt: skip


def agreement_estimate(
    name: str, given: np.ndarray, other: np.ndarray, d: int, estimator: str = "nearest class mean, held out"
) -> Estimate:
    """Share of samples at which two answers (n,) are the same; its null is exact: Σ_c p_c q_c under exchange."""
    n, same = len(given), given == other
    kinds, code = np.unique(np.concatenate([given, other]), return_inverse=True)
    p, q = (np.bincount(part, minlength=len(kinds)) / n for part in (code[:n], code[n:]))
    low, high = wilson(float(same.sum()), n)
    value = float(same.mean())
    return Estimate(
        name, value, min(low, value), max(high, value), interval="Wilson", null=float(p @ q), n=n, d=d,
        null_method="answers exchanged between samples: exact mean", estimator=estimator,
    )  # fmt: skip


def duality_estimate(
    x: np.ndarray, of: np.ndarray, head: np.ndarray, rng: np.random.Generator
) -> tuple[Estimate, np.ndarray]:
    """NC3 of rows `x` (n, d) with class `of` (n,) and the head's rows `head` (C, d), and its cosines (C,)."""
    x, classes = x - x.mean(axis=0), len(head)
    means, fold = class_means(x, of, classes).means, folds_of(of, GROUPS, rng)
    apart, cosines = self_duality(means, head)
    chance = np.array([self_duality(means, head[rng.permutation(classes)])[0] for _ in range(EXCHANGES)])
    without = [class_means(x[fold != f], of[fold != f], classes).means for f in range(GROUPS)]
    half = float(jackknife_half(np.array([self_duality(m, head)[0] for m in without])))
    low, high = (float(v) for v in np.percentile(chance, [2.5, 97.5]))
    return Estimate(
        "NC3, distance of class means from the head's rows", apart, max(apart - half, 0.0), min(apart + half, 4.0),
        interval=f"jackknife over {GROUPS} groups of samples, t, the head held fixed", null=float(chance.mean()),
        null_low=low, null_high=high, p_value=float(add_one_p(-apart, -chance)), n=len(x), d=x.shape[1],
        null_method=f"rows of the head exchanged between classes, {EXCHANGES} times",
        estimator="both centred, unit length",
    ), cosines  # fmt: skip
