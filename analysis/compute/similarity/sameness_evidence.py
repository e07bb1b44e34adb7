"""The evidence for each sense in which two representations can be the same (`sameness`), from their common samples."""

from __future__ import annotations

import numpy as np

from analysis.activations import ArrayActivations
from analysis.compute.linear.cross_prediction import predict, predictor, reduced
from analysis.compute.matching.pairing_tests import GroupedPairs, held_out, jackknifed, moves, pairing_null
from analysis.compute.matching.unit_pairing import pair_units
from analysis.compute.matching.unit_sides import column_groups, unit_sides
from analysis.compute.rows.common_samples import CommonSamples
from analysis.compute.similarity.canonical import TOLERANCE, cross_products, mean_squared, whole_series
from analysis.compute.similarity.canonical_grid import ENOUGH, canonical_sides
from analysis.compute.similarity.cka_grid import linear_grid
from analysis.compute.similarity.sameness import INFORMATION, PREDICTED, SUBSPACE, UNITS, Evidence
from analysis.compute.similarity.similarity_grid import groups_of
from analysis.compute.statistics.exchange_moments import cantelli_p, centred_moments
from analysis.compute.statistics.nulls import add_one_p
from analysis.results import Estimate

FEWEST_PREDICTED, FOLDS = 20, 5


def of_units(data: CommonSamples, names, rng, progress) -> tuple[Evidence, Estimate, list[str]]:
    """Matched units; what the pairs of one half are worth on the other; notes on what was left out."""
    taps = [
        ArrayActivations(x, name=name, samples={"id": data.ids}, digest="-")
        for x, name in zip(data.values, names, strict=True)
    ]
    sides = unit_sides(taps, rng, maximum=len(data.ids))
    group = column_groups(sides, rng)
    progress(0.35, "matching units")
    partner = pair_units(sides.x, sides.y, signed=False)
    i = np.flatnonzero(partner >= 0)
    pairs = GroupedPairs.of(sides.x, sides.y, i, partner[i], group, int(group.max()) + 1)
    share = len(i) / max(len(sides.x), len(sides.y))  # units without a partner count as 0
    series = jackknifed(pairs, signed=False) * share
    halves = held_out(sides, group, False, progress, (0.4, 0.5))
    null = pairing_null(sides, False, moves(len(sides.x), len(sides.y)), rng, progress, (0.5, 0.8))
    means = null.matched.mean(axis=1) * share
    apart = Evidence(UNITS, "", halves.series * share, 0.0, np.nan, np.nan)
    low, high = apart.interval
    found = Evidence(
        UNITS, "mean |r| of units matched one to one", series, float(means.mean()), float(means.std(ddof=1)),
        float(add_one_p(series[0], means)), held_out=low, least=0.0,
        null_method=f"samples moved, matched again, {len(means)} times",
    )  # fmt: skip
    estimate = Estimate(
        "mean r of matched units on held-out samples", apart.value, low=low, high=high,
        interval="jackknife over groups of samples, t", null=0.0, null_method="unrelated units, exact mean",
        n=len(data.ids), d=max(len(sides.x), len(sides.y)), estimator="pairs of one half, r on the other, both ways",
    )  # fmt: skip
    return found, estimate, list(sides.notes)


def of_subspace(data: CommonSamples, rng, progress) -> Evidence:
    """Unbiased CKA."""
    progress(0.32, "CKA")
    grid, _ = linear_grid(data.values, np.array([0]), np.array([1]), rng)
    return Evidence(
        SUBSPACE, "unbiased linear CKA", grid.series[:, 0, 0], float(grid.null[0, 0]), float(grid.deviation[0, 0]),
        float(grid.p[0, 0]), null_method="samples exchanged, exact moments",
    )  # fmt: skip


def of_information(data: CommonSamples, names, rng, progress) -> Evidence:
    """Mean squared canonical correlation; `few` where samples are fewer than ten for each direction."""
    progress(0.85, "canonical correlations")
    a, b = canonical_sides(data.values, names, rng, tolerance=TOLERANCE)
    n, k = len(data.ids), max(a.rank, b.rank)  # directions without a partner count as 0
    share = min(a.rank, b.rank) / k
    whole, rest = cross_products(a, b)
    series = whole_series([mean_squared(c) for c in (whole, *rest)]) * share
    mean, variance = (m / s for m, s in zip(centred_moments(a.gram, b.gram), (k, k * k), strict=True))
    few = n < ENOUGH * max(a.rank, b.rank)
    return Evidence(
        INFORMATION, "mean squared canonical correlation", series, mean, float(np.sqrt(variance)),
        float(cantelli_p(series[0], mean, np.sqrt(variance))), few=few, least=0.0,
        null_method="samples exchanged, exact moments",
    )  # fmt: skip


def of_prediction(data: CommonSamples, names, rng, progress) -> list[Evidence]:
    """Held-out R² of the second from the first, and of the first from the second; nothing below 20 samples."""
    n = len(data.ids)
    if n < FEWEST_PREDICTED:
        return []
    progress(0.9, "predicting each from the other")
    group, fold, order = groups_of(n, rng), rng.permutation(np.arange(n) % FOLDS), rng.permutation(n)
    sides = [predictor(reduced(x), fold) for x in data.values]
    found = []
    for a, b in ((0, 1), (1, 0)):
        one, y = sides[a], sides[b].rows
        fit = predict(one, y, one.rows.T @ y)
        null = predict(one, y[order], one.rows.T @ y[order]).r2()
        found.append(
            Evidence(
                PREDICTED.format(names[b], names[a]), "held-out R², ridge", fit.series(group), float(null), np.nan,
                float(fit.p), any(len(f.singular) >= f.n - 1 for f in one.fits),
                null_method="samples exchanged and fitted anew, once", least=-np.inf,
            )
        )  # fmt: skip
    return found
