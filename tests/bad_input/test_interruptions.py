"""Full disks, Ctrl-C, kill -9 and a second process: what was finished is kept, and resumes to the same."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from bad_input import (
    N,
    accepted,
    job,
    recording,
    refused,
    weights,
)

from analysis.store import durable
from analysis.store.reader import Store
from analysis.workspace import Workspace


def same(store: Store, other: Store) -> None:
    assert store.complete
    assert store.n_samples == other.n_samples
    assert store.digest == other.digest
    assert store.verify() == []


@pytest.mark.parametrize("share", [0.01, 0.2, 0.6, 0.98])
def test_a_disk_that_fills_up(capsys, spare, tmp_path, rows, monkeypatch, share):
    """With room for a share of what a recording writes: readable meanwhile, and whole once there is room."""
    given = recording(weights(tmp_path), rows, spare, "--taps", "*", "--batch", 5)
    left, original = [1 << 40], durable.write_all

    def write_all(fd, data):
        left[0] -= len(memoryview(data).cast("B"))
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return original(fd, data)

    with monkeypatch.context() as patch:
        patch.setattr(durable, "write_all", write_all)
        accepted(capsys, *["whole" if a == "new" else a for a in given])
        left[0] = int(share * ((1 << 40) - left[0]))
        refused(capsys, *given, says=["the disk is full", "Free some space and "])
        assert f"good: {N} samples" in accepted(capsys, "info", spare)
    if (spare / "stores" / "new" / "manifest.json").exists():
        assert "not finished" in accepted(capsys, "info", spare / "stores" / "new")
        refused(capsys, *given, says="already a store")
    accepted(capsys, *given, "--resume")
    both = Workspace.open(spare)
    same(both.store("new"), both.store("whole"))


def test_an_import_on_a_full_disk_resumes(capsys, spare, rows, monkeypatch):
    given = ("import", rows, "--workspace", spare, "--name", "new")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("analysis.store.open_files.finish_store", full)
        refused(capsys, *given, says="the disk is full")
    refused(capsys, *given, says="already a store")
    other = rows.with_name("other.npy")
    np.save(other, np.load(rows) + 1)
    refused(capsys, "import", other, *given[2:], "--resume", says="other content")
    accepted(capsys, *given, "--resume")
    store = Workspace.open(spare).store("new")
    assert (store.complete, store.n_samples) == (True, N)
    assert job(spare, "import", {"path": str(rows), "name": "new", "resume": True}).state == "done"


def gate(store: Path) -> Path:
    return store.parent.parent.with_name("gate")


@contextlib.contextmanager
def started(arguments: list, store: Path, samples: int):
    """`loupe record` in a process of its own, once it has written that many samples; ended when left.

    The slow network goes on beyond a dozen of them only when `gate(store)` is taken away.
    """
    here = Path(__file__).parent
    gate(store).touch()
    environment = {**os.environ, "PYTHONPATH": f"{here}:{here.parents[1]}", "OMP_NUM_THREADS": "1"}
    environment["SLOW_UNTIL_GONE"] = str(gate(store))
    command = [sys.executable, "-m", "dashboard.cli", *map(str, arguments)]
    hears = partial(
        signal.signal, signal.SIGINT, signal.SIG_DFL
    )  # tests that run in the background inherit deafness
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env=environment, text=True, preexec_fn=hears)
    until = time.monotonic() + 60
    try:
        while not (store / "manifest.json").exists() or Store.open(store).n_samples < samples:
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < until
            time.sleep(0.01)
        yield process
    finally:
        process.kill()
        process.communicate()


def test_interrupted_killed_busy_and_resumed(capsys, spare, tmp_path, rows):
    """Ctrl-C, then kill -9, with a second process turned away in between; then whole, nothing twice."""
    given = recording(weights(tmp_path, "slow"), rows, spare, "--taps", "*", "--batch", 1, model="slow")
    store = spare / "stores" / "new"
    with started(given, store, 2) as process:
        refused(capsys, *given, says="already a store")
        refused(capsys, *given, "--resume", says="another process")
        process.send_signal(signal.SIGINT)
        gate(store).unlink()
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "what was finished is kept" in err
    assert "Traceback" not in err
    kept = Store.open(store).n_samples
    assert 2 <= kept < N
    with started([*given, "--resume"], store, kept + 3):
        pass  # kill -9
    assert kept + 3 <= Store.open(store).n_samples < N
    assert "not finished" in accepted(capsys, "info", store)
    accepted(capsys, *given, "--resume")
    accepted(capsys, *["whole" if a == "new" else a for a in given])
    both = Workspace.open(spare)
    same(both.store("new"), both.store("whole"))
    refused(capsys, *given, "--resume", "--tokens", "all", says="begun with tokens")
