"""Are the classes a union of subspaces that can be found without labels? Doubly stochastic membership and its clusters.

Samples are made unit length (and, unless switched off, the mean of all is taken off before). Π is the doubly stochastic
matrix made of exp(|cos| / γ) by Sinkhorn scaling, and its leading eigenvectors are clustered, as many clusters as there
are classes (`compute.subspaces.sinkhorn`). Drawn is |cos| of the samples, ordered by these clusters: blocks on the
diagonal are subspaces of their own. The share of samples in the right cluster is taken under the best one-to-one
matching of clusters and classes (Hungarian).

Nulls: of a cell, |cos| of random directions; of the agreement, labels exchanged between samples; of the coding rate
reduction of the clusters, clusters of the same sizes at random.

When it lies: γ decides as much as the data: the accuracy at half and twice of it is said; |cos| holds x and -x for the
same, so classes that are opposite are one; subspaces that meet are joined where they meet; clusters found need not be
the classes for these to be well separated: this asks for subspaces only; accuracy under matching rises with the number
of clusters even by chance, as its null shows; clusters are found on the samples on which their coding rate is measured.

Cost: O(n² (d + Sinkhorn steps)) and an eigenproblem O(n³), three times; memory a few n².

References: T. Ding et al. (2023), "Unsupervised manifold linearizing and clustering"; R. Sinkhorn & P. Knopp (1967).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.clusters.coding_rate import rates, unit_rows
from analysis.compute.linear.cross_fitting import folds_of
from analysis.compute.machine import machine
from analysis.compute.rows.samples import LabelledMatrix, labelled_matrix
from analysis.compute.statistics.nulls import against
from analysis.compute.statistics.partition_agreement import Contingency, agreement, matched_accuracy
from analysis.compute.statistics.sample_groups import GROUPS, jackknife_half
from analysis.compute.subspaces.sinkhorn import affinity, doubly_stochastic, random_cosine, spectral_codes
from analysis.errors import InputError
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, DRAWS = 5, 39


@dataclass(frozen=True)
class SinkhornMembershipParams:
    column: str = param("label", "The sample column that holds the classes.", column=True)
    gamma: float = param(
        0.1, "Softness of the membership, in units of |cos|.", label="γ", low=0.01, high=10.0
    )
    clusters: int | None = param(None, "Clusters to find; automatic: as many as classes.", low=2, high=500)
    centre: bool = param(True, "Take the mean of all samples off before they are made unit length.")
    epsilon: float = param(0.5, "Error at which the coding rate is read off.", label="ε", low=1e-3, high=10.0)
    drawn: int = param(200, "Most samples in the picture; a random part above.", low=20, high=512)
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(1000, "Most samples; a seeded random subset above.", low=50, high=5000)


def sinkhorn_membership(
    activations, params: SinkhornMembershipParams = SinkhornMembershipParams(), rng=None, progress=no_progress
) -> Matrix:
    """Clusters of a tap's samples from doubly stochastic membership.

    Parameters
    ----------
    activations : Activations with the sample column `params.column`

    Returns
    -------
    Matrix
        |cos| of samples, named "cluster · class · number", ordered by cluster. Estimates: agreement of clusters and
        classes (adjusted Rand, mutual information, accuracy under the best matching), coding rate reduction of the
        clusters, and the share of Π that lies within classes.

    Raises
    ------
    NotFound, NotEnoughData, InputError, TooLarge
        No such column; fewer than two classes with five samples; samples that are all alike; over 4 GiB.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    data = labelled_matrix(
        activations, params.column, params.pooling, minimum=FEWEST, maximum_samples=params.maximum_samples, rng=rng,
        progress=progress, span=(0.0, 0.2),
    )  # fmt: skip
    z, d = unit_rows(data.values, params.centre), data.values.shape[1]
    k = min(params.clusters or len(data.names), len(z) - 1)
    similar = affinity(z)
    if np.ptp(similar[np.triu_indices(len(z), 1)]) < 1e-12:
        raise InputError(
            f"all samples of {activations.name} are equally alike",
            "samples that differ",
            "Choose another tap",
        )
    progress(0.3, "scaling rows and columns")
    pi, off = doubly_stochastic(similar, params.gamma)
    codes = spectral_codes(pi, k, rng)
    progress(0.5, "trying other γ")
    beside = [_accuracy(spectral_codes(doubly_stochastic(similar, params.gamma * f)[0], k, rng), data.of)
              for f in (0.5, 2.0)]  # fmt: skip
    progress(0.8, "measuring the clusters")
    estimates = (
        *agreement(codes, data.of, np.arange(len(z)), rng, d),
        _reduction(z, codes, params.epsilon, rng), _inside(pi, data.of, rng, d),
    )  # fmt: skip
    progress(0.95, "drawing")
    shown = _chosen(codes, data.of, params.drawn, rng)
    names = tuple(f"{codes[i] + 1} · {data.names[data.of[i]]} · {data.samples[i]}" for i in shown)
    cells = similar[np.ix_(shown, shown)]
    null = np.full(cells.shape, random_cosine(d))
    np.fill_diagonal(null, 1.0)
    return Matrix(
        title=f"Union of subspaces in {activations.name} ({params.column})", values=cells, row_names=names,
        column_names=names, value_name="|cosine|", limits=(0.0, 1.0), null=null, estimates=estimates,
        reading=_reading(estimates, data, k), caveats=(*_caveats(params, beside, off, len(shown), len(z)), *data.notes),
    )  # fmt: skip


