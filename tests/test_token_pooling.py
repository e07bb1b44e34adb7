"""The mathematics of pooling tokens: closed forms, and a second way to the same number."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from analysis.activations import ArrayActivations, Layout
from analysis.errors import NotEnoughData, NotFound, ParameterError
from analysis.tokens.pooling.attentive_sets import attentive, set_weights, without_each
from analysis.tokens.pooling.chosen_powers import (
    between_shares,
    chosen_powers,
    groups_of_channels,
    with_powers,
)
from analysis.tokens.pooling.generalised_mean import (
    CLAMP,
    SHIFT,
    generalised_mean,
    made_positive,
    token_weights,
)
from analysis.tokens.pooling.judged import RETRIEVAL, judged
from analysis.tokens.pooling.nested_answers import NestedAnswers
from analysis.tokens.pooling.nested_grids import cell_means, nested_cells
from analysis.tokens.pooling.patch_law import patch_law, tokens_of
from analysis.tokens.pooling.projector import cell_attention, cells_of, coverage, explained
from analysis.tokens.pooling.shared_budget import shared
from analysis.tokens.pooling.token_sets import VIEWS, token_sets
from analysis.tokens.pooling.weighted_volume import cell_weights, cosines, pooled_volume, volume_cells


@pytest.fixture
def rng():
    return np.random.default_rng(3)


# ---------------------------------------------------------------------------- generalised mean
def test_generalised_mean_has_its_limits_and_rises_with_p(rng):
    x = rng.uniform(0.1, 2.0, (4, 50, 3))
    found = [generalised_mean(x, p) for p in (0, 1e-9, 0.5, 1, 2, 20, 200, np.inf)]
    np.testing.assert_allclose(found[0], np.exp(np.log(x).mean(axis=1)), rtol=1e-12)
    np.testing.assert_allclose(found[1], found[0], rtol=1e-8)
    np.testing.assert_allclose(found[3], x.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(found[4], np.sqrt(np.square(x).mean(axis=1)), rtol=1e-12)
    np.testing.assert_allclose(found[-1], x.max(axis=1), rtol=1e-15)
    assert (np.diff(found, axis=0) > 0).all()
    ratio = found[-2] / found[-1]
    assert (ratio >= 50 ** (-1 / 200)).all()
    alone = np.full((1, 50, 1), 1e-9)
    alone[0, 0] = 1.0
    assert generalised_mean(alone, 200)[0, 0] == pytest.approx(50 ** (-1 / 200), abs=1e-12)
    assert pytest.approx(0.9806, abs=5e-5) == 50 ** (-1 / 200)


def test_each_channel_may_have_its_p_and_large_numbers_do_not_overflow(rng):
    x = rng.uniform(1e150, 1e155, (2, 6, 3))
    p = np.array([1.0, 3.0, np.inf])
    whole = generalised_mean(x, p)
    assert np.isfinite(whole).all()
    for c in range(3):
        np.testing.assert_allclose(whole[:, c], generalised_mean(x[..., c : c + 1], p[c])[:, 0], rtol=1e-14)


def test_weights_are_x_to_the_p_and_absent_tokens_count_nothing(rng):
    x = rng.uniform(0.1, 2.0, (3, 6, 4))
    np.testing.assert_allclose(
        token_weights(x, 2.5), x**2.5 / (x**2.5).sum(axis=1, keepdims=True), rtol=1e-12
    )
    present = np.ones((3, 6), bool)
    present[:, 4:] = False
    np.testing.assert_allclose(generalised_mean(x, 3, present), generalised_mean(x[:, :4], 3), rtol=1e-12)
    assert (token_weights(x, 3, present)[:, 4:] == 0).all()
    # the share of a token in the p-th power is how f answers to it: df/dx_i x_i / f
    step = x.copy()
    step[0, 2, 1] *= 1 + 1e-6
    slope = np.log(generalised_mean(step, 2.5)[0, 1] / generalised_mean(x, 2.5)[0, 1]) / 1e-6
    assert slope == pytest.approx(token_weights(x, 2.5)[0, 2, 1], rel=1e-5)


def test_the_clamp_says_its_share_and_the_shift_loses_nothing(rng):
    x, present = rng.standard_normal((40, 25, 3)), np.ones((40, 25), bool)
    clamped, share, least = made_positive(x, present, CLAMP, 1e-3)
    assert share == pytest.approx(0.5, abs=0.03)
    assert clamped.min() == least > 0
    shifted, none, _ = made_positive(x, present, SHIFT, 1e-3)
    assert none == 0
    moved = generalised_mean(shifted, 1) - x.mean(axis=1)
    np.testing.assert_allclose(moved, np.broadcast_to(moved[:1], moved.shape), atol=1e-12)


# ---------------------------------------------------------------------------- sets
def test_attentive_sets_ignore_order_keep_one_and_average_equals(rng):
    x, s = rng.standard_normal((2, 3, 5, 4))
    order = rng.permutation(5)
    np.testing.assert_allclose(attentive(x[:, order], s[:, order]), attentive(x, s), rtol=1e-12)
    np.testing.assert_array_equal(attentive(x[:, :1], s[:, :1]), x[:, 0])
    np.testing.assert_allclose(attentive(x, np.full_like(s, 3.0)), x.mean(axis=1), atol=1e-14)
    np.testing.assert_allclose(set_weights(3 * np.log(x**2)), token_weights(x**2, 3), rtol=1e-10)


def test_leaving_a_token_out_of_a_mean_has_a_closed_form(rng):
    x, present = rng.standard_normal((2, 6, 3)), np.ones((2, 6), bool)
    present[1, 5] = False
    x[1, 5] = 0

    def mean(x, here):
        return (x * here[..., None]).sum(axis=1) / here.sum(axis=1)[:, None]

    away = np.linalg.norm(x - mean(x, present)[:, None], axis=2) / (present.sum(axis=1) - 1)[:, None]
    found = without_each(x, present, mean)
    np.testing.assert_allclose(found[present], away[present], rtol=1e-12)
    assert np.isnan(found[1, 5])


# ---------------------------------------------------------------------------- nested grids
def test_nested_grids_of_24_compose(rng):
    x, present = rng.standard_normal((2, 576, 3)), np.ones((2, 576), bool)
    cells = nested_cells(576, (24, 24))
    assert [int(c.max()) + 1 for c in cells] == [576, 144, 36, 9, 1]
    for fine, coarse in itertools.pairwise(cells):
        up = np.zeros(int(fine.max()) + 1, int)
        up[fine] = coarse  # which coarse cell each fine cell lies in: one alone
        np.testing.assert_array_equal(up[fine], coarse)
        once, _ = cell_means(x, present, coarse)
        small, _ = cell_means(x, present, fine)
        twice, _ = cell_means(small, np.ones(small.shape[:2], bool), up)
        np.testing.assert_allclose(once, twice, atol=1e-13)
    present[0, :5] = False
    x[0, :5] = 0
    np.testing.assert_allclose(cell_means(x, present, cells[-1])[0][0, 0], x[0, 5:].mean(axis=0), atol=1e-13)


def test_the_oracle_and_its_chance(rng):
    truth, answers = rng.integers(0, 3, 200), rng.integers(0, 3, (4, 200))
    found = NestedAnswers(np.array([1, 4, 16, 64]), answers, truth, 3)
    assert (found.needed < 4).mean() >= found.right.mean(axis=1).max()
    first = np.zeros(5)
    for _ in range(200):
        mixed = NestedAnswers(found.tokens, answers, rng.permutation(truth), 3)
        first += np.bincount(mixed.needed, minlength=5) / 200 / 200
    np.testing.assert_allclose(found.needed_by_chance(), first, atol=0.01)
    assert found.chance()[0] == pytest.approx(found.needed_by_chance()[0], abs=1e-12)


# ---------------------------------------------------------------------------- projectors
def test_cells_and_coverage_of_a_projector(rng):
    tokens = cells_of((5, 4), 2)
    assert tokens.tolist() == [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]
    weight = cell_attention(rng.standard_normal((3, 4, 4, 7)))
    cover = coverage(weight, tokens, 20)
    np.testing.assert_allclose(cover.sum(axis=1), 4, rtol=1e-12)
    assert (cover[:, 16:] == 0).all()
    np.testing.assert_allclose(coverage(np.full((1, 4, 4), 0.25), tokens, 20)[0, :16], 0.25)
    np.testing.assert_allclose(cell_attention(np.ones((1, 1, 4, 3))), 0.25)


def test_equal_tokens_of_a_cell_are_rebuilt_and_independent_ones_by_half(rng):
    fold, coarse = np.arange(300) % 3, rng.standard_normal((300, 2, 3))
    same = np.repeat(coarse[:, :, None], 4, axis=2)
    assert explained(same, coarse, fold)[0] == pytest.approx(1.0, abs=1e-6)
    apart = rng.standard_normal((300, 2, 4, 3))
    assert explained(apart, apart.mean(axis=2), fold)[0] == pytest.approx(
        0.25, abs=0.03
    )  # 1/s² of independent ones
    assert explained(apart, coarse, fold)[0] == pytest.approx(0.0, abs=0.02)


# ---------------------------------------------------------------------------- volumes and budgets
def test_a_volume_pooled_to_its_shape_is_itself_and_hot_weights_are_the_average(rng):
    x, query = rng.standard_normal((24, 5)), rng.standard_normal(5)
    same = volume_cells((2, 3, 4), (2, 3, 4))
    close = cosines(x, query)
    np.testing.assert_array_equal(pooled_volume(x, cell_weights(close, same, 0.1), same), x)
    cell = volume_cells((2, 3, 4), (1, 3, 2))
    mean = np.stack([x[cell == k].mean(axis=0) for k in range(6)])
    np.testing.assert_allclose(pooled_volume(x, cell_weights(close, cell, np.inf), cell), mean, atol=1e-14)
    np.testing.assert_allclose(pooled_volume(x, cell_weights(close, cell, 1e9), cell), mean, atol=1e-8)
    cold = pooled_volume(x, cell_weights(close, cell, 1e-6), cell)
    best = [np.flatnonzero(cell == k)[close[cell == k].argmax()] for k in range(6)]
    np.testing.assert_allclose(cold, x[best], atol=1e-10)
    norms = np.linalg.norm(x, axis=1)
    assert all(np.linalg.norm(mean[k]) <= norms[cell == k].mean() for k in range(6))
    with pytest.raises(ParameterError, match="5 cells along columns"):
        volume_cells((2, 3, 4), (1, 1, 5))


def test_a_budget_is_spent_exactly(rng):
    for _ in range(200):
        scores, budget = rng.exponential(1, rng.integers(1, 40)), int(rng.integers(0, 2000))
        found = shared(scores, budget)
        assert found.sum() == budget
        assert np.abs(found - budget * scores / scores.sum()).max() < 1
    assert shared(np.full(7, 0.1), 21).tolist() == [3] * 7
    assert shared(np.full(3, 0.3), 1024).tolist() == [342, 341, 341]
    assert shared(np.zeros(4), 8).tolist() == [2] * 4
    assert shared(np.array([3.0, 1.0]), 4).tolist() == [3, 1]
    assert shared(np.array([1.3, 2.7]), 4).tolist() == [1, 3]  # to the largest remainder


def test_the_patch_law_is_found_and_tokens_are_counted():
    size = np.array([1, 2, 4, 8, 16, 32])
    assert [tokens_of(224, p) for p in (1, 2, 14, 16)] == [50_176, 12_544, 256, 196]
    found = patch_law(size, 1.2 + 0.3 * size**0.7)
    assert (found.a, found.b, found.c) == pytest.approx((1.2, 0.3, 0.7), abs=1e-5)
    assert patch_law(size, np.full(6, 2.0)).b == 0


# ---------------------------------------------------------------------------- judging and reading
def test_retrieval_by_hand_and_its_chance(rng):
    x = np.concatenate([rng.normal(3, 0.1, (12, 2)) * [1, -1], rng.normal(3, 0.1, (12, 2)) * [-1, 1]])
    codes = np.repeat([0, 1], 12)
    found = judged(x, codes, np.zeros(24, int), RETRIEVAL)
    assert found.mean == 1
    mixed = np.mean(
        [judged(x, rng.permutation(codes), np.zeros(24, int), RETRIEVAL).mean for _ in range(300)]
    )
    assert mixed == pytest.approx(found.chance, abs=0.01)
    assert found.chance == pytest.approx(11 / 23)
    assert judged(np.ones((24, 2)), codes, np.zeros(24, int), RETRIEVAL).mean == pytest.approx(11 / 23)


def test_powers_are_chosen_by_what_lies_between_labels(rng):
    codes = np.repeat([0, 1], 30)
    pooled = rng.standard_normal((3, 60, 4))
    pooled[1, :, :2] += 5 * codes[:, None]
    pooled[2, :, 2:] += 5 * codes[:, None]
    share = between_shares(pooled, codes)
    x = pooled[1, :, 0]
    by_hand = 1 - (x[:30].var() + x[30:].var()) / 2 / x.var()
    assert share[1, 0] == pytest.approx(by_hand, rel=1e-12)
    which = chosen_powers(pooled, codes, groups_of_channels(4, 2))
    assert which.tolist() == [1, 1, 2, 2]
    np.testing.assert_array_equal(with_powers(pooled, which)[:, 2], pooled[2, :, 2])
    assert len(set(chosen_powers(pooled, codes, groups_of_channels(4, 1)))) == 1


def test_tokens_are_read_with_what_leads_them_and_views_share_their_label(rng):
    x, label = rng.standard_normal((60, 3)), np.arange(12) % 3
    x[7, 1] = np.nan
    tap = ArrayActivations(x, samples={"label": label}, layout=Layout(np.arange(13) * 5, (2, 2), 1))
    found = token_sets(tap, 50, np.random.default_rng(0))
    assert (found.n, found.grid, found.leading) == (12, (2, 2), 1)
    np.testing.assert_array_equal(found.first, x[::5])
    np.testing.assert_array_equal(found.x[2], x[11:15])
    assert found.present.sum() == 47
    assert any("NaN" in note for note in found.notes)
    flat = ArrayActivations(rng.standard_normal((90, 3)), samples={"label": np.arange(90) % 3})
    sets = token_sets(flat, 50, np.random.default_rng(0), column="label")
    assert sets.x.shape == (21, VIEWS, 3)
    rows = [np.flatnonzero((flat.values == v).all(axis=1))[0] for v in sets.x[:, 0]]
    np.testing.assert_array_equal(np.array(rows) % 3, sets.labels)
    with pytest.raises(NotFound):
        token_sets(flat, 50, np.random.default_rng(0), column="kind")
    with pytest.raises(NotEnoughData):
        token_sets(ArrayActivations(np.ones((10, 2))), 50, np.random.default_rng(0))
