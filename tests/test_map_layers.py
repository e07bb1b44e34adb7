"""What lies over the map: ellipses, the spanning tree, names of clusters; first the arithmetic, then the page."""

from __future__ import annotations

import dataclasses

import app_pages
import numpy as np
import pytest
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.spatial.distance import cdist

from analysis.activations import as_activations
from analysis.jobs import queue
from analysis.results import Origin, Scatter
from dashboard.browse import clusters, colour_sources, map_state, overlays
from dashboard.browse.picture import Column


def scatter(positions, rows=None, **more) -> Scatter:
    positions = np.asarray(positions, np.float32)
    origin = Origin(
        "made", 1, {}, [{"name": "s:t", "digest": str(hash(positions.tobytes()))}], 0, 0.0, "", {}
    )
    rows = np.arange(len(positions)) if rows is None else np.asarray(rows)
    return Scatter(title="map", positions=positions, rows=rows, origin=origin, **more)


def floats(column: Column, width: int) -> np.ndarray:
    return np.frombuffer(column.data, np.float32).reshape(-1, width)


# ---------------------------------------------------------------------------- ellipses
def test_a_map_that_stretches_one_axis_is_drawn_with_ellipses_of_that_shape(rng):
    """y = (3 x1, x2) of plane data: every ellipse has half axes 3 : 1 and lies along the first axis."""
    x = rng.uniform(size=(1500, 2))
    drawn = scatter(x * [3.0, 1.0])
    found = overlays.distortion(drawn, as_activations(x))
    a, b, angle = found.shapes.T
    assert len(a) > 40
    np.testing.assert_allclose(a / b, 3.0, rtol=1e-3)
    assert np.abs(np.sin(angle)).max() < 1e-3
    column = floats(overlays.ellipses_on(found, drawn).column, 4)
    np.testing.assert_array_equal(column[:, 0], found.rows)
    np.testing.assert_allclose(column[:, 1:], found.shapes)


def test_ellipses_follow_their_points_to_a_part_of_the_map(rng):
    x = rng.standard_normal((300, 3))
    whole = scatter(x[:, :2], rows=np.arange(300) * 2 + 1)
    found = overlays.distortion(whole, as_activations(np.repeat(x, 3, axis=0)[:700]))
    drawn = map_state.part(whole, np.arange(0, 300, 2))
    column = floats(overlays.ellipses_on(found, drawn).column, 4)
    lit = drawn.rows[column[:, 0].astype(int)]
    assert set(lit) == set(found.rows) & set(drawn.rows)
    assert overlays.ellipses_on(found, map_state.part(whole, np.zeros(0, int))) is None


@pytest.mark.parametrize(
    "x", [np.ones((40, 3)), np.eye(2, 3), np.full((20, 3), np.nan), np.repeat(np.eye(3), 400, axis=0)]
)
def test_nothing_to_measure_draws_no_ellipse(x):
    found = overlays.distortion(scatter(np.arange(2.0 * len(x)).reshape(-1, 2)), as_activations(x))
    assert np.isfinite(found.shapes).all()
    assert len(found.rows) == len(found.shapes)


def test_many_points_are_measured_among_some(rng):
    x = rng.uniform(size=(overlays.MOST_MEASURED + 500, 2))
    found = overlays.distortion(scatter(x), as_activations(x))
    assert found.measured == overlays.MOST_MEASURED
    assert f"{found.measured:,}" in overlays.ellipses_on(found, scatter(x)).said["note"]
    np.testing.assert_allclose(found.shapes[:, 0] / found.shapes[:, 1], 1.0, rtol=1e-3)


def test_ellipses_are_for_plane_maps_of_one_tap(rng):
    flat = scatter(rng.standard_normal((20, 2)))
    assert overlays.has_ellipses(flat)
    assert not overlays.has_ellipses(scatter(rng.standard_normal((20, 3))))
    assert not overlays.has_ellipses(scatter(flat.positions, frames=np.stack([flat.positions] * 2)))


# ---------------------------------------------------------------------------- the tree
def test_the_tree_is_the_shortest_of_the_data_not_of_the_picture(rng):
    """Against SciPy's tree of the full distance matrix: the same total length."""
    x = rng.standard_normal((80, 6))
    drawn = scatter(rng.standard_normal((80, 2)))
    tree = overlays.tree_at_once(drawn, as_activations(x))
    away = cdist(x, x)
    np.testing.assert_allclose(tree.lengths.sum(), minimum_spanning_tree(away).sum(), rtol=1e-9)
    np.testing.assert_allclose(tree.lengths, away[tuple(tree.edges.T)], rtol=1e-9)
    edges = np.frombuffer(overlays.tree_on(tree, drawn).column.data, np.int32).reshape(-1, 2)
    np.testing.assert_array_equal(edges, tree.edges)


