"""A stop that loses nothing: first nobody is sent here any more, then work finishes or is parked, then the server ends.

    SIGTERM or SIGINT  →  /readyz says 503, no new work is taken
                       →  workers are told; what can finish within LOUPE_STOP_SECONDS finishes, the rest is parked
                       →  open pages are closed, exit code 0

A second signal ends the server at once. The order of the web server itself (close pages, end) is not changed: its own
handler is called when ours is done.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from analysis.jobs import queue
from analysis.jobs.limits import limits
from analysis.jobs.parking import stop_workers
from dashboard.hosting.readiness import Readiness

SIGNALS = (signal.SIGTERM, signal.SIGINT)
PAGES_CLOSE_WITHIN = (
    10.0  # seconds: a page whose browser does not answer keeps the server no longer than that
)
log = logging.getLogger("loupe.hosting")


class Stop:
    """The stop of one server.

    Parameters
    ----------
    notice : float
        Seconds in which /readyz says no while pages still answer, so that whoever sends visitors here notices.
    """

    def __init__(
        self, workspaces: Sequence[tuple[str, Path]], readiness: Readiness, notice: float = 0.0
    ) -> None:
        self.workspaces, self.readiness, self.notice = tuple(workspaces), readiness, notice
        self.then: dict[int, Callable] = {}
        self.finished = False

    @contextlib.asynccontextmanager
    async def lifespan(self, app):
        """To be given to the application: from here on signals are ours; what was left waiting begins."""
        self.then = {number: signal.getsignal(number) for number in SIGNALS}
        for number in SIGNALS:
            signal.signal(number, self.asked)
        threading.Thread(target=self._begin_what_waits, name="waiting jobs", daemon=True).start()
        log.info("the server is ready")
        yield {}

    def asked(self, number: int, frame) -> None:
        """The handler of the signals; when everything is finished, the web server's own is called."""
        if self.finished:
            self.then[number](number, frame)
            return
        if self.readiness.stopping:
            log.warning("told to stop a second time: ending now")
            os._exit(1)
        self.readiness.stopping = True
        queue.close("the server is being stopped or restarted")
        threading.Thread(target=self._finish, args=(number,), name="stopping", daemon=True).start()

    def _finish(self, number: int) -> None:
        log.info("stopping: no more work is taken")
        try:
            time.sleep(self.notice)
            for name, path in self.workspaces:
                for lane, how in stop_workers(path, limits().stop).items():
                    log.info("the job of lane %s in %s: %s", lane, name, how)
        except Exception:
            log.exception("jobs could not be parked")
        log.info("stopping: closing pages")
        timer = threading.Timer(PAGES_CLOSE_WITHIN, _end)
        timer.daemon = True
        timer.start()
        self.finished = True
        os.kill(os.getpid(), number)

    def _begin_what_waits(self) -> None:
        """An empty directory becomes a workspace: nobody is sent here before it is one."""
        from analysis.workspace import Workspace

        for name, path in self.workspaces:
            try:
                Workspace.create(path)
                lanes = queue.start_waiting(path)
            except Exception:
                log.exception("the workspace %s could not be opened, or its waiting jobs not begun", name)
                continue
            if lanes:
                log.info("jobs waited in %s: lanes %s go on", name, ", ".join(lanes))


def _end() -> None:
    log.warning("pages did not close in time: ending")
    sys.stderr.flush()
    os._exit(0)
