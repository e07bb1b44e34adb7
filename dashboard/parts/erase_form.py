"""A concept erased for good: the tap without it becomes a store of its own, on which every page runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from analysis.compute.subspaces.erasing import ERASERS, LEACE
from analysis.workspace import Workspace
from dashboard import allowed, errors, jobs, state
from dashboard.parts import outcome

CONCEPT = ("column", "first", "second", "inside", "outside")  # what says which concept it is


def draw(references: Sequence[str], params: Mapping) -> None:
    """Method, dimensions, name, and the button. `params` of a method that asks for a concept."""
    store, _, tap = references[0].partition(":")
    concept = {"column": "label"} | {name: params[name] for name in CONCEPT if params.get(name)}
    box = st.expander(
        "Go on without the concept", icon=":material/ink_eraser:", **state.bound("erase", False)
    )
    if not box.open:
        return
    with box, errors.shown():
        st.caption(
            "Writes this tap with the concept erased as a store of its own, which all pages can show. All samples find "
            "the directions there: how well it holds on samples that had no part is what the table says."
        )
        left, right = st.columns(2)
        method = left.selectbox("Method", list(ERASERS), **state.bound("eraser", LEACE, list(ERASERS)))
        k = right.number_input(
            "Dimensions", min_value=1, max_value=4096, value=None, step=1, placeholder="automatic",
            help="Automatic: as many as a linear probe reads (classes - 1, one for a number).",
            **state.bound("erased_k", None, state.between(1, 4096, int)),
        )  # fmt: skip
        name = st.text_input(
            "Name of the store",
            max_chars=100,
            **state.bound("erased_name", _free(state.workspace(), store, concept)),
        )
        if st.button("Write the store", icon=":material/save:", key="erase:write", **allowed.to("editor")):
            work = {"store": store, "tap": tap, "method": method, "k": k, "name": name.strip(), **concept}
            state.set_params(job=jobs.start("erase", work, f"Erase {concept['column']}", patience=1.0))
        outcome.draw("erase")


def _free(workspace: Workspace, store: str, concept: Mapping) -> str:
    """A name that no store has."""
    taken, wanted = {entry.name for entry in workspace.stores()}, f"{store} without {concept['column']}"
    return next(n for n in (wanted, *(f"{wanted} {i}" for i in range(2, 10_000))) if n not in taken)
