"""What a person's history is worth towards a candidate: the local activation unit of a network that was trained to say.

    w_i = a(q, k_i, q - k_i, q ∘ k_i)        q the candidate, k_i an item; a a small network with one output

(of layers with three times the width: k, q, q ∘ k; with twice: k, q). Weights are not made to sum to 1, so that their
sum says how strong the interest is. Without such layers in the checkpoint w_i = q · k_i / √d.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from analysis.sources.weights import LayerWeights, NetworkWeights

PARTS = {4: "q, k, q - k, q ∘ k", 3: "k, q, q ∘ k", 2: "k, q"}
SIGMOID, RELU, PRELU, GUESSED = (
    "sigmoid",
    "ReLU",
    "PReLU",
    "PReLU where its slopes are in the file, else ReLU",
)
BENDS = (GUESSED, RELU, PRELU, SIGMOID)


@dataclass(frozen=True)
class ActivationUnit:
    """`layers` the last of which has one output; `slopes` of PReLU behind each but the last, or empty; `parts` how many
    times as wide as an item the first is; `name` of the first in the file."""

    layers: tuple[LayerWeights, ...]
    slopes: tuple[np.ndarray, ...]
    parts: int

    @property
    def name(self) -> str:
        return self.layers[0].name


def unit_in(weights: NetworkWeights, d: int) -> ActivationUnit | None:
    """The first run of layers of one module that reads items `d` wide beside a candidate and says one number."""
    names = [n for n in weights.layers if len(weights.shapes[f"{n}.weight"]) == 2]
    for parts in PARTS:
        for i, first in enumerate(names):
            module, chain, width = _module(first), [], parts * d
            for name in names[i:]:
                if weights.inputs(name) != width or not name.startswith(module):
                    break
                chain.append(name)
                width = weights.units(name)
                if width == 1:
                    break
            if width == 1 and len(chain) > 1:
                return ActivationUnit(tuple(weights.layer(n) for n in chain), _slopes(weights, chain), parts)
    return None


def _module(layer: str) -> str:
    """What the names of layers of one module begin with."""
    return layer.rpartition(".")[0]


def _slopes(weights: NetworkWeights, chain: list[str]) -> tuple[np.ndarray, ...]:
    """Vectors called weight between two layers of the chain, as PReLU has them; empty where one is missing."""
    order, found = list(weights.shapes), []
    for a, b in pairwise(chain):
        between = order[order.index(f"{a}.weight") + 1 : order.index(f"{b}.weight")]
        own = [
            k for k in between if k.endswith(".weight") and weights.shapes[k] in ((1,), (weights.units(a),))
        ]
        if len(own) != 1:
            return ()
        found.append(np.asarray(weights.tensor(own[0]), np.float64))
    return tuple(found)


def unit_weights(unit: ActivationUnit, bend: str, items: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """(T,) of items (T, d) for a candidate (d,)."""
    q = np.broadcast_to(candidate, items.shape)
    x = {4: (q, items, q - items, q * items), 3: (items, q, q * items), 2: (items, q)}[unit.parts]
    x = np.concatenate(x, axis=1)
    for i, layer in enumerate(unit.layers):
        x = x @ layer.weight.T + (0.0 if layer.bias is None else layer.bias)
        if i + 1 < len(unit.layers):
            x = _bent(x, bend, unit.slopes[i] if unit.slopes else 0.25)
    return x[:, 0]


def _bent(x: np.ndarray, bend: str, slope) -> np.ndarray:
    if bend == SIGMOID:
        return 0.5 * (1 + np.tanh(x / 2))
    return np.maximum(x, 0) + (slope * np.minimum(x, 0) if bend == PRELU else 0.0)


def dot_weights(items: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    return items @ candidate / np.sqrt(items.shape[1])
