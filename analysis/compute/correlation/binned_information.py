"""Mutual information of all pairs of units, in nats, from bins of equal mass, with the Miller-Madow correction.

Each unit is cut at its own ranks into b bins of equally many rows; equal values stay together, so that a unit that is
exactly 0 on most rows has fewer bins. The information between two binned units is

    I = sum p_ab ln(p_ab / (p_a p_b)) - (k_ab - k_a - k_b + 1) / (2 n),

k the numbers of bins and cells that hold a row: the plug-in estimate less its first-order bias (Miller 1955).

Why bins and not nearest neighbours (Kraskov et al. 2004): recorded units are full of ties (zeros behind a ReLU), for
which neighbour distances are 0 and that estimate is undefined; bins take ties as they are, give an exact test, and all
pairs at once are a matrix product of indicators. The price: a binned value is a lower bound (data processing), at most
ln b; of a Gaussian pair with correlation r the whole -ln(1 - r²) / 2 is reached only while it is far below ln b.

Null: Pearson's (1900) X² = n (sum c_ab² / (c_a c_b) - 1) of the counts is chi-square with (k_a - 1)(k_b - 1) degrees of
freedom, and (n - 1) X² / n has exactly their mean when rows are exchanged; it keeps its level down to five rows a cell,
where the likelihood ratio 2 n I rejects twice too often. With below 200 rows and many ties, p under 0.001 is up to four
times too small.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc, xlogy

from analysis.compute.statistics.auroc import midranks
from analysis.spec import Progress, no_progress

UNITS = 64  # at a time
PER_CELL = 5  # rows that a cell has on average, at least


@dataclass(frozen=True)
class Information:
    """`value` (p, q) in nats; `p` (p, q) against unrelated units; `freedom` (p, q) of that test; `bins` used."""

    value: np.ndarray
    p: np.ndarray
    freedom: np.ndarray
    bins: int


def bins_for(n: int, most: int) -> int:
    """Bins for n rows: at most `most`, and not so many that a cell has fewer than five rows on average; at least 2."""
    return int(np.clip(np.sqrt(n / PER_CELL), 2, most))


def information(
    x: np.ndarray,
    y: np.ndarray | None,
    bins: int,
    samples: int,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> Information:
    """Of the columns of `x` (n, p) with those of `y` (n, q), or among themselves (the diagonal is then the entropy).

    `samples` <= n counts as independent in the test. Time O(n b² p q), memory O(p q) and 4 n b x 128 bytes.
    """
    left = _binned(x, bins)
    right = left if y is None else _binned(y, bins)
    p, q = left.shape[1], right.shape[1]
    value, tail, freedom = np.zeros((p, q)), np.ones((p, q)), np.zeros((p, q))
    for i in range(0, p, UNITS):
        progress(span[0] + (span[1] - span[0]) * i / p, "counting bins")
        first = _indicators(left[:, i : i + UNITS], bins)
        for j in range(i if y is None else 0, q, UNITS):
            second = first if y is None and j == i else _indicators(right[:, j : j + UNITS], bins)
            found = _of_counts(first.T @ second, bins, len(x), samples)
            for whole, part in zip((value, tail, freedom), found, strict=True):
                whole[i : i + UNITS, j : j + UNITS] = part
                if y is None:
                    whole[j : j + UNITS, i : i + UNITS] = part.T
    progress(span[1], "counting bins")
    return Information(value, tail, freedom, bins)


def _binned(x: np.ndarray, bins: int) -> np.ndarray:
    """Bin (n, p) of every value by its midrank: equal values in one bin."""
    ranks = midranks(np.asarray(x, np.float64))[0]
    return np.minimum((ranks - 0.5) * bins / len(x), bins - 1).astype(np.int8)


def _indicators(codes: np.ndarray, bins: int) -> np.ndarray:
    """(n, units x bins) float32: 1 in the unit's bin. Counts up to 2^24 are exact in float32."""
    n, u = codes.shape
    out = np.zeros((n, u * bins), np.float32)
    out[np.arange(n)[:, None], np.arange(u) * bins + codes] = 1.0
    return out


def _of_counts(counts: np.ndarray, bins: int, n: int, samples: int):
    """Information, p and degrees of freedom (u, v) from counts (u b, v b) of all pairs of bins."""
    c = counts.reshape(counts.shape[0] // bins, bins, -1, bins).astype(np.float64)
    c = c.swapaxes(1, 2)  # unit, unit, bin, bin
    rows, columns = c.sum(axis=3), c.sum(axis=2)
    plug_in = (
        np.log(n)
        + (xlogy(c, c).sum(axis=(2, 3)) - xlogy(rows, rows).sum(axis=2) - xlogy(columns, columns).sum(axis=2))
        / n
    )
    kept = [(part > 0).sum(axis=axes) for part, axes in ((c, (2, 3)), (rows, 2), (columns, 2))]
    value = plug_in - (kept[0] - kept[1] - kept[2] + 1) / (2 * n)
    freedom = (kept[1] - 1.0) * (kept[2] - 1.0)
    share = c / np.maximum(rows, 1)[..., None] * c / np.maximum(columns, 1)[:, :, None, :]
    square = (samples - 1) * np.maximum(share.sum(axis=(2, 3)) - 1, 0.0)
    return value, np.where(freedom > 0, chdtrc(np.maximum(freedom, 1), square), 1.0), freedom
