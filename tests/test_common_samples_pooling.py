"""Pooled tokens that are kept for the next comparison: never those of another pooling, nor of another tap."""

from __future__ import annotations

import numpy as np
import pytest

from analysis import pipeline
from analysis.activations import ArrayActivations, Layout
from analysis.compute import kept
from analysis.compute.rows.common_samples import common_samples
from analysis.store.cache import ResultCache

POOLED = {"mean": lambda tokens: tokens.mean(axis=1), "max": lambda tokens: tokens.max(axis=1)}


def tap(tokens, name):
    n, k, d = tokens.shape
    return ArrayActivations(tokens.reshape(n * k, d), name=name, layout=Layout(np.arange(n + 1) * k))


@pytest.fixture(autouse=True)
def _nothing_kept():
    kept.forget()
    yield
    kept.forget()


@pytest.mark.parametrize("order", [("mean", "max", "mean"), ("max", "mean", "max")])
def test_mean_and_max_are_kept_apart(rng, order):
    one, other = rng.standard_normal((2, 20, 3, 4))
    taps = [tap(one, "s:one"), tap(other, "s:other")]
    for pooling in order:
        data = common_samples(taps, rng, maximum=100, minimum=4, pooling=pooling)
        for found, tokens in zip(data.values, (one, other), strict=True):
            np.testing.assert_allclose(found, POOLED[pooling](tokens), rtol=1e-12)


def test_mean_and_max_are_kept_apart_on_disk(rng, tmp_path):
    """As another process finds them: nothing in memory."""
    one = rng.standard_normal((40, 3, 4))
    other = one.max(axis=1) @ np.linalg.qr(rng.standard_normal((4, 4)))[0]
    taps, cache = [tap(one, "s:one"), ArrayActivations(other, name="s:other")], ResultCache(tmp_path)
    mean = pipeline.run("cka", taps, {"pooling": "mean"}, cache=cache).values[0, 1]
    kept.forget()
    largest = pipeline.run("cka", taps, {"pooling": "max"}, cache=cache).values[0, 1]
    assert largest == pytest.approx(1, abs=1e-9)
    assert mean < 0.9


def test_other_tokens_under_the_same_name_are_another_tap(rng):
    for tokens in rng.standard_normal((2, 20, 3, 4)):
        data = common_samples([tap(tokens, "s:one")] * 2, rng, maximum=100, minimum=4)
        np.testing.assert_allclose(data.values[0], tokens.mean(axis=1), rtol=1e-12)


def test_values_as_stored_are_the_same_numbers(rng):
    """A tap without tokens keeps its precision, all of it or some samples; one with tokens is pooled in float64."""
    x = (rng.standard_normal((30, 4)) + 1e4).astype(np.float32)
    tokens = ArrayActivations(rng.standard_normal((60, 3)), layout=Layout(np.arange(31) * 2), name="tokens")
    for taps in ([ArrayActivations(x), ArrayActivations(x[:, :2].copy())], [ArrayActivations(x), tokens]):
        for maximum in (100, 20):
            plain, stored = (
                common_samples(taps, np.random.default_rng(0), maximum=maximum, minimum=4, as_stored=kept)
                for kept in (False, True)
            )
            for one, other in zip(plain.values, stored.values, strict=True):
                np.testing.assert_array_equal(one, other)
            assert stored.values[0].dtype == np.float32
            assert plain.values[0].dtype == np.float64


def test_a_row_that_is_not_finite_is_left_out_of_values_as_stored(rng):
    x, y = rng.standard_normal((2, 30, 4)).astype(np.float32)
    x[3, 1] = np.nan
    found = common_samples(
        [ArrayActivations(x), ArrayActivations(y)], rng, maximum=100, minimum=4, as_stored=True
    )
    assert [v.shape for v in found.values] == [(29, 4)] * 2
    np.testing.assert_array_equal(found.values[1], np.delete(y, 3, axis=0))
