"""Sampled Shapley values: exact where they must be, right on average, with intervals that hold what they promise."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
import pytest

from analysis.compute.games.balanced_pairs import balanced
from analysis.compute.games.coalitions import draw_pairs, expected_counts, pairs_of_size
from analysis.compute.games.cubic_surrogate import _left_out, cubic_shapley
from analysis.compute.games.exact import exact_values, shapley_of
from analysis.compute.games.game import Game
from analysis.compute.games.paired_regression import drawn_game, paired_regression, solve
from analysis.compute.games.permutations import permutation_values
from analysis.compute.games.regression_adjusted import adjusted_values
from analysis.compute.games.shapley import chosen, shapley_values
from analysis.errors import Cancelled, NotEnoughData, ParameterError


def rough_game(players: int, seed: int, order: int = 5, outputs: int = 1) -> tuple[Game, np.ndarray]:
    """A sum of products of up to `order` players, and its Shapley values: each product is shared equally."""
    rng = np.random.default_rng(seed)
    teams = [t for size in range(1, order + 1) for t in combinations(range(players), size)]
    if len(teams) > 40 * players:
        teams = [teams[i] for i in rng.choice(len(teams), 40 * players, replace=False)]
    inside = np.zeros((len(teams), players))
    for row, team in zip(inside, teams, strict=True):
        row[list(team)] = 1
    worth = rng.normal(size=(len(teams), outputs)) / np.sqrt(inside.sum(1, keepdims=True))
    game = Game(lambda c: (c @ inside.T == inside.sum(1)).astype(float) @ worth, players)
    return game, inside.T @ (worth / inside.sum(1, keepdims=True))


def test_one_antithetic_pass_is_exact_up_to_pairs():
    game, known = rough_game(15, 0, order=2, outputs=2)
    found = permutation_values(game, np.random.default_rng(1), budget=30)
    np.testing.assert_allclose(found.values, known, atol=1e-13)
    assert found.evaluations == 30
    assert np.isnan(found.errors).all()
    assert np.isnan(found.interval()[0]).all()


@pytest.mark.parametrize("method", ["paired regression", "adjusted regression"])
def test_regressions_are_exact_up_to_pairs_and_when_all_is_drawn(method):
    game, known = rough_game(15, 0, order=2, outputs=2)
    found = shapley_values(game, 70, np.random.default_rng(1), method)
    np.testing.assert_allclose(found.values, known, atol=1e-11)
    for players in (2, 3, 4, 7, 8):
        game, known = rough_game(players, players, order=players)
        found = shapley_values(game, 2**players, np.random.default_rng(2), method)
        np.testing.assert_allclose(found.values, known, atol=1e-11)
        assert (found.pairs, found.evaluations) == (0, 2**players)
        assert (found.errors == 0).all()


def test_sampled_values_reach_exact_ones_on_ten_random_players():
    table = np.random.default_rng(3).normal(size=2**10)
    known = shapley_of(table[:, None])[:, 0]
    for method in ("permutations", "paired regression", "adjusted regression"):
        apart = []
        for budget in (60, 240, 900):
            game = Game(lambda c: table[c @ (1 << np.arange(10))], 10)
            found = shapley_values(game, budget, np.random.default_rng(4), method)
            apart.append(np.sqrt(((found.values[:, 0] - known) ** 2).mean()))
            np.testing.assert_allclose(found.residual, 0, atol=1e-12)
            assert found.evaluations <= budget
        assert apart[2] < 0.5 * apart[0], method


@pytest.mark.parametrize("method", ["permutations", "paired regression", "adjusted regression"])
def test_intervals_hold_the_truth_as_often_as_they_say(method):
    inside, bias, spread = [], [], []
    for seed in range(60):
        game, known = rough_game(10, 7)
        found = shapley_values(game, 122, np.random.default_rng(seed), method)
        low, high = found.interval(0.95)
        inside.append(((low <= known) & (known <= high)).mean())
        bias.append(found.values - known)
        spread.append(found.errors)
    assert 0.90 <= np.mean(inside) <= 0.99
    off = np.mean(bias, axis=0) / np.std(bias, axis=0) * np.sqrt(60)
    assert (off**2).mean() < 3  # no bias beyond chance
    assert 0.6 < np.mean(np.square(spread)) / np.mean(np.square(bias)) < 1.8


def test_the_surrogate_saves_evaluations_where_it_explains_and_costs_little_where_it_cannot():
    def error(method, make, seeds=8):
        found = []
        for seed in range(seeds):
            game, known = make()
            found.append(
                ((shapley_values(game, 302, np.random.default_rng(seed), method).values - known) ** 2).mean()
            )
        return np.mean(found)

    rng = np.random.default_rng(5)
    towards = rng.normal(size=(3, 16)) * np.linspace(1, 0.1, 16)
    smooth = lambda: (Game(lambda c: np.tanh(c @ towards.T) @ [1, 2, 3], 16), known_smooth)  # noqa: E731
    known_smooth = exact_values(Game(lambda c: np.tanh(c @ towards.T) @ [1, 2, 3], 16, batch=8192)).values
    assert error("adjusted regression", smooth) < 0.4 * error("paired regression", smooth)
    noise = rng.normal(size=2**16)
    rugged_known = shapley_of(noise[:, None])
    rugged = lambda: (Game(lambda c: noise[c @ (1 << np.arange(16))], 16), rugged_known)  # noqa: E731
    assert error("adjusted regression", rugged) < 1.3 * error("paired regression", rugged)


def test_values_of_a_cube_in_closed_form():
    towards = np.random.default_rng(6).normal(size=(4, 7))
    known = exact_values(Game(lambda c: ((2.0 * c - 1) @ towards.T) ** 3, 7)).values
    np.testing.assert_allclose(cubic_shapley(towards), known, atol=1e-12)


def test_several_outputs_are_each_their_own_game():
    game, known = rough_game(12, 8, outputs=3)
    both = paired_regression(game, 400, np.random.default_rng(9))
    one = paired_regression(Game(lambda c: game(c)[:, 1], 12), 400, np.random.default_rng(9))
    np.testing.assert_allclose(both.values[:, 1:2], one.values, atol=1e-12)
    np.testing.assert_allclose(both.errors[:, 1:2], one.errors, atol=1e-12)
    assert (np.abs(adjusted_values(game, 400, np.random.default_rng(9)).values - known) < 1).all()


def test_pairs_are_distinct_and_equally_many_of_every_size():
    pairs = draw_pairs(12, 200, np.random.default_rng(0))
    together = np.concatenate([pairs.members, ~pairs.members])
    assert len(np.unique(together, axis=0)) == len(together) <= 400
    counts = np.bincount(pairs.members.sum(1), minlength=7)[1:]
    expected = expected_counts(12, 200)
    assert (np.abs(counts - expected) < 1).all()
    assert counts[0] == 12  # all of the smallest
    assert expected[3] == pytest.approx(2 * expected[5])  # a pair of halves is of one size, others of two
    assert sum(pairs_of_size(12, s) for s in range(1, 7)) == 2**11 - 1
    assert pairs.drawn[pairs.members.sum(1) == 3] == pytest.approx(counts[2] / comb(12, 3))


def test_every_coalition_of_a_size_is_as_likely():
    times = np.zeros(2**7)
    for seed in range(400):
        drawn = draw_pairs(7, 20, np.random.default_rng(seed)).members
        times[drawn @ (1 << np.arange(7))] += 1
    size = np.array([bin(c).count("1") for c in range(2**7)])
    for s in (2, 3):
        seen = times[size == s]
        assert seen.var() < 2.5 * seen.mean()  # as counts of a fair draw are


def test_stops_at_the_wanted_error():
    game, _ = rough_game(10, 7)
    found = permutation_values(game, np.random.default_rng(0), wanted_error=0.2)
    assert found.errors.max() <= 0.2
    longer = permutation_values(rough_game(10, 7)[0], np.random.default_rng(0), wanted_error=0.1)
    assert longer.pairs > 2 * found.pairs


def test_refusals():
    game, _ = rough_game(12, 0)
    rng = np.random.default_rng(0)
    with pytest.raises(NotEnoughData, match="for one pass"):
        permutation_values(game, rng, budget=23)
    with pytest.raises(NotEnoughData, match="at least 11 pairs"):
        paired_regression(game, 20, rng)
    with pytest.raises(ParameterError, match="never stop"):
        permutation_values(game, rng)
    with pytest.raises(ParameterError, match="one of auto"):
        shapley_values(game, 100, rng, "kernel")
    assert drawn_game(game, 50, rng)[0].members.shape == (24, 12)


def test_the_estimator_is_chosen_by_what_the_budget_allows():
    assert chosen(10, 2000) == "exact"
    assert chosen(30, 70) == "permutations"
    assert chosen(30, 100) == "adjusted regression"
    assert chosen(30, 1000) == "adjusted regression"
    game, known = rough_game(8, 1)
    np.testing.assert_allclose(shapley_values(game, 300, np.random.default_rng(0)).values, known, atol=1e-12)


def test_a_cancelled_run_goes_on_where_it_stopped():
    def progress(fraction, doing):
        if fraction > 0.5:
            raise Cancelled

    game, _ = rough_game(12, 3)
    game = Game(game.value, 12, batch=16, budget=202, progress=progress)
    with pytest.raises(Cancelled):
        shapley_values(game, 202, np.random.default_rng(0))
    done = game.evaluations
    assert 90 < done < 130
    game.progress = lambda fraction, doing: None
    found = shapley_values(game, 202, np.random.default_rng(0))
    whole = shapley_values(Game(game.value, 12), 202, np.random.default_rng(0))
    np.testing.assert_array_equal(found.values, whole.values)
    assert (done + found.evaluations, game.evaluations) == (202, 202)


def test_pairs_past_those_the_surrogate_is_fitted_to(monkeypatch):
    """They are adjusted by it all the same, in blocks, and nothing grows with the square of all pairs."""
    from analysis.compute.games import cubic_surrogate

    towards = np.random.default_rng(5).normal(size=(3, 16)) * np.linspace(1, 0.1, 16)
    value = lambda c: np.tanh(c @ towards.T) @ [1, 2, 3]  # noqa: E731
    known = exact_values(Game(value, 16, batch=8192)).values
    monkeypatch.setattr(cubic_surrogate, "MOST_PAIRS", 150)
    monkeypatch.setattr(cubic_surrogate, "LEARNING_PAIRS", 100)
    inside, found, plain = [], [], []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        adjusted = adjusted_values(Game(value, 16), 802, rng)
        low, high = adjusted.interval()
        inside.append(((low <= known) & (known <= high)).mean())
        found.append(((adjusted.values - known) ** 2).mean())
        again = paired_regression(Game(value, 16), 802, np.random.default_rng(seed))
        plain.append(((again.values - known) ** 2).mean())
    assert np.mean(found) < 0.5 * np.mean(plain)
    assert np.mean(inside) > 0.88


def test_what_two_answers_owe_each_other_is_in_the_errors():
    pairs = draw_pairs(8, 40, np.random.default_rng(0))
    n = len(pairs.members)
    _, told, mutual = _left_out(pairs, np.eye(n), np.arange(n), np.eye(8), 0.8)
    np.testing.assert_allclose(mutual, told * told.T, atol=1e-12)  # what is said is linear in the answers
    assert np.abs(np.diag(mutual)).max() < 1e-12
    assert np.abs(mutual).max() > 1e-3
    answers = np.random.default_rng(1).normal(size=(n, 2))
    once = solve(pairs, answers, np.ones(2))[1]
    twice = solve(pairs, answers, np.ones(2), np.arange(n), np.eye(n))[1]
    np.testing.assert_allclose(twice, np.sqrt(2) * once)


def frame(pairs) -> np.ndarray:
    """Σ u u' of the weighted design, its part orthogonal to equal values; by rights the same in all directions."""
    x = pairs.signs
    u = np.sqrt(pairs.weights)[:, None] * (x - x.mean(axis=1, keepdims=True))
    return np.linalg.eigvalsh(u.T @ u)[1:]


