"""Sliders for attributes: how well a subspace with one axis for each attribute holds them, what is left outside, and
what moving one attribute does to the others.

    M = argmin ‖z - Mᵀ y‖²,  M Mᵀ = I          z' = z + Mᵀ (y_new - M z)

(`compute.subspaces.attribute_axes`). Rows are attributes; columns are R² of held-out linear probes on all units, on
the coordinates M z, and on (I - MᵀM) z, the *leakage*; then, for every attribute, how many deviations its read-out
moves when the row's attribute is raised by one deviation, and beside it the correlation of the two in the data. A
read-out that moves by about the correlation follows the data; attributes that go together share directions, and no
axes part them.

Leakage is measured with axes from one half of the samples and probes on the other. On the samples of the fit it is
exactly 0 for the cross-covariance fit, whatever remains.

Null: of R², attributes moved to other samples; of a read-out's move, moves of the step's length from one random sample
towards another (mean 0); of a correlation, samples exchanged (mean 0). Intervals leave groups of samples out.

When it lies: read-outs are linear probes, other read-outs may move otherwise; nothing says that z' is a place where
data are (`edit_neighbours`); units with a large variance rule the axes; an attribute that is there only nonlinearly is
neither found inside nor outside; a leakage of 0 is about linear probes.

Cost: O(n d min(n, d)) for each of 30 fits, memory O(n d + n m draws).

References: X. Li et al. (2020), "Latent space factorisation and manipulation via matrix subspace projection"; N.
Belrose et al. (2023), "LEACE"; S. Haufe et al. (2014).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import betainc

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.linear.cross_fitting import folds_of
from analysis.compute.linear.ridge_probe import ridge_weights
from analysis.compute.machine import machine
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.sample_groups import GROUPS, jackknife_half
from analysis.compute.subspaces.attribute_axes import (
    COVARIANCE,
    FITS,
    REGRESSION,
    attribute_axes,
    edited,
    outside,
)
from analysis.compute.subspaces.attribute_data import AttributeData, attribute_data
from analysis.compute.subspaces.edit_effects import MOVES, Effects, edit_effects, halves_of, read_in_and_out
from analysis.compute.subspaces.probe_r2 import INTERVAL, ProbeR2, probe_r2
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, DRAWS, LEVEL, SHOWN = 40, 20, 0.05, 4
PARTS = {"all": "R² from all units", "inside": "R² inside", "outside": "R² outside (leakage)"}


@dataclass(frozen=True)
class AttributeProjectionParams:
    columns: str = param(
        "label", "Sample columns that are attributes, with commas between; empty: all that can be."
    )
    fit: str = param(
        COVARIANCE, "Axes nearest to where attributes move the data, or to the weights that read them best.",
        choices=FITS,
    )  # fmt: skip
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(2000, "Most samples; a seeded random subset above.", low=50, high=20_000)


def attribute_projection(
    activations,
    params: AttributeProjectionParams = AttributeProjectionParams(),
    rng=None,
    progress=no_progress,
) -> Matrix:
    """Attributes by what is read of them inside and outside their subspace, and by what an edit moves.

    Parameters
    ----------
    activations : Activations with sample columns

    Returns
    -------
    Matrix
        `values` (m, 3 + 2 m) with `null`, `low`, `high` and `significant` of each cell.

    Raises
    ------
    NotFound, NotEnoughData, InputError, TooLarge
        No such column; fewer than 40 samples with all attributes; attributes that determine each other, or more of
        them than units.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    data = attribute_data(
        tap, params.columns, rng, pooling=params.pooling, maximum=params.maximum_samples, minimum=FEWEST,
        progress=progress,
    )  # fmt: skip
    halves = halves_of(data.keys, rng)
    held = read_in_and_out(data.x, data.y, halves, params.fit, DRAWS, rng, progress, (0.2, 0.6))
    group = folds_of(data.keys, GROUPS, rng)
    read = {name: probe_r2(errors, group) for name, errors in held.items()}
    effects = edit_effects(data.x, data.y, halves, params.fit, group, rng, progress, (0.6, 1.0))
    progress(1.0, "done")
    cells = _cells(data, read, effects, group)
    names = data.names
    columns = (*PARTS.values(), *(f"moves {n}" for n in names), *(f"goes with {n}" for n in names))
    m = len(names)
    significant = np.hstack([
        benjamini_hochberg(cells["p"][:, :3]) < LEVEL, benjamini_hochberg(effects.p) < LEVEL,
        benjamini_hochberg(cells["p"][:, 3 + m :]) < LEVEL,
    ])  # fmt: skip
    return Matrix(
        title=f"Axes of attributes in {tap.name}", reading=_reading(data, read, effects),
        caveats=(*_caveats(data), *data.notes), estimates=_estimates(data, read, effects), values=cells["value"],
        row_names=names, column_names=columns, value_name="R²; deviations moved; correlation",
        significant=significant, limits=(-1.0, 1.0), diverging=True, null=cells["null"], low=cells["low"],
        high=cells["high"],
    )  # fmt: skip


