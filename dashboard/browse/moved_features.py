"""Features that somebody moved: as they stand in a link, and what came of it in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from dashboard.browse import naming
from dashboard.browse.unit_words import word_of
from dashboard.figures.text import listed, number

MOST = 20
BEYOND = 0.5  # of the natural range, that a dial reaches further on both sides


def read(texts: Sequence[str]) -> dict[int, float]:
    """Value by feature of "12=0.5"; what is not of this form is left out."""
    found = {}
    for text in texts[:MOST]:
        unit, _, value = text.partition("=")
        try:
            one, other = int(unit), float(value)
        except ValueError:
            continue
        if one >= 0 and math.isfinite(other):
            found[one] = other
    return found


def written(moved: Mapping[int, float]) -> list[str]:
    """The inverse of `read`."""
    return [f"{unit}={value:.6g}" for unit, value in moved.items()]


def reach(dial: Mapping, moved: Mapping[int, float]) -> tuple[float, float]:
    """Both ends of a dial: somewhat beyond what any sample has, and where it stands now."""
    wide = BEYOND * (dial["high"] - dial["low"])
    stands = [dial["value"], *([moved[dial["number"]]] if dial["number"] in moved else [])]
    return min(dial["low"] - wide, *stands), max(dial["high"] + wide, *stands)


def names(workspace, reference: str, numbers: Sequence[int]) -> list[str]:
    """What these features are called: "feature 12 brackets"; columns of a table by their names alone."""
    store, _, tap = reference.partition(":")
    own = workspace.activations(reference).unit_names
    notes = naming.given(workspace.people.on_tap(store, tap))
    called = naming.names(
        naming.kept(workspace, reference), own, notes, naming.proposed(workspace, reference)
    )
    word = word_of(workspace.store(store), tap)
    return [_one(word, k, called[k], own[k]) for k in numbers]


def _one(word: str, number: int, called: str, own: str) -> str:
    if called == str(number):
        return f"{word} {number}"
    return called if word == "unit" and called == own else f"{word} {number} {called}"


def sentence(answer: Mapping, moved: Mapping[int, float]) -> str:
    """What the answer was and is."""
    if not moved:
        return (
            f"The {answer['words']} is {number(answer['before'])} as the sample is. The dials are the features that it "
            "changes with most, slope times what samples have of them; move one."
        )
    change = answer["after"] - answer["before"]
    return (
        f"The {answer['words']} goes from {number(answer['before'])} to {number(answer['after'])} "
        f"({change:+.3g}). The straight line says {answer['guess']:+.3g}: " + _bent(change, answer["guess"])
    )


def _bent(change: float, guess: float) -> str:
    size = max(abs(change), abs(guess))
    if size == 0 or abs(change - guess) <= 0.1 * size:
        return "the answer is all but linear here."
    return "the answer is not linear here, so that slopes tell little about a step as large as this."


def change_words(before: float, after: float) -> str:
    """ "99.3 %" or "99.3 → 45.1 %"."""
    one, other = (f"{100 * p:.1f}" for p in (before, after))
    return f"{other} %" if one == other else f"{one} → {other} %"


def outside_words(outside: Sequence[str]) -> str:
    """A warning."""
    be = "is" if len(outside) == 1 else "are"
    return (
        f"{listed(outside)} {be} beyond every sample of the store: the network was never asked to answer such a "
        "sample, and what it says there tells little about those it was."
    )
