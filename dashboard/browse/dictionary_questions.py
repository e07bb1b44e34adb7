"""What the Dictionaries page asks about a dictionary, and which method answers each question."""

from __future__ import annotations

from analysis import registry

FAMILY = "dictionaries"
WORDED: dict[
    str, str
] = {}  # method by question, the most asked for first; the others are asked by their titles


def asks() -> dict[str, str]:
    """Method by question, of every method of the family that is installed."""
    installed = {m.id: m.title for m in registry.families().get(FAMILY, ())}
    worded = {question: id for question, id in WORDED.items() if id in installed}
    rest = {title: id for id, title in installed.items() if id not in worded.values()}
    return worded | rest
