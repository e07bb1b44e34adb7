"""The average of several subspaces, and which of them is not like the others.

Leading subspaces of several taps (layers, seeds, checkpoints), all cut at one dimension k, have a chordal mean, the
first k eigenvectors of Σ X_i X_iᵀ, and a chordal median, which a single odd member moves less
(`compute.subspaces.averages`). Each member is shown with its distance

    sqrt(Σ sin² θ) = ‖X Xᵀ - Y Yᵀ‖ / sqrt(2)

to the mean, to the median and to the mean of all others, with its weight in the median and its place on a map of all.

Outliers: *as far as chance*, where the distance to the mean of the others is one that random subspaces have (95 %);
*far from the others*, with five members or more, where the distance to the median exceeds that of the rest by 3.5
scaled median deviations (Iglewicz & Hoaglin 1993).

Null: random subspaces of k in D dimensions, drawn, and for the mean distance as many of them as there are members, with
their own mean, which is nearer to them than a stranger is. Intervals: samples left out in
groups, axes, mean and median found anew.

When it lies: an average of members that share little lies near none of them (see the distances); the mean of two is
anywhere between where angles are right; distances to a mean that a member is part of are too small, so judge by those
to the others' mean; the map keeps two dimensions of many.

Cost: O(n d²) for each tap and more for each of ten groups left out; O(D N² k²) for each mean, and
200 (N + 1) times at most for the median.

References: T. Marrinan et al. (2014), "Finding the subspace mean or median to fit your need"; N. Mankovich &
T. Birdal (2023), "Chordal averaging on flag manifolds and its applications"; B. Iglewicz &
D. Hoaglin (1993).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.rows.common_rows import MOST_HELP, TOKENS_HELP
from analysis.compute.rows.some_samples import MEAN, TOKENS
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.subspaces.average_members import (
    DRAWS,
    ENOUGH,
    FINE,
    HELP,
    RANDOM,
    MemberChance,
    distances_to_averages,
    half_width,
    member_columns,
    verdicts,
)
from analysis.compute.subspaces.averages import (
    Average,
    all_chordal,
    chordal_to,
    classical_scaling,
    mean_subspace,
    median_subspace,
)
from analysis.compute.subspaces.random_subspaces import random_basis
from analysis.compute.subspaces.spaces import AUTOMATIC, SPACE_HELP, SPACES, space_of, space_words
from analysis.compute.subspaces.tap_subspaces import FEWEST, TapSubspaces, tap_subspaces
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

STEPS = 25  # of a median, on average


@dataclass(frozen=True)
class AverageSubspaceParams:
    space: str = param(AUTOMATIC, SPACE_HELP, choices=SPACES)
    dimension: int | None = param(
        None, "Axes of each subspace; automatic: where all spectra have a gap.", low=1, high=4096
    )
    tokens: str = param(MEAN, TOKENS_HELP, choices=TOKENS)
    maximum_samples: int = param(10_000, MOST_HELP, low=50, high=200_000)


def average_subspace(
    *taps, params: AverageSubspaceParams = AverageSubspaceParams(), rng=None, progress=no_progress
) -> Table:
    """Mean and median of the leading subspaces of taps, and each member's distance to them.

    Parameters
    ----------
    *taps : two or more Activations or arrays (rows, units), of the same samples (matched by id).

    Returns
    -------
    Table
        A row for each tap. Estimates: mean distance to the mean and to the median, how much of each other the members
        hold, how many are outliers.

    Raises
    ------
    ParameterError, InputError, NotEnoughData, TooLarge
        Fewer than two taps; different units in the space of units; fewer than eight common samples; no gap in common.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    params = replace(params, space=space_of(params.space, taps))
    found = tap_subspaces(
        taps, rng, space=params.space, dimension=params.dimension, common=True, tokens=params.tokens,
        maximum=params.maximum_samples, progress=progress,
    )  # fmt: skip
    progress(0.7, "averaging")
    bases = [m.bases[0] for m in found.members]
    depth = min(len(m.bases) for m in found.members)
    mean, median = mean_subspace(bases), median_subspace(bases)
    series = [
        distances_to_averages([m.bases[g] for m in found.members], median.weights) for g in range(depth)
    ]
    progress(0.9, "drawing random subspaces")
    chance = MemberChance.drawn(len(bases), bases[0].shape[1], found.dimensions, rng)
    flagged = verdicts(series[0], chance)
    places, kept = classical_scaling(all_chordal(bases))
    estimates = _estimates(found, series, mean, chance, flagged)
    names = tap_names([t.name for t in taps])
    return Table(
        title=f"Average of {len(taps)} subspaces of dimension {bases[0].shape[1]}",
        reading=_reading(estimates, names, flagged), estimates=estimates, index="tap", sort="to the others' mean",
        caveats=(space_words(params.space), *found.notes, *_caveats(found, kept)), help=HELP,
        columns=member_columns(found, names, series, median, chance, flagged, places),
    )  # fmt: skip


