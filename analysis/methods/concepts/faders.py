"""Faders: single units tied to attributes. Does each follow its attribute along a straight line, and only its own?

Rows are faders, one unit for each attribute: those given, or the unit of the largest correlation on one half of the
samples. Columns, on the other half: R² of the straight line between fader and each attribute, then Spearman's ρ, which
asks for a rising response only. A perfect set of faders has R² of 1 on the diagonal and as much elsewhere as
attributes share with each other. Beside: SAP and MIG of all units (`compute.subspaces.fader_scores`), the gap between
the best and the second best unit of an attribute, and the diagonal's share of all R².

Without a decoder the response is read from real samples: what the attribute is where the fader stands. Classes are 0
and 1 for each class against the rest, so that R² of a unit that tells them apart but has more than two values stays
below 1.

Null: samples exchanged: R² is 1 / (n - 1) and ρ 0 on average, exactly; SAP and MIG by 30 exchanges (SAP and MIG of
noise are not 0). Intervals leave groups of samples out; the choice of faders is not in them but was made on other
samples.

When it lies: two units that share one attribute make both gaps small although the attribute is well there; a rotation
of a perfect code has no faders at all; an attribute of the data need not be what the fader would change in an output;
R² of rare classes is small.

Cost: O(n d m) and 31 counts of bins O(n d m b²); memory O(n d + d m).

References: H. Tan & D. Herremans (2020), "Music FaderNets"; A. Kumar et al. (2018) for SAP; R. Chen et al. (2018) for
MIG.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations, ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.nulls import against
from analysis.compute.statistics.sample_groups import groups_of
from analysis.compute.subspaces.attribute_data import AttributeData, attribute_data
from analysis.compute.subspaces.edit_effects import halves_of
from analysis.compute.subspaces.fader_scores import (
    MOST_BINS,
    measured,
    sap_and_mig,
    squared_correlations,
)
from analysis.compute.subspaces.probe_r2 import INTERVAL
from analysis.errors import ParameterError
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, DRAWS, LEVEL, SHOWN = 40, 30, 0.05, 6
EXCHANGED = "samples exchanged, exact mean"


@dataclass(frozen=True)
class FadersParams:
    columns: str = param(
        "label", "Sample columns that are attributes, with commas between; empty: all that can be."
    )
    faders: str = param(
        "",
        "Units by number or name, one for each attribute in the order of the rows, with commas; empty: chosen.",
    )
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(2000, "Most samples; a seeded random subset above.", low=50, high=20_000)


def faders(activations, params: FadersParams = FadersParams(), rng=None, progress=no_progress) -> Matrix:
    """Faders by attributes.

    Parameters
    ----------
    activations : Activations with sample columns

    Returns
    -------
    Matrix
        `values` (m, 2 m): R² and ρ of each fader with each attribute; `null`, `low`, `high`, `significant`.

    Raises
    ------
    ParameterError, NotFound, NotEnoughData, InputError, TooLarge
        Another number of faders than of attributes, or no such unit, or one that does not vary; as `attribute_data`.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    data = attribute_data(
        tap, params.columns, rng, pooling=params.pooling, maximum=params.maximum_samples, minimum=FEWEST,
        progress=progress,
    )  # fmt: skip
    units = np.flatnonzero(data.units)
    choosing, measuring = halves_of(data.keys, rng)
    first = squared_correlations(data.x[choosing], data.y[choosing])
    chosen = _given(tap, units, params.faders, data) if params.faders.strip() else first.argmax(axis=0)
    x, y, group = data.x[measuring], data.y[measuring], groups_of(len(measuring), rng)
    values, low, high, p = measured(x[:, chosen], y, group)
    progress(0.5, "exchanging samples")
    orders = np.array([rng.permutation(len(y)) for _ in range(DRAWS)])
    sap, mig = sap_and_mig(x, y, orders)
    progress(1.0, "done")
    names = [tap.unit_names[units[u]] for u in chosen]
    m, n = len(names), len(y)
    made = _estimates(data, names, values, low, high, p, n, x.shape[1])
    dominance = float(np.trace(values[:, :m]) / values[:, :m].sum())
    return Matrix(
        title=f"Faders of {tap.name}", reading=_reading(data, names, values[:, :m], dominance, sap, mig),
        caveats=(*_caveats(data, chosen, params), *data.notes),
        estimates=(*made, *_scores(sap, mig, n, x.shape[1])), values=values,
        row_names=tuple(f"unit {u} for {a}" for u, a in zip(names, data.names, strict=True)),
        column_names=(*(f"R² with {a}" for a in data.names), *(f"ρ with {a}" for a in data.names)),
        value_name="R²; Spearman's ρ", limits=(-1.0, 1.0), diverging=True, low=low, high=high,
        null=np.hstack([np.full((m, m), 1 / (n - 1)), np.zeros((m, m))]),
        significant=benjamini_hochberg(p) < LEVEL,
    )  # fmt: skip


