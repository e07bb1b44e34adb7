"""How sure are k clusters? k-means beside its semidefinite relaxation, and the relaxation as a picture.

    largest ⟨X Xᵀ, Z⟩   with   Z ⪰ 0, Z >= 0, Z 1 = 1, tr Z = k

Of a partition Z is 1/n_c inside clusters and 0 outside, with k eigenvalues of 1. The relaxation is convex and at least
as good as any partition, so it bounds what k-means missed, whatever its starts: where both reach the same sum of
squares, no k clusters are better. Z is drawn in the order of the clusters of k-means: what lies outside the blocks is
uncertainty about single samples. Exact recovery of k equal Gaussian clusters is possible above a sharp threshold of the
squared distance of centres,

    Δ² = 4 σ² (1 + √(1 + k d / (n log n))) log n

Null: for certainty a matrix that knows nothing, Σ (n_c / n)²; for the distance of centres that threshold. Intervals:
bootstrap over samples, of the partition as it is.

When it lies: clusters of different spread or shape are no longer what k-means is best at (the likelihood-adjusted form
is not here); k is given, and any data are cut into k; the bound is as exact as the steps settled, which is told; few
samples of many are taken, for time grows with their cube.

Cost: an eigendecomposition of (n, n) in each of at most 400 steps.

References: J. Peng & Y. Wei (2007), "Approximating K-means-type clustering via semidefinite programming"; X. Chen & Y.
Yang (2021), "Cutoff for exact recovery of Gaussian mixture models"; Y. Zhuang, X. Chen & Y. Yang (2022), "Likelihood
adjusted semidefinite programs for clustering heterogeneous data".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.clusters.kmeans import kmeans
from analysis.compute.clusters.relaxed_kmeans import SETTLED, Relaxed, partition_matrix, relaxed_kmeans
from analysis.compute.machine import machine
from analysis.compute.statistics.nulls import bootstrap_mean
from analysis.compute.subspaces.attribute_data import sample_values
from analysis.errors import InputError
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, STARTS, EQUAL = 8, 10, 2e-3


@dataclass(frozen=True)
class RelaxedClustersParams:
    clusters: int = param(3, "How many clusters.", low=2, high=30)
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    samples: int = param(
        60, "Most samples; a seeded random subset above.", label="most samples", low=8, high=400
    )


def relaxed_clusters(
    activations, params: RelaxedClustersParams = RelaxedClustersParams(), rng=None, progress=no_progress
) -> Matrix:
    """The relaxation's matrix of samples by samples.

    Parameters
    ----------
    activations : Activations or array (rows, units); tokens of a sample are pooled.

    Returns
    -------
    Matrix
        Z times the mean size of a cluster, in the order of the clusters. Estimates: the sum of squares of k-means over
        the bound, certainty, distance of the nearest centres.

    Raises
    ------
    NotEnoughData, InputError
        Fewer than eight finite samples, or no more samples than clusters; no unit that varies; too few different rows.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    data = sample_values(tap, rng, pooling=params.pooling, maximum=params.samples, minimum=FEWEST,
                         progress=progress)  # fmt: skip
    x = data.values - data.values.mean(axis=0)
    found = kmeans(x, params.clusters, rng, STARTS)
    k = len(found.centres)
    if k < params.clusters or k >= len(x):
        raise InputError(
            f"{len(x)} samples of {tap.name} with {len(np.unique(x, axis=0))} different rows",
            f"more than the {params.clusters} clusters asked for", "Ask for fewer clusters",
        )  # fmt: skip
    progress(0.3, "relaxing")
    relaxed = relaxed_kmeans(x, k)
    progress(1.0, "done")
    order = np.lexsort((-np.diag(relaxed.z), found.codes))
    ids = np.asarray(tap.samples["id"]).astype(str)[data.samples]
    shown = relaxed.z[np.ix_(order, order)] * len(x) / k
    names = tuple(f"{ids[i]} ({found.codes[i] + 1})" for i in order)
    estimates = _estimates(x, found, relaxed, rng)
    return Matrix(
        title=f"{k} clusters of samples of {tap.name}, relaxed", reading=_reading(estimates, k),
        caveats=(*data.notes, *_caveats(relaxed)), estimates=estimates, values=shown, row_names=names,
        column_names=names, value_name="belonging together, 1 in a cluster of mean size", diverging=False,
    )  # fmt: skip


