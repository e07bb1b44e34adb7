"""The direction from one group's mean to another's, made on some samples and judged on others.

Separation d' = (m1 - m0) / sqrt((v1 + v0) / 2) of the projections, on samples that had no part in the direction:
there it is near 0 for groups that mean nothing, while on the same samples it grows with d / n.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv

from analysis.compute.linear.named_axes import NamedAxis
from analysis.compute.rows.cloud import Cloud
from analysis.compute.statistics.nulls import add_one_p
from analysis.errors import InputError, NotEnoughData
from analysis.results import Estimate

FEWEST = 4  # entries of a group in each half


@dataclass(frozen=True)
class Entries:
    """One line per sample and side: `values` (e, d) means of the points, `side` (e,) 1 or -1, `fit` (e,) bool,
    whether the sample belongs to the half that makes the direction."""

    values: np.ndarray
    side: np.ndarray
    fit: np.ndarray


@dataclass(frozen=True)
class PlacedAxis:
    """A named axis with its unit `vector` (d,), the `offset` of its zero, and its groups' entries, if any."""

    axis: NamedAxis
    vector: np.ndarray
    offset: float
    entries: Entries | None


def placed_axes(
    axes: list[NamedAxis], cloud: Cloud, rng: np.random.Generator
) -> tuple[list[PlacedAxis], np.ndarray]:
    """Directions of named axes, and the samples (n_samples,) bool that made the group axes among them: one random
    half, stratified by the groups. Raises as `direction` does."""
    key = np.zeros(cloud.n_samples, dtype=np.int64)
    first = np.searchsorted(cloud.sample, np.arange(cloud.n_samples))
    for axis in axes:
        if axis.side is not None:
            key = 3 * key + axis.side[first]
    fit, placed = halves(key, rng), []
    for axis in axes:
        if axis.side is None:
            placed.append(PlacedAxis(axis, axis.vector, axis.offset, None))
            continue
        found = entries(cloud.x, cloud.sample, axis.side, fit)
        vector, middle = direction(found, axis.groups)
        placed.append(PlacedAxis(axis, vector, float(middle @ vector), found))
    return placed, fit


