"""Two taps to compare: the sidebar's and another one of whatever network was recorded on the same samples."""

from __future__ import annotations

import streamlit as st

from dashboard import state
from dashboard.browse import comparable
from dashboard.parts import tap_picker, unlike


def draw() -> tuple[str, str]:
    """("store:tap", "store:tap"); the second is the URL's `tap2`."""
    first = ":".join(state.current_tap())
    fitting = comparable.comparable(state.workspace(), first, state.tap_references())
    default = usual_partner(first, fitting)
    st.markdown(
        f"**{tap_picker.shown(first)}** with", width="content", help="The first is chosen in the sidebar."
    )
    tie = state.bound("tap2", default, fitting, resets=("pair",))
    second = st.selectbox("Other tap", fitting, format_func=tap_picker.shown, width=320, **tie)
    if second != first:
        st.button("Swap", icon=":material/swap_horiz:", on_click=_swap, args=(first, second), key="swap")
    return first, second


def say_unlike() -> None:
    """Where the URL asks for another tap than can be compared; for below the line of controls."""
    first = ":".join(state.current_tap())
    unlike.say_tap(first, comparable.comparable(state.workspace(), first, state.tap_references()))


def usual_partner(first: str, fitting: list[str]) -> str:
    """The tap of the same name in the store with the most samples in common (a seed, a checkpoint), else another tap of
    this store."""
    store, _, tap = first.partition(":")
    same = [r for r in fitting if r != first and r.partition(":")[2] == tap]
    if same:
        return max(
            same, key=lambda r: comparable.common_samples(state.workspace(), store, r.partition(":")[0])
        )
    return next((r for r in fitting if r != first and r.partition(":")[0] == store), first)


def _swap(first: str, second: str) -> None:
    state.set_params(tap=second, tap2=first, pair=None)
