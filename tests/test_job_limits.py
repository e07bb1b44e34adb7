"""People take turns, nobody takes more than her share, and a job that is too large is refused, not the machine lost."""

from __future__ import annotations

import json
import os
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from job_processes import running, until

from analysis.access import Person, acting_as
from analysis.compute import memory
from analysis.errors import Busy, Forbidden, ParameterError, TooLarge
from analysis.jobs import limits as limiting
from analysis.jobs import needs, queue, turns, watchdog, worker
from analysis.jobs.limits import Limits, limits
from analysis.store.durable import DiskFull
from analysis.store.from_arrays import write_store
from analysis.workspace import Workspace

ANNA, BEN, CLEO = Person("Anna", "editor", "a"), Person("Ben", "editor", "b"), Person("Cleo", "owner", "c")


def ask(workspace, person: Person, kind: str = "wait", **arguments) -> str:
    with acting_as(person):
        return queue.submit(workspace, kind, arguments, start=False)


def order(workspace, lane: str = "recording") -> list[str]:
    """The names of all jobs in the order in which the worker takes them."""
    over, found = set(), []
    while (id := worker.take(workspace, lane, over)) is not None:
        found.append(queue.status(workspace, id).arguments["name"])
        turns.note_now(workspace / "jobs", lane)
    return found


# ---------------------------------------------------------------------------- turns
def test_people_take_turns_however_much_one_of_them_asked_for(tmp_path):
    for k in range(4):
        ask(tmp_path, ANNA, name=f"a{k}")
    for k in range(2):
        ask(tmp_path, BEN, name=f"b{k}")
    ask(tmp_path, CLEO, name="c0")
    assert order(tmp_path) == ["a0", "b0", "c0", "a1", "b1", "a2", "a3"]


def test_who_had_the_last_turn_is_known_to_the_next_worker(tmp_path):
    for k in range(2):
        ask(tmp_path, ANNA, name=f"a{k}")
    ask(tmp_path, BEN, name="b0")
    first = worker.take(tmp_path, "recording", set())
    assert queue.status(tmp_path, first).arguments["name"] == "a0"
    assert order(tmp_path) == ["b0", "a1"]  # with nothing of the first one's memory


@given(st.lists(st.sampled_from("abcd"), max_size=30))
@settings(max_examples=200, deadline=None)
def test_nobody_waits_longer_than_one_turn_of_everybody_else(asked):
    """While somebody waits, no other person has two turns more than she, whatever came in which order."""
    waiting = [(f"{k:03d}", person) for k, person in enumerate(asked)]
    served, had = {}, dict.fromkeys("abcd", 0)
    while waiting:
        job = turns.choose(waiting, served)
        person = dict(waiting)[job]
        assert job == min(j for j, p in waiting if p == person)  # her oldest
        waiting = [(j, p) for j, p in waiting if j != job]
        served[person] = max(served.values(), default=0) + 1
        had[person] += 1
        for other in {p for _, p in waiting}:
            assert had[person] <= had[other] + 1
    assert sum(had.values()) == len(asked)


def test_only_so_many_of_one_person_run_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("LOUPE_JOBS_RUNNING", "1")
    ask(tmp_path, ANNA, "record", name="long")
    ask(tmp_path, ANNA, "method", name="a")
    assert queue.status(tmp_path, worker.take(tmp_path, "recording", set())).arguments["name"] == "long"
    assert worker.take(tmp_path, "methods", set()) is None  # hers waits though the lane is free
    ask(tmp_path, BEN, "method", name="b")
    assert queue.status(tmp_path, worker.take(tmp_path, "methods", set())).arguments["name"] == "b"
    for lane in ("recording", "methods"):
        turns.note_now(tmp_path / "jobs", lane)
    assert queue.status(tmp_path, worker.take(tmp_path, "methods", set())).arguments["name"] == "a"


# ---------------------------------------------------------------------------- what one person may ask for
def test_only_so_many_of_one_person_wait(tmp_path, monkeypatch):
    monkeypatch.setenv("LOUPE_JOBS_QUEUED", "2")
    for k in range(2):
        ask(tmp_path, ANNA, name=f"a{k}")
    with pytest.raises(Busy, match="2 of your jobs are waiting"):
        ask(tmp_path, ANNA, name="a2")
    ask(tmp_path, BEN, name="b0")
    worker.take(tmp_path, "recording", set())
    ask(tmp_path, ANNA, name="a2")
    assert len([p for p in (tmp_path / "jobs").iterdir() if p.is_dir()]) == 4  # the refused one left nothing


