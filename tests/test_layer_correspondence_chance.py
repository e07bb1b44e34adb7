"""Matches of layers against chance: layers without one have no point, the band holds what is not clearly less alike,
the best of several is beside the bound of unrelated layers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from scipy import stats

from analysis.activations import ArrayActivations
from analysis.compute.similarity import layer_matches
from analysis.compute.similarity.layer_matches import best_of_unrelated
from analysis.compute.similarity.similarity_grid import Grid
from analysis.methods.similarity.layer_correspondence import layer_correspondence

SWING = np.linspace(-1, 1, 10)
UNIT = stats.t.ppf(0.975, 9) * np.sqrt(0.9 * (SWING**2).sum())  # half-width of the interval of 0 ± SWING


def network(name, layers):
    return [ArrayActivations(x, name=f"{name}:{i}") for i, x in enumerate(layers)]


def grid(values, moves, p=None):
    """One layer against q others: `moves` (q,) half-width of the interval of each, all to the same side."""
    values, moves = np.array([values]), np.array([moves])
    series = np.concatenate([values[None], values + SWING[:, None, None] * moves / UNIT])
    none = np.zeros(values.shape)
    p = none + 1e-6 if p is None else np.array([p])
    return Grid(
        np.array([0]), np.arange(1, 1 + values.shape[1]), series, none, none + 0.01, p, p > 2, 100, (3,) * 9
    )


# ---------------------------------------------------------------------------- the band
@pytest.mark.parametrize(
    ("values", "moves", "ends"),
    [
        ([0.85, 0.5, 0.9, 0.5, 0.5], [0.06, 0.0, 0.0, 0.0, 0.0], (0.0, 0.5)),  # 0.05 less, ± 0.06
        ([0.85, 0.5, 0.9, 0.5, 0.5], [0.04, 0.0, 0.0, 0.0, 0.0], (0.5, 0.5)),  # 0.05 less, ± 0.04
        ([0.5, 0.5, 0.9, 0.5, 0.8], [0.0, 0.0, -0.06, 0.0, 0.06], (0.5, 1.0)),  # 0.1 less, ± 0.12
        ([0.5, 0.89, 0.9, 0.89, 0.5], [0.3, 0.3, 0.3, 0.3, 0.3], (0.5, 0.5)),  # unsure, and always less
        ([0.5, 0.89, 0.9, 0.89, 0.5], [0.3, 0.2, 0.3, 0.2, 0.3], (0.25, 0.75)),
    ],
)
def test_the_band_holds_the_layers_whose_difference_from_the_match_reaches_0(values, moves, ends):
    found = layer_matches.matched(grid(values, moves), np.ones(5, bool))
    assert found.depth[0] == 0.5
    assert (found.low[0], found.high[0]) == ends


def test_without_an_interval_the_band_is_the_match():
    whole = grid([0.5, 0.89, 0.9], [0.3, 0.0, 0.0])
    one = Grid(
        whole.rows,
        whole.columns,
        whole.series[:1],
        whole.null,
        whole.deviation,
        whole.p,
        whole.few,
        100,
        (3,) * 4,
    )
    found = layer_matches.matched(one, np.ones(3, bool))
    assert (found.low[0], found.depth[0], found.high[0]) == (1.0, 1.0, 1.0)


# ---------------------------------------------------------------------------- a match or none
def test_a_match_that_is_not_beyond_chance_has_no_point_and_no_band():
    found = layer_matches.matched(grid([0.2, 0.9, 0.3], [0.0] * 3, p=[1e-6, 0.5, 1e-6]), np.ones(3, bool))
    assert not found.sure[0]
    assert np.isnan([found.depth[0], found.low[0], found.high[0]]).all()
    found = layer_matches.matched(grid([0.2, 0.9, 0.3], [0.0] * 3, p=[0.5, 1e-6, 0.5]), np.ones(3, bool))
    assert found.sure[0]
    assert found.depth[0] == 0.5


def test_layers_without_a_match_have_no_part_in_the_order_nor_in_the_words():
    rng = np.random.default_rng(1)
    layers = [rng.standard_normal((300, 10)) for _ in range(5)]
    strange = [layers[0], rng.standard_normal((300, 10)), *layers[1:4], rng.standard_normal((300, 10))]
    found = layer_correspondence(*network("a", strange), *network("b", layers))
    np.testing.assert_array_equal(found.series["b"], [0, np.nan, 0.25, 0.5, 0.75, np.nan])
    for ends in (found.low["b"], found.high["b"]):
        np.testing.assert_array_equal(np.isnan(ends), [False, True, False, False, False, True])
    order = next(e for e in found.estimates if e.name == "order kept in b")
    assert (order.n, order.value) == (4, pytest.approx(1))
    assert order.p_value == pytest.approx(1 / 24)  # one of all orders of four layers
    assert found.reading == (
        "Most alike in b, with their CKA: 0 with 0 (1.00); 2 with 1 (1.00); 3 with 2 (1.00); 4 with 3 (1.00)."
    )
    assert any("2 layer(s) of a have no match in b" in c for c in found.caveats)


@pytest.mark.parametrize("seed", range(3))
def test_unrelated_networks_have_no_match_and_no_order(seed):
    x = np.random.default_rng(seed).standard_normal((8, 80, 12))
    found = layer_correspondence(*network("a", x[:4]), *network("b", x[4:]))
    assert np.isnan(found.series["b"]).all()
    assert [e.name for e in found.estimates] == ["mean CKA of each layer's best in b"]
    assert found.reading == "No layer has a match in b beyond chance."


# ---------------------------------------------------------------------------- the best of unrelated layers
@settings(max_examples=20)
@given(some.integers(5, 10**5), some.integers(1, 60))
def test_the_bound_in_closed_form(n, layers):
    assert best_of_unrelated(n, layers) == pytest.approx(np.sqrt(2 / (n * (n - 3)) * (layers - 1)), rel=1e-12)


@pytest.mark.parametrize("others", [2, 6])
def test_the_mean_of_bests_of_unrelated_layers_is_above_0_and_below_the_bound(others):
    """30 draws of eight layers against two or six unrelated ones."""
    below = above = 0
    for seed in range(30):
        x = np.random.default_rng(seed).standard_normal((8 + others, 60, 12))
        e = layer_correspondence(*network("a", x[:8]), *network("b", x[8:])).estimates[0]
        assert e.name == "mean CKA of each layer's best in b"
        assert e.null == pytest.approx(np.sqrt(2 / (60 * 57)) * np.sqrt(others - 1), rel=1e-12)
        assert f"best of {others} unrelated layers" in e.null_method
        below += e.value < e.null
        above += e.value > 0
    assert below >= 28
    assert above >= 28  # 0 itself would be no null of it


def test_the_bound_holds_for_any_dependence():
    """It is reached where one of the layers has all of the deviation at a time, at random which (Aven 1985)."""
    n, q = 50, 5
    s = np.sqrt(2 / (n * (n - 3)))
    values = np.full((q, q), -s / np.sqrt(q - 1))
    np.fill_diagonal(values, s * np.sqrt(q - 1))  # a row for each case, all as likely
    np.testing.assert_allclose(values.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(values.std(axis=0), s, rtol=1e-12)
    assert values.max(axis=1).mean() == pytest.approx(best_of_unrelated(n, q), rel=1e-12)
