"""Long work, as a page sees it: start it, watch its bar, stop it, be told how it ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import streamlit as st

from analysis import access
from analysis.jobs import queue
from analysis.jobs.queue import RESUMES, JobStatus
from dashboard import allowed, errors, state
from dashboard.words import about

ACTIVE = ("queued", "running")
EVERY = 0.5  # seconds between two looks at a running job
LOOKED_AT = 60  # newest jobs among which one under way is looked for: a long one has many short ones after it


def start(kind: str, arguments: Mapping, title: str, *, patience: float = 0.0) -> str:
    """Queue a job (unless the same work is already under way) and return its id.

    `patience`: seconds to wait here for the end, so that short work shows no bar at all.
    """
    same = find(kind, arguments)
    if same is not None and same.state in ACTIVE:
        return same.id
    path = state.workspace().path
    id = queue.submit(path, kind, dict(arguments), title=title)
    if patience:
        queue.wait(path, id, timeout=patience)
    return id


def find(kind: str, arguments: Mapping) -> JobStatus | None:
    """The newest job with exactly this work, so that a link shows a running job to whoever opens it."""
    for job in recent(LOOKED_AT):
        if job.kind == kind and job.arguments == dict(arguments):
            return job
    return None


def status(id: str) -> JobStatus:
    """How a job stands. Raises NotFound for an id that there is not."""
    return queue.status(state.workspace().path, id)


def recent(limit: int = 8) -> list[JobStatus]:
    """The newest jobs first."""
    return queue.listing(state.workspace().path, limit=limit)


def running() -> list[JobStatus]:
    """What is queued or running now."""
    return [job for job in recent(LOOKED_AT) if job.state in ACTIVE]


def watch(id: str, *, key: str = "") -> JobStatus:
    """Draw the job: a bar with the time left while it runs, its error when it failed; returns its status.

    While it runs only this part of the page is redrawn; when it has ended, the whole page once.
    """
    now = status(id)
    if now.state in ACTIVE:
        looked_at_again(_watched, EVERY, id, key)
    elif now.state != "done":
        _ended(now, key)
    return now


def looked_at_again(draw: Callable, every: float, *given: object) -> None:
    """Draw a part of the page again every so many seconds.

    It has a container of its own: when the browser asks for it while the page is still being drawn, Streamlit drops
    what was not sent of the part, and a gap among its neighbours would leave the whole page blank.
    """
    with st.container():
        st.fragment(draw, run_every=every)(*given)


def _watched(id: str, key: str) -> None:
    with errors.shown():
        now = status(id)
        if now.state not in ACTIVE:
            st.rerun()
        bar(now, key)


def bar(job: JobStatus, key: str = "") -> None:
    """One job's bar, with a button that stops it."""
    with st.container(horizontal=True, wrap=False, vertical_alignment="center"):
        st.progress(min(max(job.fraction, 0.0), 1.0), text=progress_text(job))
        stop = "Stopping" if state.get(f"stopping:{job.id}") else "Cancel"
        pressed = st.button(stop, key=f"cancel:{key}:{job.id}",
                            **allowed.to(_cancels(job), disabled=stop == "Stopping"))  # fmt: skip
    if pressed:
        queue.cancel(state.workspace().path, job.id)
        state.put(f"stopping:{job.id}", True)
        st.rerun(scope="fragment")


def _cancels(job: JobStatus) -> str:
    """The role that it takes to stop this job."""
    return "owner" if asked_by(job) else "editor"


def progress_text(job: JobStatus) -> str:
    """ "Record digits: 3 of 10 batches, 40 %, about 5 s left"."""
    if job.state == "queued":
        return errors.escape(f"{job.title}: waiting for its turn{asked_by(job)}")
    left = f", {about(job.seconds_left)} left" if job.seconds_left else ""
    doing = f"{job.doing or 'working'}, {100 * job.fraction:.0f} %{left}"
    return errors.escape(f"{job.title}: {doing}{asked_by(job)}")


def asked_by(job: JobStatus) -> str:
    """ " (asked by Ben)", where it was somebody else."""
    return f" (asked by {job.by})" if job.by and job.by != access.acting().name else ""


def _ended(job: JobStatus, key: str) -> None:
    """A job that did not finish: why, and a button to start it again."""
    if job.state == "failed":
        errors.notice(job.error or {"found": f"{job.title} failed without a reason"})
    elif job.state == "cancelled":
        kept = " What was finished is kept." if job.kind in RESUMES else ""
        st.info(f"{errors.escape(job.title)}: cancelled.{kept}", icon=":material/cancel:")
    else:
        lost = {"found": f"{job.title}: its process ended before it was done", "remedy": "Start it again"}
        errors.notice(lost, refused=True)
    label = "Resume" if job.kind in RESUMES else "Start again"
    if st.button(label, key=f"again:{key}:{job.id}", icon=":material/replay:", **allowed.to("editor")):
        new = queue.again(state.workspace().path, job.id)
        if state.param("job", "") == job.id:
            state.set_params(job=new)
        st.rerun()
