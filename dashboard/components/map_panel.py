"""The map itself with its colour controls, and what a person's clicks on it do to the URL."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import streamlit as st

from analysis.activations import Activations
from analysis.people import Selection
from analysis.results import Scatter
from dashboard import state
from dashboard.browse import cards, colour_sources, map_state, selections
from dashboard.browse.colour_sources import Source
from dashboard.browse.picture import MapPicture
from dashboard.components import redraw
from dashboard.components.sample_map import MapEvent, sample_map

HEIGHT = 570


@dataclass(frozen=True)
class Shown:
    """What is on the map: everything the panel beside it needs."""

    result: Scatter
    store: object
    reference: str
    activations: Activations
    selection: Selection | None
    focus: int | None

    @property
    def tap(self) -> str:
        return self.reference.partition(":")[2]

    @property
    def store_name(self) -> str:
        return self.reference.partition(":")[0]


def shown(result: Scatter, reference: str) -> Shown:
    """Read selection and focus from the URL."""
    workspace = state.workspace()
    store = workspace.store(reference.partition(":")[0])
    activations = workspace.activations(reference)
    n = activations.shape[1 if result.of == "units" else 0]
    focus = state.param("focus", -1, range(n))
    selection = selections.find(workspace, state.param("sel", ""))
    return Shown(result, store, reference, activations, selection, None if focus < 0 else focus)


def colour_controls(at: Shown) -> tuple[Source, int]:
    """What the points are coloured by: (source, unit). Draws into the row that the page has opened."""
    known = {s.id: s for s in colour_sources.sources(at.store, at.result)}
    default = colour_sources.default_source(list(known.values()))
    placement = colour_sources.placement(list(known.values()))
    id = st.selectbox(
        "Colour by",
        list(known),
        format_func=lambda i: known[i].name,
        width=220,
        **state.bound("colour", default, list(known), resets=("hide",)),
    )
    unit = _unit_control(at) if id == colour_sources.UNIT else 0
    if placement is not None:
        _distortion_switch(id, placement)
    return known[id], unit


def _unit_control(at: Shown) -> int:
    n = at.activations.shape[1]
    allowed = range(n)
    bound = state.bound("unit", 0, allowed)
    return int(
        st.number_input(f"Unit (0 to {n - 1})", min_value=0, max_value=n - 1, step=1, width=160, **bound)
    )


def _distortion_switch(id: str, placement: Source) -> None:
    """Colour by how badly each point is placed, and back."""

    def write(on: bool) -> None:
        state.clear_params("hide")
        state.set_params(colour=placement.id if on else None)

    st.toggle(
        "Show distortion",
        help=f"Colours each point by its “{placement.name}”: how far the picture can be trusted at that point.",
        **state.tied("distortion", id == placement.id, write),
    )


def draw(at: Shown, source: Source, unit: int) -> None:
    """Draw the map; a lasso, a click or a new view goes into the URL and redraws this part of the page."""
    picture = map_state.picture_of(
        at.result, at.store, at.activations, at.tap,
        source=source, unit=unit, theme=state.theme(), selection=at.selection, focus=at.focus,
        card=state.get("map card"), view=map_state.view_from(state.param("view", ""), state.param("hide", "")),
    )  # fmt: skip
    picture = dataclasses.replace(picture, extra={"stamp": state.get("map stamp", 0)})
    _react(sample_map(picture, key="map", height=HEIGHT), at, picture)


def _react(event: MapEvent, at: Shown, picture: MapPicture) -> None:
    rows = at.result.rows
    if event.view is not None:
        state.set_params(**map_state.view_params(event.view))
    if event.selected is not None:
        state.put("map stamp", event.stamp)
        state.set_params(sel=_kept(event.selected, at, picture.n))
    if event.clicked is not None:
        row = int(rows[event.clicked])
        state.set_params(focus=None if row == at.focus else row)
    if event.hovered is not None:
        state.put("map card", _card(at, event.hovered, int(rows[event.hovered])))
    if (event.selected, event.clicked, event.hovered) != (None, None, None):
        redraw.here()


def _kept(packed: str, at: Shown, n: int) -> str | None:
    """The URL's word for the points that were drawn around; None for none."""
    mask = selections.unpacked(packed, n) if packed else None
    if mask is None or not mask.any():
        return None
    chosen = selections.of_points(mask, at.result, at.activations.layout, at.store, at.tap)
    return selections.keep(state.workspace(), chosen)


def _card(at: Shown, point: int, row: int) -> dict:
    if at.result.of == "units":
        return cards.unit_card(at.store, at.tap, point, row)
    return cards.card(at.store, at.tap, at.activations.layout, point, row)
