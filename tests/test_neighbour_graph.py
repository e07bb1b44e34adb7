"""The shared neighbour graph: exact by tiles and approximate by descent, against brute force; kept, not recomputed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import pipeline
from analysis.activations import ArrayActivations
from analysis.compute import kept
from analysis.compute.neighbours import neighbour_graph, neighbours
from analysis.compute.neighbours.exact_tiles import tiled_nearest
from analysis.compute.neighbours.neighbour_descent import descended_nearest
from analysis.compute.neighbours.neighbours import as_points, near_one, nearest
from analysis.errors import Cancelled, InputError, NotEnoughData, ParameterError
from analysis.spec import no_progress
from analysis.store.cache import ResultCache

graph_of = neighbour_graph.neighbour_graph
quick = settings(max_examples=25, deadline=None)
ARITHMETICS = pytest.mark.parametrize("narrow", [True, False], ids=["bfloat16", "float32"])


@pytest.fixture(autouse=True)
def _nothing_kept():
    kept.forget()
    yield
    kept.forget()


def brute(x: np.ndarray, k: int):
    """Indices by exact distance, ties by index, and squared distances; term by term from the definition."""
    squares = ((x[:, None].astype(np.float64) - x[None].astype(np.float64)) ** 2).sum(axis=-1)
    index = np.arange(len(x))
    order = np.array([[j for j in np.lexsort((index, squares[i])) if j != i][:k] for i in index])
    return order, np.take_along_axis(squares, order, axis=1)


def by_tiles(x: np.ndarray, k: int, narrow: bool):
    """Tiles, with the rows they leave open done by the other search."""
    points = near_one(as_points(x)[0])[0]
    indices, squares, unsure = tiled_nearest(points, k, no_progress, (0, 1), narrow=narrow)
    if len(unsure):
        indices[unsure], squares[unsure] = neighbours._exact(points, unsure, k, no_progress, (0, 1))
    return indices, squares, unsure


# ---------------------------------------------------------------------------- exact, by tiles
@ARITHMETICS
@quick
@given(st.integers(0, 10**6), st.integers(1, 12), st.sampled_from([1, 2, 5, 30]))
def test_tiles_on_integer_points_with_ties_and_duplicates(narrow, seed, k, d):
    x = np.random.default_rng(seed).integers(-3, 4, size=(90, d)).astype(np.float32)
    np.testing.assert_array_equal(by_tiles(x, k, narrow)[0], brute(x, k)[0])


@ARITHMETICS
@pytest.mark.parametrize("spoil", ["nothing", "offset", "outlier", "outliers", "scales", "small", "wide"])
def test_tiles_on_real_points(rng, narrow, spoil):
    x = rng.standard_normal((700, 20 if spoil != "wide" else 900))
    if spoil == "offset":
        x = x * 1e-3 + 50
    if spoil in ("outlier", "outliers"):
        x[: 1 if spoil == "outlier" else 30] *= 1e4
    if spoil == "scales":
        x *= 10.0 ** rng.uniform(-5, 5, (700, 1))
    if spoil == "small":
        x *= 1e-30
    expected, squares = brute(x / np.abs(x).max(), 9)
    indices, found, unsure = by_tiles(x, 9, narrow)
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_allclose(found / found.max(), squares / squares.max(), rtol=1e-9, atol=1e-30)
    if spoil in ("nothing", "outlier", "wide", "small"):
        assert len(unsure) <= 1, "the tiles prove nearly every row themselves"


@ARITHMETICS
def test_tiles_over_several_tiles_and_blocks(rng, narrow):
    x = rng.standard_normal((5000, 8)).astype(np.float32)
    rows = rng.choice(5000, 60, replace=False)
    indices, _, unsure = by_tiles(x, 12, narrow)
    assert len(unsure) == 0
    for row in rows:
        away = ((x.astype(np.float64) - x[row]) ** 2).sum(axis=1)
        away[row] = np.inf
        np.testing.assert_array_equal(indices[row], np.argsort(away, kind="stable")[:12])


def test_the_two_exact_searches_agree(rng, monkeypatch):
    x = rng.standard_normal((900, 30)).astype(np.float32)
    x[100:400] = x[7]
    plain = nearest(x, 10, "cosine")
    monkeypatch.setattr(neighbours, "TILES_FROM", 0)
    tiled = nearest(x, 10, "cosine")
    np.testing.assert_array_equal(plain.indices, tiled.indices)
    np.testing.assert_allclose(plain.distances, tiled.distances, rtol=1e-12)


@quick
@given(
    st.integers(0, 10**6),
    st.integers(1, 20),
    st.integers(1, 3),
    st.sampled_from(["real", "lattice", "places"]),
)
def test_the_tree_finds_what_every_pair_gives(seed, k, d, kind):
    """Also with hundreds of ties (a lattice) and of duplicates (few places)."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((300, d)) if kind == "real" else rng.integers(0, 5, (300, d)).astype(float)
    x = x[rng.integers(0, 6, 300)] if kind == "places" else x
    indices, squares = neighbours._by_tree(x, k, no_progress, (0, 1))
    expected, away = brute(x, k)
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_allclose(squares, away, rtol=1e-12)


