"""Shares of features carry an interval that says over what, and holds the share of a larger dictionary."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.activations import ArrayActivations
from analysis.compute.dictionaries.planted_names import planted_texts
from analysis.compute.statistics.nulls import share_over, wilson
from analysis.methods.dictionaries.allocation import allocation
from analysis.methods.dictionaries.concept_f1 import concept_f1
from analysis.methods.dictionaries.dictionary_report import dictionary_report
from analysis.methods.dictionaries.direction_stability import direction_stability
from analysis.methods.dictionaries.feature_names import FeatureNamesParams, feature_names
from analysis.methods.dictionaries.kind_features import kind_features
from analysis.methods.dictionaries.seed_consistency import seed_consistency


def test_the_interval_holds_the_true_share_in_19_of_20_dictionaries_and_says_over_what():
    rng = np.random.default_rng(0)
    found = [share_over(rng.random(80) < 0.1, "features") for _ in range(2000)]
    assert 0.93 < np.mean([f["low"] <= 0.1 <= f["high"] for f in found]) < 0.975
    none, all_ = (share_over(np.full(1200, yes), "features") for yes in (False, True))
    assert (none["value"], none["low"], none["interval"]) == (0.0, 0.0, "Wilson over 1,200 features")
    assert none["high"] == pytest.approx(wilson(0, 1200)[1])
    assert (all_["value"], all_["high"]) == (1.0, 1.0)


def asked():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((120, 6)) * (rng.random((120, 6)) < 0.5)
    x[:, 5] = 0
    tap = ArrayActivations(x, "planted", {"label": np.arange(120) % 3})
    yield allocation(tap), "dead share in 120 rows", 1 / 6, "6 features"
    yield dictionary_report(tap), "dead share in 120 rows", 1 / 6, "6 features"
    yield direction_stability(tap), "share that is stable", None, "5 features that fire often enough"
    yield concept_f1(tap), "share of classes over-split", None, "3 classes"
    yield concept_f1(tap), "share of classes beyond chance", None, "3 classes"
    twice = seed_consistency(tap, ArrayActivations(x[:, ::-1].copy(), "again"))
    yield twice, "certified share", None, "6 features"
    texts, _ = planted_texts(rng)
    names = feature_names(texts, FeatureNamesParams(draws=4))
    yield (
        names,
        "share of features with a name beyond chance",
        None,
        "features active on the half that judges",
    )
    yield kind_features(texts), "share of kinds beyond chance", None, "kinds"


def test_every_share_of_features_has_its_interval():
    for found, name, value, over in asked():
        (share,) = [e for e in found.estimates if e.name == name]
        assert value is None or share.value == pytest.approx(value)
        assert share.low is not None, name
        assert share.low <= share.value <= share.high
        assert share.high - share.low > 0.02
        assert over in share.interval
        assert "Wilson" in share.interval