def _estimates(x: np.ndarray, found, relaxed: Relaxed, rng) -> tuple[Estimate, ...]:
    n, d = x.shape
    k = len(found.centres)
    same = partition_matrix(found.codes) > 0
    sure = np.clip((relaxed.z * same).sum(axis=1), 0, 1)
    low, high = bootstrap_mean(sure, rng)
    share = np.bincount(found.codes) / n
    spread = found.within / max((n - k) * d, 1)
    apart = ((found.centres[:, None] - found.centres) ** 2).sum(axis=2)[~np.eye(k, dtype=bool)].min()
    level = 4 * (1 + np.sqrt(1 + k * d / (n * np.log(n)))) * np.log(n)
    return (
        Estimate("least sum of squares of any clusters, over that of k-means",
                 float(np.clip(relaxed.within / max(found.within, 1e-300), 0, 1)), n=n, d=d,
                 estimator=f"semidefinite bound; k-means of {STARTS} starts"),
        Estimate("certainty", float(sure.mean()), float(low), float(high), interval="bootstrap over samples",
                 null=float((share**2).sum()), null_method="a matrix that knows nothing, exact", n=n, d=d,
                 estimator="share of a sample's line of Z inside its cluster"),
        Estimate("squared distance of the nearest centres over σ²", float(apart / max(spread, 1e-300)),
                 null=float(level), null_method="threshold of exact recovery", n=n, d=d,
                 estimator="σ² the variance inside clusters, of one unit on average"),
    )  # fmt: skip


def _reading(estimates, k: int) -> str:
    bound, sure, apart = estimates
    best = (
        f"As far as the steps settled, no {k} clusters are better than those of k-means"
        if bound.value >= 1 - EQUAL
        else f"No {k} clusters have less than {bound.value:.1%} of k-means' sum of squares, which may not be the least"
    )
    said = "above" if apart.value > apart.null else "below"
    return (
        f"{best}. A sample's line lies to {sure.value:.0%} inside its cluster ({sure.null:.0%} for a matrix that knows "
        f"nothing). The nearest centres are {apart.value:.0f} σ² apart, {said} the {apart.null:.0f} at which equal "
        "Gaussian clusters can be recovered exactly."
    )


def _caveats(relaxed: Relaxed) -> list[str]:
    said = ["Any data are cut into as many clusters as are asked for."]
    if relaxed.apart > SETTLED:
        said.append(
            f"The relaxation had not settled: entries differ by {relaxed.apart:.1g}, and the bound with them."
        )
    return said


def _cost(shapes, params: RelaxedClustersParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n = min(rows, params.samples)
    seconds = m.seconds(flops64=250 * 30.0 * n**3, moved=24.0 * rows * d, calls=250 * 40)
    return Cost(seconds + 0.1, 8.0 * n * d * 5.0 + 8.0 * n * n * 14)


def _check() -> tuple[CheckLine, ...]:
    """Clusters far apart: blocks of one over their size, k-means the best there is. Noise: neither."""
    rng = np.random.default_rng(0)
    of = np.arange(30) % 3
    x = rng.standard_normal((30, 4))
    far = relaxed_clusters(ArrayActivations(x + 15 * np.eye(3, 4)[of], "far"))
    noise = relaxed_clusters(ArrayActivations(x, "noise"))
    return (
        CheckLine("inside a block", 1.0, float(far.values[:10, :10].mean()), 0.01),
        CheckLine("outside", 0.0, float(far.values[:10, 10:].max()), 0.01),
        CheckLine("certainty", 1.0, far.estimates[1].value, 0.01),
        CheckLine("k-means is the best", 1.0, far.estimates[0].value, 0.02),
        CheckLine("noise: less certain", 0.9, noise.estimates[1].value, 0.0, "at most"),
    )


METHODS = (
    Method(
        id="relaxed_clusters", family="clusters", title="Certainty of clusters", version=1, function=relaxed_clusters,
        summary="k-means beside its semidefinite relaxation: how much better any clusters could be, and who is unsure.",
        params=RelaxedClustersParams, result=Matrix, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="rotating, shifting or scaling all activations; reordering samples",
        papers=("Likelihood Adjusted Semidefinite Programs for Clustering Heterogeneous Data",),
        libraries=("scikit-learn",),
    ),
)  # fmt: skip
