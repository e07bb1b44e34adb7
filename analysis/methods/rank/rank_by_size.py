"""Rank by sample size: a rank number on nested random subsets of the samples, to see whether it has stopped growing.

The samples are put in a random order once; the subsets are its first n, for n halved again and again. A curve for each
tap, all with the same numbers of samples, and the same samples where the taps share them.

Null: at each n, independent Gaussian units of the same variances. Where curve and null rise alike, the number is still
that of the sample's size. An isotropic source of 256 dimensions has RankMe 118 at n = 128, 206 at 256, 237 at 512, 252
at 2,048 and 255 at 8,192. Interval: jackknife over groups of samples, for each n by itself.

When it lies: a curve that is flat at the end says that more samples of *these* would add nothing, not that other data
would; subsets are nested, so that neighbouring points err together; tokens of one sample are no new samples.

Cost: of a tap about twice that of all samples, O(n d min(n, d)), and the null of each n, O(d³) a draw. Memory O(d²).

Reference: Q. Garrido et al. (2023), "RankMe", on its convergence with the number of samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.linear.tap_spectrum import tap_spectrum
from analysis.compute.machine import machine
from analysis.compute.rows.some_samples import MEAN, TOKENS, equal_samples
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.statistics.nulls import null_draws
from analysis.compute.subspaces.rank_notions import (
    BY_NAME,
    NAMES,
    RANKME,
    Ranked,
    null_spectra,
    ranked,
)
from analysis.compute.subspaces.rank_report import NEITHER, estimate, notion_note, shared_caveats
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, SMALLEST = 8, 8
SETTLED = 0.02  # relative rise over the last doubling
SHOWN = 4  # taps named in the reading


@dataclass(frozen=True)
class RankBySizeParams:
    notion: str = param(RANKME, "Which number, as the rank dossier defines them.", choices=NAMES)
    tokens: str = param(MEAN, "What a row is, where the taps have tokens.", choices=TOKENS)
    sizes: int = param(8, "Most sizes: all samples, half of them, a quarter, and so on.", low=2, high=20)
    maximum_samples: int = param(
        20_000, "Most samples; a seeded random subset above.", low=16, high=10_000_000
    )
    draws: int | None = param(None, "Null spectra at each size; automatic: 3 to 20.", low=3, high=500)


def rank_by_size(
    *taps, params: RankBySizeParams = RankBySizeParams(), rng=None, progress=no_progress
) -> Curve:
    """A rank number over the number of samples.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units), one or more.

    Returns
    -------
    Curve
        `x` numbers of samples, rising; a series for each tap with interval and null.

    Raises
    ------
    NotEnoughData, InputError, TooLarge
        A tap with fewer than eight samples or finite rows; nothing varies; rows and units both above 8,192.
    """
    taps = [as_activations(t) for t in taps]
    rng = rng or np.random.default_rng(0)
    seed = int(rng.integers(2**32))
    equal = equal_samples(taps, params.maximum_samples, FEWEST, rng)
    order = rng.permutation(len(equal.positions[0]))
    sizes = _sizes(len(order), params.sizes)
    names, found, last = tap_names([t.name for t in taps]), [], []
    for i, (tap, at) in enumerate(zip(taps, equal.positions, strict=True)):
        line = []
        for k, n in enumerate(sizes):
            step = 1.0 / len(taps)
            ends = (i + sizes[:k].sum() / sizes.sum()) * step, (i + sizes[: k + 1].sum() / sizes.sum()) * step
            whole = n == tap.layout.n_samples
            spectrum = tap_spectrum(tap, None if whole else at[order[:n]], params.tokens, progress, ends)
            null = null_spectra(spectrum, seed, params.draws or min(null_draws(spectrum.d), 20))
            line += ranked(spectrum, null, (params.notion,))
        found.append(line)
        last.append(spectrum)
    return _curve(names, sizes, found, last, params, equal.notes)


def _sizes(n: int, most: int) -> np.ndarray:
    """n, n / 2, n / 4 …, rising, none below eight."""
    sizes = [n >> k for k in range(most) if n >> k >= SMALLEST or k == 0]
    return np.array(sizes[::-1])


def _curve(names, sizes, found: list[list[Ranked]], last, params, notes) -> Curve:
    notion = BY_NAME[params.notion]
    series = {name: np.array([one.value for one in line]) for name, line in zip(names, found, strict=True)}
    null = {name: np.array([one.null_mean for one in line]) for name, line in zip(names, found, strict=True)}
    band = {
        name: line
        for name, line in zip(names, found, strict=True)
        if all(one.low is not None for one in line)
    }
    return Curve(
        title=f"{notion.name} by number of samples", reading=_reading(names, sizes, found, notion),
        caveats=(
            *notes, notion_note(notion), NEITHER,
            "Compare taps at one n of this curve; where it still rises, at no other.", *shared_caveats(*last),
        ),
        estimates=tuple(_estimates(names, found, last)), x=sizes.astype(np.float64), x_name="samples",
        y_name=f"{notion.name} ({notion.unit})", series=series,
        low={name: np.array([one.low for one in line]) for name, line in band.items()},
        high={name: np.array([one.high for one in line]) for name, line in band.items()}, null=null, log_x=True,
    )  # fmt: skip


def _rise(line: list[Ranked]) -> tuple[float, float]:
    """Relative rise over the last doubling, of the number and of its null."""
    before, after = line[-2:] if len(line) > 1 else (line[-1], line[-1])
    rise = after.value / before.value - 1 if before.value > 0 else 0.0
    chance = after.null_mean / before.null_mean - 1 if before.null_mean > 0 else 0.0
    return rise, chance


def _estimates(names, found, last) -> list[Estimate]:
    made = []
    for name, line, spectrum in zip(names, found, last, strict=True):
        made.append(
            estimate(line[-1], spectrum, f"{line[-1].notion.name} of {name} at all {spectrum.n:,} rows")
        )
        rise, chance = _rise(line)
        made.append(
            Estimate(f"relative rise of {name} over the last doubling of samples", rise, null=chance, n=spectrum.n,
                     d=spectrum.d, null_method="the same of independent Gaussian units", estimator="after / before - 1")
        )  # fmt: skip
    return made


def _state(rise: float) -> str:
    return "has settled" if abs(rise) < SETTLED else "still grows with n" if rise > 0 else "falls with n"


def _reading(names, sizes, found, notion) -> str:
    said = []
    if len(names) == 1:
        line = found[0]
        rise, chance = _rise(line)
        said.append(
            f"{notion.name} goes from {line[0].value:.3g} at {sizes[0]:,} samples to {line[-1].value:.3g} at "
            f"{sizes[-1]:,} and {_state(rise)} ({rise:+.1%} over the last doubling; unrelated units {chance:+.1%})."
        )
    else:
        states, parts = [_state(_rise(line)[0]) for line in found], []
        for state in dict.fromkeys(states):
            of = [
                f"{name} ({_rise(line)[0]:+.1%})"
                for name, line, its in zip(names, found, states, strict=True) if its == state
            ]  # fmt: skip
            more = f" and {len(of) - SHOWN} more" if len(of) > SHOWN else ""
            parts.append(f"{state} in {', '.join(of[:SHOWN])}{more}")
        said.append(f"Over the last doubling, to {sizes[-1]:,} samples, {notion.name} {'; it '.join(parts)}.")
        falling = np.argsort([-line[-1].value for line in found], kind="stable")
        same = all(
            np.array_equal(np.argsort([-line[k].value for line in found], kind="stable"), falling)
            for k in range(len(sizes))
        )
        said.append(
            f"At equal n the order of the taps is {'the same at every size' if same else 'not the same at every size'}."
        )
    said.append(
        "An isotropic source of 256 dimensions would have a RankMe of 118 at n = 128 and 255 at n = 8,192."
    )
    return " ".join(said)


def _cost(shapes, params: RankBySizeParams) -> Cost:
    m, seconds, held = machine(), 0.05, 0.0
    for rows, d in shapes:
        n = min(rows, params.maximum_samples)
        side, draws = min(n, d), params.draws or min(null_draws(d), 20)
        flops = 12.0 * n * d * side + params.sizes * (15.0 * side**3 + 12.0 * draws * d**3)
        seconds += m.seconds(flops64=flops, moved=n * d * 200.0)
        chunk = min(n, 4096)
        more = n * d * 8 * 2.5 if n < d else chunk * (d * 8 * 5 + 800)
        held = max(held, more + 6.0 * side**2 * 8 + 3200.0 * side)
    return Cost(seconds, held)


def _check() -> tuple[CheckLine, ...]:
    """The isotropic source of 256 dimensions: RankMe 118, 206, 237 at 128, 256, 512; ten directions settle."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((512, 256))
    found = rank_by_size(x, params=RankBySizeParams(sizes=3))
    flat = rng.standard_normal((1024, 10)) @ np.linalg.qr(rng.standard_normal((32, 10)))[0].T
    settled = rank_by_size(ArrayActivations(flat), params=RankBySizeParams(sizes=3))
    lines = [
        CheckLine(f"isotropic, 256 dimensions: RankMe at n = {n}", expected, float(value), 2.0)
        for n, expected, value in zip((128, 256, 512), (118, 206, 237), found.series["array"], strict=True)
    ]
    gap = np.abs(found.series["array"] / found.null["array"] - 1).max()
    return (
        *lines,
        CheckLine("largest relative distance from the null", 0.0, float(gap), 0.02),
        CheckLine("ten directions at n = 1,024", 10.0, float(settled.series["array"][-1]), 0.1),
        CheckLine("which rise no more", 0.0, settled.estimates[1].value, 0.01),
    )


METHODS = (
    Method(
        id="rank_by_size", family="rank", title="Rank by sample size", version=2, function=rank_by_size,
        summary="Whether a rank number has stopped growing with the number of samples, and taps compared at equal n.",
        params=RankBySizeParams, result=Curve, check=_check, cost=_cost, inputs=1, more_inputs=True,
        minimum_rows=FEWEST,
        invariance="rotating or scaling all activations changes nothing; shifting only numbers that do not centre",
        papers=(
            "RankMe: Assessing the downstream performance of pretrained self-supervised representations by their rank",
        ),
    ),
)  # fmt: skip
