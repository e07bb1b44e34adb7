"""Orders of interaction in closed form, and paths of attention against drawing them."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.compute.games.orders import players_on_paths, variance_by_order, walsh
from analysis.errors import ShapeError, TooLarge


def signs(m: int) -> np.ndarray:
    return 2.0 * ((np.arange(2**m)[:, None] >> np.arange(m)) & 1) - 1


def test_a_product_is_of_the_order_of_its_factors_and_a_sum_of_order_one():
    s = signs(4)
    v = np.column_stack([3 * s[:, 0] - s[:, 2] + 7, s[:, 0] * s[:, 1], 2 * s[:, 1] * s[:, 2] * s[:, 3]])
    by = np.array([variance_by_order(v[:, [k]]) for k in range(3)])
    np.testing.assert_allclose(by, [[10, 0, 0, 0], [0, 1, 0, 0], [0, 0, 4, 0]], atol=1e-12)
    np.testing.assert_allclose(variance_by_order(v), by.sum(axis=0), atol=1e-12)


def test_pieces_are_inner_products_and_their_squares_are_the_variance():
    rng = np.random.default_rng(0)
    v, s = rng.standard_normal((32, 2)), signs(5)
    w = walsh(v)
    for t in (0, 5, 21, 31):
        inside = [i for i in range(5) if t >> i & 1]
        np.testing.assert_allclose(w[t], (v * s[:, inside].prod(axis=1)[:, None]).mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(variance_by_order(v).sum(), v.var(axis=0).sum(), atol=1e-12)


def test_paths_of_attention():
    rng = np.random.default_rng(1)
    a = rng.dirichlet(np.ones(4), size=(3, 4))
    found = players_on_paths(a, 0.5)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(found[0], [1, 0, 0, 0])
    one = 0.5 + 0.5 * np.mean(np.diag(a[0]))  # who stays, or looks at itself
    np.testing.assert_allclose(found[1], [one, 1 - one, 0, 0], atol=1e-12)
    draws, counts = 40_000, np.zeros(4)
    for start in rng.integers(4, size=draws):
        at, passed = start, {start}
        for layer in a[::-1]:
            if rng.random() < 0.5:
                at = rng.choice(4, p=layer[at])
                passed.add(at)
        counts[len(passed) - 1] += 1
    error = np.sqrt(found[3] * (1 - found[3]) / draws) + 1e-9
    assert (np.abs(counts / draws - found[3]) < 4.5 * error).all()
    np.testing.assert_allclose(players_on_paths(a, 1.0)[-1], [1, 0, 0, 0], atol=1e-15)
    with pytest.raises(ShapeError):
        players_on_paths(a[0], 0.5)
    with pytest.raises(TooLarge):
        players_on_paths(np.full((1, 13, 13), 1 / 13), 0.5)
