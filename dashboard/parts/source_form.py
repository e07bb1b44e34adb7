"""Which network and which data: two paths on the machine that runs the dashboard."""

from __future__ import annotations

import streamlit as st

from analysis.errors import LoupeError
from analysis.roots import readable
from dashboard import errors, state
from dashboard.parts import known_paths

MISSING = {"": "kept, as NaN", "drop": "left out"}
KINDS = ("", "image", "text", "table", "array", "audio")


def draw() -> dict | None:
    """The two paths and how to read the data; the arguments of a dry run, or None while something is missing."""
    left, right = st.columns(2)
    with left:
        checkpoint = _path(
            "Checkpoint", "checkpoint", known_paths.checkpoints(),
            "Choose one, or type /path/to/a/model-directory or network.json",
            "A Hugging Face model directory (config.json and *.safetensors), or a network.json that describes a plain "
            "stack of layers beside its weights (`loupe describe` writes one). Weights only: no code in it is run. "
            "A state dict that needs your own Python class is recorded with the command `loupe record --model`.",
        )  # fmt: skip
    with right:
        data = _path(
            "Data", "data", known_paths.data(), "Choose one, or type /path/to/images-or-texts",
            "A folder of images (one sub-folder per class), a folder of texts, a csv or parquet table, npy, npz or "
            "safetensors arrays, or a folder of wav files.",
        )  # fmt: skip
    options = _options()
    if not checkpoint or not data:
        return None
    return {"checkpoint": checkpoint, "data": data, "data_options": options}


def _path(label: str, name: str, known: list[str], placeholder: str, help: str) -> str:
    """A box that offers known paths and takes any other; says at once when nothing is there."""
    current = state.param(name, "")
    given = st.selectbox(
        label,
        list(dict.fromkeys([*known, *([current] if current else [])])),
        index=None,
        accept_new_options=True,
        placeholder=placeholder,
        help=help,
        **state.tied(
            name, current or None, lambda path: state.set_params(**{name: (path or "").strip() or None})
        ),
    )
    path = (given or "").strip()
    if not path:
        return ""
    try:
        return str(readable(path))
    except LoupeError as refusal:
        errors.notice({"found": refusal.found, "remedy": refusal.remedy}, refused=True)
        return ""


def _options() -> dict:
    """How to read the data, where that cannot be guessed; only what was said."""
    with st.expander("How to read the data (usually found out by itself)"):
        cells = st.columns(6)
        kind = cells[0].selectbox(
            "Kind", KINDS, format_func=lambda k: k or "automatic", **state.bound("kind", "", KINDS)
        )
        label = cells[1].text_input("Label column", help="Of a table.", **state.bound("label", ""))
        text = cells[2].text_input("Text column", help="Of a table.", **state.bound("text", ""))
        array = cells[3].text_input(
            "Array", help="Name inside an npz or safetensors file.", **state.bound("array", "")
        )
        labels = cells[4].text_input(
            "Labels",
            help="A file with one label per sample, or a name inside the npz.",
            **state.bound("labels", ""),
        )
        missing = cells[5].selectbox(
            "Rows without a value",
            list(MISSING),
            format_func=MISSING.get,
            help="Of a table, in a feature column.",
            **state.bound("missing", "", list(MISSING)),
        )
    given = {"kind": kind, "label": label, "text": text, "array": array, "labels": labels, "missing": missing}
    return {name: value.strip() for name, value in given.items() if value and value.strip()}
