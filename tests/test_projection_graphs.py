"""t-SNE, Laplacian eigenmaps and graph fusion against closed forms and against the symmetries they claim."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.activations import ArrayActivations, Layout
from analysis.compute.maps.tsne_layout import graph_size, tsne_layout
from analysis.compute.neighbours import neighbour_graph as graphs
from analysis.compute.neighbours.graph_laplacian import (
    adjacency,
    joined,
    merged_eigenvectors,
    pieces,
    slow_coordinates,
    slow_eigenvectors,
)
from analysis.compute.neighbours.neighbours import nearest
from analysis.errors import Cancelled, InputError, NotEnoughData, ParameterError
from analysis.methods.projection.graph_fusion import GraphFusionParams, graph_fusion
from analysis.methods.projection.laplacian_eigenmaps import LaplacianEigenmapsParams, laplacian_eigenmaps
from analysis.methods.projection.tsne import TsneParams, tsne
from analysis.sources.synthetic import gaussian_clusters

FEW = settings(max_examples=15, deadline=None)


def graph_of(x, k, weights="equal"):
    graph = nearest(x, k)
    return adjacency(graph.indices, graph.distances, weights)


def purity(positions, labels, k=10):
    near = nearest(positions, k).indices
    return float((labels[near] == labels[:, None]).mean())


# ---------------------------------------------------------------------------- t-SNE
def test_tsne_makes_progress_from_a_useless_start(rng):
    x, labels = gaussian_clusters(rng, n=300, d=30, k=6, separation=9.0)
    graph = nearest(x, 60)
    flat = np.random.default_rng(0).standard_normal((300, 2))
    assert purity(flat, labels) < 0.4
    positions, divergence = tsne_layout(
        x, graph.indices, graph.distances, perplexity=20, exaggeration=1, iterations=150, rng=rng
    )
    assert purity(positions, labels) > 0.95
    assert 0 < divergence < 2


def test_perplexity_changes_find_the_same_graph(monkeypatch, rng):
    made, whole = [], graphs._exact_graph

    def counted(x, k, *more):
        made.append(k)
        return whole(x, k, *more)

    monkeypatch.setattr(graphs, "_exact_graph", counted)
    x = rng.standard_normal((400, 5))
    for perplexity in (5.0, 15.0, 42.0):
        tsne(x, TsneParams(perplexity=perplexity, iterations=50))
    laplacian_eigenmaps(x, LaplacianEigenmapsParams(null_draws=1))
    assert made == [128]
    assert [graph_size(p, 10_000) for p in (42.6, 43)] == [128, 256]
    assert graph_size(30.0, 50) == 49


def test_tsne_only_sees_the_first_neighbours_of_a_larger_graph(rng):
    x = rng.standard_normal((150, 6))
    small, large = nearest(x, 30), nearest(x, 90)
    maps = [
        tsne_layout(x, g.indices, g.distances, perplexity=10, exaggeration=1, iterations=50,
                    rng=np.random.default_rng(1))[0]
        for g in (small, large)
    ]  # fmt: skip
    np.testing.assert_array_equal(*maps)


def test_tsne_does_not_care_for_the_unit_of_measurement(rng):
    x = rng.standard_normal((120, 6))
    maps = [tsne(x * s, TsneParams(iterations=50, perplexity=10)).positions for s in (1.0, 2.0**40, 2.0**-40)]
    np.testing.assert_array_equal(maps[0], maps[1])
    np.testing.assert_array_equal(maps[0], maps[2])


def test_tsne_lowers_the_perplexity_and_says_so(rng):
    result = tsne(rng.standard_normal((40, 5)), TsneParams(iterations=50))
    assert any("Perplexity lowered to 13.0" in c for c in result.caveats)
    with pytest.raises(NotEnoughData, match="16"):
        tsne(rng.standard_normal((15, 5)))


def test_tsne_of_thousands_of_duplicates_is_finite(rng):
    x = np.repeat(rng.standard_normal((5, 4)), 400, axis=0)
    result = tsne(x, TsneParams(iterations=50))
    assert np.isfinite(result.positions).all()


def test_tsne_can_be_stopped_inside_the_layout(rng):
    def stop(fraction, doing=""):
        if "iteration 100" in doing:
            raise Cancelled

    with pytest.raises(Cancelled):
        tsne(rng.standard_normal((100, 5)), TsneParams(iterations=5000), progress=stop)


# ---------------------------------------------------------------------------- Laplacian
def ring(n):
    turn = 2 * np.pi * np.arange(n) / n
    return np.stack([np.cos(turn), np.sin(turn)], axis=1)


def test_eigenvalues_of_a_ring_path_and_star(rng):
    n = 40
    values, _ = slow_eigenvectors(graph_of(ring(n), 2), 7, rng)
    np.testing.assert_allclose(
        values, 1 - np.cos(2 * np.pi * np.array([0, 1, 1, 2, 2, 3, 3]) / n), atol=1e-12
    )
    star = adjacency(np.zeros((9, 1), int) + (np.arange(9)[:, None] == 0), np.ones((9, 1)))
    values, _ = slow_eigenvectors(star, 9, rng)
    np.testing.assert_allclose(values, [0, *[1] * 7, 2], atol=1e-12)  # K_{1,8}: 0, 1 (n - 2 times), 2


@pytest.mark.parametrize("count", [1, 2, 5])
def test_zero_comes_once_per_piece(count, rng):
    x = np.repeat(1000.0 * np.arange(count), 20)[:, None] + rng.random((20 * count, 1))
    weights = graph_of(x, 12)
    values, _ = slow_eigenvectors(weights, count + 2, rng)
    assert pieces(weights)[0] == count == int((values < 1e-10).sum())
    whole, links = joined(weights, x)
    assert (pieces(whole)[0], links) == (1, count - 1)


def test_pieces_are_joined_by_their_shortest_gaps():
    x = np.array([[0.0], [1.0], [10.0], [11.0], [30.0], [31.0]])
    whole, _ = joined(graph_of(x, 1), x)
    added = (whole - graph_of(x, 1)).tocoo()
    links = {(int(i), int(j)) for i, j, v in zip(*added.coords, added.data, strict=True) if v and i < j}
    assert links == {(1, 2), (3, 4)}


def test_iterative_and_dense_solvers_agree(monkeypatch, rng):
    weights = graph_of(rng.standard_normal((400, 3)), 8, "heat")
    dense = slow_eigenvectors(weights, 4, rng)
    monkeypatch.setattr("analysis.compute.neighbours.graph_laplacian.DENSE", 10)
    lanczos = slow_eigenvectors(weights, 4, rng)
    np.testing.assert_allclose(lanczos[0], dense[0], atol=1e-8)
    np.testing.assert_allclose(np.abs((lanczos[1] * dense[1]).sum(axis=0)), 1, atol=1e-6)


def test_coordinates_solve_the_generalised_problem(rng):
    weights = graph_of(rng.standard_normal((80, 3)), 6)
    values, vectors = slow_eigenvectors(weights, 3, rng)
    y = slow_coordinates(weights, vectors)
    degree = np.asarray(weights.sum(axis=1)).ravel()
    np.testing.assert_allclose(degree[:, None] * y - weights @ y, values * degree[:, None] * y, atol=1e-8)
    np.testing.assert_allclose((degree[:, None] * y**2).sum(axis=0) / degree.sum(), 1, atol=1e-10)


@FEW
@given(st.integers(0, 10**6), st.floats(0.01, 100))
def test_eigenmaps_ignore_rotation_shift_and_scale(seed, scale):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((60, 4)) * [3, 2, 1, 1]
    moved = scale * x @ np.linalg.qr(rng.standard_normal((4, 4)))[0] + rng.standard_normal(4)
    params = LaplacianEigenmapsParams(n_neighbors=6, null_draws=1)
    a, b = (laplacian_eigenmaps(v, params) for v in (x, moved))
    np.testing.assert_allclose(a.estimates[0].value, b.estimates[0].value, rtol=1e-9)
    np.testing.assert_allclose(np.abs(a.positions[:, 0]), np.abs(b.positions[:, 0]), atol=1e-4)


def test_eigenmaps_follow_a_permutation_of_the_points(rng):
    x, order = rng.standard_normal((60, 4)) * [3, 2, 1, 1], rng.permutation(60)
    params = LaplacianEigenmapsParams(n_neighbors=6, null_draws=1)
    a, b = laplacian_eigenmaps(x, params), laplacian_eigenmaps(x[order], params)
    np.testing.assert_allclose(np.abs(a.positions[order]), np.abs(b.positions), atol=1e-4)


def test_eigenmaps_say_when_there_is_nothing(rng):
    noise = laplacian_eigenmaps(rng.standard_normal((300, 8)), rng=np.random.default_rng(1))
    line = laplacian_eigenmaps(
        np.linspace(0, 1, 300)[:, None] * [1, 2, 3] + 1e-3 * rng.standard_normal((300, 3))
    )
    assert "runs along a slow direction" in line.reading
    assert noise.estimates[0].value > 0.5 * noise.estimates[0].null_low
    assert line.estimates[0].value < 0.1 * line.estimates[0].null_low


def test_too_many_pieces_are_refused():
    x = np.repeat(np.arange(250.0)[:, None] ** 2, 3, axis=0)
    with pytest.raises(InputError, match="250 pieces"):
        laplacian_eigenmaps(x, LaplacianEigenmapsParams(n_neighbors=2))


# ---------------------------------------------------------------------------- fusion
def test_fusing_equal_graphs_returns_the_graphs_own_subspace(rng):
    weights = graph_of(rng.standard_normal((150, 3)), 8)
    merged, own = merged_eigenvectors([weights] * 4, 3, 0.5, rng)
    np.testing.assert_allclose(merged, own[0], atol=1e-8)
    assert len(own) == 4


def test_fusing_solves_its_own_eigenproblem_above_the_dense_size(monkeypatch, rng):
    graphs = [graph_of(rng.standard_normal((120, 3)), 6) for _ in range(2)]
    dense, _ = merged_eigenvectors(graphs, 3, 0.7, rng)
    monkeypatch.setattr("analysis.compute.neighbours.graph_laplacian.DENSE", 10)
    lanczos, _ = merged_eigenvectors(graphs, 3, 0.7, rng)
    np.testing.assert_allclose(np.linalg.svd(dense.T @ lanczos, compute_uv=False), 1, atol=1e-6)


def test_fusion_does_not_depend_on_the_order_of_the_taps(rng):
    a, b = rng.standard_normal((100, 4)), rng.standard_normal((100, 7))
    params = GraphFusionParams(null_draws=2)
    first, second = graph_fusion(a, b, params=params), graph_fusion(b, a, params=params)
    np.testing.assert_allclose(np.abs(first.positions), np.abs(second.positions), atol=1e-4)


def test_fusion_finds_what_every_tap_knows_a_part_of(rng):
    labels = np.arange(240) % 4
    first = 8 * np.eye(2)[labels // 2] + rng.standard_normal((240, 2))  # tells {0, 1} from {2, 3}
    second = 8 * np.eye(2)[labels % 2] + rng.standard_normal((240, 2))  # tells even from odd
    result = graph_fusion(first, second, params=GraphFusionParams(components=3))
    assert purity(result.positions, labels) > 0.9
    assert not all(e.value > e.null_high for e in result.estimates[:2])  # the taps have nothing in common


def test_fusion_notices_what_taps_have_in_common(rng):
    x = rng.standard_normal((150, 4)) * [4, 2, 1, 1]
    result = graph_fusion(
        x, x + 0.3 * rng.standard_normal((150, 4)), params=GraphFusionParams(n_neighbors=10)
    )
    assert all(e.value > e.null_high for e in result.estimates[:2])


def test_fusion_refuses_what_is_not_the_same_samples(rng):
    x = rng.standard_normal((60, 4))
    with pytest.raises(ParameterError, match="two or more"):
        graph_fusion(x)
    with pytest.raises(InputError, match="60 rows"):
        graph_fusion(x, x[:50])
    with pytest.raises(InputError, match="different samples"):
        graph_fusion(x, ArrayActivations(x, samples={"id": np.arange(60)[::-1].astype(str)}))
    tokens = ArrayActivations(x, layout=Layout(np.arange(0, 61, 3)))
    with pytest.raises(InputError, match="other tokens"):
        graph_fusion(x, tokens)