def _accuracy(codes: np.ndarray, of: np.ndarray) -> float:
    return matched_accuracy(Contingency.of(codes, of))


def _reduction(z, codes, epsilon: float, rng) -> Estimate:
    """ΔR of the clusters, against clusters of the same sizes at random."""
    at = np.array([epsilon])
    value = float(rates(z, codes, at).reduction[0])
    null = np.array([rates(z, rng.permutation(codes), at).reduction[0] for _ in range(DRAWS)])
    group = folds_of(codes, GROUPS, rng)
    without = [rates(z[group != g], codes[group != g], at).reduction[0] for g in range(GROUPS)]
    half = float(jackknife_half(np.array(without)))
    return Estimate(
        "coding rate reduction of the clusters", value, max(value - half, 0.0), value + half,
        interval=f"jackknife over {GROUPS} groups of samples, clusters held fixed", **against(value, null),
        null_method=f"clusters of the same sizes at random, {DRAWS} times", n=len(z), d=z.shape[1], unit="nats",
        estimator=f"ε = {epsilon:g}",
    )  # fmt: skip


def _inside(pi: np.ndarray, of: np.ndarray, rng, d: int) -> Estimate:
    """Share of Π, less its diagonal, between samples of one class."""
    n, pi = len(pi), pi - np.diag(np.diag(pi))
    whole, mine = pi.sum(axis=1), pi * (of[:, None] == of)
    value = float(mine.sum() / whole.sum())
    same = np.bincount(of)
    chance = float((same * (same - 1)).sum() / (n * (n - 1)))
    group = folds_of(of, GROUPS, rng)
    without = []
    for g in range(GROUPS):
        keep = group != g
        part = pi[np.ix_(keep, keep)]
        without.append(mine[np.ix_(keep, keep)].sum() / part.sum())
    half = float(jackknife_half(np.array(without)))
    return Estimate(
        "share of the membership inside classes", value, max(value - half, 0.0), min(value + half, 1.0),
        interval=f"jackknife over {GROUPS} groups of samples, t", null=chance,
        null_method="labels exchanged between samples: exact mean", n=n, d=d, estimator="off the diagonal of Π",
    )  # fmt: skip


def _chosen(codes: np.ndarray, of: np.ndarray, most: int, rng) -> np.ndarray:
    """At most `most` samples in the order of clusters, then classes; a random part where there are more."""
    n = len(codes)
    some = rng.permutation(n)[:most] if n > most else np.arange(n)
    return some[np.lexsort((some, of[some], codes[some]))]


