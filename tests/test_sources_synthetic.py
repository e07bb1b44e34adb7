"""Planted data: each generator is held to the answer it promises."""

import numpy as np
import pytest
from scipy.linalg import subspace_angles

from analysis.errors import ParameterError
from analysis.sources import synthetic


def test_clusters_are_as_far_apart_as_said(rng):
    values, labels = synthetic.gaussian_clusters(rng, n=30_000, d=5, k=3, separation=8)
    means = np.stack([values[labels == c].mean(0) for c in range(3)])
    gaps = [np.linalg.norm(means[a] - means[b]) for a, b in ((0, 1), (0, 2), (1, 2))]
    np.testing.assert_allclose(gaps, 8, atol=0.1)
    assert np.bincount(labels).tolist() == [10_000] * 3
    np.testing.assert_allclose(values[labels == 0].std(0), 1, atol=0.05)


def test_low_rank_eigenvalues(rng):
    values, basis = synthetic.low_rank(rng, n=40_000, d=8, sd=(3, 2, 1), noise=0.5)
    eigenvalues = np.linalg.eigvalsh(np.cov(values.T))[::-1]
    np.testing.assert_allclose(eigenvalues, [9.25, 4.25, 1.25] + [0.25] * 5, rtol=0.06)
    np.testing.assert_allclose(basis @ basis.T, np.eye(3), atol=1e-12)


def test_principal_angles(rng):
    angles = np.array([0.1, 0.7, 1.3])
    first, second = synthetic.two_subspaces(rng, 9, angles)
    np.testing.assert_allclose(np.sort(subspace_angles(first.T, second.T)), angles, atol=1e-12)
    np.testing.assert_allclose(second @ second.T, np.eye(3), atol=1e-12)


def test_selective_units(rng):
    values, labels, chosen = synthetic.class_units(rng, n=8000, units=6, classes=4, effect=3)
    assert chosen.tolist() == [0, 1, 2, -1, -1, -1]
    for unit, c in enumerate(chosen):
        means = [values[labels == k, unit].mean() for k in range(4)]
        np.testing.assert_allclose(means, [3.0 * (k == c) for k in range(4)], atol=0.12)


def test_swiss_roll_keeps_distances_along_the_roll(rng):
    values, flat = synthetic.swiss_roll(rng, 4000)
    assert values.shape == (4000, 3)
    first, pairs = rng.integers(0, 4000, 400), 0
    for i in first:
        gaps = np.linalg.norm(flat - flat[i], axis=1)
        near = (gaps > 0) & (gaps < 0.3)  # on so short a way the roll is nearly flat
        np.testing.assert_allclose(np.linalg.norm(values[near] - values[i], axis=1), gaps[near], rtol=0.01)
        pairs += near.sum()
    assert pairs > 100


def test_the_same_generator_gives_the_same_data():
    for make in (
        synthetic.gaussian_clusters,
        synthetic.low_rank,
        synthetic.class_units,
        synthetic.swiss_roll,
    ):
        first, second = (make(np.random.default_rng(3))[0] for _ in range(2))
        np.testing.assert_array_equal(first, second)


def test_too_few_dimensions(rng):
    with pytest.raises(ParameterError):
        synthetic.gaussian_clusters(rng, d=2, k=3)
    with pytest.raises(ParameterError):
        synthetic.low_rank(rng, d=2)
    with pytest.raises(ParameterError):
        synthetic.two_subspaces(rng, 3, [0.1, 0.2])


def test_structureless_is_structureless(rng):
    values = synthetic.structureless(rng, 20_000, 4)
    np.testing.assert_allclose(np.cov(values.T), np.eye(4), atol=0.05)
