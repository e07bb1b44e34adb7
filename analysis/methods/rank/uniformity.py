"""Uniformity: do the directions of a tap's points spread over the whole sphere, or have they collapsed?

Points are put on the unit sphere (each divided by its length, from zero or from the mean) and joined by their minimum
spanning tree. Its length L says how much room they take: it is greatest for points spread evenly, falls when they draw
together in clusters or in fewer dimensions, and equal points add nothing.

    uniformity          L over the mean L of n uniform points on the same sphere
    normalised length   L / n^((D - 1) / D), D = units - 1 the sphere's dimension, which hardly depends on n
    gap                 longest edge over the median one: large where clusters are apart

The histogram shows the tree's edges, and those of uniform points (null): a second hump of long edges is the way between
clusters, a hump near 0 points that have become alike.

Null: n uniform points on the sphere. Beside it what n Gaussian points give that have the means and variances of the
units but nothing between them: units of unequal size or with a large mean fill little of the sphere without any
collapse. Intervals of lengths come from random halves of the samples.

When it lies: in many dimensions all distances between uniform points are about equal, so that uniformity moves little
until a collapse is near complete; scale is taken away by the sphere, and what a tap says by the length of its
activations with it; a dead unit lowers nothing but the dimension; tokens of a sample count as points.

Cost: O(n² d) for each of some fifteen trees; memory O(n²) below 3,000 points.

References: J. Mordacq et al. (2025), "T-REGS: minimum spanning tree regularization for self-supervised learning"; T.
Wang & P. Isola (2020), "Understanding contrastive representation learning through alignment and uniformity on the
hypersphere"; J. Steele (1988).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.neighbours.dimension_readings import half_samples, half_width
from analysis.compute.neighbours.tree_dimension import edge_lengths
from analysis.compute.rows.cloud import Cloud, point_cloud
from analysis.compute.statistics.moments import is_varying
from analysis.errors import InputError, NotEnoughData
from analysis.results import Distribution, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 20
DRAWS, MATCHED = 6, 3  # trees of uniform, and of matched Gaussian points
ZERO, MEAN = "from zero", "from the mean"
BINS = 40


@dataclass(frozen=True)
class UniformityParams:
    directions: str = param(
        ZERO, "Where the directions of the points start: zero, as in a cosine, or the mean of all points.",
        choices=(ZERO, MEAN),
    )  # fmt: skip
    maximum_rows: int = param(2000, "Most points; a seeded random subset above.", low=FEWEST, high=20_000)


def uniformity(
    activations, params: UniformityParams = UniformityParams(), rng=None, progress=no_progress
) -> Distribution:
    """Uniformity of a tap's directions.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Distribution
        Edges of the spanning tree by length, and those of uniform points as the null.

    Raises
    ------
    NotEnoughData, InputError, TooLarge
        Fewer than twenty points with a direction; fewer than two units that vary; all points equal; over 8 GiB.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    cloud = point_cloud(activations, rng, maximum_rows=params.maximum_rows, minimum=FEWEST, progress=progress)
    x, owner, notes = _varying(cloud, params, activations.name)
    on_sphere = x / np.linalg.norm(x, axis=1, keepdims=True)
    n, d = x.shape
    progress(0.1, "joining points by a tree")
    lengths = edge_lengths(on_sphere)
    uniform, matched = [], []
    for i in range(DRAWS + MATCHED):
        progress(0.2 + 0.5 * i / (DRAWS + MATCHED), "joining random points")
        z = rng.standard_normal((n, d))
        if i >= DRAWS:
            z = z * x.std(axis=0) + x.mean(axis=0)
        (uniform if i < DRAWS else matched).append(edge_lengths(z / np.linalg.norm(z, axis=1, keepdims=True)))
    halves = []
    for i, stay in enumerate(half_samples(owner, rng)):
        progress(0.7 + 0.03 * i, "joining halves of the samples")
        halves.append(edge_lengths(on_sphere[stay]).sum())
    progress(1.0, "done")
    estimates = _estimates(lengths, uniform, matched, np.array(halves), n, d)
    top = max(lengths[-1], max(u[-1] for u in uniform))
    edges = np.linspace(0.0, top * (1 + 1e-9), BINS + 1)
    return Distribution(
        title=f"Uniformity of {activations.name} on the sphere", reading=_reading(estimates, lengths, n),
        caveats=(*notes, *cloud.notes), estimates=estimates, edges=edges, value_name="length of a tree edge",
        counts={"edges": np.histogram(lengths, edges)[0]},
        markers={"median": float(np.median(lengths)), "median, uniform": float(np.median(np.concatenate(uniform)))},
        null=np.mean([np.histogram(u, edges)[0] for u in uniform], axis=0),
    )  # fmt: skip


