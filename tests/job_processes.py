"""Workers as real processes that know some more kinds of jobs: one that grows, one that waits, one that fills a file.

python tests/job_processes.py WORKSPACE LANE        (as analysis.jobs.worker)
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]


def grow(workspace, arguments, progress):
    """Memory, a block at a time, without ever looking up."""
    held = []
    for _ in range(arguments["blocks"]):
        held.append(bytearray(os.urandom(1 << 16) * (arguments["megabytes"] << 4)))
        time.sleep(arguments.get("pause", 0.02))
    return {"held": sum(map(len, held))}


def wait(workspace, arguments, progress):
    """So many seconds, looking up now and then; `deaf`: never. Writes a line for each time it begins."""
    with open(Path(workspace) / "begun.txt", "a") as f:
        f.write(f"{arguments['name']}\n")
    until = time.monotonic() + arguments["seconds"]
    while time.monotonic() < until:
        if not arguments.get("deaf"):
            progress(0.5, "waiting")
        time.sleep(0.01)
    return {"name": arguments["name"]}


def start(workspace: Path, lane: str = "recording", **environment: str) -> subprocess.Popen:
    """A worker of this kind, in a session of its own."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    command = [sys.executable, __file__, str(workspace), lane]
    with open(Path(workspace) / "worker.log", "ab") as log:
        return subprocess.Popen(command, env=env, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)


@contextlib.contextmanager
def running(workspace: Path, lane: str = "recording", **environment: str):
    """A worker that is gone afterwards, with whatever followed it."""
    from analysis.jobs import turns

    process = start(workspace, lane, **environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait(30)
        for one in turns.LANES:
            said = turns.worker(Path(workspace) / "jobs", one)
            if said is not None:
                os.kill(said["pid"], signal.SIGKILL)


def until(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


if __name__ == "__main__":
    from analysis.jobs import handlers, worker

    handlers.HANDLERS.update(grow=grow, wait=wait)
    sys.exit(worker.main(sys.argv[1:]))
