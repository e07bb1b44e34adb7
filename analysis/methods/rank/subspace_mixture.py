"""A mixture of low-dimensional subspaces: do a tap's samples lie on a few flat pieces, of how many dimensions, how far
apart, and are there enough samples to know?

K-subspaces (`compute.subspaces.union`) on the leading principal axes, from many random starts. The number of
dimensions is given, or is the one at which the spectra of the components fall most steeply (largest mean
log λ_d / λ_{d+1}). For each component: its samples N_k, the dimension d_k at its own eigengap, N_k / d_k (below 1 its
subspace cannot be known: N_k samples span N_k directions; recovery needs some times d_k), and the principal angles to
the component that is nearest.

Held out: subspaces fitted on one half of the samples keep how much of the other half's squares, each sample by the
subspace that keeps most of it. The share of samples that clearly belong to one component is read from posterior weights
of the mixture N(0, s² U_k U_kᵀ + γ² I) with s and γ fitted.

Null: the same fit on Gaussian samples with the same covariance: K subspaces always keep more than one does, also where
there are no pieces.

When it lies: most starts end in a local minimum (how many reached the best is said); K is given and not found, and the
best K keeps rising with n; clusters far from the centre are lines through it and look like subspaces of one dimension;
directions beyond the principal axes used are not seen; curved sets are cut into as many flat pieces as are allowed.

Cost: some hundred fits of O(n q K d + K q³) per pass, q axes; memory O(n d).

References: P. Bradley & O. Mangasarian (2000), "k-plane clustering"; P. Wang et al. (2024), "Diffusion models learn
low-dimensional distributions via subspace clustering".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.neighbours.dimension_readings import COVARIANCE, gaussian_like
from analysis.compute.rows.cloud import point_cloud
from analysis.compute.subspaces.union import k_subspaces, leading
from analysis.compute.subspaces.union_fits import kept_held_out, steepest_dimension
from analysis.compute.subspaces.union_report import component_columns, union_estimates
from analysis.errors import NotEnoughData, ParameterError
from analysis.results import Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 40
DRAWS = 4  # Gaussians of the null
SEARCH = 4  # starts for each dimension tried
MEAN, ZERO = "the mean", "zero"


@dataclass(frozen=True)
class SubspaceMixtureParams:
    components: int = param(3, "Number of subspaces K.", low=2, high=20)
    dimension: int | None = param(
        None, "Dimensions of each; automatic is at the steepest fall.", low=1, high=50
    )
    most: int = param(
        8, "Most dimensions that automatic tries, and never more than half of the axes.", label="most dimensions",
        low=1, high=30,
    )  # fmt: skip
    through: str = param(MEAN, "The point that all subspaces go through.", choices=(MEAN, ZERO))
    axes: int = param(40, "Principal axes used.", label="principal axes", low=3, high=200)
    restarts: int = param(10, "Random starts of each fit.", low=2, high=100)
    maximum_rows: int = param(3000, "Most points; a seeded random subset above.", low=FEWEST, high=50_000)


def subspace_mixture(
    activations, params: SubspaceMixtureParams = SubspaceMixtureParams(), rng=None, progress=no_progress
) -> Table:
    """Subspaces of a tap.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Table
        One line a component, most samples first. Estimates: what the union keeps held out, and as much for one
        subspace; the smallest N_k / d_k; the overlap of components; samples that clearly belong to one.

    Raises
    ------
    NotEnoughData, ParameterError, InputError, TooLarge
        Fewer than 40 points, or than 2 K (d + 1); no more axes than dimensions; all points equal; over 8 GiB.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    cloud = point_cloud(activations, rng, maximum_rows=params.maximum_rows, minimum=FEWEST, progress=progress)
    x, share = _axes(cloud.x, params)
    d = _dimension(x, params, rng, progress)
    fit = k_subspaces(x, params.components, d, rng, params.restarts, progress, (0.4, 0.5))
    size = (params.components, d, rng, params.restarts, progress)
    held, one = kept_held_out(x, cloud.sample, *size, (0.5, 0.6))
    null = np.empty((DRAWS, 2))
    for i in range(DRAWS):
        span = (0.6 + 0.1 * i, 0.7 + 0.1 * i)
        drawn = kept_held_out(gaussian_like(x, COVARIANCE, rng), cloud.sample, *size, span)
        null[i] = drawn[0].share, drawn[1].share
    columns = component_columns(x, fit, d, params.most)
    estimates = union_estimates(x, fit, held, one, null, columns, d, cloud, rng)
    reached = fit.reached(float((x**2).sum()))
    notes = [
        f"{reached} of {params.restarts} starts ended at the best fit found"
        + (": more starts may find a better one." if reached < 2 else "."),
        f"K = {params.components} is given; the {x.shape[1]} principal axes used hold {share:.1%} of the squares.",
        "Subspaces go through " + (f"{params.through} of the points." if params.through == MEAN else "zero."),
    ]
    return Table(
        title=f"Subspaces of {activations.name}", reading=_reading(estimates, columns, d),
        caveats=(*notes, *cloud.notes), estimates=estimates, columns=columns, index="component", sort="samples",
        help=_help(params),
    )  # fmt: skip