def test_balanced_pairs_are_of_the_same_sizes_distinct_and_a_tight_frame():
    for players, many, worst in ((15, 30, 1.5), (40, 80, 1.15), (40, 320, 1.02)):
        rng = np.random.default_rng(players)
        pairs = draw_pairs(players, many, rng)
        found = balanced(pairs, rng)
        np.testing.assert_array_equal(found.members.sum(axis=1), pairs.members.sum(axis=1))
        np.testing.assert_array_equal(found.weights, pairs.weights)
        together = np.concatenate([found.members, ~found.members])
        assert len(np.unique(together, axis=0)) == 2 * len(pairs.members)
        assert found.members[2 * found.members.sum(axis=1) == players, 0].all()
        before, after = ((each.mean() / each).mean() for each in (frame(pairs), frame(found)))
        assert after < worst
        assert after - 1 < 0.4 * (before - 1)


def test_balance_leaves_every_player_as_likely():
    seen = np.zeros((4, 12))
    for seed in range(60):
        rng = np.random.default_rng(seed)
        members = balanced(draw_pairs(12, 24, rng), rng).members
        size = members.sum(axis=1)
        seen += [members[size == s].sum(axis=0) for s in (3, 4, 5, 6)]
    halves = seen[3]
    assert halves[0] == halves.max()  # pairs of halves are named by the one with player 0
    chance = np.concatenate(
        [seen[:3].ravel() / np.repeat(seen[:3].mean(axis=1), 12), halves[1:] / halves[1:].mean()]
    )
    assert np.abs(chance - 1).max() < 0.3


def test_balance_halves_the_error_of_few_pairs():
    def error(arranged):
        apart = []
        for seed in range(12):
            game, known = rough_game(20, 7, order=4)
            rng = np.random.default_rng(seed)
            pairs = arranged(draw_pairs(20, 40, rng), rng)
            empty, full = game.ends
            odd = (game(pairs.members) - game(~pairs.members)) / 2
            apart.append(((solve(pairs, odd, full - empty)[0] - known) ** 2).mean())
        return np.mean(apart)

    assert error(balanced) < 0.7 * error(lambda pairs, rng: pairs)


def test_intervals_of_very_few_pairs_hold_too():
    inside = []
    for seed in range(30):
        game, known = rough_game(16, 7)
        low, high = paired_regression(game, 50, np.random.default_rng(seed)).interval()
        inside.append(((low <= known) & (known <= high)).mean())
    assert 0.90 <= np.mean(inside) <= 0.995
