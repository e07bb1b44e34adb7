"""Do finer clusters nest inside coarser ones? k-means on the first d / 4, d / 2 … units, as a tree.

At each prefix of the units the samples are clustered anew, with a number of clusters in proportion to the prefix (as
nested Matryoshka heads have it). The parent of a cluster is the coarser one that holds most of its samples, its purity
their share: 1 where it lies inside one parent. The table is the tree: 1.2 is the second child of 1.

Null: the samples' clusters at the finer level shuffled, which keeps all sizes. Prefixes share their units, so clusters
nest in part for that alone: the same is done with random units in place of the first (*beyond random units*, p by the
orders that nest as well).

When it lies: k-means cuts what has no clusters; the cuts of a prefix and of the whole agree where their widest
directions are the same, so that strong groups nest in any order of the units: purity tells what nests, hardly what
training did (the accuracy by prefix does); few large clusters are pure for their size, as the chance beside says; as
each level starts anew, a child with a purity near its chance has a parent in name only.

Cost: (draws + 1) fits of O(n d k) a pass; memory O(n d).

References: S. Venkataramanan et al. (2025), "Franca: nested Matryoshka clustering for scalable visual representation
learning"; A. Kusupati et al. (2022), "Matryoshka representation learning".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations, sample_column
from analysis.compute.clusters.cluster_tree import Tree, purities, shuffled_purities, tree_of
from analysis.compute.clusters.kmeans import kmeans as fit_centres
from analysis.compute.machine import machine
from analysis.compute.rows.prefixes import prefix_sizes, unit_orders
from analysis.compute.rows.random_part import random_part
from analysis.compute.rows.samples import known_labels, pooled_samples
from analysis.compute.statistics.nulls import against, wilson
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import InputError, NotEnoughData
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, SHUFFLES, LEVEL = 20, 199, 0.05
HELP = {
    "cluster": "place in the tree: 1.2 is the second child of 1, the largest first",
    "first units": "how many of the first units the clusters of this level were made of",
    "samples": "how many samples it has",
    "purity": "share of them that are in its parent",
    "chance": "the same when the samples' clusters of this level are shuffled, mean",
    "chance, most": "the 95th percentile of that",
    "label": "the most frequent label among its samples",
    "label share": "share of its labelled samples that have it",
    "label in all": "share of all labelled samples that have it",
}


@dataclass(frozen=True)
class NestedClustersParams:
    clusters: int = param(16, "Clusters of all units; of half of them, half as many.", low=2, high=500)
    levels: int = param(3, "Levels of the tree: 3 are a quarter, a half and all of the units.", low=2, high=8)
    column: str = param(
        "", "Sample column that says what is in a cluster; empty: label, if there.", column=True
    )
    draws: int = param(19, "Random orders of the units; p cannot be below 1 / (1 + draws).", low=2, high=500)
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(2000, "Most samples; a seeded random subset above.", low=50, high=200_000)


def nested_clusters(
    activations, params: NestedClustersParams = NestedClustersParams(), rng=None, progress=no_progress
) -> Table:
    """The tree of clusters by prefix.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Table
        A line for each cluster of each level, children below their parent, see `HELP`; purity is NaN at the coarsest
        level. Estimates: for each level below it the share of samples in the parent of their cluster, and what it has
        beyond random units.

    Raises
    ------
    NotFound, NotEnoughData, InputError, TooLarge
        No such column; fewer than twenty finite samples or than clusters; a single unit; equal samples; over 4 GiB.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    named = params.column or ("label" if "label" in tap.samples else "")
    labels = sample_column(tap, named) if named else None
    x, samples, notes = _samples(tap, params, rng, progress)
    sizes = prefix_sizes(x.shape[1], params.levels)
    counts = np.maximum(np.round(params.clusters * sizes / sizes[-1]).astype(int), 2)
    seed, found = int(rng.integers(2**31)), []
    orders = unit_orders(x.shape[1], params.draws, rng)
    for i, order in enumerate(orders):
        progress(0.2 + 0.6 * i / len(orders), "clustering prefixes")
        found.append(_levels(x[:, order], sizes, counts, seed))
    codes, others = found[0], found[1:]
    null = []
    for i in range(1, len(sizes)):
        progress(0.8 + 0.2 * i / len(sizes), "shuffling")
        null.append(shuffled_purities(codes[i], codes[i - 1], SHUFFLES, rng))
    progress(1.0, "done")
    tree = tree_of(codes)
    estimates = _estimates(codes, others, null, sizes)
    return Table(
        title=f"Clusters of {tap.name} by prefix", index="cluster", help=_help(labels),
        columns=_columns(tree, sizes, null, None if labels is None else labels[samples]),
        reading=_reading(estimates, sizes, codes), estimates=estimates,
        caveats=("Every cloud can be cut into clusters: a tree that nests is no proof that there are any.", *notes),
    )  # fmt: skip


