"""One worker process of a lane: takes the oldest queued job, runs it, writes how it ended.

    python -m analysis.jobs.worker WORKSPACE LANE [--parent PID]

Numba (UMAP and kin) and torch live only in these processes: three threads inside Numba abort a web server.
The worker ends when it is idle and its parent is gone, so that a running job outlives the dashboard.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path

from analysis import access
from analysis.compute.memory import resident_bytes
from analysis.errors import Cancelled
from analysis.jobs import cache_bound, job_inputs, needs, queue, turns, watchdog
from analysis.jobs.files import began, process_alive
from analysis.jobs.handlers import HANDLERS
from analysis.jobs.limits import limits, refuse_full
from analysis.jobs.parking import Parked, Stopping, park
from analysis.jobs.unforeseen import in_words
from analysis.waiting import threads_that_sleep

IDLE_SECONDS = 900.0
SURE_AFTER = 20.0  # seconds of work after which even a small part done tells the pace
LOOKS = 10  # at the lock, half a second: whoever asks whether a worker is alive holds it for a moment
log = logging.getLogger("loupe.worker")
stopping = Stopping(grace=0.0)


class Reporter:
    """The progress function of one job: writes at most ten times a second, raises Cancelled when asked, and Parked
    when the worker is to stop and the job has had its time."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.started, self.last = folder, time.time(), 0.0
        self.parked = False
        self.since: tuple[float, float] | None = None  # when, and how far, the first part was done
        self(0.0, "starting")

    def __call__(self, fraction: float, doing: str = "") -> None:
        if (self.folder / "cancel").exists():
            raise Cancelled()
        if stopping.over:
            self.parked = True
            raise Parked()
        now = time.time()
        if now - self.last < 0.1 and fraction < 1.0:
            return
        self.last = now
        seconds, left = now - self.started, self._left(now, fraction)
        state = {"fraction": float(min(max(fraction, 0.0), 1.0)), "doing": doing, "seconds_left": left}
        process = {"pid": os.getpid(), "began": began(os.getpid())}
        queue.write_json(self.folder / "progress.json", {**state, **process, "seconds": seconds})

    def _left(self, now: float, fraction: float) -> float | None:
        """Seconds left at the pace since the first part was done; None while too little is known to say.

        A fresh process imports and compiles at first, so that the first seconds tell little of a short job.
        """
        if fraction <= 0:
            return None
        began, at = self.since = self.since or (now, fraction)
        seconds, done = now - began, fraction - at
        enough = 1 if done >= 0.05 * (1 - at) else SURE_AFTER
        return seconds * (1 - fraction) / done if seconds >= enough and done > 0 else None


def run_job(workspace: Path, id: str) -> None:
    """Run one job to its end, whatever that is, in the name of the person who asked for it."""
    folder = workspace / "jobs" / id
    job = queue.read_json(folder / "job.json")
    (folder / "taken").touch()
    started, reporter = time.time(), None
    outcome: dict = {"state": "failed"}
    try:
        with access.acting_as(_who_asked(job)):
            reporter = Reporter(folder)
            _refuse(workspace, job)
            job_inputs.refuse(job["arguments"], deeply=True)
            result = HANDLERS[job["kind"]](workspace, job["arguments"], reporter)
        json.dumps(result)  # what is not JSON is a fault of the handler, not the end of the worker
        outcome.update(state="done", result=result)
    except Cancelled:
        outcome["state"] = "cancelled"
        if reporter is not None and reporter.parked:
            park(folder)
            return
    except Exception as error:
        outcome["error"] = _in_words(error, folder)
    finally:
        turns.note_now(workspace / "jobs", queue.lane_of(job["kind"]))
    outcome["seconds"] = time.time() - started
    _keep(folder, outcome)
    cache_bound.bound_after_a_job(workspace)


def _who_asked(job: dict) -> access.Person:
    """Jobs of a time before they said so were asked for by whoever owns the workspace."""
    if "role" not in job:
        return access.acting()
    return access.Person(job.get("by") or "", job["role"], job.get("who") or "")


def _refuse(workspace: Path, job: dict) -> None:
    """Whatever speaks against this job now; otherwise the watchdog is told how much it may take. Raises TooLarge,
    DiskFull."""
    found = limits()
    refuse_full(workspace, found)
    there = needs.available(found)
    expected = needs.needed(workspace, job["kind"], job["arguments"])
    needs.refuse_too_large(job.get("title") or job["kind"], expected, there, found)
    held = resident_bytes(os.getpid())
    turns.note_now(
        workspace / "jobs", queue.lane_of(job["kind"]), job=job["id"], title=job.get("title") or job["kind"],
        who=job.get("who", ""), held=held, limit=held + there, needs=expected,
    )  # fmt: skip


