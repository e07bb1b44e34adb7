"""Units matched by what they do: are their weights arranged alike? For latents of two sparse autoencoders, or units.

Four taps: the activations of A and of B on the same samples, and the weights of A's units and of B's (a row for each
unit, such as a decoder direction; columns where rows do not fit). On one half of the samples each unit of A is matched
to the unit of B with which it correlates best (many to one), or one to one; pairs no better than the best of as many
unrelated partners are dropped. The *other* half gives the correlation that is reported, so that it is not inflated by
the matching. Then the weight rows of the pairs are compared: SVCCA, and RSA, Spearman's correlation of their cosines
(`compute.matching.matched_rows`). Neither depends on the order of units or on a rotation of either weight space.

Nulls: the same rows paired at random (199 draws), which keeps each side's own structure; and, as estimates of their
own, both scores after matching on exchanged samples. Intervals: jackknife over groups of pairs.

When it lies: few pairs for many directions make any CCA large (at most a quarter as many directions as pairs are kept);
rows of one network that all point alike have no arrangement to compare; matched many to one, a partner that serves
often repeats its row; units matched through what all samples share, such as brightness, are no universal features.

Cost: O(n p q) per matching, 22 of them (and d³ one to one); O(k² a) for k pairs.

References: M. Lan, P. Torr, A. Meek, A. Khakzar, D. Krueger & F. Barez (2024), "Sparse autoencoders reveal universal
feature spaces across large language models"; M. Raghu et al. (2017), "SVCCA"; N. Kriegeskorte et al. (2008).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.matching.matched_rows import (
    FEWEST,
    PairedRows,
    paired_rows,
    random_pairings,
    without_groups,
)
from analysis.compute.matching.row_matching import (
    EXCHANGES,
    Halves,
    Matched,
    chance_matching,
    halves_of,
    match,
)
from analysis.compute.matching.weight_rows import Weights, least_beyond_chance, weights_of
from analysis.compute.networks.matched_report import geometry_estimates
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.statistics.sample_groups import sample_groups
from analysis.errors import NotEnoughData
from analysis.results import Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

DRAWS = 199


@dataclass(frozen=True)
class MatchedGeometryParams:
    matching: str = param(
        "one to one", "Each unit of B serves one unit of A, or any number of them.",
        choices=("one to one", "many to one"),
    )  # fmt: skip
    least: float | None = param(
        None, "Least correlation of a pair on the matching half; automatic: beyond the best of unrelated partners.",
        label="least correlation", low=0.0, high=0.99,
    )  # fmt: skip
    variance: float = param(
        0.99, "Share of each side's variance that its SVCCA directions hold.", low=0.1, high=1.0
    )
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_units: int = param(
        2000, "Most units of a tap, those with the largest total activation.", low=8, high=8000
    )
    maximum_samples: int = param(10_000, "Most samples; a seeded random subset above.", low=50, high=200_000)


def matched_geometry(
    first, second, first_weights, second_weights, params: MatchedGeometryParams = MatchedGeometryParams(), rng=None,
    progress=no_progress,
) -> Table:  # fmt: skip
    """Matched pairs of units, and how alike their weights are arranged.

    Parameters
    ----------
    first, second : Activations or arrays (rows, p) and (rows, q), of the same samples (matched by id).
    first_weights, second_weights : Activations or arrays (p, a) and (q, b), or their transposes.

    Returns
    -------
    Table
        One row per pair: units, "r matched" on the one half and "r held out" on the other, "geometry", the agreement of
        its own cosines. Estimates: SVCCA, RSA, the held-out correlation, and both scores when matched by chance.

    Raises
    ------
    ShapeError, InputError, ParameterError, TooLarge
        Weights that fit no tap; an id twice; equal samples; over 4 GiB.
    NotEnoughData
        Fewer than sixteen common samples, or fewer than five pairs beyond chance.
    """
    acts, rng = [as_activations(first), as_activations(second)], rng or np.random.default_rng(0)
    taps = [as_activations(first_weights), as_activations(second_weights)]
    names = tap_names([t.name for t in acts])
    weights = [weights_of(t, a.shape[1], name) for t, a, name in zip(taps, acts, names, strict=True)]
    data = common_samples(
        acts, rng, maximum=params.maximum_samples, minimum=16, pooling=params.pooling, progress=progress
    )
    halves = halves_of(data.values, [w.usable for w in weights], params.maximum_units, names, rng)
    least = (
        params.least
        if params.least is not None
        else least_beyond_chance(halves.n_matching, halves.sides[1].d)
    )
    once = params.matching == "one to one"
    progress(0.4, "matching units")
    found = match(halves, once, least)
    if len(found.first) < FEWEST:
        raise NotEnoughData(
            f"{len(found.first)} pair(s) of units correlate at least {least:.2f}", f"{FEWEST} pairs or more",
            "Record more samples, or lower 'least correlation'",
        )  # fmt: skip
    u, v = (w.rows[units] for w, units in zip(weights, (found.first, found.second), strict=True))
    pairs = paired_rows(u, v, params.variance)
    progress(0.5, "pairing at random")
    drawn = random_pairings(pairs, DRAWS, rng)
    left = without_groups(u, v, params.variance, sample_groups(len(u), rng))
    progress(0.7, "matching on exchanged samples")
    lucky = chance_matching(halves, [w.rows for w in weights], once, len(u), params.variance, rng)
    estimates = geometry_estimates(found, pairs, drawn, left, lucky, halves)
    return Table(
        title=f"Geometry of units matched between {names[0]} and {names[1]}", reading=_reading(found, estimates),
        caveats=(*_caveats(found, pairs, weights, halves, least, names), *halves.notes, *data.notes),
        estimates=estimates, columns=_columns(found, pairs, acts), index="pair", sort="r held out", help=HELP,
    )  # fmt: skip


HELP = {
    "first": "Unit of the first network.",
    "second": "Its partner in the second.",
    "r matched": "Their correlation on the half of the samples that matched them.",
    "r held out": "Their correlation on the other half.",
    "geometry": "Correlation of the ranks of its cosines to all other matched units, between the two networks.",
    "partner serves": "How many units of the first have this partner.",
}


def _columns(found: Matched, pairs: PairedRows, acts) -> dict[str, np.ndarray]:
    serves = np.unique(found.second, return_inverse=True, return_counts=True)
    return {
        "first": np.array([str(acts[0].unit_names[j]) for j in found.first]),
        "second": np.array([str(acts[1].unit_names[j]) for j in found.second]),
        "r matched": found.matched, "r held out": found.held_out, "geometry": pairs.rsa_of_each(),
        "partner serves": serves[2][serves[1].reshape(-1)],
    }  # fmt: skip


def _reading(found: Matched, estimates) -> str:
    svcca, rsa, held = estimates[:3]
    sure = [e.p_value < 0.05 for e in (svcca, rsa)]
    verdict = (
        "both are more than random pairing gives" if all(sure)
        else "neither is shown to be more than random pairing gives" if not any(sure)
        else f"only {'SVCCA' if sure[0] else 'RSA'} is shown to be more than random pairing gives"
    )  # fmt: skip
    return (
        f"{len(found.first)} pairs of units correlate {held.value:.2f} on samples that did not match them "
        f"({found.matched.mean():.2f} on those that did). The arrangement of their weights agrees with SVCCA "
        f"{svcca.value:.2f} ({svcca.null:.2f} for random pairs) and RSA {rsa.value:.2f} ({rsa.null:.2f}): {verdict}."
    )


def _caveats(
    found: Matched, pairs: PairedRows, weights: list[Weights], halves: Halves, least, names
) -> list[str]:
    notes = [
        f"{found.n_dropped} unit(s) of {names[0]} without a partner that correlates at least {least:.2f} left out."
    ]
    for w, name in zip(weights, names, strict=True):
        if not w.usable.all():
            notes.append(
                f"{name}: {int((~w.usable).sum())} unit(s) whose weights are zero, NaN or infinite left out."
            )
        if w.turned:
            notes.append(f"{name}: the columns of its weights are taken as its units.")
    most = (len(found.first) - 1) // 4
    if max(pairs.one.shape[1], pairs.other.shape[1]) >= max(most, 1):
        notes.append(f"SVCCA keeps at most a quarter as many directions as pairs ({max(most, 1)}), fewer than hold the "
                     "wanted variance.")  # fmt: skip
    repeated = len(found.second) - len(np.unique(found.second))
    if repeated:
        notes.append(f"{repeated} pair(s) repeat a partner: their weights are equal in the second network.")
    return notes


def _cost(shapes, params: MatchedGeometryParams) -> Cost:
    m, n = machine(), min(shapes[0][0], shapes[1][0], params.maximum_samples)
    p, q = (min(s[1], params.maximum_units) for s in shapes[:2])
    wide = [min(s) if s[0] == a[1] else max(s) for s, a in zip(shapes[2:], shapes[:2], strict=True)]
    k = min(p, q)
    flops = (EXCHANGES + 2.0) * n * p * q + 40.0 * k * k * (sum(wide) + k)
    moved = (
        (DRAWS + EXCHANGES * 4.0 + 60) * 8 * k * k * 6
        + (EXCHANGES + 2.0) * 8 * n * q
        + 8.0 * n * (p + q) * 30
    )
    if params.matching == "one to one":
        moved += (EXCHANGES + 1.0) * min(p, q) ** 2 * max(p, q)
    stored = 8.0 * sum(s[0] * s[1] for s in shapes[2:]) * 1.5
    return Cost(m.seconds(flops64=flops, moved=moved) + 0.05, 8.0 * n * (p + q) * 4.5 + stored + 60.0 * p * q)


def _check() -> tuple[CheckLine, ...]:
    """One network twice, its units in another order and its weights rotated: all pairs found, SVCCA and RSA 1.
    Unrelated weights: the nulls, of which the mean squared correlation is max(r, s) / (k - 1) and RSA is 0."""
    rng = np.random.default_rng(23)
    x, w = rng.standard_normal((400, 60)), rng.standard_normal((60, 10))
    order = rng.permutation(60)
    turned = w[order] @ np.linalg.qr(rng.standard_normal((10, 10)))[0]
    same = matched_geometry(*map(ArrayActivations, (x, x[:, order], w, turned)))
    right = (order[same.columns["second"].astype(int)] == same.columns["first"].astype(int)).sum()
    other = matched_geometry(*map(ArrayActivations, (x, x, w, rng.standard_normal((60, 10)))))
    pairs = paired_rows(w + 5, rng.standard_normal((60, 10)) - 3, 0.99)  # a common mean is no relation
    squared = np.mean(
        [(np.linalg.svd(pairs.one.T @ pairs.other[rng.permutation(60)])[1] ** 2).mean() for _ in range(300)]
    )
    return (
        CheckLine("units in another order: pairs found", 60, float(right), 0),
        CheckLine("weights rotated: SVCCA", 1.0, same.estimates[0].value, 1e-9),
        CheckLine("weights rotated: RSA", 1.0, same.estimates[1].value, 1e-9),
        CheckLine("held-out correlation of equal units", 1.0, same.estimates[2].value, 1e-9),
        CheckLine("unrelated weights: RSA", 0.0, other.estimates[1].value, 0.1),
        CheckLine("unrelated weights: p of SVCCA", 0.01, other.estimates[0].p_value, 0.0, "at least"),
        CheckLine("random pairing: mean squared correlation", max(pairs.one.shape[1], pairs.other.shape[1]) / 59,
                  float(squared), 0.015),
    )  # fmt: skip


METHODS = (
    Method(
        id="matched_geometry", family="populations", title="Geometry of matched units", version=1,
        function=matched_geometry,
        summary="Whether units matched by their activations have weights that are arranged alike in two networks.",
        params=MatchedGeometryParams, result=Table, check=_check, cost=_cost, inputs=4, minimum_rows=4,
        invariance="permuting the units of a network with their weights; rotating or rescaling either weight space",
        papers=("SAEs Reveal Universal Feature Spaces Across LLMs",),
    ),
)  # fmt: skip
