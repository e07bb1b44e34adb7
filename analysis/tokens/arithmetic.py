"""Multiply-adds of a transformer in closed form, layer by layer, those linear in the tokens and those quadratic apart.

With t tokens at the attention of a block, t' at its MLP, width d, heads that are together e wide (keys and values f),
and an MLP m wide made of g matrices,

    linear      t (2 d e + 2 d f) + t' g d m        queries and output, keys and values, MLP
    quadratic   2 t² e                              scores and the mean of values

Where time and space are read in turn (TimeSformer), of p = t - 1 patches over F frames of P places, spread evenly,
which is the least that so many tokens cost,

    linear      more by p (2 d e + 2 d f + d²)      attention over time and the projection behind it
    quadratic   2 e (F (p/F + 1)² + p²/P)

Causal attention is counted whole, as published numbers are. What is not counted: norms, softmax, activations, biases,
and the work of deciding which tokens go. One multiply-add is one; papers that write "FLOPs" mean this number mostly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.errors import ShapeError
from analysis.tokens.rule import BETWEEN


@dataclass(frozen=True)
class NetworkShape:
    """`layers` blocks of width `width`, heads `heads_width` wide in all, keys and values `keys_width`, an MLP
    `mlp_width` wide of `mlp_matrices` matrices (3 where it is gated; times the experts a token sees); `fixed`
    multiply-adds outside the blocks, as patch embedding and readout. A scan has no heads and no MLP, and a `keys_width`
    that stands for what it costs a token. `frames` and `places` where time and space are read
    in turn, else 0."""

    layers: int
    width: int
    heads_width: int
    keys_width: float
    mlp_width: int
    mlp_matrices: float = 2
    fixed: float = 0.0
    frames: int = 0
    places: int = 0


@dataclass(frozen=True)
class MultiplyAdds:
    """`linear`, `quadratic` (L,) of each layer, and `fixed`, of one sample."""

    linear: np.ndarray
    quadratic: np.ndarray
    fixed: float

    @property
    def total(self) -> float:
        return float(self.linear.sum() + self.quadratic.sum() + self.fixed)


def multiply_adds(shape: NetworkShape, tokens: Sequence[float], place: str = BETWEEN) -> MultiplyAdds:
    """Of one sample with `tokens` (L + 1,) tokens before each layer and after the last; `place` where in a block they
    go. A mean count over samples is right for the linear part and low for the quadratic one: give counts of one sample.

    Raises ShapeError unless there is one more count than layers.
    """
    t = np.asarray(tokens, np.float64)
    if t.shape != (shape.layers + 1,):
        raise ShapeError(
            f"{t.shape} counts of tokens", f"{shape.layers + 1}: before each layer and after the last"
        )
    before, behind = t[:-1], t[1:] if place == BETWEEN else t[:-1]
    linear = before * 2 * shape.width * (shape.heads_width + shape.keys_width)
    linear = linear + behind * shape.mlp_matrices * shape.width * shape.mlp_width
    if not shape.frames:
        return MultiplyAdds(linear, 2 * before**2 * shape.heads_width, shape.fixed)
    patches = np.maximum(before - 1, 0)
    linear = linear + patches * shape.width * (2 * (shape.heads_width + shape.keys_width) + shape.width)
    space, time = shape.frames * (patches / shape.frames + 1) ** 2, patches**2 / shape.places
    return MultiplyAdds(linear, 2 * (space + time) * shape.heads_width, shape.fixed)
