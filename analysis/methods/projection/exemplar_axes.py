"""Exemplar axes: a map whose corners are real samples, instead of principal components that no sample looks like.

One sample more than there are axes (three for a plane, four for a space) span a flat, a barycentric subspace. Every
point x is drawn at its nearest place there, which has affine weights, Σ w_j = 1: "0.7 of A, 0.5 of B, -0.2 of C". What
is left, the distance to the flat, is the column "residual". The corners are named, or chosen to leave the least
variance unexplained, σ²_out = Σ dist²(x, flat) / (n - 1). Adding up σ²_out of the point, line, plane through the first
one, two, three corners gives the accumulated unexplained variance (AUV), held against principal components, whose
Σ_j min(j, k + 1) λ_j over dimensions 0 … k is the least there is.

When it lies: weights are no shares of a mixture where one is negative (outside the triangle); a point far from the
flat has weights all the same (colour by "distance to plane"); an outlier makes a good-looking corner; other samples
often do nearly as well as corners, and then who stands there is luck (the reading says how many); the first of a
"forward" choice is the sample nearest to the mean, so that most points lie outside.

Cost: one eigenproblem O(n d min(n, d)), O(n d) per compared corner, as often again for each null draw. Memory O(n d).

Reference: X. Pennec (2018), "Barycentric subspace analysis on manifolds", here in the Euclidean case.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import combinations

import numpy as np

from analysis.activations import Activations, as_activations, sample_column
from analysis.compute.linear import barycentric as bary
from analysis.compute.linear.barycentric import PrincipalCloud, principal_cloud
from analysis.compute.machine import machine
from analysis.compute.maps.exemplar_luck import EXACT
from analysis.compute.maps.exemplar_report import (
    Corners,
    exemplar_caveats,
    exemplar_columns,
    exemplar_estimates,
    exemplar_reading,
    fitted,
    placed,
    runners_up,
)
from analysis.compute.maps.exemplars import class_exemplars, named_points, point_name, short
from analysis.compute.maps.map_report import QUALITY_HELP, map_report, report_bytes, report_cost
from analysis.compute.rows.cloud import Cloud, point_cloud
from analysis.errors import InputError, NotEnoughData, ParameterError
from analysis.results import Scatter
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 8  # samples
EXCHANGED, FORWARD, CLASSES = "exchanged", "forward", "one per class"
TRUE, EQUAL = "true distances", "equal corners"
HOW = {
    EXCHANGED: ", chosen so that no single exchange leaves less variance unexplained",
    FORWARD: ", chosen one after another so that the least variance is left unexplained",
    CLASSES: ", each the nearest to the mean of its class (of the classes that leave the least unexplained)",
}
NAMED = ", the first ({}) as named and the others chosen to go with them"
DRAWN = {
    TRUE: "It is drawn as it lies in the data: lengths in the picture are true.",
    EQUAL: "Corners are drawn at equal distances: places show the weights, lengths are not true.",
}


@dataclass(frozen=True)
class ExemplarAxesParams:
    exemplars: str = param(
        "", "Sample ids, or class:name, with commas: the first corners. Empty: all are chosen as below."
    )
    choice: str = param(
        EXCHANGED, "How corners are chosen: one after another (forward), then exchanged as long as that leaves less "
        "variance unexplained; one per class is the same among the samples nearest to their class means.",
        choices=(EXCHANGED, FORWARD, CLASSES),
    )  # fmt: skip
    components: int = param(2, "A triangle of three corners, or a tetrahedron of four.", choices=(2, 3))
    drawn: str = param(
        TRUE, "Draw the flat as it lies in the data, or its weights on equally distant corners.",
        choices=(TRUE, EQUAL),
    )  # fmt: skip
    column: str = param("", "The sample column that holds the classes; empty takes 'label'.", column=True)
    null_draws: int = param(19, "Gaussian copies of the data for the null.", low=9, high=500)
    maximum_rows: int = param(20_000, "Most points; a seeded random subset above.", low=50, high=500_000)
    quality_points: int = param(2000, QUALITY_HELP, low=50, high=50_000)


def exemplar_axes(
    activations, params: ExemplarAxesParams = ExemplarAxesParams(), rng=None, progress=no_progress
) -> Scatter:
    """The points of a tap by their affine weights on a few samples.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Scatter
        `positions` (points, 2 or 3) in the flat of the corners, in the units of the activations (or, "equal corners",
        corners at distance 1); columns "distance to plane" (share of the squared distance from the mean's place that
        lies across the flat), "residual" (distance from the flat, units of the activations), "weight A" …,
        "exemplar" (empty but for the corners), "trust", "continuity", "recall". `edges` are the sides of the triangle.
        Estimates: variance share of the flat, that share over principal components', AUV over theirs, points outside.

    Raises
    ------
    ParameterError, NotFound
        An exemplar that cannot be read, too many of them; no such column.
    NotEnoughData, InputError, TooLarge
        Fewer than eight finite rows, or fewer classes than corners; all rows equal, exemplars on one line; rows and
        units both above 8,192.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    cloud = point_cloud(activations, rng, maximum_rows=params.maximum_rows, minimum=FEWEST, progress=progress)
    cloud, named = named_points(params.exemplars, activations, cloud, params.column or "label")
    progress(0.15, "principal components")
    points = principal_cloud(cloud.x)
    progress(0.25, "choosing exemplars")
    corners = _corners(activations, cloud, points, named, params)
    fit = fitted(points, bary.flat_through(points.z[corners.places], points.smallest), cloud.sample)
    found = exemplar_estimates(points, corners, fit, params.null_draws, rng, progress)
    positions, axes = placed(corners, fit, params.components, params.drawn == EQUAL)
    report = map_report(
        cloud.x, positions, rng, maximum_anchors=params.quality_points, drawn="linear", progress=progress
    )
    edges = np.array(list(combinations(corners.places, 2)), dtype=np.int32)
    reading = exemplar_reading(points, corners, found)
    others = runners_up(points, corners, lambda i: point_name(activations, int(cloud.rows[i])))
    return Scatter(
        title=f"{activations.name} between {len(corners.places)} exemplars",
        reading=f"{reading} {DRAWN[params.drawn]} {report.sentence}",
        caveats=(
            others, *exemplar_caveats(points, corners, fit, params.components), *cloud.notes, *report.notes,
        ),
        estimates=(*found, *report.estimates),
        positions=positions.astype(np.float32),
        rows=cloud.rows,
        axes=axes,
        columns={**exemplar_columns(corners, fit), **report.columns},
        colour="distance to plane",
        edges=edges,
        edge_values=np.linalg.norm(points.z[edges[:, 0]] - points.z[edges[:, 1]], axis=1),
        edge_name="distance in the data",
    )  # fmt: skip


