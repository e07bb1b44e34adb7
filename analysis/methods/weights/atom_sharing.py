"""Who shares atoms: which neurons of a layer, or which layers, are made of the same few directions?

One dictionary is learned for all neurons (K-SVD, s atoms a neuron). Of each neuron the shares of its squared codes on
the k atoms are taken; of a layer, their mean over its neurons. Two overlap by

    Σ_k min(u_ak, u_bk)        1: the same atoms in the same parts;  0: none in common

Each layer is brought to one mean square first, so that a loud one does not rule the atoms.

Null: of layers, neurons exchanged between layers (the mean overlap is then near 1, so that a layer with atoms of its
own lies below it); of neurons, each atom's shares exchanged between neurons. Pairs that differ from it, on either side,
are marked after false-discovery control.

When it lies: K-SVD stops in local optima, and neurons that could be made of other atoms as well are given some; atoms
that point alike count as different ones; with k near the number of neurons each has an atom of its own; layers with as
many inputs do not therefore read the same space: only in a residual stream do they.

Cost: O(neurons k (inputs + s)) for each step of the pursuit, 12 rounds; O(draws p² k) for p layers or neurons.

References: D. Shopkhoev et al. (2025), "CoSpaDi: compressing LLMs via calibration-guided sparse dictionary learning".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.linear.matrix_ranks import TableParams
from analysis.compute.machine import machine
from analysis.compute.networks.sparse_weights import overlaps, root_of, sparse_factors
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.errors import InputError, NotEnoughData
from analysis.results import Estimate, Matrix
from analysis.sources.layer_weights import layer_matrices
from analysis.sources.unit_weights import is_table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, MOST_UNITS, LEVEL = 4, 200, 0.05


@dataclass(frozen=True)
class AtomSharingParams(TableParams):
    layers: str = param(
        "",
        "Layers, as the checkpoint names them, with commas and * allowed; empty: the module that the tap recorded.",
    )
    atoms: int = param(32, "Atoms that all neurons share.", low=2, high=1024)
    active: int = param(4, "Atoms that a neuron is made of, at most.", low=1, high=64)
    draws: int = param(200, "Exchanges for the null.", low=20, high=5000)


def atom_sharing(
    tap, params: AtomSharingParams = AtomSharingParams(), rng=None, progress=no_progress
) -> Matrix:
    """Overlap of the atoms that layers, or the neurons of one layer, are made of.

    Parameters
    ----------
    tap : Activations or array
        An array is a table of weights: one column per unit, one row per input.

    Returns
    -------
    Matrix
        Overlaps; layers where several are asked for, else the neurons of the one. Estimates: the mean overlap, and what
        the atoms explain of the weights.

    Raises
    ------
    InputError, NotFound, NotEnoughData, ParameterError
        No or another checkpoint; no such layer; weights of 0 only; fewer than four neurons.
    """
    tap, rng = as_activations(tap), rng or np.random.default_rng(0)
    progress(0.0, "reading weights")
    named = params.layers or ("" if is_table(tap, params.table) else tap.tap)
    names, of, weight, notes = _stacked(layer_matrices([tap], named, params.table))
    progress(0.1, f"learning {params.atoms} atoms of {len(weight):,} neurons")
    k = min(params.atoms, max(2, len(weight) // 2))
    codes, found = sparse_factors(weight, root_of(None), k, min(params.active, k), rng)
    kept = 1 - float(((weight - codes @ found) ** 2).sum() / (weight**2).sum())
    use = codes**2 / np.maximum((codes**2).sum(axis=1, keepdims=True), np.finfo(float).tiny)
    alive = use.any(axis=1)
    if not alive.all():
        notes.append(f"{int((~alive).sum())} neuron(s) that no atom fits were left out.")
    use, of = use[alive], of[alive]
    progress(0.6, "exchanging neurons")
    several = len(names)
    if several > 1:
        values, null = _of_layers(use, of, len(names), params.draws, rng)
    else:
        chosen = np.flatnonzero(alive)[:MOST_UNITS]
        names, use = [str(j) for j in chosen], use[: len(chosen)]
        if alive.sum() > MOST_UNITS:
            notes.append(f"The first {MOST_UNITS} of {int(alive.sum()):,} neurons are shown.")
        values, null = _of_units(use, params.draws, rng)
    if len(names) < 2:
        raise NotEnoughData("one neuron or layer", "at least two to compare", "Name more layers")
    estimates, marked = _judged(values, null, kept, weight.shape, k, several == 1)
    progress(1.0, "done")
    return Matrix(
        title=f"Atoms in common, {'layers' if several > 1 else 'neurons'} of {tap.name}",
        reading=_reading(estimates, values, names, marked, "layers" if several > 1 else "neurons"),
        estimates=estimates, values=values, significant=marked,
        caveats=(*notes, "Atoms are one choice among many that explain weights about as well."),
        row_names=tuple(names), column_names=tuple(names), value_name="overlap of atoms", limits=(0.0, 1.0),
        null=null.mean(axis=0),
    )  # fmt: skip


def _stacked(read) -> tuple[list[str], np.ndarray, np.ndarray, list[str]]:
    """Names of the layers with as many inputs as the first, the layer of each neuron, all neurons, and notes."""
    names, of, rows, notes, other = [], [], [], list(read.notes), 0
    for name in read.names:
        (weight,) = read.read(name)
        if rows and weight.shape[1] != rows[0].shape[1]:
            other += 1
        elif weight.any():
            of.append(np.full(len(weight), len(names)))
            rows.append(weight / np.sqrt((weight**2).mean()))
            names.append(name)
    if not rows:
        raise InputError("every weight is 0", "weights that are not", "Choose another layer")
    if sum(map(len, rows)) < FEWEST:
        raise NotEnoughData(
            f"{names[0]} has {len(rows[0])} unit(s)", f"at least {FEWEST}", "Choose another layer"
        )
    if other:
        notes.append(f"{other} layer(s) with another number of inputs than {names[0]} left out.")
    return names, np.concatenate(of), np.concatenate(rows), notes


def _of_layers(use, of, count: int, draws: int, rng) -> tuple[np.ndarray, np.ndarray]:
    def mean(owner) -> np.ndarray:
        return np.array([use[owner == a].mean(axis=0) for a in range(count)])

    return overlaps(mean(of)), np.array([overlaps(mean(rng.permutation(of))) for _ in range(draws)])


def _of_units(use, draws: int, rng) -> tuple[np.ndarray, np.ndarray]:
    out = []
    for _ in range(draws):
        moved = rng.permuted(use, axis=0)
        moved /= np.maximum(moved.sum(axis=1, keepdims=True), np.finfo(float).tiny)
        out.append(overlaps(moved).astype(np.float32))
    return overlaps(use), np.array(out)


def _judged(values, null, kept: float, shape, k: int, alike: bool) -> tuple[tuple[Estimate, ...], np.ndarray]:
    """Estimates, and which pairs lie outside of their null."""
    p, above = len(values), np.triu_indices(len(values), 1)
    pairs, chance = values[above], null[:, above[0], above[1]]
    if alike:  # neurons that were exchanged are alike, so all pairs' draws are one null
        pool, count = np.sort(chance.ravel()), chance.size
        high, low = count - np.searchsorted(pool, pairs), np.searchsorted(pool, pairs, side="right")
    else:
        high, low, count = (chance >= pairs).sum(axis=0), (chance <= pairs).sum(axis=0), len(null)
    two_sided = np.minimum(2 * (np.minimum(high, low) + 1) / (count + 1), 1.0)
    marked = np.zeros((p, p), bool)
    marked[above] = benjamini_hochberg(two_sided) < LEVEL
    marked |= marked.T
    each = (values.sum(axis=1) - 1) / (p - 1)
    mean, spread = chance.mean(axis=1), 1.96 * float(each.std(ddof=1) if p > 1 else 0.0) / np.sqrt(p)
    value = float(pairs.mean())
    return (
        Estimate("mean overlap", value, value - spread, value + spread, interval="normal, over what is compared",
                 null=float(mean.mean()), null_low=float(mean.min()), null_high=float(mean.max()),
                 null_method=f"exchanged, {len(null)} draws", n=shape[1], d=p, estimator="Σ min of shares"),
        Estimate("squares that the atoms explain", kept, null=min(k / min(shape), 1.0),
                 null_method="k random directions, at most", n=shape[1], d=shape[0], estimator=f"{k} atoms"),
    ), marked  # fmt: skip


def _reading(estimates, values, names, marked, what: str) -> str:
    e, kept = estimates
    off = np.where(np.eye(len(values), dtype=bool), np.nan, values)
    a, b = np.unravel_index(int(np.nanargmax(off)), off.shape)
    pairs = len(names) * (len(names) - 1) // 2
    return (
        f"Two {what} share {e.value:.0%} of their atoms on average, {e.null:.0%} where they are exchanged; most do "
        f"{names[a]} and {names[b]} ({values[a, b]:.0%}). {int(marked.sum() // 2)} of {pairs} pairs differ from the "
        f"null. The atoms explain {kept.value:.0%} of the squares of the weights."
    )


def _cost(shapes, params: AtomSharingParams) -> Cost:
    (n, d), m = shapes[0], machine()
    k, p = min(params.atoms, max(2, d // 2)), min(d, MOST_UNITS)
    work = 12 * (2.0 * d * k * n + params.active * d * 2.0 * k * k) + 4.0 * n * k * d
    return Cost(m.seconds(flops64=work, moved=8.0 * params.draws * p * p * k + 60.0 * n * d) + 0.05,
                8.0 * (7.0 * n * d + 6.0 * d * k) + 4.5 * params.draws * p * p + 2e5)  # fmt: skip


def _check() -> tuple[CheckLine, ...]:
    """Neurons on four lines: those of one line share their atom, those of others none."""
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.standard_normal((12, 4)))[0].T
    weight = np.concatenate([np.repeat(axes[:2], 6, axis=0), np.repeat(axes[2:], 6, axis=0)])
    weight = weight * rng.uniform(1, 2, (24, 1))
    found = atom_sharing(weight.T, params=AtomSharingParams(atoms=4, active=1, draws=50))
    same = np.repeat(np.arange(4), 6)[:, None] == np.repeat(np.arange(4), 6)[None]
    return (
        CheckLine("of one line: overlap", 1.0, float(found.values[same].min()), 1e-9),
        CheckLine("of others", 0.0, float(found.values[~same].max()), 1e-9),
        CheckLine("explained by four atoms", 1.0, found.estimates[1].value, 1e-9),
    )


METHODS = (
    Method(
        id="atom_sharing", family="weights", title="Shared atoms of weights", version=1,
        function=atom_sharing,
        summary="Which neurons, or layers, are made of the same few directions, beside exchanged ones.",
        params=AtomSharingParams, result=Matrix, check=_check, cost=_cost, minimum_rows=2,
        invariance="scaling each layer; reordering neurons; rotating the inputs of all layers alike",
        papers=("CoSpaDi: sparse-dictionary weight compression",),
    ),
)  # fmt: skip
