"""Fewest tokens per layer on drops that are known, sigmoids that are planted, and Kendall's τ."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.errors import ParameterError
from analysis.tokens.searching import (
    Sigmoid,
    at_budget,
    by_place,
    chance_spread,
    fewest,
    fitted,
    kendall,
    plan_of,
)


def test_fewest_tokens_are_those_that_are_needed():
    need, asked = np.array([40, 40, 25, 7, 7, 3]), []

    def drop(kept):
        asked.append(kept)
        return float((np.asarray(kept) < need).any())

    assert fewest(drop, 6, 50, 0.5) == (40, 40, 25, 7, 7, 3)
    assert len(asked) <= 6 * 6
    assert all((np.diff(k) <= 0).all() for k in asked)


def test_counts_cannot_rise_where_deep_layers_need_more():
    need = np.array([5, 5, 30])
    assert fewest(lambda kept: float((np.asarray(kept) < need).any()), 3, 50, 0.5) == (30, 30, 30)


def test_the_limit_is_shared_out_over_depth():
    found = fewest(lambda kept: 1 - float(np.mean(kept)) / 100, 4, 100, 0.4)
    assert 1 - np.mean(found) / 100 <= 0.4
    assert found[0] >= 90 - 1e-9
    assert list(found) == sorted(found, reverse=True)
    with pytest.raises(ParameterError, match="above 0"):
        fewest(lambda kept: 0.0, 2, 10, 0.0)


def test_a_plan_has_the_same_shares_of_any_number_and_leaves_one():
    assert plan_of((50, 25, 5), 50)(50).kept == (50, 50, 25, 5)
    assert plan_of((50, 25, 5), 50)(8).kept == (8, 8, 4, 1)
    assert plan_of((1, 1, 1), 50)(2).kept == (2, 1, 1, 1)
    assert plan_of((1, 1, 1), 50)(0).kept == (0, 0, 0, 0)


def test_a_planted_sigmoid_is_found_again():
    planted = Sigmoid(9.3, 2.1, 0.12)
    found = fitted(planted.shares(24) * 5760, 5760)
    np.testing.assert_allclose(found.shares(24), planted.shares(24), atol=5e-3)
    assert found.explained > 0.999
    flat = fitted([10] * 6, 10)
    np.testing.assert_allclose(flat.shares(6), 1, atol=0.02)
    assert flat.explained == 1


def test_a_sigmoid_meets_a_budget_from_below():
    moved = at_budget(Sigmoid(9.3, 2.1, 0.1), lambda share: float(share.mean()), 0.4, 24)
    assert moved.shares(24).mean() == pytest.approx(0.4, abs=1e-6)
    assert moved.shares(24).mean() <= 0.4
    assert (moved.width, moved.floor) == (2.1, 0.1)


def tau_by_pairs(a, b) -> float:
    """τ-b from its definition, pair by pair."""
    agree = first = second = 0
    for i in range(len(a)):
        for j in range(i):
            x, y = np.sign(a[i] - a[j]), np.sign(b[i] - b[j])
            agree, first, second = agree + x * y, first + abs(x), second + abs(y)
    return agree / np.sqrt(first * second)


def test_tau_of_rankings():
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((3, 20))
    scores[1] = np.exp(scores[0])
    tau = kendall(scores)
    assert tau[0, 1] == pytest.approx(1, abs=1e-12)
    assert tau[0, 2] == pytest.approx(tau_by_pairs(scores[0], scores[2]), abs=1e-12)
    assert kendall(scores[[0, 0]] * [[1], [-1]])[0, 1] == pytest.approx(-1, abs=1e-12)
    tied = rng.integers(0, 4, (2, 30)).astype(float)
    assert kendall(tied)[0, 1] == pytest.approx(tau_by_pairs(*tied), abs=1e-12)
    assert kendall(np.ones((2, 5)))[0, 1] == 0


def test_chance_of_tau_has_its_spread():
    rng = np.random.default_rng(1)
    draws = [kendall(rng.standard_normal((2, 12)))[0, 1] for _ in range(3000)]
    assert np.std(draws) == pytest.approx(chance_spread(12), rel=0.05)
    assert np.mean(draws) == pytest.approx(0, abs=0.02)


def test_agreement_by_place_is_that_of_another_sample():
    rng = np.random.default_rng(2)
    place = rng.standard_normal(12)
    alike = [np.stack([place, -place]) for _ in range(5)]
    np.testing.assert_allclose(by_place(alike), [[1, -1], [-1, 1]], atol=1e-12)
    own = [np.repeat(rng.standard_normal((1, 12)), 2, axis=0) for _ in range(200)]
    assert np.abs(by_place(own)).max() < 4 * chance_spread(12) / 200**0.5
    shorter = [np.stack([place[:n], -place[:n]]) for n in (12, 9, 7)]
    np.testing.assert_allclose(by_place(shorter), [[1, -1], [-1, 1]], atol=1e-12)
