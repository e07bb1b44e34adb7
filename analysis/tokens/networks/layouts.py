"""What the tokens of a network are: class tokens, registers, patches on a grid, text, padding."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import numpy as np

from analysis.sources.hugging_face_videos import PATCH_FIRST
from analysis.sources.token_types import CLASS as TYPED_CLASS
from analysis.sources.token_types import PATCH as TYPED_PATCH
from analysis.sources.token_types import TokenTypes, fitting
from analysis.tokens.networks.mean_head import reads_the_first
from analysis.tokens.view import CLASS, PADDING, PATCH, REGISTER, TEXT, TokenLayout

MOST_LEADING = 64  # class token, registers and prompts together
CLASS_NAME = re.compile(r"cls|class_?(token|emb)")


def layout_of(model, stack: str, inputs, tokens: int, types: Iterable[str] = ()) -> TokenLayout:
    """Of the `tokens` that the first block of `stack` is given for prepared `inputs` (tensor or mapping of tensors).

    Patches may be removed; in a network of text only, every token but the first and the last of a sample may. How many
    patches there are is read off the layer that cuts the picture; the tokens before them are a class token, if the
    network has one, and registers or prompts. Without such a layer the patches are the most that lie like the picture,
    and where there is no picture the first token is a class token if a parameter is named like one. Of pictures
    `types`, the token-type maps that were said when they were recorded, go before all that: where the counts of one add
    up to the tokens, its patches alone may be removed.
    """
    given = inputs if isinstance(inputs, Mapping) else {}
    b = len(next(iter(given.values())) if given else inputs)
    words = given.get("input_ids")
    vision = "vision" in stack or words is None
    if words is not None and not vision and words.shape[1] == tokens:
        return _of_text(model, given, words)
    pixels = given.get("pixel_values", None if given else inputs)
    turned = _patch_by_patch(model, pixels, tokens)
    if turned is not None:
        return turned
    said = fitting(types, tokens)
    if said is not None:
        return _of_types(said, b)
    volume = _volume(model, pixels, tokens)
    leading, grid = volume[:2] if volume else _leading(model, stack, pixels, tokens)
    kinds = np.full((b, tokens), PATCH)
    kinds[:, :leading] = REGISTER
    if leading == 1 or (leading and _has_class(model)):
        kinds[:, 0] = CLASS
    cell = np.where(np.arange(tokens) < leading, -1, np.arange(tokens) - leading)
    free = kinds == PATCH
    if not leading and reads_the_first(model):
        free[:, 0] = False
    return TokenLayout(kinds, free, np.broadcast_to(cell, kinds.shape).copy(), grid,
                       frames=volume[2] if volume else 1)  # fmt: skip


def _patch_by_patch(model, pixels, tokens: int) -> TokenLayout | None:
    """Of networks that go through the frames of a patch, then to the next patch, behind a class token; None of others.
    Cells are those of the frames one below the other, as such taps are kept."""
    shape = tuple(getattr(pixels, "shape", ()))
    if len(shape) != 5 or getattr(getattr(model, "config", None), "model_type", "") not in PATCH_FIRST:
        return None
    patch = np.broadcast_to(getattr(model.config, "patch_size", 0), (2,))
    rows, columns = (int(n // max(s, 1)) for n, s in zip(shape[3:], patch, strict=True))
    frames = shape[1]
    if tokens != 1 + frames * rows * columns:
        return None
    place, frame = np.divmod(np.arange(tokens - 1), frames)
    cell = np.concatenate([[-1], frame * rows * columns + place])
    kinds = np.broadcast_to(np.where(cell < 0, CLASS, PATCH), (shape[0], tokens)).copy()
    return TokenLayout(kinds, kinds == PATCH, np.broadcast_to(cell, kinds.shape).copy(), (frames * rows, columns),
                       frames=frames)  # fmt: skip


def _volume(model, pixels, tokens: int) -> tuple[int, tuple[int, int], int] | None:
    """(tokens before the patches, grid of all frames, one below the other, frames) of clips (b, frames, c, h, w) that a
    convolution over three axes cuts."""
    import torch

    shape = tuple(getattr(pixels, "shape", ()))
    for m in model.modules() if len(shape) == 5 else ():
        if isinstance(m, torch.nn.Conv3d) and tuple(m.kernel_size) == tuple(m.stride) and max(m.stride) > 1:
            frames, rows, columns = (n // s for n, s in zip((shape[1], *shape[3:]), m.stride, strict=True))
            if 0 <= tokens - frames * rows * columns <= MOST_LEADING:
                return tokens - frames * rows * columns, (frames * rows, columns), frames
    return None


def _of_types(types: TokenTypes, b: int) -> TokenLayout:
    """In the network's own order of tokens."""
    kinds, cell = np.full((b, types.tokens), REGISTER), np.full((b, types.tokens), -1)
    for kind, first, count in types.parts:
        if kind == TYPED_PATCH:
            kinds[:, first : first + count], cell[:, first : first + count] = PATCH, np.arange(count)
        elif kind == TYPED_CLASS:
            kinds[:, first] = CLASS
    return TokenLayout(kinds, kinds == PATCH, cell, types.grid)


