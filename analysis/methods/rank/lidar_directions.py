"""Which samples lie at the ends of the directions that tell items apart best: what LiDAR's largest eigenvalues see.

Directions w of LiDAR (`compute.linear.lidar`): along w the samples have within-class variance 1, ridge included, and
between-class variance λ. For each of the first directions the samples of the classes with the highest and with the
lowest mean are shown, one sample of each class (the one nearest to its class mean along w), with the class mean's
coordinate in within-class deviations.

Null: labels exchanged between samples; the largest λ of each draw.

When it lies: ends are extremes and show what is possible, not what is usual; a direction is defined only as far as its
λ differs from its neighbours'; which end is which is arbitrary; a direction may be one item that lies far off.

Cost: O(N d² + d³), and O(d³ + C d²) for each of 5 to 50 draws; memory O(N d + d²).

References: V. Thilak et al. (2024), "LiDAR: Sensing linear probing performance in joint embedding SSL architectures".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.linear.lidar import (
    Ridge,
    between_spectrum,
    classes_of,
    refuse_equal_views,
    views_of,
    with_exchanged_labels,
    without_groups,
)
from analysis.compute.machine import machine
from analysis.compute.statistics.nulls import against
from analysis.compute.statistics.sample_groups import jackknife_half
from analysis.results import Estimate, Gallery
from analysis.spec import CheckLine, Cost, Method, no_progress, param


@dataclass(frozen=True)
class LidarDirectionsParams:
    column: str = param("label", "Sample column that names the item (or class) of each sample.", column=True)
    directions: int = param(4, "How many of the directions with the largest eigenvalues.", low=1, high=32)
    number: int = param(12, "Most samples at each end.", label="samples per end", low=1, high=200)
    ridge: float = param(1e-4, "δ as a share of the mean within-class variance.", low=0.0, high=10.0)
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(50_000, "Most samples; a seeded random part above.", low=50, high=1_000_000)


def lidar_directions(
    activations, params: LidarDirectionsParams = LidarDirectionsParams(), rng=None, progress=no_progress
) -> Gallery:
    """Samples at both ends of each discriminant direction.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Tokens are pooled; the samples need the column.

    Returns
    -------
    Gallery
        Rows of the tap (of a sample with tokens, its first): "direction 1, high", "direction 1, low", …

    Raises
    ------
    NotFound, NotEnoughData, InputError, TooLarge
        As `lidar`.
    """
    activations, rng = as_activations(activations), rng or np.random.default_rng(0)
    data = views_of(activations, params.column, params.pooling, params.maximum_samples, rng, progress)
    found, ridge = classes_of(data.x, data.of, data.classes), Ridge(params.ridge, True)
    refuse_equal_views(activations.name, found)
    main = between_spectrum(found, ridge.of(found))
    shown = min(params.directions, len(main.values))
    without = without_groups(data.x, data.of, found, ridge, rng)
    null = with_exchanged_labels(data, ridge, _draws(data.x.shape[1]), rng, progress, (0.4, 1.0))
    rows, groups, values = activations.layout.offsets[data.samples], {}, {}
    for i in range(shown):
        along = data.x @ main.directions[i]
        means, order, best = _ends(along, data.of, data.classes)
        for name, ends in (("high", order[::-1]), ("low", order)):
            chosen = ends[: min(params.number, data.classes // 2)]
            groups[f"direction {i + 1}, {name}"] = rows[best[chosen]]
            values[f"direction {i + 1}, {name}"] = means[chosen]
    estimates = _estimates(data.x.shape, main.values[:shown], without, null)
    progress(1.0, "done")
    return Gallery(
        title=f"Ends of the discriminant directions of {activations.name} by '{params.column}'",
        reading=_reading(estimates), caveats=(*data.notes, *_caveats(params)), estimates=estimates, groups=groups,
        values=values, value_name="class mean in within-class deviations",
    )  # fmt: skip


def _ends(along: np.ndarray, of: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(C,) class means of the coordinates `along` (n,), classes by rising mean, and the sample nearest to each mean."""
    means = np.bincount(of, along, classes) / np.bincount(of, minlength=classes)
    order = np.lexsort((np.abs(along - means[of]), of))
    best = order[np.searchsorted(of[order], np.arange(classes))]
    return means, np.argsort(means, kind="stable"), best


