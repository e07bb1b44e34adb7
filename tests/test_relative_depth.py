"""Layers of two networks at the same relative depth: the line through a map of layers, and what lies on it."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from analysis.activations import ArrayActivations
from analysis.compute.similarity.relative_depth import SAME, along, beyond, line
from analysis.compute.similarity.similarity_grid import NETWORKS
from analysis.methods.similarity.linear_predictivity import LinearPredictivityParams, linear_predictivity
from dashboard.figures.cells import cells_of


def test_the_line_meets_both_ends_and_goes_straight_between_columns():
    np.testing.assert_allclose(line(3, 5), [0, 2, 4])
    np.testing.assert_allclose(line(4, 3), [0, 2 / 3, 4 / 3, 2])
    x = np.arange(4)[:, None] + 10.0 * np.arange(3)
    np.testing.assert_allclose(along(x), np.arange(4) + 10 * line(4, 3), atol=1e-12)
    np.testing.assert_allclose(along(np.stack([x, 2 * x]))[1], 2 * along(x))


def test_all_orders_of_the_columns_have_nothing_on_average():
    x = np.random.default_rng(0).standard_normal((5, 4))
    every = [beyond(x[:, list(p)]) for p in permutations(range(4))]
    assert np.mean(every) == pytest.approx(0, abs=1e-12)
    assert beyond(np.eye(4)) == pytest.approx(0.75, abs=1e-12)


def layers(rng) -> list[np.ndarray]:
    """Nine layers that each add noise to the one before."""
    found = [rng.standard_normal((150, 6))]
    for _ in range(8):
        found.append(found[-1] + rng.standard_normal((150, 6)))
    return found


def test_networks_of_different_depth_meet_on_the_line_and_backwards_do_not():
    rng = np.random.default_rng(0)
    deep = layers(rng)
    few = LinearPredictivityParams(arrangement=NETWORKS)
    shallow = [ArrayActivations(x @ np.linalg.qr(rng.standard_normal((6, 6)))[0], f"small:{i}")
               for i, x in enumerate(deep[::2])]  # fmt: skip
    large = [ArrayActivations(x, f"large:{i}") for i, x in enumerate(deep)]
    back = [ArrayActivations(x, f"large:{i}") for i, x in enumerate(deep[::-1])]
    found, turned = (
        linear_predictivity(*shallow, *large, params=few),
        linear_predictivity(*shallow, *back, params=few),
    )
    e, other = found.estimates[-1], turned.estimates[-1]
    assert e.value > e.null_high
    assert 0 < e.low < e.value < e.high
    assert abs(e.null) < 0.02
    assert other.p_value > 0.5
    np.testing.assert_allclose(found.path, [0, 2, 4, 6, 8])
    assert cells_of(found).notes[-1] == f"dashed: {SAME}"
    assert linear_predictivity(*shallow[:1], *large[:2]).path is None  # all against all has no such line
