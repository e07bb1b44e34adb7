"""Whether this server can do its work now: every reason why not, in words for the operator."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from analysis.compute import memory
from analysis.errors import LoupeError
from analysis.jobs.limits import LEAST_FREE, in_words, limits, size_of
from analysis.jobs.needs import LEAST_RESERVE

KEPT_FOR = 1.0  # seconds that an answer stays: whoever asks a thousand times a second asks the disk once
Question = Callable[[Path], str]  # of a workspace: "" or what is wrong


@dataclass
class Readiness:
    """What is asked of each workspace; `stopping` is set when the server was told to stop."""

    workspaces: Sequence[tuple[str, Path]]
    stopping: bool = False
    _kept: tuple[float, dict[str, str]] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def wrong(self) -> dict[str, str]:
        """What is wrong, by the name of what was asked; empty where the server is ready. Cost: some small files."""
        if self.stopping:
            return {"stopping": "the server was told to stop"}
        with self._lock:
            now = time.monotonic()
            if self._kept is None or now - self._kept[0] > KEPT_FOR:
                self._kept = time.monotonic(), self._asked()
            return self._kept[1]

    def _asked(self) -> dict[str, str]:
        found = {}
        for name, path in self.workspaces:
            for asked, question in QUESTIONS.items():
                try:
                    wrong = question(path)
                except LoupeError as error:
                    wrong = error.found
                except (OSError, ValueError) as error:
                    wrong = type(error).__name__ + (
                        f": {error.strerror}" if getattr(error, "strerror", "") else ""
                    )
                except Exception as error:  # a database's own
                    wrong = type(error).__name__
                if wrong:
                    found[f"{asked} ({name})"] = wrong
        return found


def _workspace(path: Path) -> str:
    with open(path / "workspace.json", "rb") as f:
        f.read(1)
    return "" if os.access(path, os.W_OK | os.X_OK) else "it cannot be written to"


def _database(path: Path) -> str:
    from analysis.people import engines, places
    from analysis.workspace import Workspace

    if named := os.environ.get(places.VARIABLE, "").strip():
        engines.answers(engines.parsed(named))  # a workspace that nobody wrote to yet does not ask it
    Workspace.open(path).people.selections()
    return ""


def _disk(path: Path) -> str:
    free = shutil.disk_usage(path).free
    if free < LEAST_FREE:
        return f"{in_words(free)} left"
    most = limits().disk
    return (
        f"the workspace takes {in_words(size_of(path))}" if most is not None and size_of(path) >= most else ""
    )


def _workers(path: Path) -> str:
    """A worker is a process of this interpreter that writes under jobs/ and needs memory."""
    if not os.access(sys.executable, os.X_OK):
        return "the interpreter cannot be started"
    folder = path / "jobs"
    if folder.exists() and not os.access(folder, os.W_OK | os.X_OK):
        return "jobs/ cannot be written to"
    free = memory.free_bytes()
    return f"{in_words(free)} of memory left" if free < LEAST_RESERVE else ""


QUESTIONS: dict[str, Question] = {
    "workspace": _workspace,
    "database": _database,
    "disk": _disk,
    "workers": _workers,
}
