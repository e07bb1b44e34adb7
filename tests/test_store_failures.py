"""When writing fails, or a reader looks on meanwhile: nothing torn is built upon, nothing stays locked, and every
changed byte is noticed."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from analysis.errors import Busy, LoupeError, NotFound, StoreDamaged
from analysis.store import durable, journal, manifest, shards
from analysis.store.from_arrays import write_store
from analysis.store.journal import JournalState
from analysis.store.manifest import TapSpec
from analysis.store.reader import Store
from analysis.store.rebuilding import rebuild_index
from analysis.store.row_map import SampleLog
from analysis.store.writer import StoreWriter, TapBlock


def begun(path: Path, batches: int = 0) -> StoreWriter:
    writer = StoreWriter.create(path, name="s", taps=[TapSpec("m", 3, "float32")])
    for k in range(batches):
        append(writer, k)
    return writer


def append(writer: StoreWriter, k: int) -> None:
    blocks = {name: TapBlock(np.full((10, tap.n_units), k, np.float32)) for name, tap in writer.taps.items()}
    ids = [f"s{10 * k + i}" for i in range(10)]
    writer.append({"id": ids}, blocks, tokens=[["a"]] * 10)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def failing(monkeypatch, what: str, written: int = 5):
    """Every write to a file whose name holds `what` fails after some bytes."""
    real = durable.write_all

    def write_all(fd, data):
        if what not in os.readlink(f"/proc/self/fd/{fd}"):
            return real(fd, data)
        os.write(fd, memoryview(data).cast("B")[:written])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(durable, "write_all", write_all)


# -- failed writes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut_fails", [False, True])
def test_a_note_that_fails_is_not_built_upon(tmp_path, monkeypatch, cut_fails):
    with begun(tmp_path / "s", 1) as writer:
        with monkeypatch.context() as patch:
            failing(patch, journal.FILE)
            if cut_fails:
                patch.setattr(durable.Appender, "cut", lambda self, size: os.ftruncate(-1, 0))
            with pytest.raises(LoupeError, match="disk is full"):
                writer.note_problem("something")
        with pytest.raises(LoupeError, match="closed"):
            append(writer, 1)
    for k in (1, 2, 3):
        with StoreWriter.resume(tmp_path / "s") as writer:
            assert (writer.finished_batches, writer.problems) == (k, ())
            append(writer, k)
    with StoreWriter.resume(tmp_path / "s") as writer:
        assert writer.finish().n_samples == 40


def test_what_cannot_be_opened_holds_neither_lock_nor_files(tmp_path, monkeypatch):
    before = open_files()
    with monkeypatch.context() as patch:
        failing(patch, manifest.FILE)
        with pytest.raises(LoupeError, match="disk is full"):
            begun(tmp_path / "s")
    assert open_files() == before
    begun(tmp_path / "s", 2).close()
    with monkeypatch.context() as patch:
        patch.setattr("analysis.store.open_files.SampleLog.add", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            StoreWriter.resume(tmp_path / "s")
    assert open_files() == before
    StoreWriter.resume(tmp_path / "s").close()
    assert open_files() == before


def test_two_threads_may_write_one_file(tmp_path):
    """Each beside it under a name of its own: whichever is renamed last is there whole."""
    parts, errors = [bytes([k]) * 200_000 for k in range(4)], []

    def write(part: bytes) -> None:
        try:
            for _ in range(20):
                durable.write_file(tmp_path / "f", part)
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(p,)) for p in parts]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors
    assert (tmp_path / "f").read_bytes() in parts
    assert [f.name for f in tmp_path.iterdir()] == ["f"]


# -- locks -----------------------------------------------------------------------------------------------------


def test_a_busy_store_says_who_writes_it(tmp_path):
    with begun(tmp_path / "s"), pytest.raises(Busy, match="this process itself"):
        StoreWriter.resume(tmp_path / "s")
    StoreWriter.resume(tmp_path / "s").close()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_not_called_busy(tmp_path, monkeypatch, number):
    def flock(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(LoupeError, match="cannot be locked") as refusal:
        begun(tmp_path / "s")
    assert not isinstance(refusal.value, Busy)


# -- the unfinished store, looked at ---------------------------------------------------------------------------


def test_a_store_opened_unfinished_is_not_silently_empty_when_it_is_finished(tmp_path):
    with begun(tmp_path / "s", 2) as writer:
        looks = [
            lambda s: s.samples["id"], lambda s: s.layout("m"), lambda s: s.tokens(0), lambda s: s.activations("m"),
        ]  # fmt: skip
        opened = [Store.open(tmp_path / "s") for _ in looks]
        kept = Store.open(tmp_path / "s")
        assert len(kept.samples["id"]) == 20
        writer.finish()
    for look, store in zip(looks, opened, strict=True):
        with pytest.raises(NotFound, match="has grown"):
            look(store)
    assert len(kept.samples["id"]) == 20  # what was read stays


@pytest.mark.parametrize("rows", [256, 20])
def test_a_check_of_a_store_that_is_finished_meanwhile_finds_no_damage(tmp_path, monkeypatch, rows):
    """With 20 rows to a shard, every row is in one already, and only the sample lines go."""
    monkeypatch.setattr(shards, "rows_per_shard", lambda *_: rows)
    monkeypatch.setattr("analysis.store.tap_writer.rows_per_shard", lambda *_: rows)
    with begun(tmp_path / "s", 2) as writer:
        store = Store.open(tmp_path / "s")
        assert store.verify() == []
        writer.finish()
    with pytest.raises(NotFound, match="has grown"):
        store.verify()
    assert Store.open(tmp_path / "s").verify() == []


def test_a_note_seen_half_written_is_not_there_yet(tmp_path):
    """Whatever part of a line has reached the file, a reader sees the batches before it and all earlier notes."""
    with begun(tmp_path / "s", 1) as writer:
        writer.note_problem("first")
        file = tmp_path / "s" / journal.FILE
        size = file.stat().st_size
        writer.note_problem("second")
        whole = file.read_bytes()
        for end in range(size, len(whole) + 1):
            (tmp_path / "look").mkdir(exist_ok=True)
            (tmp_path / "look" / journal.FILE).write_bytes(whole[:end])
            state = journal.read(tmp_path / "look")
            assert state.n_batches == 1
            assert state.problems == (["first", "second"] if end == len(whole) else ["first"])
        assert Store.open(tmp_path / "s").problems[1:] == ["first", "second"]


@pytest.mark.parametrize("name", ["pending-000000.rows", "samples.jsonl", "tokens.bin"])
def test_a_changed_byte_of_an_unfinished_store_is_noticed(tmp_path, name):
    begun(tmp_path / "s", 3).close()
    assert Store.open(tmp_path / "s").verify() == []
    file = next((tmp_path / "s").rglob(name))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1  # in the second batch
    file.write_bytes(data)
    store = Store.open(tmp_path / "s")
    assert ["batch 1" in line for line in store.verify()] == [True]
    if "pending" in name:
        with pytest.raises(StoreDamaged, match="Resume"):
            store.activations("m")


def test_a_file_that_goes_while_sizes_are_added_is_no_error(tmp_path, monkeypatch):
    store = write_store(tmp_path / "s", name="s", taps={"m": np.eye(3)})
    whole, real = store.n_bytes, Path.rglob
    monkeypatch.setattr(Path, "rglob", lambda self, pattern: [*real(self, pattern), tmp_path / "s" / "gone"])
    monkeypatch.setattr(Path, "is_file", lambda self: True if self.name == "gone" else os.path.isfile(self))
    assert store.n_bytes == whole


# -- reading in pieces, totals, odd shapes ---------------------------------------------------------------------


def test_long_reads_are_put_together(tmp_path, monkeypatch):
    """Linux gives at most 2 GiB at once; here it is 7 bytes."""
    x = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    store = write_store(tmp_path / "s", name="s", taps={"m": x}, tokens=[["a", "bc"]] * 50)
    begun(tmp_path / "w", 3).close()
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, n, at: real(fd, min(n, 7), at))
    assert store.index("m").table()["count"].tolist() == [50] * 3
    np.testing.assert_array_equal(store.activations("m").unit(1), x[:, 1])
    assert store.tokens(3) == ["a", "bc"]
    with StoreWriter.resume(tmp_path / "w") as writer:
        assert writer.finished_batches == 3


def test_a_long_recording_keeps_totals_and_no_lines(tmp_path):
    with begun(tmp_path / "s", 5) as writer:
        state = writer._files.state
        assert (state.n_batches, state.n_samples, state.batches, state.starts) == (5, 50, [], [])
    with StoreWriter.resume(tmp_path / "s") as writer:
        assert writer._files.state.batches == []
        assert writer.finished_samples == 50


def test_what_belongs_to_rows_is_not_copied_with_every_batch():
    """A batch that fills a shard asks for all samples before it: no copy of them, now and then a larger room."""
    rng, log = np.random.default_rng(0), SampleLog(["one", "ragged"], True)
    counts, classes, rooms = rng.integers(0, 4, 3000), rng.integers(-1, 3, 3000), {}
    for k in range(0, 3000, 3):
        at = slice(k, k + 3)
        log.add({"one": 1, "ragged": counts[at].tolist()}, classes[at].tolist(), 3)
        for tap in ("one", "ragged"):
            ends = log.row_map(tap).ends
            rooms[ends.__array_interface__["data"][0]] = ends.base  # kept, so that no address comes twice
    assert len(rooms) < 2 * 14  # 3 · 2^10 > 3000
    sample = np.repeat(np.arange(3000), counts)
    rows = log.row_map("ragged").rows(100, 500)
    np.testing.assert_array_equal(rows.sample, sample[100:600])
    np.testing.assert_array_equal(rows.tokens, counts[sample[100:600]])
    np.testing.assert_array_equal(rows.label, classes[sample[100:600]])
    np.testing.assert_array_equal(log.row_map("ragged").counts, counts)
    assert log.row_map("one").rows(2990, 10).tokens is None
    np.testing.assert_array_equal(log.row_map("one").rows(2990, 10).label, classes[2990:])


def test_a_bad_journal_line_changes_nothing():
    state = JournalState()
    good = {"batch": 0, "samples": 2, "rows": {"m": 2}, "ends": {}, "crc": {}}
    state.add(good, 0, 9)
    before = repr(state)
    for wrong in ({"batch": 2}, {"samples": None}, {"rows": {"m": 1, "n": "x"}}, {"shards": [{"tap": "m"}]}):
        with pytest.raises((ValueError, KeyError, TypeError)):
            state.add({**good, "batch": 1, **wrong}, 9, 18)
        assert repr(state) == before


def test_a_tap_without_any_row(tmp_path):
    empty = [np.empty((0, 4))] * 6
    store = write_store(tmp_path / "s", name="s", taps={"m": np.eye(6), "none": empty})
    assert store.verify() == []
    assert store.activations("none").shape == (0, 4)
    assert store.activations("none").unit(2).tolist() == []
    assert store.index("none").table()["dead"].all()
    assert store.index("none").top(0)[0].tolist() == []
    assert store.index("none").correlated(0) == []
    rebuild_index(store)
    assert Store.open(store.path).verify() == []


def test_a_row_that_is_not_there_is_named(tmp_path):
    store = write_store(tmp_path / "s", name="s", taps={"m": np.eye(5)})
    with pytest.raises(NotFound, match="no row -50"):
        store.activations("m").take([-50, 2])
    with pytest.raises(NotFound, match="no row 5"):
        store.activations("m").take([2, 5])


def test_rebuilding_keeps_the_files_of_a_tap_called_index(tmp_path):
    store = write_store(tmp_path / "s", name="s", taps={"index": [np.ones((k + 1, 2)) for k in range(4)]})
    files = dict(store.manifest["files"])
    rebuild_index(store)
    assert Store.open(store.path).manifest["files"] == files


# -- what float16 cannot hold ----------------------------------------------------------------------------------


def test_values_too_small_for_float16_are_counted_and_said(tmp_path):
    x = np.zeros((100, 2))
    x[:50] = 1e-8
    x[60, 0] = 1.0
    store = write_store(tmp_path / "s", name="s", taps={"m": x}, dtype="float16")
    assert store.entry("m")["underflow"] == 100
    assert any("100 of them none" in line and "float32" in line for line in store.problems)
    assert write_store(tmp_path / "f", name="s", taps={"m": x}, dtype="float32").problems == []
    x[:50] = 1e-6
    store = write_store(tmp_path / "faint", name="s", taps={"m": x}, dtype="float16")
    assert store.entry("m")["underflow"] == 0
    assert any("100 value(s) are so small" in line for line in store.problems)


def test_a_few_small_values_are_not_worth_a_word(tmp_path):
    x = np.random.default_rng(0).normal(size=(2000, 3))
    x[0] = 1e-9
    x[1] = 0
    store = write_store(tmp_path / "s", name="s", taps={"m": x}, dtype="float16")
    assert store.entry("m")["underflow"] == 3
    assert store.problems == []


def test_shards_are_of_whole_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_ROWS", 256)
    begun(tmp_path / "s", 27).close()
    file = tmp_path / "s" / journal.FILE
    lines = file.read_bytes().splitlines(keepends=True)
    assert b"gathered" in lines[-2]
    file.write_bytes(b"".join(lines[:-2]) + lines[-2].replace(b'"rows":260', b'"rows":255'))
    with pytest.raises(StoreDamaged, match="inside batch"):
        StoreWriter.resume(tmp_path / "s")
