"""Encoding: what each feature of a set does in every row of a tap, written beside the tap as a tap of its own.

The new tap is called TAP@SET. It is sparse on disk and like any other tap elsewhere: it has cards, a map, correlations,
and every method runs on it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.arrays import finite_rows
from analysis.errors import ShapeError
from analysis.features.feature_set import FeatureSet
from analysis.features.nonzero_codes import NonzeroCodes
from analysis.spec import Progress, no_progress
from analysis.store.encoded import EncodedWriter
from analysis.store.finishing import TABLE
from analysis.store.manifest import TapSpec
from analysis.store.reader import Store
from analysis.store.sparse_shards import SHARD_ENTRIES, SHARD_ROWS

BLOCK_BYTES = 48 << 20  # of pre-activations at a time
INDEXING = 0.9  # share of the progress that is encoding
TRIED = 128  # rows that an estimate encodes
PER_ENTRY = 1e-6  # seconds for each code that is not 0: turned round, written, indexed
ENTRY_BYTES, UNIT_BYTES = 8, 12  # of a sparse shard: for each code, and for each feature


@dataclass(frozen=True)
class EncodingCost:
    """What encoding a tap will take: `active` features in a row on average, `seconds`, `disk` bytes."""

    rows: int
    active: float
    seconds: float
    disk: float


def encode_tap(
    store: Store, tap: str, features: FeatureSet, name: str = "", progress: Progress = no_progress
) -> Store:
    """Write the codes of `features` on the rows of `tap` as the tap `name` (TAP@SET where empty) of the same store, and
    open the store anew.

    One pass over the tap; rows that are not finite stay unknown. Time: a product of (rows, units) with (units,
    features), and about 1 µs for each code that is not 0; memory about 400 MB. Nothing is left behind where it fails or
    is cancelled.

    Raises
    ------
    NotFound, InputError
        No such tap, an unfinished store, a name that is taken.
    ShapeError
        The set was made for another width.
    """
    activations, name = store.activations(tap), name or f"{tap}@{features.name}"
    if activations.shape[1] != features.n_units:
        raise _other_width(activations, features)
    about = {"name": features.name, "digest": features.digest, "rule": features.rule, **features.about}
    total, done = max(activations.shape[0], 1), 0
    spec = TapSpec(name, features.n_features, "float32", unit_names=features.feature_names)
    with EncodedWriter(store, tap, spec, about) as writer:
        for counts, units, values, gaps in encoded_blocks(features, activations):
            writer.append(counts, units, values, gaps)
            done += len(counts)
            progress(INDEXING * done / total, f"{done:,} of {total:,} rows encoded")
        features.save(writer.set_folder)
        writer.finish(lambda share, doing="": progress(INDEXING + (1 - INDEXING) * share, doing))
    return Store.open(store.path)


def encoded_blocks(
    features: FeatureSet, activations: Activations
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Yield (counts, units, values, gaps) of every run of rows of a tap, as `EncodedWriter.append` takes them."""
    rows, codes = max(16, BLOCK_BYTES // (4 * features.n_features)), NonzeroCodes(features)
    for _, block in activations.chunks():
        for start in range(0, len(block), rows):
            part = block[start : start + rows]
            good = finite_rows(part)
            if good.all():
                yield *codes.of(part), np.zeros(0, np.int64)
                continue
            counts = np.zeros(len(part), np.int64)
            counts[good], units, values = codes.of(part[good])
            yield counts, units, values, np.flatnonzero(~good)


def encoding_cost(activations, features: FeatureSet) -> EncodingCost:
    """Estimated by encoding at most 128 rows spread over the tap. Raises ShapeError for another width.

    Cost: reading the parts that hold those rows, and their share of the whole work.
    """
    n, k = activations.shape[0], features.n_features
    if activations.shape[1] != features.n_units:
        raise _other_width(activations, features)
    x = activations.take(np.unique(np.linspace(0, n - 1, min(TRIED, n)).astype(np.int64))) if n else None
    x = np.zeros((0, features.n_units), np.float32) if x is None else x[finite_rows(x)]
    codes = NonzeroCodes(features)
    codes.of(x)  # the first product of a process is slower, and loops are compiled once
    started = time.perf_counter()
    counts, _, _ = codes.of(x)
    active = float(counts.mean()) if len(x) else 0.0
    each = (time.perf_counter() - started) / max(len(x), 1)
    entries = n * active
    shards = max(1, math.ceil(n / SHARD_ROWS), math.ceil(entries / SHARD_ENTRIES))
    disk = ENTRY_BYTES * entries + k * (UNIT_BYTES * shards + TABLE.itemsize)
    return EncodingCost(n, active, n * each + PER_ENTRY * entries, disk)


def _other_width(activations, features: FeatureSet) -> ShapeError:
    return ShapeError(
        f"{activations.name} has {activations.shape[1]} units",
        f"{features.n_units}, the width that '{features.name}' was made for",
        "Choose the tap it was made for",
    )


def firing_counts(store: Store, tap: str) -> np.ndarray:
    """(features,) in how many rows each feature of an encoded tap is not 0."""
    table = store.index(tap).table()
    return np.round(table["fraction_nonzero"] * table["count"]).astype(np.int64)
