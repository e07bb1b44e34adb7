"""Local linear maps: a bent map that can be read, because near every point it is a linear one with loadings.

y(x) = Σ_i w_i(x) A_i x: every region i has its own linear map A_i (2 x units), and the weights are Gaussians around
the regions' centres, normalised to sum to 1. The maps start as principal components and are bent until, inside each
region, inner products on the map are those of the data (local strain); with one region that is principal components
exactly. Per point, the Jacobian J = dy/dx (the change of the weights included) says what the map does there:
`jacobian expansion` sqrt(det J Jᵀ) (1 is faithful, below 1 squeezed, above 1 blown up), `anisotropy` σ₁ / σ₂ of J, and
`ellipse angle`, the direction on the map that is stretched most. Per region, the strongest loadings of the mean
Jacobian: what "right" and "up" mean there.

When it lies: distances between far regions are not fitted, and the map may fold over itself (two regions drawn in one
place: look at trust); only the leading principal components enter; more regions fit noise (see the held-out gain
and its null); loadings of a region are means, and near its border another region's take over.

Cost: O(steps n regions components), for 2 + null draws fits. Memory O(n (d + regions components)).

Reference: paper "Interpretable non-linear DR by Gaussian-weighted linear maps"; W. Torgerson (1952) for the strain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.groups.mean_difference import halves
from analysis.compute.linear.linalg import principal_components
from analysis.compute.linear.loadings import in_words
from analysis.compute.machine import machine
from analysis.compute.maps.local_maps import (
    LocalMaps,
    LocalStrain,
    ellipses,
    fit_local_maps,
    spread_centres,
    start_at_components,
)
from analysis.compute.maps.map_report import QUALITY_HELP, map_report, report_bytes, report_cost
from analysis.compute.rows.cloud import Cloud, point_cloud
from analysis.compute.statistics.nulls import moved_samples
from analysis.results import Estimate, Scatter
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 20  # points


@dataclass(frozen=True)
class LocalLinearMapsParams:
    regions: int = param(6, "Linear maps that are blended; 1 gives principal components.", low=1, high=50)
    width: float = param(
        0.5, "Reach of a region, in mean distances between neighbouring centres.", low=0.2, high=10.0
    )
    kept: int = param(20, "Principal components that the maps may use.", low=2, high=200)
    steps: int = param(60, "Most steps of the fit.", low=1, high=1000)
    null_draws: int = param(3, "Structureless copies of the data for the null of the gain.", low=1, high=50)
    maximum_rows: int = param(5000, "Most points; a seeded random subset above.", low=50, high=100_000)
    quality_points: int = param(2000, QUALITY_HELP, low=50, high=50_000)


def local_linear_maps(
    activations, params: LocalLinearMapsParams = LocalLinearMapsParams(), rng=None, progress=no_progress
) -> Scatter:
    """Gaussian-weighted local linear maps of a tap.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Scatter
        `positions` (points, 2) in the units of the activations; columns "jacobian expansion", "anisotropy", "ellipse
        angle" (degrees), "region", "right means" (loadings in words), "trust", "continuity", "recall". Estimates: how
        much less local strain than principal components on held-out samples, against units moved apart; map quality.

    Raises
    ------
    NotEnoughData, InputError, TooLarge
        Fewer than 20 finite rows; all rows equal; rows and units both above 8,192.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    cloud = point_cloud(activations, rng, maximum_rows=params.maximum_rows, minimum=FEWEST, progress=progress)
    mean, directions, _ = principal_components(cloud.x, params.kept)
    z = (cloud.x - mean) @ directions.T
    if z.shape[1] < 2:
        z, directions = np.pad(z, ((0, 0), (0, 1))), np.vstack([directions, np.zeros_like(directions)])
    model = fitted(z, params, rng, progress, (0.1, 0.35))
    gain = _gain(z, cloud, params, rng, progress)
    positions, jacobian = model.place(z), model.jacobian(z)
    report = map_report(cloud.x, positions, rng, maximum_anchors=params.quality_points, progress=progress)
    region = model.weights(z).argmax(axis=1)
    words = _words(jacobian, region, len(model.maps), directions, activations.unit_names)
    columns = {
        **ellipses(jacobian),
        "region": region + 1,
        "right means": np.array([w[0] for w in words])[region],
        **report.columns,
    }
    share = float((z**2).sum() / ((cloud.x - mean) ** 2).sum())
    return Scatter(
        title=f"Local linear maps of {activations.name} ({len(model.maps)} regions)",
        reading=_reading(words, np.bincount(region, minlength=len(words)), gain) + " " + report.sentence,
        caveats=(*_caveats(params, model, columns, share), *cloud.notes, *report.notes),
        estimates=(gain, *report.estimates),
        positions=positions.astype(np.float32),
        rows=cloud.rows,
        axes=("blended axis 1", "blended axis 2"),
        columns=columns,
        colour="jacobian expansion",
    )


