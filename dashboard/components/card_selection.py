"""A unit on the samples of a named selection: its strongest examples among them."""

from __future__ import annotations

import numpy as np
import streamlit as st

from dashboard import state
from dashboard.browse import selections
from dashboard.browse.unit import Unit
from dashboard.components.tiles import tiles

SHOWN = 10


def draw(unit: Unit) -> None:
    """A box that chooses the selection (the URL's `sel`) and the examples; nothing where there is none."""
    workspace, store = state.workspace(), unit.store
    chosen = selections.find(workspace, state.param("sel", ""))
    names = [s.name for s in workspace.selections(store.path.name) if s.of != "units"]
    word = chosen.name if chosen is not None and chosen.of != "units" else ""
    options = ["", *names, *([word] if word and word not in names else [])]
    if len(options) == 1:
        return
    st.selectbox(
        "Strongest within a selection",
        options,
        format_func=lambda name: (
            "no selection" if not name else selections.in_words(chosen) if name == word else name
        ),
        width=320,
        **state.tied("card:sel", word, lambda name: state.set_params(sel=name or None)),
    )
    mask = selections.rows_of(chosen, store, unit.tap) if word else None
    if mask is None or not mask.any():
        if word:
            st.caption("It has no point at this tap.")
        return
    found = unit.tiles_of(*strongest(unit.column, mask), SHOWN)
    opened = tiles(found, key="strongest selected")
    share, overall = (float(np.mean(values > 0)) for values in (unit.column[mask], unit.column))
    st.caption(
        f"Above 0 on {share:.0%} of its {int(mask.sum()):,} {unit.row_word}, on {overall:.0%} of all. Whether a "
        "selection differs by more than chance is said beside the map."
    )
    if opened is not None:
        state.go("map", tap=unit.reference, focus=int(unit.activations.layout.offsets[opened]), sel=word)


def strongest(column: np.ndarray, mask: np.ndarray, most: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """(rows, values) of the largest finite values among the rows in `mask`, falling. O(rows)."""
    rows = np.flatnonzero(mask & np.isfinite(column))
    if len(rows) > most:
        rows = rows[np.argpartition(-column[rows], most)[:most]]
    rows = rows[np.argsort(-column[rows], kind="stable")]
    return rows, column[rows]
