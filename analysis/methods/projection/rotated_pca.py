"""Rotated principal components: the same subspace as PCA, with axes turned so that each leans on few units.

The m leading directions V (units x m, orthonormal) are turned by the rotation R that makes the loadings V R most
unequal (varimax: largest Σ loading⁴). The subspace, the variance it holds and all distances inside it stay as they
were; the axes become readable where the data have few-unit directions at all. The two (or three) rotated axes of
most variance are drawn: an ordinary orthogonal projection.

When it lies: loadings of *any* subspace become more unequal by turning, also those of noise (see the null of the
simplicity); m is a choice, and another m gives other axes; the drawn axes hold less variance than PC 1 and PC 2;
where principal components m and m + 1 are not told apart, chance decides what is in the subspace.

Cost: one eigenproblem O(n d min(n, d)), rotations O(d m² steps) for each start and null draw. Memory O(n d).

References: H. Kaiser (1958), "The varimax criterion for analytic rotation in factor analysis"; K. Rohe & M. Zeng
(2023), "Vintage factor analysis with varimax performs statistical inference".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.arrays import first_sign
from analysis.compute.groups.mean_difference import halves
from analysis.compute.linear.linalg import principal_components
from analysis.compute.linear.loadings import in_words, simplicity, varimax
from analysis.compute.machine import machine
from analysis.compute.maps.map_report import QUALITY_HELP, map_report, report_bytes, report_cost
from analysis.compute.rows.cloud import Cloud, point_cloud
from analysis.compute.statistics.nulls import add_one_p
from analysis.compute.statistics.ratios import random_direction_shares, variance_share
from analysis.results import Estimate, Scatter
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 8  # samples


@dataclass(frozen=True)
class RotatedPcaParams:
    rotated: int = param(6, "Principal components that are turned together.", low=2, high=50)
    components: int = param(2, "Number of rotated axes to draw: those of most variance.", choices=(2, 3))
    null_draws: int = param(30, "Random subspaces for the null of the simplicity.", low=5, high=500)
    maximum_rows: int = param(20_000, "Most points; a seeded random subset above.", low=50, high=500_000)
    quality_points: int = param(2000, QUALITY_HELP, low=50, high=50_000)


def rotated_pca(
    activations, params: RotatedPcaParams = RotatedPcaParams(), rng=None, progress=no_progress
) -> Scatter:
    """Varimax-rotated principal components of a tap.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Scatter
        `positions` (points, 2 or 3) in the units of the activations; columns "distance to plane", "trust",
        "continuity", "recall". The loadings of all rotated axes are in the reading. Estimates: variance share of
        each drawn axis, simplicity against random subspaces, how well each axis is found again on half the samples.

    Raises
    ------
    NotEnoughData, InputError, TooLarge
        Fewer than eight finite rows; all rows equal; rows and units both above 8,192.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    cloud = point_cloud(activations, rng, maximum_rows=params.maximum_rows, minimum=FEWEST, progress=progress)
    x = cloud.x - cloud.x.mean(axis=0)
    progress(0.15, "principal components")
    frame = rotated_directions(x, params.rotated, rng)
    k = min(params.components, len(frame))
    scores = x @ frame[:k].T
    positions = np.pad(scores, ((0, 0), (0, params.components - k)))
    found = _estimates(x, frame, k, cloud, params, rng, progress)
    report = map_report(
        cloud.x, positions, rng, maximum_anchors=params.quality_points, drawn="linear", progress=progress
    )
    norms = (x**2).sum(axis=1)
    inside = np.divide((scores**2).sum(axis=1), norms, out=np.ones(len(x)), where=norms > 0)
    shares = [e.value for e in found[:k]] + [0.0] * (params.components - k)
    return Scatter(
        title=f"Rotated components of {activations.name} ({len(frame)} turned)",
        reading=_reading(frame, k, activations.unit_names, found) + " " + report.sentence,
        caveats=(*_caveats(frame, x.shape[1], params), *cloud.notes, *report.notes),
        estimates=(*found, *report.estimates),
        positions=positions.astype(np.float32),
        rows=cloud.rows,
        axes=tuple(f"rotated axis {i + 1} ({share:.1%} of variance)" for i, share in enumerate(shares)),
        columns={"distance to plane": np.clip(1 - inside, 0, 1).astype(np.float32), **report.columns},
    )


def rotated_directions(x: np.ndarray, m: int, rng: np.random.Generator) -> np.ndarray:
    """Orthonormal directions (<= m, d) of the centred `x` (n, d): the m leading ones, turned by varimax, in order of
    falling variance, the largest loading positive."""
    _, directions, _ = principal_components(x, m)
    frame = (directions.T @ varimax(directions.T, rng)).T
    variances = ((x @ frame.T) ** 2).sum(axis=0)
    return first_sign(frame[np.argsort(-variances, kind="stable")])


def _estimates(x, frame, k, cloud: Cloud, params, rng, progress) -> tuple[Estimate, ...]:
    progress(0.3, "random directions")
    chance = random_direction_shares(x, rng)
    found = [
        variance_share(x, frame[[i]].T, cloud.sample, f"variance share of axis {i + 1}", chance, rng)
        for i in range(k)
    ]
    (n, d), m = x.shape, len(frame)
    null = np.empty(params.null_draws)
    for i in range(params.null_draws):
        progress(0.4 + 0.2 * i / params.null_draws, "turning random subspaces")
        other = np.linalg.qr(rng.standard_normal((d, m)))[0]
        null[i] = simplicity(other @ varimax(other, rng, starts=1))
    value = simplicity(frame.T)
    found.append(
        Estimate(
            "simplicity of the loadings", value, null=float(null.mean()), null_low=float(np.percentile(null, 2.5)),
            null_high=float(np.percentile(null, 97.5)), null_method=f"random subspaces, turned as well, {len(null)} "
            "times", p_value=float(add_one_p(value, null)), n=n, d=d, estimator=f"mean Σ loading⁴ over {m} axes",
        )
    )  # fmt: skip
    progress(0.65, "turning both halves")
    return (*found, *_found_again(x, frame, k, cloud, rng))


