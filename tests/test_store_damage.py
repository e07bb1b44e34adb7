"""Bytes that change after writing, manifests of others: named, never read as if they were whole."""

from __future__ import annotations

import json

import numpy as np
import pytest

from analysis.errors import (
    NewerSchema,
    StoreDamaged,
)
from analysis.store import manifest, shards
from analysis.store.from_arrays import write_store
from analysis.store.manifest import TapSpec
from analysis.store.reader import Store
from analysis.store.writer import StoreWriter, TapBlock


def test_a_flipped_byte_is_named(tmp_path):
    x = np.random.default_rng(0).normal(size=(9000, 6)).astype(np.float32)
    store = write_store(tmp_path / "s", name="s", taps={"m": x})
    path = store.folder("m") / shards.shard_name(1)
    data = bytearray(path.read_bytes())
    data[3 * store.shards("m")[1].row_bytes + 10] ^= 0x10  # in unit 3
    path.write_bytes(data)
    store = Store.open(tmp_path / "s")
    assert len(store.verify()) == 1
    assert "000001.rows" in store.verify()[0]
    assert "unit 3" in store.verify()[0]
    np.testing.assert_array_equal(store.activations("m").unit(2), x[:, 2])
    with pytest.raises(StoreDamaged, match=r"000001\.rows"):
        store.activations("m").unit(3)
    with pytest.raises(StoreDamaged, match=r"000001\.rows"):
        list(store.activations("m").chunks())


@pytest.mark.parametrize("name", ["samples.parquet", "index/table.npy", "checksums.npy", "manifest.json"])
def test_a_flipped_byte_elsewhere(tmp_path, name):
    store = write_store(tmp_path / "s", name="s", taps={"m": np.eye(5)})
    path = next(tmp_path.rglob(name))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    if name == "manifest.json":
        with pytest.raises(StoreDamaged):
            Store.open(store.path)
    else:
        assert any(name in line for line in Store.open(store.path).verify())


def test_a_manifest_edited_by_hand_is_damage(tmp_path):
    write_store(tmp_path / "s", name="s", taps={"m": np.eye(5)})
    path = tmp_path / "s" / manifest.FILE
    path.write_text(path.read_text().replace('"n_samples": 5', '"n_samples": 4'))
    with pytest.raises(StoreDamaged, match="checksum"):
        Store.open(tmp_path / "s")


def test_a_newer_schema_is_refused(tmp_path):
    write_store(tmp_path / "s", name="s", taps={"m": np.eye(5)})
    about = json.loads((tmp_path / "s" / manifest.FILE).read_text())
    manifest.write(tmp_path / "s", {**about, "schema": manifest.SCHEMA + 1})
    with pytest.raises(NewerSchema, match="Update"):
        Store.open(tmp_path / "s")
    with pytest.raises(NewerSchema):
        StoreWriter.resume(tmp_path / "s")


def test_a_recording_begun_under_the_first_schema_ends_under_this_one(tmp_path):
    x = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    with StoreWriter.create(tmp_path / "s", name="s", taps=[TapSpec("m", 3, "float32")]) as writer:
        writer.append({}, {"m": TapBlock(x[:4])})
    manifest.write(tmp_path / "s", {**manifest.read(tmp_path / "s"), "schema": 1})
    with StoreWriter.resume(tmp_path / "s") as writer:
        writer.append({}, {"m": TapBlock(x[4:])})
        store = writer.finish()
    assert store.manifest["schema"] == manifest.SCHEMA
    assert store.index("m").top(1)[0].tolist() == np.argsort(-x[:, 1]).tolist()
