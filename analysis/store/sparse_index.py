"""The feature index of a sparse tap: the table of all units, their sampled rows and classes, in one pass over their
entries. Every number is the one that `analysis.store.finishing` gives for the same values kept densely; here zeros are
counted, not read. Quantiles are exact."""

from __future__ import annotations

from functools import cached_property
from types import SimpleNamespace

import numpy as np

from analysis.spec import no_progress
from analysis.store import sampling
from analysis.store.finishing import QUANTILES, TABLE, correlation_sketch, top_class
from analysis.store.frequent_units import frequent_files
from analysis.store.sparse_activations import SparseActivations
from analysis.store.sparse_shards import Entries
from analysis.store.sparse_units import CLASS_ROWS, SAMPLED, strongest
from analysis.store.summaries import SAMPLE_ROWS, TOP_ROWS

BLOCK_ENTRIES = 1 << 22  # entries sorted at a time: 300 MB
SKETCH = 1024  # buckets, as of dense taps


class RowFacts:
    """What the index of a tap knows of its rows: `sample` and `label` of any row, how many rows are finite, `per_class`
    of them, and the `drawn` rows (at most 512) with the smallest sampling keys."""

    def __init__(self, activations: SparseActivations, classes: np.ndarray | None, n_classes: int, seed: int):
        self.n, self.seed, self.n_classes = activations.shape[0], seed, n_classes
        self._layout, self.classes, self.gaps = activations.layout, classes, activations.gaps
        self.finite = self.n - len(self.gaps)
        keys = sampling.keys_of(np.arange(self.n), seed)
        few = min(SAMPLE_ROWS, self.n)
        order = np.argpartition(keys, few - 1)[:few] if self.n else np.zeros(0, np.int64)
        order = order[np.argsort(keys[order], kind="stable")]
        self.drawn = order[keys[order] != sampling.EMPTY]
        self.tokens = np.diff(self._layout.offsets)
        self.per_class = np.zeros(n_classes, np.int64)
        if classes is not None:
            known = classes >= 0
            self.per_class = np.bincount(classes[known], self.tokens[known], n_classes).astype(np.int64)
            lost = self.label(self.gaps)
            self.per_class -= np.bincount(lost[lost >= 0], minlength=n_classes)

    @cached_property
    def samples(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The sample of each row; of each sample how many rows it has and its sign in the sketch. 4 bytes per row."""
        of_row = np.repeat(np.arange(len(self.tokens), dtype=np.int32), self.tokens)
        return of_row, self.tokens, sampling.signs_of(np.arange(len(self.tokens)), self.seed)

    def sample(self, rows: np.ndarray) -> np.ndarray:
        return self._layout.sample_of(rows)

    def label(self, rows: np.ndarray) -> np.ndarray:
        if self.classes is None:
            return np.full(len(rows), -1)
        return self.classes[self.sample(rows)]


def sparse_index(
    activations: SparseActivations, facts: RowFacts, with_sketch: bool, progress=no_progress
) -> dict[str, np.ndarray]:
    """Index files by name: the table, the sampled rows, the rows of each class, and the correlation sketch where asked.

    One pass over all entries, in blocks of units. Time about 1 µs per entry.
    """
    n_units = activations.shape[1]
    table = np.zeros(n_units, TABLE)
    table["unit"] = np.arange(n_units)
    projected = np.zeros((n_units if with_sketch else 0, SKETCH), np.int8)
    ones = _constant_sketch(activations, facts) if with_sketch else None
    for first, stop in _unit_blocks(activations):
        progress(first / n_units, f"indexing {activations.name}")
        entries = activations.entries(first, stop)
        _fill(table[first:stop], entries, activations, facts)
        if with_sketch:
            projected[first:stop] = _projected(entries, facts, *ones)
    number = np.round(table["fraction_nonzero"] * table["count"])
    frequent = frequent_files(activations, number, facts.classes, facts.n_classes, facts.seed)
    files = {**frequent, "table": table, SAMPLED: facts.drawn.astype(np.int64), CLASS_ROWS: facts.per_class}
    return {**files, "sketch": projected} if with_sketch else files


def _unit_blocks(activations: SparseActivations):
    """Runs of units with about `BLOCK_ENTRIES` entries each, by the mean."""
    n_units = activations.shape[1]
    step = max(1, int(BLOCK_ENTRIES * n_units / max(activations.n_entries, 1)))
    for first in range(0, n_units, step):
        yield first, min(first + step, n_units)


def _fill(table: np.ndarray, entries: Entries, activations: SparseActivations, facts: RowFacts) -> None:
    """The lines of a block of units."""
    from analysis.store import sparse_kernels
    from analysis.store.summaries import in_threads

    n, counts, values = facts.finite, np.diff(entries.starts), entries.values
    units = len(counts)
    powers, below = np.empty((units, 4)), np.empty(units, np.int64)
    low, high, ranks = np.empty(units), np.empty(units), np.empty((units, len(QUANTILES)))
    wanted = np.array([min(max(int(np.ceil(q * n)), 1), max(n, 1)) for q in QUANTILES.values()])

    def part(a: int, b: int) -> None:
        sparse_kernels.moments(entries.starts, values, n, powers, low, high, below, a, b)
        sparse_kernels.ranked(entries.starts, values, below, n, wanted, ranks, a, b)

    in_threads(part, units, len(values))
    mean, m2, m3, m4 = powers.T
    constant = low == high
    table["count"], table["nonfinite"] = n, len(activations.gaps)
    with np.errstate(invalid="ignore", divide="ignore"):
        table["mean"], table["minimum"], table["maximum"] = (
            np.where(n > 0, v, np.nan) for v in (mean, low, high)
        )
        table["sd"] = np.where(constant & (n > 1), 0.0, np.sqrt(m2 / (n - 1)) if n > 1 else np.nan)
        table["fraction_positive"] = (counts - below) / n if n else np.nan
        table["fraction_nonzero"] = counts / n if n else np.nan
        spread = ~constant & (m2 > 0)
        table["skewness"] = np.where(spread, np.sqrt(n) * m3 / m2**1.5, np.nan)
        table["kurtosis"] = np.where(spread, n * m4 / m2**2 - 3, np.nan)
    for name, column in zip(QUANTILES, ranks.T, strict=True):
        table[name] = column if n else np.nan
    table["dead"] = constant | (n == 0)
    best = _strongest_of_each(entries, below, facts)
    table["top_class"], table["top_class_share"] = top_class(
        SimpleNamespace(n_units=units, minimum=low, maximum=high, **best)
    )


def _strongest_of_each(entries: Entries, below: np.ndarray, facts: RowFacts) -> dict[str, np.ndarray]:
    """`top_values` (units, 64), -inf where there are fewer entries, and `top_classes`; of a unit that is negative
    somewhere its zeros are among them."""
    from analysis.store import sparse_kernels
    from analysis.store.summaries import in_threads

    n, starts = len(below), entries.starts
    top, at = np.empty((n, TOP_ROWS)), np.empty((n, TOP_ROWS), np.int64)
    in_threads(
        lambda a, b: sparse_kernels.strongest_entries(starts, entries.values, TOP_ROWS, top, at, a, b),
        n, len(entries.values),
    )  # fmt: skip
    label = np.full((n, TOP_ROWS), -1)
    label[at >= 0] = facts.label(entries.rows[at[at >= 0]])
    for j in np.flatnonzero(below):
        own = slice(starts[j], starts[j + 1])
        chosen, strong = strongest(entries.rows[own], entries.values[own], facts.n, facts.gaps)
        top[j], label[j] = -np.inf, -1
        top[j, : len(strong)], label[j, : len(strong)] = strong, facts.label(chosen)
    return {"top_values": top, "top_classes": label}


def _constant_sketch(activations: SparseActivations, facts: RowFacts) -> tuple[np.ndarray, float]:
    """The sketch of the constant 1 and the samples seen, rows without values left out."""
    sample = np.repeat(np.arange(len(facts.tokens)), facts.tokens)
    sample = np.delete(sample, activations.gaps)
    share = 1.0 / facts.tokens[sample]
    sign = sampling.signs_of(sample, facts.seed)
    return np.bincount(sample % SKETCH, sign * share, SKETCH), float(share.sum())


def _projected(entries: Entries, facts: RowFacts, ones: np.ndarray, seen: float) -> np.ndarray:
    """The int8 correlation sketch of a block of units, as of dense taps."""
    from analysis.store import sparse_kernels
    from analysis.store.summaries import in_threads

    n = len(entries.starts) - 1
    sums, totals = np.zeros((n, SKETCH)), np.zeros(n)
    given = (entries.starts, entries.rows, entries.values, *facts.samples, sums, totals)
    in_threads(lambda a, b: sparse_kernels.sketched(*given, a, b), n, len(entries.values))
    return correlation_sketch(
        SimpleNamespace(
            sketch=sums, sketch_ones=ones, samples_seen=np.array([seen]), n_units=n,
            missing=np.zeros((0, 0)), sample_sum=totals,
        )
    )  # fmt: skip
