"""What single channels of a star block compute: the quadratic form of each pair of weight vectors.

Channel j of a star block is (w₁·x)(w₂·x) = xᵀ sym(w₁ w₂ᵀ) x, biases being the weights of a constant input. The form has
at most two eigenvalues, (w₁·w₂ ± ‖w₁‖ ‖w₂‖) / 2: one positive, one negative, equal in size where the two branches stand
at right angles (a saddle); with parallel branches one is 0 and the channel is a square.

Null: random directions of as many inputs: the cosine of w₁ and w₂ has mean 0 and (cos + 1) / 2 a Beta distribution,
exactly; the share of channels beyond its middle 95 % is 5 % by chance.

When it lies: inputs do not fill the space evenly, so a form with a large eigenvalue may rarely be excited; a
normalisation or nonlinearity between the linear maps and the product makes the channel no quadratic form; scaling one
branch and shrinking the other leaves the form but not its parts.

Cost: O(units inputs).

References: X. Ma et al. (2024), "Rewrite the stars".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import betainc, betaincinv

from analysis.activations import as_activations
from analysis.compute.linear.star_forms import form_eigenvalues, function_count
from analysis.compute.machine import machine
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.nulls import wilson
from analysis.errors import InputError
from analysis.results import Estimate, Table
from analysis.sources.layer_weights import layer_matrices
from analysis.sources.unit_weights import is_table, unit_weights
from analysis.sources.weights import weights_of
from analysis.spec import CheckLine, Cost, Method, no_progress, param

LEVEL = 0.05
HELP = {
    "channel": "Unit of both branches.",
    "positive": "Positive eigenvalue of the form, or 0.",
    "negative": "Negative eigenvalue, or 0.",
    "size": "Product of the two weight vectors' lengths: the difference of the eigenvalues.",
    "cosine": "Of the two weight vectors: 0 a saddle, 1 a square, -1 a square turned down.",
    "p": "How often random directions are as parallel.",
    "q": "False-discovery rate over the channels.",
}


@dataclass(frozen=True)
class StarFormsParams:
    first: str = param(
        "",
        "Layer of branch 1, as the checkpoint names it; empty: the module that the tap recorded, or without weights "
        "of its own the first two layers of one shape side by side, such as queries and keys.",
        label="layer of branch 1",
    )
    second: str = param(
        "", "Layer of branch 2; empty: the module that its tap recorded.", label="layer of branch 2"
    )
    table: bool = param(
        False,
        "The taps hold tables of weights: a column per unit, a row per input.",
        label="taps are tables of weights",
    )


def star_forms(
    first, second, params: StarFormsParams = StarFormsParams(), rng=None, progress=no_progress
) -> Table:
    """Eigenvalues of the forms of all channels.

    Parameters
    ----------
    first, second : Activations or arrays
        Taps recorded from the two branches, or two tables of weights: a column per unit, a row per input.

    Returns
    -------
    Table
        One row per channel, largest form first. Estimates: the share of channels with parallel or opposed branches,
        and the mean cosine.

    Raises
    ------
    InputError, NotFound, ParameterError, NotEnoughData
        Branches of other shapes; weights of 0 only; no or another checkpoint.
    """
    taps = [as_activations(t) for t in (first, second)]
    progress(0.0, "reading weights")
    w1, w2, titles, names, biased, notes = _branches(taps, params)
    if w1.shape != w2.shape:
        raise InputError(
            f"branches of {w1.shape[0]:,} and {w2.shape[0]:,} units over {w1.shape[1]:,} and {w2.shape[1]:,} inputs",
            "as many units of the same inputs in both",
            "Choose the two branches of one block",
        )
    progress(0.5, "measuring forms")
    positive, negative = form_eigenvalues(w1, w2)
    size, inputs = positive - negative, w1.shape[1]
    alive = size > 0
    if not alive.any():
        raise InputError("every channel has a branch of zeros", "weights that are not", "Choose other layers")
    cosine = (positive + negative)[alive] / size[alive]
    p = chance(cosine, inputs)
    order = np.argsort(-size[alive], kind="stable")
    columns = {
        "channel": np.array(names)[alive], "positive": positive[alive], "negative": negative[alive],
        "size": size[alive], "cosine": cosine, "p": p, "q": benjamini_hochberg(p),
    }  # fmt: skip
    if not alive.all():
        notes.append(f"{int((~alive).sum())} channel(s) with a branch of zeros left out.")
    if biased:
        notes.append("Biases count as weights of a constant input.")
    estimates = _estimates(columns, inputs)
    progress(1.0, "done")
    share, mean = estimates
    return Table(
        title=f"Quadratic forms of {titles[0]} and {titles[1]}",
        reading=f"{share.value:.1%} of {len(p)} channels have branches more parallel or opposed than 95 % of random "
        f"directions (5 % by chance); the mean cosine is {mean.value:.3g}. With {inputs - biased} inputs and the "
        f"constant such products span at most {function_count(inputs - biased):,} functions.",
        caveats=tuple(notes), estimates=estimates, columns={k: v[order] for k, v in columns.items()}, index="channel",
        sort="size", help=HELP,
    )  # fmt: skip


def _branches(taps, params):
    """Weights (units, inputs) of both branches with the bias as one more input, names of the branches and of the
    channels, whether there is a bias, and notes. Inputs that are not finite in one table are left out of both."""
    if all(is_table(t, params.table) for t in taps):
        read = layer_matrices(taps, params.first or params.second, params.table)
        return *read.read(read.names[0]), [t.name for t in taps], taps[0].unit_names, False, list(read.notes)
    chosen, said = _chosen(taps, params)
    asked = zip(taps, chosen, strict=True)
    units = [unit_weights(t, layer=k, table=params.table) for t, k in asked]
    notes = said + list(dict.fromkeys(note for u in units for note in u.notes))
    biased, titles = any(u.bias is not None for u in units), [u.name for u in units]
    if not biased:
        return *(u.weight for u in units), titles, units[0].unit_names, False, notes
    zero = [np.zeros(len(u.weight)) if u.bias is None else u.bias for u in units]
    wide = [np.column_stack([u.weight, z]) for u, z in zip(units, zero, strict=True)]
    return *wide, titles, units[0].unit_names, True, notes


def _chosen(taps, params) -> tuple[tuple[str, str], list[str]]:
    """Layers of both branches, "" for the module that a tap recorded, and what was chosen for the person."""
    if params.first or params.second or any(is_table(t, params.table) for t in taps):
        return (params.first, params.second), []
    network = weights_of(taps[0])
    if all(network.find(t.tap) is not None for t in taps):
        return ("", ""), []
    pair = network.twins(taps[0].tap)
    if pair is None:
        raise InputError(
            f"the network of {taps[0].name} has no two layers of one shape side by side",
            "a star block, or the queries and keys of attention",
            "Choose such a network in the sidebar: vision transformers have them",
        )
    module, _, first = pair[0].rpartition(".")
    both = f"'{first}' and '{pair[1].rpartition('.')[2]}' of {module}"
    return pair, [
        f"No layer was named: the branches are {both}. Attention adds up the products of its channels."
    ]


def chance(cosine: np.ndarray, inputs: int) -> np.ndarray:
    """Two-sided p of a cosine among random directions of so many inputs; 1 in one dimension, where all are parallel."""
    if inputs < 2:
        return np.ones(len(cosine))
    half = (inputs - 1) / 2
    return np.minimum(2 * betainc(half, half, (1 - np.abs(cosine)) / 2), 1.0)


def _estimates(columns, inputs: int) -> tuple[Estimate, ...]:
    cosine, n = columns["cosine"], len(columns["cosine"])
    beyond = int((columns["p"] < LEVEL).sum())
    low, high = wilson(beyond, n)
    half = (inputs - 1) / 2
    edge = float(1 - 2 * betaincinv(half, half, LEVEL / 2)) if inputs > 1 else 1.0
    common = {"n": n, "d": inputs, "null_method": "random directions, exact"}
    spread = 1.96 / np.sqrt(n * inputs)
    mean = float(cosine.mean())
    return (
        Estimate(f"share of channels with |cosine| above {edge:.2f}", beyond / n, low, high,
                 interval="Wilson, channels as draws", null=LEVEL if inputs > 1 else 0.0,
                 estimator="cosine of w₁ and w₂", **common),
        Estimate("mean cosine of the branches", mean, null=0.0, null_low=-spread, null_high=spread,
                 estimator="mean over channels", **common),
    )  # fmt: skip


def _cost(shapes, params: StarFormsParams) -> Cost:
    n, d = shapes[0]
    return Cost(machine().seconds(moved=8.0 * n * d * 20) + 0.01, 8.0 * 3.5 * n * d + 2e4 + 300.0 * d)


def _check() -> tuple[CheckLine, ...]:
    """Eigenvalues against a dense eigenproblem; equal branches are squares; random ones are beyond by chance only."""
    rng = np.random.default_rng(15)
    a, b = rng.standard_normal((2, 6, 4))
    found = star_forms(a, b).columns
    worst = 0.0
    for name, high, low in zip(found["channel"], found["positive"], found["negative"], strict=True):
        w = np.outer(a[:, int(name)], b[:, int(name)])
        values = np.linalg.eigvalsh((w + w.T) / 2)
        worst = max(worst, abs(values[-1] - high), abs(values[0] - low))
    square = star_forms(a, a).columns
    random = star_forms(*rng.standard_normal((2, 30, 800)))
    return (
        CheckLine("eigenvalues, off a dense eigenproblem", 0.0, worst, 1e-12),
        CheckLine("equal branches: lowest cosine", 1.0, float(square["cosine"].min()), 1e-12),
        CheckLine("equal branches: negative eigenvalue", 0.0, float(np.abs(square["negative"]).max()), 1e-12),
        CheckLine("random branches: share beyond chance", 0.05, random.estimates[0].value, 0.03),
    )


METHODS = (
    Method(
        id="star_forms", family="weights", title="Star block: quadratic forms", version=2, function=star_forms,
        summary="For every channel of two layers that are multiplied (a star block, queries and keys), the two "
        "eigenvalues of the quadratic form that it computes.",
        params=StarFormsParams, result=Table, check=_check, cost=_cost, inputs=2,
        roles=("branch 1", "branch 2"), minimum_rows=2,
        invariance="rotating the inputs of both branches alike; exchanging the branches",
        papers=("Rewrite the Stars (StarNet)",),
    ),
)  # fmt: skip
