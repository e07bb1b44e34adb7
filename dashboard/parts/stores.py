"""What has been recorded: one line per store, its problems, and the one looked at more closely."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import streamlit as st

from dashboard import errors, jobs, state
from dashboard.parts import resume
from dashboard.words import count, size


def draw() -> None:
    """Table, problems, details; or what to do where nothing is there."""
    entries = state.workspace().stores()
    if not entries:
        empty()
        return
    for entry in entries:
        problems(entry)
    drawn = st.dataframe(
        [_row(entry) for entry in entries],
        hide_index=True,
        key="stores",
        on_select="rerun",
        selection_mode="single-row",
    )
    good = [entry for entry in entries if entry.store is not None]
    names = [entry.name for entry in good]
    if not good:
        return
    ticked = [entries[row].name for row in drawn.selection.rows if row < len(entries)]
    shown = ticked[0] if ticked and ticked[0] in names else state.param("store", names[0], names)
    state.set_params(store=shown if ticked else state.param("store", None, names))
    details(good[names.index(shown)].store)


def empty() -> None:
    """A workspace without stores: the two ways to begin."""
    st.info(
        "Nothing is recorded here yet. **Record a network**: choose a checkpoint and data, and keep what its modules "
        "compute. Or **import activations** that you have as a file. Both are in the row above.",
        icon=":material/waving_hand:",
    )


def problems(entry) -> None:
    """What is wrong with a store, in words, with the way out where there is one."""
    if entry.store is None:
        errors.notice({"found": f"{entry.name} cannot be opened: {entry.problem}"})
        return
    store = entry.store
    if not store.complete:
        resume.draw(store)
    for problem in store.problems if store.complete else store.problems[1:]:
        st.warning(
            f"**{errors.escape(store.path.name)}**: {errors.escape(problem)}", icon=":material/warning:"
        )


def _row(entry) -> dict:
    if entry.store is None:
        return {"Store": entry.name, "State": "cannot be opened"}
    store, recording = entry.store, _being_recorded(entry.name)
    manifest = store.manifest
    return {
        "Store": entry.name,
        "Samples": store.n_samples,
        "Taps": len(store.taps),
        "Size": size(_finished_bytes(store) if store.complete else store.n_bytes),
        "Accuracy": accuracy(store),
        "Network": (manifest.get("checkpoint") or {}).get("architecture") or "",
        "Data": (manifest.get("data") or {}).get("name") or "",
        "State": "complete" if store.complete else "being recorded" if recording else "incomplete",
    }


def _being_recorded(name: str) -> bool:
    return any(job.arguments.get("name") == name for job in jobs.running())


def accuracy(store) -> str:
    """Share of right predictions among the samples whose label is known; "" where there is none."""
    if not store.complete or "correct" not in store.samples:
        return ""
    correct = np.asarray(store.samples["correct"])
    if correct.dtype.kind not in "biuf":
        return ""
    known = correct[np.isfinite(correct) & (correct >= 0)]
    return f"{100 * float(known.mean()):.1f} %" if len(known) else ""


@functools.lru_cache(maxsize=256)
def _finished_bytes(store) -> int:
    """Bytes of a store that no longer grows; counting them walks through all its files."""
    return store.n_bytes


def details(store) -> None:
    """One store: where it comes from, and its taps."""
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"#### {errors.escape(store.path.name)}")
            shows = store.taps and store.n_samples
            if shows and st.button("Show on the map", icon=":material/scatter_plot:"):
                state.go("map", tap=state.opening_tap([f"{store.path.name}:{tap}" for tap in store.taps]))
        left, right = st.columns([1, 1.1])
        left.caption(f"{count(len(store.taps), 'tap')} (modules whose output is recorded)")
        rows = [_tap_row(store, tap) for tap in store.taps.values()]
        left.dataframe(rows, hide_index=True, key="taps", height=_height(rows))
        right.caption("Where it comes from")
        narrow = {"What": st.column_config.Column(width=130)}
        right.dataframe(_facts(store), hide_index=True, key="facts", column_config=narrow, height="content")


def _facts(store) -> list[dict]:
    manifest = store.manifest
    checkpoint, data = manifest.get("checkpoint") or {}, manifest.get("data") or {}
    lines = {
        "Checkpoint": checkpoint.get("path"),
        "Checkpoint digest": checkpoint.get("digest"),
        "Parameters": f"{checkpoint['n_parameters']:,}" if checkpoint.get("n_parameters") else None,
        "Data": data.get("path") or data.get("name"),
        "Data digest": data.get("digest"),
        "Left out": count(len(data["skipped"]), "unreadable item") if data.get("skipped") else None,
        "Classes": ", ".join(store.classes[:12]) + (" …" if len(store.classes) > 12 else ""),
        "Store digest": store.digest,
        "Directory": str(store.path),
    }
    return [{"What": name, "Value": str(value)} for name, value in lines.items() if value]


def _tap_row(store, tap) -> dict:
    per_sample = store.entry(tap.name).get("tokens_per_sample")
    kept = (
        tap.tokens
        if tap.tokens != "all"
        else "one row"
        if per_sample == 1
        else f"all ({per_sample or 'varying'})"
    )
    return {
        "Tap": tap.name,
        "Module": tap.module,
        "Units": tap.n_units,
        "Tokens": kept,
        "Numbers": tap.dtype,
    }


def _height(rows: Sequence) -> int:
    return min(320, 45 + 35 * max(1, len(rows)))
