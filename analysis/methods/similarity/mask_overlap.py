"""Are several masks duplicates of each other? Cosine or Dice of the units' maps over places. Units x units.

Each unit of the tap is a mask over the tokens of the samples (or over the samples themselves, where the tap is pooled):

    cosine = Σ a b / sqrt(Σ a² Σ b²),        Dice = 2 Σ a b / (Σ a² + Σ b²)

over all places of all samples, without centring: 1 for identical masks, 0 for disjoint ones. Dice also counts a
difference in size against them; on masks of zeros and ones it is the Dice coefficient of the two sets.

Null: the samples of one mask exchanged, every token kept at its place; its mean is exact, and far above 0 for masks
that are nowhere 0 or that all love the same places. What exceeds it is agreement about the samples. Intervals:
jackknife over groups of samples; with their standard errors Student's t tests each pair against its null, and pairs
count at a false-discovery rate of 5 % (Benjamini-Hochberg).

When it lies: a common level makes all masks alike (the null says how much); masks with values below 0 are no masks, and
the cosine can then be below 0; where samples have different numbers of tokens the null takes tokens by their number.

Cost: O(rows units²); memory O(groups units²).

References: Q. Lan & Q. Tian (2025), "ACAM-KD: Adaptive and cooperative attention masking for knowledge distillation";
L. Dice (1945), "Measures of the amount of ecologic association between species"; F. Milletari et al. (2016) for Dice
with squares.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.rows.shared_places import SharedPlaces, shared_places
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.sample_groups import jackknife_error, sample_groups
from analysis.errors import InputError, TooLarge
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, MOST_UNITS, LEVEL = 4, 1024, 0.05


@dataclass(frozen=True)
class MaskOverlapParams:
    measure: str = param(
        "cosine", "Cosine ignores the size of a mask, Dice counts it.", choices=("cosine", "Dice")
    )
    maximum_samples: int = param(2000, "Most samples; a seeded random subset above.", low=10, high=100_000)


def mask_overlap(
    activations, params: MaskOverlapParams = MaskOverlapParams(), rng=None, progress=no_progress
) -> Matrix:
    """Overlap of each pair of masks.

    Parameters
    ----------
    activations : Activations or array (rows, units): a unit for each mask.

    Returns
    -------
    Matrix
        `values` (k, k), 1 on the diagonal, of the units that are not 0 everywhere; `null`, `low`, `high` of each cell,
        `significant` where it differs from its null. Estimates: mean and largest overlap of two masks.

    Raises
    ------
    InputError, NotEnoughData, TooLarge
        Fewer than two masks that are not 0 everywhere; fewer than four samples; more than 1,024 units.
    """
    tap = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    if tap.shape[1] > MOST_UNITS:
        raise TooLarge(
            f"{tap.name} has {tap.shape[1]:,} units", f"at most {MOST_UNITS:,} masks", "Choose another tap"
        )
    data = shared_places([tap], rng, maximum=params.maximum_samples, minimum=FEWEST, progress=progress)
    x = data.values[0]
    used = np.flatnonzero((x != 0).any(axis=0))
    if len(used) < 2:
        raise InputError(
            f"{len(used)} of {x.shape[1]} masks of {tap.name} are not 0 everywhere", "at least two"
        )
    names = tuple(tap.unit_names[j] for j in used)
    x = x[:, used] / np.abs(x).max()
    progress(0.4, "comparing masks")
    values, null, error, count = _overlaps(
        SharedPlaces((x,), data.sample, data.token, data.positions, None, 0, ()), params, rng
    )
    half = stdtrit(count - 1, 0.975) * error
    low, high = np.maximum(values - half, -1.0), np.minimum(values + half, 1.0)
    off = np.triu_indices(len(used), 1)
    estimates = _estimates(values, null, low, high, off, names, data.n_samples, params)
    beyond, unused = _beyond(values - null, error, count, off), tap.shape[1] - len(used)
    notes = [f"{unused} unit(s) that are 0 everywhere left out."] if unused else []
    if x.min() < 0:
        notes.append(
            f"{(x < 0).mean():.0%} of the values are below 0: these are no masks in the usual sense."
        )
    return Matrix(
        title=f"Overlap of {len(used)} masks of {tap.name}", reading=_reading(estimates, off, values, null, beyond),
        caveats=(*notes, *data.notes), estimates=estimates, values=values, row_names=names, column_names=names,
        value_name=params.measure, null=null, low=low, high=high, significant=beyond,
        limits=(min(0.0, float(values.min())), 1.0),
    )  # fmt: skip


def overlap(products: np.ndarray, measure: str) -> np.ndarray:
    """(…, k, k) overlaps from the sums of products Σ a b (…, k, k) with Σ a² on the diagonal; 0 for empty masks."""
    squares = np.diagonal(products, axis1=-2, axis2=-1)
    a, b = squares[..., :, None], squares[..., None, :]
    whole = np.sqrt(a * b) if measure == "cosine" else (a + b) / 2
    return np.clip(np.divide(products, whole, out=np.zeros_like(products), where=whole > 0), -1.0, 1.0)


def _overlaps(data: SharedPlaces, params, rng) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Overlaps (k, k), their means under exchanges, their standard errors, and of how many groups."""
    x = data.values[0]
    groups = sample_groups(data.n_samples, rng)
    of = np.empty(data.n_samples, np.int64)
    for g, members in enumerate(groups):
        of[members] = g
    parts = np.array([x[of[data.sample] == g].T @ x[of[data.sample] == g] for g in range(len(groups))])
    whole = parts.sum(axis=0)
    order = np.argsort(data.token, kind="stable")
    held = np.bincount(data.token)
    starts = np.cumsum(held) - held
    sums = np.add.reduceat(x[order], starts, axis=0)
    moved = (sums / held[:, None]).T @ sums  # Σ a b with the samples of one exchanged
    np.fill_diagonal(moved, np.diag(whole))
    values, null = overlap(whole, params.measure), overlap(moved, params.measure)
    error = jackknife_error(overlap(whole - parts, params.measure))
    for m, ends in ((values, 1.0), (null, 1.0), (error, 0.0)):
        np.fill_diagonal(m, ends)
    return values, null, error, len(groups)


