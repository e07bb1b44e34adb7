"""A dictionary that was trained elsewhere, by path."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from analysis.errors import LoupeError
from analysis.roots import readable
from dashboard import allowed, errors, jobs, state
from dashboard.browse.feature_sets import ARCHITECTURES
from dashboard.parts import encode_form, outcome

HELP = (
    "A folder as SAELens or dictionary-learning save it (cfg.json or config.json beside the weights), a file in "
    "OpenAI's layout, one with W_enc, W_dec, b_enc, b_dec, or the state of a ProtoPNet (prototype_vectors and "
    "last_layer.weight): safetensors, npz, or a torch file of weights only. No code in it is run."
)


def draw() -> None:
    """Path and name, what the file may leave open, and the button."""
    left, right = st.columns(2)
    path = left.text_input(
        "Folder or file", placeholder="/path/to/a/dictionary", help=HELP, **state.bound("path", "")
    ).strip()
    name = right.text_input(
        "Name of the set",
        max_chars=100,
        placeholder="that of the folder or file",
        **state.bound("set_name", ""),
    ).strip()
    with left:
        found = _there(path)
    with right:
        free = _free(name or Path(path).stem if found else name)
    cells = st.columns([2, 1, 1, 1])
    architecture = cells[0].selectbox(
        "Architecture", list(ARCHITECTURES), format_func=ARCHITECTURES.get,
        help="Say it where the file does not. What the file does say must agree.",
        **state.bound("architecture", "", list(ARCHITECTURES)),
    )  # fmt: skip
    k = cells[1].number_input(
        "k", min_value=1, max_value=1_000_000, value=None, step=1, placeholder="as the file says",
        help="Active features in a row, of a TopK.", **state.bound("k", None, state.between(1, 1_000_000, int)),
    )  # fmt: skip
    scale = cells[2].number_input(
        "Scale", min_value=1e-9, max_value=1e9, value=None, format="%g", placeholder="as the file says",
        help="What activations were multiplied with in training, where the file only says that they were.",
        **state.bound("scale", None, state.between(1e-9, 1e9)),
    )  # fmt: skip
    epsilon = cells[3].number_input(
        "ε", min_value=1e-12, max_value=0.999, value=None, format="%g", placeholder="1e-4",
        help="Of prototypes only: their similarity is log((d² + 1) / (d² + ε)); 1e-4 where the file does not say.",
        **state.bound("epsilon", None, state.between(1e-12, 0.999)),
    )  # fmt: skip
    if st.button(
        "Import",
        type="primary",
        icon=":material/input:",
        **allowed.to("editor", disabled=not (found and free)),
    ):
        given = {"name": name, "architecture": architecture, "k": k, "scale": scale, "epsilon": epsilon}
        work = {"path": found} | {part: value for part, value in given.items() if value}
        title = f"Import {name or Path(found).name}"
        state.set_params(job=jobs.start("import_features", work, title, patience=1.0))
    outcome.draw("import_features", _made)


def _there(path: str) -> str:
    """The full path; "" where there is nothing, which is said here."""
    if not path:
        return ""
    try:
        return str(readable(path))
    except LoupeError as refusal:
        errors.notice({"found": refusal.found, "remedy": refusal.remedy}, refused=True)
        return ""


def _free(name: str) -> bool:
    """Whether a set can have this name; why not is said here."""
    if not name:
        return True
    try:
        state.workspace().features.refuse_taken(name)
    except LoupeError as refusal:
        found = refusal.found[:1].upper() + refusal.found[1:]
        said = {"found": found, "expected": refusal.expected, "remedy": "Type another name"}
        errors.notice(said, refused=True)
        return False
    return True


def _made(result: dict) -> None:
    name = str(result.get("features", ""))
    st.success(f"**{errors.escape(name)}** is imported.", icon=":material/check_circle:")
    with st.container(horizontal=True):
        if st.button("Encode a tap with it", type="primary", icon=":material/transform:", key="encode it"):
            encode_form.go(name)
        if st.button("See all sets", icon=":material/list:", key="see sets"):
            state.set_params(view="sets", set=name, job=None)
            st.rerun()
