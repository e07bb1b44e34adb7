"""A dialogue of flips: guesses come first, answers after them, and the link holds both."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.results import Table
from dashboard.browse import dialogue

COLUMNS = {
    "step": np.array([1, 2]), "concept": np.array(["wings", "beak"]), "change": np.array(["with", "without"]),
    "choices": np.array(["bird | cat | dog", "bird | cat"]), "before": np.array(["cat", "cat"]),
    "after": np.array(["cat", "bird"]), "probability after": np.array([0.2, 0.9]), "shown by 1": np.array([4, 7]),
    "shown by 2": np.array([4, 8]),
}  # fmt: skip


@pytest.fixture
def asked():
    return dialogue.turns(Table(title="t", columns=COLUMNS, index="step"))


def test_turns_are_read_from_the_table(asked):
    assert [t.shown for t in asked] == [(4,), (7, 8)]
    assert asked[0].question == "If what shows “wings” were put into this sample, what would the network say?"
    assert "also taken out of this sample" in asked[1].question


def test_guesses_go_through_a_link_in_their_order(asked):
    guesses = {1: "dog", 2: "bird"}
    assert dialogue.read(dialogue.written(guesses), asked) == guesses
    assert dialogue.read(["2:bird"], asked) == {}  # the first turn has none
    assert dialogue.read(["1:horse", "2:bird"], asked) == {}  # nothing that is offered
    assert dialogue.read(["1:dog", "nonsense", ""], asked) == {1: "dog"}


def test_answers_and_tally(asked):
    assert dialogue.answer(asked[0], "cat") == "It still says cat, as you guessed."
    assert dialogue.answer(asked[1], "cat") == "It says bird, where you guessed cat."
    said = dialogue.tally(asked, {1: "cat", 2: "cat"})
    assert said.startswith("You foresaw 1 of 2 answers; guessing blindly gives 0.83.")
