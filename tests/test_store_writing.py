"""Writing a store: everything comes back, a full disk keeps what is finished, wrong input writes nothing."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from store_subjects import BATCH, assert_equal, batch_of, create, whole, write

from analysis.errors import (
    Busy,
    InputError,
    LoupeError,
    NotEnoughData,
    NotFound,
    ShapeError,
)
from analysis.store import durable, manifest, tap_writer
from analysis.store.from_arrays import write_store
from analysis.store.manifest import TapSpec
from analysis.store.reader import Store
from analysis.store.writer import StoreWriter, TapBlock


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return whole(tmp_path_factory.mktemp("reference"))


def test_everything_comes_back(reference):
    batches = [batch_of(k) for k in range(30)]
    pooled = (
        np.concatenate([b["taps"]["a.pooled"].values for b in batches]).astype(np.float16).astype(np.float32)
    )
    rows = np.concatenate([b["taps"]["b/tokens"].values for b in batches])
    assert reference.n_samples == 9000
    a, b = reference.activations("a.pooled"), reference.activations("b/tokens")
    assert [s.rows for s in reference.shards("a.pooled")] == [8400, 600]
    assert (a.shape, b.shape) == (pooled.shape, rows.shape)
    np.testing.assert_array_equal(a.unit(7), pooled[:, 7])
    np.testing.assert_array_equal(a.units([3, 0]), pooled[:, [3, 0]])
    np.testing.assert_array_equal(b.take([0, 8000, 5, -1]), rows[[0, 8000, 5, -1]])
    at, blocks = zip(*b.chunks(1000), strict=True)
    np.testing.assert_array_equal(np.concatenate(blocks), rows)
    np.testing.assert_array_equal(at, np.concatenate([[0], np.cumsum([len(x) for x in blocks])[:-1]]))
    counts = np.concatenate([x["taps"]["b/tokens"].counts for x in batches])
    np.testing.assert_array_equal(np.diff(b.layout.offsets), counts)
    assert a.layout.is_pooled
    np.testing.assert_array_equal(
        reference.samples["loss"], np.concatenate([x["samples"]["loss"] for x in batches])
    )
    assert reference.samples["note"][:3].tolist() == ["", "ü", ""]
    assert set(reference.samples) == {"id", "loss", "note"}
    np.testing.assert_array_equal(reference.class_index, np.concatenate([x["class_index"] for x in batches]))
    assert reference.tokens(700) == batches[2]["tokens"][100]
    assert not list(reference.path.rglob("pending*"))
    assert not list(reference.path.rglob("*.tmp"))


def test_an_unfinished_store_can_be_read(tmp_path, reference):
    with create(tmp_path / "w") as writer:
        write(writer, 16)
        store = Store.open(tmp_path / "w")
        assert not store.complete
        assert store.n_samples == 16 * BATCH
        assert "not finished" in store.problems[0]
        full = reference.activations("a.pooled")
        part = store.activations("a.pooled")
        np.testing.assert_array_equal(part.unit(2), full.unit(2)[: 16 * BATCH])
        np.testing.assert_array_equal(part.take([4799, 0]), full.take([4799, 0]))
        np.testing.assert_array_equal(np.concatenate([b for _, b in part.chunks(1000)])[:, 2], part.unit(2))
        assert len(store.samples["id"]) == 16 * BATCH
        assert store.tokens(20) == reference.tokens(20)
        with pytest.raises(NotFound, match="Resume"):
            store.index("a.pooled")


def _write_and_finish(writer) -> None:
    write(writer, 30)
    writer.finish()


def _two_batches_then_full(path, monkeypatch, when):
    real = durable.write_all

    def full(fd, data):
        if when(os.readlink(f"/proc/self/fd/{fd}")):
            os.write(fd, memoryview(data).cast("B")[:3])
            raise OSError(28, "No space left on device")
        return real(fd, data)

    writer = create(path)
    write(writer, 2)
    monkeypatch.setattr(durable, "write_all", full)
    with pytest.raises(LoupeError, match="disk is full") as caught:
        _write_and_finish(writer)
    assert "resume" in caught.value.remedy
    with pytest.raises(LoupeError, match="closed"):
        writer.note_problem("more")
    monkeypatch.setattr(durable, "write_all", real)


@pytest.mark.parametrize(
    "what", ["pending-", "journal", "samples.jsonl", ".rows.tmp", "table.npy", "manifest", "parquet"]
)
def test_a_full_disk_keeps_what_is_finished(tmp_path, reference, monkeypatch, what):
    path = tmp_path / "w"
    _two_batches_then_full(path, monkeypatch, lambda name: what in name)
    store = Store.open(path)
    assert store.n_samples >= 2 * BATCH
    np.testing.assert_array_equal(
        store.activations("a.pooled").unit(0), reference.activations("a.pooled").unit(0)[: store.n_samples]
    )
    with StoreWriter.resume(path) as writer:
        assert writer.finished_samples == store.n_samples
        write(writer, 30)
        assert_equal(writer.finish(), reference)


@pytest.fixture
def tiny_disk(tmp_path):
    """A file system with room for 1 MiB; skipped where this user may not mount one."""
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(path)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("needs the right to mount a tmpfs")
    yield path
    subprocess.run(["umount", str(path)], check=True)


def test_a_really_full_disk(tiny_disk, reference):
    writer = create(tiny_disk / "w")
    with pytest.raises(LoupeError, match="disk is full"):
        _write_and_finish(writer)
    kept = Store.open(tiny_disk / "w")
    assert 0 < kept.n_samples < 9000
    np.testing.assert_array_equal(
        kept.activations("a.pooled").unit(1), reference.activations("a.pooled").unit(1)[: kept.n_samples]
    )
    subprocess.run(["mount", "-o", "remount,size=64m", str(tiny_disk)], check=True)
    with StoreWriter.resume(tiny_disk / "w") as writer:
        assert writer.finished_samples == kept.n_samples
        write(writer, 30)
        assert_equal(writer.finish(), reference)


def test_two_writers_of_one_name(tmp_path):
    with create(tmp_path / "w") as writer:
        with pytest.raises(Busy):
            create(tmp_path / "w")
        with pytest.raises(Busy):
            StoreWriter.resume(tmp_path / "w")
        code = f"import sys; from analysis.store.writer import StoreWriter; StoreWriter.resume({str(tmp_path / 'w')!r})"
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert "Busy" in run.stderr
        write(writer, 1)
    with StoreWriter.resume(tmp_path / "w") as writer:
        assert writer.finished_batches == 1


def test_wrong_input_is_refused_before_anything_is_written(tmp_path):
    with StoreWriter.create(tmp_path / "w", name="w", taps=[TapSpec("m", 3)], classes=("x",)) as w:
        good = {"m": TapBlock(np.zeros((2, 3)))}
        with pytest.raises(ShapeError):
            w.append({"id": ["a", "b"]}, {"m": TapBlock(np.zeros((2, 4)))})
        with pytest.raises(ShapeError):
            w.append({"id": ["a", "b"]}, {"m": TapBlock(np.zeros((3, 3)))})
        with pytest.raises(ShapeError):
            w.append({"id": ["a", "b"]}, {"m": TapBlock(np.zeros((3, 3)), np.array([1, 1]))})
        with pytest.raises(InputError):
            w.append({"id": ["a", "b"]}, {"n": TapBlock(np.zeros((2, 3)))})
        with pytest.raises(InputError):
            w.append({"id": ["a", "b"], "x": [1]}, good)
        with pytest.raises(InputError):
            w.append({"id": ["a", "b"]}, good, class_index=np.array([0, 1]))
        with pytest.raises(ShapeError):
            w.append({"id": ["a", "b"]}, good, thumbnails=[b"1"])
        assert w.finished_batches == 0
        with pytest.raises(NotEnoughData):
            w.finish()
    with pytest.raises(InputError):
        create(tmp_path / "w")
    with pytest.raises(NotFound):
        Store.open(tmp_path / "none")
    with pytest.raises(InputError):
        TapSpec("m", 3, dtype="float64")


def test_one_sample_and_overflow_and_nan(tmp_path):
    x = np.array([[1e6, np.nan, -np.inf, 2.0]])
    store = write_store(tmp_path / "s", name="s", taps={"m": x}, dtype="float16")
    table = store.index("m").table()
    assert table["nonfinite"].tolist() == [1, 1, 1, 0]
    assert table["count"].tolist() == [0, 0, 0, 1]
    assert "float32" in store.problems[0]
    assert "3 value(s) in 3 unit(s)" in store.problems[1]
    assert store.entry("m")["overflow"] == 1


def test_the_index_costs_no_second_pass(tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(tap_writer, "read_shard", lambda shard: read.append(shard))
    write_store(tmp_path / "s", name="s", taps={"m": np.zeros((9000, 3), np.float32)})
    assert read == []


def test_the_caller_may_use_its_buffer_again(tmp_path):
    buffer = np.empty((10, 3), np.float32)
    with StoreWriter.create(tmp_path / "w", name="w", taps=[TapSpec("m", 3, "float32")]) as writer:
        for k in range(4):
            buffer[:] = k
            writer.append({"id": range(10)}, {"m": TapBlock(buffer)})
        assert writer.finish().activations("m").unit(1).tolist() == [k for k in range(4) for _ in range(10)]


def test_tap_folders_are_safe_and_unique():
    taps = [TapSpec(n, 1) for n in ("a/b", "a-b", "A-B", "..", "ünï", "a" * 300)]
    slugs = list(manifest.slugs(taps).values())
    assert len({s.lower() for s in slugs}) == len(slugs)
    assert all(len(s) < 100 and "/" not in s and not s.startswith(".") for s in slugs)


def test_batches_of_several_shards_are_summarised_from_their_own_rows(tmp_path):
    x = np.random.default_rng(3).normal(size=(40_000, 3)).astype(np.float32)
    taps = [TapSpec("m", 3, "float32"), TapSpec("n", 3, "float32")]
    with StoreWriter.create(tmp_path / "w", name="w", taps=taps) as writer:
        for part in (x[:20_000], x[20_000:]):
            writer.append({"id": range(len(part))}, {"m": TapBlock(part), "n": TapBlock(part + 7)})
        store = writer.finish()
    assert len(store.entry("m")["shards"]) == 4
    for tap, shift in (("m", 0), ("n", 7)):
        table = store.index(tap).table()
        np.testing.assert_allclose(
            table["mean"], (x + np.float32(shift)).astype(np.float64).mean(axis=0), atol=1e-6
        )
        np.testing.assert_array_equal(table["maximum"], (x + np.float32(shift)).max(axis=0))
        np.testing.assert_array_equal(store.activations(tap).unit(1), (x + np.float32(shift))[:, 1])
