"""Directions that a layer's weights single out: singular values as blocks, how far from orthogonal the layer is, and
what making it orthogonal would change.

    W = U diag(σ) Vᵀ        the rows of Vᵀ are directions of the layer's inputs, σ how strongly it answers each
    defect                  |WᵀW / mean - I| / sqrt(k) over k directions: 0 where all σ are equal, sqrt(k - 1) at rank 1
    effective directions    (Σ σ²)² / Σ σ⁴ (participation ratio) and exp of the entropy of σ² / Σ σ²
    orthogonalised          U Vᵀ times one scale, whose frames are products of Householder reflections
                            (`compute.subspaces.householder`)

Singular values that agree form a block: any rotation inside it answers as strongly, so that its vectors are a choice
of basis and no ranking. *An orthogonal layer is one block*: all its "top directions" are arbitrary.

A tap's weights come from its checkpoint; an array is a table of weights, one column per unit and one row per input.

Null: independent Gaussian weights of the same shape (20 draws), whose singular values spread by Marchenko and Pastur's
law. Intervals leave groups of units out, or of inputs where there are more of them.

When it lies: inputs are not white: a direction with a large σ may never occur, and a small one all the time; a
normalisation before or after rescales what these weights do; a convolution's kernel places count as inputs of their
own; near-equal values are called equal by the tolerance, there being no sampling error in weights.

Cost: O(d m min(d, m)) for the decomposition of (units m, inputs d), ten more for intervals, O(k³) each draw.

References: Y. Song et al. (2023), "Householder projector for unsupervised latent semantics discovery"; A. Householder
(1958); V. Marchenko & L. Pastur (1967).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.linear.spectra import entropy_rank, participation_ratio
from analysis.compute.machine import machine
from analysis.compute.statistics.nulls import gaussian_singular_values
from analysis.compute.statistics.sample_groups import FEWEST as FEWEST_GROUPS
from analysis.compute.statistics.sample_groups import groups_of, jackknife_half
from analysis.compute.subspaces.householder import (
    change_to_orthogonal,
    defect,
    equal_blocks,
    product,
    reflections_of,
)
from analysis.errors import InputError, NotEnoughData, TooLarge
from analysis.results import Estimate, Spectrum
from analysis.sources.unit_weights import unit_weights
from analysis.spec import CheckLine, Cost, Method, no_progress, param

DRAWS, MOST, ROUNDING = 20, 4096, 1e-12
NUMBERS = {
    "orthogonality defect": defect,
    "effective directions, participation ratio": lambda s: participation_ratio(s**2),
    "effective directions, entropy of σ²": lambda s: entropy_rank(s**2),
    "change by making it orthogonal": change_to_orthogonal,
}


@dataclass(frozen=True)
class HouseholderDirectionsParams:
    layer: str = param(
        "",
        "Of a store: the layer of the checkpoint; empty: the module that was recorded.",
        label="layer of the network",
        layer=True,
    )
    tolerance: float = param(
        0.01, "Singular values that differ by a smaller share count as equal.", low=1e-9, high=0.5
    )
    table: bool = param(
        False,
        "The tap holds a table of weights: a column per unit, a row per input.",
        label="tap is a table of weights",
    )


def householder_directions(
    activations,
    params: HouseholderDirectionsParams = HouseholderDirectionsParams(),
    rng=None,
    progress=no_progress,
) -> Spectrum:
    """Singular values of a layer's weights.

    Parameters
    ----------
    activations : Activations of a recorded store, or an array (inputs, units) of weights

    Returns
    -------
    Spectrum
        `values` (rank,) singular values, `blocks` of equal ones, `null` those of Gaussian weights.

    Raises
    ------
    NotFound, InputError, NotEnoughData, TooLarge
        No such layer or weights; weights that are all 0; fewer than two units or inputs; over 4,096 on the smaller
        side.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    progress(0.0, "reading weights")
    units = unit_weights(tap, layer=params.layer, table=params.table)
    w = np.asarray(units.weight, dtype=np.float64)
    if min(w.shape) < 2:
        raise NotEnoughData(
            f"{units.name} has {w.shape[0]} unit(s) of {w.shape[1]} input(s)",
            "at least two of each",
            "Choose another layer",
        )
    if min(w.shape) > MOST:
        raise TooLarge(
            f"{units.name} has {w.shape[0]:,} units of {w.shape[1]:,} inputs",
            f"{MOST:,} on the smaller side",
            "Choose a smaller layer",
        )
    if not w.any():
        raise InputError(f"all weights of {units.name} are 0", "some that are not", "Choose another layer")
    progress(0.1, "decomposing")
    full = _singular(w)
    values = full[full > full[0] * ROUNDING]
    blocks = equal_blocks(values, params.tolerance)
    chance = gaussian_singular_values(w.shape, float((w**2).mean()), rng, DRAWS)
    long = w if len(w) > w.shape[1] else w.T
    group = groups_of(len(long), rng)
    without = []
    for g in range(int(group.max()) + 1):
        progress(0.5 + 0.05 * g, "leaving weights out")
        without.append(_singular(long[group != g])[: len(full)])
    progress(1.0, "done")
    estimates = _estimates(full, without, chance, w)
    return Spectrum(
        title=f"Directions in the weights of {units.name}", reading=_reading(values, blocks, estimates, w, params),
        caveats=(*_caveats(values, full, blocks, w, params), *units.notes), estimates=estimates, values=values,
        value_name="singular value of the weights", null=np.sort(chance, axis=1)[:, ::-1].mean(axis=0)[: len(values)],
        blocks=blocks, log=True,
    )  # fmt: skip


