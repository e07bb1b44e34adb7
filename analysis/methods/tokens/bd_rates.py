"""Which of several layers or models takes more bits at the same quality? Bjøntegaard's delta rate, pair by pair.

    BD(A, B) = exp( ∫ ln R_B(q) - ln R_A(q) dq / (q₁ - q₀) ) - 1

over the quality q that both curves have: how much more rate B takes than A, +100 % for twice as much. Rows of each tap
are quantised at steps that halve, by unit or on principal axes, bits are empirical entropies (as in "Bits of a tap at
an error"), and ln R is a piecewise cubic between the points. Quality is signal over noise of the tap, or what the
answer keeps when the coded rows are put back: 1 nat over the mean Kullback-Leibler divergence. Both in dB.

Interval: jackknife over ten groups of the samples that all taps have, the same in all of them, of the mean of ln R.
Null: 0, with the spread of each tap against itself, random halves of its samples (over √2, for all samples), of a pair
the wider.

When it lies: only the common quality counts, which may be a corner of both curves; signal over noise of one layer is
not that of another in what it does to the answer, which is what the second quality is for; bits of a number make wide
layers look cheap: compare bits of a sample there; entropies of few rows are too low at fine steps; a code must be
learned.

Cost: O(rows · units) for each tap and step; with the answer a pass of the network for each step.

References: G. Bjontegaard (2001), "Calculation of average PSNR differences between RD-curves"; C. Gao et al. (2024),
"Feature coding in the era of large models".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.rows.common_samples import shared_positions
from analysis.compute.rows.random_part import random_part
from analysis.compute.rows.tap_names import tap_names
from analysis.errors import InputError
from analysis.features.readers import AUTOMATIC, OPENING, READERS
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.cache.coded_taps import (
    ANSWER,
    AXES,
    FEWEST,
    GROUPS,
    NOISE,
    NUMBER,
    SAMPLE,
    STEPS,
    UNITS,
    coded_tap,
)
from analysis.tokens.cache.rate_pairs import half_ratios, pair_ratios
from analysis.tokens.cache.rates import bjontegaard

LISTED = 12  # pairs with numbers of their own


@dataclass(frozen=True)
class BdRatesParams:
    quality: str = param(NOISE, "Quality at which rates are compared.", choices=(NOISE, ANSWER))
    code: str = param(UNITS, "What is quantised.", choices=(UNITS, AXES))
    rate: str = param(NUMBER, "Rate of one number, or of all numbers of a sample.", choices=(NUMBER, SAMPLE))
    reader: str = param(AUTOMATIC, "What answers.", choices=READERS, late=True)
    draws: int = param(20, "Random halves of the samples, for the null.", low=5, high=500, late=True)
    maximum_samples: int = param(
        200, "Most samples; a seeded random part above.", low=40, high=20_000, late=True
    )
    maximum_rows: int = param(2000, "Most rows of each tap; a seeded random part above.", low=50, high=200_000,
                              late=True)  # fmt: skip


def bd_rates(*taps, params: BdRatesParams = BdRatesParams(), rng=None, progress=no_progress) -> Matrix:
    """BD-rate of every tap over every other.

    Parameters
    ----------
    *taps : two or more Activations or arrays (rows, units)
        Layers, or models, on the same samples.

    Returns
    -------
    Matrix
        `values` (taps, taps) in %: how much more rate the column takes than the row. Estimates: of each pair.

    Raises
    ------
    InputError, NotEnoughData, NotFound
        Two curves without common quality, or of fewer than four points; fewer than 40 rows or ten common samples;
        rows that do not vary; nothing that answers.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    names, (positions, said) = tap_names([t.name for t in taps]), shared_positions(taps, GROUPS)
    some, more = random_part(positions.shape[1], params.maximum_samples, rng)
    group = rng.permutation(len(some)) % GROUPS
    seed, found = int(rng.integers(2**31)), []
    for i, (tap, at) in enumerate(zip(taps, positions[:, some], strict=True)):
        of = np.full(tap.layout.n_samples, -1)
        of[at] = group
        part = lambda f, i=i: progress(0.9 * (i + f) / len(taps), f"coding {names[i]}")  # noqa: E731
        found.append(coded_tap(tap, of, params, np.random.default_rng(seed), part))
    progress(0.9, "comparing curves")
    pairs = pair_ratios(found, names, GROUPS)
    floor = half_ratios(found, names, GROUPS, params.draws, rng)
    progress(1.0, "done")
    return _matrix(names, pairs, floor, found, params, (*said, *more), len(some))


