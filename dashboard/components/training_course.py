"""The work of training: what runs now with its curves, what it made, and what stopped and can go on."""

from __future__ import annotations

import streamlit as st

from analysis.errors import NotFound
from analysis.features.sweep import read_points
from analysis.features.unfinished import PLACE, SWEEP, Unfinished, unfinished
from analysis.jobs.queue import JobStatus
from dashboard import errors, jobs, state
from dashboard.components import sweep_front, trained_set, training_curves
from dashboard.parts import stopped_training
from dashboard.words import count

KINDS = ("train", "sweep", "make_features")


def draw() -> None:
    """The job in the URL, or the one that runs; then the others that left something."""
    job = _job()
    left = unfinished(state.workspace().path / PLACE)
    active = job is not None and job.state in jobs.ACTIVE
    shown = job.arguments.get("name", "") if job is not None else ""
    if job is not None:
        with errors.shown():
            _one(job)
    here = ":".join(state.current_tap() or ())
    for one in sorted(left, key=lambda o: (o.name != shown, o.arguments.get("input") != here, o.name)):
        if not (active and one.name == shown):
            with errors.shown():
                _left(one, apart=one.name != shown and (bool(shown) or one.arguments.get("input") != here))
    if job is None and not left:
        st.info(
            "Nothing is being trained. Press **Train**: the curves appear here while it runs, and the page can be "
            "closed meanwhile.", icon=":material/show_chart:",
        )  # fmt: skip


def _left(one: Unfinished, *, apart: bool) -> None:
    """What a sweep found and what stopped; a sweep of other things is folded."""
    points = read_points(one.path) if one.kind == SWEEP else []
    if points and apart:
        title = f"Sweep **{errors.escape(one.name)}** of {errors.escape(str(one.arguments.get('input')))}"
        box = st.expander(
            f"{title}: {count(len(points), 'set')}", key=f"folded:{one.name}", on_change="rerun"
        )
        if box.open:
            with box:
                sweep_front.draw(one)
    elif points:
        sweep_front.draw(one)
    if len(points) < len(one.arguments.get("values") or [0]):
        stopped_training.draw(one)


def _job() -> JobStatus | None:
    try:
        job = jobs.status(state.param("job", "")) if state.param("job", "") else None
    except NotFound:  # an old link
        job = None
    if job is not None and job.kind in KINDS:
        return job
    return next((j for j in jobs.running() if j.kind in KINDS), None)


def _one(job: JobStatus) -> None:
    name = str(job.arguments.get("name", ""))
    if job.state in (*jobs.ACTIVE, "done") and job.kind != "sweep":
        st.markdown(f"#### {errors.escape(name)}")
    if job.state in jobs.ACTIVE:
        jobs.watch(job.id, key="training")
        if job.kind != "make_features":
            training_curves.live(state.workspace().path / PLACE / name, job)
    elif job.state == "done":
        if job.kind != "sweep":
            trained_set.draw(str((job.result or {}).get("features", name)))
    elif job.state == "failed":
        errors.notice(job.error or {"found": f"{job.title} failed without a reason"})
