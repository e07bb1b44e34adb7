"""A map on which features that fire together are near and those that never do are far, and the heat map behind it.

    PMI_ij = log (n_ij n / (n_i n_j))        of n rows, n_i with feature i, n_ij with both

0 for independent features; a pair that never meets is no missing value: the more often it should have met, the farther
apart it belongs. Swivel's factors w_i c_j (`compute.dictionaries.swivel`) follow PMI where features meet, weighted by
√n_ij, and are only pushed below the PMI of a single common row where they never do. The map is the first two principal
axes of (w + c) / 2; lines join each feature with its partner of largest PMI. Beside it: do the nearest on the map of
factors also point alike (decoder cosines)? Both are kinship, and they differ.

Null: each feature's rows drawn anew by themselves, for the spread of PMI and for what factors explain; random
neighbours, q / (m - 1), for the agreement with cosines.

When it lies: two axes of many show a part of the factors, which is stated; PMI of rare features is noisy, which is why
few-row features are left out; a TopK rule makes all features avoid each other a little; tokens of a sample count as
independent; in a tap without zeros active means the highest tenth of a feature's rows.

Cost: O(rows active²) for pairs, 150 steps of O(m² r) for each of 1 + draws fits.

References: N. Shazeer et al. (2016), "Swivel: improving embeddings by noticing what's missing".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.dictionaries.active_features import (
    FEWEST,
    ActivityParams,
    active_features,
    map_cost,
    planted_groups,
)
from analysis.compute.dictionaries.common_rows import moved_rows
from analysis.compute.dictionaries.swivel import Counts, counts_of, fit_quality, swivel
from analysis.compute.statistics.nulls import against
from analysis.compute.statistics.sample_groups import groups_of, jackknife_half, mean_interval
from analysis.features.tap_dictionary import tap_dictionary
from analysis.results import Estimate, Scatter
from analysis.spec import CheckLine, Method, no_progress

NEAR, BEST = 5, "PMI with the best partner"


@dataclass(frozen=True)
class CoActivationMapParams(ActivityParams):
    """Which features and rows."""


def co_activation_map(
    activations, params: CoActivationMapParams = CoActivationMapParams(), rng=None, progress=no_progress
) -> Scatter:
    """Places of features by what they fire together with.

    Parameters
    ----------
    activations : Activations or array (rows, features)
        Codes, such as a tap that a feature set encoded.

    Returns
    -------
    Scatter
        A point for each feature, of kind "units"; edges to the partner of largest PMI. Estimates: what the factors
        explain, pairs that never meet kept apart, agreement with decoder cosines.

    Raises
    ------
    NotEnoughData, InputError
        Fewer than sixteen finite rows; fewer than three features that are active often enough.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    rows = active_features(tap, params, rng, progress)
    counts = counts_of(rows.on)
    progress(0.3, "factorising")
    found, null = swivel(counts, params.rank), []
    for draw in range(params.draws):
        progress(0.5 + 0.4 * draw / params.draws, "factorising moved rows")
        moved = counts_of(moved_rows(rows.on, rng))
        null.append(fit_quality(moved, swivel(moved, params.rank)))
    places = found.places - found.places.mean(axis=0)
    left, size, _ = np.linalg.svd(places, full_matrices=False)
    xy = (left * size)[:, :2]
    shared, partner = _cosines(tap, rows.shown, places), _partners(counts)
    progress(1.0, "done")
    held = float((size[:2] ** 2).sum() / max(float((size**2).sum()), 1e-300))
    estimates = _estimates(counts, found, fit_quality(counts, found), np.array(null), shared, rng)
    names = np.array(tap.unit_names)[rows.shown]
    value = counts.pmi[np.arange(len(xy)), partner]
    return Scatter(
        title=f"Features of {tap.name} by what they fire together with",
        reading=_reading(estimates, names, partner, value),
        caveats=(*rows.notes, f"The two axes hold {held:.0%} of the factors' variance: look at partners too.",
                 "Near on this map means firing together, not pointing alike."),
        estimates=estimates, positions=xy, rows=rows.shown, of="units", axes=("factor axis 1", "factor axis 2"),
        columns={"rows": counts.alone.astype(np.int64), "best partner": names[partner], BEST: value,
                 "never met": ((counts.both == 0) & (counts.expected >= 3)).sum(axis=1)},
        colour=BEST, meaningful_axes=False, edge_values=value, edge_name="PMI",
        edges=np.column_stack([np.arange(len(xy)), partner]).astype(np.int32),
    )  # fmt: skip


