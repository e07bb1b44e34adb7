"""What lies between two layers or checkpoints: the spectrum of covariances on the way from one tap to the next.

Covariances of trace 1 are joined by the shortest way (Bures-Wasserstein, that of optimal transport, or log-Euclidean;
`compute.subspaces.covariance_path`), and the share of the variance that the first 1, 2, 4, … axes hold is drawn along
it. Whole numbers of the horizontal axis are the taps themselves.

Two taps with the same axes and other eigenvalues change shares steadily on both. Where axes differ the two ways part:
optimal transport *turns* them into each other (a line becomes another line and is one all the way); logarithms *mix*
them, and log λ never spreads wider than the mean of the ends (axes exchanged meet in a circle). Whether axes differ is
said by the length of the way, not by its middle.

Null: the axes of the next tap turned at random, eigenvalues kept. Intervals: samples left out in groups.

When it lies: nothing was recorded between the taps; the way is that of a geometry and not of the network; sampling
spreads eigenvalues, of the ends and of the middle alike; n samples span n - 1 directions, and where a direction of one
tap has nothing of the other the way is not unique; a unit of large variance rules the first axes.

Cost: O(n d²) for each tap, eleven times; some 15 eigenproblems, O(d³), for each step between two taps.

References: B. Buet & X. Pennec (2023), "Flagfolds"; R. Bhatia, T. Jain & Y. Lim (2019); V. Arsigny et al. (2006).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.rows.common_rows import MOST_HELP, TOKENS_HELP
from analysis.compute.rows.some_samples import MEAN, TOKENS
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.similarity.covariance_grid import refuse_other_widths, refuse_singular, varying_units
from analysis.compute.statistics.moments import Moments
from analysis.compute.statistics.nulls import against
from analysis.compute.statistics.sample_groups import jackknife_half
from analysis.compute.subspaces.covariance_distances import BURES, LOG, Spread
from analysis.compute.subspaces.covariance_path import DRAWS, PATHS, Way, held_shares, way_between
from analysis.compute.subspaces.tap_subspaces import FEWEST, UNITS, shared_rows
from analysis.errors import TooLarge
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

WIDEST, NAMED = 1024, 6


@dataclass(frozen=True)
class SpectrumPathParams:
    path: str = param(
        BURES, "The way: of optimal transport, any rank; or of logarithms, full rank only.", choices=PATHS
    )
    steps: int = param(8, "Steps from one tap to the next.", low=2, high=40)
    lines: int = param(6, "Lines: the first 1, 2, 4, … axes.", low=1, high=8)
    tokens: str = param(MEAN, TOKENS_HELP, choices=TOKENS)
    maximum_samples: int = param(10_000, MOST_HELP, low=50, high=200_000)


def spectrum_path(
    *taps, params: SpectrumPathParams = SpectrumPathParams(), rng=None, progress=no_progress
) -> Curve:
    """Shares of the variance along the way through two or more taps.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units), of the same samples (matched by id) and units.

    Returns
    -------
    Curve
        x: place on the way, whole numbers being taps; a series for each number of first axes, with bands and null.
        Estimates: of each of the first six ways its length and the participation ratio in its middle.

    Raises
    ------
    InputError, NotEnoughData, ParameterError, TooLarge
        Different numbers of units; fewer than eight common samples; no full rank where logarithms are taken; over
        1,024 units; fewer than two taps.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    refuse_other_widths(taps)
    data = shared_rows(taps, UNITS, params.tokens, rng, params.maximum_samples, progress)
    values, notes = varying_units(data.values)
    n, d = data.n_samples, values[0].shape[1]
    if d > WIDEST:
        raise TooLarge(f"{d:,} units", f"at most {WIDEST:,}", "Choose narrower taps")
    names, groups = tap_names([t.name for t in taps]), data.groups(rng)
    spreads = [[Spread.of(Moments.of(x).covariance)] for x in values]
    if params.path == LOG:
        refuse_singular([s[0] for s in spreads], names, len(values[0]), LOG)
        groups = [] if len(values[0]) - max(map(len, groups)) - 1 < d else groups
    for i, g in enumerate(groups):
        progress(0.2 + 0.2 * i / len(groups), "leaving samples out")
        for x, found in zip(values, spreads, strict=True):
            found.append(Spread.of(Moments.of(np.delete(x, g, axis=0)).covariance))
    places, ways = _places(params.steps), []
    for i in range(len(taps) - 1):
        progress(0.4 + 0.6 * i / (len(taps) - 1), f"from {names[i]} to {names[i + 1]}")
        ways.append(way_between(params.path, spreads[i], spreads[i + 1], places, rng))
    progress(1.0, "done")
    x = np.concatenate([i + places[: None if i == len(ways) - 1 else -1] for i in range(len(ways))])
    counts = [2**i for i in range(params.lines) if 2**i <= max(d - 1, 1)]
    lines = held_shares(ways, counts)
    estimates = [
        e
        for i, way in enumerate(ways[:NAMED])
        for e in _estimates(way, names[i], names[i + 1], n, params.path)
    ]
    return Curve(
        title=f"Spectrum on the way through {len(taps)} taps", reading=_reading(ways, estimates, names),
        caveats=(*data.notes, *notes, *_caveats(n, d, params)), estimates=tuple(estimates),
        x=x, x_labels=tuple(names[int(v)] if v == int(v) else "" for v in x), x_name="on the way from tap to tap",
        y_name="share of the variance",
        series={k: v[0] for k, v in lines.items()},
        null={k: v[1] for k, v in lines.items()}, low={k: v[2] for k, v in lines.items() if groups},
        high={k: v[3] for k, v in lines.items() if groups},
    )  # fmt: skip


