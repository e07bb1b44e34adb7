"""The dialogue about an answer, turn by turn: a guess is kept before the answer shows."""

from __future__ import annotations

import numpy as np
from streamlit.testing.v1 import AppTest

from analysis.results import Table
from dashboard.browse.dialogue import score, turns


def planted() -> Table:
    text = lambda *words: np.array(words)  # noqa: E731
    return Table(
        title="From 0 to 5", index="step",
        columns={
            "step": np.array([1, 2]), "concept": text("feature 51", "feature 3"), "change": text("without", "with"),
            "said": text("Without feature 51, it would say 9.", "Also with feature 3, it would say 5."),
            "before": text("0", "9"), "after": text("9", "5"), "probability after": np.array([0.2, 0.7]),
            "choices": text("0 | 5 | 9", "0 | 5 | 6"), "shown by 1": np.array([4, 8]), "shown by 2": np.array([6, 2]),
        },
    )  # fmt: skip


def test_turns_ask_before_they_tell():
    found = turns(planted())
    assert found[0].asked == "It says 0. What would it say without feature 51?"
    assert found[1].asked == "Now it says 9. What would it say with feature 3?"
    assert [t.answer in t.choices for t in found] == [True, True]
    assert found[1].shows == (8, 2)
    assert score(["9", "0"], found) == "You foresaw 1 of 2 answers."
    assert turns(Table(title="t", columns={"step": np.arange(2)})) == []


def page():
    from test_counterfactual_dialogue_page import planted

    from dashboard.components import counterfactual_dialogue

    counterfactual_dialogue.of(planted(), "k")()


def said(at) -> str:
    return "\n".join(str(m.value) for m in at.markdown)


def test_a_guess_comes_first_and_the_answer_after_it():
    at = AppTest.from_function(page, default_timeout=30).run()
    assert not at.exception
    assert "What would it say without feature 51?" in said(at)
    assert "it would say 9" not in said(at)
    assert at.button[0].disabled
    at.radio[0].set_value("5").run()
    at.button[0].click().run()
    assert "it would say 9" in said(at)
    assert "you guessed 5" in said(at)
    assert "it would say 5" not in said(at)
    at.radio[0].set_value("5").run()
    at.button[0].click().run()
    assert not at.exception
    assert "as you guessed" in said(at)
    assert "You foresaw 1 of 2 answers." in said(at)
    at.button[0].click().run()
    assert "it would say 9" not in said(at)
