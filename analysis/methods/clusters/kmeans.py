"""k-means clusters of the rows of a tap, in the original space: how many, whether there are any, which come back.

Minimises W_k, the sum of squared distances to the nearest of k centres (scikit-learn's k-means, ten starts). The
number of clusters is given, or chosen by the gap statistic (`compute.clusters.cluster_null`) or by prediction strength
(the largest k at 0.8 or more); both can answer that no cluster is detectable. Beside each cluster: stability over
halves of the samples with what chance gives, silhouette, agreement with labels, a name and where it comes from.

When it lies: every cloud can be cut into k parts; parts of an elongated cloud without clusters come back too (look at
the null beside stability). The Gaussian null is beaten by anything that is not Gaussian, such as a bent sheet or heavy
tails: a small p says "not one Gaussian cloud", the silhouette says how separate the parts are. k-means wants round
clusters of like size; a long one is cut, small ones are joined. Tokens of one sample resemble each other.

Cost: O(n k d) per pass for the clusters, and (draws + 1) x (largest k) small fits for the null. Rows beyond
"maximum rows" are put to the nearest centre. Memory O(n d).

References: R. Tibshirani, G. Walther & T. Hastie (2001), "Estimating the number of clusters in a data set via the gap
statistic"; R. Tibshirani & G. Walther (2005), "Cluster validation by prediction strength"; C. Hennig (2007),
"Cluster-wise assessment of cluster stability".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.clusters import cluster_report as report
from analysis.compute.clusters.cluster_names import SOURCES
from analysis.compute.clusters.cluster_null import LEVEL, NULLS, Gap, gap_statistic, subset_cloud
from analysis.compute.clusters.kmeans import Centres, prediction_strength, to_centres
from analysis.compute.clusters.kmeans import kmeans as fit_centres
from analysis.compute.machine import machine
from analysis.compute.rows.cloud import point_cloud
from analysis.compute.rows.cluster_columns import COLUMN_HELP, NAMES_HELP, label_column
from analysis.compute.rows.metric_space import METRICS, Space, squared_distances
from analysis.results import Estimate, Partition
from analysis.spec import CheckLine, Cost, Method, no_progress, param

STARTS, AGAIN, ENOUGH, MINIMUM = 10, 6, 0.8, 12


@dataclass(frozen=True)
class KMeansParams:
    clusters: int | None = param(
        None, "How many clusters; automatic: chosen by the rule below.", low=2, high=200
    )
    choose: str = param(
        "gap", "How the number is chosen where it is not given.", choices=("gap", "prediction strength")
    )
    most_clusters: int = param(12, "Largest number that is tried.", label="try up to", low=2, high=60)
    metric: str = param(
        "euclidean", "Distances in the data; cosine: k-means of unit vectors.", choices=METRICS
    )
    null: str = param("gaussian", "The cloud without clusters to compare with.", choices=NULLS)
    null_draws: int = param(20, "Clouds without clusters; 19 are the fewest for p = 0.05.", low=19, high=499)
    halves: int = param(20, "Random halves of the samples that are clustered again.", low=5, high=200)
    column: str | None = param(None, COLUMN_HELP, label="label column", column=True)
    names: str = param("automatic", NAMES_HELP, choices=SOURCES)
    maximum_rows: int = param(
        20_000, "Rows the clusters are made from; a seeded random subset above.", low=50, high=200_000
    )


def kmeans(activations, params: KMeansParams = KMeansParams(), rng=None, progress=no_progress) -> Partition:
    """k-means clusters of a tap's rows.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Partition
        `codes` (finite rows,), largest cluster first; all -1 and no cluster where none is detectable and k was not
        given. `strength` is 1 - (distance to the own centre) / (distance to the second nearest). Estimates: the
        gap against its null, stability, silhouette, agreement with labels.

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
    gap = gap_statistic(test, params.most_clusters, params.null, params.null_draws, rng, progress, (0.1, 0.5))
    k = params.clusters or _chosen(test, gap, params, rng)
    fitted = _fitted(space.place(cloud.x), space, k, rng, progress)
    codes = fitted.codes[test.rows]
    owners = cloud.sample[test.rows]
    found = report.repeats(
        test, codes, owners, _again(fitted.k), how=params.null, draws=params.halves, rng=rng, progress=progress,
        span=(0.6, 0.85),
    )  # fmt: skip
    evidence = report.evidence_of(activations, cloud, labels)
    names, groups, words = report.named_levels(fitted, evidence, rng, params.names, progress, 0.85)
    agreed, notes = report.agreement_estimates(fitted.codes, evidence, rng)
    rows, codes_all, strength = report.all_rows(activations, cloud, fitted, progress, (0.9, 1.0))
    progress(1.0, "done")
    repeated = report.repeat_estimates(found, test, params.null, params.halves) if fitted.k else ()
    return report.partition(
        title=f"k-means clusters of {activations.name}",
        reading=_reading(gap, found, names, params, fitted.k),
        caveats=(*report.caveats_of(cloud, test, fitted, len(rows), "the others belong to the nearest centre"), *notes),
        estimates=(*_gap_estimates(gap, fitted.k, test, params), *repeated, *(agreed if fitted.k else ())),
        rows=rows, codes=codes_all, strength=strength, groups=groups, words=words,
        columns=report.table(codes_all, len(rows), test, codes, found, names),
    )  # fmt: skip


def _chosen(test, gap: Gap, params: KMeansParams, rng) -> int:
    """The number of clusters; 1 where none is detectable."""
    if gap.p > LEVEL:
        return 1
    if params.choose == "gap":
        return gap.chosen
    strong = [int(k) for k in gap.ks if prediction_strength(test.points, int(k), rng) >= ENOUGH]
    return max(strong, default=1)


