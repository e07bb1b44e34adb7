"""What a dictionary is judged beside: rebuilt rows of a tap by what costs nothing, as replacements of its rows.

principal components   mean + P Pᵀ (x - mean), as many as the dictionary has active features in a row
random dictionary      its size, its number of active features (the largest positive products), one factor for all codes
                       by least squares; of a dictionary without a sparse rule, random projections
class means            the mean of the row's class, which is told: a supervised dictionary with one active feature;
                       without classes, of the row's token text
mean, zero             the ablations: nothing of the row is left
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.arrays import finite_rows
from analysis.compute.dictionaries.coherence import random_directions
from analysis.compute.linear.tap_spectrum import axes_of
from analysis.compute.rows.class_codes import class_codes
from analysis.compute.statistics.moments import Moments
from analysis.compute.streaming import Pass, finite_blocks, refuse_few
from analysis.errors import NotEnoughData
from analysis.features import rules
from analysis.features.answers import Replacement
from analysis.features.tap_dictionary import TapDictionary
from analysis.spec import Progress

OWN, PRINCIPAL, RANDOM = "dictionary", "principal components", "random dictionary"
CLASSES, TOKENS, MEAN, ZERO = "class means", "token means", "mean", "zero"
FEWEST, SMALLEST = 8, 5  # rows of the tap; rows of a token text that has a mean of its own


@dataclass(frozen=True)
class RowClasses:
    """`codes` (n_rows,) class of each row, -1 for none, among `names`; `what` they are; `notes`."""

    codes: np.ndarray
    names: tuple[str, ...]
    what: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Rivals:
    """Fitted to all finite rows of the tap. `class_means` (C, d), `row_codes` (n_rows,); `random` (k, d), `gain`."""

    made: TapDictionary
    moments: Moments
    axes: np.ndarray
    active: int
    random: np.ndarray
    gain: float
    classes: RowClasses | None
    class_means: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        return self.moments.mean

    @property
    def linear(self) -> bool:
        return self.made.features.rule == rules.LINEAR

    def random_codes(self, x: np.ndarray) -> np.ndarray:
        """(m, k) float32 of rows `x`: all products, or the `active` largest that are positive."""
        return random_codes((x - self.mean).astype(np.float32), self.random, self.active, self.linear)

    def rebuilt(self) -> dict[str, Replacement]:
        """Every dictionary that can rebuild rows, this one first."""
        mean, frame = self.mean, self.axes[: self.active]
        found = {
            OWN: self._own,
            PRINCIPAL: lambda x, rows: mean + ((x - mean) @ frame.T) @ frame,
            RANDOM: lambda x, rows: (
                mean + self.gain * (self.random_codes(x) @ self.random).astype(np.float64)
            ),
        }
        if self.classes is not None:
            found[self.classes.what] = self._class_mean
        return found

    def ablations(self) -> dict[str, Replacement]:
        mean = self.mean
        return {
            MEAN: lambda x, rows: np.broadcast_to(mean, x.shape),
            ZERO: lambda x, rows: np.zeros_like(x),
        }

    def without(self, replace: Replacement) -> Replacement:
        """The row with what a dictionary rebuilds of it taken out: x - (x' - mean)."""
        return lambda x, rows: x - (replace(x, rows) - self.mean)

    def _own(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        if self.made.of_units:
            return x
        return self.made.features.reconstruct(x.astype(np.float32)).astype(np.float64)

    def _class_mean(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        own = self.classes.codes[rows]
        return np.where((own >= 0)[:, None], self.class_means[own], self.mean)


def random_codes(z: np.ndarray, random: np.ndarray, active: int, linear: bool) -> np.ndarray:
    """(m, k) of centred rows `z` (m, d)."""
    codes = z @ random.T
    if linear:
        return codes
    return rules.keep_largest(codes, min(active, codes.shape[1]))


def row_classes(tap: Activations, column: str | None) -> RowClasses | None:
    """The class of every row: its sample's label, or without such a column its token's text. None where neither is."""
    layout = tap.layout
    if column is not None:
        try:
            found = class_codes(np.asarray(tap.samples[column]), column, 2)
        except NotEnoughData:
            return None
        codes = np.full(len(found.stay), -1)
        codes[found.stay] = found.codes
        return RowClasses(
            codes[layout.sample_of(np.arange(layout.n_rows))], found.names, CLASSES, tuple(found.notes)
        )
    if layout.is_pooled or not hasattr(tap, "tokens"):
        return None
    texts = [tap.tokens(i) for i in range(layout.n_samples)]
    counts = np.diff(layout.offsets)
    if any(t is None or len(t) != c for t, c in zip(texts, counts, strict=True)):
        return None
    names, of = np.unique(np.array([w for t in texts for w in t]), return_inverse=True)
    good = np.bincount(of) >= SMALLEST
    note = f"Token means: of the {int(good.sum())} token texts with {SMALLEST} rows or more; other rows get the mean."
    return RowClasses(
        np.where(good, np.cumsum(good) - 1, -1)[of], tuple(names[good].tolist()), TOKENS, (note,)
    )


def rivals(
    made: TapDictionary, classes: RowClasses | None, some: int, rng, seen: Pass, progress: Progress, span
) -> Rivals:
    """One pass over the tap, O(n d²), and `some` random rows for the random dictionary's factor.

    Raises NotEnoughData below eight finite rows, InputError where nothing varies and for prototypes.
    """
    made.features.refuse_to_rebuild()
    source, total = made.source, None
    (n, d), count = source.shape, 0 if classes is None else len(classes.names)
    sums, sizes = np.zeros((count, d)), np.zeros(count)
    for rows, x in finite_blocks(source, seen, progress, "measuring the tap", span):
        part = Moments.of(x)
        total = part if total is None else total.merge(part)
        if classes is not None:
            own = classes.codes[rows]
            order = np.argsort(own, kind="stable")
            starts = np.flatnonzero(np.diff(own[order], prepend=-2) != 0)
            sums_here, which = np.add.reduceat(x[order], starts, axis=0), own[order][starts]
            sums[which[which >= 0]] += sums_here[which >= 0]
            sizes += np.bincount(own[own >= 0], minlength=count)
    refuse_few(source.name, 0 if total is None else total.n, FEWEST)
    axes = axes_of(total, source.name).directions
    linear = made.features.rule == rules.LINEAR
    random = random_directions(made.features.n_features, d, rng)
    if linear:
        random = np.linalg.qr(random.T)[0].T.astype(np.float32)
    active = made.typical_active
    x = np.asarray(source.take(some_rows(n, min(some, 2000), rng)))
    z = (x[finite_rows(x)] - total.mean).astype(np.float32)
    y = random_codes(z.copy(), random, active, linear) @ random
    square = float((y.astype(np.float64) ** 2).sum())
    gain = float((y.astype(np.float64) * z).sum()) / square if square else 0.0
    means = sums / np.maximum(sizes, 1)[:, None]
    return Rivals(made, total, axes, min(active, d), random, gain, classes, means)


def some_rows(n: int, most: int, rng: np.random.Generator) -> np.ndarray:
    """At most `most` of n rows, rising."""
    return np.arange(n) if n <= most else np.sort(rng.choice(n, size=most, replace=False))


def explained(
    source: Activations, replaced: dict[str, Replacement], mean: np.ndarray, rows: np.ndarray
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Of every replacement (left, total), squares of each sample among `rows` about the replacement and the mean."""
    x = np.asarray(source.take(rows))
    good = finite_rows(x)
    x, rows = x[good].astype(np.float64), rows[good]
    of = np.unique(source.layout.sample_of(rows), return_inverse=True)[1]
    if of.max(initial=0) == 0:
        of = np.arange(len(rows))
    total = np.bincount(of, ((x - mean) ** 2).sum(axis=1))
    return {
        name: (np.bincount(of, ((x - f(x, rows)) ** 2).sum(axis=1)), total) for name, f in replaced.items()
    }