def test_a_part_of_the_map_keeps_the_edges_within_it(rng):
    x = rng.standard_normal((60, 3))
    whole = scatter(x[:, :2], rows=np.arange(60)[::-1].copy())
    tree = overlays.tree_at_once(whole, as_activations(x))
    drawn = map_state.part(whole, np.arange(30))
    overlay = overlays.tree_on(tree, drawn)
    edges = np.frombuffer(overlay.column.data, np.int32).reshape(-1, 2)
    kept = np.isin(tree.edges, drawn.rows).all(axis=1)
    np.testing.assert_array_equal(drawn.rows[edges], tree.edges[kept])
    np.testing.assert_allclose(floats(overlay.values, 1)[:, 0], tree.lengths[kept], rtol=1e-6)


def test_a_result_with_edges_is_cut_and_read_alike(rng):
    edges = np.array([[0, 1], [1, 2], [2, 4], [3, 4]], np.int32)
    made = scatter(
        rng.standard_normal((5, 2)), rows=[10, 20, 30, 40, 50], edges=edges, edge_values=np.arange(4.0)
    )
    cut = map_state.part(made, np.array([1, 2, 4]))
    np.testing.assert_array_equal(cut.edges, [[0, 1], [1, 2]])
    np.testing.assert_array_equal(cut.edge_values, [1, 2])
    np.testing.assert_array_equal(overlays.tree_of(cut).edges, overlays.tree_of(made).edges[1:3])


@pytest.mark.parametrize("x", [np.ones((50, 2)), np.full((5, 2), np.nan), np.zeros((1, 2))])
def test_a_tree_of_hard_points(x):
    drawn = scatter(np.arange(2.0 * len(x)).reshape(-1, 2))
    overlay = overlays.tree_on(overlays.tree_at_once(drawn, as_activations(x)), drawn)
    assert overlay is None or overlay.said["high"] > overlay.said["low"]


# ---------------------------------------------------------------------------- names by a column
def test_names_of_a_column_stand_in_their_groups(rng):
    places = np.repeat([[0, 0], [9, 9], [0, 9]], [50, 30, 5], axis=0) + 0.1 * rng.standard_normal((85, 2))
    values = np.repeat(["a", "<b>", ""], [50, 30, 5])
    labels = clusters.column_labels(lambda: values, scatter(places), ("x",))
    assert [(label["text"], label["size"], label["level"]) for label in labels] == [
        ("a", 50, 0),
        ("<b>", 30, 0),
    ]
    assert abs(labels[1]["x"] - 9) < 0.1
    assert abs(labels[0]["y"]) < 0.1