def fitted(
    z: np.ndarray, params: LocalLinearMapsParams, rng, progress=no_progress, span=(0.0, 1.0)
) -> LocalMaps:
    """The maps fitted to centred component scores `z` (n, p)."""
    centres = spread_centres(z, min(params.regions, len(z)), rng)
    return fit_local_maps(start_at_components(centres, 2, params.width), z, params.steps, progress, span)


def _words(jacobian, region, m: int, directions, names) -> list[tuple[str, str]]:
    """What right and up mean in each region: the mean Jacobian in units, each row of unit length."""
    words = []
    for c in range(m):
        mine = region == c
        local = (jacobian[mine].mean(axis=0) if mine.any() else np.zeros_like(jacobian[0])) @ directions
        local = local / np.maximum(np.linalg.norm(local, axis=1, keepdims=True), 1e-300)
        words.append(tuple(in_words(row, names, 3) or "nothing" for row in local))
    return words


def held_out_gain(
    z: np.ndarray, half: np.ndarray, params, rng, progress=no_progress, span=(0.0, 1.0)
) -> float:
    """1 - strain of the fitted maps / strain of the first two coordinates of `z` (n, p; component scores), on the
    points that did not make the maps."""
    model = fitted(z[half], params, rng, progress, span)
    strain = LocalStrain(z[~half], model.weights(z[~half]))
    bent, straight = (strain.of(y)[0] for y in (model.place(z[~half]), z[~half, :2]))
    return 1 - bent / straight if straight > 1e-12 else 0.0


def _gain(z, cloud: Cloud, params, rng, progress) -> Estimate:
    half = halves(np.zeros(cloud.n_samples), rng)[cloud.sample]
    value = held_out_gain(z, half, params, rng, progress, (0.35, 0.5))
    null = np.empty(params.null_draws)
    for i in range(len(null)):
        span = 0.5 + 0.19 * i / len(null), 0.5 + 0.19 * (i + 1) / len(null)
        null[i] = held_out_gain(moved_samples(z, rng, cloud.offsets), half, params, rng, progress, span)
    return Estimate(
        "local strain saved against principal components", value, null=float(null.mean()),
        null_low=float(null.min()), null_high=float(null.max()), n=len(z), d=cloud.x.shape[1],
        null_method=f"component scores moved apart, {len(null)} times: mean, smallest, largest",
        estimator="fitted on half of the samples, measured on the other half",
    )  # fmt: skip


def _reading(words, sizes, gain: Estimate) -> str:
    order = np.argsort(-sizes, kind="stable")[:6]
    lines = [
        f"Region {c + 1} ({sizes[c]} points): right is {words[c][0]}, up is {words[c][1]}."
        for c in order
        if sizes[c]
    ]
    bent = "" if gain.value > gain.null_high else ", no more than where there is nothing to follow"
    lines.append(f"Bending saves {gain.value:.0%} of the local strain on held-out samples{bent}.")
    return " ".join(lines)


