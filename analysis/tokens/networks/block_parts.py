"""The parts of a pre-norm block, by the names that libraries give them.

    transformer     x ← x + s₁ · attention(norm₁ x);   x ← x + s₂ · mlp(norm₂ x)
    state space     x ← x + scan(norm₁ x)                                              (Mamba, Mamba2)

    divided         x ← x + D attention(norm over time);   x ← x + attention(norm₁ x);   x ← x + mlp(norm₂ x)
                    over the frames of a place, then over the places of a frame                (TimeSformer)

s₁, s₂ being learned scales where the block has them. A block of other parts (norms behind, attention and MLP side by
side, a second attention, attention inside windows) is not among them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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
SCANS = (("norm", "mixer"),)  # norm and selective scan: Mamba, Mamba2
WINDOWED = (
    "window_size",
    "shift_size",
)  # of a block or its attention: tokens read those of their window only
# norm₁, attention around what asks for the kernel, norm₂, and the MLP in two modules; of these kinds alone, as others
# with such parts are read out at places that have to stay (detections, depth)
IN_TWO = ("layernorm_before", "attention", "layernorm_after", "intermediate", "output")
KINDS_IN_TWO = ("videomae", "timesformer")
OVER_TIME = ("temporal_layernorm", "temporal_attention", "temporal_dense")
FRAME_BY_FRAME = "space_only"  # attention of each frame by itself
OTHER_PARTS = ("crossattention", "ln_cross_attn", "cross_attn", "encoder_attn")


@dataclass(frozen=True)
class TwoStepMLP:
    """An MLP that is two modules: `widen` with the non-linearity, `narrow` whose layer `dense` comes behind."""

    widen: object
    narrow: object

    def __call__(self, x):
        return self.narrow.dense(self.widen(x))

    def parameters(self):
        return [*self.widen.parameters(), *self.narrow.parameters()]


@dataclass(frozen=True)
class Block:
    """One block; the modules themselves. `name` as taps have it. Of a block that scans `attention` is its scan, and
    there is no MLP. `around` : the module that is called for attention, where it is not the one that asks for the
    kernel. `over_time` : norm, attention and projection over the frames of a place, of a divided block."""

    name: str
    module: object
    norm1: object
    attention: object
    norm2: object = None
    mlp: object = None
    scale1: object = None
    scale2: object = None
    around: object = None
    over_time: tuple | None = None

    @property
    def scans(self) -> bool:
        return self.mlp is None

    @property
    def divided(self) -> bool:
        """Whether it reads time and space in turn."""
        return self.over_time is not None

    @property
    def called(self) -> object:
        """What is called for attention."""
        return self.around or self.attention


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
    if not found and (windowed := _windowed(model)):
        raise InputError(
            f"{type(model).__name__} has attention in windows ({windowed})",
            "blocks in which every token reads all others: a token taken away would leave a hole in its window",
            "Its tokens cannot be taken away; the rows of its taps stand for tokens instead",
        )  # fmt: skip
    if not found and getattr(getattr(model, "config", None), "attention_type", "") == FRAME_BY_FRAME:
        raise InputError(
            f"{type(model).__name__} runs each frame by itself and answers for each",
            "a clip whose frames read each other",
            "Record its frames as pictures with a network for pictures",
        )
    if not found or stack is not None:
        raise InputError(
            f"{type(model).__name__} has no stack of transformer blocks" + (f" called '{stack}'" if stack else ""),
            "blocks of a norm, attention, a norm and an MLP (ViT, DeiT, DINOv2, CLIP, SigLIP, GPT-2, Llama, Mixtral, "
            "LLaVA, ViViT, VideoMAE, TimeSformer, one's own with the same parts), or of a norm and a scan (Mamba)"
            + (f"; it has {', '.join(found)}" if found else ""),
            "Choose a tap of such a network",
        )  # fmt: skip
    name = list(found)[-1]
    return name, found[name]


def _windowed(model) -> str:
    """The first module with windows and their side; "" without any."""
    for name, module in model.named_modules():
        side = getattr(module, "window_size", None)
        if name and side is not None and not callable(side):
            return f"{name}: {side if isinstance(side, int) else ' x '.join(map(str, np.ravel(side)))}"
    return ""


def _block(name: str, module) -> Block | None:
    if any(getattr(module, other, None) is not None for other in OTHER_PARTS):
        return None
    if any(hasattr(m, w) for m in (module, getattr(module, "attn", None)) for w in WINDOWED):
        return None
    for norm1, scan in SCANS:
        parts = getattr(module, norm1, None), getattr(module, scan, None)
        if all(callable(p) for p in parts) and hasattr(parts[1], "A_log"):
            return Block(name, module, *parts)
    for norm1, attention, norm2, mlp, scale1, scale2 in KNOWN:
        parts = [getattr(module, part, None) for part in (norm1, attention, norm2, mlp)]
        scales = [getattr(module, part, None) if part else None for part in (scale1, scale2)]
        if all(callable(p) for p in parts) and (not scale1 or all(callable(s) for s in scales)):
            return Block(name, module, *parts, *scales)
    return _in_two(name, module)


def _in_two(name: str, module) -> Block | None:
    """A block whose attention and MLP are two modules each, of a known kind; None of others."""
    parts = [getattr(module, part, None) for part in IN_TWO]
    inner = getattr(parts[1], "attention", None)
    config = getattr(module, "config", None) or getattr(inner, "config", None)
    if not all(callable(p) for p in (*parts, inner)) or getattr(config, "model_type", "") not in KINDS_IN_TWO:
        return None
    if getattr(module, "attention_type", "") == FRAME_BY_FRAME:
        return None
    norm1, around, norm2, widen, narrow = parts
    time = tuple(getattr(module, part, None) for part in OVER_TIME)
    return Block(name, module, norm1, inner, norm2, TwoStepMLP(widen, narrow), around=around,
                 over_time=time if all(callable(p) for p in time) else None)  # fmt: skip
