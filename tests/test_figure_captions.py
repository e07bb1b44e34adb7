"""Captions as papers have them: short, with what one must know to make the figure again; nothing said is lost."""

from __future__ import annotations

import dataclasses
import re

import pytest
from test_figures_planted import ORIGIN, ordinary, scatter

from dashboard.figures import besides, caption, export
from dashboard.figures.captions import first_sentence

LONGEST = 450  # characters, of a title and an estimate of ordinary length
MANY = "One finding of 0.5, e.g. this one. A second sentence. q goes up."


@pytest.mark.parametrize("name", sorted(ordinary()))
def test_a_caption_says_what_is_drawn_how_it_was_made_and_little_else(name):
    result = dataclasses.replace(ordinary()[name], reading=MANY, caveats=("Axes mean little.",))
    text = caption(result)
    for part in (
        result.title,
        "One finding of 0.5, e.g. this one.",
        "seed 7",
        "9f2c1e77aa01",
        "n = 1,797",
        "null",
    ):
        assert part in text, part
    assert len(text) - len(MANY) < LONGEST
    assert "second sentence" not in text
    assert "Axes mean little" not in text


def test_what_the_caption_leaves_out_stands_beside_it_and_in_the_table_as_a_comment():
    result = scatter(reading=MANY, caveats=("Axes mean little.", "A random 5 of 9 rows used."))
    rest = besides(result)
    for part in (
        "A second sentence.",
        "Q goes up.",
        "Axes mean little.",
        "A random 5 of 9 rows used.",
        "permutation",
    ):
        assert part in rest, part
    assert all(e.name.lower() in rest.lower() for e in result.estimates[1:])
    last = export(result, "tex").decode().splitlines()[-1]
    assert last.startswith("% To say in the text: A second sentence.")
    assert besides(scatter(reading="One.", estimates=(), caveats=())) == ""


def test_parameters_are_named_where_they_are_not_usual():
    usual = dataclasses.replace(ORIGIN, params={"components": 2})
    assert "components =" not in caption(scatter(origin=usual))
    assert "components = 3" in caption(scatter(origin=dataclasses.replace(ORIGIN, params={"components": 3})))


def test_a_sentence_ends_where_it_ends():
    whole = ("A rate of 0.5 is.", "See Fig. 3 of it.", "Le et al. found it.", "It is J. Smith.")
    for text in whole:
        assert first_sentence(f"{text} next one.") == text
    assert first_sentence("no end") == "no end"
    assert not re.search(r"\s$", first_sentence(" a.  b "))
