"""What the tokens of a network are: class tokens, registers, patches on a grid, text, padding."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from analysis.tokens.view import CLASS, PADDING, PATCH, REGISTER, TEXT, TokenLayout


def layout_of(model, stack: str, inputs, tokens: int) -> TokenLayout:
    """Of the `tokens` that the first block of `stack` is given for prepared `inputs` (tensor or mapping of tensors).

    Patches may be removed; in a network of text only, every token but the first and the last of a sample may. A network
    that is not of the transformers library and gets pictures has a class token first if its tokens are one more than a
    square.
    """
    given = inputs if isinstance(inputs, Mapping) else {}
    b = len(next(iter(given.values())) if given else inputs)
    config = _config_of(model, stack)
    words = given.get("input_ids")
    vision = "vision" in stack or words is None
    if words is not None and not vision and words.shape[1] == tokens:
        return _of_text(model, given, words)
    leading = _leading(config, tokens)
    kinds = np.full((b, tokens), PATCH)
    kinds[:, : min(leading, 1)] = CLASS
    kinds[:, 1:leading] = REGISTER
    grid = _grid(given.get("pixel_values", None if given else inputs), tokens - leading)
    cell = np.where(np.arange(tokens) < leading, -1, np.arange(tokens) - leading)
    return TokenLayout(kinds, kinds == PATCH, np.broadcast_to(cell, kinds.shape).copy(), grid)


def _config_of(model, stack: str):
    """The configuration of the part of the model that the stack belongs to."""
    found, module = getattr(model, "config", None), model
    for name in stack.split(".") if stack else ():
        module = module[int(name)] if name.isdigit() else getattr(module, name)
        found = getattr(module, "config", None) or found
    return found


def _leading(config, tokens: int) -> int:
    """Tokens before the patches."""
    kind = str(getattr(config, "model_type", "") or "")
    if kind == "deit":
        return 2  # class and distillation
    if "dinov2" in kind:
        return 1 + int(getattr(config, "num_register_tokens", 0) or 0)
    if "siglip" in kind:
        return 0
    return 0 if int(tokens**0.5) ** 2 == tokens else 1


def _grid(pixels, patches: int) -> tuple[int, int] | None:
    """(rows, columns) of the patches, of the proportions of the picture."""
    shape = tuple(getattr(pixels, "shape", ()))
    high, wide = shape[-2:] if len(shape) >= 3 else (1, 1)
    rows = round((patches * high / max(wide, 1)) ** 0.5)
    return (rows, patches // rows) if rows and rows * (patches // rows) == patches else None


def _of_text(model, given, words) -> TokenLayout:
    ids = words.detach().cpu().numpy()
    mask = given.get("attention_mask")
    there = np.ones(ids.shape, bool) if mask is None or mask.ndim != 2 else mask.detach().cpu().numpy() > 0
    config = getattr(model, "config", None)
    image = getattr(config, "image_token_id", None) or getattr(config, "image_token_index", None)
    kinds = np.where(there, TEXT, PADDING)
    cell, grid, free = np.full(ids.shape, -1), None, None
    if image is not None and (ids == image).any():
        pictured = there & (ids == image)
        kinds[pictured] = PATCH
        cell = np.where(pictured, np.cumsum(pictured, axis=1) - 1, -1)
        counts = set(pictured.sum(axis=1).tolist())
        grid = _grid(given.get("pixel_values"), counts.pop()) if len(counts) == 1 else None
        free = pictured
    else:
        first, last = there.argmax(axis=1), there.shape[1] - 1 - there[:, ::-1].argmax(axis=1)
        every = np.arange(there.shape[1])
        free = there & (every > first[:, None]) & (every < last[:, None])
    return TokenLayout(kinds, free, cell, grid, causal=True)
