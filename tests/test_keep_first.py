"""The first k features: the probe against another implementation, exchanged labels, and orders in which the first few
hold what is common."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.activations import ArrayActivations
from analysis.compute.linear.keep_first import MEASURES, _fitted, exchanged_labels, first_units, turned
from analysis.errors import InputError
from analysis.methods.dictionaries.keep_first import AS_IT_IS, COMPONENTS, KeepFirstParams, keep_first


@pytest.mark.parametrize("shape", [(40, 12), (20, 30)])
def test_the_probe_is_ridge_regression_and_repeats_everything_where_units_are_many(shape, rng):
    from sklearn.linear_model import Ridge

    n, d = shape
    x, y, t = rng.standard_normal((n, d)), rng.standard_normal((n, 3)), rng.standard_normal((7, d))
    z = x - x.mean(axis=0)
    other = Ridge(alpha=0.1 * (z**2).sum() / min(n, d)).fit(x, y)
    again, found = _fitted(x, y, t, 0.1)
    np.testing.assert_allclose(again, other.predict(x), atol=1e-10)
    np.testing.assert_allclose(found, other.predict(t), atol=1e-10)
    repeated = _fitted(x, y, t, 1e-9)[0]
    assert (np.abs(repeated - y).max() < 1e-5) == (d >= n)


def test_exchanged_labels_are_as_many_as_asked_and_all_others(rng):
    of = np.arange(200) % 4
    told = exchanged_labels(of, 4, 0.3, rng)
    assert (told != of).sum() == 60
    assert set(told) == set(range(4))


def test_each_measure_is_over_the_samples_it_is_about(rng):
    of = np.arange(60) % 2
    told = exchanged_labels(of, 2, 0.2, rng)
    x = rng.standard_normal((60, 80))
    found = first_units(x, of, told, 2, np.arange(60) % 3, np.array([2, 80]), 1e-9)
    np.testing.assert_array_equal(np.isnan(found[2]).all(axis=0), told == of)
    np.testing.assert_allclose(found[2, 1][told != of], 1)
    assert set(np.unique(found[:2])) == {0, 1}
    np.testing.assert_allclose(np.diff(turned(x).var(axis=0)) <= 1e-12, True)


def test_an_order_that_puts_the_class_first_beats_random_ones_and_its_reverse_does_not(rng):
    of = np.arange(180) % 3
    x = rng.standard_normal((180, 64)) * 0.5
    x[:, :3] += 3 * np.eye(3)[of]
    params = KeepFirstParams(draws=5, order=AS_IT_IS)
    first, last = (
        keep_first(ArrayActivations(v, "s:x", {"label": of}), params)
        for v in (x, np.ascontiguousarray(x[:, ::-1]))
    )
    clean = MEASURES[0]
    assert first.series[clean][2] > 0.95
    assert first.series[clean][2] > first.null[clean][2] + 0.2
    assert last.series[clean][2] < 0.6
    gain = first.estimates[2]
    noisy = first.series[MEASURES[1]]
    assert gain.d == 16  # a quarter of them
    assert gain.value == pytest.approx(noisy[first.x == 16][0] - noisy[-1])
    noise = keep_first(ArrayActivations(rng.standard_normal((90, 8)), "s:n", {"label": of[:90]}), params)
    wrong = 1 - noise.series[clean][-1]
    assert noise.estimates[3].null == pytest.approx(wrong / 2)  # spread over two other classes
    assert wrong > 0.4
    np.testing.assert_allclose(first.series[clean][-1], first.null[clean][-1], atol=1e-12)
    axes = keep_first(
        ArrayActivations(x[:, ::-1], "s:x", {"label": of}), KeepFirstParams(draws=2, order=COMPONENTS)
    )
    assert axes.series[clean][1] > 0.95


def test_one_feature_that_varies_is_refused():
    x = np.zeros((60, 4))
    x[:, 1] = np.arange(60)
    with pytest.raises(InputError, match="1 feature"):
        keep_first(ArrayActivations(x, "s:x", {"label": np.arange(60) % 2}))


def test_a_gain_of_nothing_has_a_width(rng):
    of = np.arange(80) % 2
    x = rng.standard_normal((80, 12)) + 40 * of[:, None]
    found = keep_first(ArrayActivations(x, "apart", {"label": of}), KeepFirstParams(draws=2))
    gain = next(e for e in found.estimates if e.name.startswith("what the first"))
    assert gain.low < gain.value < gain.high
    assert "Newcombe" in gain.interval
