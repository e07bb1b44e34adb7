"""The canonical correlations of two taps one by one: how many directions do they share, and how well?

ρ_1 >= ρ_2 ... are the singular values of Q_XᵀQ_Y, of the directions that hold most of the variance of each tap.
Beside each stands what random subspaces of as many dimensions give in its place. A direction counts as shared when
ρ_i lies beyond 95 % of the largest correlations of random subspaces of p - i + 1 and q - i + 1 of n - i dimensions,
tested one after the other until the first that does not (M. Bartlett 1941; the distribution is drawn, not
approximated). The first few are given on held-out samples as well (`heldout_cca`): five times, directions come from
four fifths of the samples and correlate on the rest.

Null: random subspaces, which is exact where the samples of one side are Gaussian. For units that are active on few
samples it is approximate: trust the held-out correlations, whose null is 0 for any data.

When it lies: the in-sample values are too high, all of them, the more so the more dimensions per sample: p + q - n +
1 are exactly 1 whatever the data where that is positive (refused). The i-th value is a largest of many and has no
direction of its own when its neighbours are close. How many directions count as shared grows with n: a tiny
correlation is one.

Cost: QR factorisations O(n d²), eleven singular value decompositions, O(draws p²) for each direction tested. Memory
O(n (p + q) + 10 (p² + q²)).

References: M. Raghu et al. (2017), "SVCCA"; M. Bartlett (1941), "The statistical significance of canonical
correlations"; A. Edelman & B. Sutton (2008) for the draws.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.similarity.canonical import Side, correlations, cross_products, side_of, span_of
from analysis.compute.similarity.canonical_grid import canonical_flops, refuse_forced
from analysis.compute.similarity.canonical_null import largest_correlations, null_correlations
from analysis.compute.similarity.heldout_canonical import (
    FEWEST,
    FOLDS,
    HeldOut,
    folds_and_groups,
    held_out,
    ridge_sides,
)
from analysis.compute.similarity.similarity_grid import groups_of
from analysis.compute.similarity.similarity_report import jackknife_half
from analysis.compute.statistics.nulls import against
from analysis.results import Estimate, Spectrum
from analysis.spec import CheckLine, Cost, Method, no_progress, param

DRAWS = 199
LEVEL = 0.05


@dataclass(frozen=True)
class CanonicalSpectrumParams:
    variance: float = param(
        0.99, "Share of each side's variance that is kept; 1 keeps all.", low=0.01, high=1.0
    )
    held_out: int = param(5, "How many of the first correlations are also given held out.", low=1, high=50)
    ridge: float = param(
        0.01,
        "Ridge of the held-out fits, in units of the mean variance of the kept directions.",
        low=1e-6,
        high=100.0,
    )
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(10_000, "Most samples; a seeded random subset above.", low=50, high=200_000)


def canonical_spectrum(
    x, y, params: CanonicalSpectrumParams = CanonicalSpectrumParams(), rng=None, progress=no_progress
) -> Spectrum:
    """Canonical correlations of two taps.

    Parameters
    ----------
    x, y : Activations or arrays (rows, units), of the same samples (matched by id), any numbers of units.

    Returns
    -------
    Spectrum
        `values` (min(p, q),) in-sample, falling; `low` and `high` by jackknife; `null` the mean of each place in
        random subspaces. Estimates: how many directions are shared, ρ_1 and mean ρ in-sample, the first held out.

    Raises
    ------
    InputError, NotEnoughData, TooLarge
        An id twice; nothing varies; fewer than 30 common samples, or than p + q + 1; over 4 GiB.
    """
    taps, rng = [as_activations(x), as_activations(y)], rng or np.random.default_rng(0)
    names = [t.name for t in taps]
    data = common_samples(
        taps, rng, maximum=params.maximum_samples, minimum=FEWEST, pooling=params.pooling, progress=progress
    )
    n, variance = len(data.ids), None if params.variance >= 1 else params.variance
    group = groups_of(n, rng)
    spans = [span_of(v, name, variance=variance) for v, name in zip(data.values, names, strict=True)]
    progress(0.4, "finding directions")
    sides = [side_of(s, group) for s in spans]
    refuse_forced(sides, n)
    series = _series(*sides)
    progress(0.6, "drawing random subspaces")
    null = null_correlations(sides[0].rank, sides[1].rank, n, DRAWS, rng)
    shared, p_values = _shared(series[0], sides, n, rng)
    progress(0.8, "holding samples out")
    fold, groups = folds_and_groups(n, rng)
    apart = ridge_sides(data.values, names, fold, ridge=params.ridge, variance=variance)
    crossed = held_out(*apart, min(params.held_out, len(series[0])), groups)
    half = jackknife_half(series)
    values = series[0]
    known = np.isfinite(half).all()
    short = tap_names(names)
    return Spectrum(
        title=f"Canonical correlations of {short[0]} and {short[1]}",
        reading=_reading(short, values, null, shared, crossed), caveats=(*_notes(short, sides), *data.notes),
        estimates=_estimates(values, half, null, shared, p_values, crossed, sides, n), values=values,
        value_name="canonical correlation", null=null.mean(axis=0), log=False,
        low=np.clip(values - half, 0.0, 1.0) if known else None,
        high=np.clip(values + half, 0.0, 1.0) if known else None,
    )  # fmt: skip


def _series(a: Side, b: Side) -> np.ndarray:
    """ρ (1 + G, k) of all samples, then without each group; NaN where a group leaves fewer."""
    whole, rest = cross_products(a, b)
    values = [correlations(whole)]
    for cross in rest:
        found = correlations(cross) if min(cross.shape) else np.empty(0)
        values.append(found if len(found) == len(values[0]) else np.full(len(values[0]), np.nan))
    return np.array(values)


def _shared(rho: np.ndarray, sides, n: int, rng) -> tuple[int, list[float]]:
    """How many correlations in a row lie beyond chance, and the p-values up to the first that does not."""
    p, q = (s.rank for s in sides)
    found: list[float] = []
    for i, value in enumerate(rho):
        largest = largest_correlations(p - i, q - i, n - i, DRAWS, rng)
        found.append(float(against(float(value), largest)["p_value"]))
        if found[-1] > LEVEL:
            return i, found
    return len(rho), found


def _estimates(values, half, null, shared, p_values, crossed: HeldOut, sides, n) -> tuple[Estimate, ...]:
    d = max(s.rank for s in sides)
    common = {"n": n, "d": d}
    by = f"random subspaces of as many dimensions, {DRAWS} draws"

    def ends(value: float, reach: float, floor: float, how: str) -> dict:
        if not np.isfinite(reach):
            return {}
        return {
            "low": max(float(value - reach), floor),
            "high": min(float(value + reach), 1.0),
            "interval": how,
        }

    made = "jackknife over groups of samples, t"
    found = [
        Estimate("shared directions beyond chance", float(shared), null=0.0, p_value=p_values[0],
                 null_method=f"unrelated data: 0 in {1 - LEVEL:.0%} of cases", **common,
                 estimator=f"sequential test of the largest remaining correlation, level {LEVEL:g}"),
        Estimate("ρ 1 in-sample", float(values[0]), **ends(float(values[0]), half[0], 0.0, made),
                 **against(float(values[0]), null[:, 0]), null_method=by, estimator="singular value of QᵀQ", **common),
        Estimate("mean ρ in-sample", float(values.mean()), null=float(null.mean()), null_method=by,
                 estimator="mean singular value of QᵀQ", **common),
    ]  # fmt: skip
    reach = np.broadcast_to(jackknife_half(crossed.series), crossed.series[0].shape)
    how = f"ρ of held-out samples, {FOLDS} folds"
    for i, value in enumerate(crossed.series[0]):
        band = 1.959964 * float(crossed.deviations[i])
        found.append(
            Estimate(f"ρ {i + 1} held out", float(value), null=0.0, null_low=-band, null_high=band, estimator=how,
                     null_method="samples exchanged, exact mean; deviation at most that of one fold", **common,
                     **ends(float(value), reach[i], -1.0, "jackknife over held-out samples, directions fixed"))
        )  # fmt: skip
    return tuple(found)


def _reading(names, values, null, shared: int, crossed: HeldOut) -> str:
    count = {0: "no direction", 1: "one direction"}.get(shared, f"{shared} directions")
    return (
        f"{names[0]} and {names[1]} share {count} beyond chance, of {len(values)}. The first correlates "
        f"{values[0]:.2f} in-sample (random subspaces: {null[:, 0].mean():.2f}), and {crossed.series[0, 0]:.2f} on "
        "samples that had no part in finding it."
    )


def _notes(names, sides) -> list[str]:
    notes = [
        f"Kept dimensions: {names[0]} {sides[0].rank} ({sides[0].span.share:.1%} of the variance), {names[1]} "
        f"{sides[1].rank} ({sides[1].span.share:.1%}).",
        "The line is in-sample, and too high in every place: the held-out values are among the estimates.",
    ]
    for name, side in zip(names, sides, strict=True):
        if side.span.constant:
            notes.append(
                f"{name}: {side.span.constant} of {side.span.units} units are constant and left out."
            )
    n, d = sides[0].n, max(s.rank for s in sides)
    if n < 10 * d:
        notes.append(f"{n:,} samples are few for {d} dimensions: the null line is high.")
    return notes


def _cost(shapes, params: CanonicalSpectrumParams) -> Cost:
    n = min(min(rows for rows, _ in shapes), params.maximum_samples)
    sides = [(units, min(units, n - 1)) for _, units in shapes]
    flops, held = canonical_flops(sides, n, decomposed=True)
    small = min(r for _, r in sides)
    return Cost(machine().seconds(flops64=2 * flops, moved=20 * held, calls=small**2) + 0.05, 1.8 * held)


def _check() -> tuple[CheckLine, ...]:
    """Three correlations planted in an invertible mixture of twelve units a side: how many and how large, in-sample
    and held out. Unrelated data: none shared, and the floors."""
    rng = np.random.default_rng(10)
    rho = [0.95, 0.7, 0.4]
    z, e = rng.standard_normal((2, 3000, 3))
    rest = rng.standard_normal((2, 3000, 9))
    x, y = np.hstack([z, rest[0]]), np.hstack([z * rho + e * np.sqrt(1 - np.square(rho)), rest[1]])
    all_of = CanonicalSpectrumParams(variance=1.0, ridge=1e-4, held_out=3)

    def found(a, b) -> Spectrum:
        return canonical_spectrum(ArrayActivations(a), ArrayActivations(b), params=all_of)

    planted = found(x @ rng.standard_normal((12, 12)), y @ rng.standard_normal((12, 12)))
    nothing = found(*rng.standard_normal((2, 300, 50)))
    held = [e.value for e in planted.estimates if e.name.endswith("held out")]
    first = planted.values[:3]
    return (
        CheckLine("planted correlations found", 3.0, planted.estimates[0].value, 0.0),
        *(CheckLine(f"planted ρ of {r}, in-sample", r, float(v), 0.05) for r, v in zip(rho, first, strict=True)),
        *(CheckLine(f"planted ρ of {r}, held out", r, v, 0.05) for r, v in zip(rho, held, strict=True)),
        CheckLine("unrelated, 50 units, n = 300: mean ρ", 0.35, float(nothing.values.mean()), 0.02),
        CheckLine("the null says the same", float(nothing.null.mean()), float(nothing.values.mean()), 0.02),
        CheckLine("and none is shared", 0.0, nothing.estimates[0].value, 0.0),
    )  # fmt: skip


METHODS = (
    Method(
        id="canonical_spectrum", family="similarity", title="Canonical correlations, one by one", version=1,
        function=canonical_spectrum, params=CanonicalSpectrumParams, result=Spectrum, check=_check, cost=_cost,
        summary="How many directions two layers or networks share, and how closely, beside what chance gives.",
        inputs=2, minimum_rows=FEWEST, papers=("SVCCA",),
        invariance="rotating, scaling or shifting either side changes nothing, nor does any invertible map when all of "
        "the variance is kept",
    ),
)  # fmt: skip
