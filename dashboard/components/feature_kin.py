"""On the card of a feature: how dense it is, what it fires with, where its direction lies, what it does to the outputs,
and how an example is made up."""

from __future__ import annotations

import streamlit as st

from dashboard import state, table_cells
from dashboard.browse import card_charts, feature_facts
from dashboard.browse.unit import Unit
from dashboard.components import feature_card_links
from dashboard.components.bars import Sheet
from dashboard.parts import on_demand

AT_ONCE = 0.05  # seconds of computing without being asked
EXAMPLES = 8  # rows whose pursuit can be shown


def prototype(unit: Unit, sheet: Sheet) -> None:
    """Of a prototype: its class, its nearest patch, and what it adds to each class; nothing for any other feature."""
    for chart in card_charts.prototype(unit):
        sheet.add(chart)


def density(unit: Unit, sheet: Sheet) -> None:
    """A sentence; nothing for a unit, nor for a prototype, which is similar to every patch somewhat."""
    if (chart := card_charts.density(unit)) is not None:
        sheet.add(chart)


def together(unit: Unit, sheet: Sheet) -> None:
    """Features that are active in the same rows, beside what their rates give."""
    if not card_charts.asks_together(unit):
        return
    chart = dict(card_charts.TOGETHER)
    if unit.is_always_on:
        sheet.add(card_charts.everywhere(chart))
        return
    work = ("co_activation", [unit.reference], {})
    ask = {"ask": "Count common rows", "title": "Features that fire together", "key": "together"}
    found = _result(work, sheet, chart, ask)
    if found is not None:
        feature_card_links.add(sheet, card_charts.together(unit, found, chart), unit)


def _result(work: tuple, sheet: Sheet, chart: dict, ask: dict):
    """A kept result; else what is drawn until there is one, below its heading, which then is taken out of `chart`."""
    found = on_demand.kept(*work)
    if found is None:
        sheet.flush()
        st.markdown(f"**{chart.pop('heading')}**{chart.pop('about', '')}")
        found = on_demand.result(*work, at_once=AT_ONCE, patience=1.0, **ask)
    return found


def energy(unit: Unit, sheet: Sheet) -> None:
    """Share of its direction's length inside the space where the activations vary."""
    if unit.word == "unit":
        return
    chart = dict(card_charts.ENERGY)
    ask = {"ask": "Find the subspace", "title": "Energy in the active subspace", "key": "energy"}
    found = _result(("atom_energy", card_charts.energy_inputs(unit), {}), sheet, chart, ask)
    if found is not None and (drawn := card_charts.energy(unit, found, chart)) is not None:
        sheet.add(drawn)


def outputs(unit: Unit, sheet: Sheet) -> None:
    """Outputs that its direction raises and lowers on the straight way."""
    if (chart := card_charts.outputs(unit)) is not None:
        sheet.add(chart)


def pursuit(unit: Unit) -> None:
    """How one of its strongest examples is made up, atom by atom."""
    if unit.word == "unit" or unit.is_dead or feature_facts.is_prototype(unit):
        return
    box = st.expander(
        "Pursuit: how an example is made up", icon=":material/stacks:", **state.bound("pursuit", False)
    )
    if not box.open:
        return
    with box:
        rows = [int(r) for r in unit.strongest[0][:EXAMPLES] if r >= 0]
        row = st.selectbox(
            "Example", rows, format_func=lambda r: _named(unit, r), **state.bound("row", rows[0], rows)
        )
        taken, own = feature_facts.traces(unit, row)
        st.dataframe(
            table_cells.safe(feature_facts.trace_lines(taken, own, _names(unit))), hide_index=True, key="trace",
            height="content", alt="Features in the order in which they explain this example",
        )  # fmt: skip
        st.caption(
            "Each step takes the direction that explains most of what is left, and its part away; “left” is the share "
            "of the row that is still unexplained. Beside it the set's own code, largest parts first: where the two "
            "differ, the encoder sees it otherwise than a greedy search does."
        )


def _names(unit: Unit) -> tuple[str, ...]:
    """Of all features, with what they are called."""
    own = unit.activations.unit_names
    return tuple(f"{name} {unit.called(i)}".strip() for i, name in enumerate(own)) if unit.names else own


def _named(unit: Unit, row: int) -> str:
    return feature_facts.row_name(unit, row)
