"""Centred kernel alignment: are the same pairs of samples alike in two representations? Taps x taps.

CKA(X, Y) = U(X, Y) / sqrt(U(X, X) U(Y, Y)) with U the unbiased HSIC of the linear kernels (`compute.hsic`): 1 when one
is the other up to rotation and scale, 0 on average when they have nothing in common. Taps may be of different networks:
samples are matched by id, tokens are pooled.

Null: samples exchanged between the two sides. Its mean is 0 and its deviation sqrt(2 / (n (n - 3))) exactly, for any
data; a pair counts as alike where even Cantelli's bound on chance passes Benjamini-Hochberg at 5 %. The *biased*
estimate, which most published code computes, is for comparison with such numbers: unrelated representations give it
about p / (n + p), more than 0.9 with ten times as many units as samples, and its band says so.

When it lies: the directions of largest variance rule (a single outlying unit or sample can make or break it; compare
standardised units); it ignores rotations only, so that two networks may hold the same information and differ; a high
value on few classes says that both tell the classes apart, and little else; pooled tokens hide where things are.

Cost: a product O(n p q) for each pair, one pass over each tap; memory O(n Σ d + p q).

References: S. Kornblith et al. (2019), "Similarity of neural network representations revisited"; L. Song et al. (2012)
for the unbiased estimate; G. Székely & M. Rizzo (2014); F. Cantelli (1928); Y. Benjamini & Y. Hochberg (1995).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.cka_reading import LEVEL, cka_caveats, cka_reading, tap_names
from analysis.compute.common_samples import CommonSamples, common_samples
from analysis.compute.correlations import upper
from analysis.compute.hsic import (
    FEWEST,
    Inner,
    alignment,
    groups_of,
    inner,
    jackknife_half,
    null_deviation,
    null_p,
    side_of,
)
from analysis.compute.machine import machine
from analysis.compute.moments import is_varying
from analysis.compute.multiple_testing import benjamini_hochberg
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param


@dataclass(frozen=True)
class CkaParams:
    estimator: str = param(
        "unbiased", "Unbiased is 0 on average without any relation; biased is what most published numbers are.",
        choices=("unbiased", "biased"),
    )  # fmt: skip
    scaling: str = param(
        "as recorded", "Units as they are, or each with deviation 1: then none rules by its size.",
        choices=("as recorded", "standardised"),
    )  # fmt: skip
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(10_000, "Most samples; a seeded random subset above.", low=50, high=200_000)


def cka(*taps, params: CkaParams = CkaParams(), rng=None, progress=no_progress) -> Matrix:
    """CKA of two or more taps.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units), of the same samples (matched by id), any numbers of units.

    Returns
    -------
    Matrix
        `values` (k, k), symmetric, 1 on the diagonal; `significant` beyond chance (false-discovery rate 5 % over
        pairs); `null_band` ± 1.96 exact deviations of unrelated pairs (unbiased), or the range of their exact means
        (biased). Estimates: of two taps their CKA; of more the mean, the highest and the lowest.

    Raises
    ------
    ParameterError, InputError, NotEnoughData, TooLarge
        Fewer than two taps; an id twice; equal samples; fewer than four common samples; over 4 GiB.
    """
    taps = [as_activations(t) for t in taps]
    rng = rng or np.random.default_rng(0)
    data = common_samples(
        taps, rng, maximum=params.maximum_samples, minimum=FEWEST, pooling=params.pooling, progress=progress
    )
    found = _inner_products(data, params, rng, progress)
    k, n, biased = len(taps), len(data.ids), params.estimator == "biased"
    values, without = _aligned(found, k, biased)
    floor = _floors(found, k) if biased else np.zeros((k, k))
    sure = _beyond_chance(_aligned(found, k, False)[0], n)
    names = tap_names([t.name for t in taps])
    estimates = _estimates(values, without, floor, n, data, names, biased)
    return Matrix(
        title=f"CKA of {names[0]} and {names[1]}" if k == 2 else f"CKA of {k} taps",
        reading=cka_reading(values, floor, sure, names, estimates, biased),
        caveats=(*cka_caveats(found, estimates, names, biased, params.scaling), *data.notes),
        estimates=estimates, values=values, row_names=names, column_names=names, value_name="CKA",
        null_band=_band(floor, n, biased), significant=sure, limits=(0.0, 1.0),
    )  # fmt: skip


# ---------------------------------------------------------------------------- numbers
def _inner_products(data: CommonSamples, params: CkaParams, rng, progress) -> dict[tuple[int, int], Inner]:
    group = groups_of(len(data.ids), rng)
    sides = [side_of(_scaled(x, params.scaling), group) for x in data.values]
    pairs = list(combinations_with_replacement(range(len(sides)), 2))
    found = {}
    for i, (a, b) in enumerate(pairs):
        progress(0.3 + 0.7 * i / len(pairs), "comparing taps")
        found[a, b] = inner(sides[a], sides[b])
    return found


def _scaled(x: np.ndarray, scaling: str) -> np.ndarray:
    if scaling != "standardised":
        return x
    mean, spread = x.mean(axis=0), x.std(axis=0)
    varies = is_varying(spread**2, mean)
    return (x - mean)[:, varies] / spread[varies]


def _aligned(found, k: int, biased: bool) -> tuple[np.ndarray, np.ndarray]:
    """CKA (k, k), and (1 + G, k, k) with those without each group of samples."""
    kind = "biased" if biased else "unbiased"
    of = {pair: getattr(i, kind) for pair, i in found.items()}
    both = np.empty((len(of[0, 0]), k, k))
    for a, b in of:
        both[:, a, b] = both[:, b, a] = alignment(of[a, b], of[a, a], of[b, b]) if a != b else 1.0
    return both[0], both


def _floors(found, k: int) -> np.ndarray:
    """(k, k) exact mean of the biased CKA when samples are exchanged; 1 on the diagonal."""
    out = np.ones((k, k))
    for (a, b), i in found.items():
        if a != b:
            scale = np.sqrt(found[a, a].biased[0] * found[b, b].biased[0])
            n = i.n
            out[a, b] = out[b, a] = i.traces / ((n - 1) * scale)
    return out


def _beyond_chance(values: np.ndarray, n: int) -> np.ndarray:
    sure = np.eye(len(values), dtype=bool)
    i, j = np.triu_indices(len(values), 1)
    sure[i, j] = sure[j, i] = benjamini_hochberg(null_p(values[i, j], n)) < LEVEL
    return sure


def _band(floor: np.ndarray, n: int, biased: bool) -> tuple[float, float]:
    if biased:
        return float(upper(floor).min()), float(upper(floor).max())
    half = 1.959964 * null_deviation(n)
    return -half, half


def _estimates(values, without, floor, n: int, data, names, biased: bool) -> tuple[Estimate, ...]:
    i, j = np.triu_indices(len(values), 1)
    half, units = 1.959964 * null_deviation(n), [x.shape[1] for x in data.values]
    how = "biased (V-statistic)" if biased else "unbiased (U-statistic)"

    def estimate(name: str, series: np.ndarray, null: float, d: int, **more) -> Estimate:
        value, reach = float(series[0]), jackknife_half(series)
        ends = {} if reach is None else {
            "low": max(value - reach, -1.0), "high": min(value + reach, 1.0),
            "interval": "jackknife over groups of samples, t",
        }  # fmt: skip
        band = {} if biased else {"null_low": null - half, "null_high": null + half}
        return Estimate(
            name, value, **ends, null=null, **band, n=n, d=d, estimator=f"linear CKA, {how}",
            null_method="samples exchanged, exact mean" + ("" if biased else " and deviation"), **more,
        )  # fmt: skip

    def of_pair(word: str, at: int) -> Estimate:
        a, b = i[at], j[at]
        p = {} if biased else {"p_value": float(null_p(values[a, b], n))}
        name = f"CKA of {names[a]} and {names[b]}"
        return estimate(f"{word}{name}", without[:, a, b], float(floor[a, b]), max(units[a], units[b]), **p)

    if len(values) == 2:
        return (of_pair("", 0),)
    mean = estimate(
        "mean CKA of two taps", without[:, i, j].mean(axis=1), float(floor[i, j].mean()), max(units)
    )
    flat = values[i, j]
    return mean, of_pair("highest: ", int(flat.argmax())), of_pair("lowest: ", int(flat.argmin()))


def _cost(shapes, params: CkaParams) -> Cost:
    m, n = machine(), min(min(rows for rows, _ in shapes), params.maximum_samples)
    d = [min(units, n) for _, units in shapes]
    flops = sum(2.0 * n * p * q for p, q in combinations_with_replacement(d, 2))
    flops += sum(2.0 * n * n * units for _, units in shapes if units > n)
    whole, largest = sum(units for _, units in shapes), max(d)
    moved = 8.0 * n * whole * 12 + len(d) ** 2 * 12 * 8.0 * largest**2
    return Cost(
        m.seconds(flops64=flops, moved=moved) + 0.01, 8.0 * n * (whole + sum(d)) * 2 + 12 * 8.0 * largest**2
    )


def _check() -> tuple[CheckLine, ...]:
    """A rotated, scaled and shifted copy: 1. Unrelated data: 0 unbiased, and the floor p / (n + p) biased. Half of the
    units shared by two representations of independent units: 1/2."""
    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((500, 100)), rng.standard_normal((500, 100))
    q = np.linalg.qr(rng.standard_normal((100, 100)))[0]
    half = np.hstack([x[:, :50], y[:, :50]])

    def value(a, b, **more) -> float:
        return float(cka(ArrayActivations(a), ArrayActivations(b), params=CkaParams(**more)).values[0, 1])

    return (
        CheckLine("rotated, scaled and shifted: CKA", 1.0, value(x, 7 * x @ q - 30), 1e-10),
        CheckLine("unrelated: CKA", 0.0, value(x, y), 4 * null_deviation(500)),
        CheckLine("unrelated: biased CKA is p / (n + p)", 100 / 600, value(x, y, estimator="biased"), 0.01),
        CheckLine("half of the units shared: CKA", 0.5, value(x, half), 0.02),
    )  # fmt: skip


METHODS = (
    Method(
        id="cka", family="similarity", title="CKA (centred kernel alignment)", version=1, function=cka,
        summary="Whether the same pairs of samples are alike in two or more layers or networks.",
        params=CkaParams, result=Matrix, check=_check, cost=_cost, inputs=2, more_inputs=True, minimum_rows=FEWEST,
        invariance="rotating, scaling or shifting either side changes nothing; stretching one direction does",
    ),
)  # fmt: skip
