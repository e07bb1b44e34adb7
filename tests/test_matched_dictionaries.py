"""Matched dictionaries: what two networks that are rotations of each other share, and what unrelated directions do
not."""

from __future__ import annotations

import dictionary_subjects as subjects
import numpy as np
import pytest

from analysis.activations import ArrayActivations
from analysis.errors import NotEnoughData
from analysis.features import rules
from analysis.features.encoding import encode_tap
from analysis.features.feature_set import FeatureSet
from analysis.methods.dictionaries.matched_dictionaries import (
    ALL,
    MatchedDictionariesParams,
    matched_dictionaries,
)
from analysis.store.from_arrays import write_store

K, D = 22, 6


@pytest.fixture(scope="module")
def taps(tmp_path_factory):
    """The same codes on directions "a", on those turned and in another order ("b"), and on unrelated ones ("c"),
    where the first eight are noisy."""
    rng = np.random.default_rng(0)
    codes, order = subjects.planted_codes(400, K + 2)[:, :K], rng.permutation(K)
    own, turn = subjects.atoms(K, D), np.linalg.qr(rng.standard_normal((D, D)))[0]
    label = np.where(codes[:, :8].mean(axis=1) > codes[:, 8:].mean(axis=1), "low", "high")
    noise = 0.3 * codes.std(axis=0) * rng.standard_normal(codes.shape) * (np.arange(K) < 8)
    sides = {
        "a": (own, codes),
        "b": ((own @ turn)[order], codes[:, order]),
        "c": (subjects.atoms(K, D, 9), codes + noise),
    }
    store = write_store(
        tmp_path_factory.mktemp("m") / "s",
        name="s",
        taps={n: c for n, (_, c) in sides.items()},
        labels=list(label),
    )
    zero = np.zeros(K)
    for name, (directions, _) in sides.items():
        wide = np.hstack([directions, np.zeros((K, K - D))])
        store = encode_tap(
            store, name, FeatureSet(name, rules.LINEAR, np.eye(K), wide, zero, zero, zero), f"{name}@{name}"
        )
    return {n: store.activations(f"{n}@{n}") for n in sides}


def test_a_turned_network_is_the_same_and_unrelated_directions_are_not(taps):
    found = matched_dictionaries(*taps.values())
    c = found.columns
    whole = np.flatnonzero(c["features"] == ALL)
    assert list(c["pairs"][whole]) == [K, K]
    np.testing.assert_allclose(c["held-out r"][: whole[1]], 1, atol=1e-6)
    r = dict(zip(c["features"][whole[1] :], c["held-out r"][whole[1] :], strict=True))
    assert r["low"] < 0.99 < 1 - 1e-6 < r["high"]
    np.testing.assert_allclose([c["SVCCA"][whole[0]], c["RSA"][whole[0]]], 1, atol=1e-6)
    assert c["alike"][whole[0]] == "both"
    assert c["alike"][whole[1]] == "neither"
    assert set(c["features"][: whole[1]]) == {ALL, "low", "high"}
    label, codes = np.asarray(taps["a"].samples["label"]), taps["a"].take(np.arange(400))
    low = codes[label == "low"].mean(axis=0) > codes[label == "high"].mean(axis=0)
    pairs = dict(zip(c["features"][: whole[1]], c["pairs"], strict=False))
    assert (pairs["low"], pairs["high"]) == (low.sum(), (~low).sum())
    assert low.sum() < K // 2
    assert (c["RSA by chance"] > 0).all()  # the end of its band, not the other one
    assert len(found.estimates) == 10


def test_many_to_one_on_samples_that_share_nothing_is_refused(taps, rng):
    noise = rng.standard_normal((400, K))
    lost = ArrayActivations(noise, "noise", {"id": taps["a"].samples["id"]})
    with pytest.raises(NotEnoughData, match="5 pairs or more"):
        matched_dictionaries(taps["a"], lost, params=MatchedDictionariesParams(matching="many to one"))
