"""Writing and resuming: what is finished stays, what is not is cut off, and nothing is recorded twice."""

import json
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from analysis.errors import (
    Busy,
    InputError,
    LoupeError,
    NewerSchema,
    NotEnoughData,
    NotFound,
    ShapeError,
    StoreDamaged,
)
from analysis.store import durable, journal, manifest, shards, tap_writer
from analysis.store.from_arrays import write_store
from analysis.store.manifest import TapSpec
from analysis.store.reader import Store
from analysis.store.writer import StoreWriter, TapBlock

TAPS = (TapSpec("a.pooled", 12, "float16"), TapSpec("b/tokens", 5, "float32", tokens="all"))
BATCH = 300


def _batch(k: int):
    """Batch k, always the same: pooled rows, ragged tokens, columns, classes, thumbnails, token texts."""
    rng = np.random.default_rng(k)
    counts = rng.integers(0, 9, BATCH)
    rows = rng.normal(size=(int(counts.sum()), 5)).astype(np.float32)
    ids = [f"s{k * BATCH + i}" for i in range(BATCH)]
    return {
        "samples": {
            "id": ids,
            "loss": rng.random(BATCH),
            "note": ["ü" if i % 2 else None for i in range(BATCH)],
        },
        "taps": {
            "a.pooled": TapBlock(rng.normal(size=(BATCH, 12)).astype(np.float32)),
            "b/tokens": TapBlock(rows, counts),
        },
        "class_index": rng.integers(-1, 3, BATCH),
        "thumbnails": [f"png {i}".encode() for i in ids],
        "tokens": [[f"t{j}" for j in range(c)] for c in counts],
    }


def _create(path) -> StoreWriter:
    return StoreWriter.create(
        path, name="w", taps=TAPS, classes=("x", "y", "z"), settings={"seed": 5}, n_expected=9000
    )


def _write(writer: StoreWriter, batches: int) -> None:
    for k in range(writer.finished_batches, batches):
        batch = _batch(k)
        writer.append(batch.pop("samples"), batch.pop("taps"), **batch)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    with _create(tmp_path_factory.mktemp("reference") / "w") as writer:
        _write(writer, 30)
        return writer.finish()


def _assert_equal(store: Store, reference: Store) -> None:
    files = [sorted(str(f.relative_to(s.path)) for f in s.path.rglob("*")) for s in (store, reference)]
    assert files[0] == files[1]  # nothing half-made is left behind
    assert store.digest == reference.digest
    assert store.verify() == []
    for tap in store.taps:
        for name in ("layout", "class_index"):
            a, b = (getattr(s, name) for s in (store, reference))
            a, b = (a(tap).offsets, b(tap).offsets) if name == "layout" else (a, b)
            np.testing.assert_array_equal(a, b)
        for f in sorted((reference.folder(tap) / "index").iterdir()):
            assert f.read_bytes() == (store.folder(tap) / "index" / f.name).read_bytes(), f.name
    assert store.tokens(1234) == reference.tokens(1234)
    assert store.thumbnail(8999) == b"png s8999"


def test_everything_comes_back(reference):
    batches = [_batch(k) for k in range(30)]
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


# -- kill -9 -------------------------------------------------------------------------------------------------


def _killed(path, point: str, count: int) -> None:
    """Fork, write, and die by SIGKILL at the `count`-th time that `point` is passed."""
    pid = os.fork()
    if pid == 0:
        try:
            left = [count]

            def die_at(name, last_act=None):
                if name == point:
                    left[0] -= 1
                    if left[0] == 0:
                        if last_act is not None:
                            last_act()
                        os.kill(os.getpid(), signal.SIGKILL)

            _instrument(die_at)
            writer = StoreWriter.resume(path) if (path / manifest.FILE).exists() else _create(path)
            _write(writer, 30)
            writer.finish()
        finally:
            os._exit(0)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL, f"{point} was not passed {count} times"


