"""The attention that a network pays, read off a run: who looks at whom, layer by layer and head by head.

Fused kernels return no weights: a transformers network is switched to its plain ("eager") way for the run and back.
Of other networks every `torch.nn.MultiheadAttention` is asked for its weights, and what goes into torch's fused kernel
elsewhere is taken for softmax(Q Kᵀ scale + mask) on the way; the kernel itself runs as it would.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from analysis.attribution.sample_run import SampleRun, repeated
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
        training = [m for m in module.modules() if m.training]
        way = getattr(getattr(module, "config", None), "_attn_implementation", None)
        module.eval()
        try:
            found = _told(run, module) if hasattr(module, "set_attn_implementation") else _hooked(run, module)
        finally:
            for part in training:
                part.training = True
            if way and hasattr(module, "set_attn_implementation"):
                module.set_attn_implementation(way)
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
    if not any(isinstance(layer, torch.nn.MultiheadAttention) for layer in module.modules()):
        with fused_weights(found):
            _forward(run, module)
        return found

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
        _forward(run, module)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _forward(run: SampleRun, module) -> None:
    given = repeated(run.inputs, 1)  # which may be worked on in place
    run.loaded.call(module, given) if run.loaded.call else run.loaded.run(given)


def fused_weights(found: list):
    """A block in which the weights of every call of the fused kernel are added to `found`."""
    import torch

    class Watching(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            if function is torch.nn.functional.scaled_dot_product_attention:
                with torch._C.DisableTorchFunction():
                    found.append(weights_of_kernel(*args, **(kwargs or {})))
            return function(*args, **(kwargs or {}))

    return Watching()


def weights_of_kernel(
    query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, *, scale=None, enable_gqa=False
):
    """(b, heads, tokens, tokens) that the fused kernel of this signature uses."""
    import torch

    if enable_gqa:
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], dim=-3)
    scores = query @ key.transpose(-2, -1) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, -torch.inf)
    elif attn_mask is not None:
        scores = scores + attn_mask
    return scores.softmax(dim=-1).detach()


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