def _cells(data: AttributeData, read: dict[str, ProbeR2], effects: Effects, group) -> dict[str, np.ndarray]:
    """(m, 3 + 2 m) of everything: R², moves, correlations."""
    r = data.y.T @ data.y / len(data.y)
    without = [np.corrcoef(data.y[group != g].T).reshape(r.shape) for g in range(int(group.max()) + 1)]
    half = jackknife_half(np.array(without))
    n, zero = len(data.y), np.zeros_like(r)
    p = 1 - betainc(0.5, (n - 2) / 2, np.minimum(r**2, 1.0))
    first = {
        k: np.column_stack([getattr(read[name], k) for name in PARTS])
        for k in ("value", "low", "high", "null", "p")
    }
    return {
        "value": np.hstack([first["value"], effects.values, r]),
        "low": np.hstack([first["low"], effects.low, np.maximum(r - half, -1.0)]),
        "high": np.hstack([first["high"], effects.high, np.minimum(r + half, 1.0)]),
        "null": np.hstack([first["null"], zero, zero]),
        "p": np.hstack([first["p"], effects.p, p]),
    }


def _estimates(data: AttributeData, read: dict[str, ProbeR2], effects: Effects) -> tuple[Estimate, ...]:
    n, d, out = *data.x.shape, []
    for i, name in enumerate(data.names[:SHOWN]):
        for part, said in PARTS.items():
            r = read[part]
            out.append(Estimate(
                f"{name}: {said}", float(r.value[i]), float(r.low[i]), float(r.high[i]), interval=INTERVAL,
                null=float(r.null[i]), null_low=float(r.null_low[i]), null_high=float(r.null_high[i]),
                null_method=f"attribute moved to other samples, {DRAWS} times", p_value=float(r.p[i]), n=n, d=d,
                estimator="held-out ridge; axes from the other half",
            ))  # fmt: skip
    apart = ~np.eye(len(data.names), dtype=bool)
    if apart.any():
        at = np.unravel_index(np.argmax(np.abs(effects.values) * apart), apart.shape)
        spread, tests = float(effects.null_deviation[at]), int(apart.sum())
        out.append(Estimate(
            f"largest move of another attribute: {data.names[at[0]]} raised, {data.names[at[1]]} read",
            float(effects.values[at]), float(effects.low[at]), float(effects.high[at]), interval=INTERVAL, null=0.0,
            null_low=-1.96 * spread, null_high=1.96 * spread,
            null_method=f"{MOVES} moves as long, from one sample towards another",
            p_value=float(min(1.0, tests * effects.p[at])), n=n, d=d, unit="deviations",
            estimator="probes of the other half; the largest of all, its p counts them, its interval does not",
        ))  # fmt: skip
    return tuple(out)


def _reading(data: AttributeData, read: dict[str, ProbeR2], effects: Effects) -> str:
    inside, left = read["inside"], read["outside"]
    leaking = benjamini_hochberg(left.p) < LEVEL
    text = (
        f"The subspace of {len(data.names)} axes holds a held-out R² of {inside.value.mean():.2f} on average, all "
        f"units {read['all'].value.mean():.2f}; {int(leaking.sum())} of {len(data.names)} attribute(s) can still be "
        f"read outside it (mean R² {left.value.mean():.2f})."
    )
    own = np.diag(effects.values)
    if len(own) > 1:
        other = np.abs(effects.values[~np.eye(len(own), dtype=bool)]).mean()
        text += f" Raised by one deviation, an attribute's own read-out moves {own.mean():.2f}, others {other:.2f}."
    return text


