"""On the card of a feature: how dense it is, what it fires with, where its direction lies, what it does to the outputs,
and how an example is made up."""

from __future__ import annotations

from functools import partial

import streamlit as st

from analysis.errors import InputError, NotFound
from dashboard import state
from dashboard.browse import feature_facts
from dashboard.browse.unit import Unit
from dashboard.components.bars import Chart, Line, Sheet
from dashboard.parts import on_demand

AT_ONCE = 0.05  # seconds of computing without being asked
MANY = 6  # outputs up, and down
EXAMPLES = 8  # rows whose pursuit can be shown


def prototype(unit: Unit, sheet: Sheet) -> None:
    """Of a prototype: its class, its nearest patch, and what it adds to each class; nothing for any other feature."""
    if unit.word == "unit" or not feature_facts.is_prototype(unit):
        return
    said, connections = feature_facts.prototype(unit)
    sheet.add(Chart("Prototype", heading="Prototype", note=said))
    if connections:
        shown = connections if len(connections) <= 2 * MANY else connections[:MANY] + connections[-MANY:]
        lines = [Line(name, w, text=f"{w:+.2f}") for name, w in shown]
        about = ": what a similarity of 1 adds to the logit"
        sheet.add(Chart("Class connections", lines, heading="Class connections", about=about))


def density(unit: Unit, sheet: Sheet) -> None:
    """A sentence; nothing for a unit, nor for a prototype, which is similar to every patch somewhat."""
    if unit.word != "unit" and feature_facts.is_prototype(unit):
        return
    if unit.word != "unit" and not unit.is_dead:
        sheet.add(Chart("Density", heading="Density", note=feature_facts.density(unit)))


def together(unit: Unit, sheet: Sheet) -> None:
    """Features that are active in the same rows, beside what their rates give."""
    if unit.word == "unit" or unit.is_dead or feature_facts.is_prototype(unit):
        return
    about = ", PMI (log of common rows over expected ones), 95 % interval"
    chart = {"label": "Features that fire together", "heading": "Fires together with", "about": about}
    if unit.is_always_on:
        sheet.add(Chart(**chart, note="It is active everywhere: what fires with it is whatever fires."))
        return
    work = ("co_activation", [unit.reference], {})
    ask = {"ask": "Count common rows", "title": "Features that fire together", "key": "together"}
    found = _result(work, sheet, chart, ask)
    if found is None:
        return
    names = {name: i for i, name in enumerate(unit.activations.unit_names)}
    lines = [
        Line(_titled(unit, names, p["partner"]), p["PMI"], p["low"], p["high"], null=(0.0, 0.0),
             text=f"{p['PMI']:+.1f}",
             title=f"{_titled(unit, names, p['partner'])}: {p['together']:,} common rows, {p['expected']:.1f} expected"
             f"; {100 * p['share']:.0f} % of its rows, {100 * p['share of partner']:.0f} % of the partner's; open its "
             "card", id=str(p["partner"]))
        for p in feature_facts.partners(found, unit.name)
    ]  # fmt: skip
    note = (
        "Active in the same rows, whatever their directions: kin by what they say together, not by likeness."
    )
    if not lines:
        note = "No other feature is active in five or more of the same rows."
    sheet.add(
        Chart(lines=lines, null_word="independent features", note=note, opens=partial(_open, names), **chart)
    )


def _titled(unit: Unit, names: dict[str, int], partner: str) -> str:
    return unit.titled(names[partner]) if partner in names else f"feature {partner}"


def _open(names: dict[str, int], name: str) -> None:
    if name in names:
        state.set_params(unit=names[name], bands=None)
        st.rerun()


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
    store = unit.reference.partition(":")[0]
    work = ("atom_energy", [f"{store}:{unit.store.entry(unit.tap)['of']}", unit.reference], {})
    chart = {"label": "Energy in the active subspace", "heading": "Energy in the active subspace"}
    ask = {"ask": "Find the subspace", "title": "Energy in the active subspace", "key": "energy"}
    found = _result(work, sheet, chart, ask)
    own = None if found is None else feature_facts.energy(found, unit.number)
    if own is None:
        return
    value, error, chance, of = own
    half = 1.96 * error
    line = Line(
        "energy", value, max(value - half, 0.0), min(value + half, 1.0), null=chance, text=f"{value:.2f}"
    )
    note = f"{of} directions hold 99 % of the activations' variance. Features that never fire tend to lie outside."
    sheet.add(Chart(lines=[line], null_word="random directions (95 %)", reach=1.0, note=note, **chart))


def outputs(unit: Unit, sheet: Sheet) -> None:
    """Outputs that its direction raises and lowers on the straight way."""
    if unit.word == "unit" or feature_facts.is_prototype(unit):
        return
    chart = {"label": "Logit weights", "heading": "Logit weights"}
    chart["about"] = ": outputs that its direction raises, and lowers"
    try:
        up, down, chance, said = feature_facts.logit_weights(unit, MANY)
    except (InputError, NotFound) as refusal:
        sheet.add(Chart(note=f"Not known here: {refusal}", **chart))
        return
    lines = [
        Line(name or "(empty)", w, null=(-chance, chance), text=f"{w:+.2f}") for name, w in (*up, *down[::-1])
    ]
    note = (
        f"By {said}, on the straight way: what later layers make of it is left out, and so is the size that the last "
        "normalisation divides by."
    )
    sheet.add(Chart(lines=lines, null_word="largest of a random direction (95 %)", note=note, **chart))


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
            feature_facts.trace_lines(taken, own, _names(unit)), hide_index=True, key="trace",
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