def _estimates(
    found: TapSubspaces, series, mean: Average, chance: MemberChance, flagged
) -> tuple[Estimate, ...]:
    k, top = found.members[0].k, float(np.sqrt(found.members[0].k))
    common = {"n": found.n, "d": found.dimensions}

    def of(name: str, row: int, drawn: np.ndarray, how: str) -> Estimate:
        value, half = float(series[0][row].mean()), half_width(series, lambda s: s[row].mean())
        ends = {} if half is None else {
            "low": max(value - float(half), 0.0), "high": min(value + float(half), top),
            "interval": "jackknife over groups of samples, averages found anew, t",
        }  # fmt: skip
        low, high = np.percentile(drawn, [2.5, 97.5])
        return Estimate(
            name, value, **ends, null=float(drawn.mean()), null_low=float(low), null_high=float(high), null_method=how,
            estimator="sqrt(Σ sin² θ)", **common,
        )  # fmt: skip

    sets = f"as many random subspaces and their own average, {len(chance.sets)} draws"
    single = f"a random subspace, {len(chance.single)} draws"
    shared = mean.eigenvalues[:k].mean()
    return (
        of("mean distance to the mean", 0, chance.sets[:, 0], sets),
        of("mean distance to the median", 1, chance.sets[:, 1], sets),
        of("mean distance to the mean of the others", 2, chance.single, single),
        Estimate(
            "share of the members inside their mean", float(shared),
            null=float(1 - (chance.sets[:, 0] ** 2).mean() / k), null_method=sets,
            estimator="Σ cos² θ / k, mean over members", **common,
        ),
        Estimate("outliers", sum(v != FINE for v in flagged), estimator="count", unit="members", **common),
    )  # fmt: skip


def _reading(estimates, names, flagged) -> str:
    _, _, to_others, shared, _ = estimates
    said = (
        f"The mean subspace holds {shared.value:.0%} of its members, of random ones {shared.null:.0%}. A member is "
        f"{to_others.value:.2f} from the mean of the others, a random subspace {to_others.null:.2f}."
    )
    odd = [f"{n} ({v})" for n, v in zip(names, flagged, strict=True) if v != FINE]
    return said + (f" Unlike the others: {', '.join(odd)}." if odd else " None of them is an outlier.")


def _caveats(found: TapSubspaces, kept: float) -> list[str]:
    notes = [f"The map holds {kept:.0%} of the squared distances."]
    if len(found.members) < ENOUGH:
        notes.append(f"With fewer than {ENOUGH} members only chance tells an outlier.")
    if any(len(m.bases) < 4 for m in found.members):
        notes.append("Too few samples for intervals.")
    return notes


def _cost(shapes, params: AverageSubspaceParams) -> Cost:
    m, n = machine(), min(min(rows for rows, _ in shapes), params.maximum_samples)
    d, members, k = max(units for _, units in shapes), len(shapes), params.dimension or 8
    side, whole = min(n, d), sum(units for _, units in shapes)
    k = min(k, side)
    flops = sum(6.0 * n * u * min(n, u) + 45.0 * min(n, u) ** 3 for _, u in shapes)
    flops += 20.0 * 2.0 * n * n * whole if n < d * 1.01 else 0.0
    short, long = min(d, members * k), members * k
    means = (
        12 + DRAWS + members
    ) * STEPS + 11 * members  # medians take about as many steps, groups left out too
    flops += (
        means * 4 * (14.0 * long * short**2 + 8.0 * short**3)
    )  # small decompositions, a fourth of the speed
    held = 8.0 * (n * whole * 2 + 12 * side**2 + min(n, 4096) * side * 6 + n * d * 2)
    return Cost(m.seconds(flops64=flops, moved=8.0 * n * whole * 30, calls=60 * means) + 0.05, held)


def _check() -> tuple[CheckLine, ...]:
    """Lines at -40, 0 and 40 degrees have their mean at 0; one random member of six moves the median less."""
    rng = np.random.default_rng(12)

    def tap(basis: np.ndarray, d: int = 30) -> ArrayActivations:
        s = rng.standard_normal((400, basis.shape[1])) * 5
        return ArrayActivations(s @ basis.T + 0.05 * rng.standard_normal((400, len(basis))))

    lines = np.array([[np.cos(a), np.sin(a), 0.0, 0.0] for a in np.radians([-40, 0, 40])])
    three = average_subspace(
        *(tap(line[:, None]) for line in lines), params=AverageSubspaceParams(dimension=1)
    )
    truth = random_basis(30, 3, rng)
    near = [np.linalg.qr(truth + 0.03 * rng.standard_normal((30, 3)))[0] for _ in range(5)]
    odd = [*near, random_basis(30, 3, rng)]
    moved = [chordal_to(find(odd).basis, [truth])[0] for find in (mean_subspace, median_subspace)]
    six = average_subspace(*map(tap, odd), params=AverageSubspaceParams(dimension=3))
    return (
        CheckLine(
            "lines at -40, 0, 40 degrees: the outer ones",
            np.sin(np.radians(40)),
            three.columns["to the mean"][0],
            0.01,
        ),
        CheckLine("the middle one", 0.0, three.columns["to the mean"][1], 0.01),
        CheckLine("one random member of six: outliers", 1.0, six.estimates[4].value, 0.0),
        CheckLine("it is the sixth", 1.0, float(six.columns["outlier"][5] == RANDOM), 0.0),
        CheckLine(
            "its weight in the median is the least",
            5.0,
            float(six.columns["weight in the median"].argmin()),
            0.0,
        ),
        CheckLine("it moves the median less than the mean", float(moved[0]), float(moved[1]), 0.0, "at most"),
    )


METHODS = (
    Method(
        id="average_subspace", family="subspaces", title="Average subspace and outliers", version=2,
        function=average_subspace,
        summary="The mean and median of the subspaces of several taps, and which of them is unlike the others.",
        params=AverageSubspaceParams, result=Table, check=_check, cost=_cost, inputs=2, more_inputs=True,
        minimum_rows=FEWEST,
        invariance="rotating all taps alike, shifting or scaling any; for subspaces of samples, rotating any of them",
        papers=("Chordal averaging on flag manifolds",),
    ),
)  # fmt: skip
