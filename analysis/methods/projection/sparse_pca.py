"""Sparse principal components: axes of a few units each, so that they can be read.

The first axis is the unit vector with at most r non-zero loadings that holds the most variance; each next one adds
the most variance to the scores before it. Solved by truncated power steps (repeat: multiply by the covariance, keep
the r largest loadings). Scores are correlated, so the variance of an axis is *adjusted*: what it adds to the earlier
ones, from scores = Q R as R_jj² / (n - 1).

When it lies: of several correlated units one is picked and its twins are dropped, so that a unit outside the list is
not "unused" (see whether the axis is found again on the other half of the samples); the exact problem is hard, and
the steps may stop at a good answer that is not the best one; units of large scale come first unless standardised;
the axes are not at right angles.

Cost: O(n d steps) per axis, as often again for each null draw. Memory O(n d).

References: X. Yuan & T. Zhang (2013), "Truncated power method for sparse eigenvalue problems"; H. Zou, T. Hastie &
R. Tibshirani (2006), "Sparse principal component analysis" (adjusted variance).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.groups.mean_difference import halves
from analysis.compute.linear.loadings import (
    adjusted_shares_interval,
    adjusted_variances,
    in_words,
    sparse_directions,
)
from analysis.compute.machine import machine
from analysis.compute.maps.map_report import QUALITY_HELP, map_report, report_bytes, report_cost
from analysis.compute.rows.cloud import Cloud, point_cloud
from analysis.compute.statistics.moments import is_varying
from analysis.compute.statistics.nulls import add_one_p, moved_samples
from analysis.results import Estimate, Scatter
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 8  # samples


@dataclass(frozen=True)
class SparsePcaParams:
    units_per_axis: int = param(5, "Most units that an axis may use.", low=1, high=1000)
    components: int = param(2, "Number of coordinates: a plane or a space.", choices=(2, 3))
    standardise: bool = param(
        False, "Give every unit unit variance first, so that none comes first by scale."
    )
    null_draws: int = param(9, "Structureless copies of the data for the null.", low=2, high=200)
    maximum_rows: int = param(20_000, "Most points; a seeded random subset above.", low=50, high=500_000)
    quality_points: int = param(2000, QUALITY_HELP, low=50, high=50_000)


def sparse_pca(
    activations, params: SparsePcaParams = SparsePcaParams(), rng=None, progress=no_progress
) -> Scatter:
    """Sparse principal components of a tap.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Scatter
        `positions` (points, 2 or 3) in the units of the activations (or standard deviations); columns "distance to
        plane" (share of the squared distance from the mean outside the axes), "trust", "continuity", "recall". The
        loadings are in the reading. Estimates: adjusted variance share of each axis against units moved apart, and
        the share of an axis' units found again on the other half of the samples.

    Raises
    ------
    NotEnoughData, InputError
        Fewer than eight finite rows; all rows equal.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    cloud = point_cloud(activations, rng, maximum_rows=params.maximum_rows, minimum=FEWEST, progress=progress)
    x = _prepared(cloud.x, params.standardise)
    k, r = params.components, min(params.units_per_axis, x.shape[1])
    progress(0.15, "choosing units")
    frame = sparse_directions(x, k, r)
    scores = x @ frame.T
    found = _estimates(x, scores, frame, cloud, params, r, rng, progress)
    positions = np.pad(scores, ((0, 0), (0, k - scores.shape[1])))
    report = map_report(
        cloud.x, positions, rng, maximum_anchors=params.quality_points, drawn="linear", progress=progress
    )
    plane = np.linalg.qr(frame.T)[0]
    norms = (x**2).sum(axis=1)
    inside = np.divide(((x @ plane) ** 2).sum(axis=1), norms, out=np.ones(len(x)), where=norms > 0)
    columns = {"distance to plane": np.clip(1 - inside, 0, 1).astype(np.float32), **report.columns}
    shares = [e.value for e in found[: len(frame)]] + [0.0] * (k - len(frame))
    return Scatter(
        title=f"Sparse components of {activations.name} ({r} {'unit' if r == 1 else 'units'} per axis)",
        reading=_reading(frame, activations.unit_names, found) + " " + report.sentence,
        caveats=(*_caveats(frame, params, k), *cloud.notes, *report.notes),
        estimates=(*found, *report.estimates),
        positions=positions.astype(np.float32),
        rows=cloud.rows,
        axes=tuple(f"sparse axis {i + 1} ({share:.1%} of variance)" for i, share in enumerate(shares)),
        columns=columns,
    )


def _prepared(x: np.ndarray, standardise: bool) -> np.ndarray:
    centred = x - x.mean(axis=0)
    if standardise:
        variance = centred.var(axis=0)
        varies = is_varying(variance, x.mean(axis=0))
        centred *= np.where(varies, 1 / np.sqrt(np.where(varies, variance, 1.0)), 0.0)
    return centred


