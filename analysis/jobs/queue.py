"""The queue: one directory per job, every file replaced whole, so that any process may look at any time.

    jobs/<id>/job.json        what to do (written once)
    jobs/<id>/progress.json   how far (replaced by the worker)
    jobs/<id>/outcome.json    how it ended (written once)
    jobs/<id>/cancel          present when somebody asked it to stop
    jobs/<id>/taken           present when a worker took it

A job whose worker died is "interrupted": `again` queues it anew, and recording goes on where it stopped. People take
turns (`turns.py`), and one may ask for so much at a time (`limits.py`).
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from analysis import access
from analysis.errors import Busy, NotFound
from analysis.jobs import job_inputs, turns
from analysis.jobs.files import process_alive, read_json, write_json
from analysis.jobs.limits import limits, refuse_beyond, refuse_full
from analysis.jobs.parking import RESUMES

LANES = {
    "method": "methods",
    "check": "methods",
    "training_cost": "methods",
    "name_features": "asking",  # it waits for others, and keeps nobody else waiting
    "try_input": "answering",  # somebody waits for it at a slider or a form: it does not stand behind a recording
    "what_if": "answering",
    "token_dump": "answering",
    "token_run": "answering",
}  # every other kind is in the lane "recording"
ENDED = ("done", "failed", "cancelled")  # for good: an outcome is written once
MOST_KEPT = 2000


@dataclass(frozen=True)
class JobStatus:
    """How a job stands. `state`: queued, running, done, failed, cancelled or interrupted."""

    id: str
    kind: str
    arguments: dict
    state: str
    fraction: float = 0.0
    doing: str = ""
    seconds_left: float | None = None
    error: dict | None = None  # {"found", "expected", "remedy", "id"}
    result: object = None
    created: float = 0.0
    seconds: float | None = None
    title: str = ""
    by: str = ""  # the name of the person who asked for it
    log: str = field(default="", repr=False)


_ended: dict[Path, JobStatus] = {}  # what was read once need not be read at every run of a page
_over: dict[Path, set[str]] = {}  # by queue, jobs that wait no more
_people: dict[Path, str] = {}  # whose a job is
_closed: list[str] = []


def submit(
    workspace: str | os.PathLike, kind: str, arguments: dict, *, title: str = "", start: bool = True
) -> str:
    """Queue a job and make sure a worker for its lane runs; returns the job's id. Cost: two small files.

    Raises Forbidden for somebody who may only look, or for a path that a host does not read; UnsafeFile for code on a
    host; Busy beyond what one person may ask for, or while the server is
    stopping; DiskFull.
    """
    person = access.require("editor", f"start {title or kind}")
    job_inputs.refuse(arguments)
    if _closed:
        raise Busy(_closed[0], "a server that takes work", "Try again in a minute")
    _jobs(workspace).mkdir(parents=True, exist_ok=True)
    _refuse(workspace, turns.who(person))
    now = time.time_ns()  # to the microsecond: jobs of the same second run in the order they were submitted
    stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(now // 10**9))
    id = f"{stamp}-{now // 1000 % 10**6:06d}-{secrets.token_hex(3)}"
    folder = _jobs(workspace) / id
    folder.mkdir()
    job = {"id": id, "kind": kind, "arguments": arguments, "created": time.time(), "title": title or kind}
    asked = {"by": person.name, "who": turns.who(person), "role": person.role}
    try:
        write_json(folder / "job.json", {**job, **asked})
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)  # a folder without a job would stay for ever
        raise
    if start:
        start_worker(workspace, lane_of(kind))
    return id


def _refuse(workspace: str | os.PathLike, who: str) -> None:
    """Whatever speaks against another job of this person."""
    found = limits()
    refuse_full(Path(workspace), found)
    if found.queued is not None or found.seconds is not None:
        refuse_beyond(found, len(waiting(workspace, who)), seconds_today(workspace, who))


def waiting(workspace: str | os.PathLike, who: str | None = None) -> list[str]:
    """Jobs that nobody took yet, of one person or of all, in the order in which they came."""
    folder, over = _jobs(workspace), _over.setdefault(_jobs(workspace), set())
    found = []
    for name in ids(workspace):
        path = folder / name
        if name in over:
            continue
        if (path / "outcome.json").exists():
            over.add(name)
        if any((path / end).exists() for end in ("outcome.json", "taken", "cancel")):
            continue
        job = read_json(path / "job.json")
        if job is not None and who in (None, job.get("who")):
            found.append(name)
    return found


def seconds_today(workspace: str | os.PathLike, who: str) -> float:
    """Seconds that jobs of one person took which were asked for today."""
    today, folder = time.strftime("%Y%m%d-"), _jobs(workspace)
    found = (
        read_json(folder / name / "outcome.json")
        for name in ids(workspace, today)
        if _whose(folder, name) == who
    )
    return sum(float(outcome.get("seconds") or 0) for outcome in found if outcome)


def _whose(folder: Path, name: str) -> str:
    if len(_people) > MOST_KEPT:
        _people.clear()
    if (folder / name) not in _people:
        _people[folder / name] = (read_json(folder / name / "job.json") or {}).get("who", "")
    return _people[folder / name]


def ids(workspace: str | os.PathLike, prefix: str = "") -> list[str]:
    """Ids of all jobs that begin with `prefix`, the oldest first."""
    try:
        return sorted(
            e.name for e in os.scandir(_jobs(workspace)) if e.name.startswith(prefix) and e.is_dir()
        )
    except FileNotFoundError:
        return []


def close(why: str) -> None:
    """From now on this process takes no work; `why` in words."""
    _closed[:] = [why]


def status(workspace: str | os.PathLike, id: str) -> JobStatus:
    """How a job stands now. Raises NotFound. Cost: a look at two small files; for an ended job at none."""
    folder = _folder(workspace, id)
    kept = _ended.get(folder)
    if kept is not None and folder.exists():
        return kept
    found = _read_status(workspace, id, folder)
    if found.log:  # its outcome is written
        if len(_ended) >= MOST_KEPT:
            _ended.clear()
        _ended[folder] = found
    return found


def _read_status(workspace: str | os.PathLike, id: str, folder: Path) -> JobStatus:
    job = read_json(folder / "job.json")
    if job is None:
        raise NotFound(f"no job {id!r} in {workspace}", "", "It may have been removed; start it again")
    common = {k: job.get(k) for k in ("id", "kind", "arguments", "created", "title")}
    common["by"] = job.get("by") or ""
    outcome = read_json(folder / "outcome.json")
    if outcome:
        fraction = (
            1.0
            if outcome["state"] == "done"
            else (read_json(folder / "progress.json") or {}).get("fraction", 0)
        )
        fields = {k: outcome.get(k) for k in ("state", "error", "result", "seconds")}
        return JobStatus(**common, **fields, fraction=fraction, log=str(folder / "log.txt"))
    progress = read_json(folder / "progress.json")
    if progress is None:
        waiting = not (folder / "taken").exists() or worker_alive(workspace, lane_of(job["kind"]))
        state = "cancelled" if (folder / "cancel").exists() else "queued" if waiting else "interrupted"
        return JobStatus(**common, state=state, doing="waiting for the worker")
    alive = process_alive(progress.get("pid"), progress.get("began"))
    return JobStatus(
        **common,
        state="running" if alive else "interrupted",
        fraction=progress["fraction"],
        doing=progress["doing"],
        seconds_left=progress.get("seconds_left"),
        seconds=progress.get("seconds"),
    )


def listing(workspace: str | os.PathLike, *, limit: int = 50) -> list[JobStatus]:
    """The newest jobs first."""
    folder = _jobs(workspace)
    names = (
        sorted((e.name for e in os.scandir(folder) if e.is_dir()), reverse=True) if folder.exists() else []
    )
    found = (_listed(workspace, folder / id) for id in names)
    return list(islice((job for job in found if job is not None), limit))


def _listed(workspace: str | os.PathLike, folder: Path) -> JobStatus | None:
    """Of a folder that was there a moment ago; None where it is no job's."""
    kept = _ended.get(folder)
    if kept is not None:
        return kept
    return status(workspace, folder.name) if (folder / "job.json").exists() else None


