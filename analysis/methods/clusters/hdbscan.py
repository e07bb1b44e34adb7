"""Density clusters of the rows of a tap, in the original space: how many there are, whether any, and which come back.

HDBSCAN: the minimum spanning tree of mutual reachability (`compute.neighbours.spanning_tree`), condensed to parts of at
least "smallest cluster" rows, of which those with the largest excess of mass are taken
(`compute.clusters.density_tree`). Written from the papers because the tree is needed (for the prominence of a split);
the same clusters as scikit-learn's, but that equal distances split at once, so that the order of the rows decides
nothing.

Whether there is any: the *prominence* of the clearest split (how many times further apart two parts are than their
points) against clouds without clusters. Rows in no cluster are noise (-1).

When it lies: density is hard to see in many dimensions; real groups of a few hundred units often come out as noise,
and "no cluster is detectable" then means by density. One smallest size for all: smaller groups are noise, and groups
of very different density hide each other. Heavy tails look like noise around one cluster. Tokens of one sample
resemble each other: a sample can be a cluster.

Cost: O(n² d) for neighbours, exact; 20 small trees for the null; memory O(n d). Beyond "maximum rows" a seeded subset
is clustered, and each other row joins the cluster of its nearest clustered row where that is nearer than the distance
at which the cluster comes apart from the rest.

References: R. Campello, D. Moulavi & J. Sander (2013), "Density-based clustering based on hierarchical density
estimates"; C. Hennig (2007), "Cluster-wise assessment of cluster stability".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.clusters import cluster_report as report
from analysis.compute.clusters.cluster_names import SOURCES
from analysis.compute.clusters.cluster_null import LEVEL, NULLS, null_cloud, subset_cloud
from analysis.compute.clusters.density_tree import DensityClusters, density_clusters
from analysis.compute.machine import machine
from analysis.compute.neighbours.spanning_tree import spanning_tree
from analysis.compute.rows.cloud import point_cloud
from analysis.compute.rows.cluster_columns import COLUMN_HELP, NAMES_HELP, label_column
from analysis.compute.rows.metric_space import METRICS, Space, nearest_of
from analysis.compute.statistics.nulls import add_one_p, wilson
from analysis.results import Estimate, Partition
from analysis.spec import CheckLine, Cost, Method, no_progress, param

MINIMUM = 12


@dataclass(frozen=True)
class HdbscanParams:
    smallest: int | None = param(
        None, "Fewest rows of a cluster; automatic: 1 % of the rows, at least 10.", label="smallest cluster", low=2,
        high=10_000,
    )  # fmt: skip
    min_samples: int | None = param(
        None, "Rows, itself included, that make a place dense; automatic: 10, or the smallest cluster. Larger: more "
        "noise, fewer chance clusters.", label="density over", low=1, high=1000,
    )  # fmt: skip
    metric: str = param("euclidean", "Distances in the data.", choices=METRICS)
    null: str = param("gaussian", "The cloud without clusters to compare with.", choices=NULLS)
    null_draws: int = param(20, "Clouds without clusters; 19 are the fewest for p = 0.05.", low=19, high=499)
    halves: int = param(20, "Random halves of the samples that are clustered again.", low=5, high=200)
    column: str | None = param(None, COLUMN_HELP, label="label column", column=True)
    names: str = param("automatic", NAMES_HELP, choices=SOURCES)
    maximum_rows: int = param(
        20_000, "Rows the clusters are made from; a seeded random subset above.", low=50, high=100_000
    )


def hdbscan(
    activations, params: HdbscanParams = HdbscanParams(), rng=None, progress=no_progress
) -> Partition:
    """Density clusters of a tap's rows.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Partition
        `codes` (finite rows,), largest cluster first, -1 for noise; `strength` 1 for the densest row of a cluster.
        Estimates: prominence of the clearest split, share of rows in a cluster, stability, silhouette, agreement.

    Raises
    ------
    NotEnoughData
        Fewer than 12 finite rows.
    InputError
        All rows are equal.
    NotFound
        The label column is not there.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    labels = label_column(activations, params.column)
    cloud = point_cloud(
        activations, rng, maximum_rows=params.maximum_rows, minimum=MINIMUM, progress=progress
    )
    space = Space.of(cloud.x, params.metric)
    test = subset_cloud(cloud.x, space, rng)
    cluster = _clusterer(params, len(cloud.x))
    points = space.place(cloud.x)
    whole = cluster(points, progress, (0.1, 0.3))
    seen = whole if test.share == 1 and len(test.rows) == len(points) else cluster(test.points)
    null = _null(test, cluster, params, rng, progress)
    fitted = _fitted(whole, points, space)
    codes, owners = whole.codes[test.rows], cloud.sample[test.rows]
    found = report.repeats(
        test, codes, owners, lambda x, _: cluster(x).codes, how=params.null, draws=params.halves, rng=rng,
        progress=progress, span=(0.5, 0.85),
    )  # fmt: skip
    evidence = report.evidence_of(activations, cloud, labels)
    names, groups, words = report.named_levels(fitted, evidence, rng, params.names, progress, 0.85)
    agreed, notes = report.agreement_estimates(fitted.codes, evidence, rng)
    rows, codes_all, strength = report.all_rows(activations, cloud, fitted, progress, (0.9, 1.0))
    progress(1.0, "done")
    repeated = (
        (*report.repeat_estimates(found, test, params.null, params.halves), *agreed) if fitted.k else ()
    )
    p = float(add_one_p(seen.prominence, null[:, 0]))
    placed = "each other row joins the cluster of its nearest clustered row, unless it is too far away"
    return report.partition(
        title=f"Density clusters of {activations.name}",
        reading=_reading(p, seen, found, names, params, fitted, codes_all),
        caveats=(*report.caveats_of(cloud, test, fitted, len(rows), placed), *notes),
        estimates=(*_estimates(p, seen, null, test, params), *repeated),
        rows=rows, codes=codes_all, strength=strength, groups=groups, words=words,
        columns=report.table(codes_all, len(rows), test, codes, found, names),
    )  # fmt: skip


