"""What dictionaries explain of a tap, on the same rows and the same axis: 1 - Σ |x - x'|² / Σ |x - mean|².

The mean and the total come from centred moments that are merged over chunks. Three other definitions were published and
are not this: means of ratios of single rows, the sum of squares about 0 in the denominator, and E[x²] - E[x]².

Beside the dictionary itself stand as many principal components as it has active features, a random dictionary of the
same size and the same number of active features (one factor for all its codes, by least squares), and the class means.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from analysis.activations import Activations
from analysis.compute.dictionaries.coherence import random_directions
from analysis.compute.dictionaries.sparse_codes import paired_blocks
from analysis.compute.linear.tap_spectrum import axes_of
from analysis.compute.statistics.moments import Moments
from analysis.compute.streaming import Pass, finite_blocks, refuse_few
from analysis.spec import Progress

if TYPE_CHECKING:
    from scipy.sparse import csr_array

OWN, PRINCIPAL, RANDOM, CLASSES = "dictionary", "principal components", "random dictionary", "class means"
FEWEST = 8  # rows


@dataclass(frozen=True)
class Yardsticks:
    """What the tap itself gives: its `mean` (d,), principal `axes` (r, d), all; `means` (C, d) of the classes, of
    `codes` (n_samples,), -1 for none."""

    moments: Moments
    axes: np.ndarray
    means: np.ndarray
    codes: np.ndarray | None


@dataclass
class Sums:
    """Over independent observations: `total` (s,) Σ |x - mean|², `left` Σ |x - x'|² by dictionary, `rows` and `active`
    counts; `fired` (k,) rows, `per_row` (k + 1,) rows by how many features are active; `random_total`,
    `random_fired` and `some` (a list of codes) on the rows that were drawn."""

    total: np.ndarray
    left: dict[str, np.ndarray]
    rows: np.ndarray
    active: np.ndarray
    fired: np.ndarray
    per_row: np.ndarray
    products: np.ndarray  # of the random dictionary: Σ <z, y>, Σ |y|², Σ |z|² (3, s)
    random_fired: np.ndarray
    random: np.ndarray
    class_total: np.ndarray
    some: list[csr_array] = field(default_factory=list)

    def explained(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """(left, total) by observation."""
        if name == RANDOM:
            dot, square, total = self.products
            gain = dot.sum() / square.sum() if square.sum() else 0.0
            return total - 2 * gain * dot + gain**2 * square, total
        return self.left[name], self.class_total if name == CLASSES else self.total


def yardsticks(
    source: Activations, codes: np.ndarray | None, classes: int, seen: Pass, progress: Progress, span
) -> Yardsticks:
    """One pass: moments and sums of classes. O(n d²). Raises NotEnoughData, InputError where nothing varies."""
    from scipy.sparse import csr_array

    total, d = None, source.shape[1]
    sums, counts = np.zeros((classes, d)), np.zeros(classes)
    for rows, x in finite_blocks(source, seen, progress, "measuring the tap", span):
        part = Moments.of(x)
        total = part if total is None else total.merge(part)
        if codes is not None:
            own = codes[source.layout.sample_of(rows)]
            known = own >= 0
            hot = csr_array((np.ones(known.sum()), (own[known], np.flatnonzero(known))), (classes, len(x)))
            sums += hot @ x
            counts += np.bincount(own[known], minlength=classes)
    refuse_few(source.name, 0 if total is None else total.n, FEWEST)
    axes = axes_of(total, source.name).directions
    return Yardsticks(total, axes, sums / np.maximum(counts, 1)[:, None], codes)


def reconstruction_sums(
    codes: Activations,
    source: Activations,
    decode: Callable[[csr_array, np.ndarray], np.ndarray],
    known: Yardsticks,
    seen: Pass,
    *,
    active: int,
    linear: bool,
    maximum_rows: int,
    rng: np.random.Generator,
    progress: Progress,
    span,
) -> Sums:
    """One pass over codes and source.

    `decode(codes (m, k), x (m, d))` is the dictionary's; `active` how many features its rivals may use; `linear`: the
    rivals of a dictionary without a sparse rule are projections. Random and co-active numbers use `maximum_rows` rows
    drawn at random. O(n (d active + nnz d / n) + maximum_rows k d).
    """
    k, d, layout = codes.shape[1], source.shape[1], source.layout
    s = layout.n_samples if seen.n_samples > 1 else layout.n_rows
    zeros = lambda: np.zeros(s)  # noqa: E731
    frame = known.axes[: min(active, len(known.axes))]
    random = random_directions(k, d, rng)
    if linear:
        random = np.linalg.qr(random.T)[0].T.astype(np.float32)
    left = {name: zeros() for name in (OWN, PRINCIPAL, *([] if known.codes is None else [CLASSES]))}
    found = Sums(zeros(), left, zeros(), zeros(), np.zeros(k, np.int64), np.zeros(k + 1, np.int64),
                 np.zeros((3, s)), np.zeros(k, np.int64), random, zeros())  # fmt: skip
    drawn = rng.random(layout.n_rows) < maximum_rows / max(layout.n_rows, 1)
    for rows, x, c in paired_blocks(codes, source, None, progress, "rebuilding", span):
        of = seen.owners(layout, rows)
        z = x - known.moments.mean
        square = np.einsum("ij,ij->i", z, z)
        rebuilt = decode(c, x)
        np.subtract(x, rebuilt, out=x)
        parts = {
            OWN: np.einsum("ij,ij->i", x, x),
            PRINCIPAL: np.maximum(square - ((z @ frame.T) ** 2).sum(axis=1), 0),
        }
        if known.codes is not None:
            _class_part(found, known, z, square, layout.sample_of(rows), of)
        for name, part in parts.items():
            left[name] += np.bincount(of, part, s)
        count = np.diff(c.indptr)
        found.total += np.bincount(of, square, s)
        found.rows += np.bincount(of, minlength=s)
        found.active += np.bincount(of, count, s)
        found.fired += np.bincount(c.indices, minlength=k)
        found.per_row += np.bincount(count, minlength=k + 1)
        pick = np.flatnonzero(drawn[rows])
        if len(pick):
            found.some.append(c[pick])
            _random_part(found, z[pick], of[pick], random, active, linear)
    return found


def _class_part(found: Sums, known: Yardsticks, z, square, sample, of) -> None:
    own = known.codes[sample]
    has = own >= 0
    left = z[has] - (known.means - known.moments.mean)[own[has]]
    s = len(found.total)
    found.left[CLASSES] += np.bincount(of[has], np.einsum("ij,ij->i", left, left), s)
    found.class_total += np.bincount(of[has], square[has], s)


def _random_part(
    found: Sums, z: np.ndarray, of: np.ndarray, random: np.ndarray, active: int, linear: bool
) -> None:
    """Codes z Rᵀ, all of them or the `active` largest that are positive."""
    codes = z.astype(np.float32) @ random.T
    if not linear:
        np.maximum(codes, 0, out=codes)
        if active < codes.shape[1]:
            least = np.partition(codes, -active, axis=1)[:, -active][:, None]
            codes[codes < least] = 0
    y = (codes @ random).astype(np.float64)
    if codes.shape[1] == len(found.random_fired):
        found.random_fired += (codes != 0).sum(axis=0)
    for i, part in enumerate(((z * y).sum(axis=1), (y * y).sum(axis=1), (z * z).sum(axis=1))):
        found.products[i] += np.bincount(of, part, len(found.total))
