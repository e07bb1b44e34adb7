"""What the network of a tap mixes in one sample, where it can be run, and in which of its layers."""

from __future__ import annotations

from dataclasses import replace

from analysis.errors import InputError, NotFound
from analysis.sources.rerun import of_one
from analysis.tokens.mixers.folding import HEADS
from analysis.tokens.mixers.reading import Mixing, network_mixers
from analysis.tokens.own_layer import layer_of_tap, named_layer
from analysis.tokens.subject import ROWS


def own_mixing(tap, params, rng) -> tuple[Mixing | None, tuple[str, ...], object]:
    """What it mixes, what is to be said of it, and the settings with the layer that is meant."""
    if params.source == ROWS:
        return None, (), params
    try:
        found = network_mixers(tap, tap.layout.n_samples, rng)
        own = found.read(found.place(params.sample))
    except (InputError, NotFound) as error:
        return None, (f"The network is not run: {str(error).split('. ')[0]}.",), params
    layer = named_layer(params.layer, layer_of_tap(tap, found.layers), len(own.heads))
    params = replace(params, layer=layer + 1)
    if params.layer > len(own.heads):
        raise NotFound(f"layer {params.layer}", f"1 to {len(own.heads)}")
    said = (
        *of_one(found.notes, params.sample),
        f"The network: {found.what}, {found.layers[params.layer - 1]}, mean of |M| of up to {HEADS}.",
    )
    return own, said, params
