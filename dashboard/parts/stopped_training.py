"""A training or sweep that stopped before its end: what is kept of it, going on, and deleting it."""

from __future__ import annotations

import streamlit as st

from analysis.features.asking import as_params
from analysis.features.training_settings import Training
from analysis.features.unfinished import SWEEP, Unfinished, drop
from dashboard import allowed, errors, jobs, state
from dashboard.browse import training_curves


def draw(one: Unfinished) -> None:
    """A card; one that another process works on says so."""
    with st.container(border=True):
        st.markdown(f"**{errors.escape(one.name)}** of {errors.escape(str(one.arguments.get('input', '')))}")
        if one.busy or _queued(one):
            st.caption(f"{_far(one)} It is being trained now.")
            return
        if one.ended:
            errors.notice({"found": f"It diverged: {one.ended}"})
        st.markdown(_far(one))
        if one.curve:
            st.caption(training_curves.sentence(one.curve))
        rate = _rate(one) if one.ended else None
        with st.container(horizontal=True, vertical_alignment="bottom"):
            label = f"Go on from step {one.step:,}" if one.step and one.kind != SWEEP else "Go on"
            label = label if one.step or one.kind == SWEEP else "Start again"
            if st.button(
                label,
                type="primary",
                icon=":material/play_arrow:",
                key=f"go on:{one.name}",
                **allowed.to("editor"),
            ):
                _go_on(one, rate)
            with st.popover("Delete", icon=":material/delete:", **allowed.to("editor")):
                st.markdown("Deletes its checkpoint and curve. Sets that were kept stay.")
                if st.button("Delete it", key=f"drop:{one.name}", icon=":material/delete:"):
                    drop(one.path)
                    state.set_params(job=None)
                    st.rerun()


def _queued(one: Unfinished) -> bool:
    return any(j.kind == one.kind and j.arguments.get("name") == one.name for j in jobs.running())


def _far(one: Unfinished) -> str:
    if one.kind == SWEEP:
        return "A sweep that has not finished: what is finished of it is kept, and going on trains the rest."
    if not one.step:
        return "It stopped before its first checkpoint: nothing is kept."
    return f"It stopped; the checkpoint of step {one.step:,} of {one.steps:,} is kept."


def _rate(one: Unfinished) -> float:
    """A lower learning rate: with the same one it would diverge again at the same step."""
    before = as_params(Training, one.arguments.get("training")).learning_rate
    return st.number_input(
        "Learning rate from here on", min_value=1e-7, max_value=1.0, value=max(1e-7, before / 10), format="%.3g",
        key=f"rate:{one.name}", help=f"It was {before:g}. With the same one it would diverge again at the same step.",
    )  # fmt: skip


def _go_on(one: Unfinished, rate: float | None) -> None:
    work = {**one.arguments, "resume": True}
    if rate is not None:
        work["training"] = {**(work.get("training") or {}), "learning_rate": rate}
    state.set_params(job=jobs.start(one.kind, work, f"Train {one.name}"))
    st.rerun()
