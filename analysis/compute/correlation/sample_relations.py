"""How alike all samples of a tap are: lines that stand for the samples, their similarities block by block, and what
samples whose units were exchanged one by one would show.

Cosine and Pearson are products of lines of unit length. From Euclidean distances the similarity is 1 - distance / root
mean square distance: 1 for equal samples, about 0 for an average pair, as low as it gets for outliers; so that, as with
the others, the largest magnitude is what stands out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from analysis.compute.correlation.drawing_order import DrawingOrder, order_by_features
from analysis.spec import Progress, no_progress

LINES = 256
NULL_SAMPLES, NULL_PAIRS = 4000, 200_000


@dataclass(frozen=True)
class Lines:
    """`z` (n, d) float64; with `distance` their centred places and `scale` the root mean square distance of two, else
    of unit length. `largest` bounds a similarity's magnitude."""

    z: np.ndarray
    distance: bool
    scale: float = 1.0

    @property
    def largest(self) -> float:
        if not self.distance:
            return 1.0
        reach = 2.0 * np.sqrt(np.einsum("ij,ij->i", self.z, self.z).max(initial=0.0))
        return max(1.0, reach / self.scale - 1.0) * (1 + 1e-12)

    def between(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """(a, b) similarities of samples by their positions; exactly 1 of a sample with itself."""
        a, b = self.z[one], self.z[other]
        found = a @ b.T
        if self.distance:
            square = np.einsum("ij,ij->i", a, a)[:, None] + np.einsum("ij,ij->i", b, b)
            found = 1.0 - np.sqrt(np.maximum(square - 2.0 * found, 0.0)) / self.scale
        else:
            np.clip(found, -1.0, 1.0, out=found)
        found[one[:, None] == other] = 1.0
        return found

    def paired(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """(m,) similarities of pairs."""
        out = np.empty(len(one))
        for start in range(0, len(one), 4096):
            part = slice(start, start + 4096)
            a, b = self.z[one[part]], self.z[other[part]]
            if self.distance:
                out[part] = 1.0 - np.linalg.norm(a - b, axis=1) / self.scale
            else:
                out[part] = np.einsum("ij,ij->i", a, b)
        return out


def lines_of(x: np.ndarray, measure: str, centred: bool) -> tuple[Lines, np.ndarray]:
    """The samples `x` (n, d) as lines, and which (n,) have a direction: a sample at the centre (or, for Pearson, with
    equal units) has none. `measure`: "cosine", "pearson" or "distance"; `centred`: about the mean of all samples."""
    z = x - x.mean(axis=0) if centred or measure == "distance" else x.astype(np.float64)
    largest = np.abs(z).max(initial=0.0)
    z = z / largest if largest > 0 else z  # its scale does not matter, its square could overflow
    if measure == "distance":
        square = np.einsum("ij,ij->", z, z)
        return Lines(z, True, float(np.sqrt(2.0 * square / max(len(z) - 1, 1)))), np.ones(len(z), bool)
    if measure == "pearson":
        z = z - z.mean(axis=1, keepdims=True)
    length = np.sqrt(np.einsum("ij,ij->i", z, z))
    good = length > 1e-12 * max(length.max(initial=0.0), 1e-300)
    return Lines(z[good] / length[good, None], False), good


def null_similarities(x: np.ndarray, measure: str, centred: bool, rng: np.random.Generator) -> np.ndarray:
    """Sorted |similarity| (pairs,) of random pairs of at most 4,000 samples whose units were exchanged one by one: the
    same values of every unit, without what joins them into samples. Memory two copies of those samples."""
    n = len(x)
    part = x[rng.choice(n, NULL_SAMPLES, replace=False)] if n > NULL_SAMPLES else x
    lines, _ = lines_of(rng.permuted(part, axis=0), measure, centred)
    m = len(lines.z)
    one, step = rng.integers(m, size=NULL_PAIRS), rng.integers(1, m, size=NULL_PAIRS)
    return np.sort(np.abs(lines.paired(one, (one + step) % m)))


def tail(null: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Monte-Carlo p-values of magnitudes, (1 + number of null >= size) / (1 + pairs); never 0."""
    return (1 + len(null) - np.searchsorted(null, size, side="left")) / (1 + len(null))


def order_samples(lines: Lines, of: np.ndarray, rng: np.random.Generator) -> DrawingOrder:
    """By group `of` (n,) rising, inside each by average linkage on the cosine of the lines."""
    z, notes = lines.z, []
    if lines.distance:
        length = np.linalg.norm(z, axis=1, keepdims=True)
        z = np.divide(z, length, out=np.zeros_like(z), where=length > 0)
    kinds = np.unique(of)
    if len(kinds) == 1:
        return order_by_features(z, True, rng)
    pieces = []
    for kind in kinds:
        mine = np.flatnonzero(of == kind)
        found = order_by_features(z[mine], True, rng)
        pieces.append(mine[found.order])
        notes += [found.note] if found.note else []
    return DrawingOrder(np.concatenate(pieces), note=notes[0] if notes else "")


def sample_blocks(
    lines: Lines, order: np.ndarray, progress: Progress = no_progress, span: tuple[float, float] = (0.0, 1.0)
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield (first line, first column, similarities) in drawing order, from the diagonal on. O(n² d) / 2."""
    for start in range(0, len(order), LINES):
        progress(span[0] + (span[1] - span[0]) * start / len(order), "comparing samples")
        yield start, start, lines.between(order[start : start + LINES], order[start:])
