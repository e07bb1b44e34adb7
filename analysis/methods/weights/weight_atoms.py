"""Weights as features: is each neuron of a layer a sum of a few atoms that neurons share?

    W ≈ S D,   D (k, inputs),   at most s = k / ratio codes of a row of S not 0;    error ‖X (W - S D)ᵀ‖ / ‖X Wᵀ‖

by K-SVD with orthogonal matching pursuit. With a second tap of what the layer reads, X are its rows about the origin:
one half of the samples gives the root of XᵀX that errors are weighed with, the other half the errors that are shown.
Without it X is the identity and errors are those of the weights. Beside it, at as many stored numbers, two factors of
one rank: the best for the weights (SVD) and the best for the outputs (whitened SVD). Counted are k inputs for the
atoms, s for each neuron, and a bit for each neuron and atom that says which are used, as a sixteenth of a number.

Null: a Gaussian matrix of the same mean and deviation, factored the same way with the same inputs. A union of
subspaces holds more than one subspace of the same cost in any matrix; what counts is by how much more than in noise.
Intervals: bootstrap over the held-out samples, or over neurons without inputs.

When it lies: K-SVD stops in local optima, so a dictionary could be better; with few neurons atoms are the neurons
themselves; the error of one layer says nothing of the next ones; inputs of these data are not those of others.

Cost: O(units k (inputs + s)) for each step of the pursuit, 12 rounds, at five sizes, twice; memory O(units (k + s²)).

References: D. Shopkhoev et al. (2025), "CoSpaDi: compressing LLMs via calibration-guided sparse dictionary learning";
M. Aharon, M. Elad & A. Bruckstein (2006), "K-SVD".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.networks.input_halves import input_halves
from analysis.compute.networks.sparse_weights import (
    PLAIN,
    SPARSE,
    WHITE,
    approximations,
    atoms_for,
    rank_for,
    root_of,
)
from analysis.compute.networks.weight_codebooks import gaussian_weight
from analysis.compute.statistics.ratios import ratio_interval
from analysis.errors import InputError, ParameterError
from analysis.results import Curve, Estimate
from analysis.sources.layer_weights import layer_matrices
from analysis.sources.unit_weights import is_table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

SHARES = (0.2, 0.35, 0.5, 0.65, 0.8)
SMALLEST = 4  # units and inputs


@dataclass(frozen=True)
class WeightAtomsParams:
    layer: str = param(
        "",
        "Layer of the checkpoint, as its file names it; empty: the module that the first tap recorded.",
        label="layer of the network",
        layer=True,
    )
    share: float = param(
        0.5,
        "Share of the stored numbers at which errors are told.",
        label="numbers stored",
        low=0.05,
        high=0.95,
    )
    ratio: float = param(
        2.0,
        "Atoms there are for each that a neuron is made of; 1: all of them.",
        label="atoms for each used",
        low=1.0,
        high=32.0,
    )
    maximum_rows: int = param(
        5_000, "Most rows of the inputs; a seeded random subset above.", low=50, high=200_000
    )
    table: bool = param(
        False, "The first tap holds a table of weights: a column per unit, a row per input.",
        label="tap is a table of weights", late=True,
    )  # fmt: skip


def weight_atoms(
    *taps, params: WeightAtomsParams = WeightAtomsParams(), rng=None, progress=no_progress
) -> Curve:
    """Error of a sparse dictionary of a layer's weights over the numbers stored.

    Parameters
    ----------
    *taps : Activations or arrays
        A tap of the checkpoint, or a table of weights with one column per unit and one row per input; then, if there is
        one, what the layer reads, with as many units as the layer has inputs.

    Returns
    -------
    Curve
        Errors of the sparse dictionary and of two factors of one rank, the null of both. Estimates: the same at the
        share asked for.

    Raises
    ------
    InputError, NotFound, ParameterError, NotEnoughData
        No or another checkpoint; no such layer; inputs of another width; fewer than four units or inputs; equal weights
        only; fewer than 16 finite rows of the inputs.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    progress(0.0, "reading weights")
    named = params.layer or ("" if is_table(taps[0], params.table) else taps[0].tap)
    read = layer_matrices(taps[:1], named, params.table)
    if len(read.names) > 1:
        raise ParameterError(f"layer '{named}' fits {len(read.names)} layers", "one", "Name one layer")
    name, notes = read.names[0], list(read.notes)
    (weight,) = read.read(name)
    _refuse(weight, name)
    fit, test, sample, said = input_halves(taps[1:], weight, name, params.maximum_rows, rng)
    root, shares = root_of(fit), np.unique((*SHARES, params.share))
    below = _outputs(weight, test)
    found, chance = [], []
    drawn = gaussian_weight(weight, rng)
    whole = _outputs(drawn, test).sum()
    for i, share in enumerate(shares):
        progress(0.1 + 0.8 * i / len(shares), f"learning atoms of {name}, {share:.0%} of the numbers")
        found.append(_errors(weight, approximations(weight, root, share, params.ratio, rng), test))
        chance.append(_errors(drawn, approximations(drawn, root, share, params.ratio, rng), test))
    kinds = [k for k in (SPARSE, PLAIN, WHITE) if test is not None or k != WHITE]
    at = int(np.searchsorted(shares, params.share))
    estimates = _estimates(
        kinds, found[at], chance[at], below, whole, sample, weight.shape, params.share, rng
    )
    progress(1.0, "done")
    return Curve(
        title=f"{name} as few atoms each neuron" + (f", weighed by {taps[1].name}" if len(taps) > 1 else ""),
        reading=_reading(estimates, weight.shape, params), caveats=(*notes, *said), estimates=estimates, x=shares,
        x_name="numbers stored, share of the matrix", y_name="squares lost, share",
        series={k: np.array([e[k].sum() for e in found]) / below.sum() for k in kinds},
        null={k: np.array([e[k].sum() for e in chance]) / whole for k in kinds},
    )  # fmt: skip


