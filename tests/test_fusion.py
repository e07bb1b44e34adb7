"""Weighings of modalities: the grid, ties, sums, flat exchanges and the picture's corners."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.activations import ArrayActivations
from analysis.compute.games.fusion import BALANCED, blocks_of, corners, credits, sample_weights, simplex, won
from analysis.compute.games.fusion_report import flattest
from analysis.errors import InputError
from analysis.methods.attribution.fusion_simplex import FusionSimplexParams, fusion_simplex


def test_the_grid_lies_on_the_simplex_and_has_every_corner_once():
    for m in (2, 3, 5):
        found = simplex(m, 200)
        assert len(found) <= 200
        np.testing.assert_allclose(found.sum(axis=1), 1)
        assert (found >= 0).all()
        assert len(np.unique(found, axis=0)) == len(found)
        assert sorted(map(tuple, found[found.max(axis=1) == 1])) == sorted(map(tuple, np.eye(m)))


def test_ties_share_a_credit_and_no_scores_are_chance():
    np.testing.assert_allclose(
        won(np.array([[1.0, 1, 0], [0, 0, 0], [3, 2, 3]]))[:, 0], [1 / 2, 1 / 3, 1 / 2]
    )
    of = np.array([0, 1, 1, 2])
    assert credits(np.zeros((2, 4, 3)), np.zeros((1, 2)), of).mean() == pytest.approx(1 / 3)
    weights = sample_weights(of, BALANCED, np.ones((1, 4)))[0]
    np.testing.assert_allclose(weights, [1 / 3, 1 / 6, 1 / 6, 1 / 3])


def test_a_copy_is_a_flat_exchange_and_a_scale_is_not():
    rng = np.random.default_rng(0)
    of = np.arange(60) % 3
    one, two = np.eye(3)[of] + rng.standard_normal((2, 60, 3))
    weights = simplex(3, 100)
    metric = credits(np.stack([one, two, one]), weights, of).mean(axis=1)
    assert flattest(metric, weights) == ((0, 2), 0.0)
    assert flattest(credits(np.stack([one, two, 9 * one]), weights, of).mean(axis=1), weights)[1] > 0


def test_modalities_by_name_by_blocks_and_what_is_refused():
    own, names, _ = blocks_of(("a:x", "b:x", "a:y"), 3, 2)
    assert names == ["a", "b"]
    assert [list(o) for o in own] == [[0, 2], [1]]
    assert blocks_of(("0", "1", "2"), 3, 2)[1] == ["units 0 to 1", "unit 2"]
    label = np.arange(40) % 2
    tap = ArrayActivations(np.random.default_rng(0).standard_normal((40, 6)), samples={"label": label})
    with pytest.raises(InputError, match="3 unit"):
        fusion_simplex(tap, FusionSimplexParams(modalities=2, given_scores=True))
    with pytest.raises(InputError, match="7 modalities"):
        fusion_simplex(tap, FusionSimplexParams(modalities=7))


def test_the_best_weighting_is_measured_on_other_samples():
    """Noise has no best weighting: on the grid it seems to, across halves it does not."""
    label = np.arange(200) % 2
    x = np.random.default_rng(3).standard_normal((200, 6))
    found = fusion_simplex(ArrayActivations(x, samples={"label": label}),
                           FusionSimplexParams(given_scores=True, draws=50))  # fmt: skip
    told = {e.name: e for e in found.estimates}
    best = told["best weighting, chosen on the other half"]
    assert found.columns["accuracy"].max() > best.value
    assert best.null_low - 0.02 <= best.value <= best.null_high + 0.02
    corner = found.columns["weight of units 2 to 3"] == 1
    np.testing.assert_allclose(found.positions[corner], corners(3)[1:2])
