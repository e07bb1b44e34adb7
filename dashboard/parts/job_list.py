"""The work of this workspace: running, and how the rest ended."""

from __future__ import annotations

import time

import streamlit as st

from dashboard import errors, jobs, table_cells
from dashboard.words import duration

SHOWN = 30


def draw() -> None:
    """Bars with a cancel button for what runs; a table for what has ended."""
    found = jobs.recent(SHOWN)
    if not found:
        st.info(
            "No work yet. Recordings, imports and analyses appear here while they run.",
            icon=":material/schedule:",
        )
        return
    active = [job for job in found if job.state in jobs.ACTIVE]
    for job in active:
        jobs.watch(job.id, key="list")
    ended = [job for job in found if job.state not in jobs.ACTIVE]
    if ended:
        st.dataframe(
            table_cells.safe(_rows(ended)), hide_index=True, key="ended jobs", alt="Work that has ended"
        )
    if len(found) == SHOWN:
        st.caption(f"The newest {SHOWN} are listed.")
    failed = next((job for job in ended if job.state in ("failed", "interrupted")), None)
    if failed:
        with st.expander(f"The last one that failed: {errors.escape(failed.title)}"):
            jobs.watch(failed.id, key="list")


def _rows(ended: list) -> list[dict]:
    """Who asked is a column only where several people did."""
    several = len({job.by for job in ended}) > 1
    return [{**_row(job), **({"Asked by": job.by} if several else {})} for job in ended]


def _row(job) -> dict:
    return {
        "Work": job.title,
        "State": job.state,
        "Took": duration(job.seconds) if job.seconds is not None else "",
        "Started": time.strftime("%Y-%m-%d %H:%M", time.localtime(job.created)),
        "Reason": (job.error or {}).get("found", ""),
    }
