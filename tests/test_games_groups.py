"""Owen values and interactions: known games, agreement with Shapley values, exact against sampled."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from analysis.compute.games.exact import all_values, exact_values
from analysis.compute.games.friedman import friedman_h2
from analysis.compute.games.game import Game
from analysis.compute.games.interactions import (
    banzhaf_interactions,
    banzhaf_values,
    dividends,
    shapley_interactions,
    shapley_taylor,
)
from analysis.compute.games.owen import exact_cost, owen_values
from analysis.compute.games.permutations import permutation_values
from analysis.compute.games.sampled_interactions import round_cost, sampled_interactions, zigzags
from analysis.errors import InputError, NotEnoughData, TooLarge


def table(v: np.ndarray) -> Game:
    players = len(v).bit_length() - 1
    return Game(lambda c: v[c @ (1 << np.arange(players))], players)


def random_table(players: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(2**players, 2))


def test_groups_of_one_or_one_group_give_shapley_values():
    known = exact_values(table(random_table(6))).values
    for hierarchy in (list(range(6)), [list(range(6))], [[[3, 0, 1, 5, 4, 2]]]):
        found = owen_values(table(random_table(6)), hierarchy)
        np.testing.assert_allclose(found.values, known, atol=1e-13)


def test_a_group_gets_its_own_value_among_groups():
    v = random_table(7)
    groups = [[0, 1, 2], [3, 4], [5], [6]]
    found = owen_values(table(v), groups)
    joined = Game(lambda c: table(v)(c[:, np.repeat(np.arange(4), [3, 2, 1, 1])]), 4)
    sums = np.stack([found.values[g].sum(axis=0) for g in groups])
    np.testing.assert_allclose(sums, exact_values(joined).values, atol=1e-13)
    assert found.evaluations < 2**7


def test_a_majority_with_a_union_by_hand():
    """Of three players two decide. 0 and 1 stand together: the third never matters (G. Owen 1977)."""
    game = Game(lambda c: c.sum(1) >= 2, 3)
    np.testing.assert_allclose(owen_values(game, [[0, 1], 2]).values[:, 0], [0.5, 0.5, 0], atol=1e-15)


def test_nested_groups_exact_against_sampled():
    v, hierarchy = random_table(7, 1), [[0, [1, 2]], [[3, 4], 5], 6]
    known = owen_values(table(v), hierarchy)
    flat = owen_values(table(v), [[0, 1, 2], [3, 4, 5], 6])
    assert np.abs(known.values - flat.values).max() > 0.01  # the inner groups matter
    np.testing.assert_allclose(known.residual, 0, atol=1e-13)
    from analysis.compute.games.owen import _orders

    sampled = permutation_values(table(v), np.random.default_rng(0), budget=12002, orders=_orders(hierarchy))
    apart = (sampled.values - known.values)[sampled.errors > 1e-12] / sampled.errors[sampled.errors > 1e-12]
    assert np.abs(apart).max() < 4
    assert sampled.pairs == 1000


def test_owen_refusals_and_sampling_past_what_can_be_listed():
    game = Game(lambda c: c @ np.arange(40.0), 40)
    with pytest.raises(InputError, match="each of 0 to 39 once"):
        owen_values(game, [[0, 1], 2])
    wide = [list(range(20)), list(range(20, 40))]
    with pytest.raises(TooLarge, match="Give a budget"):
        owen_values(game, wide)
    found = owen_values(game, wide, np.random.default_rng(0), 400)
    np.testing.assert_allclose(found.values[:, 0], np.arange(40), atol=1e-12)
    assert exact_cost([[0, 1], 2]) == 2 * 2 * 2 * 2 + 2 * 2  # in or not, sibling and union in or not


def test_indices_are_shared_dividends():
    players = 6
    v = random_table(players)
    worth, sizes = dividends(v), np.array([bin(c).count("1") for c in range(2**players)])
    bits = (np.arange(2**players)[:, None] >> np.arange(players)) & 1
    both, taylor = shapley_interactions(v), shapley_taylor(v)
    for i in range(players):
        assert taylor[i, i] == pytest.approx(v[1 << i] - v[0])
        assert (both[i, i] == 0).all()
        for j in range(i):
            has = (bits[:, i] & bits[:, j]) == 1
            s, m = sizes[has][:, None], worth[has]
            np.testing.assert_allclose(both[i, j], (m / (s - 1)).sum(axis=0), atol=1e-12)
            np.testing.assert_allclose(taylor[j, i], (m / (s * (s - 1) / 2)).sum(axis=0), atol=1e-12)
            np.testing.assert_allclose(
                banzhaf_interactions(v)[i, j], (m * 2.0 ** (2 - s)).sum(axis=0), atol=1e-12
            )
    np.testing.assert_allclose(taylor[np.triu_indices(players)].sum(axis=0), v[-1] - v[0], atol=1e-12)


def test_an_additive_game_has_no_interactions_and_a_product_has_its_own():
    additive = all_values(Game(lambda c: c @ [1.0, -2.0, 3.0, 0.5], 4))
    assert np.abs(shapley_interactions(additive)).max() < 1e-14
    np.testing.assert_allclose(banzhaf_values(additive)[:, 0], [1, -2, 3, 0.5], atol=1e-14)
    product = shapley_interactions(all_values(Game(lambda c: 2.0 * c[:, 0] * c[:, 2], 4)))[:, :, 0]
    known = np.zeros((4, 4))
    known[0, 2] = known[2, 0] = 2
    np.testing.assert_allclose(product, known, atol=1e-14)
    majority = all_values(Game(lambda c: c.sum(1) >= 2, 3))
    np.testing.assert_allclose(banzhaf_values(majority)[:, 0], 0.5)


@pytest.mark.parametrize("players", [2, 5, 6, 9])
def test_zigzags_make_all_neighbours_once(players):
    met = np.zeros((players, players), dtype=int)
    for order in zigzags(players):
        assert sorted(order[order >= 0]) == list(range(players))
        for one, other in pairwise(order):
            if one >= 0 and other >= 0:
                met[one, other] += 1
                met[other, one] += 1
    assert (met == 1 - np.eye(players, dtype=int)).all()


@pytest.mark.parametrize("players", [5, 6])
def test_sampled_interactions(players):
    v = random_table(players, 2)
    found = sampled_interactions(table(v), 150 * round_cost(players), np.random.default_rng(0))
    upper = np.triu_indices(players, 1)
    for value, error, known in (
        (found.shapley, found.shapley_errors, shapley_interactions(v)),
        (found.taylor, found.taylor_errors, shapley_taylor(v)),
    ):
        apart = ((value - known) / error)[upper]
        assert 0.3 < np.sqrt((apart**2).mean()) < 1.7
        assert error[upper].max() < 0.4
    np.testing.assert_allclose(np.einsum("iio->io", found.taylor), np.einsum("iio->io", shapley_taylor(v)))
    assert found.evaluations <= 2**players
    with pytest.raises(NotEnoughData, match="at least"):
        sampled_interactions(table(v), 20, np.random.default_rng(0))


@pytest.mark.parametrize("players", [7, 8])
def test_one_round_is_exact_up_to_three_players(players):
    rng = np.random.default_rng(3)
    pair, triple = rng.normal(size=(2, players)), rng.normal(size=(2, players))
    game = Game(lambda c: (c @ pair.T).prod(axis=1) + (c @ triple.T)[:, 0] ** 3, players)
    found = sampled_interactions(game, round_cost(players) + players + 2, rng)
    assert found.rounds == 1
    np.testing.assert_allclose(found.shapley, shapley_interactions(all_values(game)), atol=1e-11)
    assert np.isnan(found.half_width(found.shapley_errors)[0, 1]).all()


def test_friedman_of_additive_and_of_joint_columns():
    rng = np.random.default_rng(4)
    rows = rng.normal(size=(60, 4))
    rows = np.concatenate([rows, rows * [-1, 1, 1, 1]])  # columns 0 and 1 of mean 0 and uncorrelated
    rows = np.concatenate([rows, rows * [1, -1, 1, 1]])
    both = friedman_h2(
        lambda x: np.stack([np.sin(x).sum(1), x[:, 0] * x[:, 1] + x[:, 2]], axis=1), rows, rows
    )
    np.testing.assert_allclose(both.squared[..., 0], 0, atol=1e-12)
    assert both.squared[0, 1, 1] == pytest.approx(1, abs=1e-9)
    assert both.squared[0, 2, 1] == pytest.approx(0, abs=1e-9)
    assert (both.evaluations, both.model_rows) == (240 * 10, 240 * 10 * 240)
    half = friedman_h2(lambda x: x[:, 0] * x[:, 1] + x[:, 0], rows, rows)
    shares = np.mean((rows[:, 0] * rows[:, 1]) ** 2) / np.mean((rows[:, 0] * rows[:, 1] + rows[:, 0]) ** 2)
    assert half.squared[0, 1, 0] == pytest.approx(shares, abs=1e-9)
    assert 0.01 < half.errors[0, 1, 0] < 0.1
    assert np.isnan(half.squared[2, 3, 0])
    with pytest.raises(NotEnoughData, match="at least 3"):
        friedman_h2(lambda x: x.sum(1), rows[:2], rows)
