"""Intrinsic dimension of a tap: of how many dimensions is the set that its points lie on, however it is bent?

Three estimators of different kinds, on the same points:

    TwoNN            (n - 1) / Σ log(r2 / r1), r1 and r2 the distances to the two nearest neighbours
    MLE              1 / mean of log(r_k / r_j) over points and j < k (Levina & Bickel, inverses averaged)
    spanning tree    1 / (1 - slope) of log L on log n: the tree's length grows as n^((D - 1) / D)

The curve is drawn over the number of points (halves, quarters, … of them: fewer points lie further apart, so it is a
curve over scale too), or over the neighbours used (Gride, from r_2k / r_k, which is TwoNN at k = 1). A dimension that
means something is flat over a range; noise makes it rise towards small scales, a bent or bounded set lets it fall or
rise at large ones. Intervals come from random halves of the samples.

Null (dashed): Gaussian points of the same number with the variances of the units, or with their whole covariance: below
the latter, the set is curved or clustered, not only flat. Calibration: what Gaussians of 2 to 80 dimensions are read as
at this number of points, and the dimension of the Gaussian that is read as the tap is.

When it lies: beyond about ten dimensions everything reads too little (10, 20 and 40 Gaussian dimensions give 9.5, 16.5
and 26.5 at n = 1,000), and more the more points lie at a border (a cube of 10 dimensions gives 8.5); noise of all units
has all dimensions, and small scales see it first; clusters and sets of several dimensions give a mean of them; equal
points have no ratio and are left out; whether these numbers follow the dimension of real representations is disputed.

Cost: O(n² d) for neighbours, some ten times for intervals and nulls, and as many trees; memory O(n²) below 3,000
points.

References: E. Facco et al. (2017); E. Levina & P. Bickel (2004); D. MacKay & Z. Ghahramani (2005); F. Denti et al.
(2022), "The generalized ratios intrinsic dimension estimator"; J. Steele (1988).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.neighbours.dimension_estimators import apart, gride, near_points, two_nn
from analysis.compute.neighbours.dimension_readings import (
    COVARIANCE,
    DRAWS,
    FEWEST,
    INDEPENDENT,
    MLE,
    NULLS,
    TREE,
    TWO_NN,
    at_scales,
    bytes_of,
    calibration,
    decimated,
    gaussian_like,
    null_range,
)
from analysis.compute.neighbours.dimension_report import (
    alike_estimates,
    calibration_note,
    dimension_estimates,
    point_notes,
)
from analysis.compute.neighbours.tree_dimension import tree_length
from analysis.compute.rows.cloud import point_cloud
from analysis.results import Curve
from analysis.spec import CheckLine, Cost, Method, no_progress, param

POINTS, NEIGHBOURS = "number of points", "number of neighbours"


@dataclass(frozen=True)
class IntrinsicDimensionParams:
    over: str = param(
        POINTS, "Draw the dimension over the number of points used, or over the neighbours that are compared.",
        choices=(POINTS, NEIGHBOURS),
    )  # fmt: skip
    k: int = param(20, "Neighbours of the MLE.", label="neighbours", low=3, high=100)
    null: str = param(
        INDEPENDENT,
        "Gaussian points of which kind are read for comparison.",
        choices=(INDEPENDENT, COVARIANCE),
    )
    tree: bool = param(True, "Read the spanning tree too, the slowest of the three.", label="spanning tree")
    maximum_rows: int = param(2000, "Most points; a seeded random subset above.", low=FEWEST, high=20_000)


def intrinsic_dimension(
    activations, params: IntrinsicDimensionParams = IntrinsicDimensionParams(), rng=None, progress=no_progress
) -> Curve:
    """Dimensions of a tap.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Curve
        x = points used, or neighbours; a series for each estimator with its band and null. Estimates: each dimension at
        all points, and the dimension of the Gaussian that is read alike.

    Raises
    ------
    NotEnoughData
        Fewer than 50 different points, or than three times the neighbours.
    InputError, TooLarge
        All points equal, or equally far from each other; over 8 GiB.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    least = max(FEWEST, 3 * params.k)
    cloud = point_cloud(activations, rng, maximum_rows=params.maximum_rows, minimum=least, progress=progress)
    points = apart(cloud.x, cloud.sample, least, activations.name)
    n, d = points.points.shape
    near = near_points(points.points, params.k, shared=True, progress=progress, span=(0.1, 0.2))
    whole = decimated(
        points.points,
        points.owner,
        params.k,
        rng,
        tree=params.tree,
        shared=True,
        progress=progress,
        span=(0.2, 0.5),
    )
    drawn = whole
    if params.over == NEIGHBOURS:
        drawn = at_scales(points.points, points.owner, rng, shared=True, progress=progress, span=(0.5, 0.55))
    null, lines = _null(points, drawn, params, rng, progress)
    known = calibration(n, params.k, params.tree, progress, (0.85, 1.0))
    estimates = dimension_estimates(whole, null, n, d, params.k)
    half = {name: h for name in drawn.values if (h := drawn.half(name)) is not None}
    return Curve(
        title=f"Intrinsic dimension of {activations.name}", reading=_reading(estimates, whole, params),
        caveats=(calibration_note(known, n), *_caveats(params), *point_notes(points, near), *cloud.notes),
        estimates=(*estimates, *alike_estimates(whole, known, n, d)), x=drawn.x, x_name=_axis(params),
        y_name="dimension", series=drawn.values,
        low={name: np.maximum(drawn.values[name] - h, 0.0) for name, h in half.items()},
        high={name: drawn.values[name] + h for name, h in half.items()}, null=lines, log_x=True,
    )  # fmt: skip


