"""Which unit of one network stands for which of another: optimal transport between the units of a layer. A x B.

A cell is the share of A's unit that goes to B's unit: the plan P between uniform masses, times the number of A's units
(`compute.matching.unit_fusion`). Units are compared by incoming weights, or by centred activations on common samples.
Entropy 0 gives whole units to whole units, a permutation for equal widths; with much entropy every cell is 1 / q.

An array is a table of weights itself: one column per unit, one row per input. In a store, `layer` names the layer of
the checkpoint, and `before` the layers that feed it, first to last: their plans are applied to B's inputs in turn.

Null: B's inputs (or samples) exchanged, all units alike, and transport anew: the best match among unrelated units is
far above 0. A unit is matched where its likeness to its partners passes Benjamini-Hochberg at 5 % against that.

When it lies: incoming weights mean the same only where the inputs do, so from a second layer on `before` must be given,
and residual streams, norms, heads and rescaled units are not followed; equally good partners are chosen between at
random; a plan gives every unit a partner, also one that has none; inputs of unequal size make all units alike.

Cost: O(p q f) and one plan, for the layer and for each of 3 to 20 draws; a plan takes O(N³) without entropy.

References: S. P. Singh & M. Jaggi (2020), "Model fusion via optimal transport"; M. Imfeld et al. (2024), "Transformer
fusion with optimal transport"; M. Cuturi (2013); Y. Benjamini & Y. Hochberg (1995).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.matching.transport_profiles import Profiles, activation_profiles, weight_tables
from analysis.compute.matching.transport_reading import LEVEL, transport_estimates, transport_reading
from analysis.compute.matching.unit_fusion import (
    COSINE,
    SQUARED,
    Partners,
    cost_of_any,
    onto_inputs,
    partners,
    plan_of,
)
from analysis.errors import InputError, ParameterError, TooLarge
from analysis.results import Matrix
from analysis.sources.unit_weights import is_table, unit_weights
from analysis.spec import CheckLine, Cost, Method, no_progress, param

MOST_CELLS = 1 << 22
WEIGHTS, ACTIVATIONS = "incoming weights", "activations"


@dataclass(frozen=True)
class WeightTransportParams:
    by: str = param(WEIGHTS, "What units are compared by.", choices=(WEIGHTS, ACTIVATIONS))
    cost: str = param(COSINE, "Blind to a unit's size, or not.", choices=(COSINE, SQUARED))
    entropy: float = param(
        0.0, "0 hard; 0.05 soft; above 1 nearly uniform. In units of the cost.", low=0.0, high=100.0
    )
    layer: str = param("", "Layer of both checkpoints; empty: the modules that the taps recorded.")
    before: str = param("", "Layers that feed it, first to last, comma-separated: aligned first.")
    norm: str = param(
        "", "BatchNorm to fold into the weights; empty: found by name and shape; none: leave it out."
    )
    table: bool = param(False, "The taps hold tables of weights: a column per unit, a row per input.")
    maximum_samples: int = param(
        5000, "Most samples for activations; a random part above.", low=50, high=100_000
    )


def weight_transport(
    one, other, params: WeightTransportParams = WeightTransportParams(), rng=None, progress=no_progress
) -> Matrix:
    """Transport between the units of two layers.

    Parameters
    ----------
    one, other : Activations or arrays
        Taps of two stores, or tables of weights (inputs, units); by activations (rows, units) of the same samples.

    Returns
    -------
    Matrix
        `values` (p, q): rows sum to 1, columns to p / q; `null` 1 / q; `significant` the largest cell of each matched
        unit; `column_order` brings partners to the diagonal. Estimates: mean likeness of partners, share of matched
        units, mean number of partners.

    Raises
    ------
    InputError, NotFound, NotEnoughData
        Other inputs or samples; no checkpoint or layer; fewer than two units that are not 0.
    TooLarge
        Over 4 million cells; an exact plan that is too large.
    """
    taps, rng = [as_activations(t) for t in (one, other)], rng or np.random.default_rng(0)
    progress(0.0, "reading units")
    a, b, notes = _profiles(taps, params, rng, progress)
    if len(a.values) * len(b.values) > MOST_CELLS:
        raise TooLarge(
            f"{len(a.values):,} x {len(b.values):,} units",
            "at most 4 million cells",
            "Choose a narrower layer",
        )
    draws = _draws(len(a.values), len(b.values), a.values.shape[1])
    found = partners(
        a.values, b.values, params.cost, params.entropy, draws, rng, progress, (0.3, 1.0), fixed=a.fixed
    )
    shares = len(found.plan) * found.plan
    matched = np.flatnonzero(found.q < LEVEL)
    sure = np.zeros(shares.shape, dtype=bool)
    sure[matched, shares[matched].argmax(axis=1)] = True
    estimates = transport_estimates(found, a, f"transport by {params.by}, entropy {params.entropy:g}")
    progress(1.0, "done")
    return Matrix(
        title=f"Transport between units of {a.name} and {b.name}",
        reading=transport_reading(found, estimates, a, b), caveats=(*notes, *_caveats(found, params)),
        estimates=estimates, values=shares, row_names=a.names, column_names=b.names, value_name="share of the unit",
        column_order=np.argsort(_middle(shares), kind="stable"), row_order=np.arange(len(shares)), significant=sure,
        null=np.full(shares.shape, 1.0 / shares.shape[1]), limits=(0.0, 1.0),
    )  # fmt: skip


# ---------------------------------------------------------------------------- what is compared
def _profiles(
    taps, params: WeightTransportParams, rng, progress
) -> tuple[Profiles, Profiles, tuple[str, ...]]:
    if params.by == ACTIVATIONS:
        return activation_profiles(taps, rng, params.maximum_samples, progress)
    tables = [is_table(t, params.table) for t in taps]
    if all(tables):
        if params.layer or params.before:
            raise ParameterError(
                f"layer '{params.layer or params.before}' was asked of tables of weights", "no layer"
            )
        return weight_tables(taps, rng, progress)
    if any(tables):
        raise InputError("one tap is a table of weights and the other is not", "two of a kind")
    return _of_networks(taps, params)


def _of_networks(taps, params: WeightTransportParams) -> tuple[Profiles, Profiles, tuple[str, ...]]:
    feeding, plan, notes = [n.strip() for n in params.before.split(",") if n.strip()], None, []
    for layer in (*feeding, params.layer):
        pair = [unit_weights(t, layer=layer, norm=params.norm) for t in taps]
        notes += [note for units in pair for note in units.notes]
        weights = [units.weight for units in pair]
        if plan is not None:
            if weights[1].shape[1] != plan.shape[1]:
                raise InputError(
                    f"'{layer}' reads {weights[1].shape[1]} inputs", f"the {plan.shape[1]} before it"
                )
            weights[1] = onto_inputs(weights[1], plan)
        if weights[0].shape[1] != weights[1].shape[1]:
            raise InputError(
                f"'{pair[0].name}' has {weights[0].shape[1]} inputs and '{pair[1].name}' {weights[1].shape[1]}",
                "the same inputs", "Name the layers before it, or compare by activations",
            )  # fmt: skip
        biased = all(units.bias is not None for units in pair)
        sides = [np.column_stack([w, u.bias]) if biased else w for w, u in zip(weights, pair, strict=True)]
        if layer in feeding:
            plan = plan_of(cost_of_any(*sides, params.cost), params.entropy)
    if feeding:
        notes.append(
            f"B's inputs were aligned through {', '.join(feeding)}; norms and residual streams were not."
        )
    else:
        notes.append("The inputs of the two layers are taken to be the same, one by one.")
    a, b = (
        Profiles.of(s, u.unit_names, t.name, int(biased)) for s, u, t in zip(sides, pair, taps, strict=True)
    )
    return a, b, (*dict.fromkeys(notes), *a.notes, *b.notes)


# ---------------------------------------------------------------------------- numbers
def _draws(p: int, q: int, f: int) -> int:
    return int(np.clip(3e9 / (p * q * (f + 8.0 * max(p, q))), 3, 20))


def _middle(shares: np.ndarray) -> np.ndarray:
    """(q,) mean row that goes to each column."""
    return np.arange(len(shares)) @ shares / shares.sum(axis=0)


def _caveats(found: Partners, params: WeightTransportParams) -> list[str]:
    notes = [f"Chance is taken from {len(found.chance)} draws."]
    if params.entropy == 0 and found.plan.shape[0] == found.plan.shape[1]:
        notes.append("Every unit has one partner here, whether it is like it or not.")
    return notes


def _cost(shapes, params: WeightTransportParams) -> Cost:
    (n, p), (_, q), m = *shapes, machine()
    f = min(n, params.maximum_samples if params.by == ACTIVATIONS else 16_384)
    runs, side = 1 + _draws(p, q, f), max(p, q)
    flops = runs * 4.0 * p * q * f
    moved = runs * 8.0 * (p * q * 20 + f * (p + q) * 4 + 2.0 * side**2.3) + 8.0 * f * (p + q) * 8
    if params.entropy:
        moved += runs * p * q * 8.0 * 1000
    return Cost(
        m.seconds(flops64=flops, moved=moved, calls=2000) + 0.01,
        8.0 * (5.0 * p * q + 5.0 * f * (p + q)) + 1e5,
    )


def _check() -> tuple[CheckLine, ...]:
    """A reordered copy: the plan is the permutation. Half of the units replaced: half are matched. Twice as many units,
    each doubled: the plan finds both. Much entropy: 1 / q everywhere."""
    rng = np.random.default_rng(9)
    w, order = rng.standard_normal((50, 40)), rng.permutation(40)
    hard = weight_transport(w, w[:, order])
    found = hard.values
    half = w[:, order].copy()
    half[:, :20] = rng.standard_normal((50, 20))
    doubled = weight_transport(w, np.repeat(w, 2, axis=1)).values
    soft = weight_transport(w, w[:, order], params=WeightTransportParams(entropy=100.0)).values
    return (
        CheckLine("reordered copy: cells off", 0.0, _off(found, np.eye(40)[:, order]), 1e-12),
        CheckLine("doubled units: cells off", 0.0, _off(doubled, np.repeat(np.eye(40), 2, 1) / 2), 1e-12),
        CheckLine("much entropy: cells off 1 / q", 0.0, _off(soft * 40, 1.0), 0.05),
        CheckLine("rows sum to 1", 0.0, _off(soft.sum(axis=1), 1.0), 1e-9),
        CheckLine("half replaced: matched", 0.5, weight_transport(w, half).estimates[1].value, 0.05),
        CheckLine("reordered copy: matched", 1.0, hard.estimates[1].value, 0.0),
    )  # fmt: skip


def _off(got: np.ndarray, expected) -> float:
    return float(np.abs(got - expected).max())


METHODS = (
    Method(
        id="weight_transport", family="weights", title="Transport between units", version=1, function=weight_transport,
        summary="Which unit of one network stands for which of another, hard or soft, by weights or activations.",
        params=WeightTransportParams, result=Matrix, check=_check, cost=_cost, inputs=2, minimum_rows=2, worker=True,
        invariance="reordering the units of either side; by cosine, scaling a unit by a positive number",
        papers=("Transformer Fusion with Optimal Transport",),
    ),
)  # fmt: skip
