"""Attention of one block, computed where we can see it: queries, keys and values as the network makes them, rotary
positions applied, and the weights

    softmax(q k' · scale + mask + log size)

the last term only where tokens have been merged and their sizes are to count. Where nobody wants the weights they are
not made (fused kernel). Networks of transformers call us through the library's own registry of attention functions;
attention of one's own with one projection for queries, keys and values is taken apart here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from analysis.errors import InputError

NAME = "feature_loupe_tokens"
FAR = -1e30  # added to a logit: no weight


@dataclass
class Attended:
    """Of one block: `queries`, `keys`, `values` (B, heads, t, e), keys and values repeated where heads share them,
    `weights` (B, heads, t, t) or None, `scale`, `rotary` (cos, sin) of the current tokens or None."""

    queries: object
    keys: object
    values: object
    weights: object
    scale: float
    rotary: tuple | None = None

    def influence(self):
        """(B, t, t) tensor: mean over heads of weight times length of value, each row divided by its sum: the share of
        what a token takes that comes from each other one. None where the weights were not made."""
        if self.weights is None:
            return None
        taken = (self.weights * self.values.norm(dim=-1)[:, :, None]).mean(dim=1)
        return taken / taken.sum(dim=-1, keepdim=True).clamp(min=1e-30)


class Attending:
    """What one attention module is to do in one pass. `bias(mask, queries)` gives what is added to the logits, or None;
    `wanted` : whether the weights are to be made. `change(keys, values)` gives what is read in their place. `followed`
    : tokens are taken away in it, so that there have to be as many keys as queries."""

    def __init__(
        self, bias: Callable, wanted: bool, change: Callable | None = None, followed: bool = True
    ) -> None:
        self.bias, self.wanted, self.change, self.followed = bias, wanted, change, followed
        self.done: Attended | None = None

    def __call__(self, query, key, value, mask, scale: float):
        """(B, t, heads, e) the means of the values."""
        import torch

        if key.shape[1] != query.shape[1]:
            groups = query.shape[1] // key.shape[1]
            key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
        if self.followed and key.shape[2] != query.shape[2]:
            raise InputError(
                f"attention of {query.shape[2]} queries to {key.shape[2]} keys",
                "as many keys as queries: each token asks, and each is read",
                "Attention to pooled keys or to another sequence is not taken apart",
            )  # fmt: skip
        if self.change is not None:
            key, value = self.change(key, value)
        bias, weights = self.bias(mask, query), None
        if self.wanted:
            logits = (query @ key.transpose(2, 3)) * scale
            weights = torch.softmax((logits if bias is None else logits + bias).float(), dim=-1).to(
                query.dtype
            )
            out = weights @ value
        else:
            out = torch.nn.functional.scaled_dot_product_attention(
                query, key, value, attn_mask=bias, scale=scale
            )
        self.done = Attended(query, key, value, weights, scale)
        return out.transpose(1, 2)


_active: dict[
    int, Attending
] = {}  # by the identity of an attention module, while its model is locked and run


def _registered(module, query, key, value, attention_mask, scaling=None, **others):
    for name in ("softcap", "position_bias", "s_aux"):
        if others.get(name) is not None:
            raise InputError(
                f"attention of {type(module).__name__} with '{name}'", "plain softmax attention",
                "Networks that change the logits of attention are not taken apart",
            )  # fmt: skip
    scale = query.shape[-1] ** -0.5 if scaling is None else float(scaling)
    attend = _active.get(id(module))
    if attend is None:  # attention outside the blocks that are followed, a text tower beside a picture tower
        attend = Attending(lambda mask, _q: mask, wanted=False, followed=False)
    return attend(query, key, value, attention_mask, scale), None


@contextmanager
def followed(model, attention: dict[int, object]) -> Iterator[dict[int, Attending]]:
    """The attention modules `attention`, by the number of their block, compute through `_active` inside the block; the
    caller puts an Attending there before each. Everything is as before afterwards, also after an exception."""
    configs = (
        {}
        if not attention
        else {
            id(m.config): m.config for m in model.modules() if hasattr(getattr(m, "config", None), "to_dict")
        }
    )
    before = {key: getattr(c, "_attn_implementation", None) for key, c in configs.items()}
    own = [a for a in attention.values() if not hasattr(getattr(a, "config", None), "to_dict")]
    try:
        if configs:
            _register()
            for c in configs.values():
                c._attn_implementation = NAME
        for module in own:
            module.forward = _taken_apart(module)
        yield _active
    finally:
        for module in own:
            vars(module).pop("forward", None)
        for key, c in configs.items():
            c._attn_implementation = before[key]
        for a in attention.values():
            _active.pop(id(a), None)


def _register() -> None:
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, eager_mask

    AttentionInterface.register(NAME, _registered)
    AttentionMaskInterface.register(NAME, eager_mask)


def _taken_apart(module):
    """A forward pass of attention with one projection `qkv` (or `to_qkv`) and one behind it, through `_active`. Where
    the other stands in the module around it, as in TimeSformer, a tuple, as that module expects."""
    joint = getattr(module, "qkv", None) or getattr(module, "to_qkv", None)
    behind = getattr(module, "proj", None) or getattr(module, "to_out", None)
    heads = getattr(module, "num_heads", None) or getattr(module, "heads", None)
    outside = behind is None and sum(1 for m in module.modules() if hasattr(m, "in_features")) == 1
    if joint is None or not (behind or outside) or not heads:
        raise InputError(
            f"attention of {type(module).__name__} without the parts 'qkv', 'proj' and 'num_heads'",
            "those parts (or 'to_qkv', 'to_out', 'heads'), or a network of the transformers library",
            "Give the attention module these names",
        )  # fmt: skip

    def forward(x, *_args, **_kwargs):
        b, t = x.shape[:2]
        query, key, value = joint(x).reshape(b, t, 3, int(heads), -1).permute(2, 0, 3, 1, 4)
        norms = getattr(module, "q_norm", None), getattr(module, "k_norm", None)
        query, key = (x if norm is None else norm(x) for norm, x in zip(norms, (query, key), strict=True))
        out = _active[id(module)](
            query, key, value, None, float(getattr(module, "scale", query.shape[-1] ** -0.5))
        )
        out = out.reshape(b, t, -1)
        return (out,) if outside else behind(out)

    return forward
