"""How far could grouping without labels get here? How often neighbours share a class, at every neighbourhood size.

Grouping by neighbours (SCAN and kin) cannot be better than the neighbours are: the share of a row's k nearest
neighbours that have its class ("purity") is shown first, with a warning below 60 %. Beside it, for k-means with as
many clusters as classes: consistency (-log of how far neighbours agree; 0 is full agreement) and the entropy of the
mean assignment (log C when all clusters are used alike). Formulas in `compute.neighbours.neighbour_consistency`.

When it lies: purity depends on the mixture of classes (the null is what random neighbours give), and on how many
rows there are: more rows have nearer neighbours. Low purity says that nearness is not class here, not that the
classes cannot be told apart. One cluster for everything is perfectly consistent: read it with the entropy. Tokens of
one sample are each other's neighbours, which raises purity: neighbours inside the own sample are left out.

Cost: O(n² d) for exact neighbours, plus one k-means. Memory O(n (d + k)).

Reference: W. Van Gansbeke et al. (2020), "SCAN: Learning to classify images without labels".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.clusters.kmeans import kmeans
from analysis.compute.machine import machine
from analysis.compute.neighbours.neighbour_consistency import (
    chance_purity,
    consistency,
    mean_entropy,
    purity,
    soft_assignment,
)
from analysis.compute.neighbours.neighbours import nearest, search_bytes
from analysis.compute.rows.cloud import Cloud, point_cloud
from analysis.compute.rows.labelled_cloud import with_classes
from analysis.compute.rows.metric_space import METRICS, Space
from analysis.compute.statistics.nulls import bootstrap_mean
from analysis.compute.statistics.partition_agreement import Contingency, matched_accuracy
from analysis.errors import NotEnoughData
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

WARN, MINIMUM = 0.6, 12
MOST_OWN = 200  # neighbours looked at per row to find enough outside its own sample


@dataclass(frozen=True)
class ConsistencyParams:
    column: str = param("label", "The sample column that holds the classes.", column=True)
    neighbours: int = param(20, "Largest neighbourhood.", low=1, high=100)
    metric: str = param("euclidean", "How neighbours are found in the data.", choices=METRICS)
    maximum_rows: int = param(10_000, "Most rows; a seeded random subset above.", low=50, high=50_000)


def neighbour_consistency(
    activations, params: ConsistencyParams = ConsistencyParams(), rng=None, progress=no_progress
) -> Curve:
    """Purity of neighbourhoods, and the consistency and entropy of a grouping without labels.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Curve
        x = k; series "neighbour purity" in [0, 1] with a 95 % bootstrap band over samples and random neighbours as
        null. Estimates: purity at the largest k, consistency, entropy, accuracy of the grouping.

    Raises
    ------
    NotFound, NotEnoughData
        No such column; fewer than two classes with 3 samples, fewer than 12 finite rows, or too few samples.
    InputError
        All rows are equal.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    cloud = point_cloud(
        activations, rng, maximum_rows=params.maximum_rows, minimum=MINIMUM, progress=progress
    )
    found = with_classes(activations, cloud, params.column, 3)
    cloud, of = found.cloud, found.of[found.cloud.sample]
    points = Space.of(cloud.x, params.metric).place(cloud.x)
    indices = _neighbours(points - points.mean(axis=0), cloud, params, progress)
    pure = _by_sample(purity(of, indices), cloud)
    low, high = bootstrap_mean(pure, rng, draws=500)
    progress(0.8, "grouping without labels")
    groups = kmeans(points, len(found.names), rng, 10)
    p = soft_assignment(points, groups.centres)
    estimates = _estimates(pure, (low, high), of, indices, p, groups.codes, cloud, rng)
    progress(1.0, "done")
    k = indices.shape[1]
    return Curve(
        title=f"Neighbour purity of {activations.name} by {params.column}",
        reading=_reading(estimates, k, len(found.names)),
        caveats=_caveats(estimates, found, cloud, k, params),
        estimates=estimates, x=np.arange(1, k + 1), x_name="neighbours k", y_name="share with the same class",
        series={"neighbour purity": pure.mean(axis=0)}, low={"neighbour purity": low},
        high={"neighbour purity": high}, null={"neighbour purity": np.full(k, chance_purity(of))},
    )  # fmt: skip


