"""How many bits do the rows of a tap take at an error? A quantiser with an entropy code, against the Gaussian bound.

Rows (tokens, or samples) are quantised at one step Δ for all numbers, and the whole numbers are coded: bits of a number
are the empirical entropy of the numbers of each unit, mean over units,

    by unit            in the tap's own coordinates
    principal axes     after a rotation onto them, fitted on the other half of the samples
    Gaussian bound     R(D) = Σ_i max(0, ½ log2(λ_i / θ)) with Σ_i min(θ, λ_i) = D, λ eigenvalues of the covariance

BD-rate is how much more rate principal axes take than units at the same signal over noise, on average. Quality is
10 log10 of variance over mean squared error; the step goes down in halves.

Interval: Student's over halves of the samples drawn anew, each fitted on the other half. Null: every unit shuffled by
itself, which leaves nothing that units share.

When it lies: entropies of few rows are too low at fine steps (a code for them must be learned, too): steps stop where
there are more values than a tenth of the rows; the bound is one for Gaussian rows, and others can do better; error of a
tap is not error of the answer; halves drawn anew share samples, so that intervals are too narrow.

Cost: O(rows · units) for each step and draw, and one rotation.

References: C. Gao et al. (2024), "Feature coding in the era of large models"; G. Bjontegaard (2001); T. Cover & J.
Thomas (2006), Elements of information theory, 10.3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.arrays import finite_rows
from analysis.compute.machine import machine
from analysis.compute.rows.random_part import random_part
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.compute.streaming import Pass, refuse_few
from analysis.errors import NotEnoughData
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.cache.quantisers import DECIBEL
from analysis.tokens.cache.rates import bd_rate, entropy, least_bits

FEWEST, STEPS = 20, 2.0 ** np.arange(1, -6, -1)  # rows; steps in standard deviations of all numbers
UNITS, AXES, BOUND = "by unit", "principal axes", "Gaussian bound"


@dataclass(frozen=True)
class RateDistortionParams:
    draws: int = param(4, "Times that samples are halved anew, for intervals.", low=2, high=50)
    maximum_rows: int = param(2000, "Most rows; a seeded random part above.", low=50, high=200_000)


def rate_distortion(
    activations, params: RateDistortionParams = RateDistortionParams(), rng=None, progress=no_progress
) -> Curve:
    """Signal over noise against bits of a number.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Curve
        x = signal over noise (dB), a line of bits for units, principal axes and the bound, with bands. Estimates:
        BD-rate of principal axes over units, and bits above the bound.

    Raises
    ------
    NotEnoughData
        Fewer than 20 finite rows, or rows that do not vary.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    progress(0.0, "reading")
    x, owner, notes = _read(tap, params, rng)
    found, chance = [], []
    for k in range(params.draws):
        progress(0.1 + 0.9 * k / params.draws, "quantising")
        half = rng.permutation(np.unique(owner))[::2]
        fit = np.isin(owner, half)
        if fit.all() or not fit.any():
            raise NotEnoughData(f"{tap.name} has one sample", "two or more", "Record more samples")
        for a in (fit, ~fit):
            found.append(_curves(x[a], x[~a]))
            mixed = rng.permuted(x, axis=0)
            chance.append(_curves(mixed[a], mixed[~a]))
    progress(1.0, "done")
    return _curve(tap, x, found, chance, notes)


def _read(tap, params, rng) -> tuple[np.ndarray, np.ndarray, list[str]]:
    rows, notes = random_part(tap.shape[0], params.maximum_rows, rng, "rows")
    x = np.asarray(tap.take(rows), np.float64)
    good, seen = finite_rows(x), Pass(n_rows=len(x))
    seen.n_nonfinite = int(len(x) - good.sum())
    refuse_few(tap.name, int(good.sum()), FEWEST, "finite row(s)")
    x, owner = x[good], tap.layout.sample_of(rows[good])
    if len(np.unique(owner)) < 2:
        owner = np.arange(len(x))
        notes = [*notes, "There is one sample only: its rows are taken as independent."]
    x = x - x.mean(axis=0)
    if not x.any():
        raise NotEnoughData(f"{tap.name} does not vary", "rows that differ", "Choose another tap")
    return x, owner, [*notes, *seen.notes]


