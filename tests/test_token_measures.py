"""Survivors, holes, boxes, shifts, what is lost and times: closed forms and counts by hand."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations
from math import comb

import numpy as np
import pytest

from analysis.activations import ArrayActivations, Layout
from analysis.errors import NotFound, ParameterError
from analysis.methods.tokens.coverage_holes import CoverageHolesParams, coverage_holes
from analysis.methods.tokens.latency import TOLD, LatencyParams, latency
from analysis.methods.tokens.reconstruction_error import ReconstructionErrorParams, reconstruction_error
from analysis.methods.tokens.rule_agreement import RuleAgreementParams, rule_agreement
from analysis.methods.tokens.token_survival import MORE, TokenSurvivalParams, Z, token_survival
from analysis.tokens.coverage import around, bare, boxes_of, chance_bare, hole
from analysis.tokens.dump import attention_inside, means_inside
from analysis.tokens.rebuilding import missed_share, of_survivors
from analysis.tokens.shifting import moved_picture, moved_rows
from analysis.tokens.state import Step, TokenState, after
from analysis.tokens.survivors import ALONE, chance_jaccard, jaccard, survivors_of
from analysis.tokens.tap_dump import dump_of_rows
from analysis.tokens.timing import median_of, noise_of


@pytest.fixture
def tap(rng):
    layout = Layout(np.arange(0, 641, 16), grid=(4, 4))
    return ArrayActivations(rng.standard_normal((640, 6)), name="rows", layout=layout)


# ---------------------------------------------------------------------------- sets
@pytest.mark.parametrize(("tokens", "a", "b"), [(7, 3, 4), (6, 5, 4), (5, 0, 2), (4, 4, 4)])
def test_chance_of_two_sets_is_the_mean_over_all_sets(tokens, a, b):
    first = set(range(a))
    every = [
        Fraction(len(first & set(c)), max(len(first | set(c)), 1)) for c in combinations(range(tokens), b)
    ]
    assert chance_jaccard(tokens, a, b) == pytest.approx(float(sum(every) / comb(tokens, b)), abs=1e-12)


def test_two_empty_sets_are_alike():
    none = np.zeros((1, 3), bool)
    assert jaccard(none, none)[0] == chance_jaccard(3, 0, 0) == 1


def test_merged_tokens_survive_by_name_or_not_at_all():
    state = TokenState.start(np.ones((1, 4), bool))
    left = after(state, Step(np.array([[0, 0, 2, -1]]), np.full((1, 4), np.nan)))
    free = np.ones((1, 4), bool)
    assert survivors_of(left, free).tolist() == [[True, False, True, False]]
    assert survivors_of(left, free, ALONE).tolist() == [[False, False, True, False]]


def test_agreement_is_symmetric_with_its_null_beside_it(tap):
    found = rule_agreement(tap, RuleAgreementParams(rules="first,last,random,even", share=0.5))
    np.testing.assert_array_equal(found.values, found.values.T)
    off = ~np.eye(4, dtype=bool)
    np.testing.assert_allclose(found.null[off], chance_jaccard(16, 8, 8), atol=1e-12)
    assert (found.low <= found.values).all()
    assert (found.values <= found.high).all()
    at = {name: i for i, name in enumerate(found.row_names)}
    assert found.significant[at["First tokens"], at["Last tokens"]]
    assert not found.significant[at["First tokens"], at["Random"]]
    with pytest.raises(NotFound, match="no rule"):
        rule_agreement(tap, RuleAgreementParams(rules="first,nonsense"))


def test_rates_beyond_chance_have_the_sign_of_z(tap):
    z, more = (token_survival(tap, TokenSurvivalParams(rules="last", drawn=k)) for k in (Z, MORE))
    assert z.column_names[:2] == ("row 1", "row 2")
    assert (np.sign(z.values) == np.sign(more.values)).all()
    assert more.values[0, 3] == pytest.approx(0.5)  # the last of four rows is whole
    np.testing.assert_array_equal(z.significant, more.significant)


# ---------------------------------------------------------------------------- places
def test_a_grid_of_stride_three_leaves_nothing_bare():
    there, left = np.ones((1, 1, 9, 9), bool), np.zeros((1, 1, 9, 9), bool)
    left[0, 0, 1::3, 1::3] = True
    assert bare(there, left)[0] == 0
    assert hole(there, left)[0] == 2
    left[0, 0, 4, 4] = False
    assert bare(there, left)[0] == pytest.approx(9 / 81)
    assert hole(there, left)[0] == 5
    assert around(left)[0, 0, 0, 0] == 1


def test_holes_are_squares_and_runs_found_one_by_one(rng):
    left = rng.random((6, 2, 5, 7)) < 0.3
    there = rng.random((6, 2, 5, 7)) < 0.95
    empty = there & ~left
    slow = [max(s for f in range(2) for s in range(6) for i in range(6 - s) for j in range(8 - s)
                if empty[b, f, i : i + s, j : j + s].all()) for b in range(6)]  # fmt: skip
    np.testing.assert_array_equal(hole(there, left), slow)
    row = np.array([[[[1, 0, 0, 0, 1, 0]]]], bool)
    assert hole(np.ones_like(row), row)[0] == 3


def test_chance_of_bare_cells_is_the_mean_over_all_sets():
    there = np.ones((1, 1, 2, 4), bool)
    every = []
    for kept in combinations(range(8), 2):
        left = np.zeros(8, bool)
        left[list(kept)] = True
        every.append(bare(there, left.reshape(there.shape))[0])
    assert chance_bare(there, np.array([2]))[0] == pytest.approx(np.mean(every), abs=1e-12)


def test_boxes_are_counted_from_one_and_refused_outside():
    inside = boxes_of("rows 2-3, columns 1; 4,4", 4, 4)
    assert sorted(zip(*np.nonzero(inside), strict=True)) == [(1, 0), (2, 0), (3, 3)]
    assert boxes_of(" ", 4, 4) is None
    for wrong in ("2-5, 1", "0, 1", "3-2, 1", "1, 5"):
        with pytest.raises(ParameterError, match="inside the picture, which has 4 rows and 4 columns"):
            boxes_of(wrong, 4, 4)
    with pytest.raises(ParameterError, match="rows and columns of patches, such as"):
        boxes_of("here", 4, 4)


def test_recall_of_the_whole_picture_is_the_share_that_is_left(tap):
    found = coverage_holes(tap, CoverageHolesParams(rules="first,random,tome", share=0.5, box="1-4, 1-4"))
    np.testing.assert_allclose(found.columns["recall in the box"], found.columns["recall, random"])
    with pytest.raises(ParameterError, match="a box of rows 1 to 9"):
        coverage_holes(tap, CoverageHolesParams(box="1-9, 1"))


def test_the_largest_hole_has_an_interval_and_a_null_as_bare_cells_have(tap):
    found = coverage_holes(tap, CoverageHolesParams(rules="first,token_norm", share=0.5))
    by = {e.name: e for e in found.estimates}
    for name, side, null in zip(
        *(found.columns[c] for c in ("rule", "largest hole", "hole, random")), strict=True
    ):
        told = by[f"largest hole, {name}"]
        assert (told.value, told.null) == (side, null)
    first, norm = by["largest hole, First tokens"], by["largest hole, Token norm"]
    assert first.low is None
    assert first.interval == "none: alike in all samples"
    assert norm.low < norm.value < norm.high
    assert norm.null < 3


# ---------------------------------------------------------------------------- shifts
def test_pictures_move_with_their_edges_repeated():
    torch = pytest.importorskip("torch")
    x = torch.arange(12.0).reshape(1, 1, 3, 4)
    assert moved_picture(x, 1, "right")[0, 0, 0].tolist() == [0, 0, 1, 2]
    assert moved_picture({"pixel_values": x}, 1, "up")["pixel_values"][0, 0, :, 0].tolist() == [4, 8, 8]
    assert moved_picture({"input_ids": x[0, 0].long()}, 1, "up") is None


def test_rows_move_on_and_are_found_again(tap, rng):
    dump = dump_of_rows(tap, 3, rng, lambda *_: None)[0]
    moved, went = moved_rows(dump)
    x, y = dump.recorded["hidden"][0], moved.recorded["hidden"][0]
    np.testing.assert_array_equal(y[:, 2:], x[:, 1:-1])
    np.testing.assert_array_equal(y[:, 1], x[:, -1])
    np.testing.assert_array_equal(np.take_along_axis(y, went[:, :, None], axis=1), x)
    a, b = (d.recorded["mean attention"][0] for d in (dump, moved))
    assert b[0, 2, 3] == a[0, 1, 2]


# ---------------------------------------------------------------------------- what is lost
def test_means_and_attention_inside_are_those_of_source_matrices(rng):
    state = TokenState.start(np.array([[True] * 6, [True] * 5 + [False]]))
    into = np.array([[0, 0, 2, -1, 2, 5], [0, 1, 1, 1, 4, -1]])
    left = after(state, Step(into, np.full((2, 6), np.nan)))
    share = left.sources() / np.maximum(left.size, 1)[:, :, None]
    x = rng.standard_normal((2, 3, 6, 4))
    np.testing.assert_allclose(means_inside(x, left), share[:, None] @ x, atol=1e-12)
    np.testing.assert_allclose(means_inside(x[:, 0], left), share @ x[:, 0], atol=1e-12)
    attention = rng.random((2, 3, 6, 6))
    slow = share[:, None] @ attention @ left.sources()[:, None].transpose(0, 1, 3, 2)
    slow = slow / np.maximum(slow.sum(axis=-1, keepdims=True), 1e-30)
    np.testing.assert_allclose(attention_inside(attention, left), slow, atol=1e-12)
    np.testing.assert_allclose(attention_inside(attention[:, 1], left), slow[:, 1], atol=1e-12)


def test_a_dropped_token_is_made_of_the_nearest_and_a_merged_one_of_its_mean():
    x = np.array([[[0.0], [2.0], [10.0], [9.0]]])
    free = np.ones((1, 4), bool)
    start = TokenState.start(free)
    step = Step(np.array([[0, 0, 2, -1]]), np.full((1, 4), np.nan))
    made = of_survivors(x, free, [start, after(start, step)], [step])
    assert made[0, :, 0].tolist() == [1, 1, 10, 10]
    spread = np.square(x - x.mean()).sum()
    assert missed_share(x, made, free)[0] == pytest.approx(3 / spread)
    assert missed_share(np.ones_like(x), made, free)[0] == 0


def test_rules_lose_more_with_fewer_tokens_and_merging_beats_chance(tap):
    found = reconstruction_error(tap, ReconstructionErrorParams(rules="tome,random"))
    assert (np.diff(found.null["Random"]) > 0).all()
    gain = {e.name.split(", ")[1]: e for e in found.estimates}
    assert gain["ToMe"].low > 0
    assert gain["Random"].low < 0 < gain["Random"].high


# ---------------------------------------------------------------------------- time
def test_the_interval_of_a_median_covers_what_it_says(rng):
    for n, low in ((5, 1), (9, 2), (17, 5)):
        found = median_of(np.arange(1.0, n + 1))
        assert (found.low, found.high) == (low, n + 1 - low)
        assert (found.level >= 0.95) == (n > 5)
    draws = np.sort(rng.exponential(size=(4000, 9)))
    covered = ((draws[:, 1] <= np.log(2)) & (np.log(2) <= draws[:, 7])).mean()
    assert covered == pytest.approx(median_of(draws[0]).level, abs=0.015)
    assert noise_of(np.array([1.0, 1, 1, 1])) == 0


def test_without_a_network_only_work_is_told(tap):
    found = latency(tap, LatencyParams(rules="random,tome", repeats=3))
    assert "Nothing was timed." in found.caveats
    np.testing.assert_array_equal(found.series["Random"], found.null["Random"])
    told = found.x >= TOLD  # below, rows of so few layers cannot spend as little
    assert (np.diff(found.null["Random"][told]) < 0).all()
    np.testing.assert_allclose(found.null["Random"][told], found.x[told], atol=0.08)


def test_one_slow_repeat_moves_no_median():
    found = median_of(np.array([1.0, 9.0, 1.2, 1.1, 1.3]))
    assert (found.value, found.low, found.high) == (1.2, 1.0, 9.0)
    assert noise_of(np.array([1.0, 1.0, 2.0, 3.0, 100.0])) == pytest.approx(0.5)
