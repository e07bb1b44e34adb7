"""How much of every attribute a linear probe reads from held-out samples: R², with interval and null.

    R² = 1 - Σ (y - ŷ)² / Σ (y - ȳ)²,    ŷ and ȳ from samples that had no part in the sum

so that it is about 0, or a little below, where there is nothing to read. Intervals leave groups of samples out of the
sums (jackknife); the null moves the attribute to other samples and fits again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

from analysis.compute.linear.ridge_probe import held_out_predictions
from analysis.compute.statistics.sample_groups import jackknife_half
from analysis.spec import Progress, no_progress

INTERVAL = "jackknife over groups of samples, t"


@dataclass(frozen=True)
class ProbeR2:
    """Of each of m attributes: `value` (m,) with `low` and `high`; `null` mean, `null_low`, `null_high` and `p` by
    attributes moved to other samples."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    null: np.ndarray
    null_low: np.ndarray
    null_high: np.ndarray
    p: np.ndarray


@dataclass(frozen=True)
class Held:
    """Squared errors (n, m, 1 + draws) of probes and of the training mean, the first of the attributes as they are."""

    left: np.ndarray
    whole: np.ndarray


def held_errors(
    x: np.ndarray,
    y: np.ndarray,
    fold: np.ndarray,
    moves: np.ndarray,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> Held:
    """Of attributes `y` (n, m) from `x` (n, d); `fold` (n,); `moves` (draws, n) orders of the samples.

    Time O(folds n d min(n, d) + folds n r m draws); memory O(n m draws).
    """
    targets = np.stack([y, *(y[move] for move in moves)], axis=2).reshape(len(y), -1)
    predicted = held_out_predictions(
        x, targets, np.arange(targets.shape[1]), fold, progress=progress, span=span
    )
    middle = np.stack([targets[fold != f].mean(axis=0) for f in range(int(fold.max()) + 1)])[fold]
    shape = (len(y), y.shape[1], 1 + len(moves))
    return Held(((targets - predicted) ** 2).reshape(shape), ((targets - middle) ** 2).reshape(shape))


def joined(parts: list[tuple[np.ndarray, Held]], n: int) -> Held:
    """Of parts of the samples, each with its positions among all `n`."""
    left, whole = (np.empty((n, *parts[0][1].left.shape[1:])) for _ in range(2))
    for at, held in parts:
        left[at], whole[at] = held.left, held.whole
    return Held(left, whole)


def probe_r2(held: Held, group: np.ndarray) -> ProbeR2:
    """R² of every attribute; `group` (n,) numbers those that are left out together for intervals."""
    left, whole = held.left.sum(axis=0), held.whole.sum(axis=0)
    found = 1 - left / whole
    value, null = found[:, 0], found[:, 1:]
    without = []
    for g in range(int(group.max()) + 1):
        out = group == g
        without.append(
            1 - (left - held.left[out].sum(axis=0))[:, 0] / (whole - held.whole[out].sum(axis=0))[:, 0]
        )
    half = jackknife_half(np.array(without))
    half = np.full(len(value), np.inf) if half is None else half
    spread = null.std(axis=1, ddof=1)
    away = (value - null.mean(axis=1)) / np.maximum(spread * np.sqrt(1 + 1 / null.shape[1]), 1e-12)
    low, high = np.percentile(null, [2.5, 97.5], axis=1)
    return ProbeR2(
        value, value - half, np.minimum(value + half, 1.0), null.mean(axis=1), low, high,
        stdtr(null.shape[1] - 1, -away),
    )  # fmt: skip
