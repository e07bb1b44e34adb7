"""The classifier of the network that a tap was recorded from: a row of weights for each class of the samples.

Which layer it is: the only one of the checkpoint that reads as many units as the tap has and has a row for each class,
or the one that is named. Which row is which class: by the row's number where all classes are whole numbers, otherwise
by `id2label` of a Hugging Face configuration; never by guessing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.errors import InputError, NotFound
from analysis.sources.weights import NetworkWeights, weights_of


@dataclass(frozen=True)
class Head:
    """Layer `name`; `weight` (C, d) and `bias` (C,), the rows of the classes in the order they were asked for."""

    name: str
    weight: np.ndarray
    bias: np.ndarray


def head_of(activations, classes: Sequence[str], layer: str = "") -> Head:
    """The head's rows for these classes of a stored tap's network.

    Raises
    ------
    InputError, NotFound
        No checkpoint or another one; no such layer, or none or several that fit; a class without a row.
    """
    network = weights_of(activations)
    d = activations.shape[1]
    found = network.layer(layer or _only_fit(network, d, len(classes)))
    if found.weight.shape[1] != d:
        raise InputError(
            f"'{found.name}' reads {found.weight.shape[1]} units and {activations.name} has {d}",
            "the layer that reads this tap", "Choose the last tap before it, or name another layer",
        )  # fmt: skip
    rows = rows_of_classes(network, classes, len(found.weight))
    bias = np.zeros(len(found.weight)) if found.bias is None else found.bias
    return Head(found.name, found.weight[rows], bias[rows])


def _only_fit(network: NetworkWeights, d: int, classes: int) -> str:
    fit = [k for k in network.layers if network.inputs(k) == d and network.units(k) >= classes]
    exact = [k for k in fit if network.units(k) == classes]
    for found in (exact, fit):
        if len(found) == 1:
            return found[0]
    raise NotFound(
        f"{len(exact or fit)} layer(s) of {network.path.name} read {d} units and have a row for each of {classes} "
        "classes",
        "exactly one",
        f"Name the layer: {network.some_layers()}",
    )


def rows_of_classes(network: NetworkWeights, classes: Sequence[str], rows: int) -> list[int]:
    """Which of a head's `rows` is each class. Raises InputError where a class has none."""
    if all(name.isdigit() for name in classes):
        found = [int(name) for name in classes]
    else:
        named = _labels(network)
        missing = [name for name in classes if name not in named]
        if missing:
            raise InputError(
                f"class '{missing[0]}' is not among the labels of {network.path.name}",
                "classes that are row numbers, or named by id2label of its configuration",
                "Choose the column that the head was trained on",
            )
        found = [named[name] for name in classes]
    if max(found) >= rows:
        raise InputError(
            f"class {max(found)} of a head with {rows} rows",
            f"classes 0 to {rows - 1}",
            "Choose the head of these classes, or another column",
        )
    return found


def _labels(network: NetworkWeights) -> dict[str, int]:
    try:
        config = json.loads((network.path / "config.json").read_bytes())
        return {str(v): int(k) for k, v in config["id2label"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
