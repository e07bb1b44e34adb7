"""The modules of a network as a table, and three ways to choose which of them to record."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

import streamlit as st

from dashboard import errors, state, table_cells
from dashboard.figures.text import listed
from dashboard.words import count, size

BLOCKS, PATTERN, PICK = "The blocks", "By name", "Pick in the table"
HEIGHT = 320  # pixels: a long tree scrolls inside


def draw(taps: Sequence[dict], key: str) -> list[str]:
    """Draw the modules of a dry run; returns the names or globs to record (empty: nothing chosen yet)."""
    usable = [tap for tap in taps if not tap.get("problem")]
    blocks = [tap for tap in usable if tap.get("is_default")]
    ways = [BLOCKS, PATTERN, PICK] if blocks else [PATTERN, PICK]
    way = st.segmented_control(
        "Modules to record", ways, required=True, **state.bound("choose", ways[0], ways)
    )
    if way == BLOCKS:
        st.caption(
            "The outputs of the repeated blocks, what goes into the first, and the last hidden vector."
        )
        _table(blocks, f"blocks:{key}")
        return ["*blocks*"]
    if way == PATTERN:
        return _by_pattern(usable, key)
    st.caption(
        f"Tick modules. The magnifying glass above the table searches among {count(len(usable), 'module')}."
    )
    return _picked(usable, key)


def _picked(usable: Sequence[dict], key: str) -> list[str]:
    """The ticked modules. They are in the URL, so that a link opens with the same ticks."""
    names = [tap["name"] for tap in usable]
    before = state.param("pick", [], names)
    rows = _table(usable, f"pick:{key}", ticked=[names.index(name) for name in before])
    picked = [
        names[row] for row in sorted(rows) if row < len(names)
    ]  # not in the order of ticking: the same work
    state.set_params(pick=picked)
    return picked


def unusable(taps: Sequence[dict]) -> None:
    """Modules that cannot be recorded, with the reason."""
    refused = [tap for tap in taps if tap.get("problem")]
    if refused:
        with st.expander(f"{count(len(refused), 'module')} cannot be recorded"):
            rows = [{"Module": t["name"], "Type": t["type"], "Why not": t["problem"]} for t in refused]
            st.dataframe(
                table_cells.safe(rows),
                hide_index=True,
                height=min(HEIGHT, 60 + 35 * len(rows)),
                key="unusable",
            )


def _by_pattern(usable: Sequence[dict], key: str) -> list[str]:
    text = st.text_input(
        "Names, with * for anything (several: separate by spaces)",
        placeholder="vit.layers.* *.mlp",
        live="0.3s",
        **state.bound("pattern", ""),
    )
    globs = text.split()
    found = [tap for tap in usable if any(fnmatchcase(tap["name"], glob) for glob in globs)]
    if not globs:
        st.caption("All modules there are:")
        _table(usable, f"all:{key}")
        return []
    missing = [glob for glob in globs if not any(fnmatchcase(tap["name"], glob) for tap in usable)]
    if missing:
        st.warning(f"No module is called {errors.escape(listed(missing))}.", icon=":material/warning:")
    st.caption(f"{len(found)} of {count(len(usable), 'module')}:")
    _table(found, f"found:{key}")
    return [] if missing else globs


def _table(taps: Sequence[dict], key: str, *, ticked: list[int] | None = None) -> list[int]:
    """The table; returns the ticked rows. `ticked`: the rows to begin with; None for a table without ticks."""
    notes = any(tap.get("note") for tap in taps)
    look = {
        "hide_index": True,
        "height": min(HEIGHT, 38 + 35 * max(1, len(taps))),
        "key": f"modules:{key}",
        "alt": f"{count(len(taps), 'module')} with type, output shape and size",
    }
    rows = [_row(tap, notes) for tap in taps]
    if ticked is None:
        st.dataframe(table_cells.safe(rows), **look)
        return []
    drawn = st.dataframe(
        table_cells.safe(rows),
        on_select="rerun",
        selection_mode="multi-row",
        selection_default={"selection": {"rows": ticked}},
        **look,
    )
    return list(drawn.selection.rows)


def _row(tap: dict, notes: bool) -> dict:
    row = {
        "Module": tap["name"],
        "Type": tap["type"],
        "Output shape": " × ".join(map(str, tap["shape"])),
        "Tokens": tap["n_tokens"],
        "Units": tap["n_units"],
        "All tokens, per sample": size(tap["bytes_per_sample"]),
    }
    return {**row, "Note": tap.get("note", "")} if notes else row
