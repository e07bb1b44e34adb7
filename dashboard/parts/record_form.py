"""From a checkpoint and data to a store: look inside, choose modules, estimate, record."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from dashboard import allowed, errors, jobs, state, table_cells
from dashboard.parts import module_table, outcome, source_form
from dashboard.words import about, count, size

TOKENS = {
    "mean": "mean over the tokens: one row per sample",
    "all": "every token: many rows per sample",
    "cls": "the class token",
    "last": "the last token",
    "spatial-mean": "mean over image positions",
}
DTYPES = {"float16": "float16 (half the disk)", "float32": "float32"}


def draw() -> None:
    """The form, step by step; a step appears when the one before it is done."""
    st.markdown("#### 1 · Choose a network and data")
    sources = source_form.draw()
    inside = _look_inside(sources)
    if inside is None:
        return
    st.markdown("#### 2 · Choose what to record")
    chosen = module_table.draw(inside["taps"], key=sources["checkpoint"])
    module_table.unusable(inside["taps"])
    st.markdown("#### 3 · Estimate, then record")
    settings = _settings(int(inside["samples"]))
    name = _name(sources)
    if not chosen:
        st.info("Choose at least one module in step 2.", icon=":material/arrow_upward:")
        return
    work = {**sources, "taps": chosen, **settings}
    left, right = st.columns(2)
    _estimate(work, left)
    _record({**work, "name": name, "resume": False}, right)


def _look_inside(sources: dict | None) -> dict | None:
    """The dry run: its button, its bar, its result."""
    pressed = st.button(
        "Look inside", type="primary", icon=":material/account_tree:",
        **allowed.to("editor", disabled=sources is None),
    )  # fmt: skip
    if sources is None:
        st.caption(
            "Choose both, then look inside the network: its modules are listed, nothing is recorded yet."
        )
        return None
    if pressed:
        jobs.start("dry_run", sources, "Look inside", patience=1.0)
    job = jobs.find("dry_run", sources)
    now = jobs.watch(job.id, key="dry") if job else None
    if now is None or now.state != "done":
        return None
    inside = now.result
    labels = "" if inside.get("classes") else " · no labels found"
    line = f"{inside['checkpoint']} · {inside.get('data', '')}{labels}"
    st.success(errors.escape(line), icon=":material/check_circle:")
    if inside.get("skipped"):
        with st.expander(f"{count(len(inside['skipped']), 'item')} cannot be read and will be left out"):
            st.dataframe(
                table_cells.safe([{"Left out": reason} for reason in inside["skipped"]]),
                hide_index=True,
                key="skipped",
            )
    return inside


def _settings(n_samples: int) -> dict:
    cells = st.columns([3, 2, 1, 1])
    tokens = cells[0].selectbox(
        "Tokens to keep", list(TOKENS), format_func=TOKENS.get, **state.bound("tokens", "mean", list(TOKENS))
    )
    dtype = cells[1].selectbox(
        "Numbers as", list(DTYPES), format_func=DTYPES.get, **state.bound("dtype", "float16", list(DTYPES))
    )
    batch = cells[2].number_input(
        "Batch", min_value=1, max_value=4096, value="min", step=1, help="Samples per forward pass.",
        **state.bound("batch", 32, state.between(1, 4096, int)),
    )  # fmt: skip
    limit = cells[3].number_input(
        "Limit", min_value=1, max_value=max(1, n_samples), value=None, step=1, placeholder="all",
        help="Record only the first so many samples.",
        **state.bound("limit", None, state.between(1, max(1, n_samples), int)),
    )  # fmt: skip
    return {"tokens": tokens, "dtype": dtype, "batch": batch, "limit": limit}


def _name(sources: dict) -> str:
    taken = {entry.name for entry in state.workspace().stores()}
    network = Path(sources["checkpoint"])
    if network.suffix == ".json":  # a description: network.json is called by its folder
        network = network.parent if network.stem == "network" else network.with_suffix("")
    base = f"{network.name} on {Path(sources['data']).stem}"[:90]
    free = next(name for name in (base, *(f"{base} {k}" for k in range(2, 10_000))) if name not in taken)
    return st.text_input("Name of the store", max_chars=100, **state.bound("name", free)).strip() or free


def _estimate(work: dict, place) -> None:
    """A job that records the first batches into a scratch store and extrapolates; its outcome in words."""
    if place.button(
        "Estimate size and time", icon=":material/timer:", width="stretch", **allowed.to("editor")
    ):
        jobs.start("estimate", work, "Estimate", patience=1.0)
    job = jobs.find("estimate", work)
    now = jobs.watch(job.id, key="estimate") if job else None
    if now is None or now.state != "done":
        return
    cost = now.result
    st.markdown(
        f"**{size(cost['bytes'])}** on disk, **{about(cost['seconds'])}** "
        f"({cost['samples_per_second']:.0f} samples/s), {size(cost.get('memory'))} of memory per batch."
    )
    if cost.get("warning"):
        st.warning(errors.escape(cost["warning"]), icon=":material/warning:")


def _record(work: dict, place) -> None:
    if place.button(
        "Record",
        type="primary",
        icon=":material/fiber_manual_record:",
        width="stretch",
        **allowed.to("editor"),
    ):
        state.set_params(job=jobs.start("record", work, f"Record {work['name']}"))
        st.rerun()  # so that the sidebar's bar is there at once
    outcome.draw("record")