def test_many_points_of_few_units_go_to_the_tree(rng, monkeypatch):
    x = rng.standard_normal((1200, 3))
    by_tree = nearest(x, 12)
    monkeypatch.setattr(neighbours, "TREE_FROM", 10**9)
    by_pairs = nearest(x, 12)
    np.testing.assert_array_equal(by_tree.indices, by_pairs.indices)
    np.testing.assert_allclose(by_tree.distances, by_pairs.distances, rtol=1e-12)
    monkeypatch.undo()
    monkeypatch.setattr(neighbours, "_candidates", None)  # what compares every pair is not called
    assert nearest(x, 12, "cosine").indices.shape == (
        1200,
        12,
    )  # three units and no zero vector: three coordinates


def test_threads_of_torch_are_as_before(rng):
    import torch

    before = torch.get_num_threads()
    by_tiles(rng.standard_normal((600, 5)), 3, False)
    assert torch.get_num_threads() == before


# ---------------------------------------------------------------------------- the graph
@quick
@given(st.integers(0, 10**6), st.booleans())
def test_permuting_the_rows_permutes_the_graph(seed, exact):
    rng = np.random.default_rng(seed)
    x, order = rng.standard_normal((120, 4)), rng.permutation(120)
    a, b = graph_of(x, 6, exact=exact), graph_of(x[order], 6, exact=exact)
    if not exact:  # everything is found at this size, whatever the order
        assert a.recall == b.recall == 1
    np.testing.assert_array_equal(order[b.indices], a.indices[order])


@quick
@given(st.integers(0, 10**6), st.sampled_from(["euclidean", "cosine"]))
def test_turning_and_moving_the_points_keeps_the_graph(seed, metric):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((100, 5))
    moved = x @ np.linalg.qr(rng.standard_normal((5, 5)))[0] * 7
    if metric == "euclidean":
        moved += rng.standard_normal(5) * 10
    a, b = graph_of(x, 8, metric), graph_of(moved, 8, metric)
    np.testing.assert_array_equal(a.indices, b.indices)
    scale = 7 if metric == "euclidean" else 1
    np.testing.assert_allclose(a.distances * scale, b.distances, rtol=1e-4, atol=1e-7)


def test_shapes_types_and_order(rng):
    g = graph_of(ArrayActivations(rng.standard_normal((200, 6)).astype(np.float32)), 11)
    assert (g.indices.dtype, g.distances.dtype) == (np.int32, np.float32)
    assert g.indices.shape == g.distances.shape == (200, 11)
    assert g.k == 11
    assert (np.diff(g.distances, axis=1) >= 0).all()
    assert not (g.indices == np.arange(200)[:, None]).any()
    assert (g.exact, g.recall, g.notes) == (True, 1.0, ())


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_caller_keeps_the_points_as_they_were(rng, dtype, exact, metric):
    x = (rng.standard_normal((600, 8)) + 5).astype(dtype)
    before = x.copy()
    neighbour_graph.neighbour_graph(x, 5, metric, exact=exact)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("exact", [True, False])
