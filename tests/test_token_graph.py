"""The graph of tokens before and after a rule, and gradients that share their directions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from analysis.activations import ArrayActivations, Layout
from analysis.errors import ParameterError, ShapeError
from analysis.methods.tokens.gradient_overlap import basis, gradient_overlap, overlap, verdict
from analysis.methods.tokens.graph_spectrum import GraphSpectrumParams, graph_spectrum
from analysis.tokens.token_graph import distance, edges, groups, lifted, spectrum


def test_lifted_edges_are_means_over_two_groups_one_by_one(rng):
    x, of = rng.standard_normal((9, 4)), np.array([0, 0, 1, 2, 2, 2, 1, 0, 3])
    w, got = edges(x), lifted(edges(x), of)
    for i, j in itertools.product(range(9), repeat=2):
        assert got[i, j] == pytest.approx(w[np.ix_(of == of[i], of == of[j])].mean())


def test_the_spectrum_is_that_of_the_normalised_laplacian_and_turns_with_nothing(rng):
    from scipy.sparse.csgraph import laplacian

    x = rng.standard_normal((8, 5))
    w = edges(x)
    want = np.linalg.eigvalsh(laplacian(w - np.diag(np.diag(w)), normed=True))
    np.testing.assert_allclose(spectrum(w - np.diag(np.diag(w))), want, atol=1e-9)
    turn = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    of = np.array([0, 0, 1, 1, 2, 3, 4, 5])
    assert distance(x, of) == pytest.approx(distance(3 * x @ turn, of))
    assert distance(x, of) > 1e-3


def test_groups_are_owners_and_what_is_gone_goes_to_the_nearest_mean():
    x = np.array([[0.0, 0], [2, 0], [10, 0], [0.8, 0], [7, 0]])
    assert groups(x, np.array([1, 1, 2, -1, -1])).tolist() == [0, 0, 1, 0, 1]
    assert groups(x, np.full(5, -1)).tolist() == [0] * 5


def test_a_rule_that_makes_its_tokens_again_has_merged_them_all_the_same(rng):
    tap = ArrayActivations(rng.standard_normal((64, 6)), layout=Layout(np.arange(0, 65, 16), grid=(4, 4)))
    found = graph_spectrum(tap, GraphSpectrumParams(rules="cluster_rebuild"))
    assert found.series["Cluster and rebuild"][-1] > 0.01


def test_merging_the_most_alike_moves_the_spectrum_less_than_merging_the_least(rng):
    heaps = np.repeat(np.eye(4, 12) * 5, 2, axis=0) + 0.05 * rng.standard_normal((8, 12))
    near, far = np.array([0, 0, 1, 1, 2, 2, 3, 3]), np.array([0, 1, 0, 1, 2, 3, 2, 3])
    assert distance(heaps, near) < 0.05 * distance(heaps, far)


def test_a_step_outside_the_old_inputs_changes_nothing_there_and_inside_it_does(rng):
    x = rng.standard_normal((50, 3)) @ rng.standard_normal((3, 10))
    axes = basis(x, 0.9999)
    np.testing.assert_allclose(axes.T @ axes, np.eye(axes.shape[1]), atol=1e-9)
    g = rng.standard_normal((4, 10))
    outside = g - g @ axes @ axes.T
    assert np.abs(x @ outside.T).max() < 1e-9
    assert np.abs(x @ g.T).max() > 0.1
    assert overlap(g, axes) == pytest.approx(1 - np.square(outside).sum() / np.square(g).sum())


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [((0.1, -1), (0.4, 1), "free"), ((0.6, -0.9), (0.9, -0.1), "interference"), ((0.4, 0.2), (0.6, 0.9), "not told"),
     ((0.6, 0.1), (0.9, 0.8), "chance of backward transfer"), ((0.6, -0.2), (0.9, 0.3), "not told")],
)  # fmt: skip
def test_a_verdict_is_told_only_where_the_interval_allows(low, high, said):
    assert verdict(np.array(low), np.array(high), 0.5) == said


def test_gradients_come_in_threes_of_one_width(rng):
    x = rng.standard_normal((30, 5))
    with pytest.raises(ParameterError, match="three for each layer"):
        gradient_overlap(x, x, x, x)
    with pytest.raises(ShapeError, match="one width"):
        gradient_overlap(x, x, rng.standard_normal((30, 6)))
    assert len(gradient_overlap(x, x, x, x, x, x).columns["layer"]) == 2
