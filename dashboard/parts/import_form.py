"""Activations that were recorded elsewhere, by path."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from analysis.errors import LoupeError
from analysis.roots import readable
from analysis.sources.token_types import token_types
from dashboard import allowed, errors, jobs, state
from dashboard.parts import outcome

TYPES = (
    "What the tokens of a sample are, in their order: names with counts, patches with rows and columns, such as "
    "`class:1+patch:14x14+head:6`. Counts add up to the tokens. Needed where tokens that are no patches stand behind "
    "the patches; then every page knows the grid."
)


def draw() -> None:
    """Path, labels, name, what the tokens are, and the button."""
    st.markdown("Activations that you recorded yourself: one row per sample, one column per unit.")
    left, right = st.columns(2)
    path = left.text_input(
        "File or directory", placeholder="/path/to/activations.npy",
        help="npy, npz, safetensors, parquet, or the tensors.tsv of an embedding projector. No pickles.",
        **state.bound("dump", ""),
    ).strip()  # fmt: skip
    labels = right.text_input(
        "Labels (optional)", placeholder="/path/to/labels.csv", help="A file with one label per row.",
        **state.bound("dump_labels", ""),
    ).strip()  # fmt: skip
    try:
        full = {given: str(readable(given)) for given in filter(None, (path, labels))}
    except LoupeError as refusal:
        errors.notice({"found": refusal.found, "remedy": refusal.remedy}, refused=True)
        return
    left, right = st.columns(2)
    name = left.text_input(
        "Name of the store", max_chars=100, **state.bound("dump_name", Path(path).stem or "imported")
    )
    types = right.text_input(
        "Token types (optional)", placeholder="class:1+patch:14x14", max_chars=200, help=TYPES,
        **state.bound("dump_types", ""),
    ).strip()  # fmt: skip
    understood = _types_told(types)
    if st.button(
        "Import", type="primary", icon=":material/input:",
        **allowed.to("editor", disabled=not path or not understood),
    ):  # fmt: skip
        work = {"path": full[path], "name": name.strip(), "labels": full.get(labels), "types": types}
        state.set_params(job=jobs.start("import", work, f"Import {name}", patience=1.0))
    outcome.draw("import")


def _types_told(types: str) -> bool:
    """What is understood by the text of the types, or why it is not; whether it can be imported with."""
    if not types:
        return True
    try:
        found = token_types(types)
    except LoupeError as refusal:
        errors.notice(
            {"found": refusal.found, "expected": refusal.expected, "remedy": refusal.remedy}, refused=True
        )
        return False
    rows, columns = found.grid
    st.caption(
        f"{found.tokens} tokens of a sample, patches {rows} x {columns}; {errors.escape(found.told)}. "
        f"Where no array has {found.tokens} tokens, nothing is imported."
    )
    return True
