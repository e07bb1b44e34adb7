"""A network run with a random share of keys left to every query: attention thinned at random.

Each query of each head keeps ⌈share · m⌉ of the m keys that it may look at, drawn anew; softmax goes over these alone.
Works for networks whose attention goes through the interface of transformers, which is left as it was afterwards. torch
and transformers are imported when a network is run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from analysis.errors import InputError
from analysis.sources.hooked_run import model_lock
from analysis.sources.loaded_model import LoadedModel

NAME = "loupe_thinned"
BLOCKED = 0.5  # of the most negative number: what a mask adds to keys that are not looked at
_now = threading.local()


@dataclass
class Thinning:
    """`share` of the keys, drawn with `generator`; `layers` that were thinned so far. `watch` is given the queries, the
    keys (batch, heads, tokens, width) and the scale of each layer."""

    share: float
    generator: object
    layers: int = 0
    watch: Callable[[object, object, float], None] | None = None


@contextmanager
def thinned(loaded: LoadedModel, share: float, seed: int, watch=None) -> Iterator[Thinning]:
    """Forward passes inside the block are thinned. Raises InputError after it where none was."""
    import torch

    state = Thinning(share, torch.Generator().manual_seed(seed), watch=watch)
    configs = {id(m.config): m.config for m in loaded.module.modules() if hasattr(m, "config")}.values()
    configs = [c for c in configs if hasattr(c, "_attn_implementation")]
    if configs:
        _register()
    with model_lock(loaded.module):
        before = [c._attn_implementation for c in configs]
        try:
            for c in configs:
                c._attn_implementation = NAME
            _now.state = state
            yield state
        finally:
            _now.state = None
            for c, name in zip(configs, before, strict=True):
                c._attn_implementation = name
    if not state.layers:
        raise InputError(
            f"no attention of {type(loaded.module).__name__} can be thinned",
            "a transformer whose attention goes through the interface of transformers", "Choose another network",
        )  # fmt: skip


def kept_keys(allowed, share: float, generator):
    """(…, keys) bool: of the `allowed` (…, keys) ones ⌈share · m⌉ at random in every line."""
    import torch

    many = (allowed.sum(dim=-1, keepdim=True) * share - 1e-9).ceil().clamp(min=1)
    drawn = torch.rand(allowed.shape, generator=generator).masked_fill(~allowed, -1.0)
    rank = drawn.argsort(dim=-1, descending=True).argsort(dim=-1)
    return (rank < many) & allowed


def _thinned_attention(module, query, key, value, attention_mask, scaling=None, dropout=0.0, **kwargs):
    import torch

    state = getattr(_now, "state", None)
    if state is None:
        raise InputError("thinned attention outside of its block", "a run inside it")
    state.layers += 1
    times = query.shape[1] // key.shape[1]
    key, value = (x.repeat_interleave(times, dim=1) if times > 1 else x for x in (key, value))
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if state.watch is not None:
        state.watch(query, key, scale)
    scores = query @ key.transpose(-1, -2) * scale
    allowed = torch.ones_like(scores, dtype=torch.bool)
    if attention_mask is not None:
        mask = attention_mask[..., : scores.shape[-1]]
        if mask.dtype == torch.bool:
            mask = torch.zeros_like(mask, dtype=scores.dtype).masked_fill(
                ~mask, torch.finfo(scores.dtype).min
            )
        scores = scores + mask
        allowed = (mask > BLOCKED * torch.finfo(mask.dtype).min).expand_as(scores)
    if state.share < 1:
        keep = kept_keys(allowed, state.share, state.generator)
        scores = scores.masked_fill(~keep & allowed, torch.finfo(scores.dtype).min)
    weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(value.dtype)
    return (weights @ value).transpose(1, 2).contiguous(), weights


def _register() -> None:
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, eager_mask
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    if NAME not in ALL_ATTENTION_FUNCTIONS.valid_keys():
        type(ALL_ATTENTION_FUNCTIONS).register(NAME, _thinned_attention)
        type(ALL_MASK_ATTENTION_FUNCTIONS).register(NAME, eager_mask)