def _estimates(x, scores, frame, cloud: Cloud, params, r, rng, progress) -> tuple[Estimate, ...]:
    n, d = x.shape
    shares = adjusted_variances(scores) * (n - 1) / (x**2).sum()
    low, high = adjusted_shares_interval(x, scores, cloud.sample, rng)
    null = np.zeros((params.null_draws, len(frame)))
    for i in range(params.null_draws):
        progress(0.2 + 0.4 * i / params.null_draws, "moving units apart")
        moved = moved_samples(x, rng, cloud.offsets)
        other = sparse_directions(moved, len(frame), r, steps=50)
        null[i, : len(other)] = adjusted_variances(moved @ other.T) * (n - 1) / (x**2).sum()
    found = [
        Estimate(
            f"adjusted variance share of axis {i + 1}", float(share), min(low[i], share), max(high[i], share),
            interval="bootstrap over samples, loadings held fixed", null=float(null[:, i].mean()),
            null_low=float(null[:, i].min()), null_high=float(null[:, i].max()),
            null_method=f"units moved apart, {params.null_draws} times, units chosen anew: mean, smallest, largest",
            p_value=float(add_one_p(share, null[:, i])), n=n, d=d, estimator="truncated power steps, adjusted by QR",
        )
        for i, share in enumerate(shares)
    ]  # fmt: skip
    progress(0.6, "choosing units on both halves")
    return (*found, *_found_again(x, frame, cloud, r, rng))


def _found_again(x, frame, cloud: Cloud, r: int, rng) -> list[Estimate]:
    """Share of each axis' units that the best matching axis of each half of the samples has too."""
    n, d = x.shape
    half = halves(np.zeros(cloud.n_samples), rng)[cloud.sample]
    kept = np.zeros((2, len(frame)))
    for h, mine in enumerate((half, ~half)):
        part = x[mine] - x[mine].mean(axis=0)
        if not part.any():
            continue
        other = sparse_directions(part, len(frame), r) != 0
        kept[h] = ((frame != 0) @ other.T.astype(float)).max(axis=1) / (frame != 0).sum(axis=1)
    low, high = kept.min(axis=0), kept.max(axis=0)
    return [
        Estimate(
            f"units of axis {i + 1} found again", float(kept[:, i].mean()), float(low[i]), float(high[i]), level=1.0,
            interval="the two halves", null=min(1.0, r / d), null_method="units drawn at random", n=n, d=d,
            estimator="overlap with the nearest axis of half of the samples",
        )
        for i in range(len(frame))
    ]  # fmt: skip


def _reading(frame, names, found) -> str:
    lines = [f"Axis {i + 1} is {in_words(v, names, 10)}." for i, v in enumerate(frame)]
    beyond = [i + 1 for i in range(len(frame)) if found[i].value > found[i].null_high]
    if beyond:
        lines.append(
            f"Axis {' and '.join(map(str, beyond))} hold(s) more variance than as many units without relation would."
        )
    else:
        lines.append("No axis holds more variance than as many units without any relation would.")
    again = found[len(frame)]
    lines.append(f"{again.value:.0%} of the first axis' units are chosen again on half of the samples.")
    return " ".join(lines)


def _caveats(frame, params, k: int) -> list[str]:
    notes = [
        "A unit that is not listed may still go along with the axis: of correlated units one stands for all."
    ]
    if not params.standardise:
        notes.append("Units of large scale come first; standardise to give each one vote.")
    cosine = np.abs(frame @ frame.T - np.eye(len(frame))).max() if len(frame) > 1 else 0.0
    if cosine > 0.17:
        notes.append(
            "The axes are not at right angles: distances on the picture are not distances in the data."
        )
    if len(frame) < k:
        notes.append(f"{len(frame)} axis holds all the variance; the other coordinates are 0.")
    return notes


def _cost(shapes, params: SparsePcaParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n = min(rows, params.maximum_rows)
    runs = 1 + params.null_draws + 1
    seconds = m.seconds(
        moved=runs * params.components * 3 * 40 * 16.0 * n * d, calls=runs * params.components * 1000
    )
    seconds += m.seconds(**report_cost(n, d, params.quality_points))
    return Cost(seconds + 0.05, n * d * 8 * 5.0 + report_bytes(n, d))


def _check() -> tuple[CheckLine, ...]:
    """Two planted axes of four units each among 40; with all units allowed, the axes are principal components."""
    rng = np.random.default_rng(9)
    planted = np.zeros((2, 40))
    planted[0, [3, 9, 20, 31]], planted[1, [1, 2, 17, 38]] = 0.5, [0.5, -0.5, 0.5, -0.5]
    x = rng.standard_normal((3000, 2)) * [4, 3] @ planted + 0.5 * rng.standard_normal((3000, 40))
    c = x - x.mean(axis=0)
    found = sparse_directions(c, 2, 4)
    exact = np.linalg.svd(c, full_matrices=False)
    dense = sparse_directions(c, 2, 40)
    result = sparse_pca(x, SparsePcaParams(units_per_axis=4, null_draws=2))
    return (
        CheckLine("planted units found", 8.0, float(((found != 0) & (planted != 0)).sum()), 0.0),
        CheckLine("all units allowed: cosine with the first component", 1.0, float(abs(dense[0] @ exact[2][0])), 1e-9),
        CheckLine("all units allowed: adjusted variance of axis 2", float(exact[1][1] ** 2 / 2999),
                  float(adjusted_variances(c @ dense.T)[1]), 1e-6),
        CheckLine("share of the first axis", (16 + 0.25) / (25 + 10), result.estimates[0].value, 0.03),
        CheckLine("the same units on half of the samples", 1.0, result.estimates[2].value, 0.0),
    )  # fmt: skip


METHODS = (
    Method(
        id="sparse_pca",
        family="projection",
        title="Sparse components",
        summary="The axes of most variance that use a few units each, with their loadings in words.",
        version=1,
        function=sparse_pca,
        params=SparsePcaParams,
        result=Scatter,
        check=_check,
        cost=_cost,
        minimum_rows=FEWEST,
        invariance="shifting any unit changes nothing; permuting the units permutes the loadings; rescaling single "
        "units changes nothing when they are standardised",
    ),
)
