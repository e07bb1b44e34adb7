"""The basis of the active subspace, to be taken away: orthonormal axes that hold 99 % of a layer's variance.

    P_r = Σ_{i<=r} v_i v_iᵀ,    v_i the principal axes, r the fewest that hold the share

as numbers, a line for each unit and a column for each axis (CSV), the heat map only being their picture. A sparse
autoencoder whose decoder starts with atoms inside it, d = P_r g / ‖P_r g‖ of Gaussian g, starts without atoms that
point to where nothing varies.

Beside it: the share of the variance of *other* samples inside (axes of one half, variance of the other), which says
whether the directions are the layer's or those of the samples at hand.

Null: a random subspace of r dimensions holds r / d, with the deviation that the spectrum gives. Interval: samples of
the halves as draws.

When it lies: the axes inside a block of equal eigenvalues are arbitrary, their span is not; the last of r axes are
often noise; rare inputs hold little variance and may lie outside; one large unit makes an axis of its own. Signs are
arbitrary: the largest entry of an axis is drawn positive.

Cost: O(n d² + d³), three times; memory O(n d + d²).

References: J. Wang et al. (2025), "Attention layers add into low-dimensional residual subspaces".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations, load_matrix
from analysis.compute.linear.spectra import axes_for
from analysis.compute.linear.tap_spectrum import axes_of
from analysis.compute.machine import machine
from analysis.compute.statistics.moments import Moments
from analysis.compute.statistics.sample_groups import jackknife_half, sample_groups
from analysis.compute.subspaces.shared_energy import share_by_chance
from analysis.compute.subspaces.tap_subspaces import leading_axes
from analysis.errors import ParameterError, TooLarge
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, WIDEST = 8, 8192


@dataclass(frozen=True)
class ActiveBasisParams:
    share: float = param(0.99, "Share of the variance that the axes hold.", low=0.1, high=0.9999)
    directions: int | None = param(
        None, "Number of axes; automatic: those for the share.", low=1, high=WIDEST
    )
    maximum_rows: int = param(20_000, "Most rows; a seeded random subset above.", low=50, high=500_000)


def active_basis(
    activations, params: ActiveBasisParams = ActiveBasisParams(), rng=None, progress=no_progress
) -> Matrix:
    """Orthonormal axes of the active subspace.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Matrix
        `values` (d, r), orthonormal columns. Estimates: r, and the share of other samples' variance inside.

    Raises
    ------
    NotEnoughData, InputError, ParameterError, TooLarge
        Fewer than eight finite rows; nothing varies; more directions than vary; over 8,192 units.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    if tap.shape[1] > WIDEST:
        raise TooLarge(
            f"{tap.name} has {tap.shape[1]:,} units", f"at most {WIDEST:,}", "Choose a narrower tap"
        )
    progress(0.0, "reading")
    loaded = load_matrix(tap, maximum_rows=params.maximum_rows, minimum_rows=FEWEST, rng=rng)
    x, sample = np.asarray(loaded.values, dtype=np.float64), tap.layout.sample_of(loaded.rows)
    progress(0.3, "finding axes")
    axes = axes_of(Moments.of(x), tap.name)
    held = np.cumsum(axes.eigenvalues) / axes.eigenvalues.sum()
    r = params.directions or axes_for(axes.eigenvalues, params.share)
    if r > len(held):
        raise ParameterError(f"directions = {r}", f"at most {len(held)}, which vary")
    basis = axes.directions[:r].T
    basis = basis * np.where(
        np.take_along_axis(basis, np.abs(basis).argmax(axis=0)[None], axis=0) < 0, -1.0, 1.0
    )
    progress(0.6, "trying the axes on other samples")
    found = _estimates(x, sample, r, axes, rng)
    progress(1.0, "done")
    shares = np.diff(np.concatenate([[0.0], held[:r]]))
    top = float(np.abs(basis).max())
    return Matrix(
        title=f"Active subspace of {tap.name}", reading=_reading(found, float(held[r - 1])),
        caveats=(*([loaded.note + "."] if loaded.note else []), *_caveats(len(x), x.shape[1], r)), estimates=found,
        values=np.ascontiguousarray(basis), row_names=tuple(str(u) for u in tap.unit_names),
        column_names=tuple(f"axis {i + 1} ({s:.1%})" for i, s in enumerate(shares)), value_name="loading",
        limits=(-top, top), diverging=True,
    )  # fmt: skip


