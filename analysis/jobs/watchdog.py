"""Watches one worker's memory from a process of its own, and ends the worker before the machine is in trouble.

    python -m analysis.jobs.watchdog WORKSPACE LANE PID PARENT

A thread in the worker would not do: a library that allocates while it holds the interpreter's lock lets no thread run.
A job beyond its limit (`needs.available` when it began, on top of what its worker held) fails with words; so does the
largest of all jobs when hardly anything is free any more. Then another worker goes on with what waits.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from analysis.compute import memory
from analysis.jobs import needs, queue, turns
from analysis.jobs.files import process_alive, read_json, write_json

EVERY = 0.1  # seconds between two looks: a quick allocator takes about a gigabyte in one
MOST_LIKELY = (
    "800"  # for the system itself, of -1000 to 1000: where it must end a process, a worker is to be the one
)


def start(workspace: Path, lane: str, parent: int) -> subprocess.Popen:
    """A watchdog of this process."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(MOST_LIKELY)
    asked = [str(workspace), lane, str(os.getpid()), str(parent)]
    return subprocess.Popen(
        [sys.executable, "-m", "analysis.jobs.watchdog", *asked], stdin=subprocess.DEVNULL
    )


def look(workspace: Path, lane: str, pid: int, least_free: int) -> bool:
    """End the worker's job where it takes too much; returns whether it did."""
    said = turns.now(workspace / "jobs", lane)
    if said is None or said["pid"] != pid or said.get("limit") is None:
        return False
    held = memory.resident_bytes(pid)
    if held > said["limit"]:
        return end(workspace, said, held, said["limit"])
    if memory.free_bytes() < least_free and _is_largest(workspace, held, said):
        return end(workspace, said, held, held)
    return False


def end(workspace: Path, said: dict, held: int, limit: int) -> bool:
    """Stop the worker, write why its job failed, and kill it. False where the job ended meanwhile."""
    folder, pid = workspace / "jobs" / said["job"], int(said["pid"])
    os.kill(pid, signal.SIGSTOP)  # from here on it writes nothing
    if (folder / "outcome.json").exists():
        os.kill(pid, signal.SIGCONT)
        return False
    grown = max(0, held - said["held"])
    error = needs.too_much(said["title"], grown, max(0, limit - said["held"]), said.get("needs"))
    began = (read_json(folder / "progress.json") or {}).get("seconds")
    try:
        write_json(folder / "outcome.json", {"state": "failed", "error": error, "seconds": began})
    finally:
        for one in [*memory.children(pid), pid]:
            if one != os.getpid():
                os.kill(one, signal.SIGKILL)
    return True


def _is_largest(workspace: Path, held: int, said: dict) -> bool:
    """Of all jobs that run now; one that hardly grew is not what filled the machine."""
    others = [memory.resident_bytes(one["pid"]) for one in turns.at_work(workspace / "jobs")]
    return held >= max(others, default=0) and held - said["held"] > needs.LEAST_RESERVE


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="analysis.jobs.watchdog")
    parser.add_argument("workspace", type=Path)
    parser.add_argument("lane", choices=turns.LANES)
    parser.add_argument("pid", type=int)
    parser.add_argument("parent", type=int)
    given = parser.parse_args(arguments)
    least = needs.reserve() // 2
    while process_alive(given.pid):
        with contextlib.suppress(OSError):  # it ended between two looks
            if look(given.workspace, given.lane, given.pid, least):
                _go_on(given)
                return 0
        time.sleep(EVERY)
    return 0


def _go_on(given) -> None:
    """Once the worker is gone, another one, where jobs wait."""
    until = time.monotonic() + 10
    while process_alive(given.pid) and time.monotonic() < until:
        time.sleep(0.01)
    if any(queue.lane_of(job["kind"]) == given.lane for job in _jobs(given.workspace)):
        queue.start_worker(given.workspace, given.lane, given.parent)


def _jobs(workspace: Path) -> list[dict]:
    found = (read_json(workspace / "jobs" / id / "job.json") for id in queue.waiting(workspace))
    return [job for job in found if job]


if __name__ == "__main__":
    sys.exit(main())