def test_only_so_many_hours_of_one_person_a_day(tmp_path, monkeypatch):
    monkeypatch.setenv("LOUPE_JOB_HOURS", "0.5")
    id = ask(tmp_path, ANNA, name="a0")
    queue.write_json(tmp_path / "jobs" / id / "outcome.json", {"state": "done", "seconds": 1799.0})
    ask(tmp_path, ANNA, name="a1")
    queue.write_json(tmp_path / "jobs" / id / "outcome.json", {"state": "done", "seconds": 1801.0})
    with pytest.raises(Busy, match=r"took 0\.5 hours"):
        ask(tmp_path, ANNA, name="a2")
    ask(tmp_path, BEN, name="b0")
    yesterday = time.strftime("%Y%m%d", time.localtime(time.time() - 86400))
    (tmp_path / "jobs" / id).rename(tmp_path / "jobs" / (yesterday + id[8:]))
    ask(tmp_path, ANNA, name="a2")


def test_a_viewer_starts_and_cancels_nothing(tmp_path):
    viewer = Person("Vera", "viewer", "v")
    with pytest.raises(Forbidden):
        ask(tmp_path, viewer, name="v")
    assert not (tmp_path / "jobs").exists()
    id = ask(tmp_path, ANNA, name="a")
    with acting_as(viewer), pytest.raises(Forbidden):
        queue.cancel(tmp_path, id)
    with acting_as(BEN), pytest.raises(Forbidden, match="cancel the work of others"):
        queue.cancel(tmp_path, id)
    assert queue.status(tmp_path, id).state == "queued"
    with acting_as(CLEO):  # an owner
        queue.cancel(tmp_path, id)
    assert queue.status(tmp_path, id).state == "cancelled"


def test_the_queue_says_who_asked_and_no_file_holds_her_id(tmp_path):
    id = ask(tmp_path, Person("Anna", "editor", "anna@example.org|4711"), name="a")
    assert queue.status(tmp_path, id).by == "Anna"
    assert "4711" not in (tmp_path / "jobs" / id / "job.json").read_text()


def test_a_job_runs_in_the_name_of_who_asked(tmp_path, monkeypatch):
    from analysis import access
    from analysis.jobs import handlers

    seen = []
    monkeypatch.setitem(handlers.HANDLERS, "wait", lambda *_: seen.append(access.acting()))
    worker.run_job(tmp_path, ask(tmp_path, ANNA, name="a"))
    assert [(p.name, p.role) for p in seen] == [("Anna", "editor")]
    assert access.acting().role == "owner"


@pytest.mark.parametrize(
    ("given", "name", "value"),
    [
        ({"LOUPE_JOB_MEMORY": "4G"}, "memory", 4 << 30),
        ({"LOUPE_JOB_MEMORY": "1.5 GiB"}, "memory", 3 << 29),
        ({"LOUPE_JOB_MEMORY": "500m"}, "memory", 500 << 20),
        ({"LOUPE_WORKSPACE_SIZE": "1000"}, "disk", 1000),
        ({"LOUPE_JOB_HOURS": "2"}, "seconds", 7200.0),
        ({"LOUPE_JOBS_RUNNING": "3"}, "running", 3),
        ({"LOUPE_STOP_SECONDS": "0"}, "stop", 0.0),
        ({}, "queued", None),
    ],
)
def test_limits_are_read_from_the_environment(given, name, value):
    assert getattr(limits(given), name) == value


@pytest.mark.parametrize("text", ["many", "-1", "nan", "4X", "G", "1e999"])
def test_a_limit_that_is_none_is_refused_by_its_name(text):
    for name in ("LOUPE_JOB_MEMORY", "LOUPE_JOB_HOURS"):
        with pytest.raises(ParameterError, match=name):
            limits({name: text})


# ---------------------------------------------------------------------------- disk
def test_no_work_begins_on_a_full_disk(tmp_path, monkeypatch):
    real = limiting.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(limiting.shutil, "disk_usage", lambda _: real._replace(free=10 << 20))
    with pytest.raises(DiskFull, match=r"10\.0 MiB left"):
        ask(tmp_path, ANNA, name="a")
    assert not [p for p in (tmp_path / "jobs").iterdir() if p.is_dir()]


