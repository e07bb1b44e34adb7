"""How many numbers store an update ΔW: energy over parameters, by low rank and by sums of Kronecker products.

A term of the singular value decomposition of ΔW (m, n) costs m + n numbers; a Kronecker product of a factor (m₁, n₁)
costs m₁ n₁ + m₂ n₂, and the best sum of r of them is the singular value decomposition of ΔW rearranged
(`compute.linear.kronecker`). The curves give the share of Σσ² = ‖ΔW‖² that so many numbers hold.

Null: an update of independent Gaussian entries, the same shape and shapes: what any matrix lets itself be stored by.

When it lies: energy of an update is not its effect on the outputs; terms are counted at full precision; with many
shapes tried the best is the best by luck, too (the null has the same luck); rank-1 rearranged means an exact product,
which may have full rank as a matrix.

Cost: O(m n min(m, n)) and O(m n min(m₁ n₁, m₂ n₂)) for each shape, twice; memory of the layer some times.

References: S. Chen et al. (2025), "Singular value decomposition on Kronecker adaptation for large language model";
C. Van Loan & N. Pitsianis (1993).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.linear.kronecker import (
    energy_within,
    factor_shapes,
    kronecker_singular_values,
    parameters_for,
    term_cost,
)
from analysis.compute.linear.weight_updates import random_update
from analysis.compute.machine import machine
from analysis.errors import InputError, ParameterError
from analysis.results import Curve, Estimate
from analysis.sources.layer_weights import layer_matrices
from analysis.sources.unit_weights import is_table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

POINTS, DRAWS = 60, 3
LOW_RANK = "low rank"


@dataclass(frozen=True)
class UpdateEnergyParams:
    layer: str = param(
        "",
        "Layer of the checkpoint, as its file names it; empty: the module that the tap recorded.",
        label="layer of the network",
        layer=True,
    )
    energy: float = param(0.9, "Share of the energy, at which numbers are given.", low=0.01, high=1.0)
    shapes: int = param(3, "Kronecker shapes drawn, those that cost least a term first.", low=1, high=18)
    table: bool = param(
        False,
        "The taps hold tables of weights: a column per unit, a row per input.",
        label="taps are tables of weights",
    )


def update_energy(
    base, tuned, params: UpdateEnergyParams = UpdateEnergyParams(), rng=None, progress=no_progress
) -> Curve:
    """Energy of one layer's update over the numbers that store it.

    Parameters
    ----------
    base, tuned : Activations or arrays
        Taps recorded from the two checkpoints, or two tables of weights: a column per unit.

    Returns
    -------
    Curve
        One series by low rank and one for each Kronecker shape, with what a Gaussian update gives. Estimates: numbers
        for the share of the energy, of each.

    Raises
    ------
    InputError, NotFound, NotEnoughData, ParameterError
        As for `weight_update`; a name that fits several layers; nothing changed.
    """
    taps, rng = [as_activations(t) for t in (base, tuned)], rng or np.random.default_rng(0)
    progress(0.0, "reading weights")
    named = params.layer or ("" if is_table(taps[0], params.table) else taps[0].tap)
    read = layer_matrices(taps, named, params.table)
    if len(read.names) > 1:
        raise ParameterError(
            f"layer '{named}' fits {len(read.names)} layers", "one", "See 'weight_update' for several"
        )
    w0, w1 = read.read(read.names[0])
    update, (m, n) = w1 - w0, w0.shape
    if not update.any():
        raise InputError(
            f"{read.names[0]} is the same in both", "checkpoints that differ", "Choose another layer"
        )
    forms = {LOW_RANK: ((m, 1), m + n)}
    for a, b in factor_shapes(m, n)[: params.shapes]:
        forms[f"Kronecker {a} x {b}"] = ((a, b), term_cost((a, b), m, n))
    grid = np.unique(np.geomspace(min(c for _, c in forms.values()), m * n, POINTS).astype(np.int64))
    series, null, estimates = {}, {}, []
    for i, (name, (shape, cost)) in enumerate(forms.items()):
        progress(0.1 + 0.9 * i / len(forms), f"decomposing by {name}")
        sigma = kronecker_singular_values(update, shape)
        drawn = [kronecker_singular_values(random_update(update, rng), shape) for _ in range(DRAWS)]
        series[name] = energy_within(sigma, cost, grid)
        null[name] = np.mean([energy_within(s, cost, grid) for s in drawn], axis=0)
        estimates.append(_estimate(name, sigma, drawn, cost, params, (m, n)))
    best, last = (pick(estimates, key=lambda e: e.value) for pick in (min, max))
    progress(1.0, "done")
    return Curve(
        title=f"Energy of the update of {read.names[0]}",
        reading=f"For {params.energy:.0%} of the energy of the update, the cheapest of these is {best.name}, with "
        f"{best.value:,.0f} numbers (a Gaussian update needs {best.null:,.0f} so); {last.name} comes last with "
        f"{last.value:,.0f}, and all entries are {m * n:,}.",
        caveats=(*read.notes, f"{len(forms) - 1} of {len(factor_shapes(m, n))} Kronecker shapes are drawn, those of "
                 "least cost a term.", "Weights are known exactly, so the numbers have no interval."),
        estimates=tuple(estimates), x=grid.astype(float), x_name="numbers stored", y_name="share of the energy",
        series=series, null=null, log_x=True,
    )  # fmt: skip


def _estimate(name: str, sigma, drawn, cost: int, params, shape) -> Estimate:
    chance = [parameters_for(s, cost, params.energy) for s in drawn]
    return Estimate(
        name, float(parameters_for(sigma, cost, params.energy)), null=float(np.mean(chance)),
        null_low=float(min(chance)), null_high=float(max(chance)),
        null_method=f"Gaussian updates of the same norm: mean, lowest and highest of {DRAWS} draws", n=shape[1],
        d=shape[0], estimator=f"numbers for {params.energy:.0%} of Σσ², {cost:,} a term", unit="numbers",
    )  # fmt: skip


def _cost(shapes, params: UpdateEnergyParams) -> Cost:
    n, d = shapes[0]
    small, side, m = min(n, d), int(np.sqrt(n * d)), machine()
    flops = (1 + DRAWS) * 4.0 * n * d * (small + params.shapes * side)
    return Cost(
        m.seconds(flops64=flops, moved=8.0 * n * d * 40) + 0.02, 8.0 * 8.0 * n * d + 8.0 * 3 * small**2
    )


def _check() -> tuple[CheckLine, ...]:
    """One Kronecker product: all energy in one term of its shape, with σ = ‖B‖ ‖C‖; two of rank 2: all in 2 (m + n)."""
    rng = np.random.default_rng(10)
    w0, b, c = rng.standard_normal((12, 18)), rng.standard_normal((3, 3)), rng.standard_normal((4, 6))
    product = np.kron(b, c)
    found = update_energy(w0.T, (w0 + product).T, params=UpdateEnergyParams(shapes=18, energy=0.999999))
    numbers = {e.name: e.value for e in found.estimates}
    low = rng.standard_normal((12, 2)) @ rng.standard_normal((2, 18))
    two = update_energy(w0.T, (w0 + low).T, params=UpdateEnergyParams(energy=0.999999)).estimates[0].value
    first = kronecker_singular_values(product, (3, 3))[0]
    return (
        CheckLine("one product: numbers", 33.0, numbers["Kronecker 3 x 3"], 0.0),
        CheckLine("one product: σ is ‖B‖ ‖C‖", np.linalg.norm(b) * np.linalg.norm(c), float(first), 1e-10),
        CheckLine("the same by low rank: numbers", 12.0 * 30, numbers[LOW_RANK], 0.0),
        CheckLine("rank 2 by low rank: numbers", 60.0, two, 0.0),
    )


METHODS = (
    Method(
        id="update_energy", family="weights", title="Energy of a weight update over its size", version=1,
        function=update_energy,
        summary="How many numbers store what training changed in one layer, by low rank or by Kronecker products.",
        params=UpdateEnergyParams, result=Curve, check=_check, cost=_cost, inputs=2, checkpoints=True,
        roles=("before training", "after training"), minimum_rows=2,
        invariance="scaling the update; for low rank also rotating units or inputs",
        papers=("Singular Value Decomposition on Kronecker Adaptation for Large Language Model",),
    ),
)  # fmt: skip
