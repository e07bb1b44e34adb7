"""The taps of a method that takes several, in their order: the URL's `with`, and boxes to change it."""

from __future__ import annotations

import streamlit as st

from analysis.spec import Method
from dashboard import errors, state
from dashboard.browse import comparable, projections
from dashboard.browse.feature_sets import recorded_among, source_of
from dashboard.parts import tap_picker

CAN_BE_CHOSEN = {
    "rows": "Only taps with the same rows of the same samples can be chosen.",
    "nothing": "Any tap.",
    "samples": "Taps of any network that was recorded on some of the same samples; these are matched by id.",
}


def inputs(method: Method, reference: str) -> list[str]:
    """The taps that a method is given: the sidebar's, or for several those in the URL."""
    if method.inputs == 1 and not method.more_inputs:
        return [reference]
    fitting = fitting_taps(method, reference)
    usual = _usual(method, reference, fitting)
    chosen = state.param("with", usual, fitting)
    enough = len(chosen) >= method.inputs and (method.more_inputs or len(chosen) == method.inputs)
    return chosen if enough else usual


def draw(method: Method, reference: str, chosen: list[str], *, resets: tuple[str, ...] = ()) -> None:
    """The boxes: one to add and remove taps, and the usual choices with one click."""
    fitting = fitting_taps(method, reference)
    usual = _usual(method, reference, fitting)
    own = f"{reference.partition(':')[0]}:"
    alone = all(r.startswith(own) for r in chosen)
    change = {"usual": usual, "fewest": method.inputs, "resets": resets}
    st.multiselect(
        "Taps, in order",
        fitting,
        format_func=lambda r: r.removeprefix(own) if alone and r.startswith(own) else tap_picker.shown(r),
        placeholder="Add a tap",
        max_selections=None if method.more_inputs else method.inputs,
        help=f"At least {method.inputs}. {CAN_BE_CHOSEN[method.matches]}",
        **state.tied("with", chosen, lambda picked: _choose(picked, **change)),
    )
    elsewhere = projections.same_tap_elsewhere(reference, fitting)
    series = projections.same_tap_in_series(reference, fitting)
    with st.container(horizontal=True):
        st.button("Layers of this store", on_click=_choose, args=(usual,), kwargs=change, key="layers")
        if method.inputs <= len(series) < len(elsewhere):
            ends = " to ".join(r.partition(":")[0] for r in (series[0], series[-1]))
            st.button(
                f"This tap in its series of {len(series)}", on_click=_choose, args=(series,), kwargs=change,
                key="series", help=f"{errors.escape(ends)}: stores whose names differ in one number, in its order.",
            )  # fmt: skip
        if len(elsewhere) >= method.inputs:
            st.button(
                "This tap in other stores", on_click=_choose, args=(elsewhere,), kwargs=change, key="elsewhere",
                help="Other checkpoints or seeds that were recorded on the same samples.",
            )  # fmt: skip


def fitting_taps(method: Method, reference: str) -> list[str]:
    """The taps that a method of several can take beside this one."""
    if method.matches == "nothing":
        return state.tap_references()
    choose = projections.alike if method.matches == "rows" else comparable.comparable
    return choose(state.workspace(), reference, state.tap_references())


def _usual(method: Method, reference: str, fitting: list[str]) -> list[str]:
    """Of a recorded tap the recorded layers; of an encoded one the tap that it came from, and itself."""
    store, _, tap = reference.partition(":")
    opened = state.workspace().store(store)
    if tap in opened.recorded:
        kept = recorded_among(state.workspace(), fitting)
        return projections.usual_inputs(method, reference, kept if len(kept) >= method.inputs else fitting)
    both = [f"{store}:{source_of(opened, tap)}", reference]
    enough = method.inputs <= 2 and all(r in fitting for r in both)
    return both if enough else projections.usual_inputs(method, reference, fitting)


def _choose(picked: list[str], *, usual: list[str], fewest: int, resets: tuple[str, ...]) -> None:
    for name in resets:
        state.clear_params(name)
    state.set_params(**{"with": None if picked == usual or len(picked) < fewest else picked})
