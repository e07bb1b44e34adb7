"""Cross-attention of a network in which a few queries read many places: latent codes, learned queries, resamplers.

Found by its shape in one pass, whatever the network is called: a softmax of more than one query over more keys. Of
latents that read places and a class that reads latents the first is one of these.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.errors import InputError, NotFound
from analysis.sources.own_module import recorded_from
from analysis.tokens.mixers.attended import Attended, attended, grid_of

LEAST = 2  # queries


@dataclass(frozen=True)
class LatentAttention:
    """`weights` (n, latents, places) of the samples, first the one that is asked for, mean over heads, or of one;
    places on the `grid` after `leading` others; `name` of the module; `picture` or None; `notes`."""

    weights: np.ndarray
    grid: tuple[int, int]
    leading: int
    name: str
    picture: np.ndarray | None
    notes: tuple[str, ...]


def latent_attention_of(tap, sample: int, layer: int | None, head: int | None, rng) -> LatentAttention:
    """Raises NotFound, InputError: no such sample, layer or head; a network that cannot be run, or has none."""
    try:
        own = attended(tap, sample, rng)
        calls = crossing(own)
    except InputError as error:
        raise InputError(
            f"no latents of {tap.name} can be watched: {str(error).split('. ')[0]}",
            "a network with latent codes that can be run again",
            f"{recorded_from('*latents*', '*patches*')}",
        ) from error
    at = (layer or 1) - 1
    if at >= len(calls):
        raise NotFound(f"cross-attention {layer} of {own.what}", f"1 to {len(calls)}")
    shape = calls[at].weights.shape
    if head is not None and head > shape[1]:
        raise NotFound(f"head {head} of {calls[at].name}", f"1 to {shape[1]}")
    every, lost = [calls[at].weights], 0
    for found in own.others():
        more = [c for c in found if c.name == calls[at].name and c.weights.shape == shape]
        lost += not more
        every += [more[0].weights] if more else []
    stacked = np.stack([w[0].mean(axis=0) if head is None else w[0, head - 1] for w in every])
    grid, leading = grid_of(shape[-1], own.picture)
    said = [f"{calls[at].name}: {shape[2]} latents read {shape[3]} places."]
    if shape[1] > 1:
        said.append(f"Of {shape[1]} heads the mean." if head is None else f"Head {head} of {shape[1]}.")
    if lost:
        said.append(f"{lost} sample(s) with another number of places are left out.")
    return LatentAttention(stacked, grid, leading, calls[at].name, own.picture, (*own.notes, *said))


def crossing(own: Attended) -> list:
    """Calls in which fewer queries than keys read, of one sample each. Raises InputError where there are none."""
    found = [c for c in own.calls if c.weights.ndim == 4 and len(c.weights) == 1
             and LEAST <= c.weights.shape[2] < c.weights.shape[3]]  # fmt: skip
    if not found:
        raise InputError(
            f"{own.what} has no attention of a few latents over more places",
            "a network in which latent codes read patches, such as a Perceiver",
        )
    return found
