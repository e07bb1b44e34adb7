"""The attention that a network pays, read off a run: who looks at whom, layer by layer and head by head.

Fused kernels return no weights: a transformers network is switched to its plain ("eager") way for the run and back.
Of other networks every `torch.nn.MultiheadAttention` is asked for its weights.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from analysis.attribution.sample_run import SampleRun
from analysis.errors import InputError
from analysis.sources.hooked_run import model_lock

PLAIN = "eager"


def attention_of(run: SampleRun) -> np.ndarray:
    """(layers, heads, tokens, tokens) of one sample; rows sum to 1, row i is what token i reads.

    Raises InputError where the network has no attention that can be read.
    """
    import torch

    module = run.loaded.module
    with model_lock(module), torch.no_grad():
        was, module_was = (
            module.training,
            getattr(getattr(module, "config", None), "_attn_implementation", None),
        )
        module.eval()
        try:
            found = _told(run, module) if hasattr(module, "set_attn_implementation") else _hooked(run, module)
        finally:
            module.train(was)
            if module_was and hasattr(module, "set_attn_implementation"):
                module.set_attn_implementation(module_was)
    shapes = {tuple(a.shape) for a in found}
    if len(shapes) != 1:
        raise InputError(
            f"{len(found)} layers of {type(module).__name__} with attention of {len(shapes)} shapes",
            "one layer with attention or more, all of one shape", "Choose a network with attention over its tokens",
        )  # fmt: skip
    return np.stack([a[0].double().numpy() for a in found])


def _told(run: SampleRun, module) -> list:
    module.set_attn_implementation(PLAIN)
    given = run.inputs
    out = (
        module(**given, output_attentions=True)
        if isinstance(given, Mapping)
        else module(given, output_attentions=True)
    )
    return [a for a in (getattr(out, "attentions", None) or ()) if a is not None and a.ndim == 4]


def _hooked(run: SampleRun, module) -> list:
    import torch

    found: list = []

    def ask(_layer, args, kwargs):
        return args, {**kwargs, "need_weights": True, "average_attn_weights": False}

    def keep(_layer, _args, output):
        found.append(output[1].detach().clone())

    handles = []
    for layer in module.modules():
        if isinstance(layer, torch.nn.MultiheadAttention):
            handles += [
                layer.register_forward_pre_hook(ask, with_kwargs=True),
                layer.register_forward_hook(keep),
            ]
    try:
        if handles:
            run.loaded.call(module, run.inputs) if run.loaded.call else run.loaded.run(run.inputs)
    finally:
        for handle in handles:
            handle.remove()
    return found


def identity_attention(x: np.ndarray) -> np.ndarray:
    """(1, 1, fields, fields) of a layer whose weights are the identity, on fields x (fields, width)."""
    scores = x @ x.T / np.sqrt(x.shape[1])
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return (weights / weights.sum(axis=1, keepdims=True))[None, None]


def gathered(attention: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """(layers, heads, players, players) of tokens that `owner` (tokens,) gives to players: the mean over a player's
    tokens of what they read of all tokens of the other. Rows still sum to 1."""
    members = (owner[None] == np.arange(owner.max() + 1)[:, None]).astype(np.float64)
    return (members / members.sum(axis=1, keepdims=True)) @ attention @ members.T
