"""One direction out of a tap's own checkpoint: a row, or a column, of a table of weights with a number for each unit.

A row of a layer that reads the tap is what one of its units asks for (a class of the head, a latent of an encoder); a
column of a layer that writes into the tap is what one of its inputs adds (a latent of a decoder).
"""

from __future__ import annotations

import numpy as np

from analysis.errors import NotFound, ParameterError
from analysis.sources.weights import NetworkWeights, weights_of

ASKS, ADDS = "asks", "adds"


def weight_direction(tap, text: str) -> tuple[np.ndarray, str]:
    """The direction (d,) named "LAYER:NUMBER", and its name in words. A square table is read by rows, unless the text
    ends in ":adds".

    Raises
    ------
    ParameterError
        A text of another form, no such row, a table that fits the units on neither side.
    NotFound, InputError
        As `weights_of`; no such layer.
    """
    name, number, side = _read(text)
    rows, side, name = _fitting_side(tap, name, side)
    if number >= len(rows):
        raise ParameterError(
            f"{'row' if side == ASKS else 'column'} {number} of '{name}'", f"0 to {len(rows) - 1}"
        )
    words = f"unit {number} of {name}" if side == ASKS else f"input {number} of {name}"
    return rows[number], words


def layer_directions(tap, text: str) -> tuple[np.ndarray, str, str]:
    """All directions (m, d) of the layer named "LAYER", "LAYER:asks" or "LAYER:adds", which side they are of, and the
    layer's name. Raises as `weight_direction`."""
    name, _, side = (part.strip() for part in text.partition(":"))
    if side not in ("", ASKS, ADDS):
        raise ParameterError(f"weights:{text}", f"LAYER, LAYER:{ASKS} or LAYER:{ADDS}")
    return _fitting_side(tap, name, side)


def _fitting_side(tap, name: str, side: str) -> tuple[np.ndarray, str, str]:
    network, d = weights_of(tap), tap.shape[1]
    table, name = _table(network, name)
    sides = [side] if side else [ASKS, ADDS]
    fits = {ASKS: table.shape[1] == d, ADDS: table.shape[0] == d}
    side = next((s for s in sides if fits[s]), None)
    if side is None:
        raise ParameterError(
            f"'{name}' is a table of {table.shape[0]} x {table.shape[1]}", f"{d} numbers on one side, as {tap.name} "
            "has units", "Name a layer that reads this tap or writes into it",
        )  # fmt: skip
    return (table if side == ASKS else table.T), side, name


def fitting_layers(tap) -> list[tuple[str, int, str]]:
    """(layer, how many directions, "asks" or "adds") of every layer that reads the units of the tap or writes into
    them. Raises as `weights_of`."""
    network, d = weights_of(tap), tap.shape[1]
    bare = [k for k, s in network.shapes.items() if len(s) == 2 and not k.endswith(".weight")]
    found = []
    for name in (*network.layers, *bare):
        if name in bare:
            units, inputs = network.shapes[name]
        else:
            units, whole = network.units(name), int(np.prod(network.shapes[f"{name}.weight"]))
            inputs = whole // units
        found += [(name, units, ASKS)] if inputs == d else []
        found += [(name, inputs, ADDS)] if units == d else []
    return found


def _read(text: str) -> tuple[str, int, str]:
    parts = [part.strip() for part in text.split(":")]
    side = parts.pop() if len(parts) > 2 else ""
    if len(parts) != 2 or not parts[0] or not parts[1].isdecimal() or side not in ("", ASKS, ADDS):
        raise ParameterError(f"weights:{text}", "weights:LAYER:NUMBER, for example weights:classifier:3")
    return parts[0], int(parts[1]), side


def _table(network: NetworkWeights, name: str) -> tuple[np.ndarray, str]:
    """(units, inputs) of a layer, or a bare matrix of the file as it is."""
    shape = network.shapes.get(name, ())
    if network.find(name) is None and len(shape) == 2:
        return network.tensor(name), name
    try:
        layer = network.layer(name)
    except NotFound as refusal:
        bare = [k for k, s in network.shapes.items() if len(s) == 2 and not k.endswith(".weight")][:6]
        raise NotFound(
            refusal.found, refusal.expected + (f", or {', '.join(bare)}" if bare else "")
        ) from None
    return layer.weight, layer.name
