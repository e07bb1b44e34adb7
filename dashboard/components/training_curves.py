"""The curves of a training or a sweep, drawn anew while it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import streamlit as st

from analysis.features.checkpoints import CURVE, read_curve
from analysis.features.training_settings import Training
from analysis.jobs.queue import JobStatus
from dashboard import errors, figures, jobs, state
from dashboard.browse import training_curves
from dashboard.parts import export_menu

EVERY = 2.0  # seconds between two looks at the curve file
HEIGHT = 235


def live(folder: Path, job: JobStatus) -> None:
    """What is seen of a training that runs; only this part of the page is drawn anew."""
    every = (job.arguments.get("training") or {}).get("every", Training.every)
    jobs.looked_at_again(_live, EVERY, folder, job.kind == "sweep", int(every))


def _live(folder: Path, several: bool, every: int) -> None:
    with errors.shown():
        courses = of_sweep(folder) if several else {"": read_curve(folder)}
        if not any(courses.values()):
            st.caption(f"The curves begin after {every:,} steps.")
            return
        draw(courses, key="live")


def of_sweep(folder: Path) -> dict[str, list[dict]]:
    """The course of each training of a sweep that has begun, by its label."""
    found = {path.parent.name: read_curve(path.parent) for path in sorted(folder.glob(f"*/{CURVE}"))}
    return {name: course for name, course in found.items() if course}


def draw(courses: Mapping[str, Sequence[dict]], key: str) -> None:
    """A sentence and four pictures, two by two."""
    if len(courses) == 1:
        ((name, course),) = courses.items()
        before = f"{errors.escape(name)}: " if name else ""
        st.markdown(before + training_curves.sentence(course))
    cells = [cell for _ in range(2) for cell in st.columns(2)]
    for cell, (quantity, curve) in zip(cells, training_curves.curves(courses).items(), strict=True):
        figure = figures.on_screen(curve, theme=state.theme(), height=HEIGHT)
        if quantity in training_curves.FROM_ZERO:
            figure.update_yaxes(range=[0, training_curves.top(curve)])
        look = {"theme": None, "key": f"{key}:{quantity}", "alt": figures.alt_text(curve)}
        with cell:
            st.plotly_chart(figure, config={"displaylogo": False, "displayModeBar": False}, **look)
            export_menu.draw(lambda curve=curve: curve, f"{key}:{quantity}")
