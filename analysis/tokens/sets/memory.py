"""What places of a frame read of a bank of earlier frames, and how old that is.

    W_pj = softmax_j s_pj / τ        s = -|q_p - k_j|² / √d,   q_p · k_j / √d,   or their cosine

over the tokens j of the memory. By distance a token that is in the memory itself is read most; by dot products a longer
token may be read instead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.spec import param
from analysis.tokens.sets.clips import CLIP_HELP, FRAME_HELP, FRAMES_HELP, Clip

DISTANCE, DOT, COSINE = "squared distance", "dot product", "cosine"
AFFINITIES = (DISTANCE, DOT, COSINE)
BEFORE, OTHERS, ALL = "frames before", "all other frames", "all frames, its own too"
BANKS = (BEFORE, OTHERS, ALL)


@dataclass(frozen=True)
class MemoryParams:
    """What every question about a memory asks for."""

    affinity: str = param(
        DISTANCE, "What is compared: by dot products long tokens are read more.", choices=AFFINITIES
    )
    temperature: float = param(1.0, "τ of the softmax; the papers' is 1.", low=1e-4, high=1e4)
    memory: str = param(BEFORE, "Which frames are in the memory bank.", choices=BANKS)
    every: int = param(1, "Only every so manieth frame is kept in the bank.", low=1, high=1000)
    strongest: int | None = param(
        None, "Only so many strongest tokens are read; automatic: all.", low=1, high=1_000_000, late=True
    )
    window: int = param(3, "Rows and columns around a place that local attention would see.", low=0, high=512)
    local: bool = param(False, "Read inside that window only.")
    clip: str | None = param(None, CLIP_HELP, column=True, late=True)
    frame: str | None = param(None, FRAME_HELP, column=True, late=True)
    frames: int | None = param(None, FRAMES_HELP, low=2, high=100_000, late=True)


def affinities(query: np.ndarray, memory: np.ndarray, kind: str) -> np.ndarray:
    """(m, N) scores of queries (m, d) and memory tokens (N, d)."""
    if kind == COSINE:
        query, memory = _unit(query), _unit(memory)
        return query @ memory.T
    root = np.sqrt(query.shape[1])
    if kind == DOT:
        return query @ memory.T / root
    middle = memory.mean(axis=0)
    q, k = query - middle, memory - middle  # a common offset would cancel in the last digits
    square = np.square(q).sum(1)[:, None] + np.square(k).sum(1) - 2 * q @ k.T
    return -np.maximum(square, 0.0) / root


def _unit(x: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(length > 0, length, 1.0)


def read(
    scores: np.ndarray, temperature: float, may: np.ndarray | None = None, most: int | None = None
) -> np.ndarray:
    """(m, N) softmax over what `may` (m or 1, N) be read, of it the `most` strongest; rows without any are 0."""
    s = scores / temperature
    if may is not None:
        s = np.where(may, s, -np.inf)
    if most is not None and most < s.shape[1]:
        least = np.partition(s, -most, axis=1)[:, -most][:, None]
        s = np.where(s >= least, s, -np.inf)
    top = s.max(axis=1, keepdims=True)
    with np.errstate(under="ignore"):
        w = np.exp(s - np.where(np.isfinite(top), top, 0.0))
    total = w.sum(axis=1, keepdims=True)
    return w / np.where(total > 0, total, 1.0)


def bank(frames: int, at: int, which: str, every: int) -> np.ndarray:
    """Rising numbers of the frames that frame `at` may read: every so manieth, counted from the first."""
    held = np.arange(0, frames, every)
    if which == BEFORE:
        return held[held < at]
    return held[held != at] if which == OTHERS else np.union1d(held, [at])


def near(grid: tuple[int, int], places: np.ndarray, radius: int) -> np.ndarray:
    """(m, P) bool: patches at most `radius` rows and columns from each of these places."""
    r, c = np.divmod(np.arange(grid[0] * grid[1]), grid[1])
    return (np.abs(r[places][:, None] - r) <= radius) & (np.abs(c[places][:, None] - c) <= radius)


def apart(grid: tuple[int, int], places: np.ndarray) -> np.ndarray:
    """(m, P) distance of patches from each of these places, in patches."""
    r, c = np.divmod(np.arange(grid[0] * grid[1]), grid[1])
    return np.hypot(r[places][:, None] - r, c[places][:, None] - c)


def read_frames(clip: Clip, query: np.ndarray, held: np.ndarray, params, places=None) -> np.ndarray:
    """(m, M, P) what queries (m, d) read of the frames `held` (M,); with `params.window` only around their `places`
    (m,). `params` has affinity, temperature, strongest, window and local."""
    memory, there = clip.x[held].reshape(-1, clip.x.shape[2]), clip.present[held].reshape(1, -1)
    if params.local and places is not None and clip.grid is not None:
        there = there & np.tile(near(clip.grid, places, params.window), (1, len(held)))
    w = read(affinities(query, memory, params.affinity), params.temperature, there, params.strongest)
    return w.reshape(len(query), len(held), clip.patches)


def even(clip: Clip, held: np.ndarray, params=None, places: np.ndarray | None = None) -> np.ndarray:
    """(m, M, P) what the tokens of these frames would get from each of the `places` (m,) were all that it may read
    read alike; one for all, (1, M, P), where no window keeps any back."""
    there = clip.present[held].astype(np.float64)[None]
    if params is not None and params.local and places is not None and clip.grid is not None:
        there = there * near(clip.grid, places, params.window)[:, None, :]
    total = there.sum(axis=(1, 2), keepdims=True)
    return there / np.where(total > 0, total, 1.0)
