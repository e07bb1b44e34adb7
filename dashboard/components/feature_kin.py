"""On the card of a feature: how dense it is, what it fires with, where its direction lies, what it does to the outputs,
and how an example is made up."""

from __future__ import annotations

import streamlit as st

from analysis.errors import InputError, NotFound
from dashboard import errors, state
from dashboard.browse import feature_facts
from dashboard.browse.unit import Unit
from dashboard.components.bars import Line, bars
from dashboard.parts import on_demand

AT_ONCE = 0.05  # seconds of computing without being asked
MANY = 6  # outputs up, and down
EXAMPLES = 8  # rows whose pursuit can be shown


def prototype(unit: Unit) -> None:
    """Of a prototype: its class, its nearest patch, and what it adds to each class; nothing for any other feature."""
    if unit.word == "unit" or not feature_facts.is_prototype(unit):
        return
    said, connections = feature_facts.prototype(unit)
    st.markdown("**Prototype**")
    st.caption(errors.escape(said))
    if connections:
        shown = connections if len(connections) <= 2 * MANY else connections[:MANY] + connections[-MANY:]
        st.markdown("**Class connections**: what a similarity of 1 adds to the logit")
        bars(
            [Line(name, w, text=f"{w:+.2f}") for name, w in shown],
            key="connections",
            label="Class connections",
        )


def density(unit: Unit) -> None:
    """A sentence; nothing for a unit, nor for a prototype, which is similar to every patch somewhat."""
    if unit.word != "unit" and feature_facts.is_prototype(unit):
        return
    if unit.word != "unit" and not unit.is_dead:
        st.markdown("**Density**")
        st.caption(errors.escape(feature_facts.density(unit)))


def together(unit: Unit) -> None:
    """Features that are active in the same rows, beside what their rates give."""
    if unit.word == "unit" or unit.is_dead or feature_facts.is_prototype(unit):
        return
    st.markdown("**Fires together with**, PMI (log of common rows over expected ones), 95 % interval")
    found = on_demand.result(
        "co_activation", [unit.reference], {}, ask="Count common rows", title="Features that fire together",
        key="together", at_once=AT_ONCE, patience=1.0,
    )  # fmt: skip
    if found is None:
        return
    lines = [
        Line(f"feature {p['partner']}", p["PMI"], p["low"], p["high"], null=(0.0, 0.0), text=f"{p['PMI']:+.1f}",
             title=f"{p['together']:,} common rows, {p['expected']:.1f} expected; {100 * p['share']:.0f} % of its "
             f"rows, {100 * p['share of partner']:.0f} % of the partner's; open its card", id=str(p["partner"]))
        for p in feature_facts.partners(found, unit.name)
    ]  # fmt: skip
    if not lines:
        st.caption("No other feature is active in five or more of the same rows.")
        return
    opened = bars(
        lines, key="together", label="Features that fire together", null_word="independent features"
    )
    st.caption(
        "These are active in the same rows, whatever their directions: kin by what they say together, not by likeness."
    )
    if opened is not None:
        _open(unit, opened)


def _open(unit: Unit, name: str) -> None:
    names = unit.activations.unit_names
    if name in names:
        state.set_params(unit=names.index(name), bands=None)
        st.rerun()


def energy(unit: Unit) -> None:
    """Share of its direction's length inside the space where the activations vary."""
    if unit.word == "unit":
        return
    st.markdown("**Energy in the active subspace**")
    store = unit.reference.partition(":")[0]
    found = on_demand.result(
        "atom_energy", [f"{store}:{unit.store.entry(unit.tap)['of']}", unit.reference], {}, ask="Find the subspace",
        title="Energy in the active subspace", key="energy", at_once=AT_ONCE, patience=1.0,
    )  # fmt: skip
    own = None if found is None else feature_facts.energy(found, unit.number)
    if own is None:
        return
    value, error, chance, of = own
    half = 1.96 * error
    line = Line(
        "energy", value, max(value - half, 0.0), min(value + half, 1.0), null=chance, text=f"{value:.2f}"
    )
    bars(
        [line],
        key="energy",
        label="Energy in the active subspace",
        null_word="random directions (95 %)",
        reach=1.0,
    )
    st.caption(
        f"{of} directions hold 99 % of the variance of the activations. Features that never fire tend to lie outside."
    )


def outputs(unit: Unit) -> None:
    """Outputs that its direction raises and lowers on the straight way."""
    if unit.word == "unit" or feature_facts.is_prototype(unit):
        return
    st.markdown("**Logit weights**: outputs that its direction raises, and lowers")
    try:
        up, down, chance, said = feature_facts.logit_weights(unit, MANY)
    except (InputError, NotFound) as refusal:
        st.caption(errors.escape(f"Not known here: {refusal}"))
        return
    lines = [
        Line(name or "(empty)", w, null=(-chance, chance), text=f"{w:+.2f}") for name, w in (*up, *down[::-1])
    ]
    bars(lines, key="outputs", label="Logit weights", null_word="largest of a random direction (95 %)")
    st.caption(
        errors.escape(
            f"By {said}, on the straight way: what later layers make of it is left out, and so is the size that the "
            "last normalisation divides by."
        )
    )


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
            feature_facts.trace_lines(taken, own, unit.activations.unit_names), hide_index=True, key="trace",
            height="content", alt="Features in the order in which they explain this example",
        )  # fmt: skip
        st.caption(
            "Each step takes the direction that explains most of what is left, and its part away; “left” is the share "
            "of the row that is still unexplained. Beside it the set's own code, largest parts first: where the two "
            "differ, the encoder sees it otherwise than a greedy search does."
        )


def _named(unit: Unit, row: int) -> str:
    return feature_facts.row_name(unit, row)