def _corners(
    activations: Activations, cloud: Cloud, points: PrincipalCloud, named: list[int], params
) -> Corners:
    """Those that were named, then as many more as the map needs."""
    count, column = min(params.components, len(points.variances)) + 1, params.column or "label"
    _refuse_named([point_name(activations, int(cloud.rows[i])) for i in named], points, named, count)
    exchange, among, again = params.choice != FORWARD, None, None
    if params.choice == CLASSES and len(named) < count:
        among = np.array(list(class_exemplars(activations, cloud, column).values()), dtype=int)
    elif not named:
        again = partial(bary.choose, count=count, exchange=exchange)
    places = bary.choose(points, count, exchange, named, among)
    if len(places) < count:
        raise NotEnoughData(
            f"{len(places)} exemplar(s) of different classes for a map with {count} corners", f"{count} classes",
            f"Choose another column, or corners that are {EXCHANGED}",
        )  # fmt: skip
    rows, of = cloud.rows[places], [""] * count
    if params.column or column in activations.samples:
        labels = sample_column(activations, column)[activations.layout.sample_of(rows)]
        of = [short(label) for label in labels]
    how = (
        HOW[params.choice] if not named else ", as named" if len(named) == count else NAMED.format(len(named))
    )
    word = "samples" if activations.layout.is_pooled else "tokens"
    return Corners(places, [point_name(activations, int(r)) for r in rows], of, how, again, word)


def _refuse_named(names: list[str], points: PrincipalCloud, named: list[int], count: int) -> None:
    if len(named) > count:
        raise ParameterError(
            f"{len(named)} exemplars for a map with {count} corners", f"at most {count}", "Name fewer, or draw 3-D"
        )  # fmt: skip
    if len(named) > 1 and bary.flat_through(points.z[named], points.smallest) is None:
        raise InputError(
            f"the exemplars {', '.join(names)} are equal or lie on one line (or plane)", "corners that span a flat",
            "Name others",
        )  # fmt: skip


