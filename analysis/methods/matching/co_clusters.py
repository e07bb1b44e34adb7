"""Many to many: groups of units of one layer that belong to groups of units of another. Units x units, in blocks.

The correlations |r| between the units of both sides are the weights of a bipartite graph, cut by the singular vectors
of D^(-1/2) |R| E^(-1/2) (`compute.matching.co_clustering`). A cluster holds units of both sides: whatever is told by a
group in one network is told by its group in the other, without one-to-one partners.

The number of clusters stands before the widest gap of these values, or is given; one cluster where |R|, less what its
row and column sums explain, has no singular value above those of moved samples (95 % of the largest). Null of
everything: the samples of one side moved, so that the groups within either side stay and only what joins them goes;
the whole procedure is repeated, the choice of clusters included. Shares do not see how small the |r| of moved samples
are, so that their null is high; the difference between mean |r| inside and outside does. Stability: samples drawn again
with replacement and clustered anew, compared by the adjusted Rand index over the units of both sides.

When it lies: a widest gap exists also where groups shade into each other (look at stability and at the share inside);
a common cause of everything (brightness, length, position) gives one big cluster or two; many samples make any small
structure pass its null; a unit that belongs to nothing is put somewhere all the same (its |r| are small throughout).

Cost: O(n p q + p q min(p, q)) about sixty times; memory 8 n (p + q) x 4 + some p q.

References: I. Dhillon (2001); Y. Li et al. (2016), "Convergent learning"; J. Horn (1965) for the null of the values;
L. Hubert & P. Arabie (1985); M. Barber (2007) for modularity.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.correlation.correlations import correlation_p, null_quantile
from analysis.compute.machine import machine
from analysis.compute.matching.co_clustering_tests import (
    DRAWS,
    MOVES,
    CoClustered,
    co_clustered,
    drawing_order,
    inside,
    without_groups,
)
from analysis.compute.matching.unit_sides import FEWEST, UnitSides, column_groups, unit_sides
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.nulls import against
from analysis.compute.statistics.sample_groups import jackknife_half
from analysis.errors import NotEnoughData
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

LISTED = 6  # clusters in the reading


@dataclass(frozen=True)
class CoClustersParams:
    clusters: int | None = param(None, "Number of clusters; empty: before the widest gap that passes the null.",
                                 low=2, high=64)  # fmt: skip
    most: int = param(20, "Most clusters that are looked for.", low=2, high=64)
    rows: str = param("samples", "Correlate over samples, matched by id with tokens pooled, or over the tokens "
                      "themselves, where both taps hold the same ones.", choices=("samples", "tokens"))  # fmt: skip
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_units: int = param(512, "Most units a side: those of largest variance.", low=2, high=2048)
    maximum_samples: int = param(
        10_000, "Most samples (or tokens); a seeded random subset above.", low=50, high=200_000
    )


def co_clusters(
    a, b, params: CoClustersParams = CoClustersParams(), rng=None, progress=no_progress
) -> Matrix:
    """Co-clusters of the units of two taps.

    Parameters
    ----------
    a, b : Activations or arrays (rows, units), of the same samples (matched by id), any numbers of units from 2.

    Returns
    -------
    Matrix
        `values` (p, q) Pearson r of each unit of `a` with each of `b`, drawn cluster by cluster; `null_band` and
        `significant` of a cell as for unrelated Gaussian units. Estimates: the number of clusters, the first
        joint value, the share of |r| inside the clusters and its modularity, mean |r| inside less outside, stability.

    Raises
    ------
    ParameterError, InputError, NotEnoughData, TooLarge
        An id twice; fewer than eight common samples or two units that vary on a side; over 4 GiB.
    """
    rng = rng or np.random.default_rng(0)
    sides = unit_sides(
        [as_activations(a), as_activations(b)], rng, rows=params.rows, pooling=params.pooling,
        maximum=params.maximum_samples, most_units=params.maximum_units, progress=progress, span=(0.0, 0.15),
    )  # fmt: skip
    if min(len(sides.x), len(sides.y)) < 2:
        raise NotEnoughData(f"{len(sides.x)} and {len(sides.y)} unit(s) that vary", "two a side or more")
    found = co_clustered(sides, params.clusters, params.most, rng, progress, (0.15, 1.0))
    estimates, n = _estimates(found, sides, column_groups(sides, rng)), sides.n_samples
    band, weights = null_quantile(n, 0.95), np.abs(found.r)
    order = drawing_order(weights, found.a, found.b), drawing_order(weights.T, found.b, found.a)
    return Matrix(
        title=f"Co-clusters of units of {sides.taps[0]} and {sides.taps[1]}",
        reading=_reading(found, estimates, sides), caveats=_caveats(found, sides, params), estimates=estimates,
        values=found.r, row_names=tuple(map(str, sides.names[0])), column_names=tuple(map(str, sides.names[1])),
        value_name="Pearson r", row_order=order[0], column_order=order[1], null_band=(-band, band),
        significant=benjamini_hochberg(correlation_p(found.r, n)) < 0.05, limits=(-1.0, 1.0), diverging=True,
    )  # fmt: skip


# ---------------------------------------------------------------------------- numbers
def _estimates(found: CoClustered, sides: UnitSides, group: np.ndarray) -> tuple[Estimate, ...]:
    w = np.abs(found.r)
    values = found.joint[0], *inside(w, found.a, found.b)
    half = jackknife_half(without_groups(found, sides, group))
    null = np.column_stack([found.null_joint[:, 0], found.null_inside])
    common = {"n": sides.n_samples, "d": max(found.r.shape), "estimator": "bipartite spectral cut of |r|"}
    jack, moved = "jackknife over groups of samples, t", f"samples of one side moved, {MOVES} times"
    again, alike = moved + ", clustered again", float(found.alike.mean())
    low, high = np.percentile(found.alike, [2.5, 97.5])
    joined = float((found.null_joint[:, 0] > found.floor).mean())

    def of(name: str, i: int, floor: float, how: str, by: str) -> Estimate:
        v, h = float(values[i]), float(half[i])
        return Estimate(name, v, max(v - h, floor), min(v + h, 1.0), interval=how, null_method=by,
                        **against(v, null[:, i]), **common)  # fmt: skip

    return (
        Estimate("clusters", float(found.k), null=1.0, p_value=None, **common,
                 null_method=f"{moved}: one cluster in {1 - joined:.0%} of the moves"),
        of("first joint value of |r|", 0, 0.0, jack, moved),
        of("share of |r| inside the clusters", 1, 0.0, jack + ", clusters held", again),
        of("share inside beyond that by size (modularity)", 2, -1.0, jack + ", clusters held", again),
        of("mean |r| inside the clusters less outside", 3, -1.0, jack + ", clusters held", again),
        Estimate("agreement of the clusters after resampling (adjusted Rand)", alike, min(float(low), alike),
                 max(float(high), alike), interval=f"95 % of {DRAWS} resamplings", null_method=again,
                 **against(alike, found.null_alike), **common),
    )  # fmt: skip


def _reading(found: CoClustered, estimates, sides: UnitSides) -> str:
    _, joint, share, beyond, apart, alike = estimates
    if found.k == 1:
        return (
            f"No groups of units of {sides.taps[0]} and {sides.taps[1]} belong together beyond chance: the first joint "
            f"value is {joint.value:.4f}, where moved samples reach {found.floor:.4f}."
        )
    weights, sizes = np.abs(found.r), []
    for c in range(min(found.k, LISTED)):
        i, j = found.a == c, found.b == c
        inside = (
            f", mean |r| {weights[np.ix_(i, j)].mean():.2f}" if i.any() and j.any() else ", of one side only"
        )
        sizes.append(f"{int(i.sum())} x {int(j.sum())} units{inside}")
    more = f"; {found.k - LISTED} smaller ones" if found.k > LISTED else ""
    return (
        f"{found.k} clusters join units of {sides.taps[0]} and {sides.taps[1]} ({'; '.join(sizes)}{more}). They hold "
        f"{share.value:.0%} of all |r|, {beyond.value:.0%} more than their sizes alone would; the mean |r| is "
        f"{apart.value:.3f} higher inside than outside (moved samples, clustered alike: {beyond.null:.0%} more, "
        f"{apart.null:.3f} higher). Clusters of resampled samples agree with them by {alike.value:.2f} (1 is the same; "
        f"moved samples {alike.null:.2f})."
    )


def _caveats(found: CoClustered, sides: UnitSides, params) -> tuple[str, ...]:
    notes = list(sides.notes)
    if params.clusters and found.k < params.clusters:
        notes.append(
            f"{found.k} clusters instead of {params.clusters}: there are too few units, or some are alike."
        )
    notes.append(f"{found.above} joint value(s) pass those of moved samples ({found.floor:.4f}).")
    if params.clusters is None and found.above > params.most - 1:
        notes.append(f"At most {params.most} clusters were looked for.")
    if found.k > 1 and found.alike.mean() < 0.5:
        notes.append("The clusters change when samples are drawn again: read the order, not the borders.")
    notes.append("The band and the marks of a cell are those of unrelated Gaussian units.")
    return tuple(notes)


def _cost(shapes, params: CoClustersParams) -> Cost:
    (n, a), (m, b) = shapes
    n, p, q = min(n, m, params.maximum_samples), *(min(d, params.maximum_units) for d in (a, b))
    times, low = 2.0 * MOVES + MOVES + DRAWS + 10, min(p, q)
    flops = 2.0 * times * n * p * q + times * 20.0 * p * q * low
    moved = 8.0 * (times * 4.0 * n * (p + q) + 10.0 * n * (a + b) + times * 10.0 * p * q)
    memory = 8.0 * (n * (2.0 * (a + b) + 2.5 * (p + q)) + 10.0 * p * q)
    return Cost(machine().seconds(flops64=flops, moved=moved) + (MOVES * 2 + DRAWS) * 0.02, memory)


def _check() -> tuple[CheckLine, ...]:
    """Three planted sources, each seen by ten units of either side, are found, stable, with most of |r| inside;
    unrelated sides have one cluster."""
    rng = np.random.default_rng(3)
    source = np.repeat(rng.standard_normal((600, 3)), 10, axis=1)
    x, y = (source + 0.7 * rng.standard_normal((600, 30)) for _ in range(2))
    found = co_clusters(x[:, rng.permutation(30)], y)
    clusters, joint, share, beyond, _, alike = (e.value for e in found.estimates)
    own = np.abs(found.values[np.ix_(found.row_order, found.column_order)])
    blocks = np.array([own[10 * i : 10 * i + 10, 10 * i : 10 * i + 10].mean() for i in range(3)])
    noise = co_clusters(rng.standard_normal((600, 30)), y)
    return (
        CheckLine("clusters", 3.0, clusters, 0.0),
        CheckLine("mean |r| of the drawn blocks, 1 / (1 + 0.7²)", 1 / 1.49, float(blocks.mean()), 0.02),
        CheckLine("share of |r| inside at least", 0.85, share, 0.0, "at least"),
        CheckLine("of which by size: a third", 1 / 3, share - beyond, 0.01),
        CheckLine("agreement after resampling", 1.0, alike, 1e-12),
        CheckLine("first joint value above its null", found.estimates[1].null_high, joint, 0.0, "at least"),
        CheckLine("unrelated: clusters", 1.0, noise.estimates[0].value, 0.0),
    )  # fmt: skip


METHODS = (
    Method(
        id="co_clusters", family="matching", title="Co-clusters (many to many)", version=1, function=co_clusters,
        summary="Which groups of units of one network belong to which groups of another, drawn as blocks.",
        params=CoClustersParams, result=Matrix, check=_check, cost=_cost, inputs=2, minimum_rows=FEWEST,
        invariance="permuting, flipping, shifting or rescaling units of either side changes nothing but the order",
        papers=(
            "Convergent Learning: Do different neural networks learn the same representations?", "Convergent Learning",
        ),
        libraries=("scikit-learn",),
    ),
)  # fmt: skip
