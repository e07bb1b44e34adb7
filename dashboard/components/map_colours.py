"""What the points are coloured by, and which of them are shown."""

from __future__ import annotations

import streamlit as st

from dashboard import state
from dashboard.browse import colour_sources, map_state, selections
from dashboard.browse.colour_sources import CHOSEN, SELECTED, Source
from dashboard.browse.map_state import Look
from dashboard.components.map_panel import Shown

MOST_GROUPS = 12


def sources(at: Shown) -> dict[str, Source]:
    """Everything that can colour this map, by its word in the URL."""
    named = state.workspace().selections(at.store_name)
    more = colour_sources.of_selections(len(named), at.selection is not None)
    known = [*colour_sources.sources(at.store, at.result), *more, *colour_sources.of_clusters(at.whole)]
    return {source.id: source for source in known}


def controls(at: Shown) -> Look:
    """Draw them into the row that the page has opened; how the map is to look."""
    known = sources(at)
    default = colour_sources.default_source(list(known.values()))
    id = st.selectbox(
        "Colour by",
        list(known),
        format_func=lambda i: known[i].name,
        width=175,
        **state.bound("colour", default, list(known), resets=("hide",)),
    )
    unit = _unit_control(at) if id == colour_sources.UNIT else 0
    if id == CHOSEN:
        _groups_control(at)
    dims = map_state.dims_of(at.result)
    return Look(known[id], unit, state.theme(), dims, groups_of(at, id), at.only)


def _unit_control(at: Shown) -> int:
    n = at.activations.shape[1]
    bound = state.bound("unit", 0, range(n))
    return int(
        st.number_input(f"Unit (0 to {n - 1})", min_value=0, max_value=n - 1, step=1, width=120, **bound)
    )


def _names(at: Shown) -> list[str]:
    return [s.name for s in state.workspace().selections(at.store_name)]


def _groups_control(at: Shown) -> None:
    names = _names(at)
    st.multiselect(
        "Which selections",
        names,
        max_selections=MOST_GROUPS,
        width=280,
        help="Each gets a colour; points in several of them get their own, points in none are grey.",
        **state.bound("groups", names[:MOST_GROUPS], names, resets=("hide",)),
    )


def groups_of(at: Shown, id: str) -> tuple:
    """The selections that colour the map."""
    if id == SELECTED:
        return (at.selection,) if at.selection is not None else ()
    if id != CHOSEN:
        return ()
    names = _names(at)
    asked = state.param("groups", names[:MOST_GROUPS], names)
    return tuple(s for s in state.workspace().selections(at.store_name) if s.name in asked)


def filter_control(at: Shown) -> None:
    """Show only the points of a selection, or all."""
    words = {"": "all points"}
    if at.selection is not None:
        words[at.selection.name] = selections.title(at.selection)
    words |= {name: name for name in _names(at)}
    if at.only is not None:
        words[at.only.name] = selections.title(at.only)
    if len(words) == 1:
        return
    word = at.only.name if at.only is not None else ""
    st.selectbox(
        "Show only",
        list(words),
        format_func=words.get,
        width=165,
        help="Leaves out all other points. The places stay those of the whole map.",
        **state.tied("only", word, _show_only),
    )


def _show_only(name: str) -> None:
    state.clear_params("view")
    state.set_params(only=name or None)
