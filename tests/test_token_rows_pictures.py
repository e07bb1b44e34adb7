"""What the methods that draw single parts of rows give, against second ways to the same numbers and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.activations import ArrayActivations, Layout
from analysis.errors import ParameterError
from analysis.methods.tokens.merge_criteria import MergeCriteriaParams, merge_criteria
from analysis.methods.tokens.reading_after_drops import (
    ReadingAfterDropsParams,
    kept_reading,
    moved,
    reading_after_drops,
)
from analysis.tokens.criteria import CHANCE, JOINT, Overheard, alone, pairs, shared
from analysis.tokens.over_samples import plan_of
from analysis.tokens.read_after import ANSWER, WORDS, Stage, paid, stages
from analysis.tokens.rule import rule
from analysis.tokens.rules.mctf import MctfSettings
from analysis.tokens.state import TokenState
from analysis.tokens.subject import RowSubject
from analysis.tokens.view import CLASS, PATCH, TEXT, TokenLayout


def tokens(x, grid=None):
    n, t, d = x.shape
    return ArrayActivations(x.reshape(-1, d), name="planted", layout=Layout(np.arange(n + 1) * t, grid=grid))


# ---------------------------------------------------------------------------- what is read behind a removal
def test_what_is_read_behind_a_removal_is_the_answering_row_brought_to_one(rng):
    """By hand: pyramid_drop on a dump of rows keeps the largest of the class token's row, renormalised."""
    tap = tokens(rng.standard_normal((3, 8, 5)))
    who = RowSubject(tap, 3, rng, lambda f, doing="": None)
    found, layout, given = stages(
        who, 1, rule("pyramid_drop"), plan_of(rule("pyramid_drop"), 0.125, 4), ANSWER, rng
    )
    row = who.dump.recorded["mean attention"][0][1, 0]
    assert given is None
    assert [s.left for s in found] == [8, 4, 2, 1]
    for stage in found:
        kept = np.r_[0, 1 + np.argsort(-row[1:], kind="stable")[: stage.left]]
        want = np.zeros(9)
        want[kept] = row[kept] / row[kept].sum()
        np.testing.assert_allclose(stage.after, want, atol=1e-12)
        np.testing.assert_allclose(stage.before, row, atol=1e-12)
        np.testing.assert_array_equal(np.flatnonzero(stage.there), np.sort(kept))
        assert kept_reading(stage, layout.free[0]) == pytest.approx(row[kept[1:]].sum() / row[1:].sum())
        assert moved(stage) == pytest.approx(0.0, abs=1e-12)


def test_moving_is_half_the_distance_after_renormalising():
    stage = Stage(1, 2, np.array([0.5, 0.25, 0.25]), np.array([0.5, 0.5, 0.0]), np.array([True, True, False]))
    assert moved(stage) == pytest.approx(0.5 * (abs(0.5 - 2 / 3) + abs(0.5 - 1 / 3)))
    assert kept_reading(stage, np.array([False, True, True])) == pytest.approx(0.5)


def test_words_read_as_their_mean_and_merged_tokens_share_what_is_read_of_them():
    kinds = np.array([[PATCH, PATCH, TEXT, TEXT]])
    layout = TokenLayout(kinds, kinds == PATCH, np.full((1, 4), -1), causal=False)
    attention = np.array([[[1.0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]])
    state = TokenState.start(np.ones((1, 4), bool))
    np.testing.assert_allclose(paid(attention, state, layout, WORDS), [0, 0.5, 0.5, 0])
    one = TokenState(np.array([[0, 2, 3]]), np.array([[0, 0, 1, 2]]), np.array([[2.0, 1, 1]]))
    merged = np.array([[[1.0, 0, 0], [0.8, 0.2, 0], [0.4, 0.2, 0.4]]])
    np.testing.assert_allclose(paid(merged, one, layout, WORDS), [0.3, 0.3, 0.2, 0.2])
    kinds = np.array([[CLASS, PATCH, PATCH, PATCH]])
    seen = TokenLayout(kinds, kinds == PATCH, np.full((1, 4), -1))
    np.testing.assert_allclose(paid(attention, state, seen, WORDS), [1, 0, 0, 0])  # no text: the class token


def test_maps_of_stages_average_one_over_the_tokens_there(rng):
    found = reading_after_drops(tokens(rng.standard_normal((4, 6, 3))), ReadingAfterDropsParams(share=0.2))
    counts = [np.isfinite(row).sum() for row in found.values]
    for row, count in zip(found.values, counts, strict=True):
        assert np.nansum(row) == pytest.approx(count)
    assert counts[0] == 7
    assert counts[-1] < counts[2]
    everything = reading_after_drops(
        tokens(rng.standard_normal((4, 6, 3))), ReadingAfterDropsParams(share=1.0)
    )
    assert len(everything.values) == 1
    assert "removes nothing" in everything.reading


# ---------------------------------------------------------------------------- criteria of merging
def test_each_criterion_alone_is_the_rule_with_the_others_left_out(rng):
    tap = tokens(rng.standard_normal((3, 12, 6)))
    who, settings = RowSubject(tap, 3, rng, lambda f, doing="": None), MctfSettings()
    plan = plan_of(rule("mctf"), 0.3, 4)
    heard = Overheard(2, settings, np.random.default_rng(0))
    given = who.one(0)[0]
    listened = who.answer(given, heard.rule(), plan, settings, rng)
    plain = who.answer(given, rule("mctf"), plan, settings, rng)
    np.testing.assert_array_equal(
        listened.states[-1].owner, plain.states[-1].owner
    )  # listening changes nothing
    np.testing.assert_array_equal(heard.steps[JOINT].into, plain.steps[2].into)
    np.testing.assert_array_equal(heard.state.owner, plain.states[2].owner)
    counts = {name: len(pairs(heard.state, step)) for name, step in heard.steps.items()}
    assert len(set(counts.values())) == 1  # as many pairs each, chance too
    assert counts[CHANCE] > 0
    only = alone(MctfSettings(similarity=0.0), "similarity")
    assert (only.similarity, only.information, only.size) == (1.0, 0.0, 0.0)


def test_likeness_alone_brings_copies_together_and_reading_alone_what_is_read_least(rng):
    x = np.repeat(rng.standard_normal((3, 6, 8)), 2, axis=1)
    found = merge_criteria(tokens(x), MergeCriteriaParams(share=0.34, layer=1))
    owner = dict(zip(found.names, found.owner, strict=True))
    groups = [np.flatnonzero(owner["similarity alone"] == o) for o in np.unique(owner["similarity alone"])]
    made = [(int(g[0]), int(g[-1])) for g in groups if len(g) > 1]
    assert made
    assert all((a - 1) // 2 == (b - 1) // 2 for a, b in made)
    np.testing.assert_array_equal(owner["before"], np.arange(13))
    sizes = [np.unique(owner[n], return_counts=True)[1].sum() for n in found.names]
    assert set(sizes) == {13}  # nothing is lost


def test_pairs_are_the_same_whichever_way_they_go():
    assert shared({(1, 2), (3, 4)}, {(2, 1), (5, 6)}) == pytest.approx(1 / 3)
    assert shared(set(), set()) == 1.0


def test_a_layer_that_merges_nothing_is_refused_in_words(rng):
    tap = tokens(rng.standard_normal((3, 12, 6)))
    with pytest.raises(ParameterError, match=r"layer 9, behind which nothing is merged"):
        merge_criteria(tap, MergeCriteriaParams(layer=9))
