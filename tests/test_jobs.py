"""Jobs: a real worker process, progress, refusal, cancel, a killed worker, and no traceback for the page."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest

from analysis.errors import NotFound
from analysis.jobs import queue, worker
from analysis.store.from_arrays import write_store
from analysis.waiting import threads_that_sleep
from analysis.workspace import Workspace

LONG = {"method": "umap", "inputs": ["big:layer"], "params": {"epochs": 2000}}  # half a minute and more


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    made = Workspace.create(tmp_path_factory.mktemp("jobs") / "w")
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 100)
    x = rng.normal(size=(400, 12)).astype(np.float32) + 3 * rng.normal(size=(4, 12))[labels]
    write_store(made.path / "stores" / "planted", name="planted", taps={"layer": x}, labels=labels)
    started, popen = [], subprocess.Popen
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            queue.subprocess, "Popen", lambda *a, **k: started.append(popen(*a, **k)) or started[-1]
        )
        yield made
    for process in started:
        process.kill()
        process.wait(30)
    assert not any(queue.worker_alive(made.path, lane) for lane in ("methods", "recording"))


def until(condition, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_method_job_leaves_its_result_in_the_cache(workspace):
    arguments = {"method": "pca", "inputs": ["planted:layer"], "params": {}, "seed": 0}
    assert workspace.cached("pca", ["planted:layer"]) is None
    job = queue.wait(workspace.path, queue.submit(workspace.path, "method", arguments), timeout=120)
    assert job.state == "done", job
    result = workspace.cached("pca", ["planted:layer"])
    assert result.kind == "scatter"
    assert job.result == {"key": workspace.key("pca", ["planted:layer"])}
    direct = workspace.run("pca", ["planted:layer"])
    np.testing.assert_array_equal(direct.positions, result.positions)


def test_a_refusal_arrives_in_words(workspace):
    arguments = {"method": "pca", "inputs": ["planted:nothing"]}
    job = queue.wait(workspace.path, queue.submit(workspace.path, "method", arguments), timeout=120)
    assert job.state == "failed"
    assert "nothing" in job.error["found"]
    assert "layer" in job.error["expected"] + job.error["remedy"]


def test_a_fault_of_ours_has_an_id_and_no_traceback(workspace):
    job = queue.wait(workspace.path, queue.submit(workspace.path, "method", {"oops": 1}), timeout=120)
    assert job.state == "failed"
    assert job.error["id"]
    assert "Traceback" not in str(job.error)
    assert "Traceback" in (workspace.path / "jobs" / job.id / "log.txt").read_text()


def test_every_quick_check_runs_as_a_job(workspace):
    for method in ("pca", "unit_statistics", "class_selectivity"):
        job = queue.wait(
            workspace.path, queue.submit(workspace.path, "check", {"method": method}), timeout=120
        )
        assert job.state == "done", job
        assert job.result["passed"], job.result


def test_cancelled_before_it_began(workspace):
    id = queue.submit(workspace.path, "method", {"method": "pca", "inputs": ["planted:layer"]}, start=False)
    queue.cancel(workspace.path, id)
    queue.start_worker(workspace.path, "methods")
    assert queue.wait(workspace.path, id, timeout=60).state == "cancelled"


@pytest.fixture(scope="module")
def big(workspace):
    x = np.random.default_rng(1).normal(size=(6000, 64)).astype(np.float32)
    write_store(workspace.path / "stores" / "big", name="big", taps={"layer": x})


def test_cancelled_while_running(workspace, big):
    id = queue.submit(workspace.path, "method", LONG)
    until(lambda: queue.status(workspace.path, id).state == "running")
    queue.cancel(workspace.path, id)
    assert queue.wait(workspace.path, id, timeout=120).state == "cancelled"
    assert workspace.cached("umap", ["big:layer"], LONG["params"]) is None


def test_a_killed_worker_leaves_an_interrupted_job_that_runs_again(workspace, big):
    id = queue.submit(workspace.path, "method", LONG)
    until(lambda: queue.status(workspace.path, id).state == "running")
    os.kill(queue.read_json(workspace.path / "jobs" / id / "progress.json")["pid"], signal.SIGKILL)
    until(lambda: queue.status(workspace.path, id).state != "running")
    assert queue.status(workspace.path, id).state == "interrupted"
    assert workspace.cached("umap", ["big:layer"], LONG["params"]) is None
    until(lambda: not queue.worker_alive(workspace.path, "methods"))
    second = queue.again(workspace.path, id)
    assert second != id
    until(lambda: queue.status(workspace.path, second).state == "running")
    queue.cancel(workspace.path, second)  # the same work again: it would take as long
    assert queue.wait(workspace.path, second, timeout=120).state == "cancelled"


@pytest.mark.parametrize("id", ["", "..", "../..", "nothing", ".x"])
def test_unknown_jobs(workspace, id):
    with pytest.raises(NotFound):
        queue.status(workspace.path, id)


def test_listing_is_newest_first(workspace):
    ids = [job.id for job in queue.listing(workspace.path)]
    assert ids == sorted(ids, reverse=True)


def test_an_ended_job_is_read_once_and_a_removed_one_is_gone(tmp_path, monkeypatch):
    id = queue.submit(tmp_path, "method", {"k": 1}, start=False)
    assert queue.status(tmp_path, id).state == "queued"
    queue.write_json(tmp_path / "jobs" / id / "outcome.json", {"state": "done", "result": 7, "seconds": 1.0})
    assert queue.status(tmp_path, id).result == 7
    reads = []
    monkeypatch.setattr(queue, "read_json", lambda path: reads.append(path))
    assert queue.listing(tmp_path)[0].result == 7
    assert not reads
    shutil.rmtree(tmp_path / "jobs" / id)
    with pytest.raises(NotFound):
        queue.status(tmp_path, id)


def test_time_left_is_told_by_the_pace_after_the_start(tmp_path, monkeypatch):
    """A process that imports for ten seconds and then does a hundredth a second has 90 seconds left at a tenth."""
    now = [1000.0]
    monkeypatch.setattr(worker.time, "time", lambda: now[0])
    report = worker.Reporter(tmp_path)

    def left(at: float, fraction: float):
        now[0] = 1000 + at
        report(fraction)
        return queue.read_json(tmp_path / "progress.json")["seconds_left"]

    assert left(10, 0.01) is None  # nothing to measure the pace by
    assert left(12, 0.03) is None  # too little done to say
    assert left(19, 0.10) == pytest.approx(90)
    assert left(59, 0.50) == pytest.approx(50)


def test_a_long_job_tells_its_time_after_a_while(tmp_path, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(worker.time, "time", lambda: now[0])
    report = worker.Reporter(tmp_path)
    for at, fraction in ((1, 0.0001), (22, 0.0022)):
        now[0] = 1000 + at
        report(fraction)
    assert queue.read_json(tmp_path / "progress.json")["seconds_left"] == pytest.approx(9978)


def test_threads_sleep_where_the_user_has_not_said_otherwise(monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    threads_that_sleep()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    threads_that_sleep()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
