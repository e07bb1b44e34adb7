"""The best feature of each class against all thresholds one by one, and on planted splits."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.activations import ArrayActivations, Layout
from analysis.compute.dictionaries.concept_scores import (
    best_thresholds,
    chosen,
    f1,
    halves,
    judged,
    prevalence_f1,
    says_yes,
)
from analysis.errors import NotFound
from analysis.methods.dictionaries.concept_f1 import ConceptF1Params, concept_f1

FEW = ConceptF1Params(draws=4)


def test_thresholds_are_the_best_of_all():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 5, (40, 6)) * (rng.random((40, 6)) < 0.6) * 1.0
    hot = rng.integers(0, 3, 40)[:, None] == np.arange(3)
    best, at = best_thresholds(values, hot)
    for j in range(6):
        for c in range(3):
            scores = {}
            for t in [-np.inf, *(np.unique(values[:, j])[1:] - 0.5)]:
                yes = values[:, j] > t
                scores[t] = 2 * (yes & hot[:, c]).sum() / (yes.sum() + hot[:, c].sum())
            assert best[j, c] == pytest.approx(max(scores.values()))
            assert scores[at[j, c]] == pytest.approx(best[j, c])
    assert (best >= prevalence_f1(hot.mean(axis=0)) - 1e-12).all()  # saying yes always is one of the rules


def planted(n=240, seed=0, features=6):
    """Class 0 in feature 0, class 1 in features 1 to 3 by turns, class 2 and 3 in none; noise beside."""
    rng, of = np.random.default_rng(seed), np.arange(n) % 4
    x = np.zeros((n, 4 + features))
    x[:, 0] = (of == 0) * (1 + rng.random(n))
    x[of == 1, 1 + np.arange((of == 1).sum()) % 3] = 1
    x[:, 4:] = rng.random((n, features))
    return x, of


def test_single_split_and_missing_features():
    x, of = planted()
    c = concept_f1(ArrayActivations(x, "x", {"label": of}), FEW).columns
    assert c["F1"][0] == 1
    assert c["feature"][0] == "0"
    assert list(c["features together"][:2]) == [1, 3]
    assert c["F1 together"][1] == 1
    assert list(c["over-split"]) == ["no", "yes", "no", "no"]
    assert list(c["beyond chance"][2:]) == ["no", "no"]
    np.testing.assert_allclose(c["says yes always"], 0.4)


def test_a_duplicate_does_not_count_as_a_split():
    x, of = planted()
    c = concept_f1(ArrayActivations(np.c_[x, x[:, :1]], "x", {"label": of}), FEW).columns
    assert c["features together"][0] == 1


def test_searching_many_features_does_not_flatter():
    """2,000 features of noise: the best of them on the samples they were chosen on looks far better than it is."""
    rng = np.random.default_rng(0)
    x, of = rng.standard_normal((80, 2000)), np.arange(80) % 2
    hot = of[:, None] == np.arange(2)
    first = halves(of, rng)
    picked = chosen(x[first], hot[first], unions=False)
    flattered = f1(says_yes(x[first], picked)[0], hot[first]).mean()
    assert flattered > prevalence_f1(0.5) + 0.08
    result = concept_f1(ArrayActivations(x, "x", {"label": of}), FEW)
    assert result.columns["F1"].mean() == pytest.approx(result.estimates[0].null, abs=0.1)
    assert result.estimates[0].value < flattered - 0.08


def test_each_sample_is_judged_by_the_other_half():
    x, of = planted(120)
    hot = of[:, None] == np.arange(4)
    first = halves(of, np.random.default_rng(0))
    assert [int((first & (of == c)).sum()) for c in range(4)] == [15] * 4
    _, single, several = judged(x, hot, first)
    for half in (first, ~first):
        one, union = says_yes(x[~half], chosen(x[half], hot[half]))
        np.testing.assert_array_equal(single[~half], one)
        np.testing.assert_array_equal(several[~half], union)


def test_tokens_are_pooled_and_classes_that_share_a_feature_are_named():
    of = np.arange(90) % 3
    x = np.zeros((180, 3))
    x[1::2, 0] = of == 0  # in the second token only
    x[::2, 1] = of >= 1
    layout = Layout(np.arange(91) * 2)
    c = concept_f1(ArrayActivations(x, "x", {"label": of}, layout), FEW).columns
    assert c["F1"][0] == 1
    assert list(c["same feature as"]) == ["", "2", "1"]
    with pytest.raises(NotFound):
        concept_f1(ArrayActivations(x, "x", {"label": of}, layout), ConceptF1Params(column="colour"))
