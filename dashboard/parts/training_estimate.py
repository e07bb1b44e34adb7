"""What a training will take, said before it starts: memory at once, the time when a few steps have been tried."""

from __future__ import annotations

import streamlit as st

from analysis.features.asking import asked
from analysis.features.training_cost import training_bytes
from dashboard import allowed, jobs
from dashboard.parts.cost_line import free_memory
from dashboard.words import about, count, size

LONG = 900.0  # seconds


def _times(times: float) -> str:
    return f"{times:,.0f} times" if times >= 10 else f"{times:.2g} times"


def draw(form, work: dict, shape: tuple[int, int]) -> None:
    """Rows, steps, memory, and the time once it is measured; what to reduce where that is much."""
    values = work.get("values") or [None]
    params = dict(form.params) if values[0] is None else {**form.params, form.kind.sparsity: values[0]}
    _, made, training = asked(form.kind.name, params, form.training)
    need, free = training_bytes(shape, made, training), free_memory()
    times = training.tokens / max(1, shape[0] * (1 - training.held_out))
    st.caption(
        f"{training.steps:,} steps; each row is seen about {_times(times)}. {made.latents:,} features are "
        f"{made.latents / shape[1]:.3g} for each unit. About {size(need)} of memory."
    )
    if need > free:
        st.warning(
            f"This needs about {size(need)} of memory and {size(free)} are free. Fewer latents, a smaller batch, or "
            "both make it fit.", icon=":material/memory:",
        )  # fmt: skip
    _time(form, work, params, len(values))


def _time(form, work: dict, params: dict, n_sets: int) -> None:
    asked_for = {
        "input": form.reference, "architecture": form.kind.name, "params": params, "training": form.training,
        "seed": form.seed,
    }  # fmt: skip
    job = jobs.find("training_cost", asked_for)
    if job is None or job.state not in (*jobs.ACTIVE, "done"):
        if job is not None:
            jobs.watch(job.id, key="training cost")
        elif st.button(
            "Estimate the time",
            icon=":material/timer:",
            width="stretch",
            **allowed.to("editor", help="Tries a few steps."),
        ):
            jobs.start("training_cost", asked_for, "Estimate", patience=0.3)
            st.rerun()
        return
    now = jobs.watch(job.id, key="training cost")
    if now.state != "done":
        return
    seconds = float(now.result["seconds"]) * n_sets
    each = f" for {count(n_sets, 'set')}" if n_sets > 1 else ""
    st.markdown(f"**{about(seconds).capitalize()}**{each} on this machine, as a few steps took just now.")
    if seconds > LONG:
        st.caption(
            "That is long: fewer rows seen, fewer latents, or a lower k make it shorter. It can be stopped at any time "
            "and goes on later."
        )
