"""On the card of a feature: the features of its dictionary whose directions lie next to its own."""

from __future__ import annotations

import streamlit as st

from analysis.errors import NotFound
from dashboard import errors, state
from dashboard.browse import feature_facts, feature_sets
from dashboard.browse.unit import Unit
from dashboard.components.bars import Line, bars


def draw(unit: Unit) -> None:
    """The largest cosines of its direction with those of the others; nothing for a unit."""
    if unit.word == "unit":
        return
    try:
        found, chance = feature_sets.neighbours(state.workspace(), unit.store, unit.tap, unit.number)
    except NotFound as refusal:
        st.caption(errors.escape(f"No neighbours in the dictionary: {refusal}"))
        return
    st.markdown("**Nearest directions** in its dictionary, by cosine")
    if not found:
        st.caption("Its direction has length 0.")
        return
    lines = [
        Line(f"feature {other}", cosine, null=(-chance, chance), text=f"{cosine:+.2f}",
             title=f"feature {other}: cosine of the two directions; open its card", id=str(other))
        for other, cosine in found
    ]  # fmt: skip
    opened = bars(
        lines,
        key="directions",
        label="Nearest directions",
        null_word="nearest of as many random directions (95 %)",
    )
    with errors.shown():
        _suspects(unit, found, chance)
    if opened is not None:
        state.set_params(unit=int(opened), bands=None)
        st.rerun()


def _suspects(unit: Unit, near: list[tuple[int, float]], chance: float) -> None:
    """Near features whose rows make them suspects of being the same, split, or absorbed."""
    found = [] if unit.is_dead else feature_facts.suspects(unit, near, chance)
    if not found:
        st.caption(
            "None of these is a suspect of a double, a split or absorption by the rows it is active in."
        )
        return
    lines = [
        f"- Feature {s.feature} {feature_facts.WORDS[s.verdict]} ({s.together:,} common {unit.row_word}, "
        f"{s.expected:.1f} expected)."
        for s in found
    ]
    st.caption("Suspects, to be looked at:\n" + "\n".join(lines))