def _clusterer(params: HdbscanParams, n: int):
    """points -> DensityClusters; a smaller set of points has smaller clusters, in proportion, but at least 5."""
    smallest = params.smallest or max(10, n // 100)

    def cluster(points: np.ndarray, progress=no_progress, span=(0.0, 1.0)) -> DensityClusters:
        size = max(min(smallest, 5), round(smallest * len(points) / n))
        around = min(params.min_samples or 10, size if params.min_samples is None else len(points))
        points = points - points.mean(axis=0)
        return density_clusters(*spanning_tree(points, around, progress, span), size)

    return cluster


def _null(test, cluster, params: HdbscanParams, rng, progress) -> np.ndarray:
    """(draws, 2) prominence and share of rows in a cluster, in clouds without clusters."""
    out = np.empty((params.null_draws, 2))
    for i in range(params.null_draws):
        progress(0.3 + 0.2 * i / params.null_draws, "looking for clusters where there are none")
        found = cluster(null_cloud(test, params.null, rng))
        out[i] = found.prominence, (found.codes >= 0).mean()
    return out


def _fitted(whole: DensityClusters, points: np.ndarray, space: Space) -> report.Fitted:
    inside = np.flatnonzero(whole.codes >= 0)

    def assign(block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        near, distance = nearest_of(space.place(block), points[inside])
        code, depth = whole.codes[inside[near]], whole.strength[inside[near]]
        joins = distance < whole.birth[code]
        return np.where(joins, code, -1).astype(np.int32), np.where(joins, depth, 0.0)

    centres = [points[whole.codes == c].mean(axis=0) for c in range(len(whole.birth))]
    return report.Fitted(whole.codes, whole.strength, np.array(centres).reshape(-1, points.shape[1]), assign)


def _estimates(p: float, seen: DensityClusters, null, test, params: HdbscanParams) -> tuple[Estimate, ...]:
    n, d = test.x.shape
    share = float((seen.codes >= 0).mean())
    how = f"{params.null_draws} clouds without clusters ({params.null}): median, least, most"
    low, high = wilson(share * n, n)
    middle = np.median(null, axis=0)
    return (
        Estimate("prominence of the clearest split", seen.prominence, null=float(middle[0]),
                 null_low=float(null[:, 0].min()), null_high=float(null[:, 0].max()), null_method=how, p_value=p,
                 n=n, d=d, estimator="distance between two parts over the median distance inside, 1 without a split"),
        Estimate("rows in a cluster", share, min(low, share), max(high, share), interval="Wilson",
                 null=float(middle[1]), null_low=float(null[:, 1].min()), null_high=float(null[:, 1].max()),
                 null_method=how, n=n, d=d, estimator="share that is not noise, on the rows of the test"),
    )  # fmt: skip


def _reading(p: float, seen, found, names, params: HdbscanParams, fitted, codes) -> str:
    against = f"in {params.null_draws} clouds without clusters ({params.null}; p = {p:.2g})"
    if not fitted.k:
        return (
            "No cluster is detectable by density: no two parts of at least the smallest size come apart. In many "
            "dimensions density is hard to see; k-means asks another question."
        )
    parts = f"{fitted.k} dense part{'s' if fitted.k > 1 else ''}"
    noise = f"{np.mean(codes < 0):.0%} of the rows lie in none"
    if p > LEVEL:
        return (
            f"No cluster is detectable: the clearest split ({seen.prominence:.2f} times the distance inside) is no "
            f"clearer than {against}. The {parts} shown ({noise}) may be chance. "
            f"{report.stability_words(found, names)}"
        )
    return (
        f"{parts}, further apart ({seen.prominence:.2f} times the distance inside) than any {against}; {noise}. The "
        f"largest: {', '.join(str(name) for name in names.name[:3])}. {report.stability_words(found, names)}"
    )


def _cost(shapes, params: HdbscanParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n = min(rows, params.maximum_rows)
    t = min(n, 1500)
    trees = params.null_draws + params.halves / 4 + 8
    tree = 3e-5 * t + t * t * 40e-9
    pairs = m.seconds(flops32=2.0 * n * n * d, flops64=2.0 * n * n * d / 8 + 2.0 * (rows - n) * n * d)
    seconds = pairs + trees * (tree + m.seconds(flops64=2.0 * t * t * min(d, 64))) + n * 2e-5
    return Cost(seconds + 0.1, n * d * 8 * 5.0 + t * t * 8 * 3.2 + rows * 60 + 4e6)


def _check() -> tuple[CheckLine, ...]:
    """Three planted clumps in uniform noise are found, and the noise is noise; one Gaussian cloud has no cluster."""
    rng = np.random.default_rng(2)
    label = np.r_[np.repeat([0, 1, 2], 80), np.full(60, -1)]
    x = np.vstack(
        [np.eye(3, 4)[label[:240]] * 6 + 0.3 * rng.standard_normal((240, 4)), rng.uniform(-9, 9, (60, 4))]
    )
    found = hdbscan(as_activations(x, labels=label), HdbscanParams(smallest=20), np.random.default_rng(1))
    none = hdbscan(rng.standard_normal((300, 4)), rng=np.random.default_rng(1))
    value = {e.name: e for e in found.estimates}
    noise = found.codes[240:] < 0
    return (
        CheckLine("planted clusters", 3, float(found.n_clusters), 0),
        CheckLine("planted noise found to be noise", 0.85, float(noise.mean()), 0.0, "at least"),
        CheckLine(
            "adjusted Rand index with the labels",
            1.0,
            value["adjusted Rand index with the labels"].value,
            0.02,
        ),
        CheckLine("smallest stability", 0.9, float(found.columns["stability"].min()), 0.0, "at least"),
        CheckLine("p of the planted clusters", 0.05, found.estimates[0].p_value, 0.0, "at most"),
        CheckLine("p of one Gaussian cloud", 0.05, none.estimates[0].p_value, 0.0, "at least"),
    )


METHODS = (
    Method(
        id="hdbscan", family="clusters", title="Density clusters (HDBSCAN)", version=2, function=hdbscan,
        summary="Dense groups of the rows, noise left out, with stability, names and whether there is any.",
        params=HdbscanParams, result=Partition, check=_check, cost=_cost, minimum_rows=MINIMUM, worker=True,
        invariance="rotating, shifting or rescaling all activations together (euclidean; cosine: rotating all, "
        "rescaling any row); the order of the rows up to the numbers of the clusters",
    ),
)  # fmt: skip