def _singular(w: np.ndarray) -> np.ndarray:
    """(min(units, inputs),) falling singular values, 0 included."""
    return np.linalg.svd(w, compute_uv=False)


def _estimates(full, without, chance, w) -> tuple[Estimate, ...]:
    out, short = [], [s for s in without if len(s) == len(full)]
    for name, number in NUMBERS.items():
        value, null = float(number(full)), np.array([number(c) for c in chance])
        half = jackknife_half(np.array([[number(s)] for s in short])) if len(short) >= FEWEST_GROUPS else None
        ends = {} if half is None else {
            "low": max(value - float(half[0]), 0.0), "high": value + float(half[0]),
            "interval": "jackknife over groups of units (inputs, where there are more of them), t",
        }  # fmt: skip
        low, high = np.percentile(null, [2.5, 97.5])
        out.append(Estimate(
            name, value, **ends, null=float(null.mean()), null_low=float(low), null_high=float(high),
            null_method=f"Gaussian weights of the same shape, {DRAWS} draws", n=w.shape[0], d=w.shape[1],
            estimator=f"{len(full)} singular values",
        ))  # fmt: skip
    return tuple(out)


def _reading(values, blocks, estimates, w, params) -> str:
    size = np.bincount(blocks)
    off, effective = estimates[:2]
    largest, first = int(size.max()), int(np.argmax(size))
    start = int(size[:first].sum()) + 1
    said = (
        "All singular values are equal: the layer is orthogonal up to scale, and no direction is more than another."
        if largest == len(values)
        else f"The largest block of equal singular values has {largest}, from direction {start} on."
        if largest > 1
        else f"No two singular values agree within {params.tolerance:g}."
    )
    return (
        f"{len(values)} direction(s), of which {effective.value:.1f} are effective (Gaussian weights "
        f"{effective.null:.1f}); orthogonality defect {off.value:.2f} (Gaussian {off.null:.2f}). {said}"
    )


def _caveats(values, full, blocks, w, params) -> list[str]:
    notes = ["Directions of equal singular values are a choice of basis: their order means nothing."]
    if len(values) < len(full):
        notes.append(
            f"{len(full) - len(values)} singular value(s) are 0 up to rounding and not drawn; numbers count them."
        )
    dead = int((~w.any(axis=1)).sum())
    if dead:
        notes.append(f"{dead} unit(s) have no weights at all.")
    if w.shape[0] < w.shape[1]:
        notes.append(
            f"{w.shape[1] - w.shape[0]} direction(s) of the inputs have no answer, there being fewer units."
        )
    return notes


def _cost(shapes, params: HouseholderDirectionsParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    short = min(rows, d, MOST)
    flops = 11 * 6.0 * rows * d * short + DRAWS * 12.0 * short**3
    return Cost(
        m.seconds(flops64=flops, moved=24.0 * rows * d) + 0.02, 8.0 * (rows * d * 3.5 + 5.0 * short**2)
    )


def _check() -> tuple[CheckLine, ...]:
    """A reflection: orthogonal, determinant -1; a product of k: (-1)^k. An orthogonal layer: no defect, one block,
    nothing to change. A planted block of five. A frame rebuilt from its reflections."""
    rng = np.random.default_rng(1)
    d, k = 12, 5
    vectors = rng.standard_normal((k, d))
    one, many = product(vectors[:1]), product(vectors)
    eigen = np.sort(np.linalg.eigvalsh(one))
    frame = np.linalg.qr(rng.standard_normal((d, k)))[0]
    found, signs = reflections_of(frame)
    flat = householder_directions(3 * many)
    left, right = np.linalg.qr(rng.standard_normal((30, d)))[0], np.linalg.qr(rng.standard_normal((d, d)))[0]
    blocky = householder_directions((left * np.array([9, 7] + [4] * 5 + [3, 2, 1, 0.5, 0.2])) @ right)
    low = householder_directions((left[:, :4] * 2.0) @ right[:4])
    return (
        CheckLine("HHᵀ = I", 0.0, float(np.abs(one @ one.T - np.eye(d)).max()), 1e-12),
        CheckLine("eigenvalues of H: -1 once, 1 otherwise", 0.0,
            float(np.abs(eigen - np.r_[-1, np.ones(d - 1)]).max()), 1e-12),
        CheckLine(f"determinant of {k} reflections", (-1.0) ** k, float(np.linalg.det(many)), 1e-10),
        CheckLine("a frame from its reflections", 0.0, float(np.abs(product(found)[:, :k] * signs - frame).max()),
            1e-12),
        CheckLine("orthogonal layer: defect", 0.0, flat.estimates[0].value, 1e-12),
        CheckLine("orthogonal layer: blocks", 0.0, float(flat.blocks.max()), 0.0),
        CheckLine("orthogonal layer: nothing to change", 0.0, flat.estimates[3].value, 1e-6),
        CheckLine("a planted block of five", 5.0, float((blocky.blocks == 2).sum()), 0.0),
        CheckLine("low rank, equal values: one block of 4", 4.0, float((low.blocks == 0).sum()), 0.0),
        CheckLine("low rank: effective directions", 4.0, low.estimates[1].value, 1e-9),
    )  # fmt: skip


METHODS = (
    Method(
        id="householder_directions", family="concepts", title="Directions in a layer's weights", version=1,
        function=householder_directions,
        summary="Singular directions of a layer's weights as blocks, and how far the layer is from orthogonal.",
        params=HouseholderDirectionsParams, result=Spectrum, check=_check, cost=_cost, minimum_rows=2,
        invariance="rotating a layer's inputs or units, or scaling all weights alike, changes nothing but the scale",
        papers=("Householder Projector for Unsupervised Latent Semantics Discovery",),
    ),
)  # fmt: skip
