"""One unit of one tap, read once: what every part of its card draws from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from analysis.activations import Activations
from analysis.store.encoded import encoded_at
from dashboard.browse import examples, feature_card
from dashboard.browse.kept import Kept
from dashboard.browse.labels import Labels, labels_of
from dashboard.browse.sparse_column import SparseColumn, StoredColumn
from dashboard.browse.unit_words import word_of

MOST_CORRELATED, WHEN_LARGE, LARGE = 8, 5, 20_000  # each costs three columns read: fewer above 20,000 samples
LOWEST = 64
ALWAYS = 0.99  # share of the rows
_correlated = Kept(512)  # the slowest part of a card at 100,000 samples


@dataclass(frozen=True)
class Unit:
    """`reference` is "store:tap"; `names` what all units of the tap are called, where they have more than numbers.
    Everything else is read when first asked for."""

    store: object
    reference: str
    number: int
    names: tuple[str, ...] = ()

    def called(self, number: int) -> str:
        """The name of a unit of this tap; "" where it has only its number."""
        name = self.names[number] if number < len(self.names) else ""
        return "" if name == str(number) else name

    def titled(self, number: int) -> str:
        """A unit of this tap on a line: its number with its name, or what it is with its number."""
        name = self.called(number)
        return f"{number} {name}" if name else f"{self.word} {number}"

    @property
    def title(self) -> str:
        """What its card is headed: "Unit 12", "Feature 7: open brackets"."""
        called = self.called(self.number)
        more = f": {called}" if called and called != self.name else ""
        return f"{self.word.capitalize()} {self.name}{more}"

    @property
    def tap(self) -> str:
        """Its name within the store."""
        return self.reference.partition(":")[2]

    @cached_property
    def activations(self) -> Activations:
        """All units of the tap; nothing is read yet."""
        return self.store.activations(self.tap)

    @cached_property
    def index(self):
        """The feature index of the tap."""
        return self.store.index(self.tap)

    @cached_property
    def name(self) -> str:
        """Its own name, or its number where it has none."""
        return str(self.activations.unit_names[self.number])

    @cached_property
    def column(self) -> np.ndarray:
        """(rows,) its value everywhere."""
        return np.asarray(self.activations.unit(self.number), np.float32)

    @cached_property
    def entries(self) -> tuple[np.ndarray, np.ndarray] | None:
        """(rows, values) where it is not 0, of a tap that is kept sparsely; None of any other. What a card shows of a
        feature is made of these: they are few, whatever the number of rows."""
        return self.index.entries(self.number)

    @property
    def is_sparse(self) -> bool:
        """Whether it is a feature of a tap that is kept sparsely."""
        return hasattr(self.activations, "entries_of")

    @property
    def active(self) -> int:
        """On how many rows it is not 0."""
        table = self.index.table()
        return round(float(table["fraction_nonzero"][self.number] or 0) * int(table["count"][self.number]))

    @property
    def is_always_on(self) -> bool:
        """Whether it is active on nearly all rows, as the features of a linear set are."""
        return self.is_sparse and self.silent < 1 - ALWAYS

    @property
    def silent(self) -> float:
        """Share of the rows on which a feature is 0; 0 where that is not kept."""
        if not self.is_sparse or not self.index.table()["count"][self.number]:
            return 0.0
        return 1 - self.active / max(self.activations.shape[0], 1)

    @cached_property
    def labels(self) -> Labels | None:
        """The classes of the samples; None without labels."""
        return labels_of(self.store)

    @cached_property
    def strongest(self) -> tuple[np.ndarray, np.ndarray]:
        """(rows, values) of the 64 strongest, falling."""
        return self.index.top(self.number)

    @property
    def is_dead(self) -> bool:
        """Whether it has the same value on every row."""
        return bool(self.index.table()["dead"][self.number])

    @property
    def word(self) -> str:
        """What it is: "unit", or "feature" of an encoded tap."""
        return word_of(self.store, self.tap)

    @property
    def row_word(self) -> str:
        """What one row of the tap is: "samples" or "tokens"."""
        return "samples" if self.activations.layout.is_pooled else "tokens"

    def sentences(self) -> list[str]:
        """What is said on top of the card."""
        rows, values = self.strongest
        column = self.index.table()["minimum"][[self.number]] if self.is_sparse else self.column
        samples = feature_card.strongest_samples(self.activations, rows, values, column)
        top = None if self.is_dead else feature_card.top_class(self.labels, samples)
        return feature_card.headline(self.index.table(), self.number, self.row_word, len(rows), top)

    @property
    def lowest(self) -> tuple[np.ndarray, np.ndarray]:
        """(rows, values) of the 64 lowest, rising. Reads the unit's column."""
        values = np.where(np.isfinite(self.column), self.column, np.inf)
        k = min(LOWEST, int(np.isfinite(values).sum()))
        rows = np.argpartition(values, k - 1)[:k] if k else np.zeros(0, np.int64)
        rows = rows[np.argsort(values[rows], kind="stable")]
        return rows, self.column[rows]

    def tiles(self, limit: int = 12, *, lowest: bool = False) -> list[dict]:
        """Its strongest examples, or the lowest."""
        rows, values = self.lowest if lowest else self.strongest
        return self.tiles_of(rows, values, limit)

    def tiles_of(self, rows, values, limit: int) -> list[dict]:
        """Tiles of these rows, one per sample."""
        layout = self.activations.layout
        return examples.tiles(self.store, self.tap, layout, rows, values, self._pieces, limit)

    @property
    def _pieces(self):
        """Its values, of which a few slices are read."""
        if not self.is_sparse:
            return self.column
        if self.index.is_frequent(self.number):
            return StoredColumn(self.activations, self.number)
        return SparseColumn(*self.entries, self.activations.gaps)

    def histogram(self):
        """How often each value occurs, a Distribution by class; of a feature that is 0 on most rows where it is not."""
        known, name = (self.activations, self.number), f"{self.name} of {self.reference}"
        if self.is_sparse and self.index.is_frequent(self.number):
            return feature_card.histogram_of_counts(*self.index.histogram_of_entries(self.number), name)
        if 0.5 < self.silent < 1:
            rows, values = self.entries
            return feature_card.histogram(*known, values, self.labels, name, rows)
        return feature_card.histogram(*known, self.column, self.labels, name)

    @property
    def rows_shown(self) -> str:
        """Which rows the histogram counts."""
        if not 0.5 < self.silent < 1:
            return self.row_word
        return f"the {self.active:,} {self.row_word} where it is not 0"

    def band_words(self, band) -> str:
        """What stands above the examples of one band of activation."""
        return f"{band.low:.3g} to {band.high:.3g}: {band.n:,} {self.row_word}, some of them at random"

    def class_means(self) -> list[tuple[str, int, float, float, float, tuple[float, float]]]:
        """(class, rows, mean, low, high, chance) of the classes that have rows; `chance`: the middle 95 % of the mean
        of as many rows drawn without looking at labels."""
        c, table = self.index.classes(self.number), self.index.table()
        whole = (float(table[name][self.number]) for name in ("mean", "sd", "count"))
        chance = feature_card.mean_by_chance(*whole)
        found = zip(c.names, c.count, c.mean, c.low, c.high, strict=True)
        return [
            (name, int(n), float(m), float(a), float(b), chance(int(n)))
            for name, n, m, a, b in found
            if n and np.isfinite(m)
        ]

    def correlated(self) -> tuple[list[tuple], float]:
        """(tap, unit, r, low, high, n) of the most correlated units, and the |r| that the best of as many
        independent units would reach by chance in 19 of 20 cases."""
        key = (self.store.digest, encoded_at(self.store.path), self.tap, self.number)
        k = WHEN_LARGE if self.store.n_samples > LARGE else MOST_CORRELATED
        found = [] if self.is_dead else _correlated.get(key, lambda: self.index.correlated(self.number, k))
        n = min((line[5] for line in found), default=0)
        units = sum(tap.n_units for tap in self.store.taps.values()) - 1
        return found, best_correlation_by_chance(units, n)


def best_correlation_by_chance(units: int, n: int, level: float = 0.95) -> float:
    """Quantile of the largest |r| among `units` independent Gaussian units over n samples (Fisher's z)."""
    if n < 4 or units < 1:
        return 1.0
    from scipy.special import ndtri

    z = ndtri(0.5 * (1 + level ** (1 / units)))
    return math.tanh(float(z) / math.sqrt(n - 3))
