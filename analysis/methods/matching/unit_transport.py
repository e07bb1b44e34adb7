"""A soft matching: the transport plan between the units of one layer and those of another, from hard to soft.

Every unit of A holds 1 / p of the mass, every unit of B takes 1 / q; moving mass from i to j costs 1 - |r_ij| (or
1 - r_ij). The plan is the cheapest way, or, with entropy e > 0, the one that minimises

    Σ P_ij c_ij - e H(P),     rows of P summing to 1 / p, columns to 1 / q

(Sinkhorn's iteration, finished by Newton's method: `compute.matching.soft_plan`). Without entropy and with equal widths
it is the one-to-one matching; unequal widths split units; much entropy spreads every unit over all, P_ij = 1 / (p q).
In between, exp of the entropy of a row times p counts the units that share it: its effective number of partners.

Null: the samples of one side moved, the plan made anew. Unrelated units have the same masses to place and place them
somewhere: a plan always exists, so read its cost and its partners against the null before its cells.

When it lies: a transport must place all mass, also of units that have no partner (their row costs much: look at
`unit_matching`); at small entropy the plan of unrelated units looks as sharp as that of twins; r sees straight lines
only; these are plans of activations, not of weights.

Cost: O(n p q) for each product and some hundred passes over p q cells for each plan, thirty times; memory O(n (p + q)
+ p q).

References: M. Cuturi (2013) for the entropy; S. Singh & M. Jaggi (2020), "Model fusion via optimal transport";
C. Brauer et al. (2017) for the solution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.matching.soft_plan import diagonal_order, effective_partners, soft_plan
from analysis.compute.matching.transport import exact_transport
from analysis.compute.matching.unit_pairing import correlation, score
from analysis.compute.matching.unit_sides import (
    FEWEST,
    UnitSides,
    column_groups,
    moved_order,
    unit_norm,
    unit_sides,
)
from analysis.compute.statistics.nulls import against
from analysis.compute.statistics.sample_groups import jackknife_half
from analysis.errors import ParameterError
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

MOVES, EXACT_MOVES = 20, 5
LEAST_ENTROPY = 1e-3


@dataclass(frozen=True)
class UnitTransportParams:
    entropy: float = param(0.02, "From hard (0: exact) to soft, in units of the cost; 0 or at least 0.001.",
                           low=0.0, high=100.0)  # fmt: skip
    sign: str = param("absolute", "Cost 1 - |r| (absolute), or 1 - r, so that opposite units are far apart (signed).",
                      choices=("absolute", "signed"))  # fmt: skip
    rows: str = param("samples", "Correlate over samples, matched by id with tokens pooled, or over the tokens "
                      "themselves, where both taps hold the same ones.", choices=("samples", "tokens"))  # fmt: skip
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_units: int = param(512, "Most units a side: those of largest variance.", low=2, high=2048)
    maximum_samples: int = param(
        10_000, "Most samples (or tokens); a seeded random subset above.", low=50, high=200_000
    )


def unit_transport(
    a, b, params: UnitTransportParams = UnitTransportParams(), rng=None, progress=no_progress
) -> Matrix:
    """Transport plan between the units of two taps.

    Parameters
    ----------
    a, b : Activations or arrays (rows, units), of the same samples (matched by id), any numbers of units.

    Returns
    -------
    Matrix
        `values` (p, q), the plan: rows sum to 1 / p, columns to 1 / q; drawn with the largest masses along the
        diagonal. `null` is 1 / (p q), the mean cell of every plan; `null_band` holds 95 % of the cells after a move.
        Estimates: transport cost, effective number of partners of a unit of `a` and of `b`.

    Raises
    ------
    ParameterError, InputError, NotEnoughData, TooLarge
        An entropy between 0 and 0.001; an id twice; fewer than eight common samples;
        no unit that varies; over 4 GiB, or an exact plan of too many units of unequal numbers.
    """
    if 0 < params.entropy < LEAST_ENTROPY:
        raise ParameterError(f"entropy = {params.entropy:g}", f"0, or at least {LEAST_ENTROPY:g}")
    rng = rng or np.random.default_rng(0)
    sides = unit_sides(
        [as_activations(a), as_activations(b)], rng, rows=params.rows, pooling=params.pooling,
        maximum=params.maximum_samples, most_units=params.maximum_units, progress=progress, span=(0.0, 0.15),
    )  # fmt: skip
    progress(0.15, "transporting")
    plan, figures = _plan(sides.x, sides.y, params)
    null, bands, without = _repeated(sides, params, rng, progress)
    (p, q), band = plan.shape, bands.mean(axis=0)
    row_order, column_order = diagonal_order(plan)
    estimates = _estimates(figures, null, without, sides, params)
    return Matrix(
        title=f"Transport of units of {sides.taps[0]} to units of {sides.taps[1]}",
        reading=_reading(plan, estimates, sides, params), caveats=_caveats(sides, params, len(null)),
        estimates=estimates, values=plan, row_names=tuple(map(str, sides.names[0])),
        column_names=tuple(map(str, sides.names[1])), value_name="mass", row_order=row_order,
        column_order=column_order, null=np.full((p, q), 1.0 / (p * q)), null_band=(float(band[0]), float(band[1])),
        limits=(0.0, max(1.0 / p, 1.0 / q)),
    )  # fmt: skip


# ---------------------------------------------------------------------------- numbers
def _plan(x: np.ndarray, y: np.ndarray, params) -> tuple[np.ndarray, np.ndarray]:
    """The plan (p, q), and (3,): its cost and the effective numbers of partners of units of x and of y."""
    cost = 1.0 - score(correlation(x, y), params.sign == "signed")
    plan = exact_transport(cost) if params.entropy == 0 else soft_plan(cost, params.entropy)
    return plan, np.array([float((plan * cost).sum()), effective_partners(plan), effective_partners(plan.T)])


def _repeated(sides: UnitSides, params, rng, progress):
    """Figures (moves, 3) after moves, with the range of 95 % of the cells (moves, 2), and figures (G, 3) without each
    group of samples."""
    hard = params.entropy == 0 and len(sides.x) != len(sides.y)
    moves, group, draws, without = EXACT_MOVES if hard else MOVES, column_groups(sides, rng), [], []
    bands = []
    groups = int(group.max()) + 1
    for i in range(moves):
        progress(0.2 + 0.8 * i / (moves + groups), "transporting moved samples")
        y = sides.y[:, moved_order(sides.sample, sides.n_samples, rng)]
        plan, figures = _plan(sides.x, y, params)
        draws.append(figures)
        bands.append(np.percentile(plan, [2.5, 97.5]))
    for g in range(groups):
        progress(0.2 + 0.8 * (moves + g) / (moves + groups), "transporting without some samples")
        stay = group != g
        without.append(_plan(unit_norm(sides.x[:, stay]), unit_norm(sides.y[:, stay]), params)[1])
    return np.array(draws), np.array(bands), np.array(without)


def _estimates(figures, null, without, sides: UnitSides, params) -> tuple[Estimate, ...]:
    half = jackknife_half(without)
    how = "exact" if params.entropy == 0 else f"entropy {params.entropy:g}"
    common = {"n": sides.n_samples, "d": max(len(sides.x), len(sides.y)), "estimator": how}
    cost = "1 - |r|" if params.sign == "absolute" else "1 - r"
    names = (
        f"transport cost, mean {cost} under the plan",
        f"effective number of partners of a unit of {sides.taps[0]}",
        f"effective number of partners of a unit of {sides.taps[1]}",
    )
    bounds = (0.0, 2.0), (1.0, float(len(sides.y))), (1.0, float(len(sides.x)))
    out = []
    for i, (name, (least, most)) in enumerate(zip(names, bounds, strict=True)):
        v, h = float(figures[i]), float(half[i])
        by_chance = {**against(v, null[:, i]), "p_value": against(-v, -null[:, i])["p_value"]}
        out.append(
            Estimate(name, v, min(max(v - h, least), v), max(min(v + h, most), v), **by_chance, **common,
                     interval="jackknife over groups of samples, t, plan made anew",
                     null_method=f"samples of one side moved, {len(null)} times; p: as little as this")
        )  # fmt: skip
    return tuple(out)


def _reading(plan: np.ndarray, estimates, sides: UnitSides, params) -> str:
    cost, mine, theirs = estimates
    most = float((plan.max(axis=1) * len(plan) > 0.5).mean())
    kind = "|r|" if params.sign == "absolute" else "r"
    return (
        f"Under the plan the mean {kind} of the units that share mass is {1 - cost.value:.3f}, where unrelated units "
        f"reach {1 - cost.null:.3f}. A unit of {sides.taps[0]} shares its mass with {mine.value:.1f} units of "
        f"{sides.taps[1]} (effective number; unrelated {mine.null:.1f}), one of {sides.taps[1]} with "
        f"{theirs.value:.1f} (unrelated {theirs.null:.1f}). {most:.0%} of the units of {sides.taps[0]} send more than "
        "half to a single one."
    )


def _caveats(sides: UnitSides, params, moves: int) -> tuple[str, ...]:
    notes = [
        *sides.notes,
        "A plan places all mass, also that of units without a partner: no cell proves a match.",
    ]
    if params.entropy == 0:
        notes.append("Without entropy a small change of the samples can move whole units.")
    if moves < MOVES:
        notes.append(f"Null from {moves} moves only: exact plans of unequal widths take long.")
    return tuple(notes)


def _cost(shapes, params: UnitTransportParams) -> Cost:
    (n, a), (m, b) = shapes
    n, p, q = min(n, m, params.maximum_samples), *(min(d, params.maximum_units) for d in (a, b))
    hard = params.entropy == 0
    times = (EXACT_MOVES if hard and p != q else MOVES) + 11
    passes = 30.0 if hard else 120.0
    moved = 8.0 * (times * p * q * passes + n * (10.0 * (a + b) + 3.0 * times * (p + q)))
    exact = times * (5e-6 * p * q if p != q else 2.5e-7 * max(p, q) ** 1.9) if hard else 0.0
    memory = 8.0 * (n * (2.0 * (a + b) + 1.5 * (p + q)) + 12.0 * p * q)
    return Cost(
        machine().seconds(flops64=2.0 * times * n * p * q, moved=moved) + exact + times * 2e-3, memory
    )


def _check() -> tuple[CheckLine, ...]:
    """A permuted copy is found by the hard plan at no cost, by a soft one nearly; much entropy gives the uniform plan;
    the marginals hold for unequal widths; unrelated units cost what moved ones do."""
    rng = np.random.default_rng(2)
    x, order = rng.standard_normal((400, 30)), rng.permutation(30)
    other = rng.standard_normal((400, 45))

    def run(y, **more):
        return unit_transport(x, y, UnitTransportParams(**more))

    hard, sharp = run(-2 * x[:, order] + 1, entropy=0.0), run(x[:, order])
    soft, wide = run(x[:, order], entropy=100.0), run(other)
    copy = np.zeros((30, 30))
    copy[order, np.arange(30)] = 1 / 30
    plan, e = wide.values, wide.estimates[0]
    marginals = max(np.abs(plan.sum(axis=1) - 1 / 30).max(), np.abs(plan.sum(axis=0) - 1 / 45).max())
    return (
        CheckLine("permuted copy, hard: distance from the permutation", 0.0, np.abs(hard.values - copy).max(), 1e-12),
        CheckLine("its cost", 0.0, hard.estimates[0].value, 1e-12),
        CheckLine("its partners", 1.0, hard.estimates[1].value, 1e-12),
        CheckLine("soft: mass on the permutation", 1.0, float((sharp.values * copy * 30).sum()), 0.001),
        CheckLine("much entropy: partners", 30.0, soft.estimates[1].value, 0.001),
        CheckLine("30 and 45 units: error of the marginals", 0.0, float(marginals), 1e-12),
        CheckLine("unrelated: cost against its null", e.null, e.value, 4 * (e.null_high - e.null_low)),
    )  # fmt: skip


METHODS = (
    Method(
        id="unit_transport", family="matching", title="Unit transport (soft matching)", version=1,
        function=unit_transport,
        summary="A transport plan between the units of two networks, from one to one to everyone with everyone.",
        params=UnitTransportParams, result=Matrix, check=_check, cost=_cost, inputs=2, minimum_rows=FEWEST,
        invariance="permuting, shifting or rescaling units of either side permutes the plan (with 1 - |r| flipping "
                   "signs changes nothing); rotating a side changes it",
        papers=("Transformer Fusion with Optimal Transport",),
    ),
)  # fmt: skip
