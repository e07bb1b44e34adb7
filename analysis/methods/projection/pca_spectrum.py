"""The eigenvalue spectrum of a tap: how many directions it uses, which are told apart, which exceed noise.

Eigenvalues λ of the centred covariance, falling, each with an interval and the value that the same units would
give if they had nothing to do with each other. Beside it, by formula because the names are not unique:

    participation ratio          (Σ λ)² / Σ λ²
    entropy rank of λ            exp(-Σ p ln p),  p = λ / Σ λ
    entropy rank of √λ           exp(-Σ p ln p),  p = √λ / Σ √λ     (centred singular values)
    RankMe                       the same for the singular values of the rows as they are, not centred
    axes for 99 % of variance    the smallest k with Σ_{i<=k} λ_i >= 0.99 Σ λ

When it lies: all of them grow with the number of rows until n is many times d, so compare taps at equal n; a
large mean direction alone makes RankMe small; a few units with a large scale own the spectrum; the intervals
describe sampling error, not the spreading bias that the null shows.

Cost: two passes, O(n d²) operations; O(d³) per null draw; memory O(d²).

References: O. Roy & M. Vetterli (2007), "The effective rank"; Q. Garrido et al. (2023), "RankMe"; T. W. Anderson
(1963); V. A. Marchenko & L. A. Pastur (1967).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.linear.axis_error import (
    AxisErrors,
    AxisErrorSum,
    block_words,
    positive_interval,
    scored_blocks,
    separation_p,
    unresolved_blocks,
)
from analysis.compute.linear.axis_null import moved_eigenvalues
from analysis.compute.linear.linalg import PrincipalAxes, principal_axes
from analysis.compute.linear.spectra import (
    axes_for,
    entropy_rank,
    marchenko_pastur_edges,
    rank_gradients,
    rankme,
    ranks,
)
from analysis.compute.machine import machine
from analysis.compute.statistics.nulls import gaussian_eigenvalues, null_draws
from analysis.compute.streaming import Pass
from analysis.results import Estimate, Spectrum
from analysis.spec import CheckLine, Cost, Method, no_progress, param

NULLS = {
    "matched Gaussian": "independent Gaussian units with the same variances",
    "permutation": "each unit's samples moved on their own, the tokens of a sample kept together",
}


@dataclass(frozen=True)
class PcaSpectrumParams:
    null: str = param(
        "matched Gaussian",
        "What to compare with: Gaussian units of the same variances (fast, any size), or the data with every "
        "unit's samples moved (keeps heavy tails and token order; needs the tap in memory).",
        choices=tuple(NULLS),
    )
    draws: int | None = param(
        None, "Null spectra to draw; automatic: more where one is cheap.", low=3, high=500
    )
    level: float = param(0.05, "Neighbours with a larger p-value count as unresolved.", low=1e-4, high=0.5)


def pca_spectrum(
    activations, params: PcaSpectrumParams = PcaSpectrumParams(), rng=None, progress=no_progress
):
    """Eigenvalues with intervals, null, unresolved blocks and the ranks made from them.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Spectrum
        `values` (rank,) in squared units of the activations, `low`/`high` 95 %, `null` mean over the draws,
        `blocks` equal where neighbours are not told apart.

    Raises
    ------
    NotEnoughData, InputError, TooLarge
        Fewer than three finite rows; nothing varies; rows and units both above 8,192; for the permutation
        null, a tap above 2 GiB.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    seen = Pass()
    axes = principal_axes(activations, min(activations.shape), seen, progress, (0.0, 0.4))
    total = AxisErrorSum(axes, rank_gradients(axes.eigenvalues[: len(axes.directions)]))
    for rows, scores, norms in scored_blocks(activations, axes, progress, (0.4, 0.7)):
        total.add(seen.owners(activations.layout, rows), scores, norms)
    errors = total.finish()
    progress(0.7, "drawing the null")
    draws = _draws(params, axes.d)
    if params.null == "matched Gaussian":
        null = gaussian_eigenvalues(axes.variances, seen.independent, rng, draws)
    else:
        null = moved_eigenvalues(activations, axes, draws, rng, progress, (0.7, 1.0))
    low, high = positive_interval(axes.eigenvalues, errors.eigenvalue)
    p = separation_p(axes.eigenvalues, axes.n, errors.inflation)
    blocks = unresolved_blocks(p, params.level)
    return Spectrum(
        title=f"Eigenvalue spectrum of {activations.name}",
        reading=_reading(axes, null, blocks),
        caveats=(*seen.notes, *_caveats(activations, axes, errors)),
        estimates=_estimates(axes, errors, null, params),
        values=axes.eigenvalues,
        value_name="eigenvalue of the covariance",
        low=low,
        high=high,
        null=null.mean(axis=0)[: len(axes.eigenvalues)],
        blocks=blocks,
    )


def _draws(params: PcaSpectrumParams, d: int) -> int:
    """Null spectra: as many as were asked for; moves of real data cost a pass each, so fewer by default."""
    return params.draws or min(null_draws(d), 100 if params.null == "matched Gaussian" else 20)