def test_no_work_begins_in_a_workspace_beyond_its_size(tmp_path, monkeypatch):
    (tmp_path / "stores").mkdir()
    (tmp_path / "stores" / "rows").write_bytes(bytes(3 << 20))
    monkeypatch.setenv("LOUPE_WORKSPACE_SIZE", "2M")
    with pytest.raises(DiskFull, match=r"the workspace takes 3\.0 MiB"):
        ask(tmp_path, ANNA, name="a")
    monkeypatch.setenv("LOUPE_WORKSPACE_SIZE", "4M")
    ask(tmp_path, ANNA, name="a")


def test_a_job_that_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    def full(path, value):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(queue, "write_json", full)
    with pytest.raises(OSError, match="No space left"):
        ask(tmp_path, ANNA, name="a")
    assert not list((tmp_path / "jobs").iterdir())


def test_a_full_disk_at_the_end_of_a_job_is_said(tmp_path, monkeypatch):
    """The result is too much for what is left; the words are not."""
    from analysis.jobs import handlers

    plain = queue.write_json

    def little(path, value):
        if len(json.dumps(value)) > 2000:
            raise OSError(28, "No space left on device", str(path))
        plain(path, value)

    monkeypatch.setattr(queue, "write_json", little)
    monkeypatch.setitem(handlers.HANDLERS, "wait", lambda *_: {"long": "x" * 5000})
    id = ask(tmp_path, ANNA, name="a")
    worker.run_job(tmp_path, id)
    job = queue.status(tmp_path, id)
    assert job.state == "failed"
    assert "disk is full" in job.error["found"]


# ---------------------------------------------------------------------------- memory
def test_what_a_container_may_take_is_what_is_free(tmp_path, monkeypatch):
    proc, groups = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text("MemTotal: 8388608 kB\nMemAvailable: 4194304 kB\n")
    (proc / "self" / "cgroup").write_text("0::/system.slice/loupe.service\n")
    inner = groups / "system.slice" / "loupe.service"
    inner.mkdir(parents=True)
    monkeypatch.setattr(memory, "PROC", proc)
    monkeypatch.setattr(memory, "GROUPS", groups)
    assert memory.free_bytes() == 4 << 30
    (inner / "memory.max").write_text("max\n")
    (inner / "memory.current").write_text(f"{1 << 30}\n")
    assert memory.free_bytes() == 4 << 30
    (inner / "memory.max").write_text(f"{2 << 30}\n")
    assert memory.free_bytes() == 1 << 30
    (inner / "memory.stat").write_text(f"anon 5\ninactive_file {1 << 29}\n")  # files that it can drop
    assert memory.free_bytes() == 3 << 29
    (groups / "system.slice" / "memory.max").write_text(f"{1 << 30}\n")  # a lower one above it
    (groups / "system.slice" / "memory.current").write_text(f"{(1 << 30) - (1 << 20)}\n")
    assert memory.free_bytes() == 1 << 20
    assert memory.total_bytes() == 1 << 30
    (proc / "self" / "cgroup").write_text("4:memory:/docker/abc\n")  # version 1, inside a container
    for path in (inner / "memory.max", groups / "system.slice" / "memory.max"):
        path.unlink()
    (groups / "memory").mkdir()
    (groups / "memory" / "memory.limit_in_bytes").write_text(f"{3 << 30}\n")
    (groups / "memory" / "memory.usage_in_bytes").write_text(f"{1 << 30}\n")
    assert memory.free_bytes() == 2 << 30
    (groups / "memory" / "memory.limit_in_bytes").write_text("9223372036854771712\n")  # none
    assert memory.free_bytes() == 4 << 30


@pytest.fixture
def planted(tmp_path):
    made = Workspace.create(tmp_path / "w")
    x = np.random.default_rng(0).normal(size=(400, 12)).astype(np.float32)
    write_store(made.path / "stores" / "planted", name="planted", taps={"layer": x})
    return made