def _fitted(points: np.ndarray, space: Space, k: int, rng, progress) -> report.Fitted:
    progress(0.5, "clustering")
    if k == 1:
        none = np.full(len(points), -1, np.int32)
        return report.Fitted(none, np.zeros(len(points)), np.zeros((0, 0)), lambda block: None)
    found: Centres = fit_centres(points, k, rng, STARTS)

    def assign(block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        placed = space.place(block)
        return to_centres(placed, found.centres), _margin(placed, found.centres)

    margin = _margin(points, found.centres)
    return report.Fitted(found.codes, margin, found.centres, assign)


def _margin(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """1 - nearest / second nearest distance (n,); 1 with one centre."""
    if len(centres) < 2:
        return np.ones(len(points))
    two = np.sqrt(np.partition(squared_distances(points, centres), 1, axis=1)[:, :2])
    return 1 - two[:, 0] / np.where(two[:, 1] > 0, two[:, 1], 1.0)


def _again(k: int):
    def fit(points: np.ndarray, rng) -> np.ndarray:
        return fit_centres(points, k, rng, AGAIN).codes if k else np.full(len(points), -1)

    return fit


def _gap_estimates(gap: Gap, k: int, test, params: KMeansParams) -> tuple[Estimate, ...]:
    n, d = test.x.shape
    at = min(k, int(gap.ks[-1])) if k > 1 else 2
    value, half = float(gap.gap[at - 1]), 1.96 * float(gap.error[at - 1])
    how = f"{params.null_draws} clouds without clusters ({params.null})"
    return (
        Estimate(f"gap of {at} clusters", value, value - half, value + half, interval=f"normal, over {how}", null=0.0,
                 null_method=f"mean of {how}", n=n, d=d, estimator="log(W_k / W_1), clouds minus data"),
        Estimate("largest gap", gap.statistic, null=float(np.median(gap.null)), null_low=float(gap.null.min()),
                 null_high=float(gap.null.max()), null_method=f"{how}, each against the others: median, least, most",
                 p_value=gap.p, n=n, d=d, estimator=f"over 2 to {gap.ks[-1]} clusters", unit="standard deviations"),
    )  # fmt: skip


def _reading(gap: Gap, found, names, params: KMeansParams, k: int) -> str:
    against = f"{params.null_draws} clouds without clusters ({params.null}; p = {gap.p:.2g})"
    if not k:
        if gap.p > LEVEL:
            return f"No cluster is detectable: the rows fall into groups no better than {against}."
        return (
            f"The rows are not one cloud (tighter groups than in {against}), but no number of clusters from 2 to "
            f"{gap.ks[-1]} is supported by the {params.choose} rule: no cluster is detectable."
        )
    largest = ", ".join(f"{name}" for name in names.name[:3])
    if gap.p > LEVEL:
        return (
            f"No cluster is detectable (no better than {against}). The {k} parts are cuts through one cloud: "
            f"{report.stability_words(found, names)}"
        )
    return f"{k} clusters, tighter than in {against}; the largest: {largest}. {report.stability_words(found, names)}"


def _cost(shapes, params: KMeansParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n = min(rows, params.maximum_rows)
    t = min(n, 1500)
    k, a = params.clusters or params.most_clusters, min(d, 64)
    fits = (params.null_draws + 1) * params.most_clusters + 2 * params.halves + 60
    small = 0.003 + t * params.most_clusters * (a + 20) * 8e-9
    seconds = fits * small + m.seconds(flops64=2.0 * STARTS * 20 * n * k * d + 2.0 * rows * k * d)
    seconds += m.seconds(flops64=40.0 * t * d * min(t, d), moved=8.0 * n * d * k)
    return Cost(seconds + 0.3, n * d * 8 * 5.0 + t * t * 8 * 2.2 + rows * 60 + 2e6)


def _check() -> tuple[CheckLine, ...]:
    """Five planted clusters are found, named and come back; one long Gaussian cloud has none."""
    rng = np.random.default_rng(11)
    label = np.repeat(np.arange(5), 60)
    x = 8 * np.eye(5, 12)[label] + rng.standard_normal((300, 12))
    found = kmeans(as_activations(x, labels=label), rng=np.random.default_rng(1))
    none = kmeans(rng.standard_normal((300, 12)) * np.linspace(3, 0.5, 12), rng=np.random.default_rng(1))
    rand = {e.name: e.value for e in found.estimates}["adjusted Rand index with the labels"]
    return (
        CheckLine("planted clusters", 5, float(found.n_clusters), 0),
        CheckLine("adjusted Rand index with the labels", 1.0, rand, 0.0),
        CheckLine("smallest stability", 1.0, float(found.columns["stability"].min()), 0.02),
        CheckLine("purity", 1.0, float(found.columns["purity"].min()), 0.0),
        CheckLine("clusters in one Gaussian cloud", 0, float(none.n_clusters), 0),
        CheckLine("its p", 0.05, float(none.estimates[1].p_value), 0.0, "at least"),
    )


METHODS = (
    Method(
        id="kmeans",
        family="clusters",
        title="k-means clusters",
        summary="Clusters of the rows around centres, with a number of clusters that may be none.",
        version=2,
        function=kmeans,
        params=KMeansParams,
        result=Partition,
        check=_check,
        cost=_cost,
        minimum_rows=MINIMUM,
        worker=True,
        invariance="rotating, shifting or rescaling all activations together (euclidean; cosine: rotating all, "
        "rescaling any row); the order of the rows up to the numbers of the clusters",
        libraries=("scikit-learn",),
    ),
)
