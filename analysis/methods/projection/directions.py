"""Two directions of your own: the points seen along axes that you name.

An axis is a unit vector w, and a point's coordinate is w · x. It is named as text: `class:cat` (mean of a class
minus the mean of all others), `class:cat-dog`, `selection:A`, `selection:A-B` (difference of means), `unit:12`,
`unit:12-40`, `pc:1`. Difference axes have their zero halfway between the two means. The axes are drawn at right
angles although they seldom are: their true angle is stated.

Means of groups are made on a random half of the samples, and only the other half is drawn, because the groups are
always apart on the samples that made the axis (any two groups are, once there are more units than samples).

When it lies: the angle is not the drawn one, so a cloud may look tilted only because the axes are alike; what else
the groups differ in goes along with the axis; two directions out of d show little of the data (see the variance
shares); an axis found by trying many is no test of anything.

Cost: O(n d permutations) for class and selection axes, quality O(points measured · n d). Memory O(n d).

References: B. Kim et al. (2018), "Testing with concept activation vectors" (directions as concepts); L. Hedges &
I. Olkin (1985) for the interval.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.groups.mean_difference import (
    angle_estimate,
    bootstrap_directions,
    placed_axes,
    separation_estimate,
)
from analysis.compute.linear.named_axes import named_axis
from analysis.compute.machine import machine
from analysis.compute.maps.map_report import QUALITY_HELP, map_report, report_bytes, report_cost
from analysis.compute.rows.cloud import point_cloud
from analysis.compute.rows.membership import pack_named, unpack_named
from analysis.compute.statistics.ratios import random_direction_shares, variance_share
from analysis.results import Estimate, Scatter
from analysis.spec import CheckLine, Cost, Method, no_progress, param

GRAMMAR = "class:A, class:A-B, selection:A, selection:A-B, unit:12, unit:12-40 or pc:1"


@dataclass(frozen=True)
class DirectionsParams:
    horizontal: str = param("class:", f"{GRAMMAR}; class: alone takes the two most frequent classes.")
    vertical: str = param("pc:1", f"{GRAMMAR}.")
    column: str = param("label", "The sample column that holds the classes.", column=True)
    selections: str = param("", "Named selections as packed memberships, filled in by whoever names one.")
    drawn: str = param(
        "other half", "Which points to draw when groups define an axis: those that did not make it, or all.",
        choices=("other half", "all"),
    )  # fmt: skip
    permutations: int = param(99, "Shuffles of the group labels for the null.", low=19, high=2000)
    maximum_rows: int = param(50_000, "Most points; a seeded random subset above.", low=50, high=1_000_000)
    quality_points: int = param(2000, QUALITY_HELP, low=50, high=50_000)


def directions(
    activations, params: DirectionsParams = DirectionsParams(), rng=None, progress=no_progress
) -> Scatter:
    """Project a tap onto two named directions.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Scatter
        `positions` (points, 2) in the units of the activations; columns "trust", "continuity", "recall", for
        group axes the group of each point ("horizontal group", "vertical group") and "half". Estimates: the share
        of the variance along each axis, the held-out separation d' of each group axis, the angle of the axes.

    Raises
    ------
    ParameterError, NotFound
        An axis that cannot be read; no such column.
    NotEnoughData, InputError
        A group with fewer than eight samples; groups with equal means; all rows equal.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    cloud = point_cloud(
        activations, rng, maximum_rows=params.maximum_rows, progress=progress, span=(0.0, 0.1)
    )
    named = unpack_named(params.selections, activations.shape[0])
    progress(0.15, "naming the axes")
    axes = [
        named_axis(text, activations, cloud.x, cloud.rows, params.column, named)
        for text in (params.horizontal, params.vertical)
    ]
    placed, fit = placed_axes(axes, cloud, rng)
    grouped = any(axis.side is not None for axis in axes)
    keep = ~fit[cloud.sample] if grouped and params.drawn == "other half" else np.ones(len(cloud.x), bool)
    positions = np.stack([cloud.x[keep] @ p.vector - p.offset for p in placed], axis=1)
    progress(0.3, "shuffling the groups")
    found = _estimates(placed, cloud, params, rng)
    report = map_report(
        cloud.x[keep],
        positions,
        rng,
        maximum_anchors=params.quality_points,
        drawn="linear",
        progress=progress,
        span=(0.6, 1.0),
    )
    columns = {**report.columns, **_group_columns(placed, cloud, fit, keep)}
    return Scatter(
        title=f"{activations.name} along {axes[0].label} and {axes[1].label}",
        reading=_reading(found, placed) + " " + report.sentence,
        caveats=(*_caveats(placed, params, keep, grouped), *cloud.notes, *report.notes),
        estimates=(*found, *report.estimates),
        positions=positions.astype(np.float32),
        rows=cloud.rows[keep],
        axes=tuple(axis.label for axis in axes),
        columns=columns,
        colour=next((name for name in columns if name.endswith("group")), ""),
    )


