"""The table of features against whole arrays, and its suspects on planted doubles, splits and absorption."""

from __future__ import annotations

import numpy as np
import pytest
from dictionary_subjects import atoms, encoded, planted_codes, set_of

from analysis.compute.dictionaries import firing as parts
from analysis.compute.dictionaries.coherence import nearest, nearest_p, random_directions
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.streaming import Pass
from analysis.features import rules
from analysis.features.feature_set import FeatureSet
from analysis.methods.dictionaries.feature_table import feature_table
from analysis.spec import no_progress


def test_every_column_again_from_whole_arrays(tmp_path):
    a = atoms()
    a[3] *= 2
    x = planted_codes(400) @ a
    x[7] = np.inf
    tap = encoded(tmp_path / "s", x, [set_of("p", a, silent=2)], tokens=np.full(100, 4)).activations("mlp@p")
    c = feature_table(tap).columns
    codes = np.delete(tap.take(np.arange(400)), 7, axis=0).astype(float)
    on = codes != 0
    np.testing.assert_allclose(c["firing rate"], on.mean(axis=0))
    assert (c["low"] <= c["firing rate"]).all()
    assert (c["high"] - c["low"])[0] > 2 * 1.9 * np.sqrt(on[:, 0].mean() * (1 - on[:, 0].mean()) / 399)
    np.testing.assert_allclose(c["largest"], codes.max(axis=0), rtol=1e-6)
    np.testing.assert_allclose(c["mean"][:-2], (codes.sum(axis=0)[:-2] / on.sum(axis=0)[:-2]), rtol=1e-5)
    assert c["length"][3] == pytest.approx(2, abs=1e-6)
    cosine = atoms() @ atoms().T
    np.fill_diagonal(cosine, -9)
    cosine[:, -2:] = -9  # a dead feature is no neighbour
    np.testing.assert_array_equal(c["nearest"].astype(int), cosine.argmax(axis=1))
    np.testing.assert_allclose(c["cosine"], cosine.max(axis=1), atol=1e-6)
    j = cosine.argmax(axis=1)
    both = (on & on[:, j]).sum(axis=0)
    rare = np.minimum(on.sum(axis=0), on[:, j].sum(axis=0))
    np.testing.assert_allclose(c["together"], both / np.maximum(rare, 1))
    assert (c["verdict"][-2:] == parts.DEAD).all()


def planted_pairs():
    """Codes (2000, 8) and directions: 0 and 1 fire together, 2 and 3 share one concept, 4 is silent where 5 fires, 6
    and 7 are far from all."""
    rng = np.random.default_rng(0)
    codes = np.zeros((2000, 8))
    codes[:, 0] = codes[:, 1] = rng.random(2000) < 0.2
    concept, part = rng.random(2000) < 0.4, rng.random(2000) < 0.5
    codes[:, 2], codes[:, 3] = concept & part, concept & ~part
    general, specific = rng.random(2000) < 0.5, rng.random(2000) < 0.3
    codes[:, 5] = general & specific
    codes[:, 4] = general & ~specific
    codes[:, 6:] = rng.random((2000, 2)) < 0.1
    basis = np.linalg.qr(rng.standard_normal((40, 40)))[0]
    directions = basis[:8].copy()
    for i in (1, 3, 5):
        directions[i] = 0.95 * basis[i - 1] + np.sqrt(1 - 0.95**2) * basis[i]
    return codes, directions


def test_doubles_splits_and_absorption_are_told_apart(tmp_path):
    """The encoder undoes the directions, so that the codes are the planted ones; a little bias silences rounding."""
    codes, directions = planted_pairs()
    zero = np.zeros(40)
    features = FeatureSet(
        "p", rules.RELU, np.linalg.pinv(directions), directions, np.full(8, -0.01), zero, zero
    )
    tap = encoded(tmp_path / "s", codes @ directions, [features]).activations("mlp@p")
    np.testing.assert_array_equal(tap.take(np.arange(2000)) != 0, codes != 0)
    c = feature_table(tap).columns
    assert list(c["nearest"][:6]) == ["1", "0", "3", "2", "5", "4"]
    np.testing.assert_allclose(c["cosine"][:6], 0.95, atol=1e-5)
    assert (c["q"][:6] < 1e-6).all()
    assert list(c["verdict"]) == [
        parts.DOUBLE, parts.DOUBLE, parts.SPLIT, parts.SPLIT, parts.ABSORBED, parts.ABSORBS, parts.ALONE, parts.ALONE
    ]  # fmt: skip


def test_independent_neighbours_are_only_near(tmp_path):
    codes, directions = planted_pairs()
    codes = (np.random.default_rng(5).random(codes.shape) < 0.3).astype(float)
    zero = np.zeros(40)
    features = FeatureSet(
        "p", rules.RELU, np.linalg.pinv(directions), directions, np.full(8, -0.01), zero, zero
    )
    tap = encoded(tmp_path / "s", codes @ directions, [features]).activations("mlp@p")
    assert set(feature_table(tap).columns["verdict"][:6]) == {parts.NEAR}


def test_random_directions_stand_alone():
    """On 40 random dictionaries at most one feature in twenty is called nearer than chance."""
    rng, close = np.random.default_rng(0), 0
    for _ in range(40):
        p = nearest_p(nearest(random_directions(30, 12, rng)).cosine, 30, 12)
        close += (benjamini_hochberg(p) <= 0.05).sum()
    assert close <= 0.05 * 40 * 30


def test_counts_of_pairs(tmp_path):
    tap = encoded(tmp_path / "s", planted_codes(300) @ atoms(), [set_of("p", atoms())]).activations("mlp@p")
    on = tap.take(np.arange(300)) != 0
    one, other = np.array([0, 5, 5, 9]), np.array([1, 2, 5, 0])
    found = parts.pair_counts(tap, one, other, no_progress, (0, 1))
    np.testing.assert_array_equal(found, (on[:, one] & on[:, other]).sum(axis=0))
    whole = parts.firing(tap, Pass(), no_progress, (0, 1))
    np.testing.assert_array_equal(whole.count, on.sum(axis=0))
