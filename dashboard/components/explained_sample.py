"""The one sample that is explained: what it is, and the way to another one."""

from __future__ import annotations

import streamlit as st

from dashboard import errors, state
from dashboard.browse import focus
from dashboard.components.tiles import tiles

PREFIX, AROUND, ID = "p.", 60, "Name"
WORDS = {
    "sample": "Sample",
    "first": "One sample",
    "second": "The other sample",
    "query": "Sample",
    "item": "The other sample",
}  # by the setting that names it
FIRST = {"second": 1, "item": 1}


def draw(setting: str = "sample", pictured: bool = True) -> int:
    """The chosen sample by its place in the store, with its picture or text unless that is drawn elsewhere; kept in the
    URL as the `setting` of the methods that explain one."""
    store, tap = state.current_tap()
    opened = state.workspace().store(store)
    layout = opened.activations(tap).layout
    most = layout.n_samples - 1
    default = min(FIRST.get(setting, 0), most)
    bound = state.bound(f"{PREFIX}{setting}", default, state.between(0, most, int), resets=("guess", "move"))
    _say_missing(state.params(PREFIX).get(setting, ""), default, most)
    at = st.number_input(
        f"{WORDS[setting]}, 0 to {most:,}", min_value=0, max_value=most, value="min", step=1,
        help="Its place in the store; the map and the tables name it as well.", **bound,
    )  # fmt: skip
    at = default if at is None else int(at)
    if not pictured:
        return at
    with errors.shown():
        if layout.offsets[at] < layout.offsets[at + 1]:
            tile = focus.tile(opened, tap, layout, int(layout.offsets[at]), AROUND)
            if not tile["image"] and not tile.get("tokens"):  # a tile would be an empty box
                tile["table"] = [[ID, tile["title"]], *tile["table"]]
            tiles([tile | {"box": None, "where": "", "marked": -1}], key=f"explained {setting}", leads=False)
    return at


def _say_missing(asked: str, shown: int, most: int) -> None:
    """Where the address asks for a sample that this tap has not: which one is shown instead."""
    try:
        there = not asked or 0 <= int(asked) <= most
    except ValueError:
        there = False
    if not there:
        st.warning(
            f"The address asked for sample {errors.escape(asked)}. This tap has samples 0 to {most:,}: sample {shown} "
            "is shown.", icon=":material/link_off:",
        )  # fmt: skip
