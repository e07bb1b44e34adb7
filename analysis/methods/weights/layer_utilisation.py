"""How much of a layer's space its data use: the utilised rank, from its inputs and outputs, over the energy left out.

    utilisation(δ) = min(k_in, k_out) / min(inputs, outputs)

with k the fewest directions that hold 1 - δ of the energy (`compute.networks.utilisation`). First tap: what goes into a
linear layer; second: what comes out of it, of the same rows. Where the outputs are a linear function of the inputs, the
error of the layer with W' = P_out W P_in is shown too; the weights are recovered from the data and need no file.

Energy is counted about the mean, with the mean restored by the bias, unless `centred` is off: then about the origin,
and the mean is a direction that holds much. This can move k by one, and more where means are large.

Null: independent Gaussian units with the deviations found, as many rows: what a layer without any structure uses.

When it lies: it is about these data: others may use other directions; with rows held out it asks for more directions,
and the two lie far apart when rows are too few; energy is not importance, a weak direction may decide; one unit of
large deviation makes all others look unused; a convolution's inputs are its patches, of which a tap shows the centre.

Cost: O(n d²) for each side, O(d³) for each of 3 to 100 null spectra; memory O(n d).

References: I. Garg et al. (2024), "Revealing the utilized rank of subspaces of learning in neural networks".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.networks.utilisation import (
    LINEAR,
    count,
    directions,
    fitted_weight,
    held_out_energy,
    output_error,
    projected,
)
from analysis.compute.rows.matched_taps import matched_taps
from analysis.compute.statistics.nulls import gaussian_eigenvalues, null_draws
from analysis.errors import NotEnoughData
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

GRID = np.logspace(-4, np.log10(0.5), 31)
FEWEST, ENOUGH = 2, 5  # rows per unit of the wider side: below the first refused, below the second no verdict
MOST_DRAWS = 20
USED, HELD = "utilisation", "utilisation, held out"


@dataclass(frozen=True)
class LayerUtilisationParams:
    delta: float = param(
        0.01, "Share of the energy left out, at which numbers are given.", low=1e-4, high=0.5
    )
    centred: bool = param(True, "Energy about the mean; off: about the origin.")
    maximum_rows: int = param(20_000, "Most rows; a seeded random subset above.", low=50, high=500_000)


def layer_utilisation(
    given, made, params: LayerUtilisationParams = LayerUtilisationParams(), rng=None, progress=no_progress
) -> Curve:
    """Utilised rank of a layer over the energy left out.

    Parameters
    ----------
    given, made : Activations or arrays (rows, units)
        Inputs and outputs of one layer, of the same rows.

    Returns
    -------
    Curve
        Utilisation over δ with its null, the same with the energy of rows held out, the shares k / units of both sides,
        and the relative error of the output with W' where the layer is linear.

    Raises
    ------
    NotEnoughData
        Fewer rows than twice the wider side's units: ranks are at most the number of rows.
    InputError
        Different samples or tokens; rows that are all equal.
    """
    taps, rng = [as_activations(t) for t in (given, made)], rng or np.random.default_rng(0)
    data = matched_taps(taps, rng, maximum_rows=params.maximum_rows, minimum=4, progress=progress)
    width, n = max(t.shape[1] for t in taps), len(data.rows)
    if n < FEWEST * width:
        raise NotEnoughData(
            f"{n:,} rows for {width:,} units", f"at least {FEWEST * width:,}, better {ENOUGH * width:,}",
            "Record more samples or tokens; a rank cannot pass the number of rows",
        )  # fmt: skip
    sides = [x - x.mean(axis=0) if params.centred else x for x in data.values]
    grid = np.sort(np.append(GRID, params.delta))
    progress(0.2, "finding directions")
    fold = (rng.permutation(data.n_samples) % 2)[data.sample]
    found = [directions(x) for x in sides]
    k = [count(f.values, grid, f.rank) for f in found]
    held = [count(held_out_energy(x, fold), grid) for x in sides]
    narrow = min(x.shape[1] for x in sides)
    series = {USED: np.minimum(*k) / narrow, HELD: np.minimum(*held) / narrow}
    for name, ks, x in zip(("directions of the input", "directions of the output"), k, sides, strict=True):
        series[name] = ks / x.shape[1]
    chance = _chance(sides, n, grid, params.centred, rng, progress) / narrow
    progress(0.8, "projecting the weights")
    error, said = _errors(sides, found, k)
    if error is not None:
        series["relative error of the output"] = error
    at = int(np.searchsorted(grid, params.delta))
    estimates = _estimates(series, chance, error, at, params, n, width)
    return Curve(
        title=f"Utilised rank between {taps[0].name} and {taps[1].name}",
        reading=_reading(estimates, n, width, at, k, sides),
        caveats=_caveats(data, sides, n, width, params, said), estimates=estimates, x=grid,
        x_name="share of the energy left out (δ)", y_name="share", series=series, null={USED: chance.mean(axis=0)},
        log_x=True,
    )  # fmt: skip


def _chance(sides, n: int, grid, centred: bool, rng, progress) -> np.ndarray:
    """(draws, m) utilised rank of independent Gaussian units of the same second moments."""
    draws = min(null_draws(max(x.shape[1] for x in sides)), MOST_DRAWS)
    ranks = []
    for i, x in enumerate(sides):
        progress(0.5 + 0.15 * i, "drawing layers without structure")
        values = gaussian_eigenvalues((x * x).mean(axis=0), n if centred else n + 1, rng, draws)
        ranks.append([count(v, grid) for v in values])
    return np.minimum(*(np.array(r) for r in ranks))


def _errors(sides, found, k) -> tuple[np.ndarray | None, str]:
    """(m,) relative error of the output with W' along the grid, or None, and a sentence."""
    weight, off = fitted_weight(*sides)
    if off > LINEAR:
        return None, (
            f"The second tap is not a linear function of the first (relative error {off:.0%}), so no error of the "
            "output is shown: it may be another layer's, or come after a nonlinearity or, not centred, a bias."
        )
    pairs = [(int(a), int(b)) for a, b in zip(*k, strict=True)]
    each = {p: output_error(*sides, projected(weight, *found, *p)) for p in set(pairs)}
    return np.array(
        [each[p] for p in pairs]
    ), f"The weights were recovered from the data (relative error {off:.1g})."


