"""Whose turn it is: people take turns, each with her oldest job first, however many jobs somebody has waiting.

What a lane's worker does now, and who had its last turns, lie beside the jobs, so that another worker, and the one
that follows it, know it too.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from analysis.access import Person
from analysis.jobs.files import began, process_alive, read_json, write_json

REMEMBERED = 200  # people whose last turn is known; whoever came before them is as one who never came
LANES = ("methods", "recording", "asking", "answering")


def who(person: Person) -> str:
    """A name for a person in the files of the queue, which tells nobody who she is."""
    return hashlib.sha256((person.id or person.name).encode()).hexdigest()[:16]


def choose(
    waiting: Sequence[tuple[str, str]], served: dict[str, int], busy: Sequence[str] = ()
) -> str | None:
    """The job whose turn it is.

    Parameters
    ----------
    waiting : sequence of (job, person)
        In the order in which they came.
    served : dict
        By person, the number of the turn that she had last.
    busy : sequence of str
        People who have as many jobs running as they may.
    """
    first = {}
    for job, person in waiting:
        if person not in busy:
            first.setdefault(person, job)
    if not first:
        return None
    return first[min(first, key=lambda person: (served.get(person, 0), first[person]))]


def served(jobs: Path, lane: str) -> dict[str, int]:
    """By person, the number of the turn that she had last in this lane."""
    found = read_json(jobs / f"turns-{lane}.json")
    return found if isinstance(found, dict) else {}


def note_turn(jobs: Path, lane: str, person: str) -> None:
    """`person` has a turn now."""
    found = served(jobs, lane)
    found[person] = max(found.values(), default=0) + 1
    newest = sorted(found, key=found.get)[-REMEMBERED:]
    write_json(jobs / f"turns-{lane}.json", {name: found[name] for name in newest})


@contextlib.contextmanager
def choosing(jobs: Path) -> Iterator[None]:
    """One worker chooses at a time: two that look at once would both find a person's last place free."""
    with open(jobs / "turns.lock", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def note_worker(jobs: Path, lane: str) -> None:
    """This process is the lane's worker, and does nothing yet."""
    note_now(jobs, lane)
    write_json(jobs / f"worker-{lane}.json", {"pid": os.getpid(), "began": began(os.getpid())})


def worker(jobs: Path, lane: str) -> dict | None:
    """{"pid", "began"} of the lane's worker where one is there."""
    found = read_json(jobs / f"worker-{lane}.json")
    return found if found and process_alive(found.get("pid"), found.get("began")) else None


def note_now(jobs: Path, lane: str, **said) -> None:
    """What this process, the worker of a lane, does now; without a job, nothing. The watchdog reads it."""
    path = jobs / f"now-{lane}.json"
    if said:
        write_json(path, {**said, "pid": os.getpid(), "began": began(os.getpid())})
    else:
        path.unlink(missing_ok=True)


def now(jobs: Path, lane: str) -> dict | None:
    """{"job", "title", "who", "pid", "began", "limit", "held", "needs"} of a worker that is at work, else None."""
    found = read_json(jobs / f"now-{lane}.json")
    return found if found and process_alive(found.get("pid"), found.get("began")) else None


def left(jobs: Path, lane: str) -> str | None:
    """The job that the lane's last worker had in hand when it ended without a word."""
    return (read_json(jobs / f"now-{lane}.json") or {}).get("job")


def at_work(jobs: Path) -> list[dict]:
    """What all lanes do now."""
    return [found for lane in LANES if (found := now(jobs, lane)) is not None]


def busy(jobs: Path, most: int | None) -> list[str]:
    """People with as many jobs running as one may have."""
    if most is None:
        return []
    running = [found["who"] for found in at_work(jobs)]
    return [person for person in set(running) if running.count(person) >= most]