def cancel(workspace: str | os.PathLike, id: str) -> None:
    """Ask a job to stop; what it finished is kept. Raises NotFound; Forbidden where it is somebody else's, for all but
    owners."""
    folder = _folder(workspace, id)
    job = read_json(folder / "job.json")
    if job is None:
        raise NotFound(f"no job {id!r} in {workspace}", "the id of a job", "Look at the list of jobs")
    person = access.require("editor", f"cancel {job.get('title') or id}")
    if job.get("who") not in (None, turns.who(person)):
        access.require("owner", "cancel the work of others")
    (folder / "cancel").touch()


def again(workspace: str | os.PathLike, id: str) -> str:
    """Queue the same work anew; a recording, import, training or sweep resumes."""
    old = status(workspace, id)
    arguments = {**old.arguments, "resume": True} if old.kind in RESUMES else old.arguments
    return submit(workspace, old.kind, arguments, title=old.title)


def wait(workspace: str | os.PathLike, id: str, *, timeout: float = 600.0) -> JobStatus:
    """Block until the job has ended (for notebooks and tests)."""
    until = time.monotonic() + timeout
    while True:
        now = status(workspace, id)
        if now.state in (*ENDED, "interrupted") or time.monotonic() > until:
            return now
        time.sleep(0.05)


def lane_of(kind: str) -> str:
    return LANES.get(kind, "recording")


def start_worker(workspace: str | os.PathLike, lane: str, parent: int | None = None) -> None:
    """Start the lane's worker process unless one is there; it outlives the page that asked, and ends when it has
    nothing to do and `parent` (by default this process) is gone."""
    if worker_alive(workspace, lane):
        return
    folder = _jobs(workspace)
    folder.mkdir(parents=True, exist_ok=True)
    asked = [str(workspace), lane, "--parent", str(os.getpid() if parent is None else parent)]
    with open(folder / f"worker-{lane}.log", "ab") as log:
        subprocess.Popen(
            [sys.executable, "-m", "analysis.jobs.worker", *asked],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # a Ctrl-C at the dashboard must not kill a recording
        )


def start_waiting(workspace: str | os.PathLike) -> list[str]:
    """Start a worker for every lane in which jobs wait (they were left when a server stopped); returns the lanes."""
    folder = _jobs(workspace)
    jobs = (read_json(folder / id / "job.json") for id in waiting(workspace))
    lanes = sorted({lane_of(job["kind"]) for job in jobs if job})
    for lane in lanes:
        start_worker(workspace, lane)
    return lanes


def worker_alive(workspace: str | os.PathLike, lane: str) -> bool:
    """Whether somebody holds the lane's lock."""
    path = _jobs(workspace) / f"worker-{lane}.lock"
    if not path.exists():
        return False
    with open(path, "rb") as f:
        try:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        return False


def _jobs(workspace: str | os.PathLike) -> Path:
    return Path(workspace) / "jobs"


def _folder(workspace: str | os.PathLike, id: str) -> Path:
    if not id or "\0" in id or Path(id).name != id or id.startswith("."):
        raise NotFound(f"no job {id!r} in {workspace}", "the id of a job", "Look at the list of jobs")
    return _jobs(workspace) / id
