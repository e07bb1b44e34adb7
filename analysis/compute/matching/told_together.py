"""Is a unit told better by several units of the other side together than by any one of them?

Forward selection (`compute.linear.forward_selection`) among a unit's strongest partners, on one half of the samples;
the errors are those on the other half, both ways. A further unit counts as a part while it lowers the held-out error by
at least `gain` of the unit's variance, and does so beyond chance (paired t over samples, false-discovery rate over
units).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

from analysis.compute.linear.forward_selection import forward_paths
from analysis.compute.matching.unit_sides import UnitSides
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.spec import Progress

CANDIDATES = 16  # strongest partners among which parts are sought
AT_ONCE = 16 << 20  # bytes of the candidates' values in memory at a time


@dataclass(frozen=True)
class Parts:
    """Of each unit: `count` (p,) how many units of the other side tell it, 0 for none; `one` and `several` (p,)
    held-out R² by its best and by its parts; `chosen` (p, m) the units in order, on all samples, -1 for none."""

    count: np.ndarray
    one: np.ndarray
    several: np.ndarray
    chosen: np.ndarray


def parts_of(
    x: np.ndarray,
    y: np.ndarray,
    candidates: np.ndarray,
    sides: UnitSides,
    half: np.ndarray,
    *,
    most: int,
    gain: float,
    level: float,
    progress: Progress,
    span: tuple[float, float],
) -> Parts:
    """`x` (p, n) told by `y`'s lines numbered `candidates` (p, k). `half` (n,) bool splits the columns by samples;
    `most` parts at most. Time O(n p k²)."""
    (p, k), n = candidates.shape, x.shape[1]
    most = min(most, k, max(1, sides.n_samples // 4))
    starts = np.flatnonzero(np.diff(sides.sample, prepend=-1))
    whole, fall, squares = np.zeros(p), np.zeros((p, most)), np.zeros((p, most))
    chosen = np.empty((p, most), np.int64)
    step = max(1, AT_ONCE // (8 * n * k))
    for start in range(0, p, step):
        progress(span[0] + (span[1] - span[0]) * start / p, "looking for units told together")
        here = slice(start, start + step)
        a, b = x[here], y[candidates[here]]
        at = _paths(a, b, most).chosen
        named = np.take_along_axis(candidates[here], np.maximum(at, 0), axis=1)
        chosen[here] = np.where(at >= 0, named, -1)
        loss = _held_out_losses(a, b, half, most)
        by_sample = np.add.reduceat(loss, starts, axis=2)
        whole[here] = by_sample[:, 0].sum(axis=1)
        falls = by_sample[:, :-1] - by_sample[:, 1:]
        fall[here], squares[here] = falls.sum(axis=2), (falls**2).sum(axis=2)
    return _counted(whole, fall, squares, chosen, sides.n_samples, gain, level)


def _paths(a: np.ndarray, b: np.ndarray, steps: int):
    """Forward selection of targets (t, m) from candidates (t, k, m), all centred."""
    gram = b @ b.transpose(0, 2, 1)
    cross = np.einsum("tkm,tm->tk", b, a)
    every = np.arange(len(a))
    return forward_paths(cross, np.einsum("tkk->tk", gram), lambda pick: gram[every, pick], steps)


def _held_out_losses(a: np.ndarray, b: np.ndarray, half: np.ndarray, steps: int) -> np.ndarray:
    """(t, steps + 1, n) squared errors of 0, 1, ... units, each column predicted by the other half."""
    loss = np.empty((len(a), steps + 1, a.shape[1]))
    for train in (half, ~half):
        mean_a, mean_b = a[:, train].mean(axis=1, keepdims=True), b[..., train].mean(axis=2, keepdims=True)
        found = _paths(a[:, train] - mean_a, b[..., train] - mean_b, steps)
        at = np.maximum(found.chosen, 0)[..., None]  # weights of -1 are 0
        told = found.weights @ np.take_along_axis(b - mean_b, at, axis=1)[..., ~train]
        away = a[:, ~train] - mean_a
        loss[:, 0, ~train] = away**2
        loss[:, 1:, ~train] = (away[:, None] - told) ** 2
    return loss


def _counted(whole, fall, squares, chosen, n: int, gain: float, level: float) -> Parts:
    """`whole` (p,) squared error without any unit, `fall` (p, m) by how much each further one lowers it, `squares` the
    sum of its squares over samples."""
    share = fall / np.where(whole > 0, whole, 1.0)[:, None]
    spread = np.sqrt(np.maximum(squares - fall**2 / n, 0.0) * n / (n - 1))
    t = np.divide(fall, spread, out=np.where(fall > 0, np.inf, 0.0), where=spread > 1e-12 * np.abs(fall))
    p = stdtr(n - 1, -t)
    q = np.stack([benjamini_hochberg(column) for column in p.T], axis=1)
    counts = (share >= gain) & (q < level)
    count = np.cumprod(counts, axis=1).sum(axis=1)
    total = np.cumsum(share, axis=1)
    several = np.where(count > 0, total[np.arange(len(total)), np.maximum(count, 1) - 1], total[:, 0])
    return Parts(count, total[:, 0], several, chosen)
