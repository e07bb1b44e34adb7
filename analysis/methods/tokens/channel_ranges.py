"""Which channels are far larger than the others, what would clipping lose, and does a rotation even it out?

    largest     max over rows |x_c| of each channel c, over the root mean square of all numbers; channels falling
    clipping    Σ (|x| - c)²₊ / Σ x² of numbers held to ±c
    crest       max |x| / RMS of a row: what fixes the step of a quantiser that takes rows one by one
    kurtosis    mean x⁴ / (mean x²)² of a row: 3 of Gaussian numbers, large where a few channels hold most

as the network has its rows, and behind a random rotation, x Q: lengths, products of rows and, with Q folded into the
weights behind, what the network computes stay the same; single channels do not. Told besides: where to clip for least
error at a number of bits, clipping and the Δ² / 12 of the levels inside together.

Interval: Student's t over samples. Null: Gaussian rows with the mean and covariance of these: what channels of unlike
size give without heavy tails.

When it lies: a maximum grows with the number of rows; a channel that is always large is an offset that can be taken off
before rounding, one that is large for few tokens cannot; a clipped number may be the one that matters (attention sinks
live on them); a rotation is free only where the layers around it are linear.

Cost: O(n d²) for the rotation.

References: U. Saxena et al. (2024), "ResQ: mixed-precision quantization of large language models with low-rank
residuals"; C. Gao et al. (2024), "Feature coding in the era of large models".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.arrays import finite_rows
from analysis.compute.machine import machine
from analysis.compute.rows.random_part import random_part
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.compute.streaming import Pass, refuse_few
from analysis.errors import NotEnoughData
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.cache.outliers import (
    by_sample,
    clipped,
    crest,
    error_at,
    gaussian_like,
    kurtosis,
    rotation,
)

FEWEST, PLACES, LISTED = 10, 41, 3  # rows; where it is clipped; channels that are named
CHANNELS, CLIPPING = "largest number of each channel", "what clipping loses"
PLAIN, ROTATED = "as it is", "rotated"
NULL = "Gaussian rows of the same mean and covariance"


@dataclass(frozen=True)
class ChannelRangesParams:
    show: str = param(CHANNELS, "What is drawn.", choices=(CHANNELS, CLIPPING))
    bits: int = param(4, "Bits for which the place to clip is told.", low=1, high=16)
    centred: bool = param(False, "Take the mean of each channel off first.")
    maximum_rows: int = param(4000, "Most rows; a seeded random part above.", low=50, high=200_000)


def channel_ranges(
    activations, params: ChannelRangesParams = ChannelRangesParams(), rng=None, progress=no_progress
) -> Curve:
    """Ranges of channels before and behind a rotation.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Curve
        Largest number by channel, or what is lost over where it is clipped; as it is and rotated. Estimates: crest and
        kurtosis of rows, the best place to clip and its error.

    Raises
    ------
    NotEnoughData
        Fewer than ten finite rows, or rows that are all zero.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    progress(0.0, "reading")
    x, owner, notes = rows_of(tap, params.maximum_rows, rng)
    if params.centred:
        x = x - x.mean(axis=0)
    scale = np.sqrt(np.square(x).mean())
    if not scale > 0:
        raise NotEnoughData(f"{tap.name} is zero everywhere", "rows that differ", "Choose another tap")
    progress(0.3, "rotating")
    turn, like = rotation(x.shape[1], rng), gaussian_like(x / scale, rng)
    sides = {PLAIN: x / scale, ROTATED: x / scale @ turn}
    free = {PLAIN: like, ROTATED: like @ turn}
    progress(0.6, "measuring")
    told = _estimates(sides, free, owner, params.bits)
    progress(1.0, "done")
    return Curve(
        title=f"Ranges of the channels of {tap.name}", reading=_reading(sides, told, tap), estimates=told,
        caveats=(*notes, "Of one random rotation; others of as many channels give nearly the same.",
                 *(["Channels are less their means."] if params.centred else [])),
        **_lines(sides, free, params),
    )  # fmt: skip


def rows_of(tap, maximum: int, rng) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """(finite rows (n, d), the sample (n,) of each, notes). Raises NotEnoughData below ten."""
    rows, notes = random_part(tap.shape[0], maximum, rng, "rows")
    x = np.asarray(tap.take(rows), np.float64)
    good, seen = finite_rows(x), Pass(n_rows=len(x))
    seen.n_nonfinite = int(len(x) - good.sum())
    refuse_few(tap.name, int(good.sum()), FEWEST, "finite row(s)")
    owner = tap.layout.sample_of(rows[good])
    if len(np.unique(owner)) < 2:
        owner, notes = (
            np.arange(len(owner)),
            [*notes, "There is one sample only: its rows are taken as independent."],
        )
    return x[good], owner, [*notes, *seen.notes]


def _lines(sides, free, params) -> dict:
    if params.show == CHANNELS:
        x = np.arange(1.0, sides[PLAIN].shape[1] + 1)
        made = {name: np.sort(np.abs(of).max(axis=0))[::-1] for name, of in sides.items()}
        null = {name: np.sort(np.abs(of).max(axis=0))[::-1] for name, of in free.items()}
        return {"x": x, "series": made, "null": null, "x_name": "channel, the largest first", "log_x": True,
                "y_name": "largest number over RMS"}  # fmt: skip
    at = places(sides)
    return {"x": at, "series": {name: clipped(of, at) for name, of in sides.items()},
            "null": {name: clipped(of, at) for name, of in free.items()}, "log_x": True,
            "x_name": "numbers are held to ± so many RMS", "y_name": "share of Σ x² lost"}  # fmt: skip