def _varying(cloud: Cloud, params, name: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Points (n, d) with a direction, in the units that are not always 0 (from the mean: that vary), their samples."""
    x, notes = cloud.x, []
    if params.directions == MEAN:
        mean = x.mean(axis=0)
        used = is_varying(x.var(axis=0), mean)
        x = x - mean
    else:
        used = (x != 0).any(axis=0)
    if used.sum() < 2:
        raise InputError(
            f"{name} has {int(used.sum())} unit(s) that vary", "at least 2", "Choose another tap"
        )
    if not used.all():
        lost = int((~used).sum())
        notes.append(
            f"{lost} unit(s) without a value of their own left out: the sphere has fewer dimensions."
        )
        x = x[:, used]
    x = x / np.abs(x).max()
    size = np.linalg.norm(x, axis=1)
    some = size > 1e-12 * size.max()
    if some.sum() < FEWEST:
        raise NotEnoughData(
            f"{int(some.sum())} point(s) of {name} have a direction",
            f"at least {FEWEST}",
            "Choose another tap, or record more samples",
        )
    if not some.all():
        notes.append(f"{int((~some).sum())} point(s) at the centre have no direction and are left out.")
    return x[some], np.unique(cloud.sample[some], return_inverse=True)[1].reshape(-1), notes


def _estimates(lengths, uniform, matched, halves, n: int, d: int) -> tuple[Estimate, ...]:
    total = float(lengths.sum())
    chance, plain = np.array([u.sum() for u in uniform]), np.array([u.sum() for u in matched])
    mean, power = float(chance.mean()), (d - 2) / (d - 1) if d > 2 else 0.0
    about = {"n": n, "d": d, "estimator": "minimum spanning tree on the unit sphere"}
    even = f"{DRAWS} draws of uniform points on the sphere: mean, least, most"
    same = (
        f"Gaussian of independent units with the same means and variances, {MATCHED} draws: mean, least, most"
    )

    def ends(value: float) -> dict:
        half = half_width(np.log(halves)) if (halves > 0).all() else None
        if half is None:
            return {}
        how = f"jackknife by {len(halves)} random halves of the samples, of the logarithm, t"
        return {"low": float(value * np.exp(-half)), "high": float(value * np.exp(half)), "interval": how}

    def null(found, how: str) -> dict:
        return {"null": float(np.mean(found)), "null_low": float(np.min(found)), "null_high": float(np.max(found)),
                "null_method": how}  # fmt: skip

    value = total / mean
    scaled = total / n**power
    return (
        Estimate("uniformity", value, **ends(value), **null(chance / mean, even), **about),
        Estimate("uniformity against independent units", float(total / plain.mean()), **ends(total / plain.mean()),
                 **null(plain / plain.mean(), same), **about),
        Estimate("tree length / n^((D - 1) / D)", scaled, **ends(scaled), **null(chance / n**power, even), **about),
        Estimate("longest edge over the median one", _gap(lengths), **null([_gap(u) for u in uniform], even), **about),
        Estimate("edges shorter than any of uniform points", float((lengths < min(u[0] for u in uniform)).mean()),
                 null=0.0, null_method="uniform points, by definition", **about),
    )  # fmt: skip


def _gap(lengths: np.ndarray) -> float:
    """Longest over median positive length; 1 where all points are equal."""
    some = lengths[lengths > 0]
    return float(some[-1] / np.median(some)) if len(some) else 1.0


def _reading(estimates, lengths, n: int) -> str:
    even, units, _, gap, short = estimates
    if even.value < 1e-9:
        return "All points have one direction: a complete collapse."
    said = [
        f"The tree is {even.value:.0%} as long as that of {n:,} uniform points on the sphere, and {units.value:.0%} as "
        "long as that of independent units with the same means and variances."
    ]
    equal = float((lengths == 0).mean())
    if units.high is not None and units.high < units.null_low:
        said.append(
            f"Points have drawn together beyond what their units' sizes explain: {short.value:.0%} of the edges are "
            "shorter than any of uniform points" + (f", {equal:.0%} have no length at all." if equal else ".")
        )
    else:
        said.append("Nothing beyond the units' sizes is seen to draw points together.")
    wide = "no gap beyond theirs"
    if gap.value > 1.5 * gap.null_high:
        wide = "longer than in uniform points, as between clusters"
    return (
        " ".join(said)
        + f" The longest edge is {gap.value:.1f} times the median one ({gap.null:.1f}): {wide}."
    )


def _cost(shapes, params: UniformityParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n = min(rows, params.maximum_rows)
    trees = 1 + DRAWS + MATCHED + 10 / 4
    seconds = trees * (m.seconds(flops64=2.0 * n * n * d, moved=n * n * 60.0) + n * 1.5e-5)
    square = 8.0 * n * n * 3.2 if n <= 3000 else 128e6
    return Cost(seconds + 0.05, 8.0 * n * d * 5 + square)


def _check() -> tuple[CheckLine, ...]:
    """Uniform directions, whatever their lengths: 1. Each point four times: as short as the tree of a quarter. Two
    tight clusters: a long gap. A regular simplex: n - 1 equal edges."""
    rng = np.random.default_rng(8)
    x = rng.standard_normal((600, 8))
    stretched = x * rng.lognormal(size=(600, 1))
    tight = np.where(np.arange(600)[:, None] < 300, 5.0, -5.0) + 0.1 * x
    value = {e.name: e for e in uniformity(stretched).estimates}
    four = edge_lengths(np.repeat(x[:150], 4, axis=0)).sum()
    apart = {e.name: e for e in uniformity(tight).estimates}
    return (
        CheckLine("uniform directions: uniformity", 1.0, value["uniformity"].value, 0.03),
        CheckLine("the same, no gap", value["longest edge over the median one"].null,
                  value["longest edge over the median one"].value, 0.5),
        CheckLine("each point four times: tree length", float(edge_lengths(x[:150]).sum()), float(four), 1e-9),
        CheckLine("two tight clusters: uniformity", 0.1, apart["uniformity"].value, 0.0, "at most"),
        CheckLine("two tight clusters: gap", 50.0, apart["longest edge over the median one"].value, 0.0, "at least"),
        CheckLine("regular simplex of 6: length", 5 * np.sqrt(2), float(edge_lengths(np.eye(6)).sum()), 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="uniformity", family="rank", title="Uniformity on the sphere", version=1, function=uniformity,
        summary="Whether a tap's directions fill the sphere or have collapsed, by their minimum spanning tree.",
        params=UniformityParams, result=Distribution, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="rotating the units that are alive, or rescaling each point; from the mean also shifting all "
        "together, but then not rescaling single points",
        papers=("T-REGS: minimum-spanning-tree regularisation",),
    ),
)  # fmt: skip