def test_a_method_that_needs_more_than_there_is_is_refused_before_it_starts(planted, monkeypatch):
    from analysis.jobs import handlers

    begun = []
    monkeypatch.setitem(handlers.HANDLERS, "method", lambda *_: begun.append(1))
    monkeypatch.setenv("LOUPE_JOB_MEMORY", "1K")
    id = queue.submit(planted.path, "method", {"method": "pca", "inputs": ["planted:layer"]}, start=False)
    worker.run_job(planted.path, id)
    job = queue.status(planted.path, id)
    assert job.state == "failed"
    assert not begun
    assert "needs about" in job.error["found"]
    assert "1.0 KiB, what one job may take here" in job.error["expected"]
    monkeypatch.setenv("LOUPE_JOB_MEMORY", "1G")
    id = queue.submit(planted.path, "method", {"method": "pca", "inputs": ["planted:layer"]}, start=False)
    worker.run_job(planted.path, id)
    assert begun


def test_what_jobs_need_is_known_from_shapes(planted):
    method = {"method": "pca", "inputs": ["planted:layer"]}
    assert needs.needed(planted.path, "method", method) > 400 * 12
    train = {"input": "planted:layer", "architecture": "topk", "params": {"latents": 64}}
    small = needs.needed(planted.path, "train", train)
    large = needs.needed(planted.path, "train", {**train, "params": {"latents": 6400}})
    assert large > small > 0
    weights = planted.path / "net.safetensors"
    weights.write_bytes(bytes(5000))
    assert needs.needed(planted.path, "record", {"checkpoint": str(weights)}) == 5000
    assert needs.needed(planted.path, "method", {"method": "nothing"}) is None  # for the job to refuse
    assert needs.needed(planted.path, "check", {}) is None


def test_a_margin_is_kept():
    needs.refuse_too_large("PCA", 100.0, 121, Limits())
    needs.refuse_too_large("PCA", None, 0, Limits())
    with pytest.raises(TooLarge, match="with a margin"):
        needs.refuse_too_large("PCA", 100.0, 119, Limits())


def test_a_job_that_grows_beyond_its_limit_is_ended_with_words_and_the_next_one_runs(planted):
    path = planted.path
    grown = ask(path, ANNA, "grow", blocks=400, megabytes=8)  # 3 GB, if nobody stops it
    later = ask(path, BEN, "dry_run", checkpoint="/nowhere", data="/nowhere")
    with running(path, LOUPE_JOB_MEMORY="300M") as process:
        until(lambda: queue.status(path, grown).state == "failed")
        assert process.wait(30) == -9
        until(lambda: queue.status(path, later).state == "failed")  # by a worker that nobody had to start
    error = queue.status(path, grown).error
    assert "was ended: it held" in error["found"]
    assert "at most 300.0 MiB" in error["expected"]
    held = float(error["found"].split("held ")[1].split(" MiB")[0])
    assert 300 < held < 900  # noticed within a few blocks
    assert "nowhere" in queue.status(path, later).error["found"]


def test_the_largest_job_ends_when_hardly_anything_is_free(tmp_path, monkeypatch):
    """Two jobs that were both within their limits: the one that fills the machine goes, the other stays."""
    path = tmp_path / "w"
    (path / "jobs").mkdir(parents=True)
    mine, other = os.getpid(), os.getppid()
    sizes = {mine: 900 << 20, other: 300 << 20}
    monkeypatch.setattr(memory, "resident_bytes", sizes.__getitem__)
    monkeypatch.setattr(memory, "free_bytes", lambda: 1 << 20)
    ended = []
    monkeypatch.setattr(watchdog, "end", lambda *given: ended.append(given[1]["job"]) or True)
    common = {"title": "x", "who": "w", "held": 100 << 20, "limit": 2 << 30, "needs": None}
    turns.note_now(path / "jobs", "methods", job="large", **common)
    turns.note_now(path / "jobs", "recording", job="small", **common)
    said = queue.read_json(path / "jobs" / "now-recording.json")
    queue.write_json(path / "jobs" / "now-recording.json", {**said, "pid": other, "began": None})
    assert not watchdog.look(path, "recording", other, 64 << 20)
    assert watchdog.look(path, "methods", mine, 64 << 20)
    assert ended == ["large"]
    monkeypatch.setattr(memory, "free_bytes", lambda: 1 << 30)
    assert not watchdog.look(path, "methods", mine, 64 << 20)
