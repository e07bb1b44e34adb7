"""Features of a sparse tap that fire too often for their entries to be read when a card opens.

Of these few the index keeps what it keeps of every unit of a long dense tap (`analysis.store.unit_reading.UnitFiles`),
so that a card reads a few kilobytes however often the feature fires.

    index/frequent_units.npy     (m,) the features, rising
    index/frequent_samples.npy   (m,) in how many samples each fires
    index/frequent_*.npy         the files of a long tap, line by line of these
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from analysis.store.sparse_activations import SparseActivations
from analysis.store.sparse_shards import read_units
from analysis.store.unit_reading import UnitFiles

if TYPE_CHECKING:
    from analysis.store.index import FeatureIndex

FREQUENT = 1 << 17  # entries from which a feature is one of them: reading them takes some milliseconds
BLOCK_BYTES = 32 << 20
PREFIX = "frequent_"
KEPT = (
    "top_values", "top_rows", "bucket_start", "bucket_index", "bucket_count", "slot_start", "slot_keys",
    "slot_values", "sample_rows", "sample_values", "class_count", "class_mean", "class_sd",
)  # fmt: skip


def frequent_files(
    activations: SparseActivations, entries: np.ndarray, classes: np.ndarray | None, n_classes: int, seed: int
) -> dict[str, np.ndarray]:
    """Index files by name; none where no feature is frequent. `entries` (units,): how many each feature has; `classes`
    (n_samples,) or None. One pass over their entries, made dense in pieces: about 8 ns for each row and feature."""
    units = np.flatnonzero(entries >= FREQUENT)
    if not len(units):
        return {}
    from analysis.store.row_map import RowMap
    from analysis.store.summaries import UnitSummary

    rows = RowMap.of(np.diff(activations.layout.offsets), classes)
    summary = UnitSummary(len(units), n_classes, seed)
    for first, block in _blocks(activations, units):
        summary.update(block, rows.rows(first, block.shape[1]))
    found = {name: array for name, array in summary.finish().arrays().items() if name in KEPT}
    return {
        PREFIX + name: a
        for name, a in {"units": units, "samples": _samples(activations, units), **found}.items()
    }


def _samples(activations: SparseActivations, units: np.ndarray) -> np.ndarray:
    """(units,) in how many samples each fires."""
    found, last = np.zeros(len(units), np.int64), np.full(len(units), -1)
    for shard in activations.shards:
        for k, u in enumerate(units):
            rows = read_units(shard, int(u), int(u) + 1).rows
            sample = activations.layout.sample_of(rows.astype(np.int64) + shard.first)  # rising
            if len(sample):
                found[k] += np.count_nonzero(np.diff(sample, prepend=last[k]))
                last[k] = sample[-1]
    return found


def _blocks(activations: SparseActivations, units: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """(first row, float32 block (units, rows)): these units alone, a piece of a shard at a time."""
    step = max(1024, BLOCK_BYTES // (4 * len(units)))
    for shard in activations.shards:
        own = [read_units(shard, int(u), int(u) + 1) for u in units]
        for start in range(0, shard.rows, step):
            block = np.zeros((len(units), min(step, shard.rows - start)), np.float32)
            for line, e in zip(block, own, strict=True):
                a, b = np.searchsorted(e.rows, (start, start + len(line)))
                line[e.rows[a:b] - start] = e.values[a:b]
            gaps = activations.gaps - shard.first - start
            block[:, gaps[(gaps >= 0) & (gaps < block.shape[1])]] = np.nan
            yield shard.first + start, block


class FrequentUnits:
    """`places`: the line of each frequent feature; `files` reads a line as `UnitFiles` does."""

    def __init__(self, index: FeatureIndex) -> None:
        self._index, self.places, self.files = index, {}, None
        if (
            index.folder / f"{PREFIX}units.npy"
        ).exists():  # there are none in a tap encoded before they were kept
            units = index.file(f"{PREFIX}units").whole()
            self.places = {int(u): line for line, u in enumerate(units)}
            self.files = _Files(index)

    def samples(self, unit: int) -> int:
        """In how many samples it fires."""
        return int(self._index.file(f"{PREFIX}samples").row(self.places[unit]))


class _Files(UnitFiles):
    def __init__(self, index: FeatureIndex) -> None:
        super().__init__(index)
        self._file = lambda name: index.file(PREFIX + name)
