"""Sums of products of all pairs of units over rows, from which their correlations follow: one pass, centred first.

Up to `PRECISE` units a side, and for float64 data, everything is float64. Beyond, float32 chunks are multiplied in
float32, at twice the speed, and added up in float64:

1. each chunk is shifted by its own mean rounded to float32 (the difference of two float32 numbers has one rounding);
   units that take one value often by that value, which then adds nothing (`compute.correlation.clumps`; the variance is
   at least that value's share of the shifted square);
2. BLAS multiplies the shifted chunk, some thousand rows, in float32; units that take a second value often, or whose
   product with themselves is off, are multiplied in float64 too, and that counts;
3. the products of chunks are added in float64, and what the shifts left over, and that the chunks' means differ, is
   put right in float64: sum over chunks of (P - m r r') + m (mu - mean) (mu - mean)' (Chan, Golub & LeVeque 1983).

Worst cases of float32 are much larger than what happens (Higham & Mary 2019), so it is measured, not assumed: the
pairs of `CHECKED` random units are multiplied in float64 too, and of one tap the product of every unit with itself,
where all terms have one sign and rounding adds up most, is compared with its float64 sum of squares. The largest
difference, as a correlation, is `error`; where it is above `TOLERANCE` the pass is made again in float64.

References: T. Chan, G. Golub & R. LeVeque (1983); N. Higham & T. Mary (2019), "A new approach to probabilistic rounding
error analysis".
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from analysis.compute.correlation.clumps import Clumps, clumps
from analysis.compute.machine import machine
from analysis.compute.rows.tap_rows import TapRows
from analysis.compute.statistics.moments import is_varying
from analysis.compute.streaming import Pass
from analysis.spec import Progress, no_progress

PRECISE = 1024
CHECKED = 128
TOLERANCE = 1e-6  # of a correlation
SUSPECT = 1e-6  # of a unit with itself in one chunk
DIFFICULT = 0.25  # share of units from which on all are multiplied in float64
ROWS = 256  # at a time through the processor's cache
CHUNK_VALUES = 8192 * 4096  # of the wider tap, multiplied at a time
SMALLEST, LARGEST = 1e-28, 1e32  # mean squares that float32 products can hold


@dataclass(frozen=True)
class PairSums:
    """`n` rows of units x (p,) and y (q,): their means, `square_x` and `square_y`, the sums of squares about the mean,
    `cross` (p, q), the sums of products about the means, and the largest known `error` of a correlation."""

    n: int
    mean_x: np.ndarray
    mean_y: np.ndarray
    square_x: np.ndarray
    square_y: np.ndarray
    cross: np.ndarray
    error: float = 0.0

    def varies(self) -> tuple[np.ndarray, np.ndarray]:
        """Boolean (p,) and (q,): units whose variance is more than rounding."""
        m = max(self.n - 1, 1)
        return is_varying(self.square_x / m, self.mean_x), is_varying(self.square_y / m, self.mean_y)

    def correlation(self, out: np.ndarray | None = None) -> np.ndarray:
        """(p, q) Pearson's r; 0 with units that do not vary. `out` may be `cross`."""
        return _scaled(self.cross, self.square_x, self.square_y, self.varies(), out)

    def cosine(self, out: np.ndarray | None = None) -> np.ndarray:
        """(p, q) cosine of the uncentred units; 0 with units that do not vary. `out` may be `cross`."""
        raw = np.add(self.cross, self.n * np.outer(self.mean_x, self.mean_y), out=out)
        squares = (self.square_x + self.n * self.mean_x**2, self.square_y + self.n * self.mean_y**2)
        return _scaled(raw, *squares, self.varies(), raw)


def _scaled(cross, square_x, square_y, varies, out) -> np.ndarray:
    left, right = (
        np.divide(1.0, np.sqrt(s), out=np.zeros(len(s)), where=good)
        for s, good in zip((square_x, square_y), varies, strict=True)
    )
    r = np.multiply(cross, left[:, None], out=out)
    r *= right
    return np.clip(r, -1.0, 1.0, out=r)