def _instrument(die_at) -> None:
    """Call die_at(name) around every step that reaches the disk; torn appends included."""
    append, replace, unlink, write_shard = (
        durable.Appender.append,
        os.replace,
        os.unlink,
        tap_writer.write_shard,
    )

    def torn(self, data):
        kind = "ahead" if "pending" in self.path.name else self.path.name
        die_at(f"before {kind}")
        half = memoryview(data).cast("B")[: len(memoryview(data).cast("B")) // 2]
        if os.environ.get("TORN") == kind:
            die_at(f"torn {kind}", lambda: append(self, half))
        result = append(self, data)
        die_at(f"after {kind}")
        return result

    def renamed(a, b):
        die_at(f"before rename {os.path.splitext(b)[1]}")
        replace(a, b)
        die_at(f"after rename {os.path.splitext(b)[1]}")

    def unlinked(path):
        die_at("before unlink")
        unlink(path)

    def shard(path, block):
        result = write_shard(path, block)
        die_at("after shard")
        return result

    durable.Appender.append, os.replace, os.unlink, tap_writer.write_shard = torn, renamed, unlinked, shard


POINTS = [
    ("before samples.jsonl", 1), ("after samples.jsonl", 4), ("after thumbnails.bin", 2), ("after ahead", 7),
    ("before journal.jsonl", 9), ("after journal.jsonl", 9), ("after shard", 1), ("after shard", 2),
    ("after shard", 3), ("before rename .rows", 1), ("after rename .rows", 2), ("before unlink", 1),
    ("before unlink", 2), ("before rename .parquet", 1), ("after rename .npy", 3), ("before rename .json", 2),
    ("after rename .json", 1),
]  # fmt: skip


@pytest.mark.parametrize(("point", "count"), POINTS)
def test_resume_after_kill(tmp_path, reference, point, count):
    path = tmp_path / "w"
    _killed(path, point, count)
    before = Store.open(path).n_samples
    with StoreWriter.resume(path) as writer:
        assert writer.finished_samples == before == writer.finished_batches * BATCH
        _write(writer, 30)
        _assert_equal(writer.finish(), reference)


@pytest.mark.parametrize("kind", ["journal.jsonl", "ahead", "samples.jsonl", "tokens.bin"])
def test_resume_after_a_torn_append(tmp_path, reference, kind, monkeypatch):
    monkeypatch.setenv("TORN", kind)
    _killed(tmp_path / "w", f"torn {kind}", 5)
    with StoreWriter.resume(tmp_path / "w") as writer:
        assert writer.finished_batches in (2, 3, 4)
        _write(writer, 7)
    with StoreWriter.resume(tmp_path / "w") as writer:  # and nothing of the torn piece is left in the way
        assert writer.finished_batches == 7
        _write(writer, 30)
        _assert_equal(writer.finish(), reference)


def test_resume_after_many_kills(tmp_path, reference):
    path = tmp_path / "w"
    for point, count in [
        ("after ahead", 3),
        ("after journal.jsonl", 12),
        ("after shard", 1),
        ("before unlink", 1),
    ]:
        _killed(path, point, count)
    with StoreWriter.resume(path) as writer:
        _write(writer, 30)
        _assert_equal(writer.finish(), reference)


def test_kill_of_a_real_process(tmp_path, reference):
    """A separate interpreter, killed from outside while it writes; finished batches are not written again."""
    path = tmp_path / "w"
    code = f"""
        import sys, time; sys.path.insert(0, {os.path.dirname(__file__)!r})
        from pathlib import Path
        import test_store_writing as t
        writer = t._create(Path({str(path)!r}))
        for k in range(1, 31):
            t._write(writer, k); print(k, flush=True); time.sleep(0.02)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True
    )
    for line in process.stdout:
        if int(line) == 17:
            process.send_signal(signal.SIGKILL)
            break
    process.wait()
    process.stdout.close()
    with StoreWriter.resume(path) as writer:
        assert 17 <= writer.finished_batches < 30
        _write(writer, 30)
        _assert_equal(writer.finish(), reference)


def test_a_lost_tail_after_power_loss_is_recorded_again(tmp_path, reference):
    path = tmp_path / "w"
    with _create(path) as writer:
        _write(writer, 10)
    ahead = next(path.rglob("pending-*.rows"))
    data = bytearray(ahead.read_bytes())
    data[-1] ^= 1  # the last batch reached the journal but not the disk
    ahead.write_bytes(data)
    with StoreWriter.resume(path) as writer:
        assert writer.finished_batches == 9
        _write(writer, 30)
        _assert_equal(writer.finish(), reference)


# -- the unfinished store ------------------------------------------------------------------------------------


def test_an_unfinished_store_can_be_read(tmp_path, reference):
    with _create(tmp_path / "w") as writer:
        _write(writer, 16)
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


# -- refusals ------------------------------------------------------------------------------------------------


def _write_and_finish(writer) -> None:
    _write(writer, 30)
    writer.finish()


def _two_batches_then_full(path, monkeypatch, when):
    real = durable.write_all

    def full(fd, data):
        if when(os.readlink(f"/proc/self/fd/{fd}")):
            os.write(fd, memoryview(data).cast("B")[:3])
            raise OSError(28, "No space left on device")
        return real(fd, data)

    writer = _create(path)
    _write(writer, 2)
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
        _write(writer, 30)
        _assert_equal(writer.finish(), reference)


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
    writer = _create(tiny_disk / "w")
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
        _write(writer, 30)
        _assert_equal(writer.finish(), reference)


def test_two_writers_of_one_name(tmp_path):
    with _create(tmp_path / "w") as writer:
        with pytest.raises(Busy):
            _create(tmp_path / "w")
        with pytest.raises(Busy):
            StoreWriter.resume(tmp_path / "w")
        code = f"import sys; from analysis.store.writer import StoreWriter; StoreWriter.resume({str(tmp_path / 'w')!r})"
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert "Busy" in run.stderr
        _write(writer, 1)
    with StoreWriter.resume(tmp_path / "w") as writer:
        assert writer.finished_batches == 1


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
        _create(tmp_path / "w")
    with pytest.raises(NotFound):
        Store.open(tmp_path / "none")
    with pytest.raises(InputError):
        TapSpec("m", 3, dtype="float64")


def test_a_complete_store_is_not_resumed(tmp_path):
    write_store(tmp_path / "s", name="s", taps={"m": np.eye(5)})
    with pytest.raises(InputError, match="complete"):
        StoreWriter.resume(tmp_path / "s")


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


def _spoilt(path, line: int, by: bytes) -> None:
    """Replace one line of the journal."""
    lines = (path / journal.FILE).read_bytes().splitlines(keepends=True)
    (path / journal.FILE).write_bytes(b"".join([*lines[:line], by, *lines[line + 1 :]]))


def test_a_bad_line_before_a_shard_is_damage(tmp_path):
    with _create(tmp_path / "w") as writer:
        _write(writer, 30)
    assert journal.read(tmp_path / "w").settled > 2
    _spoilt(tmp_path / "w", 1, b"{oops\n")
    with pytest.raises(StoreDamaged, match="unreadable line"):
        StoreWriter.resume(tmp_path / "w")


@pytest.mark.parametrize("hole", [b"{oops\n", b"\0" * 300, b"\0" * 300 + b"\n", b'{"batch":1}\n', b"7\n"])
def test_a_hole_that_a_loss_of_power_left_in_the_journal_is_cut_off(tmp_path, reference, hole):
    """Nothing after it says that it was synced, so batches from there on are recorded again."""
    with _create(tmp_path / "w") as writer:
        _write(writer, 3)
    _spoilt(tmp_path / "w", 1, hole)
    assert Store.open(tmp_path / "w").n_samples == BATCH
    with StoreWriter.resume(tmp_path / "w") as writer:
        assert writer.finished_batches == 1
        _write(writer, 30)
        _assert_equal(writer.finish(), reference)


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
