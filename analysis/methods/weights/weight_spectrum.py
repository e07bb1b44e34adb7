"""The singular values of one weight matrix, against those of a matrix without structure.

Null: matrices of the same shape and Frobenius norm, of independent Gaussian entries (Marchenko & Pastur) or of the
layer's own entries in another order. Singular values above all of them are structure; the scale of the noise is that
of the whole matrix, structure included, so their number is a lower bound.

When it lies: large singular values say what weights could do, not what inputs make of it; the bulk of a trained matrix
need not be noise because it looks like it; scaling one unit, which the next layer can undo, changes the spectrum; a
kernel's spectrum depends on how it is laid out.

Cost: O(units inputs min(units, inputs)), 3 to 20 null spectra; memory of the matrix twice.

References: C. Ou et al. (2023), "Low rank optimization for efficient deep learning"; V. Marchenko & L. Pastur (1967).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.linear.matrix_ranks import (
    MOST,
    RANKS,
    RATIO,
    WeightRankParams,
    beyond_noise,
    break_even,
    noise_edge,
    null_singular_values,
    rank_numbers,
    ranks_cost,
    singular_values,
)
from analysis.errors import InputError, ParameterError
from analysis.results import Estimate, Spectrum
from analysis.sources.layer_weights import layer_matrices
from analysis.sources.unit_weights import is_table
from analysis.spec import CheckLine, Method, no_progress, param


@dataclass(frozen=True)
class WeightSpectrumParams(WeightRankParams):
    layer: str = param(
        "", "Layer of the checkpoint, as its file names it; empty: the module that the tap recorded."
    )


def weight_spectrum(
    tap, params: WeightSpectrumParams = WeightSpectrumParams(), rng=None, progress=no_progress
) -> Spectrum:
    """Singular values of one layer.

    Parameters
    ----------
    tap : Activations or array
        An array is a table of weights: one column per unit, one row per input.

    Returns
    -------
    Spectrum
        Singular values with those of matrices without structure. Estimates: share beyond noise, and the six ranks.

    Raises
    ------
    InputError, NotFound, NotEnoughData, ParameterError
        No or another checkpoint; no such layer; only zeros; fewer than two finite inputs of a table.
    """
    tap, rng = as_activations(tap), rng or np.random.default_rng(0)
    progress(0.0, "reading weights")
    named = params.layer or ("" if is_table(tap, params.table) else tap.tap)
    read = layer_matrices([tap], named, params.table)
    if len(read.names) > 1:
        raise ParameterError(
            f"layer '{named}' fits {len(read.names)} layers", "one", "See 'weight_spectra' for all"
        )
    name = read.names[0]
    (weight,) = read.read(name)
    progress(0.2, f"decomposing {name}")
    sigma = singular_values(weight)
    if not sigma[0] > 0:
        raise InputError(f"every weight of {name} is 0", "weights that are not", "Choose another layer")
    progress(0.5, "drawing matrices without structure")
    null = null_singular_values(weight, params.null, rng)
    edge, (units, inputs) = noise_edge(weight, null), weight.shape
    estimates = _estimates(sigma, null, edge, weight.shape, params)
    line, share = break_even(units, inputs), rank_numbers(sigma)[MOST]
    smaller = "smaller" if share < line else "larger"
    progress(1.0, "done")
    return Spectrum(
        title=f"Singular values of {name}",
        reading=f"{int((sigma > edge).sum())} of {len(sigma)} singular values lie beyond noise (above {edge:.3g}). Two "
        f"factors with 99 % of the energy have rank {share:.0f} and are {smaller} than the matrix, which they are "
        f"below rank {line:.1f}.",
        caveats=(*read.notes, "Weights are known exactly: only the count has an interval."), estimates=estimates,
        values=sigma, value_name="singular value", null=null.mean(axis=0),
    )  # fmt: skip


def _estimates(sigma, null, edge: float, shape, params) -> tuple[Estimate, ...]:
    count, chance = int((sigma > edge).sum()), [rank_numbers(s) for s in null]
    how = f"{params.null}: mean, lowest and highest of {len(null)} draws"
    common, found = {"n": shape[1], "d": shape[0]}, rank_numbers(sigma)
    ranks = []
    for name in RANKS:
        drawn = [c[name] for c in chance]
        ranks.append(
            Estimate(name, found[name], null=float(np.mean(drawn)), null_low=min(drawn), null_high=max(drawn),
                     null_method=how, estimator="Σσ / ‖W‖_F" if name == RATIO else name, **common)
        )  # fmt: skip
    return beyond_noise(count, len(sigma), params.null, **common), *ranks


def _check() -> tuple[CheckLine, ...]:
    """Planted singular values come out as they are; one of three times the edge, in noise, is the one beyond it."""
    rng = np.random.default_rng(4)
    a, b = (np.linalg.qr(rng.standard_normal((k, 4)))[0] for k in (25, 12))
    values = np.array([5.0, 4.0, 2.0, 1.0])
    found = weight_spectrum(a * values @ b.T)
    noise = rng.standard_normal((100, 50))
    spike = (
        3 * (np.sqrt(100) + np.sqrt(50)) * np.outer(*(v / np.linalg.norm(v) for v in (noise[:, 0], noise[0])))
    )
    one = weight_spectrum(noise + spike)
    return (
        CheckLine("planted singular values", 0.0, float(np.abs(found.values[:4] - values).max()), 1e-12),
        CheckLine("the others", 0.0, float(found.values[4:].max()), 0.0),
        CheckLine("stable rank", 46 / 25, found.estimates[3].value, 1e-9),
        CheckLine("one spike in noise: beyond noise", 1 / 50, one.estimates[0].value, 1e-12),
    )


METHODS = (
    Method(
        id="weight_spectrum", family="weights", title="Weight spectrum of one layer", version=1,
        function=weight_spectrum,
        summary="The singular values of one weight matrix, and which of them one without structure would not have.",
        params=WeightSpectrumParams, result=Spectrum, check=_check, cost=ranks_cost, minimum_rows=2,
        invariance="rotating units or inputs; scaling the layer scales the values and leaves the ranks",
        papers=(
            "Low Rank Optimization for Efficient Deep Learning: Making A Balance between Compact Architecture and Fast "
            "Training",
        ),
    ),
)  # fmt: skip