def _matrix(names, pairs, floor, found, params, said, n: int) -> Matrix:
    size, beyond = len(names), np.quantile(np.abs(floor), 0.95, axis=1)
    log, half = np.zeros((size, size)), np.zeros((size, size))
    for (i, j), (value, wide) in pairs.items():
        log[i, j], log[j, i], half[i, j], half[j, i] = value, -value, wide, wide
    band = np.maximum(beyond[:, None], beyond[None])
    values, low, high = (100 * np.expm1(x) for x in (log, log - half, log + half))
    told = []
    for i, j in sorted(pairs, key=lambda p: -abs(pairs[p][0]))[:LISTED]:
        told.append(Estimate(
            f"{names[j]} over {names[i]}", float(values[i, j]), low=float(low[i, j]), high=float(high[i, j]),
            interval="jackknife over groups of samples", null=0.0, null_low=float(100 * np.expm1(-band[i, j])),
            null_high=float(100 * np.expm1(band[i, j])), null_method="a tap against itself, halves of the samples",
            n=n, d=size, unit="%", estimator="BD-rate, piecewise cubic of log rate over quality"))  # fmt: skip
    answered = dict.fromkeys(one.answered for one in found if one.answered)
    left = len(pairs) - len(told)
    return Matrix(
        title=f"BD-rate at equal quality: {params.quality}", values=values, row_names=names, column_names=names,
        value_name="more rate of column over row (%)", diverging=True, low=low, high=high,
        significant=(low > 0) | (high < 0), null=np.zeros_like(values), estimates=tuple(told),
        reading=f"A cell says how much more rate the column takes than the row. {_reading(told[0])}",
        caveats=(*said, *dict.fromkeys(note for one in found for note in one.notes),
                 *(f"The answer is that of {what}." for what in answered),
                 f"Rate is {params.rate}, coded {'on ' if params.code == AXES else ''}{params.code}.",
                 *([f"Numbers are listed of the {LISTED} pairs that differ most; {left} more are in the picture."]
                   if left else [])),
    )  # fmt: skip


def _reading(most: Estimate) -> str:
    more = "more" if most.value > 0 else "less"
    text = f"Most differs {most.name}: {abs(most.value):.2g} % {more} rate at the same quality"
    sure = not most.low <= 0 <= most.high
    return f"{text} [{most.low:+.2g} to {most.high:+.2g} %]{'' if sure else ', which may be chance'}."


def _cost(shapes, params: BdRatesParams) -> Cost:
    m, held, passes, curves = machine(), 1e5, 0, len(shapes) * (GROUPS * len(shapes) + 2 * params.draws)
    seconds = 0.1 + OPENING * len(shapes) * (params.quality == ANSWER) + 2e-3 * curves  # of a cubic
    for n, d in shapes:
        rows = min(n, params.maximum_rows)
        seconds += m.seconds(flops64=len(STEPS[NOISE]) * rows * d * (120.0 + d), moved=8.0 * n * d)
        held += 4.0 * GROUPS * d * 40 * len(STEPS[NOISE]) + 48.0 * d * d
        passes += 2 * len(STEPS[ANSWER]) * min(n, params.maximum_samples) * (params.quality == ANSWER)
    return Cost(seconds, held + max(8.0 * min(n, params.maximum_rows) * d * 6 for n, d in shapes), passes)


def _check() -> tuple[CheckLine, ...]:
    """Twice the rate is +100 %, the same curve 0, there and back 1; every unit twice takes twice the bits of a sample;
    curves without common quality are refused."""
    rate, quality = np.array([0.5, 1.0, 2.0, 3.5, 5.0]), np.array([3.0, 6.0, 12.0, 20.0, 28.0])
    bent = (rate**1.2, quality + np.array([0.0, 1.0, 0.5, 2.0, 1.0]))
    there, back = bjontegaard((rate, quality), bent), bjontegaard(bent, (rate, quality))
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 6)) * np.array([4.0, 2, 1, 1, 1, 1])
    taps = [
        ArrayActivations(v, name=n)
        for v, n in ((x, "once"), (np.hstack([x, x]), "twice"), (3 * x + 1, "scaled"))
    ]
    few = BdRatesParams(rate=SAMPLE, draws=5)
    values = bd_rates(*taps, params=few).values
    try:
        apart = bjontegaard((rate, quality), (rate, quality + 100)) * 0
    except InputError:
        apart = 1.0
    return (
        CheckLine("twice the rate (%)", 100.0, 100 * bjontegaard((rate, quality), (2 * rate, quality)), 1e-9),
        CheckLine("a curve over itself (%)", 0.0, 100 * bjontegaard((rate, quality), (rate, quality)), 1e-9),
        CheckLine("there and back", 1.0, (1 + there) * (1 + back), 1e-9),
        CheckLine("every unit twice: bits of a sample (%)", 100.0, float(values[0, 1]), 1e-6),
        CheckLine("a factor and a constant change nothing (%)", 0.0, float(values[0, 2]), 1e-6),
        CheckLine("no quality in common is refused", 1.0, apart, 0.0),
    )


METHODS = (
    Method(
        id="bd_rates", family="tokens", title="BD-rate between layers and models", version=2, function=bd_rates,
        summary="How much more rate one tap takes than another at the same quality, on average, for every pair.",
        params=BdRatesParams, result=Matrix, check=_check, cost=_cost, inputs=2, more_inputs=True, most_inputs=24,
        matches="samples", minimum_rows=FEWEST,
        invariance="a factor of all units of a tap and a constant of each, by signal over noise",
        papers=("Feature Coding in the Era of Large Models: Dataset, Test Conditions, and Benchmark",),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