def _found_again(x, frame, k: int, cloud: Cloud, rng) -> list[Estimate]:
    """Cosine of each drawn axis with the nearest rotated axis of each half of the samples."""
    half = halves(np.zeros(cloud.n_samples), rng)[cloud.sample]
    cosine = np.zeros((2, k))
    for h, mine in enumerate((half, ~half)):
        part = x[mine] - x[mine].mean(axis=0)
        if part.any():
            cosine[h] = np.abs(frame[:k] @ rotated_directions(part, len(frame), rng).T).max(axis=1)
    random = np.linalg.norm(rng.standard_normal((500, x.shape[1])), axis=1)
    chance = (np.abs(rng.standard_normal((500, len(frame)))) / random[:, None]).max(axis=1)
    chance = np.minimum(chance, 1.0)
    low, high = cosine.min(axis=0), cosine.max(axis=0)
    return [
        Estimate(
            f"axis {i + 1} found again", float(cosine[:, i].mean()), float(low[i]), float(high[i]), level=1.0,
            interval="the two halves", null=float(chance.mean()), null_low=float(np.percentile(chance, 2.5)),
            null_high=float(np.percentile(chance, 97.5)), null_method=f"best of {len(frame)} random directions",
            n=x.shape[0], d=x.shape[1], estimator="cosine with the nearest axis of half of the samples",
        )
        for i in range(k)
    ]  # fmt: skip


def _reading(frame, k: int, names, found) -> str:
    lines = [f"Axis {i + 1} is {in_words(v, names)}." for i, v in enumerate(frame[:k])]
    if len(frame) > k:
        rest = "; ".join(f"{i + 1} is {in_words(v, names, 3)}" for i, v in enumerate(frame[k:9], k))
        lines.append(f"Not drawn: {rest}.")
    simple = found[k]
    word = "more" if simple.value > simple.null_high else "not more"
    lines.append(
        f"An axis leans on {1 / simple.value:.0f} units in effect, {word} concentrated than those of a random "
        f"subspace turned in the same way ({1 / simple.null:.0f})."
    )
    return " ".join(lines)


def _caveats(frame, d: int, params) -> list[str]:
    notes = [
        f"The axes depend on how many components are turned together ({len(frame)}); the drawn ones hold less "
        "variance than the first principal components."
    ]
    if len(frame) == d:
        notes.append("All directions were turned together, which leads back to single units: turn fewer.")
    if len(frame) < params.rotated:
        notes.append(f"Only {len(frame)} component(s) have variance.")
    return notes


def _cost(shapes, params: RotatedPcaParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n = min(rows, params.maximum_rows)
    r, k = min(n, d), min(params.rotated, d)
    flops = 3 * (2.0 * n * d * r + 10.0 * r**3) + (params.null_draws + 12) * 60 * 6.0 * d * k * k
    seconds = m.seconds(flops64=flops, calls=(params.null_draws + 12) * 60 * 20)
    seconds += m.seconds(**report_cost(n, d, params.quality_points))
    return Cost(seconds + 0.05, n * d * 8 * 5.0 + 3 * r * r * 8 + report_bytes(n, d))


def _check() -> tuple[CheckLine, ...]:
    """Three planted directions of four units each, mixed by a rotation inside their plane, are found again; turning
    keeps the variance of the subspace; a random subspace is no simpler than its null."""
    rng = np.random.default_rng(4)
    planted = np.zeros((3, 60))
    for i in range(3):
        planted[i, 4 * i : 4 * i + 4] = 0.5
    mix = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    x = rng.standard_normal((4000, 3)) * [3.0, 2.9, 2.8] @ mix @ planted + 0.1 * rng.standard_normal(
        (4000, 60)
    )
    c = x - x.mean(axis=0)
    frame = rotated_directions(c, 3, rng)
    leading = np.linalg.svd(c, full_matrices=False)[1]
    noise = rotated_pca(rng.standard_normal((400, 50)), RotatedPcaParams(null_draws=40)).estimates[2]
    return (
        CheckLine("planted directions: smallest cosine", 1.0, float(np.abs(planted @ frame.T).max(axis=1).min()), 1e-3),
        CheckLine("variance of the subspace, relative change", 0.0,
                  float(((c @ frame.T) ** 2).sum() / (leading[:3] ** 2).sum() - 1), 1e-10),
        CheckLine("simplicity of four equal loadings", 0.25, simplicity(frame.T), 1e-3),
        CheckLine("noise: simplicity is not beyond its null (p)", 0.02, noise.p_value, 0.0, "at least"),
    )  # fmt: skip


METHODS = (
    Method(
        id="rotated_pca",
        family="projection",
        title="Rotated components",
        summary="The principal subspace with axes turned so that each leans on few units, with loadings in words.",
        version=1,
        function=rotated_pca,
        params=RotatedPcaParams,
        result=Scatter,
        check=_check,
        cost=_cost,
        minimum_rows=FEWEST,
        invariance="shifting the activations changes nothing, permuting the units permutes the loadings; rotating "
        "the activations keeps the subspace but changes the axes",
    ),
)
