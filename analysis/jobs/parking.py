"""Stopping without losing work: a job that runs when the server stops goes on for a while, then it is parked.

Parked means waiting again: a recording, an import, a training or a sweep goes on at the last block that it kept, any
other job begins anew. Nobody has to ask for it: the server that starts next starts the workers of what waits.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from analysis.errors import Cancelled
from analysis.jobs import turns
from analysis.jobs.files import process_alive, read_json, write_json

RESUMES = ("record", "import", "train", "sweep")


class Parked(Cancelled):
    """Stopped because the server stops; it will go on."""


class Stopping:
    """Whether this worker was told to stop (SIGTERM), and how long its job may still go on.

    `grace` : seconds from the signal on.
    """

    def __init__(self, grace: float) -> None:
        self.grace, self.since = grace, None

    def __call__(self, *_) -> None:
        self.since = self.since or time.monotonic()

    @property
    def asked(self) -> bool:
        return self.since is not None

    @property
    def over(self) -> bool:
        return self.asked and time.monotonic() - self.since >= self.grace


def park(folder: Path) -> None:
    """Let a job wait again that ran or was taken; nothing where it has ended."""
    job = read_json(folder / "job.json")
    if job is None or (folder / "outcome.json").exists() or (folder / "cancel").exists():
        return
    if job["kind"] in RESUMES and (folder / "progress.json").exists():
        write_json(folder / "job.json", {**job, "arguments": {**job["arguments"], "resume": True}})
    (folder / "progress.json").unlink(missing_ok=True)
    (folder / "taken").unlink(missing_ok=True)


def stop_workers(workspace: Path, grace: float, margin: float = 5.0) -> dict[str, str]:
    """Tell all workers of a workspace to stop, and wait; by lane that had a job, "finished" or "parked".

    A job that does not look up within `grace + margin` seconds is killed and parked: its process had its chance.
    """
    jobs = workspace / "jobs"
    workers = {lane: said for lane in turns.LANES if (said := turns.worker(jobs, lane)) is not None}
    had = {lane: turns.left(jobs, lane) for lane in workers}
    for said in workers.values():
        _signal(said, signal.SIGTERM)
    until = time.monotonic() + grace + margin
    while time.monotonic() < until and any(_there(said) for said in workers.values()):
        time.sleep(0.02)
    for lane, said in workers.items():
        _signal(said, signal.SIGKILL)
        if (job := turns.left(jobs, lane)) is not None:
            park(jobs / job)
    ended = {lane: (jobs / job / "outcome.json").exists() for lane, job in had.items() if job}
    return {lane: "finished" if end else "parked" for lane, end in ended.items()}


def _there(said: dict) -> bool:
    return process_alive(said.get("pid"), said.get("began"))


def _signal(said: dict, number: int) -> None:
    with contextlib.suppress(OSError):
        if _there(said):
            os.kill(int(said["pid"]), number)