def _neighbours(points: np.ndarray, cloud: Cloud, params: ConsistencyParams, progress) -> np.ndarray:
    """(n, k) nearest rows outside the row's own sample; fewer than asked for where a sample has many rows."""
    n = len(points)
    longest = int(np.bincount(cloud.sample).max()) if cloud.n_samples < n else 1
    look = min(n - 1, params.neighbours + min(longest - 1, MOST_OWN))
    found = nearest(points, look, progress=progress, span=(0.1, 0.8)).indices
    if longest == 1:
        return found
    foreign = cloud.sample[found] != cloud.sample[:, None]
    k = min(params.neighbours, int(foreign.sum(axis=1).min()))
    if k < 1:
        raise NotEnoughData(
            f"a row whose {look} nearest rows all belong to its own sample",
            "shorter samples",
            "Use a pooled tap",
        )
    order = np.argsort(~foreign, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(found, order, axis=1)


def _by_sample(values: np.ndarray, cloud: Cloud) -> np.ndarray:
    """(samples, k) means of (rows, k): rows of one sample are not independent."""
    if cloud.n_samples == len(values):
        return values
    starts = np.searchsorted(cloud.sample, np.arange(cloud.n_samples))
    counts = np.diff(np.append(starts, len(values)))
    return np.add.reduceat(values, starts, axis=0) / counts[:, None]


def _estimates(pure, band, of, indices, p, codes, cloud: Cloud, rng) -> tuple[Estimate, ...]:
    n, d, c = cloud.n_samples, cloud.x.shape[1], p.shape[1]
    shared = {"n": n, "d": d}
    terms = _by_sample(consistency(p, indices)[:, None], cloud)
    low, high = bootstrap_mean(terms, rng, draws=500)
    chance = consistency(p, rng.integers(len(p), size=indices.shape))
    order = rng.permutation(len(of))
    return (
        Estimate("neighbour purity", float(pure[:, -1].mean()), float(band[0][-1]), float(band[1][-1]),
                 interval="bootstrap over samples", null=chance_purity(of), null_method="random neighbours, exact",
                 estimator=f"{indices.shape[1]} neighbours outside the own sample", **shared),
        Estimate("consistency", float(terms.mean()), float(low[0]), float(high[0]), interval="bootstrap over samples",
                 null=float(chance.mean()), null_method="random neighbours, seeded", unit="nats",
                 estimator=f"-log agreement of neighbours, k-means with {c} clusters", **shared),
        Estimate("entropy of the mean assignment", mean_entropy(p), null=float(np.log(c)),
                 null_method=f"log {c}: all clusters used alike", unit="nats", estimator="soft k-means", **shared),
        Estimate("accuracy of the grouping", matched_accuracy(Contingency.of(codes, of)),
                 null=matched_accuracy(Contingency.of(codes, of[order])), null_method="shuffled classes, seeded",
                 estimator="k-means, best matching", **shared),
    )  # fmt: skip


def _reading(estimates, k: int, classes: int) -> str:
    pure, agree, entropy, accuracy = estimates
    warning = (
        f" Below {WARN:.0%}: grouping neighbours cannot find these classes here." if pure.value < WARN else ""
    )
    return (
        f"{pure.value:.0%} of a row's {k} nearest neighbours have its class ({pure.null:.0%} by chance).{warning} "
        f"k-means without labels groups {accuracy.value:.0%} rightly ({accuracy.null:.0%} for shuffled classes); its "
        f"neighbours disagree by {agree.value:.2g} nats, with entropy {entropy.value:.2f} of log {classes} = "
        f"{entropy.null:.2f}."
    )


def _caveats(estimates, found, cloud: Cloud, k: int, params: ConsistencyParams) -> tuple[str, ...]:
    notes = ["Low purity says that nearness is not class here, not that the classes cannot be told apart."]
    if k < params.neighbours:
        notes.append(f"Only {k} neighbours outside the own sample could be had for every row.")
    return (*notes, *found.notes, *cloud.notes)


def _cost(shapes, params: ConsistencyParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n = min(rows, params.maximum_rows)
    seconds = m.seconds(
        flops32=2.0 * n * n * d, flops64=4000.0 * n * d, moved=n * n * 12 + n * params.neighbours * 900
    )
    held = n * d * 8 * 3.0 + n * params.neighbours * 90 + search_bytes(n, d, params.neighbours)
    return Cost(seconds + 0.05, held + 2e6)


def _check() -> tuple[CheckLine, ...]:
    """Far clusters: purity 1, consistency 0, entropy log C; shuffled classes: chance; collapse: entropy 0."""
    rng = np.random.default_rng(4)
    label = np.repeat(np.arange(4), 60)
    x = 30 * np.eye(4, 6)[label] + rng.standard_normal((240, 6))
    clear = neighbour_consistency(as_activations(x, labels=label), rng=np.random.default_rng(0)).estimates
    mixed = neighbour_consistency(
        as_activations(x, labels=rng.permutation(label)), rng=np.random.default_rng(0)
    )
    one, near = np.eye(4)[np.zeros(240, int)], rng.integers(240, size=(240, 5))
    return (
        CheckLine("purity of far clusters", 1.0, clear[0].value, 0.0),
        CheckLine("consistency of far clusters", 0.0, clear[1].value, 1e-9),
        CheckLine("entropy, log 4", float(np.log(4)), clear[2].value, 1e-9),
        CheckLine("accuracy", 1.0, clear[3].value, 0.0),
        CheckLine("purity of shuffled classes", chance_purity(label), mixed.estimates[0].value, 0.03),
        CheckLine("one cluster for all: consistency", 0.0, float(consistency(one, near).mean()), 0.0),
        CheckLine("one cluster for all: entropy", 0.0, mean_entropy(one), 0.0),
    )


METHODS = (
    Method(
        id="neighbour_consistency",
        family="clusters",
        title="Neighbour consistency",
        summary="How often neighbours share a class: the ceiling of any grouping without labels.",
        version=1,
        function=neighbour_consistency,
        params=ConsistencyParams,
        result=Curve,
        check=_check,
        cost=_cost,
        minimum_rows=MINIMUM,
        worker=True,
        invariance="rotating, shifting or rescaling all activations together (euclidean); permuting classes",
        papers=("SCAN: Learning to Classify Images without Labels",),
        libraries=("scikit-learn",),
    ),
)
