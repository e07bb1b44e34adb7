"""The words nearest to a vector, by cosine, block by block of the table; and how far words lie from each other."""

from __future__ import annotations

import numpy as np

AMONG, BLOCK = 2000, 4096  # words tried; words held at once


def nearest(p: np.ndarray, unit: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """((m, k) words, (m, k) cosines, falling) of vectors p (m, d) among directions (V, d)."""
    size = np.linalg.norm(p, axis=1, keepdims=True)
    p = p / np.where(size > 0, size, 1.0)
    top, at = np.full((len(p), 0), -np.inf), np.zeros((len(p), 0), int)
    for start in range(0, len(unit), BLOCK):
        part = p @ unit[start : start + BLOCK].T
        numbers = np.broadcast_to(np.arange(start, start + part.shape[1]), part.shape)
        top, at = np.concatenate([top, part], axis=1), np.concatenate([at, numbers], axis=1)
        order = np.argsort(-top, axis=1, kind="stable")[:, :k]
        top, at = np.take_along_axis(top, order, 1), np.take_along_axis(at, order, 1)
    return at, top


def usual_distance(table: np.ndarray, rng: np.random.Generator) -> float:
    """Median distance of a word to its nearest other, of at most 2,000 words."""
    some = rng.permutation(len(table))[:AMONG] if len(table) > AMONG else np.arange(len(table))
    found = []
    for i in some:
        square = np.square(table - table[i]).sum(axis=1)
        square[i] = np.inf
        found.append(np.sqrt(square.min()))
    return max(float(np.median(found)), 1e-12)


def usual_of(words: int) -> tuple[str, ...]:
    """Of how many words that is, where it is not of all."""
    return (f"How far words lie apart is of {AMONG:,} of {words:,}, at random.",) if words > AMONG else ()