def _group_columns(placed, cloud, fit, keep) -> dict[str, np.ndarray]:
    columns = {}
    for name, p in zip(("horizontal group", "vertical group"), placed, strict=True):
        if p.entries is not None:
            columns[name] = np.array(["neither", *p.axis.groups])[p.axis.side[keep] % 3]
    if columns:
        columns["half"] = np.where(fit[cloud.sample[keep]], "made the axes", "held out")
    return columns


def _estimates(placed, cloud, params, rng) -> tuple[Estimate, ...]:
    x = cloud.x - cloud.x.mean(axis=0)
    chance = random_direction_shares(x, rng)
    n = len(x)
    found = [
        variance_share(
            x, p.vector[:, None], cloud.sample, f"variance share along {p.axis.label}", chance, rng
        )
        for p in placed
    ]
    for p in placed:
        if p.entries is not None:
            found.append(separation_estimate(p.entries, p.axis.label, params.permutations, rng))
    draws = [
        p.vector[None] if p.entries is None else bootstrap_directions(p.entries, 200, rng) for p in placed
    ]
    return (*found, angle_estimate(placed[0].vector, placed[1].vector, draws, n))


def _reading(found, placed) -> str:
    lines = []
    for p in placed:
        if p.entries is None:
            continue
        e = next(e for e in found if e.name == f"separation along {p.axis.label}")
        word = "separates" if e.low > e.null_high else "does not separate"
        lines.append(
            f"The axis {p.axis.label} {word} {p.axis.groups[0]} from {p.axis.groups[1]} on samples that did not "
            f"make it (d' = {e.value:.2f}; shuffled groups stay below {e.null_high:.2f})."
        )
    lines.append(f"The two axes stand at {found[-1].value:.0f}° to each other, drawn at 90°.")
    return " ".join(lines)


def _caveats(placed, params, keep, grouped: bool) -> list[str]:
    notes = []
    angle = abs(float(placed[0].vector @ placed[1].vector))
    if angle > 0.999:
        notes.append("The two axes are the same direction: the picture is a line.")
    elif angle > 0.17:
        notes.append(
            "The axes are not at right angles: distances on the picture are not distances in the data."
        )
    if grouped and params.drawn == "all":
        notes.append(
            "Half of the drawn samples made the axes and look further apart than they are (column 'half'); the "
            "separation is measured on the other half."
        )
    elif grouped:
        notes.append(
            f"The axes were made on the other half of the samples; {int(keep.sum()):,} points are drawn."
        )
    return notes


def _cost(shapes, params: DirectionsParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n = min(rows, params.maximum_rows)
    flops = 4.0 * n * d * (params.permutations + 200) + 2.0 * n * d * min(n, d) + 2 * 2000.0 * d * 200
    seconds = m.seconds(flops64=flops, moved=n * d * 80.0 + n * params.permutations * 60)
    seconds += m.seconds(**report_cost(n // 2, d, params.quality_points))
    return Cost(seconds + 0.05, n * d * 8 * 6.0 + n * params.permutations * 24.0 + report_bytes(n // 2, d))


def _check() -> tuple[CheckLine, ...]:
    """Two Gaussians 3 apart in unit 4: d' 3 along the axis, the axis is unit 4; with more units than samples,
    meaningless groups are apart where the axis was made and not elsewhere."""
    rng = np.random.default_rng(5)
    label = np.arange(4000) % 2
    x = rng.standard_normal((4000, 10))
    x[label == 1, 4] += 3.0
    tap = ArrayActivations(x, samples={"label": label})
    named = pack_named({"one-s": label == 1, "zero": label == 0})
    result = directions(tap, DirectionsParams("class:1-0", "unit:4"), np.random.default_rng(0))
    picked = directions(tap, DirectionsParams("selection:one-s-zero", "unit:4", selections=named),
                        np.random.default_rng(0))  # fmt: skip
    wide = ArrayActivations(rng.standard_normal((80, 400)), samples={"label": np.arange(80) % 2})
    empty = directions(wide, DirectionsParams("class:1-0", "pc:1", drawn="all"), np.random.default_rng(0))
    seen = empty.positions[empty.columns["half"] == "made the axes", 0]
    group = (
        np.sign(seen)
        == np.where(np.arange(80) % 2, 1, -1)[empty.rows[empty.columns["half"] == "made the axes"]]
    )
    return (
        CheckLine("separation along the axis", 3.0, result.estimates[2].value, 0.15),
        CheckLine("angle to the planted unit (degrees)", 0.0, result.estimates[3].value, 4.0),
        CheckLine("the same groups as selections: largest difference", 0.0,
                  float(np.abs(result.positions - picked.positions).max()), 0.0),
        CheckLine("more units than samples: right side where the axis was made", 1.0, float(group.mean()), 0.0),
        CheckLine("more units than samples: held-out separation", 0.0, empty.estimates[2].value, 1.0),
    )  # fmt: skip


METHODS = (
    Method(
        id="directions",
        family="projection",
        title="Two named directions",
        summary="The points along two axes that you name: class means, selections, units or components.",
        version=1,
        function=directions,
        params=DirectionsParams,
        result=Scatter,
        check=_check,
        cost=_cost,
        minimum_rows=4,
        invariance="rotating the activations turns group axes and components along and changes nothing; shifting "
        "moves unit axes only",
    ),
)