def _beyond(apart: np.ndarray, error: np.ndarray, groups: int, off) -> np.ndarray:
    """(k, k) bool: which overlaps differ from their null beyond chance; a difference of rounding never does."""
    scale = np.maximum(error[off], 1e-9)
    p = 2 * stdtr(groups - 1, -np.abs(apart[off]) / scale)
    out = np.zeros(apart.shape, bool)
    out[off] = benjamini_hochberg(p) < LEVEL
    return out | out.T


def _estimates(values, null, low, high, off, names, n, params) -> tuple[Estimate, ...]:
    best = int(values[off].argmax())
    i, j = off[0][best], off[1][best]
    common = {"null_method": "samples of one mask exchanged, exact mean", "n": n, "d": len(values),
              "estimator": f"{params.measure} over all places"}  # fmt: skip
    return (
        Estimate("mean overlap of two masks", float(values[off].mean()), null=float(null[off].mean()), **common),
        Estimate(f"largest overlap: {names[i]} and {names[j]}", float(values[i, j]), float(low[i, j]),
                 float(high[i, j]), interval="jackknife over groups of samples", null=float(null[i, j]), **common),
    )  # fmt: skip


def _reading(estimates, off, values, null, beyond) -> str:
    mean, largest = estimates
    beyond = int((beyond & (values > null))[off].sum())
    return (
        f"Two masks overlap by {mean.value:.2f} on average, {mean.null:.2f} by chance. {beyond} of {len(off[0])} "
        "pair(s) overlap more than the masks of different samples do (false-discovery rate 5 %). The "
        f"{largest.name} ({largest.value:.2f}, {largest.null:.2f} by chance)."
    )


def _cost(shapes, params: MaskOverlapParams) -> Cost:
    ((rows, k),) = shapes
    m, n = machine(), min(rows, params.maximum_samples)  # one token a sample is assumed
    return Cost(
        m.seconds(flops64=2.0 * n * k * k * 2, moved=8.0 * (n * k * 12 + k * k * 200)) + 0.01,
        8.0 * (n * k * 5 + 40.0 * k * k),
    )


def _check() -> tuple[CheckLine, ...]:
    """A mask and three times itself: cosine 1, Dice 6/10. Disjoint masks: 0. Independent masks of a quarter and a half
    of the places: cosine sqrt(1/4 · 1/2), as their null. Sets of 2 and 4 places, 2 in common: Dice 2/3."""
    rng = np.random.default_rng(2)
    a, b = (rng.random((40_000, 2)) < [0.25, 0.5]).T.astype(float)
    x = np.column_stack([a, 3 * a, (1 - a) * b, b])
    sets = np.tile([[1.0, 1], [1, 1], [0, 1], [0, 1]], (50, 1))

    def run(x, **more) -> Matrix:
        layout = Layout(np.arange(len(x) // 4 + 1) * 4)
        return mask_overlap(
            ArrayActivations(x, layout=layout), MaskOverlapParams(maximum_samples=100_000, **more)
        )

    one, dice = run(x), run(x, measure="Dice")
    chance = float(np.sqrt(1 / 8))
    return (
        CheckLine("a mask and three times itself: cosine", 1.0, one.values[0, 1], 1e-12),
        CheckLine("the same: Dice", 0.6, dice.values[0, 1], 1e-12),
        CheckLine("disjoint masks: cosine", 0.0, one.values[0, 2], 0.0),
        CheckLine("disjoint masks: Dice", 0.0, dice.values[0, 2], 0.0),
        CheckLine("independent masks: cosine", chance, one.values[0, 3], 0.02),
        CheckLine("their null", chance, one.null[0, 3], 0.02),
        CheckLine("2 places of 4: Dice", 2 / 3, run(sets, measure="Dice").values[0, 1], 1e-12),
    )


METHODS = (
    Method(
        id="mask_overlap", family="similarity", title="Overlap of masks", version=1, function=mask_overlap,
        summary="Which masks, one to a unit, cover the same places, by cosine or Dice.",
        params=MaskOverlapParams, result=Matrix, check=_check, cost=_cost, inputs=1, minimum_rows=FEWEST,
        invariance="the order of places and samples; with the cosine scaling any mask",
        papers=("ACAM-KD: Adaptive and Cooperative Attention Masking for Knowledge Distillation",),
    ),
)  # fmt: skip