def _caveats(params, model: LocalMaps, columns, share: float) -> list[str]:
    notes = [
        "Distances between far regions are not fitted; two regions may be drawn over each other (see trust)."
    ]
    if share < 0.999:
        notes.append(f"The maps see {share:.0%} of the variance: the {params.kept} leading components.")
    if len(model.maps) < params.regions:
        notes.append(f"There are {len(model.maps)} distinct centre(s) only.")
    squeezed = float((columns["jacobian expansion"] < 0.1 * np.median(columns["jacobian expansion"])).mean())
    if squeezed > 0.01:
        notes.append(f"{squeezed:.0%} of the points lie where the map is squeezed to less than a tenth.")
    return notes


def _cost(shapes, params: LocalLinearMapsParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n, p, c = min(rows, params.maximum_rows), min(params.kept, d), params.regions
    fits = 1 + 0.5 * (1 + params.null_draws)
    flops = 2.0 * n * d * min(n, d) + 10.0 * min(n, d) ** 3 + fits * params.steps * 1.3 * 16.0 * n * c * p
    seconds = m.seconds(flops64=flops, moved=fits * params.steps * 1.3 * n * c * (p * 24.0 + 60))
    seconds += m.seconds(**report_cost(n, d, params.quality_points))
    memory = n * d * 8 * 3.5 + n * p * 8 * (8.0 + min(c, 8)) + report_bytes(n, d)
    return Cost(seconds + 0.05, memory)


def _check() -> tuple[CheckLine, ...]:
    """One region is principal components; the Jacobian is that of finite differences; a bent sheet is flattened
    better than by principal components, a Gaussian is not."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((300, 8)) * [4, 3, 1, 1, 1, 1, 1, 1]
    one = local_linear_maps(x, LocalLinearMapsParams(regions=1, null_draws=1))
    mean, directions, _ = principal_components(x, 8)
    z = (x - mean) @ directions.T
    params = LocalLinearMapsParams(regions=4, steps=20)
    model = fitted(z, params, rng)
    step = 1e-5 * np.eye(8)
    slope = np.stack([(model.place(z[:50] + s) - model.place(z[:50] - s)) / 2e-5 for s in step], axis=2)
    turn = rng.uniform(0.0, 1.5 * np.pi, 1200)
    sheet = np.stack([10 * np.cos(turn), 10 * np.sin(turn), 3 * rng.standard_normal(1200)], axis=1)
    mean, directions, _ = principal_components(sheet, 3)
    half = np.arange(1200) % 2 == 0
    curved = held_out_gain((sheet - mean) @ directions.T, half, LocalLinearMapsParams(steps=60), rng)
    flat = held_out_gain(
        rng.standard_normal((1200, 3)) * [5, 4, 3], half, LocalLinearMapsParams(steps=60), rng
    )
    return (
        CheckLine("one region: largest difference from principal components", 0.0,
                  float(np.abs(one.positions - z[:, :2]).max()), 1e-4),
        CheckLine("one region: expansion is 1 everywhere, largest difference", 0.0,
                  float(np.abs(one.columns["jacobian expansion"] - 1).max()), 1e-4),
        CheckLine("Jacobian against finite differences", 0.0,
                  float(np.abs(slope - model.jacobian(z[:50])).max()), 1e-6),
        CheckLine("bent sheet: strain saved on held-out points", 0.8, curved, 0.0, "at least"),
        CheckLine("Gaussian: strain saved on held-out points", 0.1, flat, 0.0, "at most"),
    )  # fmt: skip


METHODS = (
    Method(
        id="local_linear_maps",
        family="projection",
        title="Local linear maps",
        summary="A bent map with loadings for every region, and what it stretches or squeezes at every point.",
        version=1,
        function=local_linear_maps,
        params=LocalLinearMapsParams,
        result=Scatter,
        check=_check,
        cost=_cost,
        minimum_rows=FEWEST,
        invariance="rotating or shifting the activations changes nothing; rescaling all together rescales the map",
        papers=("Interpretable non-linear DR by Gaussian-weighted linear maps",),
    ),
)