def test_a_name_for_nearly_every_point_is_no_grouping(rng):
    n = 3000
    assert (
        clusters.column_labels(lambda: np.arange(n).astype(str), scatter(rng.random((n, 2))), ("id",)) == ()
    )
    many = clusters.column_labels(
        lambda: (np.arange(n) // 5).astype(str), scatter(rng.random((n, 2))), ("5",)
    )
    assert len(many) == clusters.MOST_NAMES
    assert [label["level"] for label in many] == sorted(label["level"] for label in many)
    assert sum(label["level"] == 0 for label in many) == clusters.COARSE


# ---------------------------------------------------------------------------- on the page
@pytest.fixture
def sent(monkeypatch):
    """The pictures that the page sends to the map."""
    from dashboard.components import map_panel

    seen, real = [], map_panel.sample_map
    monkeypatch.setattr(map_panel, "sample_map", lambda p, **more: seen.append(p) or real(p, **more))
    return seen


def test_layers_come_from_the_link(opened, sent):
    at = app_pages.open_page("map", tap="images:pooled", ellipses="true", tree="true", names="by:label")
    assert app_pages.is_whole(at), app_pages.texts(at)
    picture = sent[-1]
    assert [label["text"] for label in picture.labels] == ["a", "b", "c"]
    assert len(picture.edges.column.data) == 8 * 239
    assert picture.ellipses.said["label"] == "Distortion"


def test_switches_write_the_link(opened, sent):
    at = app_pages.open_page("map", tap="images:pooled")
    assert not sent[-1].labels
    assert sent[-1].edges is None
    assert sent[-1].ellipses is None
    next(t for t in at.toggle if t.label == "Spanning tree").set_value(True).run()
    next(t for t in at.toggle if t.label == "Distortion ellipses").set_value(True).run()
    next(s for s in at.selectbox if s.label == "Names on the map").set_value("by:label").run()
    assert {"tree", "ellipses", "names"} <= set(app_pages.url(at))
    assert sent[-1].edges
    assert sent[-1].ellipses
    assert sent[-1].labels


@pytest.mark.parametrize("params", [{"of": "units"}, {"p__components": "3"}, {"only": "~" + "0" * 16}])
def test_layers_on_other_maps(opened, sent, params):
    at = app_pages.open_page("map", tap="images:pooled", ellipses="1", tree="1", names="by:label", **params)
    assert app_pages.is_whole(at), app_pages.texts(at)
    assert sent[-1].edges is not None
    assert (sent[-1].ellipses is None) == ("p__components" in params)


@pytest.mark.parametrize(
    "name", ["ellipses", "tree", "names", "second", "together", "only", "with", "vs", "groups", "q"]
)
def test_hostile_layers_are_ignored(opened, name):
    for value in app_pages.HOSTILE:
        at = app_pages.open_page("map", **{"tap": "images:pooled", "sel": "x", name: value})
        assert app_pages.is_whole(at), (name, value[:40])
        assert "<script>" not in app_pages.texts(at)


def test_clusters_are_found_by_a_job_named_and_doubted(opened, sent):
    link = {"tap": "images:pooled", "names": "kmeans", "colour": "cluster:kmeans"}
    at = app_pages.open_page("map", **link)
    assert app_pages.is_whole(at), app_pages.texts(at)
    assert sent[-1].colour is None  # one colour while they are looked for
    job = next(j for j in queue.listing(opened.path) if j.arguments.get("method") == "kmeans")
    assert queue.wait(opened.path, job.id, timeout=120).state == "done"
    at = app_pages.open_page("map", **link)
    said, found = app_pages.texts(at).replace("\\", ""), opened.cached("kmeans", ["images:pooled"])
    assert app_pages.is_whole(at)
    assert found.reading.split("(")[0].strip() in said
    assert "p = " in said
    assert app_pages.button(at, "Full result, settings and check")
    if found.n_clusters:
        assert sent[-1].colour["label"] == "Clusters (k-means)"
        assert {label["text"] for label in sent[-1].labels} == set(found.columns["name"].tolist())
        assert len(clusters.summary(found)["Cluster"]) == found.n_clusters
        assert "By chance" in said
    else:
        assert "No cluster is detectable" in said
        assert not sent[-1].labels


def test_a_cancelled_job_leaves_the_page_usable(opened):
    work = {"method": "hdbscan", "inputs": ["images:pooled"], "params": {}, "seed": 0}
    id = queue.submit(opened.path, "method", work, title="HDBSCAN")
    queue.cancel(opened.path, id)
    ended = queue.wait(opened.path, id, timeout=120)
    at = app_pages.open_page("map", tap="images:pooled", names="hdbscan")
    assert app_pages.is_whole(at)
    if ended.state == "cancelled":
        assert "cancelled" in app_pages.texts(at)
        assert app_pages.button(at, "Start again")
    assert any(s.label == "Projection" for s in at.selectbox)


def test_colours_by_cluster_need_rows(opened):
    rows, units = (opened.run("pca", ["images:pooled"], {"of": of}) for of in ("rows", "units"))
    assert [s.id for s in colour_sources.of_clusters(rows)] == ["cluster:hdbscan", "cluster:kmeans"]
    assert colour_sources.of_clusters(units) == []


def test_lines_that_a_result_brings_are_drawn_with_its_own_words():
    found = scatter(np.arange(8.0).reshape(4, 2))
    brought = dataclasses.replace(
        found,
        edges=np.array([[0, 1], [1, 3]], np.int32),
        edge_values=np.array([2.0, 5.0]),
        edge_name="distance",
    )
    overlay = overlays.own_lines(brought, brought)
    assert overlay.said["label"] == "Lines: distance"
    assert np.frombuffer(overlay.column.data, np.int32).tolist() == [0, 1, 1, 3]
    assert np.frombuffer(overlay.values.data, np.float32).tolist() == [2.0, 5.0]
    assert overlays.own_lines(found, found) is None