def _partners(counts: Counts) -> np.ndarray:
    """(m,) the feature of largest PMI, by a count of at least 5 where there is one."""
    score = np.where(counts.both >= 5, counts.pmi, counts.pmi - 1e6)
    np.fill_diagonal(score, -np.inf)
    return score.argmax(axis=1)


def _cosines(tap, shown: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(m,) share of the q nearest by factors that are among the q nearest by decoder cosine."""
    d = tap_dictionary(tap).features.directions[shown].astype(np.float64)
    near = []
    for x in (d, places):
        x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-300)
        cosine = x @ x.T
        np.fill_diagonal(cosine, -np.inf)
        near.append(np.argsort(-cosine, axis=1, kind="stable")[:, : min(NEAR, len(x) - 1)])
    return np.array([np.isin(a, b).mean() for a, b in zip(*near, strict=True)])


def _estimates(counts, found, quality, null, shared, rng) -> tuple[Estimate, ...]:
    m, own = len(shared), ~np.eye(len(shared), dtype=bool)
    group = groups_of(m, rng)
    without = []
    for g in range(int(group.max()) + 1):
        k = group != g
        part = Counts(counts.both[np.ix_(k, k)], counts.n)
        without.append(fit_quality(part, type(found)(found.w[k], found.c[k], 0.0)))
    half = jackknife_half(np.array(without))
    half = np.zeros(2) if half is None else half
    never = int((own & (counts.both == 0)).sum()) // 2
    q = min(NEAR, m - 1)
    return (
        Estimate("share of PMI that the factors explain", quality[0], quality[0] - float(half[0]),
                 min(quality[0] + float(half[0]), 1.0), interval="jackknife over groups of features, t",
                 **against(quality[0], null[:, 0]), null_method=f"rows of each feature drawn anew, {len(null)} times",
                 n=counts.n, d=m, estimator="over pairs that meet, weighted by √ of common rows"),
        Estimate("pairs that never meet and stay below PMI*", quality[1], max(quality[1] - float(half[1]), 0.0),
                 min(quality[1] + float(half[1]), 1.0), interval="jackknife over groups of features, t",
                 **against(quality[1], null[:, 1]), null_method=f"rows of each feature drawn anew, {len(null)} times",
                 n=counts.n, d=never, estimator="w c at most the PMI of one common row"),
        Estimate(f"nearest {q} by factors that point alike", float(shared.mean()), **mean_interval(shared, 0.0, 1.0),
                 null=q / (m - 1), null_method="random neighbours", n=m, d=m,
                 estimator=f"share among the nearest {q} by decoder cosine"),
    )  # fmt: skip


def _reading(estimates, names, partner, value) -> str:
    fit, _, alike = estimates
    best = int(np.argmax(value))
    return (
        f"The factors explain {fit.value:.0%} of PMI over pairs that meet ({fit.null:.0%} with rows drawn anew). Of "
        f"the nearest by firing {alike.value:.0%} are also nearest by direction ({alike.null:.0%} by chance). The "
        f"closest pair by PMI is {names[best]} and {names[partner[best]]} ({value[best]:.2f})."
    )


def _check() -> tuple[CheckLine, ...]:
    """Two groups that exclude each other lie apart; independent features have PMI near 0, perfect ones -log p."""
    rng, params = np.random.default_rng(0), CoActivationMapParams(draws=2, rank=3)
    found = co_activation_map(planted_groups(rng), params)
    groups = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    xy = found.positions[:8]
    inside = max(np.linalg.norm(xy[groups == g] - xy[groups == g].mean(axis=0), axis=1).max() for g in (0, 1))
    apart = np.linalg.norm(xy[groups == 0].mean(axis=0) - xy[groups == 1].mean(axis=0))
    return (
        CheckLine("groups apart over spread inside", 2.0, float(apart / inside), 0.0, "at least"),
        CheckLine("never together stay below PMI*", 1.0, found.estimates[1].value, 0.05),
        CheckLine("a partner of the same group", 1.0, float(np.mean(
            [(int(p) < 4) == (i < 4) and int(p) < 8 for i, p in enumerate(found.columns["best partner"][:8])])), 0.0),
    )  # fmt: skip


METHODS = (
    Method(
        id="co_activation_map", family="dictionaries", title="Map of features that fire together", version=2,
        function=co_activation_map,
        summary="Features that fire together near each other, those that never do far apart, by Swivel's factors.",
        params=CoActivationMapParams, result=Scatter, check=_check, cost=map_cost, minimum_rows=FEWEST,
        invariance="reordering features and rows; scaling features; any change of values that are not 0",
        papers=("Swivel: embeddings from co-occurrence, including zeros",),
    ),
)  # fmt: skip
