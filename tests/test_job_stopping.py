"""A server that stops loses no work: what can finish finishes, the rest waits again and goes on where it was."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
from job_processes import running, until

from analysis.errors import Busy
from analysis.jobs import parking, queue, turns
from analysis.store.from_arrays import write_store
from analysis.workspace import Workspace

LANE = "recording"


@pytest.fixture
def path(tmp_path):
    return Workspace.create(tmp_path / "w").path


def ask(path, name: str, **arguments) -> str:
    return queue.submit(path, "wait", {"name": name, **arguments}, start=False)


def state(path, id: str) -> str:
    return queue.status(path, id).state


def begun(path) -> list[str]:
    return (path / "begun.txt").read_text().split() if (path / "begun.txt").exists() else []


def test_a_job_that_can_finish_finishes_and_no_other_begins(path):
    first, second = ask(path, "first", seconds=1.0), ask(path, "second", seconds=0.1)
    with running(path, LANE, LOUPE_STOP_SECONDS="30") as process:
        until(lambda: begun(path) == ["first"])
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(60) == 0
    assert state(path, first) == "done"
    assert state(path, second) == "queued"
    assert begun(path) == ["first"]


def test_a_job_that_cannot_finish_waits_again(path):
    id = ask(path, "long", seconds=600)
    with running(path, LANE, LOUPE_STOP_SECONDS="0.3") as process:
        until(lambda: begun(path) == ["long"])
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(60) == 0
    assert state(path, id) == "queued"
    assert turns.left(path / "jobs", LANE) is None
    with running(path, LANE):  # the next server's
        until(lambda: begun(path) == ["long", "long"])
        queue.cancel(path, id)
        until(lambda: state(path, id) == "cancelled")


def test_a_job_that_hears_nothing_is_ended_by_force_and_waits_again(path):
    id = ask(path, "deaf", seconds=600, deaf=True)
    with running(path, LANE, LOUPE_STOP_SECONDS="0.1") as process:
        until(lambda: begun(path) == ["deaf"])
        assert parking.stop_workers(path, 0.1, margin=0.5) == {LANE: "parked"}
        assert process.wait(10) == -signal.SIGKILL
    assert state(path, id) == "queued"


def test_what_stopping_did_is_told(path):
    id = ask(path, "short", seconds=0.5)
    with running(path, LANE, LOUPE_STOP_SECONDS="30"):
        until(lambda: begun(path) == ["short"])
        assert parking.stop_workers(path, 30) == {LANE: "finished"}
    assert state(path, id) == "done"
    assert parking.stop_workers(path, 30) == {}


def test_a_cancelled_job_is_not_parked(path):
    id = ask(path, "cancelled", seconds=600)
    with running(path, LANE, LOUPE_STOP_SECONDS="600") as process:
        until(lambda: begun(path) == ["cancelled"])
        queue.cancel(path, id)
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(60) == 0
    assert state(path, id) == "cancelled"


def test_a_training_goes_on_at_its_last_kept_block(path):
    """Parked, it is resumed: the finished set is that of the training that nobody disturbed, and the steps before the
    stop are not made again."""
    x = np.random.default_rng(0).normal(size=(4000, 16)).astype(np.float32)
    write_store(path / "stores" / "rows", name="rows", taps={"layer": x})
    work = {"input": "rows:layer", "architecture": "topk", "params": {"latents": 32, "k": 4},
            "training": {"batch": 64, "tokens": 200_000}}  # fmt: skip
    id = queue.submit(path, "train", {**work, "name": "stopped"}, start=False)
    with running(path, LANE, LOUPE_STOP_SECONDS="0") as process:
        until(lambda: queue.status(path, id).fraction > 0.3, 120)
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(60) == 0
    assert state(path, id) == "queued"
    assert queue.status(path, id).arguments["resume"] is True
    with running(path, LANE):
        until(lambda: queue.status(path, id).fraction > 0)
        assert queue.status(path, id).fraction > 0.2  # not from the start
        until(lambda: state(path, id) == "done", 120)
        straight = queue.submit(path, "train", {**work, "name": "straight"}, start=False)
        until(lambda: state(path, straight) == "done", 120)
    shelf = Workspace.open(path).features
    np.testing.assert_array_equal(shelf.open("stopped").directions, shelf.open("straight").directions)


def test_a_killed_worker_and_its_killed_server_lose_no_job(path):
    """SIGKILL, to the worker in the middle of a job: what waited still waits, in its order; the job is interrupted, and
    another process with its number is not taken for it."""
    running_job, waiting = ask(path, "killed", seconds=600), ask(path, "next", seconds=0.1)
    with running(path, LANE) as process:
        until(lambda: begun(path) == ["killed"])
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
    assert state(path, running_job) == "interrupted"
    assert state(path, waiting) == "queued"
    progress = path / "jobs" / running_job / "progress.json"
    queue.write_json(
        progress, {**queue.read_json(progress), "pid": os.getpid()}
    )  # after a restart of the machine
    assert state(path, running_job) == "interrupted"
    with running(path, LANE):
        until(lambda: state(path, waiting) == "done")
        again = queue.again(path, running_job)
        until(lambda: begun(path) == ["killed", "next", "killed"])
        queue.cancel(path, again)
        until(lambda: state(path, again) == "cancelled")


def test_a_server_that_stops_takes_no_work(path, monkeypatch):
    monkeypatch.setattr(queue, "_closed", [])
    queue.close("the server is stopping")
    with pytest.raises(Busy, match="stopping"):
        ask(path, "late", seconds=1)


def test_what_waits_is_begun_by_the_server_that_starts_next(path, monkeypatch):
    started = []
    monkeypatch.setattr(queue, "start_worker", lambda workspace, lane: started.append(lane))
    assert queue.start_waiting(path) == []
    ask(path, "a", seconds=1)
    queue.submit(path, "method", {}, start=False)
    queue.cancel(path, queue.submit(path, "try_input", {}, start=False))
    assert queue.start_waiting(path) == ["methods", "recording"] == started
