"""Expected order: do classes with a known order (months, keys, digits, sizes) lie in that order?

The picture is the plane of the two leading principal components of the class means, with all points on it. For a
cyclic order, the angles α of the means around their centre are compared with the expected angles 2 π k / m: the
circular correlation |mean exp(i (α - 2 π k / m))| is 1 for an evenly spaced ring in that order, wherever it starts and
whichever way it turns. For a linear order it is Spearman's correlation of the means' first coordinate. Without any
picture, the cosine of two class means is compared with their distance in the order. The null exchanges the classes'
places in the order. Tokens count once per sample, by their mean.

When it lies: three classes can never contradict a cyclic order; a ring may lie outside the drawn plane (compare the
cosines, which use all units); classes of one size or time may be ordered for that reason; a horseshoe, the usual
shape of a line, has a circular correlation well above 0.

Cost: O(n d + m² d), m classes; permutations O(permutations m²). Memory O(n d).

References: paper "From Context to Concept: word2vec on music"; S. Jammalamadaka & A. SenGupta (2001), "Topics in
circular statistics".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations, sample_column
from analysis.compute.groups.class_means import class_means, resampled_means
from analysis.compute.linear.linalg import principal_components
from analysis.compute.machine import machine
from analysis.compute.maps.map_report import QUALITY_HELP, map_report, report_bytes, report_cost
from analysis.compute.maps.order import (
    cosines,
    line_correlation,
    order_distance,
    order_fall,
    ring_correlation,
)
from analysis.compute.rows.cloud import point_cloud
from analysis.compute.rows.labelled_cloud import Response, with_classes
from analysis.compute.statistics.nulls import against
from analysis.errors import InputError, ParameterError
from analysis.results import Estimate, Scatter
from analysis.spec import CheckLine, Cost, Method, no_progress, param

DRAWS = 200


@dataclass(frozen=True)
class ExpectedOrderParams:
    column: str = param("label", "The sample column that holds the ordered classes.", column=True)
    order: str = param(
        "", "The classes in their expected order, with commas; empty sorts them (numbers by value)."
    )
    cyclic: bool = param(True, "The last class comes before the first again (months, keys, hours).")
    permutations: int = param(499, "Random orders for the null.", low=99, high=10_000)
    maximum_rows: int = param(20_000, "Most points; a seeded random subset above.", low=50, high=500_000)
    quality_points: int = param(2000, QUALITY_HELP, low=50, high=50_000)


def expected_order(
    activations, params: ExpectedOrderParams = ExpectedOrderParams(), rng=None, progress=no_progress
) -> Scatter:
    """Compare the arrangement of the class means with an expected order.

    Parameters
    ----------
    activations : Activations with the sample column `params.column`

    Returns
    -------
    Scatter
        `positions` (points, 2) in the units of the activations; columns "place in the order" (from 1), "off the
        expected place" (degrees, cyclic only, of the point's class mean), "trust", "continuity", "recall". Estimates:
        circular (or rank) correlation with the order, and how cosines fall with the distance in the order.

    Raises
    ------
    NotFound, ParameterError, NotEnoughData, InputError
        No such column; a class in `order` that is not there; fewer than three classes with two samples; equal means.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    sample_column(activations, params.column)
    cloud = point_cloud(activations, rng, maximum_rows=params.maximum_rows, progress=progress)
    data = _ordered(with_classes(activations, cloud, params.column, 2), params.order)
    x, of, m = data.cloud.sample_means(), data.of, len(data.names)
    means = class_means(x, of, m)
    middle, axes, _ = _plane(means, activations.name)
    flat = (means - middle) @ axes.T
    progress(0.3, "random orders")
    found = _estimates(x, of, means, flat, axes, params, rng)
    positions = (data.cloud.x - middle) @ axes.T
    report = map_report(
        data.cloud.x,
        positions,
        rng,
        maximum_anchors=params.quality_points,
        drawn="supervised",
        progress=progress,
        span=(0.5, 1.0),
    )
    place = of[data.cloud.sample]
    columns = {"place in the order": place + 1}
    if params.cyclic:
        columns["off the expected place"] = _off(flat)[place].astype(np.float32)
    return Scatter(
        title=f"Order of {params.column} in {activations.name}",
        reading=_reading(found, params, m) + " " + report.sentence,
        caveats=(*_caveats(means, flat, m, params), *data.notes, *data.cloud.notes, *report.notes),
        estimates=(*found, *report.estimates),
        positions=positions.astype(np.float32),
        rows=data.cloud.rows,
        axes=("class means, axis 1", "class means, axis 2"),
        columns={**columns, **report.columns},
        colour="place in the order",
    )


def _ordered(data: Response, order: str) -> Response:
    """The classes renumbered by their place in the order; samples of classes not named are left out."""
    names = list(data.names)
    wanted = [w.strip() for w in order.split(",") if w.strip()]
    if not wanted:
        try:
            wanted = sorted(names, key=float)
        except ValueError:
            wanted = sorted(names)
    strange = [w for w in wanted if w not in names]
    if strange or len(wanted) < 3 or len(set(wanted)) < len(wanted):
        listed = ", ".join(names[:20])
        raise ParameterError(
            f"order {', '.join(wanted) or order!r}" + (f": no class {strange[0]!r}" if strange else ""),
            f"three or more different classes of: {listed}",
        )
    return data.only(wanted)


def _plane(means: np.ndarray, name: str):
    if (means == means[0]).all():
        raise InputError(f"all class means of {name} are equal", "classes that differ", "Choose another tap")
    middle, axes, values = principal_components(means, 2)
    return middle, np.pad(axes, ((0, 2 - len(axes)), (0, 0))), values