def _estimates(x: np.ndarray, sample: np.ndarray, r: int, axes, rng) -> tuple[Estimate, ...]:
    n, d = x.shape
    values = np.pad(axes.eigenvalues, (0, d - len(axes.eigenvalues)))
    mean, deviation = (float(v) for v in share_by_chance(np.float64(r), values))
    inside, whole = _other_half(x, sample, r, rng)
    value = float(inside.sum() / whole.sum())
    numbers = (
        np.unique(sample, return_inverse=True)[1].reshape(-1) if len(np.unique(sample)) > 1 else np.arange(n)
    )
    groups = [~np.isin(numbers, g) for g in sample_groups(int(numbers.max()) + 1, rng)]
    half = jackknife_half(np.array([inside[g].sum() / max(whole[g].sum(), 1e-300) for g in groups]))
    ends = {} if half is None else {
        "low": max(value - float(half), 0.0), "high": min(value + float(half), 1.0),
        "interval": "jackknife over groups of samples, axes held, t",
    }  # fmt: skip
    return (
        Estimate("directions r", float(r), n=n, d=d, estimator="smallest number for the share", unit="axes"),
        Estimate("share of directions, r / d", r / d, n=n, d=d, estimator="r / d"),
        Estimate(
            "variance of other samples inside r axes", value, **ends, null=mean,
            null_low=max(mean - 1.96 * deviation, 0.0), null_high=min(mean + 1.96 * deviation, 1.0),
            null_method="a random subspace, exact mean and deviation", n=n, d=d,
            estimator="axes of one half of the samples, variance of the other",
        ),
    )  # fmt: skip


def _other_half(x, sample, r: int, rng) -> tuple[np.ndarray, np.ndarray]:
    """(n,) squared length of each centred row inside the axes of the other half of the samples, and in all."""
    _, of = np.unique(sample, return_inverse=True)
    of = np.arange(len(x)) if of.max() == 0 else of.reshape(-1)
    side = (rng.permutation(of.max() + 1) % 2)[of]
    inside, whole = np.zeros(len(x)), np.zeros(len(x))
    for s in (0, 1):
        mean = x[side != s].mean(axis=0)
        fit, test = x[side != s] - mean, x[side == s] - mean
        basis = leading_axes(fit, min(r, max(len(fit) - 1, 1)))
        inside[side == s] = ((test @ basis) ** 2).sum(axis=1)
        whole[side == s] = (test**2).sum(axis=1)
    return inside, whole


def _reading(found, held: float) -> str:
    r, share, other = found
    return (
        f"{r.value:.0f} of {r.d:,} directions ({share.value:.0%}) hold {held:.2%} of the variance; of other "
        f"samples' they hold {other.value:.2%}, a random subspace of that size {other.null:.1%}. The CSV has a line "
        "for each unit and a column for each axis."
    )


def _caveats(n: int, d: int, r: int) -> list[str]:
    notes = ["Axes of nearly equal variance may turn into each other: use their span, not single axes."]
    if n <= d:
        notes.append(f"{n:,} rows for {d:,} units: no more than {n - 1:,} directions can be found.")
    elif n < 5 * d:
        notes.append(f"{n:,} rows for {d:,} units: the number of directions is still growing with n.")
    return notes


def _cost(shapes, params: ActiveBasisParams) -> Cost:
    (n, d), m = shapes[0], machine()
    n = min(n, params.maximum_rows)
    flops = 12.0 * n * d * d + 36.0 * d**3
    return Cost(m.seconds(flops64=flops, moved=n * d * 60.0) + 0.01, 8.0 * (3.5 * n * d + 7.0 * d * d))


def _check() -> tuple[CheckLine, ...]:
    """Five directions of 30 come back with their span; atoms drawn inside have all their energy there."""
    rng = np.random.default_rng(12)
    frame = np.linalg.qr(rng.standard_normal((30, 5)))[0]
    x = 3 + rng.standard_normal((400, 5)) @ frame.T
    found = active_basis(ArrayActivations(x), ActiveBasisParams(share=0.9999))
    basis = found.values
    atoms = rng.standard_normal((50, 30)) @ basis @ basis.T
    inside = ((atoms @ frame) ** 2).sum(axis=1) / (atoms**2).sum(axis=1)
    white = active_basis(ArrayActivations(rng.standard_normal((3000, 20))), ActiveBasisParams(directions=6))
    return (
        CheckLine("directions", 5.0, found.estimates[0].value, 0.0),
        CheckLine("orthonormal", 0.0, float(np.abs(basis.T @ basis - np.eye(basis.shape[1])).max()), 1e-12),
        CheckLine("distance of the projections", 0.0, float(np.abs(basis @ basis.T - frame @ frame.T).max()), 1e-9),
        CheckLine("atoms drawn inside it: least energy", 1.0, float(inside.min()), 1e-9),
        CheckLine("other samples' variance inside", 1.0, found.estimates[2].value, 1e-9),
        CheckLine("white noise: r / d of other samples", 6 / 20, white.estimates[2].value, 0.03),
    )  # fmt: skip


METHODS = (
    Method(
        id="active_basis", family="subspaces", title="Basis of the active subspace", version=1, function=active_basis,
        summary="Orthonormal axes that hold 99 % of a layer's variance, to be taken away as numbers.",
        params=ActiveBasisParams, result=Matrix, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="shifting or scaling all activations; rotating them rotates the axes",
        papers=("Attention Layers Add Into Low-Dimensional Residual Subspaces",),
    ),
)  # fmt: skip
