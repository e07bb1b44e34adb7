"""What is revealed next: hidden columns, sums of gains, costs, ties and what shuffling leaves."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.activations import ArrayActivations
from analysis.compute.games.reveal import Revealing, fitted
from analysis.errors import ParameterError
from analysis.methods.attribution.next_reveal import NextRevealParams, next_reveal

N = 400


def data(seed=0):
    """Three columns: what tells the class, a noisier view of it, noise."""
    rng = np.random.default_rng(seed)
    label = np.arange(N) % 2
    clear = label * 3.0 + rng.standard_normal(N)
    return np.column_stack([clear, clear + rng.standard_normal(N), rng.standard_normal(N)]), label


def tap(x, label, **more):
    return ArrayActivations(x, samples={"label": label}, **more)


def test_hidden_columns_are_left_out_exactly():
    """A fit of the seen columns alone gives the same answer, but for what is drawn to all classes together."""
    x, label = data()
    reader = fitted(x, label, 2)
    found = reader.log_posteriors(x[:50], np.array([0, 2]))
    seen = np.array([0, 2])
    logs = np.empty((50, 2))
    for c in (0, 1):
        apart, spread = x[:50, seen] - reader.means[c, seen], reader.spreads[c][np.ix_(seen, seen)]
        logs[:, c] = -0.5 * ((apart @ np.linalg.inv(spread)) * apart).sum(axis=1)
        logs[:, c] -= 0.5 * np.log(np.linalg.det(spread))
    known = logs - np.logaddexp(logs[:, 0], logs[:, 1])[:, None]
    np.testing.assert_allclose(found, known, atol=1e-10)
    np.testing.assert_allclose(reader.log_posteriors(x[:3], np.zeros(0, int)), np.log(0.5))


def test_gains_of_any_order_add_up_and_are_those_of_gaussians():
    x, label = data()
    game = Revealing(x, label, np.arange(N) // 2 % 2, [np.array([j]) for j in range(3)], 2)
    whole = game.loss([]).mean() - game.loss([0, 1, 2]).mean()
    for order in ([0, 1, 2], [2, 1, 0], [1, 0, 2]):
        gains = [game.gains(order[:k], [order[k]])[0].mean() for k in range(3)]
        assert sum(gains) == pytest.approx(whole, abs=1e-12)
    # I(y; x0) of two Gaussians three apart, by a sum over a fine grid
    grid = np.linspace(-8, 11, 20_001)
    each = np.exp(-0.5 * (grid[None] - np.array([[0.0], [3.0]])) ** 2) / np.sqrt(2 * np.pi)
    mixed = each.mean(axis=0)
    known = 0.5 * (each * np.log2(each / mixed + 1e-300)).sum() * (grid[1] - grid[0])
    assert game.gains([], [0])[0].mean() == pytest.approx(known, abs=0.06)
    assert abs(game.gains([0], [1])[0].mean()) < 0.02  # the noisier view of what is known
    assert np.abs(game.shuffled([], 0, 10, np.random.default_rng(0))).max() < 0.03


def test_the_order_stops_and_follows_costs():
    x, label = data()
    found = next_reveal(tap(x, label), NextRevealParams(groups=3)).columns
    assert found["group"][0] == "unit 0"
    assert list(found["worth it"]) == [True, False, False]
    assert found["told so far"][-1] == pytest.approx(found["gain"].sum())
    dear = next_reveal(tap(x, label), NextRevealParams(groups=3, costs="9, 1, 1")).columns
    assert dear["group"][0] == "unit 1"
    assert list(dear["cost so far"]) in ([1, 2, 11], [1, 10, 11])
    for costs in ("1, 2", "1, x, 2", "1, 0, 2"):
        with pytest.raises(ParameterError, match="3 groups"):
            next_reveal(tap(x, label), NextRevealParams(groups=3, costs=costs))


def test_groups_by_name_and_a_third_that_only_tells_with_another():
    rng = np.random.default_rng(1)
    signs = rng.choice([-1.0, 1.0], size=(N, 3))
    label = (signs[:, 0] * signs[:, 2] > 0).astype(int)
    x = signs + 0.1 * rng.standard_normal((N, 3))
    table = next_reveal(tap(x, label, unit_names=("a:0", "b:0", "c:0")))
    assert set(table.columns["group"]) == {"a", "b", "c"}
    assert table.columns["best pair"][0] > 0.9
    assert table.columns["tie"][0]
    assert not table.columns["worth it"][0]
    assert "unless two groups tell together" in table.reading
