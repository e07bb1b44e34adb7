"""What Prometheus is told: counts, seconds and bytes; no name, no address, no text of anybody.

Pages are counted by their names, jobs by their kinds: both are ours. A path that somebody made up counts as "other".
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections import Counter as Counts
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from analysis.compute import memory
from analysis.jobs import queue, turns
from analysis.jobs.files import read_json
from analysis.jobs.handlers import HANDLERS
from analysis.jobs.limits import size_of
from analysis.store import cache
from dashboard.hosting.clicks import Clicks

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
ROUTES = (
    "static",
    "_stcore",
    "media",
    "component",
    "oauth2callback",
    "auth",
)  # first part of a path that is Streamlit's
GROUP = {"1": "1xx", "2": "2xx", "3": "3xx", "4": "4xx", "5": "5xx"}


class Metrics:
    """All metrics of one server, in a registry of its own.

    Parameters
    ----------
    workspaces : sequence of (name, directory)
    pages : sequence of str
        Names that a run may be counted under.
    """

    def __init__(self, workspaces: Sequence[tuple[str, Path]], pages: Sequence[str]) -> None:
        self.registry, self.pages = CollectorRegistry(), tuple(pages)
        kept = {"registry": self.registry}
        self.requests = Counter("loupe_requests", "HTTP requests answered", ("route", "status"), **kept)
        self.sessions = Gauge("loupe_sessions", "Pages that are open in a browser now", **kept)
        self.opened = Counter("loupe_sessions_opened", "Pages that were opened", **kept)
        self.messages = Counter("loupe_clicks", "Messages from browsers: clicks, typing, opening", **kept)
        self.sent = Counter("loupe_sent_bytes", "Bytes sent to open pages", **kept)
        self.runs = Histogram(
            "loupe_rerun_seconds", "Seconds of a page's run", ("page",), buckets=SECONDS, **kept
        )
        self.clicked = Histogram(
            "loupe_click_seconds",
            "Seconds from a click's arrival to the last message of its answer, waits included",
            ("page",),
            buckets=SECONDS,
            **kept,
        )
        self.errors = Counter("loupe_errors", "Errors that were written to the log", ("logger",), **kept)
        self.database = Counter("loupe_database_errors", "Statements that a database refused", **kept)
        GCCollector(self.registry)
        ProcessCollector(registry=self.registry)
        self.registry.register(Work(workspaces))

    @contextlib.contextmanager
    def page(self, name: str) -> Iterator[None]:
        """Around a run of a page."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.runs.labels(self._known(name)).observe(time.perf_counter() - started)

    def click(self, name: str, seconds: float) -> None:
        """A click on this page was answered."""
        self.clicked.labels(self._known(name)).observe(seconds)

    def _known(self, name: str) -> str:
        return name if name in self.pages else "other"

    def exposition(self) -> tuple[str, bytes]:
        """Content type and text."""
        return CONTENT_TYPE_LATEST, generate_latest(self.registry)

    def count_errors(self) -> None:
        """Count what goes to the log from level ERROR on, and what databases refuse."""
        handler = _Counting(logging.ERROR)
        handler.counter = self.errors
        logging.getLogger().addHandler(handler)
        with contextlib.suppress(ImportError):
            from sqlalchemy import event
            from sqlalchemy.engine import Engine

            event.listen(Engine, "handle_error", lambda _: self.database.inc())


class _Counting(logging.Handler):
    counter: Counter

    def emit(self, record: logging.LogRecord) -> None:
        self.counter.labels(record.name.partition(".")[0]).inc()