# ---------------------------------------------------------------------------- fitting
def _axes(x: np.ndarray, params) -> tuple[np.ndarray, float]:
    """Samples (n, q) along their leading directions about the point, and the share of the squares that is there."""
    x = x - x.mean(axis=0) if params.through == MEAN else x
    x = x / np.abs(x).max()
    if x.shape[1] > len(x):  # the same distances with as many coordinates as samples
        values, vectors = np.linalg.eigh(x @ x.T)
        x = vectors * np.sqrt(np.maximum(values, 0.0))
    directions, squares = leading(x, min(params.axes, x.shape[1]))
    used = squares[: directions.shape[1]] > squares[0] * 1e-12
    if used.sum() < 2:
        raise NotEnoughData(
            f"the points span {int(used.sum())} direction(s)", "at least 2", "Choose another tap"
        )
    z = x @ directions[:, used]
    return z, float((z**2).sum() / (x**2).sum())


def _dimension(x: np.ndarray, params, rng, progress) -> int:
    """The dimension that was asked for, or that at which components' spectra fall most steeply."""
    n, q = x.shape
    most = min(params.dimension or min(params.most, max(1, q // 2)), q - 1)
    if params.dimension and params.dimension > most:
        raise ParameterError(
            f"dimension = {params.dimension} in {q} axes", f"at most {most}", "Raise 'principal axes'"
        )
    room = n // (2 * params.components) - 1
    if room < (params.dimension or 1):
        raise NotEnoughData(
            f"{n} points for {params.components} subspaces of {params.dimension or 1} dimension(s)",
            f"at least {2 * params.components * ((params.dimension or 1) + 1)}", "Ask for fewer or smaller ones",
        )  # fmt: skip
    if params.dimension:
        return params.dimension
    return steepest_dimension(x, params.components, min(most, room), rng, SEARCH, progress, (0.1, 0.4))


def _reading(estimates, columns, d: int) -> str:
    union, one, few, _, clear = estimates
    k = len(columns["component"])
    said = (
        f"{k} subspaces of {d} dimension(s) keep {union.value:.1%} of the squares of samples they were not fitted on, "
        f"one such subspace {one.value:.1%}; on Gaussian samples with the same covariance, {union.null:.1%} and "
        f"{one.null:.1%}. "
    )
    if union.low is not None and union.low > union.null_high:
        said += f"The samples lie on pieces beyond what one cloud gives; {clear.value:.0%} clearly belong to one. "
    else:
        said += "Nothing beyond one Gaussian cloud is shown: its parts should not be named. "
    worst = int(columns["samples / dimension"].argmin())
    return said + (
        f"The fewest samples for each dimension are {few.value:.1f} ({columns['component'][worst]})"
        + (", too few to know a subspace." if few.value < 2 else ".")
    )


def _help(params) -> dict[str, str]:
    return {
        "samples": "N_k, samples nearest to it.", "dimension": f"d_k at its own steepest fall, up to {params.most}.",
        "gap": "λ_d / λ_{d+1} at that dimension.",
        "samples / dimension": "N_k / d_k: below 1 the subspace cannot be known, below some 5 not well.",
        "share kept": "Of its own samples' squares, in the fit.",
        "nearest": "The component with the smallest mean angle.",
        "smallest angle": "First principal angle to that, in degrees.",
        "largest angle": "Last principal angle to that, in degrees.", "overlap": "Mean squared cosine of the angles.",
    }  # fmt: skip


def _cost(shapes, params: SubspaceMixtureParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n, q, k = min(rows, params.maximum_rows), min(params.axes, d), params.components
    fits = params.restarts * (2 + DRAWS) + SEARCH * (0 if params.dimension else params.most)
    seconds = fits * 15 * (m.seconds(flops64=4.0 * n * q * (q + 4 * k) + 20.0 * k * q**3) + k * 1e-4)
    small = min(n, d)
    seconds += m.seconds(flops64=2.0 * n * d * small + 10.0 * small**3)
    return Cost(seconds + 0.05, 8.0 * n * (d * 3 + q * 4 + k * 3) + 8.0 * n * n + 16.0 * small**2)


def _check() -> tuple[CheckLine, ...]:
    """Three planes in 15 units with a little noise: found, their dimension too; a Gaussian cloud keeps what its null
    keeps."""
    rng = np.random.default_rng(1)
    bases = [np.linalg.qr(rng.standard_normal((15, 2)))[0] for _ in range(3)]
    x = np.vstack([rng.standard_normal((80, 2)) @ b.T for b in bases]) + 0.03 * rng.standard_normal((240, 15))
    found, cloud = subspace_mixture(x), rng.standard_normal((240, 8)) * np.arange(4, 12)
    value = {e.name: e for e in found.estimates}
    union = "squares kept by the union, held out"
    none = {e.name: e for e in subspace_mixture(cloud, SubspaceMixtureParams(dimension=2)).estimates}[union]
    return (
        CheckLine("three planes: dimension of each", 2.0, float(found.columns["dimension"].mean()), 0.0),
        CheckLine("samples of the smallest", 80.0, float(found.columns["samples"].min()), 8.0),
        CheckLine("squares kept, held out", 0.99, value[union].value, 0.02),
        CheckLine("more than a Gaussian with the same covariance", value[union].null_high, value[union].low, 0.0,
                  "at least"),
        CheckLine("one Gaussian cloud: its null", none.null, none.value, 0.06),
    )  # fmt: skip


METHODS = (
    Method(
        id="subspace_mixture", family="rank", title="Mixture of subspaces", version=1, function=subspace_mixture,
        summary="Whether samples lie on a few flat pieces of few dimensions, and whether there are enough of them.",
        params=SubspaceMixtureParams, result=Table, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="rotating or rescaling all activations together; through the mean, shifting them too",
        papers=("Diffusion Models Learn Low-Dimensional Distributions via Subspace Clustering",),
    ),
)  # fmt: skip
