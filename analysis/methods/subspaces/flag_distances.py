"""How far apart are taps as flags of subspaces: no dimension to choose. Taps x taps, between their covariances.

A covariance is a sum of projections on its first i axes, each weighted by the gap λ_i - λ_{i+1}
(`compute.subspaces.covariance_distances`), so that a subspace counts as much as the data define it. Covariances are
divided by their trace and compared by the Bures-Wasserstein distance (any rank; at most sqrt(2)), the log-Euclidean or
the affine-invariant one (full rank only: more samples than units, no
constant unit). Dividing by the trace costs the last one its name: it still ignores rotations of both, not every map.

Null: the axes of one turned at random, its eigenvalues kept: what the two spectra alone make of the distance; p from
200 turns, above 114 units by Cantelli's bound from fewer. Beside it the distance between two halves of the samples of
one tap, which no true distance of 0 can be seen below. Intervals: samples left out in groups.

When it lies: sampling spreads eigenvalues, so that distances are biased upwards, those with logarithms most, since
weak directions count there as much as strong ones; units of large variance rule the first; taps of two networks have no
units in common; all that is not variance (means, shapes, clusters) is ignored.

Cost: O(n d²) for each tap and O(d³) for each pair, each eleven times; 5 to 200 random rotations a pair, O(d³) each.

References: B. Buet & X. Pennec (2023), "Flagfolds"; R. Bhatia, T. Jain & Y. Lim (2019); X. Pennec (2006);
V. Arsigny et al. (2006).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.rows.common_rows import MOST_HELP, TOKENS_HELP, CommonRows
from analysis.compute.rows.some_samples import MEAN, TOKENS
from analysis.compute.similarity.covariance_grid import (
    MOST_DRAWS,
    covariance_grid,
    distance_series,
    draws_for,
    refuse_other_widths,
    refuse_singular,
    varying_units,
)
from analysis.compute.similarity.similarity_report import Words, similarity_matrix
from analysis.compute.statistics.moments import Moments
from analysis.compute.subspaces.covariance_distances import (
    AFFINE,
    BURES,
    LOG,
    NAMES,
    Spread,
    between,
    flag,
    prepared,
)
from analysis.compute.subspaces.tap_subspaces import FEWEST, UNITS, shared_rows
from analysis.errors import TooLarge
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

WIDEST = 4096  # units: 11 eigenproblems a tap
ENOUGH = 5  # samples per unit, below which logarithms say more of sampling than of the data


@dataclass(frozen=True)
class FlagDistancesParams:
    distance: str = param(
        BURES, "Bures-Wasserstein works for any rank; the other two take logarithms and need full rank.", choices=NAMES
    )  # fmt: skip
    tokens: str = param(MEAN, TOKENS_HELP, choices=TOKENS)
    maximum_samples: int = param(10_000, MOST_HELP, low=50, high=200_000)


def flag_distances(
    *taps, params: FlagDistancesParams = FlagDistancesParams(), rng=None, progress=no_progress
) -> Matrix:
    """Distance between the trace-normalised covariances of two or more taps.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units), of the same samples (matched by id) and units.

    Returns
    -------
    Matrix
        `values` (k, k), symmetric, 0 on the diagonal; `null`, `low`, `high` and `significant` of each cell. Estimates:
        of two taps their distance; of more the mean, the nearest, the farthest; two halves of one tap; each tap's flag.

    Raises
    ------
    InputError, NotEnoughData, ParameterError, TooLarge
        Different numbers of units; fewer than eight common samples; a covariance without full rank where logarithms are
        taken; more than 4,096 units; fewer than two taps.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    refuse_other_widths(taps)
    data = shared_rows(taps, UNITS, params.tokens, rng, params.maximum_samples, progress)
    values, notes = varying_units(data.values)
    names, d = [t.name for t in taps], values[0].shape[1]
    if d > WIDEST:
        raise TooLarge(f"{d:,} units", f"at most {WIDEST:,}", "Choose narrower taps")
    spreads = [Spread.of(Moments.of(x).covariance) for x in values]
    if params.distance != BURES:
        refuse_singular(spreads, names, len(values[0]), params.distance)
    series = distance_series(values, spreads, params.distance, data.groups(rng), progress)
    grid = covariance_grid(spreads, series, params.distance, data.n_samples, rng, progress)
    top = float(np.sqrt(2)) if params.distance == BURES else np.inf
    few = "; p by Cantelli's bound" if draws_for(d) < MOST_DRAWS else ""
    words = Words(
        f"{params.distance} distance", f"{params.distance}, covariances of trace 1",
        f"axes of one turned at random, {draws_for(d)} draws{few}", perfect=0.0, bounds=(0.0, top),
        limits=(0.0, top if np.isfinite(top) else float(grid.values.max()) or 1.0), distance=True,
    )  # fmt: skip
    found = similarity_matrix(
        grid, words, names, (*data.notes, *notes, *_caveats(data.n_samples, values, params))
    )
    halves = _halves(values, data, params.distance, rng)
    flags = [_flag_estimate(n, s, data.n_samples) for n, s in zip(names, spreads, strict=True)]
    more = () if halves is None else (halves,)
    spoken = found.reading.replace(
        f"unrelated representations of {grid.n:,} samples", "axes turned at random"
    )
    said = "" if halves is None else f" Two halves of the samples of one tap are {halves.value:.2f} apart."
    return replace(found, reading=spoken + said, estimates=(*found.estimates, *more, *flags))