def _samples(tap, params, rng, progress) -> tuple[np.ndarray, np.ndarray, list[str]]:
    samples, notes = random_part(tap.layout.n_samples, params.maximum_samples, rng)
    x, good, read = pooled_samples(tap, params.pooling, samples, progress, (0.0, 0.2))
    least = max(FEWEST, params.clusters)
    if len(x) < least:
        raise NotEnoughData(f"{tap.name} has {len(x)} finite sample(s)", f"at least {least}", "Record more")
    x = x - x.mean(axis=0)
    if not (np.abs(x).max(axis=0) > 0).any():
        raise InputError(f"all samples of {tap.name} are equal", "samples that differ", "Choose another tap")
    return x, samples[good], [*notes, *read]


def _levels(x: np.ndarray, sizes, counts, seed: int) -> list[np.ndarray]:
    """Cluster numbers (n,) of each level; the same seed for all, so that equal units give equal clusters."""
    return [
        fit_centres(x[:, :size], int(k), np.random.default_rng([seed, int(size)])).codes
        for size, k in zip(sizes, counts, strict=True)
    ]


def _columns(tree: Tree, sizes, null, labels) -> dict[str, np.ndarray]:
    """Of the clusters in the order of the tree."""
    level, number = tree.level, tree.number
    chance = [np.array([np.nan, np.nan]) if not i else
              np.array([null[i - 1][:, c].mean(), np.percentile(null[i - 1][:, c], 95)])
              for i, c in zip(level, number, strict=True)]  # fmt: skip
    columns = {
        "cluster": np.array(tree.names), "first units": sizes[level], "samples": tree.samples, "purity": tree.purity,
        "chance": np.array(chance)[:, 0], "chance, most": np.array(chance)[:, 1],
    }  # fmt: skip
    if labels is None:
        return columns
    known = known_labels(labels)
    kinds, of = np.unique(labels[known].astype(str), return_inverse=True)
    table = np.array([
        np.bincount(of[tree.codes[i][known] == c], minlength=max(len(kinds), 1))
        for i, c in zip(level, number, strict=True)
    ])  # fmt: skip
    most, whole = table.argmax(axis=1), np.bincount(of, minlength=max(len(kinds), 1))
    kinds = kinds if len(kinds) else np.array(["none"])
    lines = np.arange(len(table))
    return {
        **columns, "label": kinds[most], "label share": table[lines, most] / np.maximum(table.sum(axis=1), 1),
        "label in all": (whole / max(whole.sum(), 1))[most],
    }  # fmt: skip


def _help(labels) -> dict[str, str]:
    return {k: v for k, v in HELP.items() if labels is not None or not k.startswith("label")}


