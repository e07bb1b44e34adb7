"""Over-smoothing: operators written out, rates by theory, pieces, relabelling, nulls, bad links, broken code."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.activations import ArrayActivations
from analysis.compute.neighbours import graph_smoothing as compute
from analysis.compute.neighbours.graph_smoothing import (
    graph_of,
    linked,
    next_eigenvalue,
    smoothed,
    smoothness,
)
from analysis.errors import InputError, NotEnoughData, NotFound, TooLarge
from analysis.methods.rank import over_smoothing as module
from analysis.methods.rank.over_smoothing import (
    ENERGY,
    PASSING,
    RANK,
    RATIO,
    THEORY,
    OverSmoothingParams,
    over_smoothing,
)

FEW = settings(max_examples=15, deadline=None)
LINKS = OverSmoothingParams(neighbours="links", depth=6)


def random_graph(rng, n=25, extra=20):
    """A connected adjacency (n, n): a path with some edges more."""
    a = np.zeros((n, n))
    a[np.arange(n - 1), np.arange(1, n)] = 1
    for i, j in rng.integers(n, size=(extra, 2)):
        if i != j:
            a[i, j] = 1
    return np.maximum(a, a.T)


def tap(x, a, ids=None, name="t"):
    ids = np.array([f"n{i}" for i in range(len(x))]) if ids is None else ids
    links = np.array([" ".join(ids[np.flatnonzero(row)]) for row in a])
    return ArrayActivations(x, name=name, samples={"id": ids, "links": links})


def operator(a):
    """Â by its definition, dense."""
    whole = a + np.eye(len(a))
    d = whole.sum(axis=1)
    return whole / np.sqrt(np.outer(d, d)), np.sqrt(d)


# ---------------------------------------------------------------------------- definition
@FEW
@given(st.integers(0, 10**6))
def test_all_measures_are_those_of_the_dense_operator(seed):
    rng = np.random.default_rng(seed)
    a, x = random_graph(rng), rng.standard_normal((25, 4)) + 1
    found = over_smoothing(tap(x, a), params=LINKS)
    matrix, root = operator(a)
    root /= np.linalg.norm(root)
    for k in range(7):
        block = np.linalg.matrix_power(matrix, k) @ x
        size = np.linalg.svd(block, compute_uv=False)
        p = size / size.sum()
        total = (block**2).sum()
        energy = np.trace(block.T @ (np.eye(25) - matrix) @ block) / total
        # the same energy edge by edge: Σ |x_i / sqrt(d_i) - x_j / sqrt(d_j)|²
        flat = block / np.sqrt((a + np.eye(25)).sum(axis=1))[:, None]
        by_edge = (
            sum(((flat[i] - flat[j]) ** 2).sum() for i, j in zip(*np.nonzero(np.triu(a)), strict=True))
            / total
        )
        assert energy == pytest.approx(by_edge, rel=1e-9)
        assert found.series[RATIO][k] == pytest.approx(size[1] / size[0], rel=1e-8)
        assert found.series[RANK][k] == pytest.approx(np.exp(-(p * np.log(p)).sum()) / 4, rel=1e-8)
        assert found.series[ENERGY][k] == pytest.approx(energy, rel=1e-8)
        assert found.series[PASSING][k] == pytest.approx(1 - ((root @ block) ** 2).sum() / total, abs=1e-10)
    values = np.sort(np.abs(np.linalg.eigvalsh(matrix)))
    assert found.estimates[-1].value == pytest.approx(values[-2], rel=1e-9)


def test_large_graphs_find_the_same_rate(monkeypatch, rng):
    graph = graph_of(linked(*_texts(random_graph(rng, 40)))[0])
    one = next_eigenvalue(graph, rng)
    monkeypatch.setattr(compute, "DENSE", 10)
    assert next_eigenvalue(graph, rng) == pytest.approx(one, rel=1e-8)
    monkeypatch.setattr(compute, "MOST_PIECES", 0)
    assert next_eigenvalue(graph, rng) is None


def _texts(a):
    ids = np.array([f"n{i}" for i in range(len(a))])
    return ids, np.array([",".join(ids[np.flatnonzero(row)]) for row in a])


# ---------------------------------------------------------------------------- published facts
@FEW
@given(st.integers(0, 10**6))
def test_rank_one_is_reached_at_the_rate_of_the_next_eigenvalue_along_the_degrees(seed):
    rng = np.random.default_rng(seed)
    a = random_graph(rng, 15, 60)
    graph = graph_of(linked(*_texts(a))[0])
    rate = next_eigenvalue(graph, rng)
    blocks = list(smoothed(graph, rng.standard_normal((15, 6)), 60))
    ratio = np.array([smoothness(graph, b).ratio for b in blocks])
    late = (ratio > 1e-9) & (np.arange(61) >= 10)
    assert (ratio[late] <= ratio[0] * 200 * rate ** np.arange(61)[late]).all()
    assert np.polyfit(np.flatnonzero(late)[-10:], np.log(ratio[late][-10:]), 1)[0] == pytest.approx(
        np.log(rate), abs=0.25
    )
    root = operator(a)[1] / np.linalg.norm(operator(a)[1])
    direction = np.linalg.svd(blocks[-1], full_matrices=False)[0][:, 0]
    assert abs(direction @ root) == pytest.approx(1, abs=1e-3)


def test_on_pieces_the_rank_falls_to_their_number(rng):
    a = np.kron(np.eye(3), random_graph(rng, 8, 30))
    graph = graph_of(linked(*_texts(a))[0])
    assert graph.pieces == 3
    *_, last = smoothed(graph, rng.standard_normal((24, 7)), 2000)
    assert np.linalg.matrix_rank(last, tol=1e-6) == 3


@FEW
@given(st.integers(0, 10**6))
def test_relabelling_nodes_rotating_and_scaling_features_change_nothing(seed):
    rng = np.random.default_rng(seed)
    a, x, order = random_graph(rng), rng.standard_normal((25, 4)), rng.permutation(25)
    turn = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    one = over_smoothing(tap(x, a), params=LINKS)
    other = over_smoothing(tap(7 * (x @ turn)[order], a[np.ix_(order, order)]), params=LINKS)
    for name, values in one.series.items():
        np.testing.assert_allclose(other.series[name], values, rtol=1e-6, atol=1e-9)


# ---------------------------------------------------------------------------- null, layers, neighbours
def test_the_null_of_the_energy_is_that_of_features_without_edges(rng):
    a = random_graph(rng, 60, 100)
    found = over_smoothing(tap(rng.standard_normal((60, 30)), a), params=LINKS)
    expected = 1 - np.trace(operator(a)[0]) / 60
    assert found.estimates[0].null == pytest.approx(expected, abs=0.03)
    assert found.estimates[0].value == pytest.approx(expected, abs=0.05)
    smooth = over_smoothing(
        tap(np.linalg.matrix_power(operator(a)[0], 3) @ rng.standard_normal((60, 30)), a), params=LINKS
    )
    assert smooth.estimates[0].value < smooth.estimates[0].null / 2


def test_layers_are_measured_as_they_are_and_matched_by_id(rng):
    a, x = random_graph(rng), rng.standard_normal((25, 4))
    layers = [np.linalg.matrix_power(operator(a)[0], k) @ x for k in range(3)]
    alone = over_smoothing(tap(x, a), params=LINKS)
    order = rng.permutation(25)
    ids = np.array([f"n{i}" for i in range(25)])
    turned = ArrayActivations(layers[1][order], samples={"id": ids[order]}, name="b")
    found = over_smoothing(tap(x, a, name="a"), turned, tap(layers[2], a, name="c"), params=LINKS)
    for name in (RATIO, RANK, ENERGY, PASSING):
        np.testing.assert_allclose(found.series[name], alone.series[name][:3], rtol=1e-8)
    assert THEORY not in found.series
    assert list(found.x) == [1, 2, 3]


def test_without_a_column_neighbours_are_used_and_it_is_said(rng):
    found = over_smoothing(rng.standard_normal((40, 3)), params=OverSmoothingParams(k=4))
    assert any("4 nearest neighbours" in c and "by construction" in c for c in found.caveats)


# ---------------------------------------------------------------------------- bad input
def test_links_may_be_unknown_one_sided_doubled_or_to_oneself():
    ids = np.array(["a", "b", "c", "d"])
    links = np.array(["b;b, zz", "", "c d", " "])
    edges, unknown = linked(ids, links)
    graph = graph_of(edges)
    assert unknown == 1
    assert graph.edges == 2
    assert graph.pieces == 2
    expected = operator(np.array([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]], dtype=float))[0]
    np.testing.assert_allclose(graph.smoothing.toarray(), expected)


def test_refusals(rng, monkeypatch):
    x, a = rng.standard_normal((25, 4)), random_graph(rng)
    with pytest.raises(NotFound, match="edges"):
        over_smoothing(tap(x, a), params=OverSmoothingParams(neighbours="edges"))
    with pytest.raises(InputError, match="no edge"):
        over_smoothing(tap(x, np.zeros((25, 25))), params=LINKS)
    with pytest.raises(InputError, match="are equal"):
        over_smoothing(tap(np.ones((25, 4)), a), params=LINKS)
    with pytest.raises(NotEnoughData):
        over_smoothing(tap(x[:4], a[:4, :4]), params=LINKS)
    assert any("2 neighbour(s) are no sample" in c for c in over_smoothing(_cut(x, a), params=LINKS).caveats)
    monkeypatch.setattr(module, "MOST_NODES", 20)
    with pytest.raises(TooLarge, match="25 nodes"):
        over_smoothing(tap(x, a), params=LINKS)


def _cut(x, a):
    whole = tap(x, a)
    links = whole.samples["links"].astype("U200")
    links[3] += " gone lost"
    return ArrayActivations(x, samples={"id": whole.samples["id"], "links": links})


# ---------------------------------------------------------------------------- broken code
def _without_loops(adjacency, notes=()):
    right = GRAPH(adjacency, notes)
    matrix = right.smoothing.toarray()
    np.fill_diagonal(matrix, 0)
    return compute.Graph(compute_csr(matrix), right.lasting, right.edges, notes)


def compute_csr(matrix):
    from scipy.sparse import csr_array

    return csr_array(matrix)


GRAPH = compute.graph_of


@pytest.mark.parametrize(
    ("where", "name", "broken"),
    [
        (module, "graph_of", _without_loops),
        (module, "next_eigenvalue", lambda graph, rng: 0.9),
        (compute, "pieces", lambda w: (1, np.zeros(w.shape[0], int))),
        (module, "smoothed", lambda graph, x, depth: (x for _ in range(depth + 1))),
    ],
)
def test_the_check_fails_on_broken_code(monkeypatch, where, name, broken):
    check = module.METHODS[0].check
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in check())
