"""Incoming weights of the units of a tap: from the checkpoint it was recorded from, or from a table of weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import load_matrix
from analysis.errors import InputError, LoupeError, NotFound, ParameterError
from analysis.sources.weights import SMALL, LayerWeights, NetworkWeights, weights_of


@dataclass(frozen=True)
class UnitWeights:
    """Incoming weights of the units of one layer: `weight` (units, inputs), `bias` (units,) or None, the units' names;
    `network` and `layer` (as in the file) where they come from a checkpoint; `name` and `notes` for people."""

    name: str
    weight: np.ndarray
    bias: np.ndarray | None
    unit_names: tuple[str, ...]
    notes: tuple[str, ...] = ()
    network: NetworkWeights | None = None
    layer: str = ""
    own: bool = False  # the layer is the very module that the tap recorded

    def with_bias(self) -> np.ndarray:
        """(units, inputs + 1) with the bias as the weight of a constant input 1, where there is one."""
        return self.weight if self.bias is None else np.column_stack([self.weight, self.bias])


def is_table(tap, table: bool = False) -> bool:
    """Whether a tap is to be read as a table of weights: an array, or a store said to hold one."""
    return table or getattr(tap, "store", None) is None


def unit_weights(tap, *, layer: str = "", norm: str = "", table: bool = False) -> UnitWeights:
    """Incoming weights of the units of a tap.

    Parameters
    ----------
    tap : Activations
        An array, or a store with `table`, is a table of weights itself: one column per unit, one row per input (the
        bias may be a row). Otherwise weights are read from the checkpoint that the tap was recorded from.
    layer : str
        Which layer of that checkpoint; the module that the tap recorded, by default.
    norm : str
        BatchNorm to fold in; where none is given, one that names and shapes leave no doubt about; "none": leave it.

    Raises
    ------
    ParameterError, InputError, NotFound
        A layer asked of a table; no or another checkpoint; a tap without weights, naming layers that have some.
    """
    if is_table(tap, table):
        if layer or norm:
            raise ParameterError(
                f"layer '{layer or norm}' was asked of {tap.name}, which is a table of weights itself",
                "no layer",
                "Leave the layer empty",
            )
        return _of_table(tap)
    network, notes = weights_of(tap), []
    name = layer or tap.tap
    if not layer and network.find(name) is None:
        kind = getattr(tap.spec, "module", "") or "its module"
        raise NotFound(
            f"{tap.name} has no weights of its own ({kind})", f"'layer': {network.some_layers(name)}",
            "Name the layer in the checkpoint whose units are meant",
        )  # fmt: skip
    found = network.layer(name)
    between = network.normalisation_of(found.name) if norm == "" else norm
    if between and norm != "none":
        found = network.folded(found, between)
        notes.append(f"BatchNorm '{between}' was folded into the weights (epsilon {SMALL:g} assumed).")
    if found.kernel and network.inputs(found.name) == 1:
        notes.append(
            f"Every unit of '{found.name}' has weights for one channel: where it is a convolution in groups, units "
            "read different channels, and equal weights are no equal features."
        )
    own = network.find(tap.tap) == found.name
    names = tap.unit_names if own and len(tap.unit_names) == len(found.weight) else None
    return UnitWeights(
        found.name, found.weight, found.bias, names or tuple(str(j) for j in range(len(found.weight))), tuple(notes),
        network, found.name, own,
    )  # fmt: skip


def _of_table(tap) -> UnitWeights:
    loaded = load_matrix(tap, minimum_rows=2)
    note = f"{loaded.n_nonfinite} input(s) with NaN or infinity left out." if loaded.n_nonfinite else ""
    weight = np.asarray(loaded.values, dtype=np.float64).T
    return UnitWeights(tap.name, weight, None, tuple(tap.unit_names), (note,) if note else ())


def reader_weights(units: UnitWeights, outgoing: str) -> tuple[LayerWeights | None, str]:
    """The layer that reads these units, and a sentence on how it was found ("" where there is none).

    `outgoing` names it in the checkpoint; "" looks for it. Raises NotFound, InputError where a named one does not fit.
    """
    if units.network is None:
        return None, ""
    name = outgoing or units.network.reader_of(units.layer)
    if not name:
        return None, ""
    try:
        reader = units.network.layer(name)
    except LoupeError:
        if outgoing:
            raise
        return None, ""
    if outgoing and units.network.inputs(reader.name) != len(units.weight):
        raise InputError(
            f"'{reader.name}' reads {units.network.inputs(reader.name)} inputs",
            f"the {len(units.weight)} units of '{units.layer}'",
            "Name the layer that reads them, or leave it empty",
        )
    how = "as named" if outgoing else "by name and shape"
    return reader, f"'{reader.name}' is taken to read these units ({how})."


@dataclass(frozen=True)
class Layer:
    """Everything that is known of one layer: its `units`; `activations` (n, units) after the nonlinearity with their
    sample (n,), rising from 0, or None; `outgoing` (units, outputs) or None; `reader`, the layer of the checkpoint that
    reads them, or ""; `notes` on where these come from."""

    units: UnitWeights
    activations: np.ndarray | None
    sample: np.ndarray | None
    outgoing: np.ndarray | None
    reader: str
    notes: tuple[str, ...]


AFTER = ("relu", "gelu", "silu", "swish", "mish", "elu", "tanh", "sigmoid", "activation", "softplus")


def layer_of(
    taps,
    rng: np.random.Generator,
    *,
    layer: str = "",
    norm: str = "",
    outgoing: str = "",
    table: bool = False,
    relu: bool = False,
    maximum_rows: int = 2000,
) -> Layer:
    """A layer from one to three taps: its incoming weights (see `unit_weights`), the activations of its units after the
    nonlinearity, and a table of outgoing weights with one column per unit.

    Activations are those of the second tap, or of the first where it recorded a nonlinearity, or the layer itself
    before a nonlinearity that is said to be a `relu`. Outgoing weights are those of the third tap, or of the layer of
    the checkpoint that reads these units (`outgoing`; where names and shapes leave no doubt, by default).
    """
    if not 1 <= len(taps) <= 3:
        raise ParameterError(
            f"{len(taps)} taps", "weights, then their units' activations, then outgoing weights"
        )
    units = unit_weights(taps[0], layer=layer, norm=norm, table=table)
    notes = list(units.notes)
    reader, how = reader_weights(units, outgoing)
    out = None if reader is None else reader.outgoing(len(units.weight))
    if reader is not None:
        notes.append(
            how if out is not None else f"{how} Its kernel has several positions: no output error is shown."
        )
    if len(taps) == 3:
        _refuse_other_width(taps[2].shape[1], units, taps[2].name)
        out = _of_table(taps[2]).weight
    values, sample, said = _after_nonlinearity(taps, units, relu and not norm, maximum_rows, rng)
    return Layer(units, values, sample, out, "" if reader is None else reader.name, (*notes, *said))


def _after_nonlinearity(taps, units: UnitWeights, relu: bool, maximum_rows: int, rng):
    """Activations (n, units), their sample (n,), and notes; (None, None, notes) where they are not known."""
    tap, module = taps[0], str(getattr(getattr(taps[0], "spec", None), "module", ""))
    before = False
    if len(taps) > 1:
        tap = taps[1]
    elif units.network is None:
        return None, None, []
    elif units.own:
        pooled = getattr(tap.spec, "tokens", "all") in ("mean", "spatial-mean")
        folded = any("BatchNorm" in note for note in units.notes)
        if pooled or folded or not relu:
            why = (
                "a mean over tokens"
                if pooled
                else "before a BatchNorm"
                if folded
                else "before the nonlinearity"
            )
            return None, None, [f"{tap.name} was recorded as {why}; give the units' activations after it as a "
                                "second tap to see the error of the merged layer."]  # fmt: skip
        before = True
    elif tap.shape[1] != len(units.weight) or not any(word in module.lower() for word in AFTER):
        return None, None, [f"{tap.name} holds no activations of these units after their nonlinearity; give them as a "
                            "second tap to see the error of the merged layer."]  # fmt: skip
    _refuse_other_width(tap.shape[1], units, tap.name)
    loaded = load_matrix(tap, maximum_rows=maximum_rows, minimum_rows=3, rng=rng)
    values = np.asarray(loaded.values, dtype=np.float64)
    notes = [f"Activations of {tap.name}: {loaded.note}."] if loaded.note else []
    if before:
        values = np.maximum(values, 0.0)
        notes.append(f"{tap.name} was recorded before the nonlinearity, which is taken to be a ReLU.")
    sample = np.unique(tap.layout.sample_of(loaded.rows), return_inverse=True)[1].reshape(-1)
    return values, sample, notes


def _refuse_other_width(width: int, units: UnitWeights, name: str) -> None:
    if width != len(units.weight):
        raise InputError(
            f"{name} has {width} units",
            f"the {len(units.weight)} of {units.name}",
            "Choose the tap of that layer",
        )