def _reading(e, data: LabelledMatrix, k: int) -> str:
    rand, _, right, reduction, inside = e
    found = (
        "are the classes beyond chance"
        if rand.low > rand.null_high
        else "say no more of the classes than chance"
    )
    return (
        f"The {k} clusters {found}: {right.value:.0%} of samples are in the cluster matched to their class of "
        f"{len(data.names)} (labels exchanged: {right.null:.0%}). {inside.value:.0%} of the membership lies within "
        f"classes (by chance {inside.null:.0%}); the clusters save {reduction.value:.3g} nats of the coding rate "
        f"(random ones {reduction.null:.3g})."
    )


def _caveats(params, beside, off: float, shown: int, n: int) -> list[str]:
    notes = [
        f"At γ = {params.gamma / 2:g} the accuracy is {beside[0]:.0%}, at γ = {params.gamma * 2:g} {beside[1]:.0%}.",
        "ΔR of the clusters is measured on the samples that made them, so that it exceeds random ones always.",
    ]
    if off > 1e-6:
        notes.append(f"Row sums of the membership are off by up to {off:.1g}: raise γ.")
    if shown < n:
        notes.append(f"A random {shown} of {n:,} samples are drawn; all were clustered.")
    return notes


def _cost(shapes, params: SinkhornMembershipParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n = min(rows, params.maximum_samples)
    flops = 3 * (4.0 * n**3 + 400.0 * n * n) + 2.0 * n * n * d + 50 * 2.0 * n * d * min(n, d)
    return Cost(
        m.seconds(flops64=flops, moved=100.0 * n * n * 8) + 0.1, n * n * 8 * 6.0 + n * d * 8 * 4.0 + 1e6
    )


def _check() -> tuple[CheckLine, ...]:
    """Four orthogonal planes: every sample in the right cluster; Π sums to 1 along rows and columns; equal similarities
    give 1 / n; noise is at chance."""
    rng = np.random.default_rng(6)
    of = np.arange(200) % 4
    planes = np.linalg.qr(rng.standard_normal((12, 12)))[0].T.reshape(6, 2, 12)[:4]
    x = np.einsum("ni,nid->nd", rng.standard_normal((200, 2)), planes[of])
    ask = SinkhornMembershipParams(centre=False)
    shown = sinkhorn_membership(ArrayActivations(x, samples={"label": of}), ask, np.random.default_rng(0))
    noise = ArrayActivations(rng.standard_normal((200, 12)), samples={"label": of})
    blind = sinkhorn_membership(noise, ask, np.random.default_rng(0)).estimates
    pi, _ = doubly_stochastic(affinity(unit_rows(x, False)), 0.1)
    even, _ = doubly_stochastic(np.ones((5, 5)), 0.3)
    return (
        CheckLine("orthogonal planes: accuracy", 1.0, shown.estimates[2].value, 0.0),
        CheckLine("row sums of Π, largest error", 0.0, float(np.abs(pi.sum(axis=1) - 1).max()), 1e-8),
        CheckLine("column sums of Π, largest error", 0.0, float(np.abs(pi.sum(axis=0) - 1).max()), 1e-8),
        CheckLine("equal similarities: Π = 1 / n", 0.2, float(even[0, 3]), 1e-9),
        CheckLine("noise: adjusted Rand index", 0.0, blind[0].value, 0.05),
        CheckLine("noise: membership inside classes", blind[4].null, blind[4].value, 0.02),
    )


METHODS = (
    Method(
        id="sinkhorn_membership", family="subspaces", title="Union of subspaces (Sinkhorn)", version=1,
        function=sinkhorn_membership,
        summary="Whether classes are subspaces that clustering finds without labels, by doubly stochastic membership.",
        params=SinkhornMembershipParams, result=Matrix, check=_check, cost=_cost, minimum_rows=10,
        invariance="rotating all samples, rescaling any sample or its sign (without centring); not the scale of units",
        papers=("Unsupervised Manifold Linearizing and Clustering (MLC)",), libraries=("scikit-learn",),
    ),
)  # fmt: skip
