"""A recording that was interrupted: what there is of it, and going on."""

from __future__ import annotations

import streamlit as st

from analysis.jobs.queue import JobStatus
from analysis.sources.checkpoint import CODELESS
from dashboard import allowed, errors, jobs
from dashboard.words import count


def draw(store) -> None:
    """A notice with a button; the bar while it goes on, and why it could not when it failed."""
    last = _last_job(store)
    if last is not None and last.state in jobs.ACTIVE:
        jobs.watch(last.id, key=f"store:{store.path.name}")
        return
    if last is not None and last.state == "failed" and last.error:
        errors.notice(last.error)
    expected = store.manifest.get("n_expected")
    of = f" of {expected:,}" if expected else ""
    text, button = st.columns([5, 1], vertical_alignment="center")
    text.warning(
        f"**{errors.escape(store.path.name)}** is incomplete: {count(store.n_samples, 'sample')}{of}. "
        "What is there can be looked at; resuming goes on where it stopped.",
        icon=":material/pause_circle:",
    )
    work = arguments(store, last)
    if work is None:
        button.caption("Resume it with `loupe record --resume`.")
    elif button.button(
        "Resume",
        key=f"resume:{store.path.name}",
        icon=":material/play_arrow:",
        width="stretch",
        **allowed.to("editor"),
    ):
        jobs.start("record", work, f"Record {store.path.name}")
        st.rerun()


def _last_job(store) -> JobStatus | None:
    """The newest job that recorded this store."""
    found = (job for job in jobs.recent(50) if job.kind == "record")
    return next((job for job in found if job.arguments.get("name") == store.path.name), None)


def arguments(store, last: JobStatus | None) -> dict | None:
    """What the recording was started with: from its job, else from the store itself; None where a page cannot
    start it (a network that needs its own Python class)."""
    if last is not None and not last.arguments.get("allow_code"):
        return {**last.arguments, "resume": True}
    manifest = store.manifest
    checkpoint, data, settings = (manifest.get(k) or {} for k in ("checkpoint", "data", "settings"))
    if checkpoint.get("kind") not in CODELESS or not checkpoint.get("path") or not data.get("path"):
        return None
    kept = {k: settings.get(k) for k in ("taps", "tokens", "batch", "limit", "dtype", "seed")}
    where = {"checkpoint": checkpoint["path"], "data": data["path"], "data_options": data.get("options") or {},
             "name": store.path.name}  # fmt: skip
    return {**where, **kept, "resume": True}
