"""Which layer corresponds to which: planted networks, wide bands, no match, orders against all orders."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from scipy.stats import spearmanr

from analysis.activations import ArrayActivations
from analysis.compute.similarity import layer_matches
from analysis.errors import ParameterError
from analysis.methods.similarity import layer_correspondence as module
from analysis.methods.similarity.layer_correspondence import layer_correspondence


def network(name, layers):
    return [ArrayActivations(x, name=f"{name}:{i}") for i, x in enumerate(layers)]


def walk(rng, count, step, n=400, d=12):
    layers = [rng.standard_normal((n, d))]
    for _ in range(count - 1):
        layers.append(layers[-1] + step * rng.standard_normal((n, d)))
    return layers


def test_a_deeper_copy_is_found_layer_by_layer(rng):
    layers = walk(rng, 7, 0.8)
    turn = np.linalg.qr(rng.standard_normal((12, 12)))[0]
    found = layer_correspondence(*network("a", layers[::3]), *network("b", [5 * x @ turn for x in layers]))
    np.testing.assert_allclose(found.series["b"], [0, 0.5, 1])
    np.testing.assert_allclose(found.series["same relative depth"], found.x)
    assert "0 with 0 (1.00); 1 with 3 (1.00); 2 with 6 (1.00)" in found.reading


def test_layers_that_would_do_as_well_widen_the_band(rng):
    x = rng.standard_normal((300, 10))
    noisy = [x + 0.3 * rng.standard_normal(x.shape) for _ in range(5)]
    found = layer_correspondence(*network("a", [x]), *network("b", noisy))
    assert found.high["b"][0] - found.low["b"][0] >= 0.5
    far = [rng.standard_normal(x.shape), x, rng.standard_normal(x.shape)]
    found = layer_correspondence(*network("a", [x]), *network("b", far))
    assert (found.low["b"][0], found.series["b"][0], found.high["b"][0]) == (0.5, 0.5, 0.5)


def test_a_layer_without_a_relation_has_no_point_and_that_is_said(rng):
    x = rng.standard_normal((400, 8))
    found = layer_correspondence(*network("a", [rng.standard_normal(x.shape), x]), *network("b", [x, x + 1]))
    assert np.isnan(found.series["b"][0])
    assert np.isfinite(found.series["b"][1])
    assert any("1 layer(s) of a have no match in b" in c for c in found.caveats)
    none = layer_correspondence(*network("a", [rng.standard_normal(x.shape)]), *network("b", [x]))
    assert none.reading == "No layer has a match in b beyond chance."


@pytest.mark.parametrize("k", [4, 6])
def test_the_order_is_spearmans_and_its_null_all_orders(k, rng):
    depth = rng.integers(0, 3, k) / 2
    depth[:2] = 0, 1
    rho, null, how = layer_matches.order_kept(depth, rng)
    assert rho == pytest.approx(spearmanr(np.arange(k), depth).statistic, abs=1e-12)
    every = [spearmanr(o, depth).statistic for o in permutations(range(k))]
    np.testing.assert_allclose(np.sort(null), np.sort(every), atol=1e-12)
    assert how.startswith("all")


def test_many_layers_draw_orders(rng):
    rho, null, how = layer_matches.order_kept(np.arange(9.0), rng)
    assert (rho, how, len(null)) == (pytest.approx(1), "drawn", layer_matches.DRAWS)
    assert np.abs(null.mean()) < 0.05
    assert np.std(null) == pytest.approx(1 / np.sqrt(8), rel=0.1)  # exact for Spearman's


def test_several_networks_have_a_series_each_and_one_alone_is_refused(rng):
    layers = walk(rng, 3, 0.5)
    found = layer_correspondence(*network("a", layers), *network("b", layers), *network("c", layers[::-1]))
    assert list(found.series) == ["b", "c", "same relative depth"]
    order = {e.name: e.value for e in found.estimates}
    assert order["order kept in b"] == pytest.approx(1)
    assert order["order kept in c"] == pytest.approx(-1)
    with pytest.raises(ParameterError, match="two networks"):
        layer_correspondence(*network("a", layers))


@pytest.mark.parametrize("broken", ["order", "band"])
def test_the_check_fails_on_broken_code(monkeypatch, broken):
    if broken == "order":
        monkeypatch.setattr(layer_matches, "midranks", lambda x: (x[::-1], None))
    else:
        monkeypatch.setattr(layer_matches, "depths", lambda count: np.arange(count) / max(count, 2))
    assert not all(line.passed for line in module._check())
