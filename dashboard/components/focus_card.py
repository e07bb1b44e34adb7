"""The point that was clicked: what it is, and which units are strongest for it."""

from __future__ import annotations

import streamlit as st

from analysis.people import Thing
from dashboard import errors, state
from dashboard.browse import focus, searching
from dashboard.components import certificate_line, group_questions, redraw
from dashboard.components.bars import Line, bars
from dashboard.components.map_panel import Shown
from dashboard.components.tiles import tiles
from dashboard.parts import written

LIKE_HELP = (
    f"Selects the {searching.ALIKE} points that are nearest to it in the data itself, not in this picture."
)

AXIS_HELP = (
    "Then click another sample: all samples can be ranked along the way from this one to that one, and this one edited "
    "along it."
)


def focus_card(at: Shown) -> None:
    """Draw it in a box with a button that closes it."""
    with st.container(border=True), errors.shown():
        title, close = st.columns([5, 1], vertical_alignment="center")
        if close.button("Close", icon=":material/close:", key="icons:close focus", help="Close"):
            state.set_params(focus=None)
            redraw.here()
        if at.result.of == "units":
            title.markdown(f"**{at.word.capitalize()} {errors.escape(at.activations.unit_names[at.focus])}**")
            certificate_line.badge_of(at.store, at.reference, at.focus)
            if st.button("Open its card", icon=":material/search:", key="open focused unit"):
                state.go("features", tap=at.reference, unit=at.focus)
            return
        _sample(at, title)


def _sample(at: Shown, title) -> None:
    tile = focus.tile(at.store, at.tap, at.activations.layout, at.focus)
    title.markdown(f"**{errors.escape(tile['title'])}**")
    tiles([tile], key="focused", leads=False)
    _axis(at)
    if st.button("More like this", icon=":material/join:", key="more like this", help=LIKE_HELP):
        _more_like(at)
    said = state.get("alike says")
    if said and said["row"] == at.focus and said["sel"] == state.param("sel", ""):
        st.caption(errors.escape(said["words"]))
    _units(at)
    id = str(at.store.samples["id"][int(at.activations.layout.sample_of(at.focus))])
    place = state.link("map", tap=at.reference, focus=at.focus)
    written.folded(Thing.sample(at.store_name, id, place), "sample", "Notes on this sample")


def _units(at: Shown) -> None:
    found = focus.unusual_units(at.store, at.tap, at.activations, at.focus)
    if not found:
        return
    names = at.activations.unit_names
    chance = (0.0, focus.strongest_by_chance(len(names)))
    beyond = sum(z > chance[1] for _, z, _ in found)
    said = f"{beyond} of them beyond chance" if beyond else "none of them beyond chance"
    st.caption(f"Its strongest {at.word}s, in standard deviations above their mean: {said}.")
    lines = [
        Line(
            f"{at.word} {names[u]}",
            z,
            null=chance,
            text=f"{z:+.1f}",
            title=f"value {v:.3g}; open its card",
            id=str(u),
        )
        for u, z, v in found
    ]
    word = f"up to the best of {len(names)} independent {at.word}s"
    opened = bars(lines, key="focused units", label=f"Strongest {at.word}s of this point", null_word=word)
    if opened is not None:
        state.go("features", tap=at.reference, unit=opened)


def _axis(at: Shown) -> None:
    """Two samples clicked one after the other are the ends of an axis; the first is the URL's `from`."""
    here = str(at.store.samples["id"][int(at.activations.layout.sample_of(at.focus))])
    start = state.param("from", "")
    if start and start != here and start in {str(id) for id in at.store.samples["id"]}:
        group_questions.two_samples(at.reference, start, here)
        if st.button("Start an axis here instead", icon=":material/trending_flat:", key="start axis"):
            state.set_params(**{"from": here})
            redraw.here()
    elif start == here:
        st.caption("An axis starts here: now click the sample that it leads to.")
    elif st.button("Start an axis here", icon=":material/trending_flat:", key="start axis", help=AXIS_HELP):
        state.set_params(**{"from": here})
        redraw.here()


def _more_like(at: Shown) -> None:
    found = searching.alike(state.workspace(), at.reference, at.focus)
    if found.selection:
        state.set_params(sel=found.selection, vs=None)
    state.put("alike says", {"row": at.focus, "sel": state.param("sel", ""), "words": found.words})
    redraw.here()
