"""The digest of a tap: two readings of the same rows are two inputs, and older stores keep the digest they had."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from analysis import pipeline, registry
from analysis.spec import make_params
from analysis.store import manifest
from analysis.store.from_arrays import write_store
from analysis.store.manifest import TapSpec
from analysis.store.reader import Store

SAMPLE = Path(__file__).parents[1] / "sample_data" / "workspace" / "stores"
READINGS = {
    "plain": {},
    "square": {"grid": (4, 4), "leading": 0},
    "wide": {"grid": (2, 8), "leading": 0},
    "first": {"grid": (5, 3), "leading": 1},
    "named": {"unit_names": ("a", "b", "c")},
}


def read_as(folder: Path, rows: np.ndarray, **layout) -> Store:
    spec = TapSpec("t", rows.shape[2], "float32", "all", **layout)
    return write_store(folder, name="s", taps={"t": rows}, specs={"t": spec})


@pytest.fixture
def stores(tmp_path, rng):
    rows = rng.standard_normal((6, 16, 3)).astype(np.float32)
    return {name: read_as(tmp_path / name, rows, **layout) for name, layout in READINGS.items()}


def without_the_mark(store: Store) -> Store:
    """As it was written before digests covered more than rows and samples."""
    about = manifest.read(store.path)
    del about["digested"]
    manifest.write(store.path, about)
    return Store.open(store.path)


def test_rows_that_are_read_in_another_way_are_another_input(stores):
    taps = {name: store.activations("t") for name, store in stores.items()}
    first = taps["plain"].take(np.arange(96))
    for tap in taps.values():
        np.testing.assert_array_equal(tap.take(np.arange(96)), first)
    assert len({tap.digest for tap in taps.values()}) == len(READINGS)
    method = registry.method("pca_spectrum")
    params = make_params(method.params, {})
    assert len({pipeline.key(method, [tap.digest], params, 0) for tap in taps.values()}) == len(READINGS)


def test_the_same_reading_is_the_same_input(tmp_path, rng):
    rows = rng.standard_normal((6, 16, 3)).astype(np.float32)
    one, two = (read_as(tmp_path / n, rows, grid=(4, 4)).activations("t").digest for n in "ab")
    assert one == two


def test_stores_written_before_keep_their_digests(stores):
    older = {without_the_mark(store).activations("t").digest for store in stores.values()}
    assert len(older) == 1  # their kept results are found, and collide as they did


def test_the_kept_results_of_the_sample_workspace_are_found():
    """What an encoded tap says of the tap it was made of was written down long ago, and a tap with a grid is among
    them."""
    files, grids = sorted(SAMPLE.glob("*/features/*/manifest.json")), set()
    assert files
    for file in files:
        entry = json.loads(file.read_text())
        store = Store.open(file.parents[2])
        grids.add(store.activations(entry["of"]).layout.grid)
        assert store.activations(entry["of"]).digest == entry["of_digest"]
    assert (4, 4) in grids


def test_a_manifest_names_no_other_facts(stores):
    """Its text comes from outside: what is no fact of a tap is passed over."""
    plain = stores["plain"]
    own = plain.activations("t").digest
    about = manifest.read(plain.path)
    about["digested"] = [*about["digested"], "__class__", "numpy_dtype", "nothing"]
    manifest.write(plain.path, about)
    assert Store.open(plain.path).activations("t").digest == own