def places(sides: dict) -> np.ndarray:
    """Where it is clipped, in root mean squares: from a half to the largest number there is."""
    most = max(float(np.abs(x).max()) for x in sides.values())
    return np.geomspace(0.5, max(most, 0.6), PLACES)


def _estimates(sides, free, owner: np.ndarray, bits: int) -> tuple[Estimate, ...]:
    n, d = len(np.unique(owner)), sides[PLAIN].shape[1]
    found = []
    for what, measure in (("largest over RMS of a row", crest), ("kurtosis of a row", kurtosis)):
        for name, x in sides.items():
            each = by_sample(measure(x), owner)
            found.append(Estimate(f"{what}, {name}", float(each.mean()), **mean_interval(each, 1.0),
                                  null=float(measure(free[name]).mean()), null_method=NULL, n=n, d=d,
                                  estimator="mean over rows, then samples"))  # fmt: skip
    at = places(sides)
    for name, x in sides.items():
        place = at[error_at(x, at, bits).argmin()]
        lost = by_sample(row_errors(x, place, bits), owner)
        best = error_at(free[name], at, bits).min()
        found.append(Estimate(f"error at {bits} bits clipped at {place:.2g} RMS, {name}", float(lost.mean()),
                              **mean_interval(lost, 0.0), null=float(best), null_method=f"{NULL}, clipped at its best",
                              n=n, d=d, estimator="over mean x²; the best place for all rows"))  # fmt: skip
    return tuple(found)


def row_errors(x: np.ndarray, place: float, bits: int) -> np.ndarray:
    """(n,) of each row its mean squared error at b bits between ±`place`, where x has mean square 1."""
    size = np.abs(x)
    step = (2.0 * place / 2.0**bits) ** 2 / 12
    return np.where(size > place, np.square(size - place), step).mean(axis=1)


def _reading(sides, told, tap) -> str:
    crests, tails = told[:2], told[2:4]
    largest = np.abs(sides[PLAIN]).max(axis=0)
    first = np.argsort(-largest, kind="stable")[:LISTED]
    named = ", ".join(f"{tap.unit_names[c]} ({largest[c]:.1f})" for c in first)
    return (
        f"Largest channels, over the RMS of all: {named}. The largest number of a row is {crests[0].value:.1f} times "
        f"its RMS (Gaussian rows: {crests[0].null:.1f}), rotated {crests[1].value:.1f}; kurtosis {tails[0].value:.1f} "
        f"({tails[0].null:.1f}), rotated {tails[1].value:.1f}."
    )


def _cost(shapes, params: ChannelRangesParams) -> Cost:
    (n, d), m = shapes[0], machine()
    rows = min(n, params.maximum_rows)
    return Cost(0.02 + m.seconds(flops64=6.0 * rows * d * d + 30.0 * d**3, moved=8.0 * rows * d * (PLACES * 6 + 30)),
                8.0 * rows * d * 7 + 8.0 * 5 * d * d)  # fmt: skip


def _check() -> tuple[CheckLine, ...]:
    """One channel of 64 holds all: crest √64 and kurtosis 64; rotated it is spread over all of them. Numbers ±1 lose
    (1 - c)² held to ±c, and uniform ones at b bits 2^(-2 b) of their mean square."""
    rng = np.random.default_rng(0)
    x = np.zeros((400, 64))
    x[:, 5] = rng.choice([-1.0, 1.0], 400) * 3
    told = {e.name: e.value for e in channel_ranges(x).estimates}
    even = rng.uniform(-1, 1, (4000, 8))
    return (
        CheckLine("crest of one channel of 64", 8.0, told["largest over RMS of a row, as it is"], 1e-9),
        CheckLine("its kurtosis", 64.0, told["kurtosis of a row, as it is"], 1e-9),
        CheckLine("rotated: crest", 4.5, told["largest over RMS of a row, rotated"], 0.0, "at most"),
        CheckLine("rotated: kurtosis", 3 * 64 / 66, told["kurtosis of a row, rotated"], 1.5),
        CheckLine("±1 held to ±¾: lost", 1 / 16, float(clipped(np.sign(even), np.array([0.75]))[0]), 1e-12),
        CheckLine("uniform at 4 bits, over 2^-8", 1.0, float(error_at(even, np.array([1.0]), 4)[0]) * 256, 0.05),
        CheckLine("a rotation keeps lengths", 0.0, float(np.abs(np.square(even @ rotation(8, rng)).sum(axis=1)
                                                                - np.square(even).sum(axis=1)).max()), 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="channel_ranges", family="tokens", title="Ranges of channels", version=1, function=channel_ranges,
        summary="Channels that are far larger than the others, what clipping loses, and what a rotation evens out.",
        params=ChannelRangesParams, result=Curve, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="one factor of all numbers; the order of rows and channels",
        papers=("ResQ: mixed-precision quantisation with low-rank residuals",
                "Feature Coding in the Era of Large Models: Dataset, Test Conditions, and Benchmark"),
    ),
)  # fmt: skip
