"""All weight matrices of a checkpoint, or of several checkpoints of one network side by side.

An array, or a store said to hold a table, is one matrix itself: one column per unit, one row per input.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.arrays import finite_rows
from analysis.errors import InputError, NotEnoughData, NotFound, ParameterError
from analysis.sources.unit_weights import is_table
from analysis.sources.weights import SHOWN, weights_of

TABLE = "table"


@dataclass(frozen=True)
class LayerMatrices:
    """`names` of layers as in the file; `read` gives those of a layer, one (units, inputs) float64 array for each tap,
    all of one shape; `notes` on what was left out and how kernels are laid out."""

    names: tuple[str, ...]
    read: Callable[[str], tuple[np.ndarray, ...]]
    notes: tuple[str, ...]


def layer_matrices(taps: Sequence, layers: str = "", table: bool = False) -> LayerMatrices:
    """Weights of the layers that every tap's checkpoint has, in the order of the first.

    Parameters
    ----------
    taps : Activations, each of another checkpoint of one network, or tables of weights.
    layers : names or patterns (`*.mlp.*`), with commas between; empty: all.
    table : stores hold tables of weights.

    Raises
    ------
    ParameterError, InputError, NotFound, NotEnoughData
        Tables beside checkpoints, or layers asked of tables; tables of different shapes; no checkpoint; no layer that
        all have in one shape; fewer than two finite inputs.
    """
    kinds = {is_table(t, table) for t in taps}
    if kinds == {True}:
        if layers:
            raise ParameterError(
                f"layers '{layers}' were asked of {taps[0].name}, a table of weights",
                "no layers",
                "Leave the layers empty",
            )
        return _tables(taps)
    if len(kinds) > 1:
        raise ParameterError(
            "tables of weights beside checkpoints",
            "all of one sort",
            "Choose taps that all have a checkpoint, or tables only",
        )
    networks = [weights_of(t) for t in taps]
    first, wanted, notes = networks[0], [p.strip() for p in layers.split(",") if p.strip()], []
    found = {first.find(p) for p in wanted}
    names = [
        k for k in first.layers if not wanted or k in found or any(fnmatch.fnmatchcase(k, p) for p in wanted)
    ]
    if not names:
        raise NotFound(
            f"no layer of {first.path.name} is called {layers or 'anything'}",
            first.some_layers(layers),
            "Name another layer, or leave it empty",
        )
    shared = [k for k in names if all(_same_shape(first, other, k) for other in networks[1:])]
    if not shared:
        raise InputError(
            f"no layer of {first.path.name} is found under its name and shape in the other checkpoint(s)",
            "checkpoints of one architecture",
            "Choose checkpoints of the same network",
        )
    if len(shared) < len(names):
        lost = [k for k in names if k not in shared]
        more = " and more" if len(lost) > SHOWN else ""
        notes.append(
            f"{len(lost)} layer(s) not in every checkpoint left out: {', '.join(lost[:SHOWN])}{more}."
        )
    if any(int(np.prod(first.shapes[f"{k}.weight"][2:])) > 1 for k in shared):
        notes.append("A kernel is laid out as units x (channels and positions).")
    return LayerMatrices(tuple(shared), lambda k: tuple(n.layer(k).weight for n in networks), tuple(notes))


def _same_shape(first, other, name: str) -> bool:
    key = f"{name}.weight"
    return name in other.layers and other.shapes[key] == first.shapes[key]


def _tables(taps: Sequence) -> LayerMatrices:
    shapes = {t.shape for t in taps}
    if len(shapes) > 1:
        raise InputError(
            "tables of " + " and ".join(f"{n:,} x {d:,}" for n, d in sorted(shapes)),
            "tables of one shape",
            "Choose tables of one layer",
        )
    read = [np.asarray(t.take(np.arange(t.shape[0])), dtype=np.float64) for t in taps]
    good = np.logical_and.reduce([finite_rows(x) for x in read])
    if good.sum() < 2:
        raise NotEnoughData(
            f"{taps[0].name} has {int(good.sum())} finite input(s)",
            "at least 2",
            "Look at the values of this table",
        )
    notes = []
    if not good.all():
        notes.append(f"{int((~good).sum())} input(s) with NaN or infinity left out.")
        read = [x[good] for x in read]
    name = taps[0].name if len(taps) == 1 else TABLE
    return LayerMatrices((name,), lambda _: tuple(x.T for x in read), tuple(notes))