def _axis(params) -> str:
    return "points used" if params.over == POINTS else "k (neighbours k and 2k compared)"


def _null(points, drawn, params, rng, progress) -> tuple[dict, dict]:
    """Of each estimator at all points, as an `Estimate` takes it; and the mean line (m,) of each series drawn."""
    whole, lines = [], []
    for i in range(DRAWS):
        span = (0.55 + 0.3 * i / DRAWS, 0.55 + 0.3 * (i + 1) / DRAWS)
        x, owner = gaussian_like(points.points, params.null, rng), np.arange(len(points.points))
        levels = len(drawn.x) - 1 if params.over == POINTS else 0
        found = decimated(
            x,
            owner,
            params.k,
            rng,
            tree=params.tree,
            levels=levels,
            intervals=False,
            progress=progress,
            span=span,
        )
        whole.append({name: v[-1] for name, v in found.values.items()})
        lines.append((found if params.over == POINTS else at_scales(x, owner, rng, intervals=False)).values)
    ranges = {name: null_range(np.array([w[name] for w in whole]), params.null) for name in whole[0]}
    return ranges, {name: np.mean([line[name] for line in lines], axis=0) for name in drawn.values}


def _reading(estimates, whole, params) -> str:
    said = [
        f"{e.name.removesuffix(' dimension')} reads {e.value:.1f}"
        + (f" ({e.low:.1f} to {e.high:.1f})" if e.low is not None else "")
        + f", where {e.null:.1f} would be read of a {NULLS[params.null]}"
        for e in estimates
    ]
    line = whole.values[TWO_NN]
    moved = (
        f" From {whole.x[0]:,} to {whole.x[-1]:,} points TwoNN goes from {line[0]:.1f} to {line[-1]:.1f}; only where "
        "it stays is it a dimension of the set rather than of the sample."
        if len(line) > 1
        else ""
    )
    return "; ".join(said) + "." + moved


def _caveats(params) -> list[str]:
    notes = [
        "The dimension of the Gaussian that is read alike corrects for n, not for borders, clusters or noise."
    ]
    if params.null == INDEPENDENT:
        notes.append(
            "A reading below this null can be due to correlated units alone; look at the same covariance."
        )
    return notes


def _cost(shapes, params: IntrinsicDimensionParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n = min(rows, params.maximum_rows)
    trees = (3.5 * 2 + 2 * DRAWS + 1.9 * 18) * params.tree
    seconds = m.seconds(flops32=2.0 * n * n * d * (7 + 2 * DRAWS) + 2.0 * n * n * 500, moved=n * n * 400.0)
    seconds += trees * (m.seconds(flops64=2.0 * n * n * d / 3, moved=n * n * 40.0) + n * 1.5e-5)
    return Cost(seconds + 0.1, bytes_of(n, d, params.k, params.tree))


def _check() -> tuple[CheckLine, ...]:
    """A bent sheet and a cube have the dimensions they were made with, a Gaussian of ten reads what it is known to
    read, rotating and stretching all change nothing, and a simplex's tree has n - 1 equal edges."""
    rng = np.random.default_rng(4)
    cube = rng.random((3000, 4)) @ np.linalg.qr(rng.standard_normal((10, 10)))[0][:4]
    turn = rng.random((800, 2))
    sheet = np.column_stack([np.cos(3 * turn[:, 0]), np.sin(3 * turn[:, 0]), turn[:, 1]])
    quad = near_points(cube, 8).distances
    r = quad[:, :2]
    wide = near_points(rng.standard_normal((1000, 20)), 20).distances
    value = {e.name: e.value for e in intrinsic_dimension(sheet).estimates}
    moved = near_points(7 * cube @ np.linalg.qr(rng.standard_normal((10, 10)))[0] + 3, 2).distances
    return (
        CheckLine("4-D cube in 10 units: TwoNN", 3.99, two_nn(r), 0.3),
        CheckLine("the same by Gride at four times the neighbours", 3.9, gride(quad, 4), 0.2),
        CheckLine("the same turned, stretched and moved", two_nn(r), two_nn(moved), 1e-5),
        CheckLine("20-D Gaussian, n = 1,000: TwoNN reads too little", 16.8, two_nn(wide), 1.6),
        CheckLine("rolled sheet: TwoNN", 2.0, value[f"{TWO_NN} dimension"], 0.3),
        CheckLine("rolled sheet: MLE", 2.0, value[f"{MLE} dimension"], 0.15),
        CheckLine("rolled sheet: spanning tree", 2.0, value[f"{TREE} dimension"], 0.15),
        CheckLine("regular simplex of 6: tree length", 5 * np.sqrt(2), tree_length(np.eye(6)), 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="intrinsic_dimension", family="rank", title="Intrinsic dimension", version=1, function=intrinsic_dimension,
        summary="How many dimensions the set of a tap's points has, however bent, by three estimators over scale.",
        params=IntrinsicDimensionParams, result=Curve, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="rotating, shifting or rescaling all activations together; the null with independent units changes "
        "with a rotation",
        papers=(
            "T-REGS: minimum-spanning-tree regularisation",
            "Geometric Properties of Neural Multivariate Regression",
        ),
    ),
)  # fmt: skip