def _caveats(data: AttributeData) -> list[str]:
    r = np.abs(data.y.T @ data.y / len(data.y) - np.eye(len(data.names)))
    notes = ["Moves are those of linear probes; another read-out may move otherwise."]
    if r.max() > 0.3:
        i, j = np.unravel_index(r.argmax(), r.shape)
        notes.append(
            f"{data.names[i]} and {data.names[j]} correlate ({r[i, j]:.2f} in size): they share directions, and an "
            "edit of one moves the other."
        )
    return notes


def _cost(shapes, params: AttributeProjectionParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n, targets = min(rows, params.maximum_samples), 4 * (DRAWS + 1)
    small = min(n / 2, d)
    flops = 60 * (4.0 * n / 2 * d * small + 10.0 * small**3) + 30 * 2.0 * n * d * targets
    held = 8.0 * n * d * 4.5 + 8.0 * n * targets * 6 + 8.0 * 4 * small**2
    return Cost(m.seconds(flops64=flops, moved=24.0 * rows * d) + 0.05, held)


def _check() -> tuple[CheckLine, ...]:
    """The identities of an edit; planted axes: R², no leakage, no move of others. Correlated noise along another axis:
    a regression's axes leave what the covariance's do not. Two attributes with correlation r on one axis each: moves
    r."""
    rng = np.random.default_rng(12)
    n, d, m = 1000, 10, 2
    y = rng.standard_normal((n, m))
    frame = np.linalg.qr(rng.standard_normal((d, d)))[0]
    z = y @ frame[:, :m].T + 0.3 * rng.standard_normal((n, d))
    samples = {"one": y[:, 0], "two": y[:, 1]}
    planted = attribute_projection(
        ArrayActivations(z, samples=samples), AttributeProjectionParams(columns="one, two")
    )
    noisy = np.column_stack([y[:, :1] + 2 * y[:, 1:], y[:, 1:], 0.3 * rng.standard_normal((n, 3))])
    left = {}
    for fit in FITS:
        rest = outside(noisy, attribute_axes(noisy, y[:, :1], fit))
        w = np.linalg.lstsq(rest - rest.mean(axis=0), y[:, 0] - y[:, 0].mean(), rcond=None)[0]
        left[fit] = float(((rest - rest.mean(axis=0)) @ w).var() / y[:, 0].var())
    axes, new = attribute_axes(z, y), rng.standard_normal((n, m))
    moved = edited(z, axes, new)
    r = 1 / 1.09
    return (
        CheckLine("M z' = y_new: largest error", 0.0, float(np.abs(moved @ axes.T - new).max()), 1e-12),
        CheckLine("(I - MᵀM) z' unchanged", 0.0, float(np.abs(outside(moved, axes) - outside(z, axes)).max()), 1e-12),
        CheckLine("y_new = M z changes nothing", 0.0, float(np.abs(edited(z, axes, z @ axes.T) - z).max()), 1e-12),
        CheckLine("planted: R² inside", r, float(planted.values[:, 1].mean()), 0.02),
        CheckLine("planted: leakage", 0.0, float(np.abs(planted.values[:, 2]).max()), 0.03),
        CheckLine("planted: own move", r, float(np.diag(planted.values[:, 3:5]).mean()), 0.02),
        CheckLine("planted: move of the other", 0.0, float(np.abs(planted.values[[0, 1], [4, 3]]).max()), 0.06),
        CheckLine("R² left on the samples of the fit, cross-covariance", 0.0, left[COVARIANCE], 1e-12),
        CheckLine("the same, regression", 0.05, left[REGRESSION], 0.0, "at least"),
        CheckLine("probe weights of z = y: 1", 1.0, float(ridge_weights(y, y[:, :1])[0, 0]), 1e-3),
    )  # fmt: skip


METHODS = (
    Method(
        id="attribute_projection", family="concepts", title="Axes of attributes (matrix subspace projection)",
        version=1, function=attribute_projection,
        summary="One axis for each attribute: what can be read along it, what leaks, and what an edit moves besides.",
        params=AttributeProjectionParams, result=Matrix, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="rotating, scaling or shifting the activations changes nothing; rescaling single units does",
        papers=("Matrix Subspace Projection (latent factorisation)",),
    ),
)  # fmt: skip
