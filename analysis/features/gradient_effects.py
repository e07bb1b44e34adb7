"""First-order effects of features on a loss: e_i = z_i d_iᵀ g, with g the slope of the loss in the row.

Over the features of a row they sum to (x' - b)ᵀ g, the linearised effect of all that the dictionary rebuilds, b being
what it adds without any feature. Sums are in float64 from the codes and weights as they are kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.arrays import finite_rows
from analysis.features import rules
from analysis.features.tap_dictionary import TapDictionary
from analysis.spec import Progress

BLOCK_VALUES = 4 << 20


@dataclass(frozen=True)
class Effects:
    """Over m rows: by feature (k,) `active` mean of its code, `rate` share of rows in which it is not 0, `loud` mean
    |e|, `signed` sum of e, `chance` mean |e| with slopes exchanged between rows. `residual`: the largest difference of
    Σ e from (x' - b)ᵀ g of a row, over the largest of these. `swapped`, `slots`: features that change place in a TopK
    when slopes have a say, of so many (0 of other rules)."""

    active: np.ndarray
    rate: np.ndarray
    loud: np.ndarray
    signed: np.ndarray
    chance: np.ndarray
    residual: float
    swapped: np.ndarray
    slots: np.ndarray
    rows: int


def gradient_effects(
    made: TapDictionary, rows: np.ndarray, slopes: np.ndarray, beta: float, rng, progress: Progress, span
) -> Effects:
    """`slopes` (m, d) in the rows numbered `rows` (m,). O(m k d)."""
    features, k = made.features, made.features.n_features
    step, mixed = max(16, BLOCK_VALUES // k), rng.permutation(len(rows))
    sums = {name: np.zeros(k) for name in ("active", "rate", "loud", "signed", "chance")}
    directions, worst, size, used = features.decoder.astype(np.float64), 0.0, 0.0, 0
    swapped, slots = np.zeros(len(rows)), np.zeros(len(rows))
    level = _level(made, rows, slopes, directions, step) if features.rule == rules.TOPK and beta > 0 else 0.0
    for start in range(0, len(rows), step):
        progress(span[0] + (span[1] - span[0]) * start / len(rows), "multiplying features and slopes")
        at = np.arange(start, min(start + step, len(rows)))
        x = np.asarray(made.source.take(rows[at]))
        good = finite_rows(x)
        at, x = at[good], x[good]
        if not len(at):
            continue
        factor = features.row_sizes(x)
        codes = (
            x.astype(np.float64)
            if made.of_units
            else features.encode(x.astype(np.float32)).astype(np.float64)
        )
        along = (slopes[at] * factor) @ directions.T
        effect = codes * along
        total, whole = effect.sum(axis=1), ((codes @ directions) * factor * slopes[at]).sum(axis=1)
        worst, size = max(worst, float(np.abs(total - whole).max())), max(size, float(np.abs(total).max()))
        for name, part in (("active", codes), ("rate", codes != 0), ("loud", np.abs(effect)), ("signed", effect),
                           ("chance", np.abs(codes * ((slopes[mixed[at]] * factor) @ directions.T)))):  # fmt: skip
            sums[name] += part.sum(axis=0)
        if level:
            swapped[at], slots[at] = _swaps(made, x, beta * np.abs(along) / level)
        used += len(at)
    n = max(used, 1)
    return Effects(
        sums["active"] / n, sums["rate"] / n, sums["loud"] / n, sums["signed"], sums["chance"] / n,
        worst / size if size > 0 else 0.0, swapped, slots, used,
    )  # fmt: skip


def _level(
    made: TapDictionary, rows: np.ndarray, slopes: np.ndarray, directions: np.ndarray, step: int
) -> float:
    """Mean |dᵀg| of all features over all finite rows."""
    total, count = 0.0, 0
    for start in range(0, len(rows), step):
        at = np.arange(start, min(start + step, len(rows)))
        x = np.asarray(made.source.take(rows[at]))
        good = finite_rows(x)
        along = np.abs((slopes[at[good]] * made.features.row_sizes(x[good])) @ directions.T)
        total, count = total + float(along.sum()), count + along.size
    return total / max(count, 1)


def _swaps(made: TapDictionary, x: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each row, features of the TopK by z + z w that are not in that by z, and its size; `weight` (m, k) is w."""
    features = made.features
    p = np.maximum(features.encoder_input(x) @ features.encoder + features.bias, 0).astype(np.float64)
    before = rules.keep_largest(p.copy(), features.active) > 0
    after = rules.keep_largest(p + p * weight, features.active) > 0
    return (after & ~before).sum(axis=1), before.sum(axis=1)
