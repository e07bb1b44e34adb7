"""What has been recorded: one line per store, its problems, and the one looked at more closely."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import streamlit as st

from analysis.compute.statistics.nulls import wilson
from dashboard import errors, jobs, state, table_cells
from dashboard.browse.labels import labels_of
from dashboard.figures.text import listed
from dashboard.parts import cache_line, resume
from dashboard.words import count, size

ACCURACY = (
    "Share of right predictions among the samples whose label is known, with Wilson's 95 % interval. Always naming "
    "the commonest class would reach the share that the store's own line “Commonest class” gives."
)


def draw() -> None:
    """Table, problems, details; or what to do where nothing is there."""
    entries = state.workspace().stores()
    if not entries:
        empty()
        return
    for entry in entries:
        problems(entry)
    names = [entry.name for entry in entries]
    good = {entry.name: entry.store for entry in entries if entry.store is not None}
    asked = state.param("store", None, list(good))
    ticked = _table(entries, [names.index(asked)] if asked else [])
    asked = next((name for name in ticked if name in good), asked)
    state.set_params(store=asked)
    if good:
        details(good[asked or next(iter(good))])
    cache_line.draw()


def _table(entries: Sequence, shown: list[int]) -> list[str]:
    """One line per store, those in `shown` ticked at first; returns the names that are ticked now."""
    recording = {str(job.arguments.get("name")) for job in jobs.running()}
    drawn = st.dataframe(
        table_cells.safe([_row(entry, recording) for entry in entries]),
        hide_index=True,
        key="stores",
        on_select="rerun",
        selection_mode="single-row",
        selection_default={"selection": {"rows": shown}},
        column_config={"Accuracy": st.column_config.Column(help=ACCURACY)},
        alt=f"{count(len(entries), 'store')} of this workspace",
    )
    return [entries[row].name for row in drawn.selection.rows if row < len(entries)]


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


def _row(entry, recording: set[str]) -> dict:
    """The line of a store; `recording` names those that a job is writing now."""
    if entry.store is None:
        return {"Store": entry.name, "State": "cannot be opened"}
    store, manifest = entry.store, entry.store.manifest
    return {
        "Store": entry.name,
        "Samples": store.n_samples,
        "Taps": len(store.taps),
        "Size": size(_finished_bytes(store) if store.complete else store.n_bytes),
        "Accuracy": accuracy(store),
        "Network": (manifest.get("checkpoint") or {}).get("architecture") or "",
        "Data": (manifest.get("data") or {}).get("name") or "",
        "State": "complete"
        if store.complete
        else "being recorded"
        if entry.name in recording
        else "incomplete",
    }


def accuracy(store) -> str:
    """Share of right predictions among the samples whose label is known, with its interval; "" where there is none."""
    if not store.complete or "correct" not in store.samples:
        return ""
    correct = np.asarray(store.samples["correct"])
    if correct.dtype.kind not in "biuf":
        return ""
    known = correct[np.isfinite(correct) & (correct >= 0)]
    if not len(known):
        return ""
    low, high = wilson(float(known.sum()), len(known))
    return f"{100 * float(known.mean()):.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def commonest_class(store) -> str:
    """Share of the largest class among the labelled samples: what a network that saw nothing could reach."""
    labels = labels_of(store) if store.complete else None
    if labels is None:
        return ""
    most, total = int(labels.sizes.max()), int(labels.sizes.sum())
    return f"{labels.names[int(labels.sizes.argmax())]}: {100 * most / total:.1f} % of {total:,} labelled samples"


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
        left, right = st.columns([1.15, 1])
        left.caption(f"{count(len(store.taps), 'tap')} (modules whose output is recorded)")
        rows = [_tap_row(store, tap) for tap in store.taps.values()]
        left.dataframe(
            table_cells.safe(rows),
            hide_index=True,
            key="taps",
            height=_height(rows),
            alt="The taps of this store",
        )
        right.caption("Where it comes from")
        narrow = {"What": st.column_config.Column(width=130)}
        right.dataframe(
            table_cells.safe(_facts(store)), hide_index=True, key="facts", column_config=narrow, height="content",
            alt="Checkpoint, data, digests and place of this store",
        )  # fmt: skip
        _left_out(store)
        _notes(store)


def _left_out(store) -> None:
    """Every item that could not be read, as far as the store names them."""
    data = store.manifest.get("data") or {}
    named, total = list(data.get("skipped_items") or ()), int(data.get("skipped") or 0)
    if not named:
        return
    with st.expander(f"{count(max(total, len(named)), 'item')} of the data left out: why"):
        st.dataframe(
            table_cells.safe([{"Left out": text} for text in named]), hide_index=True, key="left out"
        )
        if len(named) < total:
            st.caption(f"The store names the first {len(named):,} of {total:,}.")


def _notes(store) -> None:
    """What the recording has noted: how data were read, how outputs were taken."""
    parts = (store.manifest.get(part) or {} for part in ("checkpoint", "data", "settings"))
    said = [str(note) for part in parts for note in part.get("notes") or ()]
    if said:
        lines = "\n".join(f"- {errors.escape(note)}" for note in said)
        st.caption(f"Noted while recording:\n\n{lines}")


def _facts(store) -> list[dict]:
    manifest = store.manifest
    checkpoint, data = manifest.get("checkpoint") or {}, manifest.get("data") or {}
    lines = {
        "Checkpoint": checkpoint.get("path"),
        "Checkpoint digest": checkpoint.get("digest"),
        "Parameters": f"{checkpoint['n_parameters']:,}" if checkpoint.get("n_parameters") else None,
        "Data": data.get("path") or data.get("name"),
        "Data digest": data.get("digest"),
        "Left out": count(int(data["skipped"]), "unreadable item") if data.get("skipped") else None,
        "Classes": listed(store.classes, 12),
        "Commonest class": commonest_class(store),
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
        "Module": tap.module if tap.name in store.recorded else _made_of(store.entry(tap.name)),
        "Units": tap.n_units,
        "Tokens": kept,
        "Numbers": tap.dtype,
    }


def _made_of(entry) -> str:
    """Where an encoded tap comes from."""
    return f"{entry['of']}, encoded with {entry['feature_set'].get('name', '')}"


def _height(rows: Sequence) -> int:
    """Pixels for a table of these rows; a long one scrolls inside."""
    return min(320, 38 + 35 * max(1, len(rows)))