def _follow(flat: np.ndarray, cyclic: bool) -> float:
    m = len(flat)
    if not cyclic:
        return float(line_correlation(flat[:, 0], np.arange(m)))
    return float(ring_correlation(np.arctan2(flat[:, 1], flat[:, 0]), 2 * np.pi * np.arange(m) / m)[0])


def _off(flat: np.ndarray) -> np.ndarray:
    """Degrees (m,) of each class mean away from its expected place on the best turned ring."""
    angles, expected = np.arctan2(flat[:, 1], flat[:, 0]), 2 * np.pi * np.arange(len(flat)) / len(flat)
    sense = ring_correlation(angles, expected)[1]
    difference = np.exp(1j * (angles - sense * expected))
    return np.degrees(np.abs(np.angle(difference / np.exp(1j * np.angle(difference.mean())))))


def _estimates(x, of, means, flat, axes, params, rng) -> tuple[Estimate, ...]:
    m, (n, d) = len(means), x.shape
    distance, centred = order_distance(m, params.cyclic), means - means.mean(axis=0)
    similar = cosines(centred)
    orders = [rng.permutation(m) for _ in range(params.permutations)]
    null = np.array(
        [[_follow(flat[o], params.cyclic), order_fall(similar[o][:, o], distance)] for o in orders]
    )
    drawn = []
    for other in resampled_means(x, of, m, DRAWS, rng):
        other = other - other.mean(axis=0)
        drawn.append((_follow(other @ axes.T, params.cyclic), order_fall(cosines(other), distance)))
    values = _follow(flat, params.cyclic), order_fall(similar, distance)
    names = ("circular correlation with the order" if params.cyclic else "rank correlation with the order",
             "cosines fall with the distance in the order")  # fmt: skip
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    return tuple(
        Estimate(
            names[i], values[i], min(low[i], values[i]), max(high[i], values[i]),
            interval="bootstrap over samples in their classes", **against(values[i] - 1e-12, null[:, i]),
            null_method=f"{params.permutations} random orders of the {m} classes", n=n, d=d,
            estimator="class means in their plane" if i == 0 else "Spearman over pairs of class means",
        )
        for i in range(2)
    )  # fmt: skip


def _reading(found, params, m: int) -> str:
    ring, pairs = found
    word = "follow" if ring.p_value < 0.05 else "do not follow"
    shape = "ring" if params.cyclic else "line"
    return (
        f"The {m} class means {word} the expected order on a {shape} in this plane ({ring.value:.2f}; random orders: "
        f"{ring.null:.2f}, p = {ring.p_value:.2g}). In all units, cosines fall with the distance in the order to "
        f"{pairs.value:.2f} (p = {pairs.p_value:.2g})."
    )


def _caveats(means, flat, m: int, params) -> list[str]:
    whole = ((means - means.mean(axis=0)) ** 2).sum()
    share = float((flat**2).sum() / whole)
    notes = [f"The plane holds {share:.0%} of what the class means differ in."]
    if params.cyclic and m < 5:
        notes.append(f"{m} classes can hardly contradict a cyclic order: p cannot be small.")
    return notes


def _cost(shapes, params: ExpectedOrderParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n = min(rows, params.maximum_rows)
    seconds = m.seconds(flops64=(DRAWS + 30) * 2.0 * n * d, moved=n * d * 60.0,
                        calls=params.permutations * 100 + DRAWS * 200)  # fmt: skip
    seconds += m.seconds(**report_cost(n, d, params.quality_points))
    return Cost(seconds + 0.05, n * d * 8 * 3.0 + DRAWS * 10 * d * 8 + report_bytes(n, d))


def _check() -> tuple[CheckLine, ...]:
    """Twelve classes on a ring: correlation 1 however the ring starts, cosine falls all the way; mixed: chance."""
    rng = np.random.default_rng(1)
    turn = 2 * np.pi * np.arange(12) / 12
    ring = np.stack([np.cos(turn), np.sin(turn)], axis=1) @ np.linalg.qr(rng.standard_normal((9, 2)))[0].T
    place = np.repeat(np.arange(12), 20)
    x = ring[place] + 0.01 * rng.standard_normal((240, 9))
    right = expected_order(ArrayActivations(x, samples={"label": place}))
    moved = expected_order(ArrayActivations(x, samples={"label": (17 - place) % 12}))
    mixed = expected_order(ArrayActivations(x, samples={"label": rng.permutation(12)[place]}))
    return (
        CheckLine("ring in order: circular correlation", 1.0, right.estimates[0].value, 1e-3),
        CheckLine("ring in order: p is the least there is", 1 / 500, right.estimates[0].p_value, 1e-12),
        CheckLine(
            "started elsewhere and mirrored: circular correlation", 1.0, moved.estimates[0].value, 1e-3
        ),
        CheckLine("ring in order: cosines fall", 1.0, right.estimates[1].value, 0.02),
        CheckLine("mixed classes: p", 0.05, mixed.estimates[0].p_value, 0.0, "at least"),
    )


METHODS = (
    Method(
        id="expected_order",
        family="projection",
        title="Expected order",
        summary="Whether classes with a known order, cyclic or linear, lie in that order, against random orders.",
        version=1,
        function=expected_order,
        params=ExpectedOrderParams,
        result=Scatter,
        check=_check,
        cost=_cost,
        minimum_rows=6,
        invariance="rotating, shifting or rescaling all activations together changes nothing, nor does starting a "
        "cyclic order elsewhere",
        papers=("From Context to Concept: word2vec on music",),
    ),
)