def _estimates(axes: PrincipalAxes, errors: AxisErrors, null: np.ndarray, params) -> tuple[Estimate, ...]:
    made = {"n": axes.n, "d": axes.d, "null_method": f"{NULLS[params.null]}, {len(null)} draws"}
    chance = [ranks(row) for row in null]
    found = []
    for (name, value), error in zip(ranks(axes.eigenvalues).items(), errors.extras, strict=True):
        low, high = positive_interval(value, error)
        band = np.percentile([c[name] for c in chance], [2.5, 50, 97.5])
        found.append(
            Estimate(
                name, value, float(low), float(high), interval="asymptotic, any tails", null=float(band[1]),
                null_low=float(band[0]), null_high=float(band[2]), estimator="plug-in", **made,
            )
        )  # fmt: skip
    raw = rankme(axes.mean, axes.directions, axes.eigenvalues[: len(axes.directions)], axes.n)
    centred_null = float(np.mean([entropy_rank(np.sqrt(np.maximum(row, 0))) for row in null]))
    found.append(Estimate("RankMe (rows not centred)", raw, null=centred_null, estimator="plug-in", **made))
    count = axes_for(axes.eigenvalues, 0.99)
    counts = np.array([axes_for(row, 0.99) for row in null])
    found.append(
        Estimate(
            "axes for 99 % of the variance", count, null=float(counts.mean()), null_low=float(counts.min()),
            null_high=float(counts.max()), estimator="plug-in", unit="axes", **made,
        )
    )  # fmt: skip
    above = _above(axes, null)
    return (
        *found,
        Estimate(
            "axes above the null's largest", above, null=0.0, unit="axes", estimator="95 % edge", **made
        ),
    )


def _above(axes: PrincipalAxes, null: np.ndarray) -> int:
    """How many eigenvalues exceed the 95 % quantile of the largest null eigenvalue."""
    return int((axes.eigenvalues > np.quantile(null[:, 0], 0.95)).sum())


def _reading(axes: PrincipalAxes, null: np.ndarray, blocks: np.ndarray) -> str:
    first = f"{_above(axes, null)} of {len(blocks)} axes carry more variance than the largest axis of unrelated units."
    return f"{first} {block_words(blocks)}".rstrip()


def _caveats(activations, axes: PrincipalAxes, errors: AxisErrors) -> list[str]:
    notes = ["Ranks grow with the number of rows until n is many times d: compare taps at equal n only."]
    if axes.n < 5 * axes.d:
        low, high = marchenko_pastur_edges(axes.n, axes.d)
        notes.append(
            f"{axes.n:,} rows for {axes.d:,} units: equal eigenvalues of 1 would spread from {low:.2g} to "
            f"{high:.2g} by sampling alone (Marchenko-Pastur), and the intervals are too narrow."
        )
    if errors.n_samples < axes.n:
        notes.append("Intervals take the tokens of a sample as dependent; the Gaussian null counts samples.")
    constant = int((axes.variances == 0).sum())
    if constant:
        notes.append(f"{constant} constant unit(s) add nothing.")
    notes.append("RankMe is not centred and its null is that of zero-mean units; it has no interval here.")
    return notes


def _cost(shapes, params: PcaSpectrumParams) -> Cost:
    (n, d), m = shapes[0], machine()
    side, chunk = min(n, d), min(n, 4096)
    draws = _draws(params, d)
    held = n * d * 8 * 2.5 if n < d else chunk * (d * 8 * 2 + side * 8 * 9)
    flops = 4.0 * n * d * side + (20 + 25 * draws) * side**3
    if params.null == "permutation":
        held += n * d * 20
        flops += draws * 2.0 * n * d * side
    return Cost(m.seconds(flops64=flops, moved=n * d * 300) + 0.03, held + 4 * side**2 * 8)


def _check() -> tuple[CheckLine, ...]:
    """Equal singular values have rank k by every formula; planted blocks are found; noise has no axis above."""
    rng = np.random.default_rng(11)
    basis = np.linalg.qr(rng.standard_normal((400, 13)))[0]
    basis = np.linalg.qr(basis - basis.mean(axis=0))[0][:, :12]  # centred and orthonormal: 12 equal values
    flat = pca_spectrum(basis @ np.linalg.qr(rng.standard_normal((20, 12)))[0].T)
    x = rng.standard_normal((4000, 16)) * np.sqrt([16, 9, 4, 4, *[1] * 12])
    planted = pca_spectrum(x)
    noise = pca_spectrum(rng.standard_normal((600, 24)))
    lifted = pca_spectrum(x + 1e4)
    names = [e.name.split(",")[0] for e in flat.estimates[:3]]
    lines = [
        CheckLine(f"12 equal: {n}", 12.0, e.value, 1e-6) for n, e in zip(names, flat.estimates, strict=False)
    ]
    return (
        *lines,
        CheckLine("axis 1 and 2 separate", 1.0, float(planted.blocks[1] - planted.blocks[0]), 0.0),
        CheckLine("axis 3 and 4 in one block", 0.0, float(planted.blocks[3] - planted.blocks[2]), 0.0),
        CheckLine("noise: axes above the null", 0.0, noise.estimates[5].value, 0.0),
        CheckLine("a large mean makes RankMe small", 2.0, lifted.estimates[3].value, 0.0, "at most"),
        CheckLine(
            "and leaves the centred ranks", planted.estimates[2].value, lifted.estimates[2].value, 1e-6
        ),
    )


METHODS = (
    Method(
        id="pca_spectrum",
        family="projection",
        title="Eigenvalue spectrum",
        summary="How many directions a tap uses, which of them are told apart, and which exceed noise.",
        version=2,
        function=pca_spectrum,
        params=PcaSpectrumParams,
        result=Spectrum,
        check=_check,
        cost=_cost,
        minimum_rows=3,
        invariance="rotating or shifting the activations changes nothing but RankMe; rescaling single units does",
        papers=(
            "A geometric framework for asymptotic inference of principal subspaces in PCA",
            "RankMe: Assessing the downstream performance of pretrained self-supervised representations by their rank",
            "Attention Layers Add Into Low-Dimensional Residual Subspaces",
        ),
    ),
)