def _halves(values, data: CommonRows, distance: str, rng) -> Estimate | None:
    """Mean distance of two halves of the samples of a tap; None where a half has no full rank and needs it."""
    n, d = data.n_samples, values[0].shape[1]
    half = (rng.permutation(n) < n // 2)[data.sample]
    if distance != BURES and min(half.sum(), (~half).sum()) - 1 < d:
        return None
    each = []
    for x in values:
        sides = [Spread.of(Moments.of(part).covariance) for part in (x[half], x[~half])]
        if distance != BURES and min(s.rank for s in sides) < d:
            return None
        each.append(between(distance, *(prepared(distance, s) for s in sides)))
    return Estimate(
        "two halves of the samples of one tap, mean distance", float(np.mean(each)), n=n // 2, d=d,
        estimator=f"{distance}, covariances of trace 1",
    )  # fmt: skip


def _flag_estimate(name: str, spread: Spread, n: int) -> Estimate:
    """How much of a tap's flag lies where: the mean dimension of its subspaces, each by its weight."""
    dimensions, weights = map(np.array, zip(*flag(spread), strict=True))
    return Estimate(
        f"mean dimension of the flag of {name}", float((dimensions * weights).sum() / weights.sum()), n=n,
        d=len(spread.values), estimator="Σ k (λ_k - λ_{k+1}) / λ_1 = tr Σ / λ_1", unit="axes",
    )  # fmt: skip


def _caveats(n: int, values, params: FlagDistancesParams) -> list[str]:
    """Of `n` samples."""
    rows, d = values[0].shape
    notes = ["Each covariance is divided by its trace: overall size is ignored."]
    if params.distance != BURES and n < ENOUGH * d:
        notes.append(
            f"{n:,} samples for {d:,} units: the weak eigenvalues, which count in full, are mostly sampling."
        )
    if params.distance == BURES and rows <= d:
        notes.append(f"{n:,} samples span fewer directions than there are units ({d:,}).")
    return notes


def _cost(shapes, params: FlagDistancesParams) -> Cost:
    m, n = machine(), min(min(rows for rows, _ in shapes), params.maximum_samples)
    d, k = max(units for _, units in shapes), len(shapes)
    flops = 13.0 * k * (2.0 * n * d * d + 14.0 * d**3) + k * k / 2 * (11 + draws_for(d)) * 18.0 * d**3
    held = 8.0 * (n * d * (k + 2.5) + d * d * (4 * k + 8))
    return Cost(m.seconds(flops64=flops, moved=8.0 * n * d * k * 40) + 0.03, held)


def _check() -> tuple[CheckLine, ...]:
    """Planted spectra on the same axes; a turned copy; what a map of both changes and what not."""
    rng = np.random.default_rng(3)
    white = rng.standard_normal((400, 8))
    white = np.linalg.qr(white - white.mean(axis=0))[0]
    lam, mu = np.linspace(1, 0.2, 8), np.linspace(1, 0.1, 8) ** 2
    q = np.linalg.qr(rng.standard_normal((8, 8)))[0]
    x, y = white * np.sqrt(lam) @ q, white * np.sqrt(mu) @ q
    turn = np.linalg.qr(rng.standard_normal((8, 8)))[0]

    def value(a, b, distance=BURES) -> float:
        taps = map(ArrayActivations, (a, b))
        return float(flag_distances(*taps, params=FlagDistancesParams(distance)).values[0, 1])

    lam, mu = lam / lam.sum(), mu / mu.sum()
    turned = flag_distances(ArrayActivations(x), ArrayActivations(white * np.sqrt(mu)))
    logs, roots = np.linalg.norm(np.log(lam / mu)), np.linalg.norm(np.sqrt(lam) - np.sqrt(mu))
    flagged = next(e.value for e in turned.estimates if "flag of" in e.name)
    return (
        CheckLine("same axes: Bures-Wasserstein is the distance of √λ", roots, value(x, y), 1e-9),
        CheckLine("same axes: log-Euclidean", logs, value(x, y, LOG), 1e-9),
        CheckLine("same axes: affine-invariant", logs, value(x, y, AFFINE), 1e-9),
        CheckLine("a scaled and shifted copy", 0.0, value(x, 7 * x + 2), 1e-9),
        CheckLine("both turned alike", value(x, y), value(x @ turn, y @ turn), 1e-9),
        CheckLine("unrelated axes: as chance", turned.estimates[0].null, turned.values[0, 1], 0.06),
        CheckLine("mean dimension of the flag", 1 / lam[0], flagged, 1e-9),
    )


METHODS = (
    Method(
        id="flag_distances", family="subspaces", title="Distances between flags (covariances)", version=2,
        function=flag_distances,
        summary="How far layers or checkpoints are apart as nested subspaces of all dimensions, with none to choose.",
        params=FlagDistancesParams, result=Matrix, check=_check, cost=_cost, inputs=2, more_inputs=True,
        same_units=True,
        minimum_rows=FEWEST, invariance="rotating all taps alike, shifting or scaling any of them",
        papers=("Flagfolds",),
    ),
)  # fmt: skip