def _refuse(weight: np.ndarray, name: str) -> None:
    if min(weight.shape) < SMALLEST:
        raise InputError(
            f"{name} has {weight.shape[0]} units of {weight.shape[1]} inputs", f"at least {SMALLEST} of each"
        )
    if np.ptp(weight) == 0:
        raise InputError(f"all weights of {name} are equal", "weights that differ", "Choose another layer")


def _outputs(weight: np.ndarray, x: np.ndarray | None) -> np.ndarray:
    """Squares of each neuron's weights, or of the outputs of each row."""
    return ((weight if x is None else x @ weight.T) ** 2).sum(axis=1)


def _errors(weight, by_way, x) -> dict[str, np.ndarray]:
    return {k: _outputs(weight - other, x) for k, other in by_way.items()}


def _estimates(kinds, found, chance, below, whole, sample, shape, share, rng) -> tuple[Estimate, ...]:
    of = np.arange(len(below)) if sample is None else sample
    how = "bootstrap over neurons" if sample is None else "bootstrap over held-out samples"
    out, total = [], np.bincount(of, below)
    for k in kinds:
        low, high = ratio_interval(np.bincount(of, found[k]), total, rng)
        out.append(
            Estimate(f"lost by {k}, {share:.0%} of the numbers", float(found[k].sum() / below.sum()), low, high,
                     interval=how, null=float(chance[k].sum() / whole), null_method="a Gaussian matrix",
                     n=len(total), d=shape[0], estimator="squares lost over squares of the "
                     + ("weights" if sample is None else "outputs"))
        )  # fmt: skip
    return tuple(out)


def _reading(estimates, shape, params) -> str:
    sparse, *others = estimates
    k, s = atoms_for(*shape, params.share, params.ratio)
    best = min(others, key=lambda e: e.value)
    gain, by_chance = best.value - sparse.value, best.null - sparse.null
    more = "less" if gain > 0 else "more"
    return (
        f"With {k} atoms, {s} for each of {shape[0]} neurons, {sparse.value:.1%} is lost; two factors of rank "
        f"{rank_for(*shape, params.share)} with as many numbers lose {best.value:.1%}. The dictionary loses "
        f"{abs(gain):.1%} {more}; of a Gaussian matrix it loses {abs(by_chance):.1%} "
        f"{'less' if by_chance > 0 else 'more'} than two factors ({sparse.null:.1%} against {best.null:.1%})."
    )


def _cost(shapes, params: WeightAtomsParams) -> Cost:
    (n, d), m = shapes[0], machine()
    k, s = atoms_for(d, n, max(*SHARES, params.share), params.ratio)
    work = 2 * 12 * len(SHARES) * (2.0 * d * k * n + s * d * (2.0 * k * k + 4.0 * s * s) + 8.0 * d * n * 4)
    whiten = n * n * (len(shapes) > 1)
    return Cost(
        m.seconds(flops64=work + 30.0 * n * whiten, moved=8.0 * d * k * s * 60) + 0.1,
        8.0 * (8.0 * whiten + 12.0 * d * n + 6.0 * d * k + 3.0 * d * s * s) + 2e5,
    )


def _check() -> tuple[CheckLine, ...]:
    """Neurons on few lines: a dictionary loses nothing where two factors do. No dictionary of k atoms is better than
    the best matrix of rank k. Inputs in a plane: nothing outside of it counts."""
    rng = np.random.default_rng(0)
    lines = rng.standard_normal((12, 20))
    on_lines = rng.standard_normal((60, 1)) * lines[rng.integers(12, size=60)]
    asked = WeightAtomsParams(ratio=12.0, share=0.35)
    planted = weight_atoms(on_lines.T, params=asked).estimates
    noise = rng.standard_normal((30, 16))
    root = root_of(None)
    dense = approximations(noise, root, 0.5, 1.0, rng)[SPARSE]
    k = atoms_for(30, 16, 0.5, 1.0)[0]
    bound = float((np.linalg.svd(noise, compute_uv=False)[k:] ** 2).sum())
    plane = rng.standard_normal((200, 3)) @ rng.standard_normal((3, 16))
    flat = weight_atoms(noise.T, plane, params=WeightAtomsParams()).estimates
    return (
        CheckLine("neurons on 12 lines: dictionary", 0.0, planted[0].value, 1e-10),
        CheckLine("two factors", 0.05, planted[1].value, 0.0, "at least"),
        CheckLine("k atoms: not below rank k", bound, float(((noise - dense) ** 2).sum()), 1e-9, "at least"),
        CheckLine("inputs in 3 dimensions: whitened", 0.0, flat[2].value, 1e-6),
    )


METHODS = (
    Method(
        id="weight_atoms", family="weights", title="Weights as sums of few atoms", version=1,
        function=weight_atoms,
        summary="A layer's neurons as a few atoms each, against two factors of one rank at as many numbers.",
        params=WeightAtomsParams, result=Curve, check=_check, cost=_cost, more_inputs=True, most_inputs=2,
        roles=("checkpoint", "what the layer reads"), minimum_rows=2, matches="nothing",
        invariance="scaling the layer as a whole; reordering neurons; rotating inputs and weights together",
        papers=("CoSpaDi: sparse-dictionary weight compression",),
    ),
)  # fmt: skip
