"""Maps of turned, moved, rescaled and reordered activations: the same up to what a method promises."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from analysis import registry
from analysis.compute.linear.procrustes import residual_share, rotation_onto
from analysis.compute.neighbours.neighbours import nearest
from analysis.sources.synthetic import gaussian_clusters

# equal up to a rotation or reflection of the picture, and equal up to a scale where the method has none of its own
LINEAR = {"pca": {}, "laplacian_eigenmaps": {"null_draws": 1}}
# the same neighbours go in; the layout amplifies the last digit, so that only what the map keeps can be the same
NEIGHBOUR = {"localmap": {"steps": 150}, "pacmap": {"steps": 150}, "umap": {"epochs": 120},
             "tsne": {"iterations": 150}}  # fmt: skip


def drawn(id: str, x: np.ndarray, seed: int = 0, **params):
    method = registry.method(id)
    return method.function(x, params=method.params(**params), rng=np.random.default_rng(seed))


def points(rng):
    """Five clumps, longer along some axes than along others: no eigenvalue is near another."""
    x, label = gaussian_clusters(rng, n=300, d=6, k=5, separation=6.0)
    return x * np.array([3, 2.2, 1.6, 1.2, 1, 0.8]), label


def turned(x, rng, scale=1.0):
    d = x.shape[1]
    return scale * x @ np.linalg.qr(rng.standard_normal((d, d)))[0] + 3 * rng.standard_normal(d)


@pytest.mark.parametrize("id", LINEAR)
def test_spectral_maps_are_equal_after_a_rotation(id, rng):
    x, _ = points(rng)
    first, second = drawn(id, x, **LINEAR[id]), drawn(id, turned(x, rng), **LINEAR[id])
    np.testing.assert_allclose(pdist(first.positions), pdist(second.positions), rtol=1e-3, atol=1e-4)
    a, b = (p.positions - p.positions.mean(axis=0) for p in (first, second))
    assert residual_share(a @ rotation_onto(a, b), b) < 1e-6


@pytest.mark.parametrize("id", LINEAR)
def test_spectral_maps_follow_the_order_of_the_points(id, rng):
    x, _ = points(rng)
    order = rng.permutation(len(x))
    first, second = drawn(id, x, **LINEAR[id]), drawn(id, x[order], **LINEAR[id])
    np.testing.assert_allclose(np.abs(first.positions[order]), np.abs(second.positions), atol=1e-3)


def test_a_stretched_unit_is_no_symmetry(rng):
    x, _ = points(rng)
    first, second = drawn("pca", x), drawn("pca", x * [1, 1, 1, 1, 1, 20])
    assert not np.allclose(pdist(first.positions), pdist(second.positions), rtol=0.1)


@pytest.mark.parametrize("change", ["turned", "rescaled", "reordered"])
@pytest.mark.parametrize("id", NEIGHBOUR)
def test_neighbour_maps_keep_as_much_of_the_same_neighbours(id, change, rng):
    x, label = points(rng)
    order = rng.permutation(len(x)) if change == "reordered" else np.arange(len(x))
    other = {"turned": turned(x, rng), "rescaled": turned(x, rng, 64.0), "reordered": x[order]}[change]
    near = nearest(x, 10).indices
    np.testing.assert_array_equal(order[nearest(other, 10).indices], near[order])
    a, b = drawn(id, x, **NEIGHBOUR[id]), drawn(id, other, **NEIGHBOUR[id])
    for mine, theirs, slack in zip(a.estimates[:3], b.estimates[:3], (0.01, 0.01, 0.05), strict=True):
        assert theirs.value == pytest.approx(mine.value, abs=slack), mine.name
    of = label[order]
    around = nearest(b.positions, 10).indices
    assert (of[around] == of[:, None]).mean() > 0.9


@pytest.mark.parametrize("id", NEIGHBOUR)
def test_rescaling_by_a_power_of_two_changes_no_bit(id, rng):
    x, _ = points(rng)
    np.testing.assert_array_equal(
        drawn(id, x, **NEIGHBOUR[id]).positions, drawn(id, x * 1024, **NEIGHBOUR[id]).positions
    )
