"""The plane of what features read and write: its scores against their definition, a network whose latents are its own
outputs, and refusals in words."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from analysis.activations import ArrayActivations, Layout
from analysis.compute.streaming import Pass
from analysis.errors import NotFound
from analysis.features import rules
from analysis.features.feature_set import FeatureSet
from analysis.features.read_write import Words, amplified, input_score, output_score, strongest_contexts
from analysis.methods.dictionaries.read_write import BOTH, ReadWriteParams, _random_latents, read_write
from analysis.spec import no_progress


def test_scores_are_their_definition():
    p = np.array([[0.5, 0.3, 0.15, 0.05], [0.05, 0.15, 0.3, 0.5]])
    np.testing.assert_allclose(output_score(p, np.array([1, 3])), [(1 - 1 / 4) * 0.3, 0.5])
    words = Words(np.eye(4), tuple("abcd"), "", np.array([0, 1, 2, 3, 3, -1]), True)
    assert input_score(words, np.array([3, 4, 0, -1]), np.array([3, 1])) == pytest.approx(2 / 3)
    assert input_score(words, np.array([-1, -1]), np.array([0])) == 0
    np.testing.assert_array_equal(words.raised(np.array([0.1, 3, -1, 2]), 2), [1, 3])


def test_contexts_are_the_strongest_rows_of_different_samples(rng):
    """Three tokens a sample; the row without a word never counts, however strong."""
    x, layout = rng.random((60, 4)), Layout(np.arange(0, 61, 3))
    own = np.tile([0, 1, -1], 20)
    x[2::3] += 10
    tap = ArrayActivations(x, "s:x", {}, layout=layout)
    words = Words(np.eye(2), ("a", "b"), "", own, True)
    found = strongest_contexts(tap, words, np.arange(4), Pass(), no_progress, (0, 1))
    pairs = x.reshape(20, 3, 4)[:, :2]
    for j in range(4):
        best = pairs[:, :, j].max(axis=1)
        order = np.argsort(-best, kind="stable")
        expected = 3 * order + pairs[order, :, j].argmax(axis=1)
        np.testing.assert_array_equal(found.rows[j], expected)
        assert found.size[j] == pytest.approx(best.mean(), rel=1e-6)


def test_units_that_are_classes_read_and_write_them_and_without_any_label_it_says_so(rng):
    of = np.arange(160) % 4
    x = np.hstack([3 * np.eye(4)[of], np.zeros((160, 3))]) + 0.3 * rng.random((160, 7))
    found = read_write(ArrayActivations(x, "s:x", {"label": of}), ReadWriteParams(draws=40))
    assert set(found.columns["place"][:4]) == {BOTH}
    assert BOTH not in found.columns["place"][4:]
    assert list(found.columns["outputs"][:4]) == list("0123")
    assert ((found.positions >= 0) & (found.positions <= 1)).all()
    with pytest.raises(NotFound, match="no labels and no network"):
        read_write(ArrayActivations(x, "s:x", {}))


def test_random_latents_are_as_long_and_strong_as_features_and_steering_follows_the_size_of_a_row(rng):
    lengths, sizes = np.array([2.0, 5.0]), np.array([3.0, 7.0])
    drawn = _random_latents(lengths[:, None] * np.eye(2, 6), sizes, 50, rng).values()
    assert {round(float(np.linalg.norm(d)), 9) for d, _ in drawn} == set(lengths)
    assert {size for _, size in drawn} == set(sizes)
    zero, x = np.zeros(4), rng.standard_normal((5, 4)) * np.arange(1, 6)[:, None]
    features = FeatureSet(
        "n", rules.LINEAR, np.eye(4), np.eye(4), zero, zero, zero, scale=2.0, normalise="norm"
    )
    made = SimpleNamespace(features=features)
    moved = amplified(made, np.eye(4)[1], 3.0)(x, None) - x
    expected = 3 * np.linalg.norm(x, axis=1) / np.sqrt(4) / 2
    np.testing.assert_allclose(moved, np.outer(expected, np.eye(4)[1]), rtol=1e-6)


def test_scaling_a_tap_scales_what_is_added_to_it(rng):
    of = np.arange(120) % 4
    x = np.hstack([np.eye(4)[of], np.zeros((120, 2))]) + 0.3 * rng.random((120, 6))
    params = ReadWriteParams(draws=5, amplification=1.0)
    one, large = (
        read_write(ArrayActivations(v, "s:x", {"label": of}), params).positions for v in (x, 50 * x)
    )
    np.testing.assert_allclose(one, large, atol=0.01)