def test_duplicates_by_the_thousand(rng, exact):
    x = rng.standard_normal((3000, 10))
    x[:1500] = x[0]
    g = graph_of(x, 12, exact=exact)
    assert g.n_equal == 1500
    assert (g.distances[:1500] == 0).all()
    assert (g.distances[1500:] > 0).all()
    assert any("1,500 point(s) coincide" in note for note in g.notes)
    if exact:
        assert g.indices[5].tolist() == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12]


@pytest.mark.parametrize("exact", [True, False])
def test_zero_vectors_with_cosine_two_points_and_all_equal(rng, exact):
    x = rng.standard_normal((100, 6))
    x[[3, 8]] = 0
    g = graph_of(x, 4, "cosine", exact=exact)
    assert g.n_zero == 2
    assert (g.indices[3, 0], g.indices[8, 0]) == (8, 3)
    assert g.distances[3, :2].tolist() == [0, 1]
    assert graph_of(np.array([[0.0], [3.0]]), 1, exact=exact).distances.tolist() == [[3], [3]]
    assert (graph_of(np.ones((300, 3)), 5, exact=exact).distances == 0).all()


@pytest.mark.parametrize(
    ("x", "k", "metric", "error"),
    [
        (np.zeros((5, 2)), 5, "euclidean", NotEnoughData),
        (np.zeros((5, 2)), 0, "euclidean", ParameterError),
        (np.zeros((5, 2)), 2, "hamming", ParameterError),
        (np.full((5, 2), np.nan), 2, "euclidean", InputError),
        (np.array([[0.0], [np.inf], [1.0]]), 1, "cosine", InputError),
    ],
)
def test_the_graph_refuses(x, k, metric, error):
    with pytest.raises(error):
        graph_of(x, k, metric)


def test_rows_that_are_not_finite_are_no_points(rng):
    x = rng.standard_normal((60, 4)).astype(np.float32)
    x[7, 2] = np.nan
    assert graph_of(ArrayActivations(x), 3).indices.shape == (59, 3)


# ---------------------------------------------------------------------------- approximate
def test_descent_finds_nearly_all_and_says_how_many(rng):
    x = rng.standard_normal((4000, 12)) + 6 * rng.integers(0, 3, (4000, 1))
    g = graph_of(x, 15, exact=False)
    expected = nearest(x, 16).distances[:, 15 - 1]
    found = (g.distances <= (expected * (1 + 1e-6))[:, None]).mean()
    assert found > 0.97
    assert not g.exact
    assert g.n_checked == 600
    assert abs(g.recall - found) < 0.01
    assert g.recall_low <= g.recall <= g.recall_high
    assert any("approximate" in note for note in g.notes)


def test_a_graph_with_gaps_says_so(rng, monkeypatch):
    """Without descent and with one tree the recall is poor, and the number follows."""
    from analysis.compute.neighbours import neighbour_descent

    monkeypatch.setattr(neighbour_descent, "TREES", 1)
    monkeypatch.setattr(neighbour_descent, "ROUNDS", 0)
    x = rng.standard_normal((3000, 20))
    g = graph_of(x, 15, exact=False)
    reach = nearest(x, 16).distances[:, 15]
    found = (g.distances <= (reach * (1 + 1e-6))[:, None]).mean()
    assert found < 0.6
    assert g.recall_low - 0.02 < found < g.recall_high + 0.02


def test_descent_is_the_same_for_any_number_of_threads_and_differs_by_seed(rng):
    points = rng.standard_normal((9000, 16))
    one, three = (descended_nearest(points, 8, 5, threads=t) for t in (1, 3))
    np.testing.assert_array_equal(one[0], three[0])
    np.testing.assert_array_equal(one[1], three[1])
    assert not np.array_equal(one[0], descended_nearest(points, 8, 6)[0])


def test_where_every_pair_is_compared():
    assert neighbour_graph.is_exact(50_000, 256)
    assert not neighbour_graph.is_exact(120_000, 256)
    assert neighbour_graph.is_exact(5_000_000, 3)