def _keep(folder: Path, outcome: dict) -> None:
    """Write how a job ended. On a full disk the progress file makes room for the few bytes that say so."""
    try:
        queue.write_json(folder / "outcome.json", outcome)
    except OSError as error:
        log.error("the outcome of job %s could not be written: %s", folder.name, error.strerror)
        (folder / "progress.json").unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            queue.write_json(folder / "outcome.json", {**outcome, "result": None} | FULL_DISK)


FULL_DISK = {
    "state": "failed",
    "error": {
        "found": "the disk is full: how this work ended could not be written",
        "expected": "free space",
        "remedy": "Free some and start again; what was finished before is kept",
    },
}


def _in_words(error: Exception, folder: Path) -> dict:
    """A refusal in its three parts. A fault of ours: the traceback goes to the job's log under an id."""
    refusal = in_words(error, folder, "log.txt")
    parts = {k: getattr(refusal, k) for k in ("found", "expected", "remedy")}
    id = getattr(refusal, "id", None)
    if id is None:
        return parts
    log.error("job %s failed, error %s", folder.name, id, exc_info=error)
    return {**parts, "id": id}


def next_job(workspace: Path, lane: str, over: set[str] | None = None) -> str | None:
    """The job of the lane whose turn it is, of those that nobody finished or took; cancelled ones are closed on the
    way.

    `over` remembers the jobs that are none of ours any more, so that a long history costs nothing at each look.
    """
    folder, over = workspace / "jobs", set() if over is None else over
    waiting = [(name, job.get("who", "")) for name, job in _waiting(folder, lane, over)]  # the oldest first
    if not waiting:
        return None
    return turns.choose(waiting, turns.served(folder, lane), turns.busy(folder, limits().running))


def _waiting(folder: Path, lane: str, over: set[str]):
    """(id, job) of every job of the lane that waits, the oldest first."""
    names = (
        (e.name for e in os.scandir(folder) if e.name not in over and e.is_dir()) if folder.exists() else ()
    )
    for name in sorted(names):
        path = folder / name
        if (path / "outcome.json").exists() or (path / "taken").exists():
            over.add(name)
            continue
        job = queue.read_json(path / "job.json")
        if job is None:  # being written
            continue
        if queue.lane_of(job["kind"]) != lane:
            over.add(name)
            continue
        if (path / "cancel").exists():
            queue.write_json(path / "outcome.json", {"state": "cancelled", "seconds": 0})
            continue
        yield name, job


def take(workspace: Path, lane: str, over: set[str]) -> str | None:
    """The next job, taken: from here on it is nobody else's, and its person has had a turn."""
    folder = workspace / "jobs"
    if stopping.asked or next_job(workspace, lane, over) is None:
        return None
    with turns.choosing(folder):
        id = next_job(workspace, lane, over)
        if id is None:
            return None
        job = queue.read_json(folder / id / "job.json")
        turns.note_turn(folder, lane, job.get("who", ""))
        turns.note_now(folder, lane, job=id, title=job.get("title") or job["kind"], who=job.get("who", ""))
        (folder / id / "taken").touch()
    return id


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="analysis.jobs.worker")
    parser.add_argument("workspace", type=Path)
    parser.add_argument("lane", choices=["methods", "recording", "asking", "answering"])
    parser.add_argument("--parent", type=int, default=0)
    given = parser.parse_args(arguments)
    threads_that_sleep()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    (given.workspace / "jobs").mkdir(parents=True, exist_ok=True)
    if threading.current_thread() is threading.main_thread():  # a test may run it elsewhere
        signal.signal(signal.SIGTERM, stopping)
    stopping.grace, stopping.since = limits().stop, None
    with contextlib.suppress(KeyboardInterrupt):
        # a job that came between the last look and the end of the lock found this worker alive: look once more
        while _serve_alone(given.workspace, given.lane, given.parent) and not stopping.asked:
            if next_job(given.workspace, given.lane) is None:
                break
    return 0


def _serve_alone(workspace: Path, lane: str, parent: int) -> bool:
    """Serve under the lane's lock; False where another worker of this lane is already there."""
    with open(workspace / "jobs" / f"worker-{lane}.lock", "wb") as lock:
        for _ in range(LOOKS):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                time.sleep(0.05)
                continue
            turns.note_worker(workspace / "jobs", lane)
            guard = watchdog.start(workspace, lane, parent)
            try:
                _serve(workspace, lane, parent)
            finally:
                guard.terminate()
                guard.wait()
            return workspace.exists()
    return False


def _serve(workspace: Path, lane: str, parent: int) -> None:
    idle_since, over = time.monotonic(), set()
    while True:
        id = take(workspace, lane, over) if workspace.exists() else None
        if id is not None:
            run_job(workspace, id)
            idle_since = time.monotonic()
            continue
        orphan = parent and not process_alive(parent)
        idle = time.monotonic() - idle_since > IDLE_SECONDS
        if orphan or idle or stopping.asked or not workspace.exists():
            return
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