def _estimates(codes, others, null, sizes) -> tuple[Estimate, ...]:
    n, out = len(codes[0]), []
    for i in range(1, len(sizes)):
        sized = np.bincount(codes[i])
        value = float(purities(codes[i], codes[i - 1])[0] @ sized / n)
        low, high = wilson(value * n, n)
        name = f"{sizes[i]} units in {sizes[i - 1]}"
        out.append(Estimate(
            f"samples in the parent of their cluster, {name}", value, min(low, value), max(high, value),
            interval="Wilson, clusters held fixed", **against(value, null[i - 1] @ sized / n), n=n, d=int(sizes[i]),
            null_method=f"clusters of {sizes[i]} units shuffled, {SHUFFLES} times", estimator="mean purity, by samples",
        ))  # fmt: skip
        drawn = np.array([purities(c[i], c[i - 1])[0] @ np.bincount(c[i]) / n for c in others])
        out.append(Estimate(
            f"beyond random units, {name}", value - float(drawn.mean()), **_over_draws(value - drawn),
            **{**against(value - float(drawn.mean()), drawn - drawn.mean()), "null": 0.0}, n=n, d=int(sizes[i]),
            null_method=f"{len(drawn)} random orders about their mean",
            estimator="share of samples less that of random units",
        ))  # fmt: skip
    return tuple(out)


def _over_draws(values: np.ndarray) -> dict:
    return {**mean_interval(values), "interval": "Student's t over random orders"}


def _reading(estimates, sizes, codes) -> str:
    counts = ", ".join(f"{int(c.max()) + 1} from {s}" for c, s in zip(codes, sizes, strict=True))
    said = []
    for nested, beyond in zip(estimates[::2], estimates[1::2], strict=True):
        name = nested.name.rpartition(", ")[2]
        order = "more than" if beyond.p_value <= LEVEL else "no more than"
        said.append(
            f"{name}: {nested.value:.0%} of samples are in the parent of their cluster (shuffled {nested.null:.0%}), "
            f"{order} with random units ({nested.value - beyond.value:.0%}, p = {beyond.p_value:.2g})."
        )
    return f"Clusters: {counts} units. " + " ".join(said)


def _cost(shapes, params: NestedClustersParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n = min(rows, params.maximum_samples)
    fits = 3.0 * params.levels * (params.draws + 1)
    flops = fits * 15 * 2.0 * n * d * params.clusters / 2
    return Cost(
        m.seconds(flops64=flops) + 0.01 * fits + SHUFFLES * 3e-8 * n * params.levels + 0.1, 8.0 * n * d * 4.5
    )


def _check() -> tuple[CheckLine, ...]:
    """Planted: two groups in the first units, each with two of its own in all units: 1 and 1. Clusters that have
    nothing to do with each other: what shuffling gives."""
    rng = np.random.default_rng(3)
    fine = np.arange(400) % 4
    coarse = 9 * np.eye(2)[fine // 2]
    planted = np.hstack([coarse, 6 * np.eye(4)[fine][:, :2]]) + 0.3 * rng.standard_normal((400, 4))
    params = NestedClustersParams(clusters=4, levels=2, draws=2)
    tree = nested_clusters(ArrayActivations(planted, samples={"label": fine}), params)
    expected = 0.5 + np.sqrt(2 / np.pi * 0.25 * 300 / 399 / 100)  # E |X - 50| / 100 of a hypergeometric X
    one, other = rng.integers(3, size=(2, 900))
    loose, by_chance = purities(one, other)[0].mean(), shuffled_purities(one, other, 99, rng).mean()
    return (
        CheckLine("planted tree: purity", 1.0, float(np.nanmin(tree.columns["purity"])), 0.0),
        CheckLine("clusters, two and four", 6.0, float(len(tree.columns["cluster"])), 0.0),
        CheckLine("four equal ones shuffled into halves", expected, tree.estimates[0].null, 0.005),
        CheckLine("unrelated clusters: purity less shuffled", 0.0, float(loose - by_chance), 0.05),
    )  # fmt: skip


METHODS = (
    Method(
        id="nested_clusters", family="clusters", title="Nested clusters by prefix", version=1, function=nested_clusters,
        summary="Whether clusters of more and more of the first units lie inside each other, as a tree with purities.",
        params=NestedClustersParams, result=Table, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="shifting or rescaling all activations together; rotating inside the shortest prefix",
        papers=("Franca: nested Matryoshka clustering, positional disentangling",), libraries=("scikit-learn",),
    ),
)  # fmt: skip