def _places(steps: int) -> np.ndarray:
    """From 0 to 1, the middle among them."""
    return np.linspace(0.0, 1.0, steps + steps % 2 + 1)


def _estimates(way: Way, one: str, other: str, n: int, path: str) -> list[Estimate]:
    how = {"null_method": f"axes of one turned at random, {DRAWS} draws", "n": n, "d": way.spectra.shape[2]}
    out = []
    for name, series, null, said in (
        (
            f"participation ratio halfway from {one} to {other}",
            way.middle(),
            way.middle("turned"),
            "(Σλ)² / Σλ²",
        ),
        (
            f"length of the way from {one} to {other}",
            way.length,
            way.lengths,
            f"{path}, covariances of trace 1",
        ),
    ):
        value, half = float(series[0]), jackknife_half(series[1:])
        ends = {} if half is None else {
            "low": max(value - float(half), 0.0), "high": value + float(half),
            "interval": "jackknife over groups of samples, t",
        }  # fmt: skip
        out.append(
            Estimate(name, value, **ends, **{**against(value, null), "p_value": None}, estimator=said, **how)
        )
    return out


def _reading(ways: list[Way], estimates, names) -> str:
    said = []
    for i, way in enumerate(ways[:3]):
        middle, (a, b) = estimates[2 * i], way.ends()
        said.append(
            f"Halfway from {names[i]} ({a:.1f} axes by the participation ratio) to {names[i + 1]} ({b:.1f}) there "
            f"are {middle.value:.1f} (axes turned at random: {middle.null:.1f}); the way is "
            f"{estimates[2 * i + 1].value:.2f} long ({estimates[2 * i + 1].null:.2f})."
        )
    more = f" Of {len(ways)} ways the first three are told." if len(ways) > 3 else ""
    return " ".join(said) + more


def _caveats(n: int, d: int, params: SpectrumPathParams) -> list[str]:
    notes = [
        "Nothing was recorded between the named taps.",
        "Shares are of the variance at each place; covariances at the taps are divided by their trace.",
    ]  # fmt: skip
    if params.path == BURES and n <= d:
        notes.append(
            f"{n:,} samples span fewer directions than there are units ({d:,}): the way is not unique."
        )
    return notes


def _cost(shapes, params: SpectrumPathParams) -> Cost:
    m, n = machine(), min(min(rows for rows, _ in shapes), params.maximum_samples)
    d, k = max(units for _, units in shapes), len(shapes)
    eigen = (k - 1) * (params.steps + 6) * (11 + DRAWS) * 8.0 * d**3
    flops = 11.0 * k * (2.0 * n * d * d + 14.0 * d**3) + eigen
    held = 8.0 * (n * d * (k + 2.2) + d * d * (22.0 * k + params.steps + 8))
    return Cost(m.seconds(flops64=flops, moved=8.0 * n * d * k * 40) + 0.03, held)


def _check() -> tuple[CheckLine, ...]:
    """The same axes: roots of the eigenvalues on straight lines (Bures), logarithms (log-Euclidean). A line turned into
    another is a line all the way; logarithms of exchanged axes meet at a circle. There and back."""
    rng = np.random.default_rng(3)
    white = rng.standard_normal((200, 6))
    white = np.linalg.qr(white - white.mean(axis=0))[0]
    lam, mu = np.linspace(1, 0.2, 6), np.linspace(1, 0.1, 6) ** 2
    lam, mu = lam / lam.sum(), mu / mu.sum()
    q = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    x, y = white * np.sqrt(lam) @ q, white * np.sqrt(mu) @ q
    lines = [np.outer(white[:, 0], [np.cos(t), np.sin(t)]) for t in (0.0, 1.0)]
    crossed = [white[:, :2] * np.array(scale) for scale in ((3.0, 1.0), (1.0, 3.0))]

    def first(path: str, *taps) -> Curve:
        return spectrum_path(*map(ArrayActivations, taps), params=SpectrumPathParams(path, steps=2))

    half = ((np.sqrt(lam) + np.sqrt(mu)) / 2) ** 2
    geometric, bures = np.sqrt(lam * mu), first(BURES, x, y, x)
    return (
        CheckLine("Bures, same axes: first axis, middle", half[0] / half.sum(), bures.series["first axis"][1], 1e-9),
        CheckLine("log-Euclidean, same axes", geometric[0] / geometric.sum(), first(LOG, x, y).series["first axis"][1],
                  1e-9),
        CheckLine("there and back", bures.series["first axis"][1], bures.series["first axis"][3], 1e-9),
        CheckLine("a line turned: axes in the middle", 1.0, first(BURES, *lines).estimates[0].value, 1e-9),
        CheckLine("exchanged axes, logarithms: in the middle", 2.0, first(LOG, *crossed).estimates[0].value, 1e-9),
    )  # fmt: skip


METHODS = (
    Method(
        id="spectrum_path", family="subspaces", title="Spectrum on the way between taps", version=2,
        function=spectrum_path,
        summary="How the spectrum changes on the shortest way from one tap's covariance to the next.",
        params=SpectrumPathParams, result=Curve, check=_check, cost=_cost, inputs=2, same_units=True, more_inputs=True,
        minimum_rows=FEWEST, invariance="rotating all taps alike, shifting or scaling any of them",
        papers=("Flagfolds",),
    ),
)  # fmt: skip