class Watched:
    """ASGI middleware: counts requests, open pages and messages, and times clicks. `names`: {Streamlit's digest of a
    page: its name}."""

    def __init__(
        self, app, metrics: Metrics, base_path: str = "", names: Mapping[str, str] | None = None
    ) -> None:
        self.app, self.metrics, self.base, self.names = app, metrics, base_path.strip("/"), names or {}

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._page(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _http(self, scope, receive, send) -> None:
        status = ["5xx"]

        async def sending(message) -> None:
            if message["type"] == "http.response.start":
                status[0] = GROUP.get(str(message["status"])[0], "other")
            await send(message)

        try:
            await self.app(scope, receive, sending)
        finally:
            self.metrics.requests.labels(self._route(scope.get("path", "")), status[0]).inc()

    def _route(self, path: str) -> str:
        rest = path.strip("/").removeprefix(self.base).strip("/")
        first = rest.partition("/")[0]
        if first in ("", *self.metrics.pages):
            return "page"
        return first if first in (*ROUTES, "healthz", "readyz", "metrics") else "other"

    async def _page(self, scope, receive, send) -> None:
        metrics = self.metrics
        clicks = Clicks(metrics.click, self.names)

        async def receiving():
            message = await receive()
            if message["type"] == "websocket.receive":
                metrics.messages.inc()
                clicks.arrived(message.get("bytes") or b"")
            return message

        async def sending(message) -> None:
            data = message.get("bytes") or b""
            metrics.sent.inc(len(data))
            await send(message)
            clicks.sent(data)

        metrics.opened.inc()
        with metrics.sessions.track_inprogress():
            await self.app(scope, receiving, sending)


class Work:
    """A collector: jobs, the cache, memory. What ended is read once; Prometheus asks every some seconds."""

    def __init__(self, workspaces: Sequence[tuple[str, Path]]) -> None:
        self.workspaces = tuple(workspaces)
        self.seen: dict[str, set[str]] = {name: set() for name, _ in workspaces}
        self.ended, self.took, self.lock = Counts(), Counts(), threading.Lock()

    def describe(self):
        return []

    def collect(self):
        """All families."""
        with self.lock:
            yield from self._jobs()
        yield from self._cache()
        yield from self._memory()

    def _jobs(self):
        active = GaugeMetricFamily("loupe_jobs", "Jobs now", labels=("workspace", "kind", "state"))
        length = GaugeMetricFamily("loupe_queue_length", "Jobs that wait for a worker", labels=("workspace",))
        people = GaugeMetricFamily(
            "loupe_queue_people", "People with a job that waits", labels=("workspace",)
        )
        ended = CounterMetricFamily(
            "loupe_jobs_ended", "Jobs that ended", labels=("workspace", "kind", "state")
        )
        took = CounterMetricFamily(
            "loupe_job_seconds", "Seconds that ended jobs took", labels=("workspace", "kind")
        )
        for name, path in self.workspaces:
            waiting = [read_json(path / "jobs" / id / "job.json") or {} for id in queue.waiting(path)]
            running = [
                read_json(path / "jobs" / one["job"] / "job.json") or {}
                for one in turns.at_work(path / "jobs")
            ]
            for state, jobs in (("queued", waiting), ("running", running)):
                for kind, number in Counts(_kind(job) for job in jobs).items():
                    active.add_metric((name, kind, state), number)
            length.add_metric((name,), len(waiting))
            people.add_metric((name,), len({job.get("who") for job in waiting}))
            self._count_ended(name, path)
        for labels, number in self.ended.items():
            ended.add_metric(labels, number)
        for labels, seconds in self.took.items():
            took.add_metric(labels, seconds)
        yield from (active, length, people, ended, took)

    def _count_ended(self, name: str, path: Path) -> None:
        for id in queue.ids(path):
            if id in self.seen[name]:
                continue
            outcome = read_json(path / "jobs" / id / "outcome.json")
            if outcome is None:
                continue
            self.seen[name].add(id)
            kind = _kind(read_json(path / "jobs" / id / "job.json") or {})
            state = outcome.get("state") if outcome.get("state") in queue.ENDED else "other"
            self.ended[name, kind, state] += 1
            self.took[name, kind] += float(outcome.get("seconds") or 0)

    def _cache(self):
        found = CounterMetricFamily("loupe_cache_requests", "Results asked of the cache", labels=("answer",))
        for answer, number in cache.asked.items():
            found.add_metric((answer,), number)
        size = GaugeMetricFamily("loupe_workspace_bytes", "Disk that is taken", labels=("workspace", "part"))
        for name, path in self.workspaces:
            for part in ("cache", "stores", "features", "jobs"):
                size.add_metric((name, part), size_of(path / part))
        yield from (found, size)

    def _memory(self):
        held = GaugeMetricFamily("loupe_memory_bytes", "Memory held", labels=("of",))
        held.add_metric(("server",), memory.resident_bytes(os.getpid()))
        workers = [turns.worker(path / "jobs", lane) for _, path in self.workspaces for lane in turns.LANES]
        held.add_metric(("workers",), sum(memory.resident_bytes(said["pid"]) for said in workers if said))
        free = GaugeMetricFamily("loupe_memory_free_bytes", "Memory that is free, container limits counted")
        free.add_metric((), memory.free_bytes())
        yield from (held, free)


def _kind(job: dict) -> str:
    return job.get("kind") if job.get("kind") in HANDLERS else "other"