def halves(keys: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random half (n,) bool of the samples, equally many of each key (n,) to within one."""
    order = np.lexsort((rng.random(len(keys)), keys))
    chosen = np.zeros(len(keys), dtype=bool)
    chosen[order[::2]] = True
    return chosen


def entries(x: np.ndarray, sample: np.ndarray, side: np.ndarray, fit: np.ndarray) -> Entries:
    """Mean of the points of each sample on each side; points on neither side are left out.

    `x` (n, d), `sample` (n,) rising from 0, `side` (n,), `fit` (samples,) bool. Time and memory O(n d).
    """
    here = np.flatnonzero(side)
    key = 2 * sample[here] + (side[here] > 0)
    order = np.argsort(key, kind="stable")
    found, first, counts = np.unique(key[order], return_index=True, return_counts=True)
    if not len(found):
        raise NotEnoughData(
            "no point belongs to either group",
            f"at least {2 * FEWEST} samples in each",
            "Select more samples",
        )
    values = np.add.reduceat(x[here[order]], first, axis=0) / counts[:, None]
    return Entries(values, np.where(found % 2 == 1, 1, -1), fit[found // 2])


def direction(e: Entries, groups: tuple[str, str]) -> tuple[np.ndarray, np.ndarray]:
    """Unit vector (d,) from the second group's mean to the first's, and the point halfway (d,).

    Raises
    ------
    NotEnoughData
        A group has fewer than four samples in either half.
    InputError
        The means are equal.
    """
    for value, name in zip((1, -1), groups, strict=True):
        counts = [int(((e.side == value) & half).sum()) for half in (e.fit, ~e.fit)]
        if min(counts) < FEWEST:
            raise NotEnoughData(
                f"group {name!r} has {sum(counts)} sample(s)",
                f"at least {2 * FEWEST}: half make the axis, half test it",
                "Choose larger groups",
            )
    first, second = (e.values[e.fit & (e.side == s)].mean(axis=0) for s in (1, -1))
    length = np.linalg.norm(first - second)
    if length <= 1e-12 * (np.abs(first).max() + np.abs(second).max()):
        raise InputError(
            f"groups {groups[0]!r} and {groups[1]!r} have the same mean",
            "means that differ",
            "Choose other groups or another tap",
        )
    return (first - second) / length, (first + second) / 2


def separations(e: Entries, sides: np.ndarray) -> np.ndarray:
    """Held-out d' (b,) for each row of `sides` (b, e): direction on the fit half, d' on the other half."""
    fit = e.values[e.fit] - e.values[e.fit].mean(axis=0)
    weights = np.zeros((len(sides), len(fit)))
    for value in (1, -1):
        members = sides[:, e.fit] == value
        weights += value * members / np.maximum(members.sum(axis=1, keepdims=True), 1)
    projected = e.values[~e.fit] @ (weights @ fit).T
    projected -= projected.mean(axis=0)
    mean, variance = [], []
    for value in (1, -1):
        members = (sides[:, ~e.fit] == value).T
        count = np.maximum(members.sum(axis=0), 1)
        m = (projected * members).sum(axis=0) / count
        mean.append(m)
        variance.append((members * (projected - m) ** 2).sum(axis=0) / np.maximum(count - 1, 1))
    spread = np.sqrt((variance[0] + variance[1]) / 2)
    return np.divide(mean[0] - mean[1], spread, out=np.zeros(len(sides)), where=spread > 0)


def separation_estimate(e: Entries, label: str, permutations: int, rng: np.random.Generator) -> Estimate:
    """Held-out d' with a normal interval and the d' of axes made from shuffled group labels."""
    value = float(separations(e, e.side[None])[0])
    shuffled = separations(e, rng.permuted(np.tile(e.side, (permutations, 1)), axis=1))
    n1, n0 = (int(((e.side == s) & ~e.fit).sum()) for s in (1, -1))
    half = 1.959964 * np.sqrt((n1 + n0) / (n1 * n0) + value**2 / (2 * (n1 + n0)))
    low, high = np.percentile(shuffled, [2.5, 97.5])
    return Estimate(
        f"separation along {label}", value, value - half, value + half,
        interval="normal approximation (Hedges and Olkin), axis held fixed", null=float(shuffled.mean()),
        null_low=float(low), null_high=float(high),
        null_method=f"axis from shuffled group labels, {permutations} times",
        p_value=float(add_one_p(value, shuffled)), n=n1 + n0, d=e.values.shape[1],
        estimator="d' on the half of the samples that did not make the axis", unit="standard deviations",
    )  # fmt: skip


def bootstrap_directions(e: Entries, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Directions (draws, d), unit length, from resampled entries of the fit half (within each group)."""
    fit, side = e.values[e.fit], e.side[e.fit]
    weights = np.zeros((draws, len(fit)))
    for value in (1, -1):
        mine = np.flatnonzero(side == value)
        weights[:, mine] = (
            value * rng.multinomial(len(mine), np.full(len(mine), 1 / len(mine)), draws) / len(mine)
        )
    found = weights @ (fit - fit.mean(axis=0))
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-300)


def angle_estimate(first: np.ndarray, second: np.ndarray, draws: list[np.ndarray], n: int) -> Estimate:
    """The angle of two unit vectors (d,) in degrees, with what two random directions of d units make.

    `draws` : two arrays (b or 1, d) of resampled directions; no interval when both hold a single one.
    """
    d = len(first)
    value = float(np.degrees(np.arccos(np.clip(first @ second, -1, 1))))
    cosine = np.clip((draws[0] * draws[1]).sum(axis=1), -1, 1)
    low = high = None
    if len(cosine) > 1:
        low, high = np.percentile(np.degrees(np.arccos(cosine)), [2.5, 97.5])
        low, high = min(float(low), value), max(float(high), value)
    largest = 1.0 if d == 1 else float(np.sqrt(betaincinv(0.5, (d - 1) / 2, 0.95)))  # of |cosine|
    reach = float(np.degrees(np.arcsin(largest)))
    return Estimate(
        "angle between the axes", value, low, high, interval="" if low is None else "bootstrap over samples, "
        "units and components held fixed", null=90.0, null_low=90 - reach, null_high=90 + reach,
        null_method="two random directions (closed form)", n=n, d=d, estimator="arccos", unit="degrees",
    )  # fmt: skip
