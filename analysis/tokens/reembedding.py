"""Embeddings of a tap made again, of samples that have been moved. torch is imported when a network is run."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from analysis.errors import InputError
from analysis.sources.hooked_run import hooked_run, modules_of
from analysis.sources.live_tap import as_rows
from analysis.sources.loaded_model import LoadedModel, logits_of

LOGITS = "outputs.logits"
ROTATE, SCALE, SHIFT = "rotate", "scale", "shift"
WAYS = (ROTATE, SCALE, SHIFT)
ALL, BUT_FIRST, FIRST = "mean of all tokens", "mean of all tokens but the first", "the first token"
POOLS = (ALL, BUT_FIRST, FIRST)


def affine(way: str, amount: float) -> tuple[np.ndarray, np.ndarray]:
    """((2, 2), (2,)): where the content at a place of the moved picture came from, in half widths from the middle.

    Rotation by `amount` degrees clockwise, scaling by 1 + `amount`, a shift to the right by `amount` widths.
    """
    if way == ROTATE:
        a = np.radians(amount)
        return np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]]), np.zeros(2)
    if way == SCALE:
        return np.eye(2) / (1 + amount), np.zeros(2)
    return np.eye(2), np.array([-2.0 * amount, 0.0])


def warped(grid: np.ndarray, way: str, amount: float) -> np.ndarray:
    """(n, height, width, c) moved, bilinear, edges repeated; the same numbers for `amount` 0."""
    turn, off = affine(way, amount)
    _, h, w, _ = grid.shape
    y, x = np.meshgrid(np.arange(h) - (h - 1) / 2, np.arange(w) - (w - 1) / 2, indexing="ij")
    place = np.stack([x, y], axis=-1) @ turn.T + off * np.array([w, h]) / 2
    px = np.clip(place[..., 0] + (w - 1) / 2, 0, w - 1)
    py = np.clip(place[..., 1] + (h - 1) / 2, 0, h - 1)
    x0, y0 = np.minimum(px.astype(int), max(w - 2, 0)), np.minimum(py.astype(int), max(h - 2, 0))
    x1, y1 = np.minimum(x0 + 1, w - 1), np.minimum(y0 + 1, h - 1)
    fx, fy = (px - x0)[..., None], (py - y0)[..., None]
    top = grid[:, y0, x0] * (1 - fx) + grid[:, y0, x1] * fx
    low = grid[:, y1, x0] * (1 - fx) + grid[:, y1, x1] * fx
    return top * (1 - fy) + low * fy


def moved_inputs(inputs, way: str, amount: float):
    """Prepared inputs with their pictures (B, channels, height, width) moved; None where there is none."""
    import torch

    def moved(x):
        found = warped(x.double().permute(0, 2, 3, 1).numpy(), way, amount)
        return torch.from_numpy(found).permute(0, 3, 1, 2).to(x.dtype).contiguous()

    if isinstance(inputs, Mapping):
        new = {k: moved(x) for k, x in inputs.items() if _is_picture(x)}
        return {**inputs, **new} if new else None
    return moved(inputs) if _is_picture(inputs) else None


def _is_picture(x) -> bool:
    return getattr(x, "ndim", 0) == 4 and x.shape[1] in (1, 3) and x.is_floating_point()


def embedded(loaded: LoadedModel, tap: str, inputs, pooled: str = ALL) -> np.ndarray:
    """(b, d) float64 of what the module `tap` gives, or of the logits, its tokens `pooled` by one of `POOLS`.

    Raises NotFound where there is no such module, InputError where it gives no rows of samples.
    """
    catch = [] if tap == LOGITS else [tap]
    modules_of(loaded.module, catch)
    with hooked_run(loaded.module, catch) as caught:
        raw = loaded.call(loaded.module, inputs) if loaded.call else loaded.run(inputs)
    x = caught[tap] if catch else logits_of(raw)
    b = len(next(iter(inputs.values())) if isinstance(inputs, Mapping) else inputs)
    if x is None or len(x) != b:
        raise InputError(
            f"'{tap}' gives no row for each of {b} samples", "a module whose output is of samples"
        )
    rows = as_rows(x.double()).reshape(b, -1, x.shape[1] if x.ndim == 4 else x.shape[-1]).numpy()
    if rows.shape[1] == 1:
        return rows[:, 0]
    return {ALL: rows, BUT_FIRST: rows[:, 1:], FIRST: rows[:, :1]}[pooled].mean(axis=1)


def pooled_as(loaded: LoadedModel, tap: str, inputs, stored: np.ndarray) -> str:
    """Which of `POOLS` makes the `stored` (b, d) rows of these inputs; the nearest."""
    far = [float(np.abs(embedded(loaded, tap, inputs, p) - stored).max()) for p in POOLS]
    return POOLS[int(np.argmin(far))]