def _estimates(series, chance, error, at: int, params, n: int, width: int) -> tuple[Estimate, ...]:
    null = chance[:, at]
    how = "about the mean" if params.centred else "about the origin"
    common = {"n": n, "d": width, "estimator": f"directions of the energy {how}"}
    nulls = {
        "null": float(null.mean()), "null_low": float(null.min()), "null_high": float(null.max()),
        "null_method": f"independent Gaussian units: mean, lowest and highest of {len(null)} draws",
    }  # fmt: skip
    found = [
        Estimate(f"{name} at δ = {params.delta:g}", float(series[name][at]), **nulls, **common)
        for name in (USED, HELD)
    ]
    if error is not None:
        found.append(
            Estimate(f"relative error of the output at δ = {params.delta:g}", float(error[at]), null=1.0,
                     null_method="output replaced by its mean" if params.centred else "output replaced by 0", **common)
        )  # fmt: skip
    return tuple(found)


def _reading(estimates, n: int, width: int, at: int, k, sides) -> str:
    used, held, *error = estimates
    said = (
        f"The data use {used.value:.0%} of the layer's rank ({k[0][at]} of {sides[0].shape[1]} directions of the "
        f"input, {k[1][at]} of {sides[1].shape[1]} of the output), {held.value:.0%} by rows held out; units without "
        f"structure would use {used.null:.0%}."
    )
    if error:
        said += f" With weights cut down to these directions the output is off by {error[0].value:.1%}."
    if n < ENOUGH * width:
        said += f" No verdict: {n:,} rows are {n / width:.1f} times the width, and {ENOUGH} times is the least for one."
    return said


def _caveats(data, sides, n: int, width: int, params, said: str) -> tuple[str, ...]:
    notes = [*data.notes, said]
    constant = [int((np.abs(x - x[0]).max(axis=0) == 0).sum()) for x in sides]
    if any(constant):
        notes.append(
            f"{constant[0]} unit(s) of the input and {constant[1]} of the output never change; they count as space "
            "that is not used."
        )
    if data.n_samples < n:
        notes.append(
            f"The {n:,} rows are tokens of {data.n_samples:,} samples and depend on each other: the null is drawn as "
            "if they did not; rows held out are of other samples."
        )
    how = "the mean, which a bias restores" if params.centred else "the origin"
    notes.append(f"Energy is counted about {how}; the other choice can move the rank by one and more.")
    return tuple(notes)


def _cost(shapes, params: LayerUtilisationParams) -> Cost:
    (n, p), (_, q), m = *shapes, machine()
    n, width = min(n, params.maximum_rows), max(p, q)
    draws = min(null_draws(width), MOST_DRAWS)
    cubes = (draws + 6.0) * (p**3 + q**3)
    flops = 8.0 * n * (p**2 + q**2) + cubes + 30 * 6.0 * n * p * q
    memory = 8.0 * (5.0 * n * (p + q) + 6.0 * (p**2 + q**2))
    return Cost(m.seconds(flops64=flops, moved=8.0 * n * (p + q) * 60) + 0.02, memory)


def _check() -> tuple[CheckLine, ...]:
    """Inputs in 5 of 12 dimensions: rank 5, and the layer with W' gives the same outputs. Independent units of equal
    deviation use all. Half of the energy in one of ten directions."""
    rng = np.random.default_rng(11)
    basis, w = np.linalg.qr(rng.standard_normal((12, 5)))[0], rng.standard_normal((9, 12))
    x = rng.standard_normal((400, 5)) @ basis.T + 3.0
    tight = LayerUtilisationParams(delta=1e-4)
    found = layer_utilisation(x, x @ w.T + 1.0, params=tight)
    one = rng.standard_normal((4000, 10)) * np.r_[3.0, np.ones(9)]
    half = layer_utilisation(one, one, params=LayerUtilisationParams(delta=0.5))
    full = layer_utilisation(one / np.r_[3.0, np.ones(9)], one, params=LayerUtilisationParams(delta=0.01))
    return (
        CheckLine("5 of 12 dimensions: utilisation", 5 / 9, found.estimates[0].value, 1e-12),
        CheckLine("error of the output with W'", 0.0, found.estimates[2].value, 1e-7),
        CheckLine("half of the energy in one direction", 0.1, half.estimates[0].value, 1e-12),
        CheckLine("independent units: utilisation", 1.0, full.estimates[0].value, 0.0),
        CheckLine("independent units: null", 1.0, full.estimates[0].null, 0.0),
    )  # fmt: skip


METHODS = (
    Method(
        id="layer_utilisation", family="weights", title="Layer utilisation (utilised rank)", version=1,
        function=layer_utilisation,
        summary="How many of a layer's dimensions its data use, and what the layer loses without the others.",
        params=LayerUtilisationParams, result=Curve, check=_check, cost=_cost, inputs=2,
        roles=("what the layer reads", "what it gives"), minimum_rows=4, matches="rows",
        invariance="rotating either side, scaling it as a whole, and, when centred, shifting it",
        papers=("Revealing the Utilized Rank of Subspaces of Learning in Neural Networks",),
    ),
)  # fmt: skip
