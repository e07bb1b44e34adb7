"""The relaxation of k-means: its constraints, a bound that no partition passes, and clusters that it recovers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from analysis.activations import ArrayActivations
from analysis.compute.clusters.relaxed_kmeans import _affine, partition_matrix, relaxed_kmeans
from analysis.errors import InputError
from analysis.methods.clusters.relaxed_clusters import RelaxedClustersParams, relaxed_clusters


def within(x, codes):
    return sum(((x[codes == c] - x[codes == c].mean(axis=0)) ** 2).sum() for c in np.unique(codes))


def test_the_affine_set_is_met_and_a_matrix_in_it_stays(rng):
    z = _affine(rng.standard_normal((9, 9)), 3)
    np.testing.assert_allclose(z.sum(axis=1), 1, atol=1e-12)
    assert np.trace(z) == pytest.approx(3)
    np.testing.assert_allclose(_affine(z, 3), z, atol=1e-12)
    own = partition_matrix(np.arange(9) % 3)
    np.testing.assert_allclose(_affine(own, 3), own, atol=1e-12)


def test_no_partition_of_nine_points_falls_below_the_bound(rng):
    x = rng.standard_normal((9, 2))
    best = min(
        within(x, np.array(codes)) for codes in itertools.product(range(2), repeat=9) if 0 < sum(codes) < 9
    )
    found = relaxed_kmeans(x, 2)
    assert 0.7 * best < found.within <= best * (1 + 1e-3)
    assert found.z.min() >= 0
    np.testing.assert_allclose(found.z.sum(axis=1), 1, atol=1e-2)
    assert np.linalg.eigvalsh(found.z)[0] > -1e-2


def test_clusters_far_apart_are_blocks_with_eigenvalues_of_one_and_k_must_be_less_than_rows(rng):
    of = np.arange(24) % 3
    x = rng.standard_normal((24, 3)) + 12 * np.eye(3)[of]
    found = relaxed_kmeans(x, 3)
    np.testing.assert_allclose(found.z, partition_matrix(of), atol=1e-3)
    np.testing.assert_allclose(np.linalg.eigvalsh(found.z)[-3:], 1, atol=1e-2)
    assert found.within == pytest.approx(within(x, of), rel=1e-3)
    with pytest.raises(InputError, match="different rows"):
        relaxed_clusters(ArrayActivations(x[:8], "few", {}), RelaxedClustersParams(clusters=8))


def test_distances_and_chance_are_their_closed_forms(rng):
    """Three groups of ten far apart: what is inside them is known, so is the threshold, and blind guesses are 1 / 3."""
    of = np.arange(30) % 3
    x = rng.standard_normal((30, 4)) + 15 * np.eye(3, 4)[of]
    _, certainty, apart = relaxed_clusters(ArrayActivations(x, "far")).estimates
    means = np.array([x[of == g].mean(axis=0) for g in range(3)])
    nearest = min(((a - b) ** 2).sum() for i, a in enumerate(means) for b in means[:i])
    assert apart.value == pytest.approx(nearest / (within(x, of) / (27 * 4)), rel=1e-6)
    assert apart.null == pytest.approx(4 * (1 + np.sqrt(1 + 3 * 4 / (30 * np.log(30)))) * np.log(30))
    assert certainty.null == pytest.approx(1 / 3)
