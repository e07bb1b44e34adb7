"""On the card of a feature: the features of its dictionary whose directions lie next to its own."""

from __future__ import annotations

import streamlit as st

from analysis.errors import NotFound
from dashboard import state
from dashboard.browse import feature_facts, feature_sets
from dashboard.browse.unit import Unit
from dashboard.components.bars import Chart, Line, Sheet

HEADING = {"heading": "Nearest directions", "about": " in its dictionary, by cosine"}


def draw(unit: Unit, sheet: Sheet) -> None:
    """The largest cosines of its direction with those of the others; nothing for a unit."""
    if unit.word == "unit":
        return
    try:
        found, chance = feature_sets.neighbours(state.workspace(), unit.store, unit.tap, unit.number)
    except NotFound as refusal:
        sheet.add(Chart("Nearest directions", note=f"Not known: {refusal}", **HEADING))
        return
    lines = [
        Line(unit.titled(other), cosine, null=(-chance, chance), text=f"{cosine:+.2f}",
             title=f"{unit.titled(other)}: cosine of the two directions; open its card",
             id=str(other))
        for other, cosine in found
    ]  # fmt: skip
    note, points = _suspects(unit, found, chance) if found else ("Its direction has length 0.", ())
    sheet.add(
        Chart(
            "Nearest directions", lines, "nearest of as many random directions (95 %)", note=note, points=points,
            opens=_open, **HEADING,
        )
    )  # fmt: skip


def _open(number: str) -> None:
    state.set_params(unit=int(number), bands=None)
    st.rerun()


def _suspects(unit: Unit, near: list[tuple[int, float]], chance: float) -> tuple[str, tuple[str, ...]]:
    """Near features whose rows make them suspects of being the same, split, or absorbed."""
    if unit.is_dead:
        return "", ()
    if unit.is_always_on:
        return "It is active everywhere: its rows cannot tell a double, a split or absorption.", ()
    found = feature_facts.suspects(unit, near, chance)
    if not found:
        return (
            "By the rows it is active in, none of these is a suspect of a double, a split or absorption.",
            (),
        )
    return "Suspects, to be looked at:", tuple(
        f"Feature {unit.titled(s.feature).removeprefix('feature ')} {feature_facts.WORDS[s.verdict]} "
        f"({s.together:,} common {unit.row_word}, {s.expected:,.0f} expected)."
        for s in found
    )
