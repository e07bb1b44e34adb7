"""Exact Shapley values: textbook games, Shapley's axioms, linear models; the books that a game keeps."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.compute.games.exact import all_values, exact_values, linear_values, shapley_of
from analysis.compute.games.game import Game
from analysis.compute.games.interactions import dividends
from analysis.compute.games.masked_game import masked_game
from analysis.errors import Cancelled, InputError, ParameterError, ShapeError, TooLarge


def table(v: np.ndarray) -> Game:
    """The game whose values in the order of coalition numbers are `v`."""
    players = len(v).bit_length() - 1
    return Game(lambda c: v[c @ (1 << np.arange(players))], players)


def by_all_orders(v: np.ndarray) -> np.ndarray:
    """The definition as a mean over orders, written once more."""
    players = len(v).bit_length() - 1
    found = np.zeros((players, v.shape[1]))
    orders = list(permutations(range(players)))
    for order in orders:
        here = 0
        for i in order:
            found[i] += v[here | 1 << i] - v[here]
            here |= 1 << i
    return found / len(orders)


values = st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).normal(size=(2**5, 2)))


@pytest.mark.parametrize(
    ("value", "players", "known"),
    [
        (lambda c: c[:, [0, 2, 3]].all(axis=1), 4, [1 / 3, 0, 1 / 3, 1 / 3]),  # unanimity of three
        (lambda c: c.all(axis=1), 9, [1 / 9] * 9),
        (lambda c: np.minimum(c[:, :2].sum(1), c[:, 2:].sum(1)), 3, [1 / 6, 1 / 6, 2 / 3]),  # two left gloves
        (lambda c: (c * [3, 2, 1]).max(axis=1), 3, [11 / 6, 5 / 6, 1 / 3]),
        (lambda c: c[:, 0] * 2.0, 1, [2]),
    ],
)  # fmt: skip
def test_textbook_games(value, players, known):
    found = exact_values(Game(value, players))
    np.testing.assert_allclose(found.values[:, 0], known, atol=1e-14)
    assert (found.errors == 0).all()
    assert found.evaluations == 2**players
    assert found.interval()[0] == pytest.approx(found.values)


@settings(max_examples=20, deadline=None)
@given(values)
def test_equals_the_mean_over_all_orders_and_the_shared_dividends(v):
    found = shapley_of(v)
    np.testing.assert_allclose(found, by_all_orders(v), atol=1e-13)
    sizes = np.array([bin(c).count("1") for c in range(len(v))])
    shared = dividends(v)[1:] / sizes[1:, None]
    has = (np.arange(1, len(v))[:, None] >> np.arange(5)) & 1
    np.testing.assert_allclose(found, has.T @ shared, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(values, values, st.floats(-3, 3))
def test_axioms(v, w, a):
    np.testing.assert_allclose(shapley_of(v).sum(axis=0), v[-1] - v[0], atol=1e-13)
    np.testing.assert_allclose(shapley_of(v + a * w), shapley_of(v) + a * shapley_of(w), atol=1e-12)
    numbers = np.arange(len(v))
    dummy = v[numbers & ~2]  # player 1 changes nothing
    np.testing.assert_array_equal(shapley_of(dummy)[1], 0)
    first, last = numbers & 1, numbers >> 4 & 1
    swapped = numbers & ~17 | first << 4 | last
    alike = shapley_of(v + v[swapped])  # players 0 and 4 are interchangeable
    np.testing.assert_allclose(alike[0], alike[4], atol=1e-12)


def test_a_linear_model_by_enumeration_is_its_closed_form():
    rng = np.random.default_rng(0)
    weights, background, x = rng.normal(size=(7, 2)), rng.normal(3, 2, size=(113, 7)), rng.normal(size=7)
    game = masked_game(lambda rows: rows @ weights + 5, x, background)
    found, known = exact_values(game), linear_values(weights, x, background.mean(axis=0))
    np.testing.assert_allclose(found.values, known, atol=1e-10)
    np.testing.assert_allclose(found.residual, 0, atol=1e-12)
    np.testing.assert_allclose(found.empty, (background @ weights + 5).mean(axis=0))
    assert (game.evaluations, game.model_rows) == (128, 128 * 113)


def test_groups_of_columns_are_players():
    rng = np.random.default_rng(1)
    weights, background, x = rng.normal(size=6), rng.normal(size=(300, 6)), rng.normal(size=6)
    groups = [[0, 5], [1], [2, 3, 4]]
    asked = []
    game = masked_game(
        lambda rows: asked.append(len(rows)) or rows @ weights, x, background, groups, rows=128
    )
    known = linear_values(weights, x, background.mean(axis=0))[:, 0]
    np.testing.assert_allclose(exact_values(game).values[:, 0], [known[g].sum() for g in groups], atol=1e-10)
    assert max(asked) <= 128  # even where one coalition has more rows than that
    assert sum(asked) == game.model_rows == 8 * 300


@pytest.mark.parametrize("groups", [[[0, 1], [1, 2]], [[0], [1]], [[0, 1, 2, 3]], [[0, 1, 2], []]])
def test_players_that_do_not_cover_the_columns_are_refused(groups):
    with pytest.raises(InputError, match=r"column"):
        masked_game(lambda rows: rows.sum(1), np.zeros(3), np.zeros((2, 3)), groups)


def test_wrong_shapes_and_values_are_refused():
    with pytest.raises(ShapeError, match="background"):
        masked_game(lambda rows: rows.sum(1), np.zeros(3), np.zeros((2, 4)))
    with pytest.raises(ShapeError, match="one answer for each row"):
        masked_game(lambda rows: rows.sum(), np.zeros(3), np.zeros((2, 3))).ends  # noqa: B018
    with pytest.raises(InputError, match="NaN"):
        Game(lambda c: np.where(c.all(axis=1), np.nan, 0), 3).ends  # noqa: B018
    with pytest.raises(ShapeError, match="as many outputs"):
        Game(lambda c: np.zeros(len(c) + 1), 3).ends  # noqa: B018
    with pytest.raises(ShapeError, match="3 players"):
        Game(lambda c: c.sum(1), 3)(np.zeros((2, 4), dtype=bool))
    with pytest.raises(ParameterError):
        Game(lambda c: c.sum(1), 0)


def test_too_many_players_to_enumerate():
    with pytest.raises(TooLarge, match="16,777,216 coalitions"):
        all_values(Game(lambda c: c.sum(1), 24))


def test_a_coalition_is_evaluated_once_and_a_budget_holds():
    asked = []
    game = Game(lambda c: asked.append(len(c)) or c.sum(1), 12, batch=7, budget=30)
    coalitions = np.random.default_rng(0).random((20, 12)) < 0.5
    first = game(np.concatenate([coalitions, coalitions]))
    np.testing.assert_array_equal(first[:, 0], np.tile(coalitions.sum(1), 2))
    assert (game.evaluations, max(asked), sum(asked)) == (20, 7, 20)
    np.testing.assert_array_equal(game(coalitions[::-1])[:, 0], coalitions.sum(1)[::-1])
    assert game.left == 10
    with pytest.raises(TooLarge, match="8 are left of 30"):
        exact_values(game)
    assert game.evaluations == 22  # the two ends


def test_what_was_evaluated_before_a_cancel_is_kept():
    seen, calls = [], []

    def progress(fraction, doing):
        seen.append(fraction)
        if len(seen) == 3:
            raise Cancelled

    game = Game(lambda c: calls.append(len(c)) or c.sum(1), 6, batch=10, progress=progress)
    with pytest.raises(Cancelled):
        exact_values(game)
    game.progress = lambda fraction, doing: None
    assert exact_values(game).values[:, 0] == pytest.approx(1)
    assert sum(calls) == game.evaluations == 64
