"""Signatures of many paths at once, word by word, and how they grow along a path.

A word i₁…i_k over the channels names the iterated integral ∫…∫ dx_{i₁} … dx_{i_k}. Adding a straight step v to a path
is Chen's product with exp(v): S_k ← Σ_{i ≤ k} S_{k-i} ⊗ v^{⊗i} / i!. A step of 0 changes nothing, so that paths of
different lengths go side by side with zeros behind the shorter. There are d + d² + … + d^N words up to level N.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from analysis.errors import TooLarge

MOST_WORDS, MOST_BYTES = 2_000, 1 << 30


def count(d: int, levels: int) -> int:
    """Words over d channels up to a level."""
    return sum(d**k for k in range(1, levels + 1))


def refuse_large(n: int, d: int, levels: int) -> None:
    """Raises TooLarge above 2,000 words, or 1 GiB for n paths."""
    words = count(d, levels)
    if words > MOST_WORDS or 24.0 * n * words > MOST_BYTES:
        raise TooLarge(
            f"{words:,} words over {d} channels up to level {levels}, of {n:,} paths",
            f"at most {MOST_WORDS:,} words, and 1 GiB",
            "Take fewer channels, levels or samples: each level has d times as many words as the one before",
        )


def words_of(d: int, levels: int) -> list[tuple[int, ...]]:
    """Channels of each word, level by level, the last channel running fastest."""
    return [word for k in range(1, levels + 1) for word in product(range(d), repeat=k)]


def running(steps: np.ndarray, levels: int) -> Iterator[np.ndarray]:
    """(n, words) after each of the T steps of n paths (n, T, d). O(n T d^levels)."""
    n, length, d = steps.shape
    held = _nothing(n, d, levels)
    for t in range(length):
        held = _with_step(held, steps[:, t])
        yield np.concatenate(held[1:], axis=1)


def path_words(steps: np.ndarray, levels: int) -> np.ndarray:
    """(n, words) of whole paths, given by their steps (n, T, d)."""
    refuse_large(len(steps), steps.shape[2], levels)
    held = _nothing(len(steps), steps.shape[2], levels)
    for t in range(steps.shape[1]):
        held = _with_step(held, steps[:, t])
    return np.concatenate(held[1:], axis=1)


def _nothing(n: int, d: int, levels: int) -> list[np.ndarray]:
    """Levels 0 to `levels` of a path of one point."""
    return [np.ones((n, 1))] + [np.zeros((n, d**k)) for k in range(1, levels + 1)]


def _with_step(held: list[np.ndarray], v: np.ndarray) -> list[np.ndarray]:
    powers = [np.ones((len(v), 1))]
    for k in range(1, len(held)):
        powers.append(_outer(powers[-1], v) / k)
    return [sum(_outer(held[k - i], powers[i]) for i in range(k + 1)) for k in range(len(held))]


def _outer(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a[:, :, None] * b[:, None, :]).reshape(len(a), -1)


def areas(steps: np.ndarray, i: int, j: int) -> np.ndarray:
    """(n, T) signed area ½ (S^ij - S^ji) after each step."""
    x = np.cumsum(
        steps, axis=1
    )  # ends of the steps: within a step nothing is swept from the one channel to the other
    return np.cumsum(x[..., i] * steps[..., j] - x[..., j] * steps[..., i], axis=1) / 2


def shuffled(steps: np.ndarray, lengths: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each path with its first `lengths` (n,) steps in random order."""
    key = rng.random(steps.shape[:2])
    key[np.arange(steps.shape[1]) >= lengths[:, None]] = 2.0
    return np.take_along_axis(steps, key.argsort(axis=1, kind="stable")[:, :, None], axis=1)