def _leading(model, stack: str, pixels, tokens: int) -> tuple[int, tuple[int, int] | None]:
    """(tokens before the patches, rows and columns of the patches or None)."""
    cut = _cut(model, stack, pixels)
    if cut is not None and 0 <= tokens - cut[0] * cut[1] <= MOST_LEADING:
        return tokens - cut[0] * cut[1], cut
    if len(getattr(pixels, "shape", ())) > 2:
        for leading in range(min(MOST_LEADING, tokens)):
            grid = _grid(pixels, tokens - leading, exactly=True)
            if grid is not None and min(grid) > 1:
                return leading, grid
    leading = int(_has_class(model))
    return leading, _grid(pixels, tokens - leading)


def _cut(model, stack: str, pixels) -> tuple[int, int] | None:
    """Rows and columns that the layer which makes patches of a picture gives: the first convolution over it whose side
    is its stride, in the part of the model that the stack belongs to."""
    import torch

    shape = tuple(getattr(pixels, "shape", ()))
    if len(shape) < 4:
        return None
    near = stack.split(".")[0] + "." if "." in stack else ""
    layers = [(n, m) for n, m in model.named_modules() if isinstance(m, torch.nn.Conv2d)]
    for _, m in sorted(layers, key=lambda item: not item[0].startswith(near)):
        if m.in_channels == shape[1] and tuple(m.kernel_size) == tuple(m.stride) and min(m.stride) > 1:
            return shape[2] // m.stride[0], shape[3] // m.stride[1]
    return None


def _has_class(model) -> bool:
    """Whether a parameter is named like a class token."""
    return any(CLASS_NAME.search(name.lower()) for name, _ in model.named_parameters())


def _grid(pixels, patches: int, exactly: bool = False) -> tuple[int, int] | None:
    """(rows, columns) of the patches, of the proportions of the picture; `exactly` its own."""
    shape = tuple(getattr(pixels, "shape", ()))
    high, wide = shape[-2:] if len(shape) >= 3 else (1, 1)
    rows = round((patches * high / max(wide, 1)) ** 0.5)
    if not rows or rows * (patches // rows) != patches:
        return None
    grid = rows, patches // rows
    return None if exactly and grid[0] * wide != grid[1] * high else grid


def _of_text(model, given, words) -> TokenLayout:
    ids = words.detach().cpu().numpy()
    mask = given.get("attention_mask")
    there = np.ones(ids.shape, bool) if mask is None or mask.ndim != 2 else mask.detach().cpu().numpy() > 0
    config = getattr(model, "config", None)
    image = getattr(config, "image_token_id", None) or getattr(config, "image_token_index", None)
    kinds = np.where(there, TEXT, PADDING)
    cell, grid, frames, free = np.full(ids.shape, -1), None, 1, None
    if image is not None and (ids == image).any():
        pictured = there & (ids == image)
        kinds[pictured] = PATCH
        cell = np.where(pictured, np.cumsum(pictured, axis=1) - 1, -1)
        grid, frames = _of_pictures(model, given.get("pixel_values"), pictured)
        free = pictured
    else:
        first, last = there.argmax(axis=1), there.shape[1] - 1 - there[:, ::-1].argmax(axis=1)
        every = np.arange(there.shape[1])
        free = there & (every > first[:, None]) & (every < last[:, None])
    return TokenLayout(kinds, free, cell, grid, causal=True, frames=frames)


def _of_pictures(model, pixels, pictured: np.ndarray) -> tuple[tuple[int, int] | None, int]:
    """(grid, pictures of a sample) of the tokens `pictured` (B, T) of pictures among words, one grid below the other;
    (None, 1) where samples differ in their number."""
    counts, shape = set(pictured.sum(axis=1).tolist()), tuple(getattr(pixels, "shape", ()))
    if len(counts) != 1 or len(shape) != 4 or shape[0] % len(pictured):
        return None, 1
    count, frames = counts.pop(), max(shape[0] // len(pictured), 1)
    if count % frames:
        return None, 1
    one = _cut(model, "", pixels)
    if one is None or one[0] * one[1] != count // frames:
        one = _grid(pixels, count // frames)
    return (None, 1) if one is None else ((one[0] * frames, one[1]), frames)