def _cost(shapes, params: ExemplarAxesParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n = min(rows, params.maximum_rows)
    r, corners = min(n, d), params.components + 1
    passes = corners * (1 if params.choice == FORWARD else 3)
    exact = 3.0 * params.null_draws * n * r * r if n < EXACT * r else 0.0
    flops = 3.0 * n * d * r + 10.0 * r**3 + 600.0 * n * r + exact
    moved = (1 + params.null_draws) * n * r * (20.0 * passes + 60.0)
    seconds = m.seconds(flops64=flops, moved=moved, calls=60_000 + 2000 * params.null_draws)
    seconds += m.seconds(**report_cost(n, d, params.quality_points))
    return Cost(seconds + 0.05, n * d * 8 * 3.0 + n * r * 8 * 2.0 + 3 * r * r * 8 + report_bytes(n, d))


def _check() -> tuple[CheckLine, ...]:
    """AUV of principal components is Σ j λ_j over the full flag; mixtures of three samples among others are found again
    with their weights, also after a turn, shift and change of scale; Gaussian points are within their null."""
    rng = np.random.default_rng(6)
    x = rng.standard_normal((60, 5)) @ rng.standard_normal((5, 5))
    c = x - x.mean(axis=0)
    axes = np.linalg.svd(c, full_matrices=False)[2]
    left = sum(((c - c @ axes[:i].T @ axes[:i]) ** 2).sum() / 59 for i in range(6))
    values = principal_cloud(x).variances
    steps = bary.principal_nested(values, 5).sum()
    planted = rng.dirichlet(np.ones(3), 300)
    planted[[10, 20, 30]] = np.eye(3)
    mixed = planted @ (5 * rng.standard_normal((3, 12)))
    turned = 7 * mixed @ np.linalg.qr(rng.standard_normal((12, 12)))[0] + 100
    result = exemplar_axes(mixed, ExemplarAxesParams("10, 20, 30", null_draws=9), np.random.default_rng(0))
    w = np.stack([result.columns[f"weight {letter}"] for letter in "ABC"], axis=1)
    other = principal_cloud(turned)
    flat = bary.flat_through(other.z[[10, 20, 30]], other.smallest)
    again = flat.weights(flat.coordinates(other.z))
    found = bary.unexplained(other, other.z[bary.choose(other, 3, True)]) / other.total
    noise = exemplar_axes(rng.standard_normal((200, 8)), ExemplarAxesParams(null_draws=49)).estimates
    return (
        CheckLine("PCA, full flag: AUV over Σ j λ_j", 1.0, float(left / (values @ np.arange(1, 6))), 1e-10),
        CheckLine("PCA: the sum over steps is the same", float(left), float(steps), 1e-9),
        CheckLine("planted weights, largest error", 0.0, float(np.abs(w - planted).max()), 1e-5),
        CheckLine("turned, shifted, rescaled: largest error", 0.0, float(np.abs(again - planted).max()), 1e-9),
        CheckLine("share of the planted plane", 1.0, result.estimates[0].value, 1e-9),
        CheckLine("chosen corners leave nothing of it", 0.0, found, 1e-9),
        CheckLine("AUV is not below that of principal components", 1.0, noise[2].value, 0.0, "at least"),
        CheckLine("Gaussian points: share over PCA's, as their null", noise[1].null, noise[1].value, 0.1),
        CheckLine("Gaussian points: share over PCA's, p", 0.03, noise[1].p_value, 0.0, "at least"),
        CheckLine("Gaussian points: AUV over PCA's, p", 0.03, noise[2].p_value, 0.0, "at least"),
    )  # fmt: skip


METHODS = (
    Method(
        id="exemplar_axes",
        family="projection",
        title="Exemplar axes",
        summary="A map whose corners are real samples: every point by its weights on them, beside the best plane.",
        version=1,
        function=exemplar_axes,
        params=ExemplarAxesParams,
        result=Scatter,
        check=_check,
        cost=_cost,
        minimum_rows=FEWEST,
        invariance="rotating or shifting the activations changes nothing, rescaling them together changes lengths but "
        "no weight; rescaling single units changes all",
        papers=("Barycentric Subspace Analysis",),
    ),
)
