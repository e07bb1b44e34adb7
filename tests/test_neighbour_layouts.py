"""The layouts of PaCMAP, LocalMAP and UMAP: gradients by finite differences, draws, determinism, planted clusters."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.compute.maps import layout, pair_kernels, pair_layout
from analysis.compute.maps.layout import curve, force_tables, fuzzy_links, umap_layout
from analysis.compute.maps.map_quality import placement_quality
from analysis.compute.maps.pair_layout import near_pairs, phases, weights
from analysis.compute.maps.pair_layout import pair_layout as lay_out_pairs
from analysis.compute.neighbours.graph_laplacian import adjacency
from analysis.compute.neighbours.neighbour_graph import neighbour_graph
from analysis.compute.neighbours.neighbours import nearest
from analysis.compute.row_threads import row_threads
from analysis.errors import Cancelled, InputError, LoupeError, NotEnoughData
from analysis.methods.projection.localmap import LocalMapParams, localmap
from analysis.methods.projection.pacmap import PacmapParams, pacmap
from analysis.methods.projection.umap import UmapParams, umap
from analysis.sources.synthetic import gaussian_clusters

DIMENSIONS = pytest.mark.parametrize("dims", [2, 3])
QUICK = {umap: UmapParams(epochs=60), pacmap: PacmapParams(steps=90), localmap: LocalMapParams(steps=90)}
EVERY = pytest.mark.parametrize("method", list(QUICK), ids=lambda f: f.__name__)


def both(pairs):
    starts, ends = np.zeros(len(pairs) + 1, np.int64), np.empty(2 * pairs.size, np.int32)
    pair_kernels.both_ways(pairs, starts, ends)
    return starts, ends


def loss(y, pairs, w, reach, frozen):
    """The paper's loss, pair by pair in float64; LocalMAP's factor taken at `frozen`, as a constant."""
    total = 0.0
    for kind, (partners, weight) in enumerate(zip(pairs, w, strict=True)):
        for i, line in enumerate(partners):
            for j in line:
                d = 1 + ((y[i] - y[j]) ** 2).sum()
                factor = 1.0
                if kind == 0 and reach:
                    factor = reach / 2 / np.sqrt(1 + ((frozen[i] - frozen[j]) ** 2).sum())
                total += weight * factor * (d / (10 + d), d / (10000 + d), 1 / (1 + d))[kind]
    return total


# ---------------------------------------------------------------------------- PaCMAP and LocalMAP, piece by piece
@DIMENSIONS
@pytest.mark.parametrize("reach", [0.0, 10.0], ids=["PaCMAP", "LocalMAP"])
def test_the_gradient_is_that_of_the_loss(rng, dims, reach):
    n = 12
    y = 3 * rng.standard_normal((n, dims)).astype(np.float32)
    pairs = [rng.integers(0, n, (n, k)).astype(np.int32) for k in (3, 2, 5)]
    w = (2.0, 700.0, 1.5)
    g = np.zeros_like(y)
    lists = [array for p in pairs for array in both(p)]
    w32 = [np.float32(v) for v in w]
    pair_kernels.gradient(y, *lists, *w32, np.float32(reach / 2), g, 0, n)
    y64, h = y.astype(np.float64), 1e-4
    expected = np.empty((n, dims))
    for i in range(n):
        for c in range(dims):
            up, down = y64.copy(), y64.copy()
            up[i, c] += h
            down[i, c] -= h
            expected[i, c] = (loss(up, pairs, w, reach, y64) - loss(down, pairs, w, reach, y64)) / (2 * h)
    np.testing.assert_allclose(g, expected, rtol=2e-3, atol=1e-3)


def test_one_step_is_that_of_adam(rng):
    import torch

    y = rng.standard_normal((5, 2)).astype(np.float32)
    parameter = torch.tensor(y.copy(), requires_grad=True)
    adam = torch.optim.Adam([parameter], lr=1.0, betas=(0.9, 0.999), eps=1e-7)
    m, v = np.zeros_like(y), np.zeros_like(y)
    for t in range(4):
        g = rng.standard_normal(y.shape).astype(np.float32)
        parameter.grad = torch.tensor(g)
        adam.step()
        out = np.empty_like(y)
        rate = np.float32(np.sqrt(1 - 0.999 ** (t + 1)) / (1 - 0.9 ** (t + 1)))
        pair_kernels.step(y, out, m, v, g, rate, 0, 5)
        y = out
    np.testing.assert_allclose(y, parameter.detach().numpy(), atol=2e-4)


def test_near_pairs_are_those_of_least_scaled_distance(rng):
    x = rng.standard_normal((60, 3)) * np.linspace(0.1, 4, 60)[:, None]
    found = nearest(x, 15)
    chosen = near_pairs(found.indices, found.distances, 6)
    scale = found.distances[:, 3:6].mean(axis=1)  # 4th to 6th neighbour
    for i in range(60):
        scaled = [found.distances[i, s] ** 2 / scale[i] / scale[found.indices[i, s]] for s in range(15)]
        assert set(chosen[i]) == set(found.indices[i][np.argsort(scaled, kind="stable")[:6]])
    assert not np.array_equal(np.sort(chosen), np.sort(found.indices[:, :6]))


def test_middle_pairs_lie_between_near_and_any(rng):
    points = rng.standard_normal((2000, 2)).astype(np.float32)
    out = np.empty((2000, 4), np.int32)
    pair_kernels.choose_middle(points, np.uint64(3), out, 0, 2000)
    assert not (out == np.arange(2000)[:, None]).any()
    squares = ((points[:, None] - points[out]) ** 2).sum(axis=-1)
    everybody = ((points[:500, None] - points[None]) ** 2).sum(axis=-1)
    rank = (everybody[:, None, :] < squares[:500, :, None]).mean(axis=-1)
    assert rank.mean() == pytest.approx(2 / 7, abs=0.01)  # the second smallest of six uniform numbers


def test_far_pairs_are_no_neighbours_and_evenly_drawn(rng):
    near = nearest(rng.standard_normal((300, 3)), 10).indices.astype(np.int32)
    out = np.empty((300, 20), np.int32)
    pair_kernels.choose_far(near, np.uint64(1), out, 0, 300)
    for i in range(300):
        assert not set(out[i]) & {i, *near[i]}
        assert len(set(out[i])) == 20
    counts = np.bincount(out.ravel(), minlength=300)
    assert counts.std() < 1.3 * np.sqrt(20)


@DIMENSIONS
def test_pairs_drawn_again_lie_within_reach_and_are_no_neighbours(rng, dims):
    y = (25 * rng.random((3000, dims))).astype(np.float32)
    near = rng.integers(0, 3000, (3000, 5)).astype(np.int32)
    pairs = pair_layout.Pairs(near, near[:, :1], np.full((3000, 8), -1, np.int32))
    with row_threads(3000, 1) as run:
        pair_layout._draw_nearby(y, pairs, 4.0, 7, run)
    drawn = pairs.far >= 0
    assert drawn.mean() > 0.6
    away = np.sqrt(((y[:, None] - y[pairs.far]) ** 2).sum(axis=-1))
    assert away[drawn].max() <= 4.0 * (1 + 1e-6)
    assert not (pairs.far == np.arange(3000)[:, None]).any()
    if dims == 2:  # evenly over the disc: the mean distance from its centre is two thirds of its radius
        middle = ((y > 4) & (y < 21)).all(axis=1)
        assert away[middle][drawn[middle]].mean() == pytest.approx(8 / 3, rel=0.02)


def test_weights_and_phases():
    assert [float(w) for w in weights(0)] == [2, 1000, 1]
    assert [float(w) for w in weights(50)] == [2, 501.5, 1]
    assert [float(w) for w in weights(150)] == [3, 3, 1]
    assert [float(w) for w in weights(300)] == [1, 0, 1]
    assert phases(450) == (100, 100, 250)
    assert sum(phases(97)) == 97


# ---------------------------------------------------------------------------- UMAP, piece by piece
def test_the_curve_and_the_links_are_those_of_umap_learn(rng):
    from umap.umap_ import find_ab_params, fuzzy_simplicial_set

    for min_dist in (0.0, 0.1, 0.8):
        np.testing.assert_allclose(curve(min_dist), find_ab_params(1.0, min_dist), rtol=1e-5)
    x = rng.standard_normal((150, 5))
    x[3:9] = x[3]
    found = nearest(x, 9)
    indices = np.hstack([np.arange(150)[:, None], found.indices]).astype(np.int32)
    distances = np.hstack([np.zeros((150, 1)), found.distances]).astype(np.float32)
    indices[3:9] = indices[3:9][:, np.argsort(np.arange(10))]
    theirs, _, _ = fuzzy_simplicial_set(
        np.empty((150, 1), np.float32), 10, np.random.RandomState(0), "euclidean", knn_indices=indices,
        knn_dists=distances,
    )  # fmt: skip
    with row_threads(150) as run:
        starts, ends, strength = fuzzy_links(found.indices, found.distances, run)
    ours = np.zeros((150, 150))
    for i in range(150):
        ours[i, ends[starts[i] : starts[i + 1]]] = strength[starts[i] : starts[i + 1]]
    np.testing.assert_allclose(ours, theirs.toarray() / theirs.max(), atol=2e-3)


def test_the_tables_of_forces():
    a, b = curve(0.1)
    pull, push = force_tables(a, b)
    from analysis.compute.maps.umap_kernels import _looked_up

    scratch = np.zeros(1, np.float32)
    for square in (1e-6, 0.013, 0.5, 1.0, 7.7, 900.0):
        s = np.float32(square)
        expected = 2 * a * b * square ** (b - 1) / (1 + a * square**b)
        assert _looked_up(pull, s, scratch, scratch.view(np.int32)) == pytest.approx(expected, rel=2e-4)
        expected = 2 * b / ((0.001 + square) * (1 + a * square**b))
        assert _looked_up(push, s, scratch, scratch.view(np.int32)) == pytest.approx(expected, rel=2e-4)


# ---------------------------------------------------------------------------- whole layouts
@pytest.mark.parametrize("reach", [None, 10.0], ids=["PaCMAP", "LocalMAP"])
@DIMENSIONS
def test_pairs_the_same_for_any_number_of_threads(rng, reach, dims):
    x, _ = gaussian_clusters(rng, 9000, 10, 4)
    x = x.astype(np.float32)
    graph = neighbour_graph(x, 15)
    start = (0.01 * x[:, :dims]).astype(np.float32)
    made = [
        lay_out_pairs(x, graph.indices, graph.distances, start, n_neighbors=8, reach=reach, seed=3,
                      steps=(10, 10, 25), threads=threads)
        for threads in (1, 2, 3)
    ]  # fmt: skip
    np.testing.assert_array_equal(made[0], made[1])
    np.testing.assert_array_equal(made[0], made[2])
    assert np.isfinite(made[0]).all()


def test_umap_the_same_for_any_number_of_threads(rng):
    x, _ = gaussian_clusters(rng, 9000, 10, 4)
    graph = neighbour_graph(x, 15)
    made = [
        umap_layout(x, graph, n_neighbors=15, min_dist=0.1, epochs=25, rng=np.random.default_rng(1), threads=threads)
        for threads in (1, 3)
    ]  # fmt: skip
    np.testing.assert_array_equal(*made)


@EVERY
@pytest.mark.parametrize("components", [2, 3])
def test_planted_clusters_stay_whole_and_apart(rng, method, components):
    x, label = gaussian_clusters(rng, 900, 20, 6, separation=12)
    params = type(QUICK[method])(components=components)
    positions = method(x, params, np.random.default_rng(0)).positions
    assert positions.shape == (900, components)
    near = nearest(positions, 10).indices
    assert (label[near] == label[:, None]).mean() > 0.999


@pytest.fixture(scope="module")
def clusters_by_umap_learn():
    """Five clusters, and where umap-learn draws them."""
    import umap as umap_learn

    x, _ = gaussian_clusters(np.random.default_rng(0), 1500, 20, 5, separation=6)
    return x, umap_learn.UMAP(random_state=0).fit_transform(x)


def test_localmap_keeps_as_much_as_umap_learn(clusters_by_umap_learn):
    x, theirs = clusters_by_umap_learn
    ours = localmap(x).positions
    a, b = (placement_quality(x, y, 15) for y in (ours, theirs))
    assert a.trust.mean() > b.trust.mean() - 0.01
    assert a.recall.mean() > b.recall.mean() - 0.01


def test_umap_keeps_as_much_as_umap_learn(clusters_by_umap_learn):
    x, theirs = clusters_by_umap_learn
    a, b = (placement_quality(x, y, 15) for y in (umap(x).positions, theirs))
    assert a.trust.mean() > b.trust.mean() - 0.01
    assert a.recall.mean() > b.recall.mean() - 0.02


# ---------------------------------------------------------------------------- bad input, cancel
@EVERY
def test_duplicates_constant_columns_and_wide_ranges_are_drawn(rng, method):
    x = rng.standard_normal((1200, 6))
    x[:700] = x[0]
    x[:, 2] = 5
    x[900:, 0] *= 1e8
    result = method(x, QUICK[method])
    assert np.isfinite(result.positions).all()
    assert any("700 point(s) coincide" in c for c in result.caveats)


@EVERY
def test_nonfinite_rows_are_left_out_and_counted(rng, method):
    x = rng.standard_normal((80, 6))
    x[[3, 9]] = [[np.nan], [np.inf]]
    result = method(x, QUICK[method])
    assert len(result.rows) == 78
    assert any("2 row(s) with NaN" in c for c in result.caveats)


@EVERY
def test_refusals(rng, method):
    with pytest.raises(NotEnoughData):
        method(rng.standard_normal((6, 3)), QUICK[method])
    with pytest.raises(LoupeError):
        method(rng.standard_normal((2, 3)), QUICK[method])
    with pytest.raises(InputError, match="equal"):
        method(np.full((100, 3), 2.0), QUICK[method])


@EVERY
def test_an_approximate_graph_is_said_on_the_map(rng, method, monkeypatch):
    monkeypatch.setattr("analysis.compute.neighbours.neighbour_graph.EXACT_WORK", 0.0)
    result = method(rng.standard_normal((700, 5)), QUICK[method])
    assert any("Neighbours are approximate" in c for c in result.caveats)


@EVERY
def test_stopped_inside_the_layout_and_run_again(rng, method):
    x = rng.standard_normal((300, 5))

    def stop(fraction, doing=""):
        if "laying out" in doing and fraction > 0.5:
            raise Cancelled

    with pytest.raises(Cancelled):
        method(x, QUICK[method], np.random.default_rng(0), progress=stop)
    a, b = (method(x, QUICK[method], np.random.default_rng(0)).positions for _ in range(2))
    np.testing.assert_array_equal(a, b)


def test_first_positions_of_one_axis_and_of_no_eigenproblem(rng, monkeypatch):
    line = layout.first_positions(rng.standard_normal((50, 1)), 2, rng, 10.0)
    assert np.abs(line[:, 0]).max() == pytest.approx(10, rel=1e-3)
    assert 0 < np.abs(line[:, 1]).max() < 1e-2
    monkeypatch.setattr(layout, "LARGEST_SIDE", 10)
    assert layout.first_positions(rng.standard_normal((50, 20)), 3, rng, 10.0).shape == (50, 3)


def test_a_map_may_begin_at_the_slow_directions_of_the_graph(rng):
    """Of a rolled-up strip: the first coordinate follows the strip, where components cannot; far islands are joined."""
    from scipy.stats import spearmanr

    turn = np.sort(rng.uniform(4.7, 14, 500))
    x = np.column_stack([turn * np.cos(turn), 6 * rng.random(500), turn * np.sin(turn)])
    graph = neighbour_graph(x, 10)
    links = adjacency(graph.indices, graph.distances)
    start = layout.graph_positions(links, x, 2, rng, 10.0)
    assert abs(spearmanr(start[:, 0], turn)[0]) > 0.99
    assert np.abs(start).max() == pytest.approx(10, rel=1e-3)
    flat = layout.first_positions(x, 2, rng, 10.0)
    assert max(abs(spearmanr(flat[:, i], turn)[0]) for i in range(2)) < 0.7
    params = UmapParams(begin="graph", epochs=40)
    apart = np.vstack([x, x + 1000])
    a, b = (umap(apart, params, np.random.default_rng(3)).positions for _ in range(2))
    assert np.isfinite(a).all()
    np.testing.assert_array_equal(a, b)
