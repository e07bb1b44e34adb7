"""The parts of a pre-norm transformer block, by the names that libraries give them.

    x ← x + s₁ · attention(norm₁ x);   x ← x + s₂ · mlp(norm₂ x)

s₁, s₂ being learned scales where the block has them. A block of other parts (norms behind, attention and MLP side by
side, a second attention) is not among them.
"""

from __future__ import annotations

from dataclasses import dataclass

from analysis.errors import InputError

# norm₁, attention, norm₂, mlp, and the two scales or ""
KNOWN = (
    ("layernorm_before", "attention", "layernorm_after", "mlp", "", ""),  # ViT, DeiT
    (
        "norm1",
        "attention",
        "norm2",
        "mlp",
        "layer_scale1",
        "layer_scale2",
    ),  # DINOv2 with and without registers
    ("layer_norm1", "self_attn", "layer_norm2", "mlp", "", ""),  # CLIP, SigLIP
    ("ln_1", "attn", "ln_2", "mlp", "", ""),  # GPT-2
    (
        "input_layernorm",
        "self_attn",
        "post_attention_layernorm",
        "mlp",
        "",
        "",
    ),  # Llama, Mistral, Mixtral, Qwen2
    ("norm1", "attn", "norm2", "mlp", "ls1", "ls2"),  # networks of one's own in the manner of timm
    ("norm1", "attn", "norm2", "mlp", "", ""),
)
OTHER_PARTS = ("crossattention", "ln_cross_attn", "cross_attn", "encoder_attn")


@dataclass(frozen=True)
class Block:
    """One block; the modules themselves. `name` as taps have it."""

    name: str
    module: object
    norm1: object
    attention: object
    norm2: object
    mlp: object
    scale1: object = None
    scale2: object = None


def stacks_of(model) -> dict[str, list[Block]]:
    """Every list of known blocks by its name, in the order of the model."""
    import torch

    found: dict[str, list[Block]] = {}
    for name, module in model.named_modules():
        if isinstance(module, (torch.nn.ModuleList, torch.nn.Sequential)) and len(module):
            blocks = [_block(f"{name}.{i}" if name else str(i), child) for i, child in enumerate(module)]
            if all(blocks):
                found[name] = blocks
    return found


def blocks_of(model, stack: str | None = None) -> tuple[str, list[Block]]:
    """The list of blocks called `stack`, or the only one there is, or of several the last that answers come from
    (a text tower behind a picture tower).

    Raises InputError where there is none.
    """
    found = stacks_of(model)
    if stack is not None and stack in found:
        return stack, found[stack]
    if not found or stack is not None:
        raise InputError(
            f"{type(model).__name__} has no stack of transformer blocks" + (f" called '{stack}'" if stack else ""),
            "blocks of a norm, attention, a norm and an MLP (ViT, DeiT, DINOv2, CLIP, SigLIP, GPT-2, Llama, Mixtral, "
            "LLaVA or a network of one's own with the same parts)"
            + (f"; it has {', '.join(found)}" if found else ""),
            "Choose a tap of such a network",
        )  # fmt: skip
    name = list(found)[-1]
    return name, found[name]


def _block(name: str, module) -> Block | None:
    if any(getattr(module, other, None) is not None for other in OTHER_PARTS):
        return None
    for norm1, attention, norm2, mlp, scale1, scale2 in KNOWN:
        parts = [getattr(module, part, None) for part in (norm1, attention, norm2, mlp)]
        scales = [getattr(module, part, None) if part else None for part in (scale1, scale2)]
        if all(callable(p) for p in parts) and (not scale1 or all(callable(s) for s in scales)):
            return Block(name, module, *parts, *scales)
    return None
