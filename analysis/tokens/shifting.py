"""The same sample a little further on: a picture moved by some pixels, or tokens in a row moved on by one place."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from analysis.tokens.dump import AMONG, TokenDump

RIGHT, LEFT, DOWN, UP = "right", "left", "down", "up"
DIRECTIONS = (RIGHT, LEFT, DOWN, UP)


def moved_picture(inputs, pixels: int, direction: str):
    """Prepared inputs with their pictures (B, channels, height, width) moved, edges repeated; None where there is no
    picture among them."""
    if isinstance(inputs, Mapping):
        moved = {k: _moved(x, pixels, direction) for k, x in inputs.items() if _is_picture(x)}
        return {**inputs, **moved} if moved else None
    return _moved(inputs, pixels, direction) if _is_picture(inputs) else None


def _is_picture(x) -> bool:
    return getattr(x, "ndim", 0) == 4 and x.shape[1] in (1, 3) and x.is_floating_point()


def _moved(x, pixels: int, direction: str):
    import torch

    axis = 3 if direction in (RIGHT, LEFT) else 2
    step = pixels if direction in (RIGHT, DOWN) else -pixels
    at = (torch.arange(x.shape[axis]) - step).clamp(0, x.shape[axis] - 1)
    return x.index_select(axis, at)


def moved_rows(dump: TokenDump) -> tuple[TokenDump, np.ndarray]:
    """(the dump with the free tokens of each sample moved on by one place, the last of them first; (B, T) where each
    token now stands)."""
    free = dump.layout.free
    came = np.broadcast_to(np.arange(free.shape[1]), free.shape).copy()  # from where
    went = came.copy()
    for b in range(len(free)):
        at = np.flatnonzero(free[b])
        came[b, at], went[b, np.roll(at, 1)] = np.roll(at, 1), at
    known: dict = {}  # layers that are one array stay one

    def taken(x: np.ndarray, name: str) -> np.ndarray:
        both = name.endswith(AMONG)
        key = (x.__array_interface__["data"][0], x.shape, both)
        if key not in known:
            known[key] = _taken(x, came, both)
        return known[key]

    layers = {name: [taken(x, name) for x in values] for name, values in dump.recorded.items()}
    return TokenDump(dump.layout, layers), went


def _taken(x: np.ndarray, came: np.ndarray, both: bool) -> np.ndarray:
    at = came if x.ndim == 3 else came[:, None]
    out = np.take_along_axis(x, at[..., None], axis=-2)
    return np.take_along_axis(out, at[..., None, :], axis=-1) if both else out
