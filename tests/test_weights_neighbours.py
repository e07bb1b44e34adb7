"""Neighbour symmetry: growing and coalescing undo each other, concordance by its definition, nulls, bad input."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.activations import ArrayActivations
from analysis.compute.networks import coalescing as compute
from analysis.compute.networks.coalescing import (
    coalesced,
    coalescing,
    growing,
    grown,
    likeness,
    neighbours_between,
    neighbours_in,
)
from analysis.errors import NotEnoughData, ParameterError, ShapeError
from analysis.methods.weights import neighbour_symmetry as module
from analysis.methods.weights.neighbour_symmetry import WEIGHTS, NeighbourSymmetryParams, neighbour_symmetry

FEW = settings(max_examples=20, deadline=None)


def network(rng, widths=(6, 8, 10, 4)):
    return [rng.standard_normal((b, a)) for a, b in pairwise(widths)]


def function(weights, x):
    for w in weights[:-1]:
        x = np.maximum(x @ w.T, 0)
    return x @ weights[-1].T


def lin(a, b):
    """Lin (1989), equation (5), with variances over n."""
    return 2 * np.cov(a, b, bias=True)[0, 1] / (a.var() + b.var() + (a.mean() - b.mean()) ** 2)


# ---------------------------------------------------------------------------- growing and coalescing
@pytest.mark.parametrize("d", [1, 2, 7])
def test_coalescing_what_was_grown_is_the_identity(d):
    np.testing.assert_array_equal(coalescing(2 * d) @ growing(d), np.eye(d))
    both = growing(d) @ coalescing(2 * d)
    np.testing.assert_allclose(both @ both, both)
    assert np.linalg.matrix_rank(both) == d
    with pytest.raises(ShapeError, match="even"):
        coalescing(2 * d + 1)


@FEW
@given(st.integers(0, 10**6))
def test_a_grown_network_computes_the_same_twice_and_comes_back(seed):
    rng = np.random.default_rng(seed)
    small, x = network(rng), rng.standard_normal((20, 6))
    large = [grown(w) for w in small]
    np.testing.assert_allclose(
        function(large, np.repeat(x, 2, axis=1)), np.repeat(function(small, x), 2, axis=1), atol=1e-10
    )
    for w, v in zip(small, large, strict=True):
        np.testing.assert_allclose(coalesced(v), w, atol=1e-12)


@FEW
@given(st.integers(0, 10**6))
def test_likeness_is_lins_concordance(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((30, 3)) * [1, 5, 0.2] + [0, 3, -1], rng.standard_normal((30, 2)) + 1
    expected = [[lin(x, y) for y in b.T] for x in a.T]
    np.testing.assert_allclose(likeness(a, b, True), expected, atol=1e-12)
    assert likeness(a, a, True)[0, 0] == pytest.approx(1)
    assert likeness(a, 2 * a, True)[0, 0] < 0.95
    assert likeness(a, a + 1, True)[0, 0] < 0.95
    assert likeness(a, -a, False)[0, 0] == pytest.approx(-1)


@FEW
@given(st.integers(0, 10**6), st.booleans())
def test_what_joining_loses_is_what_growing_back_misses(seed, centred):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((40, 8)) + rng.standard_normal(8)
    found = neighbours_in(x, centred, rng)
    back = x @ (growing(4) @ coalescing(8)).T
    middle = back.mean(axis=0) if centred else 0.0
    assert found.lost == pytest.approx(((x - back) ** 2).sum() / ((x - middle) ** 2).sum(), rel=1e-9)


def test_the_expected_likeness_is_that_of_all_pairs(rng):
    x = rng.standard_normal((30, 6)) + 0.3 * rng.standard_normal((30, 1))
    found = neighbours_in(x, True, rng)
    every = [lin(x[:, i], x[:, j]) for i in range(6) for j in range(6) if i != j]
    assert found.expected == pytest.approx(np.mean(every))
    assert found.chance.mean() == pytest.approx(found.expected, abs=0.02)
    np.testing.assert_allclose(found.alike, [lin(x[:, i], x[:, i + 1]) for i in (0, 2, 4)])
    assert found.shifted == pytest.approx(np.mean([lin(x[:, i], x[:, i + 1]) for i in (1, 3)]))


def test_layers_are_compared_unit_by_unit(rng):
    x = rng.standard_normal((30, 5))
    y = x + 0.2 * rng.standard_normal((30, 5))
    found = neighbours_between(x, y, True, rng)
    np.testing.assert_allclose(found.alike, [lin(x[:, j], y[:, j]) for j in range(5)])
    every = [lin(x[:, i], y[:, j]) for i in range(5) for j in range(5)]
    assert found.expected == pytest.approx(np.mean(every))
    assert found.p_value == pytest.approx(1e-3, abs=0.02)
    with pytest.raises(ShapeError):
        neighbours_between(x, y[:, :4], True, rng)


# ---------------------------------------------------------------------------- the method
def test_a_grown_layer_is_told_from_its_shuffled_copy(rng):
    x = np.repeat(rng.standard_normal((200, 12)), 2, axis=1)
    found = neighbour_symmetry(x)
    assert found.columns["equal"][0] == 1
    assert found.columns["p"][0] == pytest.approx(1e-3)
    assert "as after doubling the channels" in found.reading
    mixed = neighbour_symmetry(x[:, np.r_[0, 23, 1:23]])
    assert mixed.columns["equal"][0] < 0.2
    assert mixed.columns["one place on"][0] > 0.9


def test_training_after_growing_leaves_a_trace(rng):
    x = np.repeat(rng.standard_normal((200, 30)), 2, axis=1) + 1.5 * rng.standard_normal((200, 60))
    found = neighbour_symmetry(x)
    assert found.columns["equal"][0] == 0
    assert "a trace of doubled channels" in found.reading
    smooth = np.cumsum(rng.standard_normal((200, 60)), axis=1)
    assert "nearby channels are alike" in neighbour_symmetry(smooth / smooth.std(axis=0)).reading


def test_unrelated_channels_pass_as_often_as_they_should():
    p = np.array([neighbour_symmetry(np.random.default_rng(s).standard_normal((50, 16))).columns["p"][0]
                  for s in range(40)])  # fmt: skip
    assert (p < 0.05).sum() <= 6
    assert 0.3 < p.mean() < 0.7


def test_grown_weights_are_found_in_a_table(rng):
    w = grown(rng.standard_normal((10, 7)))
    found = neighbour_symmetry(w.T, params=NeighbourSymmetryParams(by=WEIGHTS))
    assert found.columns["likeness"][0] == pytest.approx(1)
    assert found.columns["lost by joining"][0] < 1e-12
    assert neighbour_symmetry(
        rng.standard_normal((7, 20)), params=NeighbourSymmetryParams(by=WEIGHTS)
    ).columns["lost by joining"][0] == pytest.approx(0.5, abs=0.2)


def test_a_doubled_layer_stands_out_among_others(rng):
    a, b = rng.standard_normal((2, 100, 8))
    taps = [ArrayActivations(x, name=f"net:{i}") for i, x in enumerate((a, a, b, b))]
    found = neighbour_symmetry(*taps)
    assert found.columns["compared"].tolist()[4:] == ["0 and 1", "1 and 2", "2 and 3"]
    np.testing.assert_allclose(found.columns["likeness"][[4, 6]], 1)
    assert abs(found.columns["likeness"][5]) < 0.2
    assert len(found.estimates) == 7
    other = neighbour_symmetry(taps[0], ArrayActivations(b[:, :6], name="net:9"))
    assert len(other.columns["p"]) == 2
    assert any("not of one shape" in c for c in other.caveats)


def test_dead_and_odd_units_are_left_out_and_said(rng):
    x = rng.standard_normal((40, 9))
    x[:, 2] = 5.0
    found = neighbour_symmetry(x)
    assert found.columns["pairs"][0] == 3
    said = " ".join(found.caveats)
    assert "(1)" in said
    assert "odd number" in said


def test_symmetry_refuses(rng):
    with pytest.raises(NotEnoughData, match=r"1 pair"):
        neighbour_symmetry(rng.standard_normal((30, 3)))
    with pytest.raises(NotEnoughData, match="finite"):
        neighbour_symmetry(np.full((30, 6), np.nan))
    with pytest.raises(ParameterError, match="no tap"):
        neighbour_symmetry()
    x = rng.standard_normal((30, 6))
    with pytest.raises(ParameterError, match="one tap"):
        neighbour_symmetry(x, x, params=NeighbourSymmetryParams(by=WEIGHTS, layers="a,b"))


# ---------------------------------------------------------------------------- checks that can fail
@pytest.mark.parametrize(
    ("where", "name", "broken"),
    [
        (compute, "likeness", lambda a, b, centred: np.clip(a.T @ b / len(a), -1, 1) * 0.9),
        (compute, "_lost", lambda a, b, centred: 0.1),
        (module, "grown", lambda w: np.repeat(w, 2, axis=0)[:, ::-1] * np.arange(1, 2 * len(w) + 1)[:, None]),
        (compute, "_living", lambda first, step, *_: np.column_stack([first[:-2], first[:-2] + 2])),
    ],
)
def test_the_check_fails_on_broken_code(monkeypatch, where, name, broken):
    check = module.METHODS[0].check
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in check())
