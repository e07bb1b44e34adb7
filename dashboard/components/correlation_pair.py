"""The pair of a cell: its two units against each other, and the examples that make them go together or apart."""

from __future__ import annotations

import math

import streamlit as st

from analysis import registry
from analysis.results import Heatmap, Result
from dashboard import errors, state
from dashboard.browse import pair_examples, sample_tile
from dashboard.browse.colour_sources import UNIT
from dashboard.browse.unit import Unit
from dashboard.components import correlation_heat
from dashboard.components.correlation_choice import Asked
from dashboard.components.tiles import tiles
from dashboard.figures.text import number, plain
from dashboard.parts import export_menu, figure_block, on_demand, tap_picker

METHOD = "unit_pair"
EXAMPLES, HEIGHT = 8, 330
SIDES = {"both": "Strong in both", "first": "Only in the first", "second": "Only in the second"}
NOBODY = {
    "both": "No sample is among the {k} strongest of both.",
    "first": "The {k} strongest samples of the first are those of the second, too.",
    "second": "The {k} strongest samples of the second are those of the first, too.",
}
HINT = {
    "units": "Click a cell of the map, or select a line above, to see its two units against each other and the "
    "examples on which they agree and differ.",
    "samples": "Click a cell of the map to see its two samples next to each other.",
}


def draw(result: Heatmap, asked: Asked) -> None:
    """The pair that the URL opens; what a click does while there is none."""
    pair = correlation_heat.opened(result, asked)
    if pair is None:
        st.info(HINT.get(result.of, HINT["units"]), icon=":material/ads_click:")
    elif result.of == "samples":
        _samples(pair, result, asked)
    else:
        _units(pair, result, asked)


def _units(pair: tuple[int, int], result: Heatmap, asked: Asked) -> None:
    units = [_unit(r, number) for r, number in zip(asked.sides, pair, strict=True)]
    _head([_unit_link(unit, asked) for unit in units])
    if asked.sides[0] == asked.sides[1] and pair[0] == pair[1]:
        st.caption("A unit with itself: choose a cell off the diagonal.")
        return
    found = None
    with errors.shown():
        found = _against_each_other(units, asked)
    if asked.params.get("measure", "pearson") != "pearson":
        with errors.shown():
            _value(pair, result)
    with errors.shown():
        _examples(units)
    if found is not None:
        figure_block.beside(found, METHOD)


def _unit(reference: str, number: int) -> Unit:
    return Unit(state.workspace().store(reference.partition(":")[0]), reference, number)


def _unit_link(unit: Unit, asked: Asked) -> str:
    link = state.link("features", tap=unit.reference, unit=unit.number)
    where = f" of {errors.escape(tap_picker.shown(unit.reference))}" if len(asked.references) > 1 else ""
    return f"**[Unit {errors.escape(unit.name)}]({link})**{where}"


def _head(names: list[str]) -> None:
    with st.container(horizontal=True, wrap=False, vertical_alignment="center"):
        st.markdown(f"{names[0]} with {names[1]}", width="stretch")
        st.button(
            ":material/close:", key="close pair", help="Close this pair", on_click=state.set_params,
            kwargs={"cell": None},
        )  # fmt: skip


def _against_each_other(units: list[Unit], asked: Asked) -> Result | None:
    """The scatter with r, its interval and its null in words."""
    method = registry.methods().get(METHOD)
    if method is None:
        return None
    given = dict(zip(("unit_a", "unit_b"), (unit.number for unit in units), strict=True))
    given |= {"pooling": asked.params["pooling"]} if "pooling" in asked.params else {}
    params = on_demand.understood(METHOD, given)
    found = on_demand.result(
        METHOD, asked.references, params, ask="Draw the two units", title=method.title, key="pair",
        at_once=on_demand.AT_ONCE, starts_below=on_demand.STARTS,
    )  # fmt: skip
    if found is not None:
        _scatter(found, units)
        figure_block.reading(found)
    return found


def _scatter(found: Result, units: list[Unit]) -> None:
    """Coloured by whatever is known of the rows of the tap, where the points are those; else plain."""
    place, look, drawn = st.container(), {}, found
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if pair_examples.same_rows(*units):
            drawn = figure_block.colour_box(found, METHOD)
        else:  # samples matched by id: no row of one tap
            look["colour"] = ""
        export_menu.draw(lambda: drawn, METHOD)
        figure_block.as_python(found)
    with place:
        figure_block.picture(drawn, METHOD, height=HEIGHT, title=False, **look)


def _value(pair: tuple[int, int], result: Heatmap) -> None:
    """What the cell itself says, where the scatter does not."""
    value = correlation_heat.value_at(result, pair)
    if value is None:
        st.caption("This pair is not among those that the map draws.")
        return
    said = f"**{errors.escape(plain(result.value_name))} {number(value)}**"
    if result.null_band is not None:
        low, high = (number(v, 2) for v in result.null_band)
        said += f"; structureless data gives {low} to {high}"
    if math.isfinite(result.threshold):
        said += "; significant" if abs(value) >= result.threshold else "; not significant"
    st.markdown(said)


def _examples(units: list[Unit]) -> None:
    """The strongest of both, or of one where the other is weakest."""
    if any(unit.is_dead for unit in units):
        return  # nothing is stronger than anything else; the refusal above says so
    found = pair_examples.common(*units)
    first, second = (errors.escape(unit.name) for unit in units)
    st.markdown(f"**Strongest examples**, with the values of unit {first} · unit {second}")
    side = st.segmented_control(
        "Examples", list(SIDES), format_func=SIDES.get, required=True, label_visibility="collapsed",
        **state.bound("examples", "both", list(SIDES)),
    )  # fmt: skip
    shown = pair_examples.tiles(*units, found, side, EXAMPLES)
    if not shown:
        st.caption(NOBODY[side].format(k=found.k))
        return
    opened = tiles(shown, key=f"pair {side}")
    unit = units[1 if side == "second" else 0]
    if opened is not None:
        row = int(unit.activations.layout.offsets[opened])
        state.go("map", tap=unit.reference, focus=row, colour=UNIT, unit=unit.number)


def _samples(pair: tuple[int, int], result: Heatmap, asked: Asked) -> None:
    """Two samples, each as its tile with all that is known of it."""
    store = state.workspace().store(asked.references[0].partition(":")[0])
    names = [f"**{errors.escape(sample_tile.name(store, sample))}**" for sample in pair]
    _head(names)
    _value(pair, result)
    opened = tiles([sample_tile.tile(store, sample) for sample in pair], key="pair of samples")
    if opened is not None:
        layout = state.workspace().activations(asked.references[0]).layout
        state.go("map", tap=asked.references[0], focus=int(layout.offsets[opened]))