def _estimates(shape, values: np.ndarray, without: np.ndarray, null: np.ndarray) -> tuple[Estimate, ...]:
    n, d = shape
    half = np.minimum(jackknife_half(np.log(np.maximum(without, 1e-12 * values[0]))), 700.0)
    return tuple(
        Estimate(
            f"eigenvalue of direction {i + 1}", float(v), float(v * np.exp(-half[i])), float(v * np.exp(half[i])),
            interval="jackknife over groups of classes", n=n, d=d, estimator="variance between over within classes",
            null_method=f"largest eigenvalue with labels exchanged, {len(null)} draws", **against(float(v), null[:, 0]),
        )
        for i, v in enumerate(values)
    )  # fmt: skip


def _reading(estimates) -> str:
    beyond = [e for e in estimates if e.value > e.null_high]
    first = estimates[0]
    return (
        f"Along the first direction classes differ by {first.value:.3g} times the variance within classes; exchanged "
        f"labels give {first.null:.3g}. {len(beyond)} of the {len(estimates)} directions shown exceed exchanged labels."
    )


def _caveats(params) -> tuple[str, ...]:
    return (
        "Ends were picked because they are ends: they show what is possible, not what is usual.",
        "Which end is called high is arbitrary.",
        "Directions whose eigenvalues have overlapping intervals may be mixed: only the space they span is defined.",
    )


def _draws(d: int) -> int:
    return int(np.clip(1e10 / d**3, 5, 50))


def _cost(shapes, params: LidarDirectionsParams) -> Cost:
    (n, d), m = shapes[0], machine()
    n, draws = min(n, params.maximum_samples), _draws(d)
    flops = 4.0 * n * d * d + (draws + 12) * 22.0 * d**3
    moved = n * d * 8.0 * (12 + draws * 3)
    return Cost(m.seconds(flops64=flops, moved=moved) + 0.02, 8.0 * (4 * n * d + 8 * d * d))


def _check() -> tuple[CheckLine, ...]:
    """Forty items of which five lie far along a planted direction hidden under noise sixty times as wide elsewhere."""
    rng = np.random.default_rng(87)
    of = np.repeat(np.arange(40), 12)
    far = np.arange(40) < 5
    x = rng.standard_normal((480, 10)) * np.r_[1.0, [60.0] * 9]
    x[:, 0] += 30.0 * far[of]
    turn = np.linalg.qr(rng.standard_normal((10, 10)))[0]
    tap = ArrayActivations(x @ turn, samples={"label": of})
    found = lidar_directions(tap, LidarDirectionsParams(number=5, directions=1, ridge=1e-8))
    ends = [set(of[found.groups[f"direction 1, {end}"]]) for end in ("high", "low")]
    share = max(len(end & set(range(5))) for end in ends)
    expected = 900 * np.var(far.astype(float)) + 1 / 12
    return (
        CheckLine("planted items at one end", 5.0, share, 0.0),
        CheckLine("eigenvalue over what was planted", 1.0, found.estimates[0].value / expected, 0.2),
        CheckLine("eigenvalue of exchanged labels", 1.0, found.estimates[0].null, 0.0, "at most"),
    )


METHODS = (
    Method(
        id="lidar_directions", family="rank", title="Discriminant directions and their samples", version=1,
        function=lidar_directions,
        summary="Which samples lie at the ends of the directions that tell items apart best.",
        params=LidarDirectionsParams, result=Gallery, check=_check, cost=_cost, minimum_rows=6,
        invariance="shifting, rotating or scaling the activations; any invertible linear map as the ridge nears 0",
        papers=("LiDAR: linear-discriminant-analysis rank",),
    ),
)  # fmt: skip
