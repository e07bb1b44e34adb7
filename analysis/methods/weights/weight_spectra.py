"""Rank of every weight matrix of a checkpoint: how far each layer could be factored.

For the singular values σ of each layer's (units, inputs) matrix: exp-entropy rank of σ and of σ², stable rank
‖W‖_F² / ‖W‖₂², ranks for 90 and 99 % of Σ σ², Σ σ / ‖W‖_F (`compute.linear.matrix_ranks`), and the share of the
parameters that two factors of such a rank save: some only below units inputs / (units + inputs).

Null: a matrix of the same shape and norm, of independent Gaussian entries (whose spectrum follows Marchenko and
Pastur), or of the layer's own entries in another order, which keeps their tails. `beyond noise` counts singular values
above all of these; the scale of the noise is that of the whole matrix, structure included, so it counts too few.

When it lies: energy of weights is not importance: inputs may never use a strong direction (see `layer_utilisation`);
a trained matrix of full rank may still be factored after more training; scaling one unit, which the next layer can
undo, changes every rank; a kernel's rank depends on how it is laid out. Rank is neither good nor bad in itself.

Cost: O(units inputs min(units, inputs)) for each layer, and 3 to 20 null spectra for each shape; memory of the
largest layer three times.

References: C. Ou et al. (2023), "Low rank optimization for efficient deep learning"; O. Roy & M. Vetterli (2007), "The
effective rank"; V. Marchenko & L. Pastur (1967).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.linear.matrix_ranks import (
    ENTROPY,
    ENTROPY2,
    HALF,
    MOST,
    RANKS,
    RATIO,
    STABLE,
    WeightRankParams,
    beyond_noise,
    break_even,
    noise_edge,
    null_singular_values,
    rank_numbers,
    ranks_cost,
    saved,
    singular_values,
)
from analysis.errors import InputError
from analysis.results import Estimate, Table
from analysis.sources.layer_weights import layer_matrices
from analysis.spec import CheckLine, Method, no_progress, param

MOST_ESTIMATES = 12
NULLS = (ENTROPY, ENTROPY2, STABLE, MOST)
HELP = {
    "layer": "Name in the checkpoint.", "units": "Rows of the matrix.", "inputs": "Columns of it.",
    "rank": "Singular values above rounding.",
    ENTROPY: "exp of the entropy of σ / Σσ.", ENTROPY2: "exp of the entropy of σ² / Σσ².",
    STABLE: "Σσ² over the largest σ².", HALF: "Fewest singular values with 90 % of Σσ².",
    MOST: "Fewest singular values with 99 % of Σσ².", RATIO: "Σσ over the root of Σσ²: √k for k equal ones.",
    "beyond noise": "Singular values above those of matrices without structure.",
    "break-even rank": "Two factors of a smaller rank hold fewer numbers than the matrix.",
    "saved at 90 %": "Share of the parameters that factors of the rank for 90 % save; negative: they need more.",
    "saved at 99 %": "The same for 99 %.",
    **{f"{k}, null": "The same of matrices without structure, mean." for k in NULLS},
}  # fmt: skip


@dataclass(frozen=True)
class WeightSpectraParams(WeightRankParams):
    layers: str = param("", "Layers, as the checkpoint names them, with commas and * allowed; empty: all.")


def weight_spectra(
    tap, params: WeightSpectraParams = WeightSpectraParams(), rng=None, progress=no_progress
) -> Table:
    """Ranks of all weight matrices of the checkpoint that a tap was recorded from.

    Parameters
    ----------
    tap : Activations or array
        An array is a table of weights: one column per unit, one row per input.

    Returns
    -------
    Table
        One row per layer. Estimates: the share of singular values beyond noise; stable ranks of the first layers.

    Raises
    ------
    InputError, NotFound, NotEnoughData, ParameterError
        No or another checkpoint; no such layer; only zeros; fewer than two finite inputs of a table.
    """
    tap, rng = as_activations(tap), rng or np.random.default_rng(0)
    progress(0.0, "reading weights")
    read = layer_matrices([tap], params.layers, params.table)
    rows, names, nulls, empty = [], [], [], 0
    for i, name in enumerate(read.names):
        progress(0.1 + 0.9 * i / len(read.names), f"decomposing {name}")
        (weight,) = read.read(name)
        sigma = singular_values(weight)
        if not sigma[0] > 0:
            empty += 1
            continue
        null = null_singular_values(weight, params.null, rng)
        chance = [rank_numbers(s) for s in null]
        rows.append(_row(weight.shape, sigma, noise_edge(weight, null), chance))
        nulls.append(np.array([c[STABLE] for c in chance]))
        names.append(name)
    if not rows:
        raise InputError(f"every weight of {tap.name} is 0", "weights that are not", "Choose other layers")
    columns = {"layer": np.array(names), **{k: np.array([r[k] for r in rows]) for k in rows[0]}}
    estimates = _estimates(columns, nulls, params)
    caveats = [*read.notes, "Weights are known exactly: only counts have an interval."]
    if empty:
        caveats.append(f"{empty} layer(s) of zeros left out.")
    if len(rows) > MOST_ESTIMATES:
        caveats.append(
            f"Stable ranks of the first {MOST_ESTIMATES} of {len(rows)} layers are listed as estimates."
        )
    progress(1.0, "done")
    return Table(
        title=f"Weight spectra of {tap.name.partition(':')[0]}", reading=_reading(columns, estimates),
        caveats=tuple(caveats), estimates=estimates, columns=columns, index="layer", help=HELP,
    )  # fmt: skip


def _row(shape, sigma, edge: float, chance) -> dict[str, float]:
    units, inputs = shape
    found = rank_numbers(sigma)
    means = {f"{k}, null": float(np.mean([c[k] for c in chance])) for k in NULLS}
    return {
        "units": units, "inputs": inputs, "rank": int((sigma > 0).sum()), **{k: found[k] for k in RANKS},
        "beyond noise": int((sigma > edge).sum()), "break-even rank": break_even(units, inputs),
        "saved at 90 %": saved(units, inputs, found[HALF]), "saved at 99 %": saved(units, inputs, found[MOST]), **means,
    }  # fmt: skip


def _estimates(columns, nulls, params) -> tuple[Estimate, ...]:
    sizes = np.minimum(columns["units"], columns["inputs"])
    count, whole = int(columns["beyond noise"].sum()), int(sizes.sum())
    found = [beyond_noise(count, whole, params.null, n=whole, d=len(sizes))]
    for i, null in enumerate(nulls[:MOST_ESTIMATES]):
        found.append(
            Estimate(f"stable rank of {columns['layer'][i]}", float(columns[STABLE][i]), null=float(null.mean()),
                     null_low=float(null.min()), null_high=float(null.max()),
                     null_method=f"{params.null}: mean, lowest and highest of {len(null)} draws",
                     n=int(columns["inputs"][i]), d=int(columns["units"][i]), estimator="‖W‖_F² / ‖W‖₂²")
        )  # fmt: skip
    return tuple(found)


def _reading(columns, estimates) -> str:
    smaller = columns["saved at 99 %"] > 0
    ratio = columns[ENTROPY2] / columns[f"{ENTROPY2}, null"]
    least = int(np.argmin(ratio))
    return (
        f"{len(smaller)} layer(s): {estimates[0].value:.1%} of their singular values lie beyond noise. Two factors "
        f"with 99 % of the energy would be smaller than the matrix in {int(smaller.sum())}. Furthest below a matrix "
        f"without structure is {columns['layer'][least]}: entropy rank of σ² {columns[ENTROPY2][least]:.1f}, "
        f"without it {columns[f'{ENTROPY2}, null'][least]:.1f}."
    )


def _check() -> tuple[CheckLine, ...]:
    """Five equal singular values: five by every rank, √5 for the ratio. Noise has none beyond noise, and ranks as its
    null; ten by thirty saves below rank 7.5."""
    rng = np.random.default_rng(3)
    a, b = (np.linalg.qr(rng.standard_normal((k, 5)))[0] for k in (30, 10))
    flat = weight_spectra(3.0 * a @ b.T).columns
    two = weight_spectra(a[:, :2] * [2.0, 1.0] @ b[:, :2].T).columns
    noise = weight_spectra(rng.standard_normal((120, 60)))
    lines = [CheckLine(f"five equal: {k}", 5.0, float(flat[k][0]), 1e-9) for k in ("rank", *RANKS[:5])]
    return (
        *lines,
        CheckLine("five equal: nuclear / Frobenius", np.sqrt(5), float(flat[RATIO][0]), 1e-9),
        CheckLine("σ of 2 and 1: entropy rank of σ", 3 / 2 ** (2 / 3), float(two[ENTROPY][0]), 1e-9),
        CheckLine("σ of 2 and 1: entropy rank of σ²", 5 / 4**0.8, float(two[ENTROPY2][0]), 1e-9),
        CheckLine("σ of 2 and 1: stable rank", 1.25, float(two[STABLE][0]), 1e-9),
        CheckLine("break-even rank of 10 x 30", 7.5, float(flat["break-even rank"][0]), 1e-12),
        CheckLine("saved by rank 5", 1 / 3, float(flat["saved at 99 %"][0]), 1e-12),
        CheckLine("noise: beyond noise", 0.0, noise.estimates[0].value, 0.02),
        CheckLine("noise: entropy rank over its null", 1.0,
                  float(noise.columns[ENTROPY][0] / noise.columns[f"{ENTROPY}, null"][0]), 0.02),
    )  # fmt: skip


METHODS = (
    Method(
        id="weight_spectra", family="weights", title="Weight spectra of all layers", version=1,
        function=weight_spectra,
        summary="The rank of every weight matrix by six formulas, and what factors of that rank would save.",
        params=WeightSpectraParams, result=Table, check=_check, cost=ranks_cost, minimum_rows=2,
        invariance="rotating units or inputs, and scaling a layer as a whole",
        papers=(
            "Low Rank Optimization for Efficient Deep Learning: Making A Balance between Compact Architecture and Fast "
            "Training",
        ),
    ),
)  # fmt: skip
