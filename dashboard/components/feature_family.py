"""On the card of a feature: its family over all dictionaries of the same activations, to be opened."""

from __future__ import annotations

import streamlit as st

from dashboard import errors, state
from dashboard.browse import feature_family
from dashboard.browse.feature_family import Kin
from dashboard.browse.unit import Unit
from dashboard.parts import on_demand
from dashboard.words import count

AT_ONCE = 0.05


def draw(unit: Unit) -> None:
    """The expander; what is inside is read when it is open."""
    if unit.word == "unit" or unit.is_dead:
        return
    box = st.expander("Family: what splits it, and what it splits", icon=":material/account_tree:",
                      **state.bound("family", False))  # fmt: skip
    if box.open:
        with box:
            _inside(unit)


def _inside(unit: Unit) -> None:
    taps = feature_family.dictionaries_of(unit)
    found = on_demand.result(
        "feature_families", taps, {}, ask="Find families", title="Families of features", key="family",
        at_once=AT_ONCE, patience=1.0,
    )  # fmt: skip
    if found is None:
        return
    whole = st.toggle("Show the whole family", **state.bound("kin", False))
    lines = feature_family.family(found, unit, whole=whole)
    if len(lines) == 1:
        st.caption("It shares too few rows with any other feature: it is alone.")
    else:
        st.markdown("\n".join(_line(kin, unit) for kin in lines))
    st.caption(
        f"Over {count(len(taps), 'dictionary', 'dictionaries of different size')} of these activations. Below each "
        "feature stand rarer ones that are active in its rows more often than chance gives; “inside” is the share of "
        "their rows where it is active too, beside what chance gives. Each is shown under one parent only."
    )


def _line(kin: Kin, unit: Unit) -> str:
    store = unit.reference.partition(":")[0]
    called = unit.called(kin.number) if f"{store}:{kin.tap.partition(':')[2]}" == unit.reference else ""
    short = errors.escape(f"{kin.name.rpartition('@')[2]} {called}".strip())
    way = state.link("features", tap=f"{store}:{kin.tap.partition(':')[2]}", unit=kin.number, family=True)
    name = f"**{short}**" if kin.own else f"[{short}]({way})"
    said = f"active on {100 * kin.rate:.2g} %"
    if kin.depth:
        said += f", {100 * kin.inside:.0f} % inside (chance {100 * kin.by_chance:.0f} %)"
    more = f", {count(kin.more, 'child', 'children')}" if kin.more else ""
    return f"{'    ' * kin.depth}- {name} · {said}{more}"