def pair_sums(
    rows: TapRows,
    left: np.ndarray | None = None,
    right: np.ndarray | None = None,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
    seen: Pass | None = None,
    precise: bool | None = None,
) -> PairSums:
    """Sums of the units `left` (p,) of the first tap with `right` (q,) of the last, all where None.

    One pass, O(n p q), half of it where a tap meets itself whole; memory 12 bytes per pair beside a chunk. `precise`:
    float64 throughout (True) or never (False), whatever the sizes.
    """
    # a tap with itself: each product is made once, and the diagonal is exactly the sum of squares
    alone = rows.is_one and (left is right)
    p, q = (width if u is None else len(u) for width, u in zip(rows.shape, (left, right), strict=True))
    wanted = max(p, q) <= PRECISE if precise is None else precise
    sums = None
    many = int(np.clip(CHUNK_VALUES // max(rows.shape), 256, 8192))
    for _, blocks in rows.blocks(progress, "multiplying units", span, seen, many):
        x = _taken(blocks[0], left)
        y = x if alone else _taken(blocks[-1], right)
        if sums is None:
            single = not wanted and all(block.dtype.itemsize <= 4 for block in blocks)
            known = tuple(clumps(z) for z in ((x,) if alone else (x, y))) if single else ()
            if precise is None and any(c.several.mean() > DIFFICULT for c in known):
                single = False
            sums = _Sums(p, q, known if single else (), alone)
        sums.add(x, y)
    if sums is None:
        return PairSums(0, np.zeros(p), np.zeros(q), np.zeros(p), np.zeros(q), np.zeros((p, q)))
    found = sums.finish()
    if precise is None and not found.error <= TOLERANCE:  # also where a product overflowed
        del sums, found
        return pair_sums(rows, left, right, progress, (span[1], span[1]), None, True)
    return found


def _taken(block: np.ndarray, units: np.ndarray | None) -> np.ndarray:
    """Some columns; a view where they lie side by side."""
    if units is None:
        return block
    beside = len(units) and units[-1] - units[0] == len(units) - 1 and (np.diff(units) == 1).all()
    return block[:, units[0] : units[-1] + 1] if beside else block[:, units]


class _Side:
    """The units of one side: a line a chunk of their means, of what the shift left of them, and of squares."""

    def __init__(self, width: int, known: Clumps | None, pool: ThreadPoolExecutor) -> None:
        self.width, self.known, self.pool = width, known, pool
        self.kind = np.float64 if known is None else np.float32
        rng = np.random.default_rng(width)
        self.some = np.sort(rng.choice(width, min(width, CHECKED), replace=False))  # units that are checked
        self.means: list[np.ndarray] = []
        self.left: list[np.ndarray] = []
        self.squares: list[np.ndarray] = []
        self._space = np.empty((0, width), self.kind)

    def shifted(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """x (m, width) minus its mean, in memory that the next chunk uses again, and `some` of it in float64."""
        m = len(x)
        if len(self._space) < m:
            self._space = np.empty((m, self.width), self.kind)
        z, some = self._space[:m], np.empty((m, len(self.some)))
        parts = [slice(start, min(start + ROWS, m)) for start in range(0, m, ROWS)]
        sums = sum(self.pool.map(lambda part: x[part].sum(axis=0, dtype=np.float64), parts))
        shift = (sums / m).astype(self.kind)
        if self.known is not None:
            shift = np.where(np.isnan(self.known.value), shift, self.known.value)

        def shift_part(part: slice) -> tuple[np.ndarray, np.ndarray]:
            np.subtract(x[part], shift, out=z[part], dtype=self.kind)
            wide = z[part].astype(np.float64)
            some[part] = wide[:, self.some]
            return wide.sum(axis=0), np.einsum("ij,ij->j", wide, wide)

        left, squares = map(sum, zip(*self.pool.map(shift_part, parts), strict=True))
        self.means.append(shift.astype(np.float64) + left / m)
        self.left.append(left / m)
        self.squares.append(squares)
        return z, some

    def merged(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean (width,), sum of squares about it (width,), and the chunks' distances from it (chunks, width)."""
        means = np.array(self.means)
        mean = counts @ means / counts.sum()
        apart = means - mean
        square = np.sum(self.squares, axis=0) + counts @ (apart**2 - np.array(self.left) ** 2)
        return mean, np.maximum(square, 0.0), apart


class _Sums:
    """Adds chunks up; see the head of the file."""

    def __init__(self, p: int, q: int, known: tuple[Clumps, ...], alone: bool) -> None:
        """`known` of either side where they are multiplied in float32."""
        self.alone, self.single, self.counts = alone, bool(known), []
        self.pool = ThreadPoolExecutor(min(machine().cores, 16))
        self.x = _Side(p, known[0] if known else None, self.pool)
        self.y = self.x if alone else _Side(q, known[-1] if known else None, self.pool)
        self.cross = np.zeros((p, q), order="F")
        self.product = np.zeros((p, q), self.x.kind, order="F")
        self.exact = np.zeros((len(self.x.some), len(self.y.some)))

    def add(self, x: np.ndarray, y: np.ndarray) -> None:
        zx, some_x = self.x.shifted(x)
        zy, some_y = (zx, some_x) if self.alone else self.y.shifted(y)
        self.counts.append(len(zx))
        with np.errstate(over="ignore", invalid="ignore"):
            if self.alone:
                _square(zx, self.product)
            else:
                np.matmul(zy.T, zx, out=self.product.T)
        hard = self._difficult() if self.single else (np.empty(0, np.int64),) * 2
        self.product[hard[0]] = 0.0
        self.product[:, hard[1]] = 0.0
        list(self.pool.map(self._accumulate, range(0, self.cross.shape[1], ROWS)))
        if self.single:
            self._in_double(zx, zy, *hard)
            self.exact += some_x.T @ some_y

    def _difficult(self) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of the units of either side that single precision does not do justice to in this chunk."""
        if not self.alone:
            return np.flatnonzero(self.x.known.several), np.flatnonzero(self.y.known.several)
        true = self.x.squares[-1]
        with np.errstate(invalid="ignore"):
            off = ~(np.abs(np.diag(self.product) - true) <= SUSPECT * true)
        if off.mean() > DIFFICULT:  # then it is no matter of some units: the whole pass will be made again
            off[:] = False
        return (np.flatnonzero(self.x.known.several | off),) * 2

    def _in_double(self, zx: np.ndarray, zy: np.ndarray, left: np.ndarray, right: np.ndarray) -> None:
        """Add the products of the units `left` of x with all of y, and of the units `right` of y with all others of x;
        of one tap what lies above the diagonal is enough."""
        if not len(left) and not len(right):
            return
        others = np.setdiff1d(np.arange(zx.shape[1]), left)
        first, second = np.zeros((len(left), zy.shape[1])), np.zeros((len(others), len(right)))
        for start in range(0, len(zx), 4 * ROWS):
            x, y = (z[start : start + 4 * ROWS].astype(np.float64) for z in (zx, zy))
            first += x[:, left].T @ y
            if not self.alone:
                second += x[:, others].T @ y[:, right]
        self.cross[left] += first
        self.cross[np.ix_(others, right)] += first[:, others].T if self.alone else second

    def _accumulate(self, j: int) -> None:
        above = slice(0, j + ROWS if self.alone else None)  # the rest lies below the diagonal
        cross = self.cross[above, j : j + ROWS]
        np.add(cross, self.product[above, j : j + ROWS], out=cross)

    def finish(self) -> PairSums:
        self.pool.shutdown()
        counts = np.array(self.counts, np.float64)
        if self.alone:
            _mirror(self.cross)
        mean_x, square_x, apart_x = self.x.merged(counts)
        mean_y, square_y, apart_y = (mean_x, square_x, apart_x) if self.alone else self.y.merged(counts)
        error = self._error(square_x, square_y) if self.single else 0.0
        left_x, left_y = np.array(self.x.left), np.array(self.y.left)
        # one product for both corrections: chunks' means apart, and what their shifts left
        first = np.vstack([apart_x * counts[:, None], -left_x * counts[:, None]])
        second = np.vstack([apart_y, left_y])
        for start in range(0, len(mean_y), ROWS):
            part = slice(start, start + ROWS)
            self.cross[:, part] += first.T @ second[:, part]
        if self.alone:
            np.fill_diagonal(self.cross, square_x)
        return PairSums(int(counts.sum()), mean_x, mean_y, square_x, square_y, self.cross, error)

    def _error(self, square_x: np.ndarray, square_y: np.ndarray) -> float:
        """Largest difference, as a correlation, from what was multiplied in float64; infinite where the values are
        beyond float32."""
        n = sum(self.counts)
        for squares in (square_x, square_y):
            if ((squares > 0) & ((squares < SMALLEST * n) | (squares > LARGEST * n))).any():
                return np.inf
        a, b = self.x.some, self.y.some
        scale = np.sqrt(square_x[a][:, None] * square_y[b])
        found = [(np.abs(self.cross[np.ix_(a, b)] - self.exact), scale)]
        if self.alone:
            raw = np.sum(self.x.squares, axis=0)
            found.append((np.abs(np.diag(self.cross) - raw), square_x))
        errors = [
            np.divide(apart, scale, out=np.zeros_like(apart), where=scale > 0).max(initial=0.0)
            for apart, scale in found
        ]
        return float(np.max(errors)) if np.isfinite(errors).all() else np.inf


def _square(z: np.ndarray, out: np.ndarray) -> None:
    """The upper triangle of z'z into `out`, in Fortran's order; what lies below the diagonal is not touched."""
    from scipy.linalg.blas import dsyrk, ssyrk

    kernel = ssyrk if z.dtype == np.float32 else dsyrk
    kernel(1.0, z.T, beta=0.0, c=out, overwrite_c=1)


def _mirror(a: np.ndarray) -> None:
    """Copy the upper triangle to the lower one, in place."""
    for i in range(0, len(a), ROWS):
        for j in range(i, len(a), ROWS):
            part = a[i : i + ROWS, j : j + ROWS]
            if i == j:
                part[:] = np.triu(part) + np.triu(part, 1).T
            else:
                a[j : j + ROWS, i : i + ROWS] = part.T
