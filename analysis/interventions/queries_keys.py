"""Queries and keys of every attention head of a network, read off a run.

Of transformers networks they are caught where the interface of attention gets them, after whatever turns them by place
(rotary embeddings); of a `torch.nn.MultiheadAttention` they are made from its weights and what it is given.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.attribution.sample_run import repeated
from analysis.errors import InputError
from analysis.interventions.thinned_attention import thinned
from analysis.sources.hooked_run import hooked_run
from analysis.sources.loaded_model import LoadedModel


@dataclass(frozen=True)
class QueriesKeys:
    """Of one layer and one sample: `queries`, `keys` (heads, tokens, width) float64; scores are scale <q, k>."""

    queries: np.ndarray
    keys: np.ndarray
    scale: float


def queries_keys(loaded: LoadedModel, inputs) -> list[QueriesKeys]:
    """Layer by layer as they run, of the first of the prepared inputs. Raises InputError: no attention is found."""
    import torch

    found = _of_torch(loaded, inputs)
    if found:
        return found
    if not any(hasattr(getattr(m, "config", None), "_attn_implementation") for m in loaded.module.modules()):
        raise InputError(
            f"no attention in {type(loaded.module).__name__} whose queries and keys can be read",
            "a transformer, or a network with torch.nn.MultiheadAttention", "Choose another network",
        )  # fmt: skip

    def keep(query, key, scale) -> None:
        found.append(QueriesKeys(_numbers(query), _numbers(key), float(scale)))

    with thinned(loaded, 1.0, 0, watch=keep), torch.no_grad():
        _run(loaded, inputs)
    return found


def _run(loaded: LoadedModel, inputs):
    inputs = repeated(inputs, 1)  # a copy: the network may work in place
    return loaded.call(loaded.module, inputs) if loaded.call else loaded.run(inputs)


def _numbers(x) -> np.ndarray:
    return x[0].detach().double().cpu().numpy()


def _of_torch(loaded: LoadedModel, inputs) -> list[QueriesKeys]:
    import torch

    found: list[QueriesKeys] = []
    layers = [m for m in loaded.module.modules() if isinstance(m, torch.nn.MultiheadAttention)]

    def note(layer, given, named) -> None:
        query, key = (given[i] if len(given) > i else named[n] for i, n in enumerate(("query", "key")))
        if not layer.batch_first:
            query, key = (x.transpose(0, 1) if x.ndim == 3 else x for x in (query, key))
        found.append(_projected(layer, *(x if x.ndim == 3 else x[None] for x in (query, key))))

    handles = [layer.register_forward_pre_hook(note, with_kwargs=True) for layer in layers]
    try:
        if layers:
            with hooked_run(loaded.module):
                _run(loaded, inputs)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _projected(layer, query, key) -> QueriesKeys:
    import torch

    width = layer.embed_dim
    if layer.in_proj_weight is not None:
        weights = [layer.in_proj_weight[:width], layer.in_proj_weight[width : 2 * width]]
    else:
        weights = [layer.q_proj_weight, layer.k_proj_weight]
    bias = layer.in_proj_bias
    shifts = [None, None] if bias is None else [bias[:width], bias[width : 2 * width]]
    both = []
    for x, weight, shift in zip((query, key), weights, shifts, strict=True):
        made = torch.nn.functional.linear(x[0], weight, shift)
        both.append(made.reshape(len(made), layer.num_heads, -1).transpose(0, 1).detach().double().numpy())
    return QueriesKeys(*both, float(layer.head_dim) ** -0.5)
