"""Diffusion spectral entropy: how many states a random walk between the samples tells apart, at every scale and time.

    S = -Σ p log2 p,    p_i = λ_i^t / Σ λ^t,    λ the eigenvalues of the diffusion operator

(`compute.neighbours.diffusion_entropy`).

The kernel's width σ is a share of the median distance between samples, the walk takes t steps. S runs from 0 bits (all
samples one cloud) to log2 n (each for itself), and hangs on σ, t and n: so the whole table over σ and t is the result,
and one cell of it is no property of a network. c groups, tight and far apart, give log2 c whatever their sizes.

With a class column also the diffusion spectral mutual information, DSMI = Σ_y n_y / n (S(random part of n_y samples) -
S(samples of y)): biased (a small random part misses groups) and possibly negative; its null are shuffled labels.

Null: one Gaussian cloud with the covariance of the tap, as many samples: its spectrum without its groups and bends.
Intervals: random halves of the samples (delete-half jackknife).

When it lies: in many dimensions all distances are alike, and a small change of σ moves S from 0 to log2 n; S grows with
n; one far sample adds a state at small σ; occupancy is ignored, a group of eight counts as one of eighty.

Cost: O(n³) for each of six widths, as much for each of three null draws, and a bit more for ten halves; memory O(n²).

References: D. Liao, C. Liu et al. (2023), "Assessing neural network representations during training using
noise-resilient diffusion spectral entropy".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.neighbours.diffusion_entropy import (
    HALVES,
    entropies,
    half_width,
    matched_gaussian,
    median_distance,
    mutual_information,
    random_half,
    squared_distances,
)
from analysis.compute.rows.cloud import point_cloud
from analysis.compute.rows.labelled_cloud import with_classes
from analysis.compute.statistics.nulls import against
from analysis.errors import NotEnoughData
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

WIDTHS, TIMES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0), (1, 2, 4, 8, 16)
FEWEST, DRAWS, SHUFFLES = 16, 3, 20


@dataclass(frozen=True)
class DiffusionParams:
    width: float = param(0.5, "σ as a share of the median distance between samples.", low=1e-3, high=100.0)
    time: int = param(1, "Steps t of the walk, at which numbers are given.", low=1, high=1000)
    anisotropy: float = param(
        0.5, "How far density is divided out: 1/2 as published, 0 not at all, 1 wholly.", low=0.0, high=1.0
    )
    column: str = param("", "Class column for the mutual information; empty: none.", column=True)
    maximum_rows: int = param(2000, "Most rows n; a seeded random part above.", low=50, high=8192)


def diffusion_spectral_entropy(
    activations, params: DiffusionParams = DiffusionParams(), rng=None, progress=no_progress
) -> Matrix:
    """Entropy over widths and times.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Matrix
        Bits; widths x times, with null and interval of each cell. Estimates: at the width and time asked for, and DSMI.

    Raises
    ------
    NotEnoughData, InputError, NotFound
        Fewer than sixteen finite rows; equal rows; no such column, or fewer than two classes of four samples.
    """
    activations, rng = as_activations(activations), rng or np.random.default_rng(0)
    cloud = point_cloud(activations, rng, maximum_rows=params.maximum_rows, minimum=FEWEST, progress=progress)
    if cloud.n_samples < FEWEST:
        raise NotEnoughData(f"{cloud.n_samples} samples", f"at least {FEWEST}", "Record more samples")
    classes = with_classes(activations, cloud, params.column, 4) if params.column else None
    widths, times = sorted({*WIDTHS, params.width}), sorted({*TIMES, params.time})
    squared = squared_distances(cloud.x)
    median = median_distance(squared)
    found = _table(squared, widths, times, params, progress, (0.1, 0.3))
    halves = []
    for i in range(HALVES):
        part = random_half(cloud.sample, rng)
        inside = squared[np.ix_(part, part)]
        halves.append(_table(inside, widths, times, params, progress, (0.3 + 0.02 * i, 0.32 + 0.02 * i)))
    null = []
    for i in range(DRAWS):
        drawn = squared_distances(matched_gaussian(cloud.x, rng))
        null.append(_table(drawn, widths, times, params, progress, (0.5 + 0.15 * i, 0.65 + 0.15 * i)))
    halves, null, at = (
        np.array(halves),
        np.array(null),
        (widths.index(params.width), times.index(params.time)),
    )
    half, n = half_width(halves), len(cloud.x)
    low, high = np.clip([found - half, found + half], 0.0, np.log2(n))
    estimates = [_estimate(found[at], low[at], high[at], null[(slice(None), *at)], cloud)]
    estimates.append(Estimate(
        f"the same of {n // 2:,} samples", float(halves[(slice(None), *at)].mean()), n=n // 2, d=cloud.x.shape[1],
        estimator=f"mean of {HALVES} random halves", unit="bits",
    ))  # fmt: skip
    if classes is not None:
        estimates.append(_information(classes, params, median, rng))
    progress(1.0, "done")
    return Matrix(
        title=f"Diffusion spectral entropy of {activations.name}",
        reading=_reading(estimates, found, n, params),
        caveats=(*cloud.notes, *_caveats(cloud, classes, median, params)),
        estimates=tuple(estimates), values=found, row_names=tuple(f"σ = {w:g} x median" for w in widths),
        column_names=tuple(f"t = {t}" for t in times), value_name="entropy (bits)", limits=(0.0, float(np.log2(n))),
        null=null.mean(axis=0), low=low, high=high,
    )  # fmt: skip


def _table(squared, widths, times, params, progress, span) -> np.ndarray:
    """(widths, times) entropies; every set of samples has the median distance of its own."""
    median, out = median_distance(squared), []
    for i, width in enumerate(widths):
        progress(span[0] + (span[1] - span[0]) * i / len(widths), "finding eigenvalues")
        out.append(entropies(squared, width * median, times, params.anisotropy))
    return np.array(out)


def _estimate(value, low, high, null, cloud) -> Estimate:
    return Estimate(
        "diffusion spectral entropy", float(value), float(min(low, value)), float(max(high, value)),
        interval=f"delete-half jackknife, {HALVES} halves", null=float(null.mean()), null_low=float(null.min()),
        null_high=float(null.max()),
        null_method=f"one Gaussian cloud of the same covariance: mean and ends of {len(null)} draws",
        n=len(cloud.x), d=cloud.x.shape[1], estimator="eigenvalues of the diffusion operator", unit="bits",
    )  # fmt: skip


def _information(classes, params, median: float, rng) -> Estimate:
    """DSMI of the rows that have a class, at the width of all rows."""
    cloud, of = classes.cloud, classes.of[classes.cloud.sample]
    squared, how = squared_distances(cloud.x), (params.width * median, params.time, params.anisotropy, rng)
    value = mutual_information(squared, of, *how)
    null = np.array([
        mutual_information(squared, rng.permutation(classes.of)[cloud.sample], *how) for _ in range(SHUFFLES)
    ])  # fmt: skip
    halves = []
    for _ in range(HALVES):
        part = random_half(cloud.sample, rng)
        halves.append(mutual_information(squared[np.ix_(part, part)], of[part], *how))
    half = float(half_width(np.array(halves)))
    return Estimate(
        f"DSMI with '{params.column}'", value, value - half, value + half,
        interval=f"delete-half jackknife, {HALVES} halves", null_method=f"labels shuffled, {SHUFFLES} draws",
        n=len(of), d=cloud.x.shape[1], estimator="entropy of random parts less entropy of classes", unit="bits",
        **against(value, null),
    )  # fmt: skip


def _reading(estimates, found, n: int, params) -> str:
    main, half, *more = estimates
    said = (
        f"At σ = {params.width:g} of the median distance and t = {params.time} the entropy is {main.value:.2f} of at "
        f"most {np.log2(n):.2f} bits, as much as {2**main.value:.1f} separate groups have; a Gaussian cloud of the "
        f"same covariance has {main.null:.2f}, half of the samples {half.value:.2f}. Over widths and times it goes "
        f"from {found.min():.2f} to {found.max():.2f}: a single cell says little."
    )
    for e in more:
        said += f" The {e.name} is {e.value:.2f} bits, {e.null:.2f} for shuffled labels."
    return said


def _caveats(cloud, classes, median: float, params) -> list[str]:
    n = len(cloud.x)
    notes = [
        f"The entropy is of {n:,} rows and grows with their number (at most {np.log2(n):.2f} bits).",
        f"σ is {params.width * median:.3g} in units of the activations; the median distance is {median:.3g}.",
        "Groups count once whatever their size.",
    ]
    if cloud.n_samples < n:
        notes.append("The Gaussian cloud has independent rows, the tokens of a sample are not.")
    if classes is not None:
        notes += [
            *classes.notes,
            "DSMI is biased: a random part of a class's size misses groups; it can be negative.",
        ]
    return notes


def _cost(shapes, params: DiffusionParams) -> Cost:
    (n, d), m = shapes[0], machine()
    n = min(n, params.maximum_rows)
    tables = (1 + DRAWS + HALVES / 8) * (len(WIDTHS) + 1)
    flops = tables * 4.0 * n**3 + (DRAWS + 1) * 2.0 * n * n * d
    if params.column:
        flops += (SHUFFLES + 2) * 3 * 4.0 * n**3 / 4
    return Cost(
        m.seconds(flops64=flops, moved=tables * 8.0 * n * n * 30) + 0.02, 8.0 * (4.0 * n * n + 3 * n * d)
    )


def _check() -> tuple[CheckLine, ...]:
    """Eight tight groups of very unequal sizes give 3 bits; a tiny kernel tells all samples apart, a huge one none.
    Groups as labels explain them all but for what random parts miss; shuffled labels nothing."""
    rng = np.random.default_rng(49)

    def at(x, width, labels=None, **more):
        tap = ArrayActivations(x, samples={} if labels is None else {"label": labels})
        column = "" if labels is None else "label"
        return diffusion_spectral_entropy(tap, DiffusionParams(width=width, column=column, **more)).estimates

    sizes = np.array([72] + [8] * 7)
    centres = 100 * np.eye(8)
    x = centres[np.repeat(np.arange(8), sizes)] + 1e-4 * rng.standard_normal((128, 8))
    even = np.repeat(np.arange(8), 16)
    known = at(centres[even] + 1e-4 * rng.standard_normal((128, 8)), 0.05, even)
    cloud = rng.standard_normal((128, 5))
    return (
        CheckLine("eight groups of 72 and 8: bits", 3.0, at(x, 0.05)[0].value, 1e-3),
        CheckLine("a tiny kernel: log2 of 128", 7.0, at(cloud, 1e-3)[0].value, 1e-9),
        CheckLine("a huge kernel", 0.0, at(cloud, 100.0)[0].value, 0.01),
        CheckLine("scaled and shifted", at(cloud, 0.3)[0].value, at(1e3 * cloud + 7, 0.3)[0].value, 1e-8),
        CheckLine("one cloud is its own null", at(cloud, 0.5)[0].null, at(cloud, 0.5)[0].value, 0.5),
        CheckLine("DSMI of the groups", 2.84, known[2].value, 0.06),
        CheckLine("DSMI of shuffled labels", 0.0, known[2].null, 0.1),
    )


METHODS = (
    Method(
        id="diffusion_spectral_entropy", family="rank", title="Diffusion spectral entropy", version=1,
        function=diffusion_spectral_entropy,
        summary="How many groups a random walk between samples tells apart, at every kernel width and time.",
        params=DiffusionParams, result=Matrix, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="rotating, shifting or scaling the activations",
        papers=(
            "Assessing Neural Network Representations During Training Using Noise-Resilient Diffusion Spectral Entropy",
        ),
    ),
)  # fmt: skip
