"""Names of lines are cut where they agree, never where they differ."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.figures.short_names import told_apart

BLOCKS = [f"model.encoder.layers.{k}.attention.output.dense" for k in range(60)]


def test_layers_of_a_deep_network_keep_their_number():
    assert told_apart(BLOCKS, 22)[:2] == ["…layers.0.…", "…layers.1.…"]
    assert told_apart(BLOCKS, 22)[59] == "…layers.59.…"


def test_short_names_stay_whole():
    assert told_apart(["one", "two", "one"], 5) == ["one", "two", "one"]


def test_a_shared_head_goes_and_the_rest_stays():
    names = ["resnet.encoder.stages.0", "resnet.encoder.stages.1", "resnet.classifier"]
    assert told_apart(names, 22) == ["…encoder.stages.0", "…encoder.stages.1", "…classifier"]


def test_a_name_of_another_sort_does_not_keep_what_layers_share():
    for layers, short in (("transformer.h.{}", "…h.{}"), ("random block {}", "…block {}")):
        names = ["input", *(layers.format(k) for k in range(12))]
        assert told_apart(names, 9) == ["input", *(short.format(k) for k in range(12))]


def test_what_differs_in_the_middle_of_a_word_is_numbered():
    found = told_apart(["a" * 40 + "1" + "b" * 40, "a" * 40 + "2" + "b" * 40], 22)
    assert len(set(found)) == 2


def test_equal_names_stay_equal():
    first, second, other = told_apart(["x" * 60, "x" * 60, "y" * 60], 22)
    assert first == second != other


@pytest.mark.parametrize("limit", [12, 16, 22])
@settings(max_examples=60, deadline=None)
@given(names=st.lists(st.text("ab./ 1", min_size=1, max_size=60), min_size=1, max_size=8))
def test_never_longer_and_never_alike(limit, names):
    found = told_apart(names, limit)
    assert all(len(text) <= limit for text in found)
    assert len(set(found)) == len(set(names))
    assert [found[names.index(n)] for n in names] == found