def _curves(fit: np.ndarray, x: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """(bits, decibels) by way, rising in quality; steps where the values would be too many to count are left out."""
    variance = float(np.square(x).mean()) or 1.0
    axes = np.linalg.eigh(fit.T @ fit / len(fit))[1]
    out = {}
    for way, y in ((UNITS, x), (AXES, x @ axes)):
        rate, quality = [], []
        for step in STEPS * np.sqrt(variance):
            codes = np.round(y / step)
            error = float(np.square(codes * step - y).mean())
            if not 0 < error < variance or (rate and np.ptp(codes, axis=0).mean() > len(x) / 10):
                continue
            rate.append(float(np.mean([entropy(c) for c in codes.T])))
            quality.append(10 * np.log10(variance / error))
        out[way] = np.array(rate), np.array(quality)
    values = np.maximum(np.linalg.eigvalsh(x.T @ x / len(x)), 0)
    at = out[UNITS][1]
    least = [least_bits(values, x.shape[1] * variance * 10 ** (-q / 10)) / x.shape[1] for q in at]
    out[BOUND] = np.array(least), at
    return out


def _curve(tap, x, found, chance, notes) -> Curve:
    ends = [(c[w][1].min(), c[w][1].max()) for c in found for w in (UNITS, AXES) if len(c[w][1])]
    if not ends or max(a for a, _ in ends) >= min(b for _, b in ends):
        raise NotEnoughData(
            f"the {len(x)} rows of {tap.name} allow too few steps",
            "rows enough to count values",
            "Record more samples",
        )
    at = np.linspace(max(a for a, _ in ends), min(b for _, b in ends), 9)
    lines = {w: np.array([np.interp(at, c[w][1], c[w][0]) for c in found]) for w in (UNITS, AXES, BOUND)}
    bands = {w: [mean_interval(v[:, j]) for j in range(len(at))] for w, v in lines.items()}
    flat = np.array([np.interp(at, c[AXES][1], c[AXES][0]) for c in chance]).mean(axis=0)
    told = _estimates(found, chance, lines, at, x)
    bd, above = told
    return Curve(
        title=f"Bits of {tap.name} at an error", x=at, x_name="signal over noise (dB)", y_name="bits of a number",
        series={w: v.mean(axis=0) for w, v in lines.items()}, null={AXES: flat}, controls=(BOUND,),
        low={w: np.array([e["low"] for e in b]) for w, b in bands.items()},
        high={w: np.array([e["high"] for e in b]) for w, b in bands.items()}, estimates=told,
        reading=(
            f"Coded on principal axes the rows take {abs(bd.value):.0%} {'less' if bd.value < 0 else 'more'} rate than "
            f"by unit at the same error, and {above.value:.2f} bits a number more than the Gaussian bound."
        ),
        caveats=(*notes, *_caveats(x)),
    )  # fmt: skip


def _estimates(found, chance, lines, at, x) -> tuple[Estimate, ...]:
    def rates(of):
        each = np.array(
            [bd_rate(*c[UNITS], *c[AXES]) for c in of if min(len(c[UNITS][0]), len(c[AXES][0])) > 1]
        )
        return each[np.isfinite(each)]

    bd, null = rates(found), rates(chance)
    above = (lines[AXES] - lines[BOUND]).mean(axis=1)
    n, d = x.shape
    if not len(bd) or not len(null):
        raise NotEnoughData(
            f"{n} rows of {d} units with no common quality", "more rows", "Record more samples"
        )
    kind = {"interval": "Student's t over halves of the samples"}
    return (
        Estimate("BD-rate of principal axes over units", float(bd.mean()), **{**mean_interval(bd, -1.0), **kind},
                 null=float(null.mean()), null_method="every unit shuffled by itself", n=n, d=d, unit="share of rate",
                 estimator="linear between points in log rate"),
        Estimate("bits above the Gaussian bound", float(above.mean()), **{**mean_interval(above), **kind},
                 null=0.5 * float(np.log2(2 * np.pi * np.e / 12)), n=n, d=d, unit="bits",
                 null_method="a uniform quantiser of Gaussian numbers at fine steps: ½ log2(2πe / 12)",
                 estimator=f"mean over {at[0]:.0f} to {at[-1]:.0f} dB"),
    )  # fmt: skip


def _caveats(x) -> list[str]:
    said = [f"A bit less is {DECIBEL:.2f} dB at fine steps; entropies are of {len(x):,} rows, and low for rare values.",
            "What the network's answer loses is asked by coding the tap and putting it back."]  # fmt: skip
    constant = int((x.var(axis=0) == 0).sum())
    return [*said, f"{constant} constant unit(s) take no bits."] if constant else said


def _cost(shapes, params: RateDistortionParams) -> Cost:
    (n, d), m = shapes[0], machine()
    rows = min(n, params.maximum_rows)
    work = params.draws * 4.0 * rows * d
    return Cost(
        0.05 + m.seconds(flops64=work * (60 * len(STEPS) + d), moved=8.0 * n * d),
        8.0 * rows * d * 5 + 24.0 * d * d,
    )


def _check() -> tuple[CheckLine, ...]:
    """Gaussian rows of known variances, rotated: on principal axes a uniform quantiser is 0.25 bits above the bound,
    and needs less rate than unit by unit; a curve has BD-rate 0 with itself."""
    rng = np.random.default_rng(0)
    values = np.repeat([16.0, 1.0], 4)
    turn = np.linalg.qr(rng.standard_normal((8, 8)))[0]
    x = (rng.standard_normal((2000, 8)) * np.sqrt(values)) @ turn
    found = rate_distortion(ArrayActivations(x, name="planted"), RateDistortionParams(draws=2))
    rate, quality = np.array([1.0, 2.0, 3.5]), np.array([6.0, 12.0, 18.0])
    there, back = (
        bd_rate(rate, quality, rate * 1.3, quality + 1),
        bd_rate(rate * 1.3, quality + 1, rate, quality),
    )
    return (
        CheckLine("BD-rate of principal axes", -0.05, found.estimates[0].value, 0.0, "at most"),
        CheckLine("BD-rate with itself", 0.0, bd_rate(rate, quality, rate, quality), 1e-12),
        CheckLine("there and back", 1.0, (1 + there) * (1 + back), 1e-12),
        CheckLine("bits of 16 and 1 at error ¼ each", 2.0, least_bits(values, 2.0) / 8, 1e-12),
        CheckLine("bits above the bound", 0.25, found.estimates[1].value, 0.1),
    )


METHODS = (
    Method(
        id="rate_distortion", family="tokens", title="Bits of a tap at an error", version=2, function=rate_distortion,
        summary="Bits that quantised rows take, by unit and on principal axes, against the Gaussian bound.",
        params=RateDistortionParams, result=Curve, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="a factor of all units and a constant of each; of principal axes and the bound also a rotation",
        papers=("Feature Coding in the Era of Large Models: Dataset, Test Conditions, and Benchmark",),
    ),
)  # fmt: skip
