"""Distance correlation of all pairs of units, bias-corrected: 0 on average for unrelated units, whatever the relation.

With a_ij = |x_i - x_j| and its U-centred A_ij = a_ij - a_i. / (n - 2) - a_.j / (n - 2) + a_.. / ((n - 1)(n - 2)) for
i != j, and B likewise of y, the bias-corrected squared distance correlation is (Székely & Rizzo 2014)

    R* = sum A_ij B_ij / sqrt(sum A_ij² sum B_ij²),        dCor = sign(R*) sqrt(|R*|).

For units x as columns that is the Gram matrix of the A's, one BLAS product over the pairs of rows: O(n² d²) / 2, exact,
and for up to some thousand rows far quicker than the O(n log n) algorithm pair by pair. Row sums come from sorting.

Null: when rows are exchanged R* has mean 0 and variance 2 / (n (n - 3)) exactly; n R* + 1 of unrelated units stays
below a chi-square variable with one degree of freedom in its upper tail (Shen, Panda & Vogelstein 2022), which gives p.

References: G. Székely, M. Rizzo & N. Bakirov (2007); G. Székely & M. Rizzo (2014), "Partial distance correlation with
methods for dissimilarities"; C. Shen, S. Panda & J. Vogelstein (2022), "The chi-square test of distance correlation".
"""

from __future__ import annotations

import numpy as np
from scipy.special import chdtrc, chdtri

from analysis.spec import Progress, no_progress

BYTES = 48 << 20  # of the centred distances at a time


def distance_correlations(
    x: np.ndarray,
    y: np.ndarray | None = None,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> np.ndarray:
    """R* (p, q) of the columns of `x` (n, p) with those of `y` (n, q), or among themselves; 0 for units that do not
    vary. n >= 4. Time O(n² p q) / 2, memory O(p q) and 100 MB."""
    n, total, width = len(x), 0.0, x.shape[1] + (0 if y is None else y.shape[1])
    sides = [_Distances(v) for v in ((x,) if y is None else (x, y))]
    start = 0
    while start < n - 1:
        progress(span[0] + (span[1] - span[0]) * (1 - (1 - start / n) ** 2), "comparing distances")
        stop = min(n, start + max(1, BYTES // (8 * width * (n - start))))
        blocks = [side.centred(start, stop) for side in sides]
        total = total + blocks[0].T @ blocks[-1]
        start = stop
    progress(span[1], "comparing distances")
    norms = [side.norms() for side in sides]
    scale = np.sqrt(norms[0][:, None] * norms[-1])
    r = np.divide(total, scale, out=np.zeros_like(total), where=scale > 0)
    if y is None:
        r = (r + r.T) / 2
        np.fill_diagonal(r, 1.0)
    return np.clip(r, -1.0, 1.0)


class _Distances:
    """The U-centred distances of each column, a few rows at a time; columns are brought to one scale first."""

    def __init__(self, x: np.ndarray) -> None:
        x = np.asarray(x, np.float64)
        x = x - x.mean(axis=0)
        spread = np.abs(x).mean(axis=0)
        self.x = np.divide(x, spread, out=np.zeros_like(x), where=spread > 0)
        n, self.units = self.x.shape
        order = np.argsort(self.x, axis=0, kind="stable")
        ranked = np.take_along_axis(self.x, order, axis=0)
        below = np.cumsum(ranked, axis=0) - ranked  # sum of what lies below
        place = np.arange(n)[:, None]
        sums = place * ranked - below + (ranked.sum(axis=0) - below - ranked) - (n - 1 - place) * ranked
        rows = np.empty_like(sums)
        np.put_along_axis(rows, order, sums, axis=0)
        self.row = rows / (n - 2)
        self.all = rows.sum(axis=0) / ((n - 1) * (n - 2))
        self.square = np.zeros(self.units)

    def centred(self, start: int, stop: int) -> np.ndarray:
        """Rows start to stop against all rows after each of them, ((stop - start) (n - start), units), 0 where a row
        would meet an earlier one or itself."""
        x, n = self.x, len(self.x)
        out = np.empty((stop - start, n - start, self.units))
        for i in range(start, stop):
            line = np.abs(np.subtract(x[start:], x[i], out=out[i - start]), out=out[i - start])
            line -= self.row[start:]
            line -= self.row[i] - self.all
            line[: i - start + 1] = 0.0
            self.square += np.einsum("ij,ij->j", line, line)
        return out.reshape(-1, self.units)

    def norms(self) -> np.ndarray:
        """Sums of squares, 0 where only rounding is left."""
        pairs = len(self.x) * (len(self.x) - 1) / 2
        return np.where(self.square > 1e-12 * pairs, self.square, 0.0)


def signed_root(r: np.ndarray) -> np.ndarray:
    """dCor from R*; below 0 where R* is, as that of half of all unrelated pairs."""
    return np.sign(r) * np.sqrt(np.abs(r))


def distance_p(dcor: np.ndarray, n: int) -> np.ndarray:
    """p-values of `signed_root` values at n independent samples; 1 below 0. Slightly too large, never much too small,
    where p is at most 0.05."""
    r = np.asarray(dcor, np.float64)
    return np.where(r > 0, chdtrc(1, n * r * r + 1.0), 1.0)


def distance_band(n: int) -> tuple[float, float]:
    """What 95 % of unrelated pairs stay inside, as dCor, at n independent samples: to below by the exact deviation of
    R*, to above by the chi-square bound."""
    low = -1.959964 * np.sqrt(2.0 / (n * max(n - 3.0, 1.0)))
    return float(max(signed_root(low), -1.0)), float(min(np.sqrt((chdtri(1, 0.025) - 1.0) / n), 1.0))
