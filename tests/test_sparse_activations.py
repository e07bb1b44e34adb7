"""Sparse taps: the same numbers as the dense array they were made from, by unit, by block, by row; damage is named."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from analysis.activations import Layout
from analysis.errors import NotFound, StoreDamaged
from analysis.store.manifest import TapSpec
from analysis.store.sparse_activations import SparseActivations
from analysis.store.sparse_shards import (
    SparseShard,
    by_unit,
    read_tables,
    read_units,
    shard_name,
    write_sparse_shard,
)

UNITS, CUTS = 13, (0, 50, 51, 51, 120)  # one shard has a single row, one has none


def planted(seed=0):
    """(rows, units) with many zeros, a unit that never fires, one that always does, one that is negative."""
    rng = np.random.default_rng(seed)
    x = np.where(rng.random((CUTS[-1], UNITS)) < 0.2, rng.gamma(2.0, size=(CUTS[-1], UNITS)), 0)
    x[:, 3], x[:, 4], x[:, 5] = 0, 1 + rng.random(len(x)), -x[:, 5]
    return x.astype(np.float32)


def written(folder, x, dtype=np.float32, gaps=()):
    shards = []
    for number, (a, b) in enumerate(pairwise(CUTS)):
        part = x[a:b].astype(dtype)
        rows, units = np.nonzero(part)
        indptr = np.searchsorted(rows, np.arange(b - a + 1))
        entries = by_unit(indptr, units, part[rows, units], UNITS)
        path = folder / shard_name(number)
        digest = write_sparse_shard(path, entries)
        shards.append(SparseShard(path, a, b - a, UNITS, len(entries.rows), np.dtype(dtype), digest))
    spec = TapSpec("t", UNITS, np.dtype(dtype).name, "all")
    layout = Layout(np.arange(0, len(x) + 1, 3))
    return SparseActivations("s:t", spec, layout, shards, np.array(gaps, np.int64), "d", {}), shards


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_every_way_of_reading_gives_the_array(tmp_path, dtype):
    x = planted().astype(dtype).astype(np.float32)
    tap, _ = written(tmp_path, x, dtype)
    assert tap.shape == x.shape
    assert tap.n_entries == np.count_nonzero(x)
    for j in range(UNITS):
        np.testing.assert_array_equal(tap.unit(j), x[:, j])
        rows, values = tap.entries_of(j)
        np.testing.assert_array_equal(rows, np.flatnonzero(x[:, j]))
        np.testing.assert_array_equal(values, x[rows, j])
    for size in (1, 7, 4096):
        blocks = list(tap.chunks(size))
        assert max(len(b) for _, b in blocks) <= size
        np.testing.assert_array_equal(np.concatenate([b for _, b in blocks]), x)
        np.testing.assert_array_equal(
            [f for f, _ in blocks], np.cumsum([0, *(len(b) for _, b in blocks)])[:-1]
        )
    asked = np.array([119, 0, 50, 50, -1, 7])
    np.testing.assert_array_equal(tap.take(asked), x[asked])
    both = tap.entries(2, 7)
    for j in range(2, 7):
        own = slice(both.starts[j - 2], both.starts[j - 1])
        np.testing.assert_array_equal(both.rows[own], np.flatnonzero(x[:, j]))
        np.testing.assert_array_equal(both.values[own], x[both.rows[own], j])


def test_rows_of_which_nothing_is_known_are_nan_everywhere(tmp_path):
    x, gaps = planted(), [3, 50, 119]
    x[gaps] = 0
    tap, _ = written(tmp_path, x, gaps=gaps)
    x[gaps] = np.nan
    np.testing.assert_array_equal(tap.unit(4), x[:, 4])
    np.testing.assert_array_equal(np.concatenate([b for _, b in tap.chunks(11)]), x)
    np.testing.assert_array_equal(tap.take(np.arange(len(x))), x)


def test_what_is_not_there_is_refused(tmp_path):
    tap, _ = written(tmp_path, planted())
    with pytest.raises(NotFound, match="no unit 13"):
        tap.entries_of(13)
    with pytest.raises(NotFound, match="no row 120"):
        tap.take([0, 120])


@pytest.mark.parametrize("part", ["rows", "values", "starts", "checksums"])
def test_a_changed_byte_names_the_chunk_and_the_unit(tmp_path, part):
    _, shards = written(tmp_path, planted())
    shard = shards[0]
    inside = read_units(shard, 4, 5)
    at = {
        "rows": shard.rows_at + 4 * int(read_tables(shard)[0][4]),
        "values": shard.values_at + 4 * int(read_tables(shard)[0][4]),
        "starts": 8 * 4,
        "checksums": shard.checksums_at + 4 * 4,
    }[part]
    assert len(inside.rows) == 50
    data = bytearray(shard.path.read_bytes())
    data[at] ^= 1
    shard.path.write_bytes(data)
    with pytest.raises(StoreDamaged, match="unit"):
        read_units(shard, 4, 5)
    if part in ("starts", "checksums"):
        with pytest.raises(StoreDamaged, match="tables"):
            read_tables(shard)
    else:
        read_units(shard, 6, 7)  # the others are as they were


def test_a_short_or_missing_file_is_named(tmp_path):
    tap, shards = written(tmp_path, planted())
    shards[-1].path.write_bytes(shards[-1].path.read_bytes()[:-1])
    with pytest.raises(StoreDamaged, match="bytes instead of"):
        read_tables(shards[-1])
    shards[-1].path.unlink()
    with pytest.raises(StoreDamaged, match="missing"):
        tap.unit(0)