def _given(tap: Activations, units: np.ndarray, text: str, data: AttributeData) -> np.ndarray:
    """Columns (m,) of the units named."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if len(names) != len(data.names):
        raise ParameterError(
            f"{len(names)} fader(s) for {len(data.names)} attribute(s)",
            f"one for each of {', '.join(data.names)}",
            "Name a fader for each, or leave 'faders' empty",
        )
    numbers = {str(j): j for j in range(len(tap.unit_names))} | {
        name: j for j, name in enumerate(tap.unit_names)
    }
    missing = [name for name in names if name not in numbers]
    if missing:
        raise ParameterError(
            f"unit '{missing[0]}'",
            f"one of the {len(tap.unit_names)} units of {tap.name}",
            "Name units of this tap, or leave 'faders' empty",
        )
    place = {int(u): i for i, u in enumerate(units)}
    dead = [name for name in names if numbers[name] not in place]
    if dead:
        raise ParameterError(f"unit '{dead[0]}' does not vary", "a fader that moves", "Name another unit")
    return np.array([place[numbers[name]] for name in names])


def _estimates(data: AttributeData, names, values, low, high, p, n: int, d: int) -> list[Estimate]:
    out, m = [], len(names)
    for i, (unit, attribute) in enumerate(zip(names[:SHOWN], data.names, strict=False)):
        for j, what, null in ((i, "R²", 1 / (n - 1)), (m + i, "Spearman's ρ", 0.0)):
            out.append(Estimate(
                f"{what} of unit {unit} and {attribute}", float(values[i, j]), float(low[i, j]), float(high[i, j]),
                interval=INTERVAL, null=null, null_method=EXCHANGED, p_value=float(p[i, j]), n=n, d=d,
                estimator="on samples that had no part in the choice",
            ))  # fmt: skip
    return out


def _scores(sap: np.ndarray, mig: np.ndarray, n: int, d: int) -> list[Estimate]:
    made = {"n": n, "d": d, "null_method": f"samples exchanged, {DRAWS} times"}
    return [
        Estimate(name, float(found[0].mean()), **against(float(found[0].mean()), found[1:].mean(axis=1)), **made,
                 estimator=how)
        for name, found, how in (
            ("SAP, mean over attributes", sap, "gap of squared correlations"),
            ("MIG, mean over attributes", mig, "gap of information in bins of equal mass, Miller-Madow"),
        )
    ]  # fmt: skip


def _reading(data: AttributeData, names, r2, dominance: float, sap, mig) -> str:
    own = np.diag(r2)
    best = int(own.argmax())
    return (
        f"The straightest of {len(names)} fader(s) is unit {names[best]} for {data.names[best]} (R² "
        f"{own[best]:.2f}), the mean is {own.mean():.2f}; {dominance:.0%} of all R² is on the diagonal. SAP "
        f"{sap[0].mean():.3f} ({sap[1:].mean():.3f} by chance), MIG {mig[0].mean():.3f} ({mig[1:].mean():.3f} by "
        "chance)."
    )


def _caveats(data: AttributeData, chosen, params: FadersParams) -> list[str]:
    notes = []
    if not params.faders.strip():
        notes.append("Faders were chosen on one half of the samples and measured on the other.")
    if len(set(chosen.tolist())) < len(chosen):
        notes.append("One unit is the fader of several attributes.")
    if data.binary.any():
        notes.append(
            "Of classes, R² is with 0 and 1: a unit that tells them apart but has other values too stays below 1."
        )
    return notes


def _cost(shapes, params: FadersParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n, targets = min(rows, params.maximum_samples), 4 * (DRAWS + 1)
    half = n / 2
    flops = 2.0 * half * d * targets + 0.5 * half * d * targets * MOST_BINS**2
    held = (
        8.0 * n * d * 4.5
        + 4.0 * half * MOST_BINS * 128 * 2
        + 8.0 * d * targets * 4
        + 8.0 * half * targets * 4
    )
    return Cost(m.seconds(flops64=flops, moved=24.0 * rows * d) + 0.05, held)


def _check() -> tuple[CheckLine, ...]:
    """Perfect faders: R² and ρ of 1 on the diagonal, 0 elsewhere, SAP and MIG near 1. A cube of a uniform number: ρ 1
    and R² 21/25. Exchanged attributes: R² of 1 / (n - 1) on average."""
    rng = np.random.default_rng(2)
    n, d = 1000, 8
    y = rng.random((n, 2))
    x = rng.standard_normal((n, d))
    x[:, 3], x[:, 5] = 2 * y[:, 0] + 1, -y[:, 1]
    made = FadersParams(columns="one, two")
    found = faders(ArrayActivations(x, samples={"one": y[:, 0], "two": y[:, 1]}), made)
    bent = x.copy()
    bent[:, 3] = (2 * y[:, 0] - 1) ** 3
    cube = faders(ArrayActivations(bent, samples={"one": y[:, 0], "two": y[:, 1]}), made)
    few = 40
    small = rng.standard_normal((few, 1))
    shuffled = squared_correlations(rng.permuted(np.tile(small, 4000), axis=0), rng.standard_normal((few, 1)))
    return (
        CheckLine("perfect faders: least R²", 1.0, float(np.diag(found.values[:, :2]).min()), 1e-12),
        CheckLine("perfect faders: ρ", 1.0, float(np.abs(np.diag(found.values[:, 2:])).min()), 1e-12),
        CheckLine("perfect faders: leakage", 0.0, float(found.values[[0, 1], [1, 0]].max()), 0.03),
        CheckLine("perfect faders: SAP", 1.0, found.estimates[-2].value, 0.03),
        CheckLine("perfect faders: MIG", 1.0, found.estimates[-1].value, 0.15),
        CheckLine("a cube: R²", 21 / 25, float(cube.values[0, 0]), 0.02),
        CheckLine("a cube: ρ", 1.0, float(cube.values[0, 2]), 1e-12),
        CheckLine("shuffled attribute: mean R² times n - 1", 1.0, float(shuffled.mean()) * (few - 1), 0.1),
    )  # fmt: skip


METHODS = (
    Method(
        id="faders", family="concepts", title="Faders", version=1, function=faders,
        summary="Units tied to attributes: how straight each follows its own, and how much it moves with the others.",
        params=FadersParams, result=Matrix, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="shifting and rescaling single units changes nothing; mixing units does",
        papers=(
            "Music FaderNets: Controllable Music Generation Based On High-Level Features via Low-Level Feature "
            "Modelling",
        ),
    ),
)  # fmt: skip
