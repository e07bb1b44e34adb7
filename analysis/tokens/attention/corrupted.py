"""The same samples a little spoiled: inputs with noise, blur, less contrast, or parts that have changed places.

    noise         x + s σ ε, σ the standard deviation of the sample, ε standard normal; s = 0.25, 0.5, 1
    blur          means over 3, 5, 9 neighbours (of pictures in both directions)
    contrast      mean + c (x - mean); c = 0.6, 0.35, 0.15
    swapped       10, 25, 50 % of the pixels, words or values have changed places among themselves

Words can only be swapped. Each sample has its own draws, the same whenever it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from analysis.errors import InputError
from analysis.spec import Progress
from analysis.tokens.attention.heads import HeadReader, recorded_heads

NOISE, BLUR, CONTRAST, SWAPPED = "noise", "blur", "less contrast", "swapped parts"
KINDS = (NOISE, BLUR, CONTRAST, SWAPPED)
SEVERITIES = (1, 2, 3)
AMOUNTS = {NOISE: (0.25, 0.5, 1.0), BLUR: (3, 5, 9), CONTRAST: (0.6, 0.35, 0.15), SWAPPED: (0.1, 0.25, 0.5)}


def spoiled(
    x: np.ndarray, kind: str, severity: int, rng: np.random.Generator, axes: tuple[int, ...]
) -> np.ndarray:
    """x of one sample, any shape; `axes` are those of places (rows and columns of a picture, or tokens)."""
    amount = AMOUNTS[kind][severity - 1]
    if kind == NOISE:
        return x + amount * x.std() * rng.standard_normal(x.shape)
    if kind == CONTRAST:
        return x.mean() + amount * (x - x.mean())
    if kind == SWAPPED:
        return swapped(x, amount, rng, axes)
    for axis in axes:
        x = _blurred(x, int(amount), axis)
    return x


def swapped(x: np.ndarray, share: float, rng: np.random.Generator, axes: tuple[int, ...]) -> np.ndarray:
    """A share of the places of x has changed places among themselves, at random."""
    moved = np.moveaxis(x, axes, range(len(axes)))
    flat = moved.reshape(-1, *moved.shape[len(axes) :]).copy()
    chosen = rng.permutation(len(flat))[: max(round(share * len(flat)), 2)]
    flat[chosen] = flat[np.roll(chosen, 1)]
    return np.moveaxis(flat.reshape(moved.shape), range(len(axes)), axes)


def _blurred(x: np.ndarray, window: int, axis: int) -> np.ndarray:
    """Means over neighbours, the ends repeated."""
    half = min(window // 2, x.shape[axis] - 1)
    width = [(half + 1, half) if a == axis else (0, 0) for a in range(x.ndim)]
    total = np.cumsum(np.pad(x, width, mode="edge"), axis=axis)
    high, low = (np.take(total, np.arange(x.shape[axis]) + s, axis=axis) for s in (2 * half + 1, 0))
    return (high - low) / (2 * half + 1)


def spoiler(kind: str, severity: int, seed: int) -> Callable:
    """(prepared inputs, places) -> the same inputs spoiled."""

    def changed(inputs, places):
        if not isinstance(inputs, Mapping):
            return _floats(inputs, places)
        mask, out = inputs.get("attention_mask"), dict(inputs)
        for name, x in inputs.items():
            if name == "input_ids":
                out[name] = _words(x, places, mask)
            elif x.is_floating_point():
                out[name] = _floats(x, places)
        return out

    def _floats(x, places):
        import torch

        axes = (-2, -1) if x.ndim == 4 else (0,) if x.ndim > 1 else ()
        made = [
            spoiled(one.double().numpy(), kind, severity, np.random.default_rng([seed, int(p)]),
                    tuple(a % one.ndim for a in axes))
            for one, p in zip(x, places, strict=True)
        ]  # fmt: skip
        return torch.from_numpy(np.stack(made)).to(x.dtype)

    def _words(x, places, mask):
        import torch

        out = x.clone()
        for b, p in enumerate(places):
            there = mask[b].bool() if mask is not None else x[b] == x[b]
            share, rng = AMOUNTS[SWAPPED][severity - 1], np.random.default_rng([seed, int(p)])
            out[b, there] = torch.from_numpy(swapped(x[b, there].numpy(), share, rng, (0,)))
        return out

    return changed


def spoiled_heads(reader: HeadReader, kind: str, severity: int, seed: int, progress: Progress) -> HeadReader:
    """The heads of the same samples, spoiled. Raises InputError of a dump: what they would have given is not known."""
    if getattr(reader.who, "is_network", False):
        change = spoiler(kind, severity, seed)
        return recorded_heads(reader.who, reader.places, reader.weights is None, progress, change)
    if getattr(reader.who, "recorded", False):
        raise InputError(
            f"{reader.what}, which no network can be asked for again",
            "a network that can be run on spoiled samples",
            "Ask for the atlas of attention, which needs no spoiled samples",
        )
    x = reader.queries[0].astype(np.float64).copy()
    for b, there in enumerate(reader.layout.present):
        at = np.flatnonzero(there)[1:]  # the first is their mean
        rows = spoiled(x[b, 0, at], kind, severity, np.random.default_rng([seed, b]), (0,))
        x[b, 0, at], x[b, 0, 0] = rows, rows.mean(axis=0)
    progress(1.0, "spoiling rows")
    return replace(reader, queries=[x], keys=[x])


def takes_words_alone(reader: HeadReader) -> bool:
    """Whether samples are words, which can only be swapped."""
    return bool(getattr(reader.who, "is_network", False) and reader.who.opened.of_text)
