"""kill -9 at several moments, then resume: no hole, no duplicate, nothing finished is computed again.

The killed process never gets its last batch, so that a slow test cannot find it done.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import recording_subject as subject

from analysis.store import journal
from analysis.store.reader import Store


def lines(log: Path) -> list[tuple[int, int]]:
    return [tuple(map(int, line.split())) for line in log.read_text().splitlines()] if log.exists() else []


def wait_for(condition, process, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.005)


def start(directory: Path, log: Path, pause: float) -> subprocess.Popen:
    command = [sys.executable, subject.__file__, str(directory), str(log), str(pause)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"})


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """As in the processes that are killed: a product's last bits depend on the number of threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Store:
    """The same recording, never interrupted."""
    return subject.run(tmp_path_factory.mktemp("whole") / "s", None)


def assert_equal(store: Store, other: Store) -> None:
    assert store.n_samples == other.n_samples == subject.N
    for tap in other.taps:
        np.testing.assert_array_equal(subject.values_of(store, tap), subject.values_of(other, tap))
        mine, theirs = store.index(tap).table(), other.index(tap).table()
        assert set(mine) == set(theirs)
        for name in theirs:
            np.testing.assert_allclose(
                mine[name].astype(float),
                theirs[name].astype(float),
                rtol=1e-6,
                atol=1e-9,
                err_msg=f"{tap} {name}",
            )
        for unit in (0, 1):
            for a, b in zip(store.index(tap).top(unit), other.index(tap).top(unit), strict=True):
                np.testing.assert_array_equal(a, b)
    for name in other.samples:
        np.testing.assert_array_equal(store.samples[name], other.samples[name])
    assert store.verify() == []


@pytest.mark.parametrize("after", [1, 6, 15, 22])
def test_resume_after_kill(after, whole, tmp_path):
    """Killed while the batch after `after` others is being read, at a moment that nobody chose."""
    directory, log = tmp_path / "s", tmp_path / "log"
    process = start(directory, log, 0.02)
    wait_for(lambda: len(lines(log)) >= after, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()
    finished = journal.read(directory).n_samples
    before = len(lines(log))
    assert not Store.open(directory).complete
    store = subject.run(directory, log, resume=True)
    again = lines(log)[before:]
    assert again[0][0] == finished  # goes on exactly there
    assert [a for a, _ in again] == list(range(finished, subject.N, subject.BATCH))
    assert finished >= subject.BATCH * max(
        0, after - 4
    )  # at most a few batches wait behind the forward passes
    assert_equal(store, whole)


def test_killed_twice_and_resumed_by_the_same_command(whole, tmp_path):
    directory, log = tmp_path / "s", tmp_path / "log"
    for target in (5, 12):
        process = start(directory, log, 0.02)
        wait_for(lambda n=target: len(lines(log)) >= n, process)
        process.kill()
        process.wait()
        process.stderr.close()
    assert_equal(subject.run(directory, None, resume=True), whole)


def test_two_processes_cannot_record_into_one_name(tmp_path):
    from analysis.errors import Busy

    directory, log = tmp_path / "s", tmp_path / "log"
    process = start(directory, log, 0.2)
    try:
        wait_for(lambda: len(lines(log)) >= 1, process)
        with pytest.raises(Busy, match="another process"):
            subject.run(directory, None, resume=True)
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
