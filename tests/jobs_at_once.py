"""Jobs of a page done in the test's own process, by their handlers."""

from __future__ import annotations

import json

from analysis.errors import LoupeError, NotFound
from analysis.jobs import handlers
from analysis.jobs.queue import JobStatus
from analysis.spec import no_progress
from dashboard import jobs, state


def install(monkeypatch) -> dict[str, JobStatus]:
    """From here on a job is over when it has started; the ended ones by id."""
    done: dict[str, JobStatus] = {}

    def start(kind, arguments, title, *, patience=0.0):
        result, error, ended = None, None, "done"
        plain = json.loads(json.dumps(arguments))
        try:
            result = handlers.HANDLERS[kind](state.workspace().path, plain, no_progress)
        except LoupeError as refusal:
            ended, error = "failed", {n: getattr(refusal, n) for n in ("found", "expected", "remedy")}
        id = f"job{len(done)}"
        blank = {n: None for n in JobStatus.__dataclass_fields__}
        done[id] = JobStatus(**blank | {
            "id": id, "kind": kind, "title": title, "state": ended, "result": result, "error": error,
            "arguments": plain, "fraction": 1.0, "created": 0.0})  # fmt: skip
        return id

    def status(id):
        if id not in done:
            raise NotFound(id)
        return done[id]

    monkeypatch.setattr(jobs, "start", start)
    monkeypatch.setattr(jobs, "status", status)
    return done
