"""Resuming: what is finished stays, what is not is cut off, and nothing is recorded twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from store_subjects import BATCH, assert_equal, create, whole, write

from analysis.errors import (
    InputError,
    StoreDamaged,
)
from analysis.store import durable, journal, manifest, tap_writer
from analysis.store.from_arrays import write_store
from analysis.store.reader import Store
from analysis.store.writer import StoreWriter


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return whole(tmp_path_factory.mktemp("reference"))


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
            writer = StoreWriter.resume(path) if (path / manifest.FILE).exists() else create(path)
            write(writer, 30)
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
        write(writer, 30)
        assert_equal(writer.finish(), reference)


@pytest.mark.parametrize("kind", ["journal.jsonl", "ahead", "samples.jsonl", "tokens.bin"])
def test_resume_after_a_torn_append(tmp_path, reference, kind, monkeypatch):
    monkeypatch.setenv("TORN", kind)
    _killed(tmp_path / "w", f"torn {kind}", 5)
    with StoreWriter.resume(tmp_path / "w") as writer:
        assert writer.finished_batches in (2, 3, 4)
        write(writer, 7)
    with StoreWriter.resume(tmp_path / "w") as writer:  # and nothing of the torn piece is left in the way
        assert writer.finished_batches == 7
        write(writer, 30)
        assert_equal(writer.finish(), reference)


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
        write(writer, 30)
        assert_equal(writer.finish(), reference)


def test_kill_of_a_real_process(tmp_path, reference):
    """A separate interpreter, killed from outside while it writes; finished batches are not written again."""
    path = tmp_path / "w"
    code = f"""
        import sys, time; sys.path.insert(0, {os.path.dirname(__file__)!r})
        from pathlib import Path
        import store_subjects as t
        writer = t.create(Path({str(path)!r}))
        for k in range(1, 31):
            t.write(writer, k); print(k, flush=True); time.sleep(0.02)
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
        write(writer, 30)
        assert_equal(writer.finish(), reference)


def test_a_lost_tail_after_power_loss_is_recorded_again(tmp_path, reference):
    path = tmp_path / "w"
    with create(path) as writer:
        write(writer, 10)
    ahead = next(path.rglob("pending-*.rows"))
    data = bytearray(ahead.read_bytes())
    data[-1] ^= 1  # the last batch reached the journal but not the disk
    ahead.write_bytes(data)
    with StoreWriter.resume(path) as writer:
        assert writer.finished_batches == 9
        write(writer, 30)
        assert_equal(writer.finish(), reference)


def test_a_complete_store_is_not_resumed(tmp_path):
    write_store(tmp_path / "s", name="s", taps={"m": np.eye(5)})
    with pytest.raises(InputError, match="complete"):
        StoreWriter.resume(tmp_path / "s")


def _spoilt(path, line: int, by: bytes) -> None:
    """Replace one line of the journal."""
    lines = (path / journal.FILE).read_bytes().splitlines(keepends=True)
    (path / journal.FILE).write_bytes(b"".join([*lines[:line], by, *lines[line + 1 :]]))


def test_a_bad_line_before_a_shard_is_damage(tmp_path):
    with create(tmp_path / "w") as writer:
        write(writer, 30)
    assert journal.read(tmp_path / "w").settled > 2
    _spoilt(tmp_path / "w", 1, b"{oops\n")
    with pytest.raises(StoreDamaged, match="unreadable line"):
        StoreWriter.resume(tmp_path / "w")


@pytest.mark.parametrize("hole", [b"{oops\n", b"\0" * 300, b"\0" * 300 + b"\n", b'{"batch":1}\n', b"7\n"])
def test_a_hole_that_a_loss_of_power_left_in_the_journal_is_cut_off(tmp_path, reference, hole):
    """Nothing after it says that it was synced, so batches from there on are recorded again."""
    with create(tmp_path / "w") as writer:
        write(writer, 3)
    _spoilt(tmp_path / "w", 1, hole)
    assert Store.open(tmp_path / "w").n_samples == BATCH
    with StoreWriter.resume(tmp_path / "w") as writer:
        assert writer.finished_batches == 1
        write(writer, 30)
        assert_equal(writer.finish(), reference)
