"""Complexity of features: R² as another implementation has it, monotone in the layers, and what importance falls back
to."""

from __future__ import annotations

import numpy as np
import pytest
from dictionary_subjects import encoded

from analysis.activations import ArrayActivations
from analysis.errors import InputError
from analysis.features import rules
from analysis.features.feature_set import FeatureSet
from analysis.methods.dictionaries.feature_complexity import FeatureComplexityParams, feature_complexity

FEW = {"draws": 2, "own": False}


def taps(n=200, seed=0, **samples):
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((2, n, 4))
    z = np.column_stack([a[:, 0], a[:, 1] + b[:, 0], np.abs(b[:, 1])])
    return [
        ArrayActivations(x, name, samples) for name, x in (("z", z), ("one", a), ("two", np.hstack([a, b])))
    ]


def test_r2_of_a_mixture_is_its_share_of_variance_and_a_layer_that_tells_nothing_raises_k():
    """a + b of equal variance from a alone: R² 1/2. |b| is even: no linear probe of b tells it."""
    z, one, two = taps(4000)
    found = feature_complexity(z, one, two, params=FeatureComplexityParams(**FEW))
    k, c = found.positions[:, 0], found.columns
    np.testing.assert_allclose(c["R² from one"], [1, 0.5, 0], atol=0.04)
    np.testing.assert_allclose(c["R² from two"], [1, 1, 0], atol=0.02)
    np.testing.assert_allclose(k, [0, 0.25, 1], atol=0.04)
    blind = ArrayActivations(np.random.default_rng(5).standard_normal((4000, 3)), "blind", {})
    more = feature_complexity(z, one, two, blind, params=FeatureComplexityParams(**FEW))
    np.testing.assert_allclose(more.positions[:, 0], 1 - 2 / 3 * (1 - k), atol=0.01)
    # R² = 1/2 of 4,000 samples has the error 0.011, halved by the layer that tells it all; t of nine degrees
    assert 0.006 < c["interval ±"][1] < 0.025


def test_importance_is_the_loss_where_there_are_labels_and_else_what_a_feature_writes():
    z, one, two = taps()
    plain = feature_complexity(z, one, two, params=FeatureComplexityParams(**FEW))
    assert "deviation" in plain.axes[1]
    np.testing.assert_allclose(10 ** plain.positions[:, 1], np.std(z.values, axis=0), rtol=1e-6)
    told = [
        ArrayActivations(t.values, t.name, {"label": (z.values[:, 2] > 0.7).astype(int)})
        for t in (z, one, two)
    ]
    with_labels = feature_complexity(*told, params=FeatureComplexityParams(**FEW))
    assert "loss" in with_labels.axes[1]
    assert with_labels.positions[:, 1].argmax() == 2


def test_what_a_feature_writes_counts_the_length_of_its_direction(tmp_path):
    x, zero = taps()[0].values, np.zeros(3)
    long = FeatureSet("long", rules.LINEAR, np.eye(3), np.diag([1.0, 10.0, 0.1]), zero, zero, zero)
    store = encoded(tmp_path / "s", x, [long])
    tap = store.activations(next(t for t in store.taps if t not in store.recorded))
    found = feature_complexity(tap, store.activations("mlp"), params=FeatureComplexityParams(**FEW))
    np.testing.assert_allclose(10 ** found.positions[:, 1], x.std(axis=0) * [1, 10, 0.1], rtol=1e-4)


def test_features_that_hardly_vary_are_refused():
    _, one, two = taps()
    still = ArrayActivations(np.zeros((200, 3)) + np.eye(200, 3), "still", {})
    with pytest.raises(InputError, match="vary in 8 samples"):
        feature_complexity(still, one, two, params=FeatureComplexityParams(**FEW))