# ---------------------------------------------------------------------------- computed once
@pytest.fixture
def counted(monkeypatch):
    """How often a graph is computed, and of which size."""
    sizes = []

    def counting(x, k, *more, **named):
        sizes.append(k)
        return nearest(x, k, *more, **named)

    monkeypatch.setattr(neighbour_graph, "nearest", counting)
    return sizes


def test_a_larger_graph_serves_smaller_questions(rng, counted):
    x = rng.standard_normal((150, 5))
    big = graph_of(x, 40)
    for k in (3, 16, 33, 64):
        np.testing.assert_array_equal(graph_of(x, k).indices[:, :3], big.indices[:, :3])
    assert counted == [64]
    graph_of(x, 65)
    assert counted == [64, 128]


def test_other_points_or_another_metric_are_another_graph(rng, counted):
    x = rng.standard_normal((80, 5))
    graph_of(x, 5)
    graph_of(x.astype(np.float32), 5)  # other numbers
    graph_of(x, 5, "cosine")
    x[3, 2] += 1e-9
    graph_of(x, 5)
    assert len(counted) == 4


def test_parameters_of_the_layout_and_other_methods_find_the_graph_on_disk(rng, counted, tmp_path):
    x = rng.standard_normal((200, 6))
    cache = ResultCache(tmp_path)
    for method, params in (
        ("umap", {"epochs": 20}),
        ("umap", {"epochs": 20, "min_dist": 0.5}),
        ("localmap", {"steps": 90}),
        ("pacmap", {"steps": 90, "n_neighbors": 8}),
    ):
        kept.forget()  # as in another process
        pipeline.run(method, [x], params, cache=cache)
    assert counted == [16]
    for path in tmp_path.glob("shared-*.npz"):
        path.write_bytes(b"damaged")
    kept.forget()
    pipeline.run("umap", [x], {"epochs": 25}, cache=cache)
    assert counted == [16, 16]


AGAIN = """
import sys
import numpy as np
from analysis.compute.neighbours import neighbour_graph, neighbours
from analysis.workspace import open_workspace

def refused(*_, **__):
    raise AssertionError("the graph was computed again")

neighbour_graph.nearest = refused
workspace = open_workspace(sys.argv[1])
for method, params in (
    ("umap", {"epochs": 30, "min_dist": 0.4}), ("umap", {"epochs": 40}), ("localmap", {"steps": 120}),
    ("tsne", {"iterations": 50, "perplexity": 9.0}),
):
    assert np.isfinite(workspace.run(method, ["s:t"], params).positions).all()
print("all found")
"""


def test_another_process_finds_the_graph_in_the_workspace(rng, tmp_path, counted):
    """Other epochs, another minimum distance, another perplexity, another method: one graph for all. Without the kept
    file the same process computes, and is caught at it."""
    import subprocess
    import sys

    from analysis.store.from_arrays import write_store
    from analysis.workspace import Workspace

    workspace = Workspace.create(tmp_path / "w")
    write_store(workspace.new_store_path("s"), name="s", taps={"t": rng.standard_normal((150, 6))})
    workspace.run("tsne", ["s:t"], {"iterations": 50})
    workspace.run("umap", ["s:t"], {"epochs": 20})
    assert counted == [128]
    command = [sys.executable, "-c", AGAIN, str(tmp_path / "w")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert "all found" in done.stdout, done.stderr[-2000:]
    for path in (tmp_path / "w" / "cache").glob("*"):
        path.unlink()
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert "the graph was computed again" in done.stderr


def test_kept_arrays_cannot_be_changed(rng):
    g = graph_of(rng.standard_normal((50, 3)), 5)
    with pytest.raises(ValueError):
        g.indices[0, 0] = 3


@pytest.mark.parametrize("exact", [True, False])
def test_cancelled_half_way_nothing_is_kept_and_nothing_is_broken(rng, exact, monkeypatch):
    monkeypatch.setattr(neighbours, "TILES_FROM", 0)
    x, calls = rng.standard_normal((3000, 10)), []

    def stop(fraction, doing=""):
        calls.append(fraction)
        if len(calls) == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        graph_of(x, 10, exact=exact, progress=stop)
    assert len(calls) == 3
    assert not kept._recent
    assert graph_of(x, 10, exact=exact).indices.shape == (3000, 10)
