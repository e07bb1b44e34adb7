"""Each unit's values over the rows as 1,024 numbers whose products estimate its correlations: what the order of a map
too large for all its correlations is made from.

CountSketch (Charikar, Chen & Farach-Colton 2002): every row goes to a random one of 1,024 buckets with a random sign,
no two of 1,024 consecutive rows to the same. The product of two sketches of centred units of length 1 is their r with
a standard error of about 1 / sqrt(1024) = 0.03. Two taps take the same buckets and signs, so units of one can be
compared with those of the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.rows.tap_rows import TapRows
from analysis.compute.statistics.moments import is_varying
from analysis.compute.streaming import Pass
from analysis.spec import Progress, no_progress

BUCKETS = 1024


@dataclass(frozen=True)
class UnitSketch:
    """Of `n` rows: `mean` and `square` (p,), the sum of squares about it; `lines` (p, 1024) float32, each unit's sketch
    at length 1, 0 for units that do not vary."""

    n: int
    mean: np.ndarray
    square: np.ndarray
    lines: np.ndarray

    @property
    def varies(self) -> np.ndarray:
        return is_varying(self.square / max(self.n - 1, 1), self.mean)


class _Sketch:
    """One tap's sketch while rows come in."""

    def __init__(self, x: np.ndarray) -> None:
        self.shift = x.mean(axis=0, dtype=np.float64)
        self.n, self.mean, self.square = 0, np.zeros(x.shape[1]), np.zeros(x.shape[1])
        self.sums = np.zeros((BUCKETS, x.shape[1]))

    def add(self, x: np.ndarray, bucket: np.ndarray, sign: np.ndarray) -> None:
        z = np.subtract(x, self.shift, dtype=np.float64)
        mean = z.mean(axis=0)
        n = self.n + len(z)
        apart = mean - self.mean
        centred = z - mean
        self.square += np.einsum("ij,ij->j", centred, centred) + apart**2 * (self.n * len(z) / n)
        self.mean = self.mean + apart * (len(z) / n)
        self.n = n
        z *= sign[:, None]
        self.sums[bucket] += z  # no bucket twice

    def finish(self, ones: np.ndarray) -> UnitSketch:
        lines = (self.sums - ones[:, None] * self.mean).T
        length = np.linalg.norm(lines, axis=1)
        done = UnitSketch(self.n, self.mean + self.shift, self.square, np.empty(0))
        good = done.varies & (length > 0)
        lines = np.divide(lines, length[:, None], out=np.zeros_like(lines), where=good[:, None])
        return UnitSketch(self.n, done.mean, self.square, lines.astype(np.float32))


def unit_sketches(
    rows: TapRows,
    seed: int = 0,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
    seen: Pass | None = None,
) -> tuple[UnitSketch, ...]:
    """The sketch of every tap. One pass, O(n d), memory 8 kB per unit. None where no row is finite: an empty tuple."""
    sketches: list[_Sketch] = []
    ones, count = np.zeros(BUCKETS), 0
    for _, blocks in rows.blocks(progress, "sketching units", span, seen):
        if not sketches:
            sketches = [_Sketch(block) for block in blocks]
        start = 0
        while start < len(blocks[0]):
            run, inside = divmod(count, BUCKETS)
            size = min(BUCKETS - inside, len(blocks[0]) - start)
            rng = np.random.default_rng((seed, run))
            bucket = rng.permutation(BUCKETS)[inside : inside + size]
            sign = (rng.integers(0, 2, BUCKETS) * 2.0 - 1.0)[inside : inside + size]
            for sketch, block in zip(sketches, blocks, strict=True):
                sketch.add(block[start : start + size], bucket, sign)
            ones[bucket] += sign
            start, count = start + size, count + size
    return tuple(sketch.finish(ones) for sketch in sketches)


def profiles(one: UnitSketch, other: UnitSketch) -> np.ndarray:
    """(p, 1024) lines of length 1 whose products estimate the cosine of two units' rows of the map of `one` against
    `other`: with S = one's lines and M = L'L of the other's, S M S' has the products of the rows."""
    lines = np.asarray(other.lines, np.float64)
    values, vectors = np.linalg.eigh(lines.T @ lines)
    out = one.lines @ (vectors * np.sqrt(np.maximum(values, 0.0)))
    length = np.linalg.norm(out, axis=1, keepdims=True)
    return np.divide(out, length, out=np.zeros_like(out), where=length > 0).astype(np.float32)
