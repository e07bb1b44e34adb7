"""What training changed: the update ΔW of every layer between a base and a tuned checkpoint, taken apart three ways.

For each layer: the relative size ‖ΔW‖ / ‖W0‖; ranks of ΔW; the numbers needed for a share of its energy Σσ² by low rank
(r (m + n)) and by sums of Kronecker products, r (m₁ n₁ + m₂ n₂), of the best admissible factor shape
(`compute.linear.kronecker`); the overlap of its leading directions with those of W0, k / m by chance; and intruders,
leading left singular vectors of the tuned matrix that resemble none of W0's.

Null: independent Gaussian entries of the same norm: the numbers such an update needs, and the intruders it makes;
random subspaces for the overlap, exactly. An update of 0 has rank 0, needs no numbers and overlaps with nothing.

When it lies: low rank says how an update could be stored, not that little was learned; directions of close singular
values are not defined one by one, so overlaps of few directions jump; the best Kronecker shape is picked by trying (the
null tries the same shapes); intruders depend on the bound and on how many directions are looked at; an update as large
as the base contains minus the base, and overlaps with it for that reason alone, as between two seeds.

Cost: O(m n min(m, n)) for each layer, the same for each shape tried, and for the null again; memory of a layer some
times.

References: S. Chen et al. (2025), "Singular value decomposition on Kronecker adaptation for large language model";
C. Van Loan & N. Pitsianis (1993); R. Shuttleworth et al. (2024), "LoRA vs full fine-tuning: an illusion of
equivalence".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.linear.kronecker import (
    factor_shapes,
    kronecker_singular_values,
    parameters_for,
    term_cost,
)
from analysis.compute.linear.matrix_ranks import ENTROPY2, HALF, MOST, STABLE, rank_numbers, singular_values
from analysis.compute.linear.weight_updates import intruders, random_update, top_overlap
from analysis.compute.machine import machine
from analysis.compute.statistics.nulls import wilson
from analysis.compute.subspaces.angles import overlap_by_chance
from analysis.results import Estimate, Table
from analysis.sources.layer_weights import layer_matrices
from analysis.spec import CheckLine, Cost, Method, no_progress, param

MOST_ESTIMATES = 12
HELP = {
    "layer": "Name in the checkpoint.", "units": "Rows of the matrix.", "inputs": "Columns of it.",
    "relative size": "Frobenius norm of the update over that of the base.",
    "rank": "Singular values of the update above rounding.",
    ENTROPY2: "exp of the entropy of σ² / Σσ² of the update.", STABLE: "Σσ² over the largest σ².",
    HALF: "Fewest singular values with 90 % of Σσ².", MOST: "Fewest with 99 %.",
    "numbers, full": "Entries of the matrix.",
    "numbers, low rank": "Of two factors with the share of the energy.",
    "numbers, Kronecker": "Of a sum of Kronecker products with the share of the energy, best shape tried.",
    "Kronecker shape": "Shape of its left factor.",
    "low rank, null": "Numbers that a Gaussian update of this shape needs.",
    "Kronecker, null": "The same for Kronecker products.",
    "overlap, left": "Of the update's leading left directions with the base's: 0 to 1.",
    "overlap, right": "Of the right ones (the inputs).",
    "chance, left": "Mean overlap of random subspaces.", "chance, right": "The same for the inputs.",
    "intruders": "Leading directions of the tuned matrix that resemble none of the base's.",
    "intruders, null": "Those that a Gaussian update of the same norm makes.",
}  # fmt: skip


@dataclass(frozen=True)
class WeightUpdateParams:
    layers: str = param("", "Layers, as the checkpoint names them, with commas and * allowed; empty: all.")
    energy: float = param(0.9, "Share of the energy of the update that is to be kept.", low=0.01, high=1.0)
    shapes: int = param(6, "Kronecker shapes tried, those that cost least a term first.", low=1, high=1000)
    directions: int = param(8, "Leading directions, for overlap and intruders.", low=1, high=1024)
    bound: float = param(0.5, "Largest cosine below which a direction is an intruder.", low=0.01, high=1.0)
    table: bool = param(
        False,
        "The taps hold tables of weights: a column per unit, a row per input.",
        label="taps are tables of weights",
    )


def weight_update(
    base, tuned, params: WeightUpdateParams = WeightUpdateParams(), rng=None, progress=no_progress
) -> Table:
    """Updates of all layers between two checkpoints of one network.

    Parameters
    ----------
    base, tuned : Activations or arrays
        Taps recorded from the two checkpoints (any taps), or two tables of weights: a column per unit.

    Returns
    -------
    Table
        One row per layer. Estimates: the share of intruders among leading directions; overlaps of the first layers.

    Raises
    ------
    InputError, NotFound, NotEnoughData, ParameterError
        No or another checkpoint; no layer of one name and shape in both; tables of different shapes.
    """
    taps, rng = [as_activations(t) for t in (base, tuned)], rng or np.random.default_rng(0)
    progress(0.0, "reading weights")
    read = layer_matrices(taps, params.layers, params.table)
    rows = []
    for i, name in enumerate(read.names):
        progress(0.05 + 0.95 * i / len(read.names), f"decomposing {name}")
        w0, w1 = read.read(name)
        rows.append({"layer": name, **_row(w0, w1, params, rng)})
    whole = {k: np.array([r[k] for r in rows]) for k in rows[0]}
    columns = {k: v for k, v in whole.items() if k in HELP}
    estimates = _estimates(whole, params)
    caveats = [*read.notes, "Weights are known exactly: only counts have an interval."]
    still = int((columns["relative size"] == 0).sum())
    if still:
        caveats.append(f"{still} layer(s) are the same in both; all their numbers are 0.")
    caveats.append(
        f"Kronecker: the {params.shapes} shape(s) of least cost a term were tried, if there are as many."
    )
    progress(1.0, "done")
    return Table(
        title="Updates from {} to {}".format(*(t.name.partition(":")[0] for t in taps)),
        reading=_reading(columns, params, still), caveats=tuple(caveats), estimates=estimates,
        columns=columns, index="layer", sort="relative size", help=HELP,
    )  # fmt: skip


def _row(w0: np.ndarray, w1: np.ndarray, params, rng) -> dict:
    update, (m, n) = w1 - w0, w0.shape
    sigma, size, norm = singular_values(update), float(np.linalg.norm(update)), float(np.linalg.norm(w0))
    drawn = random_update(update, rng)
    near = top_overlap(update, w0, params.directions)
    u0, s0, _ = np.linalg.svd(w0, full_matrices=False)
    u0, most = u0[:, s0 > s0[0] * max(m, n) * np.finfo(float).eps], min(params.directions, m, n)
    found = rank_numbers(sigma)
    numbers, shape = cheapest_products(update, params)
    counts = [
        intruders(w, u0, most, params.bound) if size > 0 and u0.shape[1] else 0 for w in (w1, w0 + drawn)
    ]
    return {
        "units": m, "inputs": n, "relative size": size / norm if norm > 0 else 0.0, "rank": int((sigma > 0).sum()),
        **{k: found[k] for k in (ENTROPY2, STABLE, HALF, MOST)}, "numbers, full": m * n,
        "numbers, low rank": parameters_for(sigma, m + n, params.energy), "numbers, Kronecker": numbers,
        "Kronecker shape": shape, "low rank, null": parameters_for(singular_values(drawn), m + n, params.energy),
        "Kronecker, null": cheapest_products(drawn, params)[0], "overlap, left": near.left,
        "overlap, right": near.right, "chance, left": near.left_null, "chance, right": near.right_null,
        "directions": near.k, "looked at": most if size > 0 else 0, "intruders": counts[0],
        "intruders, null": counts[1],
    }  # fmt: skip


def cheapest_products(w: np.ndarray, params) -> tuple[int, str]:
    """Fewest numbers in Kronecker products with the share of the energy, and the shape of the left factor; those of
    the singular value decomposition where no other shape divides the matrix."""
    m, n = w.shape
    found = [
        (parameters_for(kronecker_singular_values(w, s), term_cost(s, m, n), params.energy), s)
        for s in factor_shapes(m, n)[: params.shapes]
    ]
    if not found:
        return parameters_for(singular_values(w), m + n, params.energy), "none"
    numbers, (a, b) = min(found)
    return numbers, f"{a} x {b}"


def _estimates(columns, params) -> tuple[Estimate, ...]:
    names = ("intruders", "looked at", "intruders, null")
    count, whole, null = (int(columns[name].sum()) for name in names)
    k = columns["directions"]
    common = {"estimator": f"largest |cosine| below {params.bound:g}", "n": max(whole, 1), "d": len(k)}
    chance = {"null": null / max(whole, 1), "null_method": "a Gaussian update of the same norm"}
    if whole:
        low, high = wilson(count, whole)
        chance |= {"low": low, "high": high, "interval": "Wilson, directions as draws"}
    found = [
        Estimate("share of intruders among leading directions", count / max(whole, 1), **chance, **common)
    ]
    for i in range(min(MOST_ESTIMATES, len(k))):
        m = int(columns["units"][i])
        mean, spread = overlap_by_chance(int(k[i]), int(k[i]), m) if k[i] else (0.0, 0.0)
        found.append(
            Estimate(f"overlap with the base, {columns['layer'][i]}", float(columns["overlap, left"][i]),
                     null=mean, null_low=max(0.0, mean - 1.96 * spread), null_high=min(1.0, mean + 1.96 * spread),
                     null_method="random subspaces, exact mean and deviation", n=int(columns["inputs"][i]), d=m,
                     estimator=f"Σ cos² / k of {int(k[i])} left singular directions")
        )  # fmt: skip
    return tuple(found)


def _reading(columns, params, still: int) -> str:
    if still == len(columns["layer"]):
        return "Nothing changed: every layer is the same in both checkpoints."
    top = int(np.argmax(columns["relative size"]))
    low, products = columns["numbers, low rank"].sum(), columns["numbers, Kronecker"].sum()
    return (
        f"{columns['layer'][top]} changed most, by {columns['relative size'][top]:.1%} of its norm. For "
        f"{params.energy:.0%} of the energy low rank needs {low:,} numbers over all layers (a Gaussian update "
        f"{columns['low rank, null'].sum():,}), Kronecker products {products:,} "
        f"({columns['Kronecker, null'].sum():,}), all entries {columns['numbers, full'].sum():,}. "
        f"{int(columns['intruders'].sum())} leading direction(s) resemble none of the base's; Gaussian updates make "
        f"{int(columns['intruders, null'].sum())}."
    )


def _cost(shapes, params: WeightUpdateParams) -> Cost:
    n, d = shapes[0]
    small, side, m = min(n, d), int(np.sqrt(n * d)), machine()
    flops = 8.0 * n * d * small * 6 + 2 * params.shapes * 4.0 * n * d * side
    return Cost(
        m.seconds(flops64=flops, moved=8.0 * n * d * 60) + 0.02, 8.0 * 10.0 * n * d + 8.0 * 6 * small**2 + 1e5
    )


def _check() -> tuple[CheckLine, ...]:
    """A rank-3 update has rank 3 and overlaps where it was put; a Kronecker product needs one term though its rank is
    full; equal checkpoints give zeros; an update along W0's own directions makes no intruder."""
    rng = np.random.default_rng(9)
    w0 = rng.standard_normal((24, 36))
    u, _, v = np.linalg.svd(w0, full_matrices=False)
    low = weight_update(
        w0.T, (w0 + 0.5 * u[:, :3] @ v[:3]).T, params=WeightUpdateParams(directions=3)
    ).columns
    b, c = rng.standard_normal((4, 6)), rng.standard_normal((6, 6))
    kron = weight_update(
        w0.T, (w0 + np.kron(b, c)).T, params=WeightUpdateParams(shapes=100, energy=0.999)
    ).columns
    same = weight_update(w0, w0)
    zeros = [v for k, v in same.columns.items() if v.dtype.kind == "f" and "null" not in k]
    return (
        CheckLine("rank of the update", 3.0, float(low["rank"][0]), 0.0),
        CheckLine("overlap with the directions it was put in", 1.0, float(low["overlap, left"][0]), 1e-9),
        CheckLine("intruders", 0.0, float(low["intruders"][0]), 0.0),
        CheckLine("one Kronecker product: numbers", 60.0, float(kron["numbers, Kronecker"][0]), 0.0),
        CheckLine("and rank", 24.0, float(kron["rank"][0]), 0.0),
        CheckLine("equal checkpoints: all numbers", 0.0, float(max(np.abs(z).max() for z in zeros)), 0.0),
    )


METHODS = (
    Method(
        id="weight_update", family="weights", title="Weight update (base to tuned)", version=1,
        function=weight_update,
        summary="What training changed in every layer: ranks, low-rank and Kronecker size, overlap with the base, "
        "intruders.",
        params=WeightUpdateParams, result=Table, check=_check, cost=_cost, inputs=2, checkpoints=True,
        roles=("before training", "after training"), minimum_rows=2,
        invariance="scaling base and tuned alike; rotating units or inputs of both alike, but for Kronecker products",
        papers=("Singular Value Decomposition on Kronecker Adaptation for Large Language Model",),
    ),
)  # fmt: skip
