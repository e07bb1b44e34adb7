"""Names of clusters: from labels, words and units, each by hand, and each says where it comes from."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.compute.clusters.cluster_names import Evidence, cluster_names, numbered
from analysis.compute.clusters.cluster_terms import cluster_terms, tokens
from analysis.compute.clusters.cluster_units import unit_differences

CODES = np.repeat([0, 1], 40)


def evidence(**more):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((80, 5))
    x[:40, 3] += 4
    x[40:, 1] += 3
    return Evidence(x, np.arange(80), tuple("01234"), **more)


def test_tokens_are_words_of_any_script():
    assert tokens("The cat's 2nd_run: 12 naïve ПРИВЕТ x") == ["the", "cat", "2nd", "run", "naïve", "привет"]


def test_terms_by_hand():
    """Both words lie in two texts of their cluster; the commoner one of a cluster weighs more; "the" is everywhere."""
    texts = ["the sea sea", "the sea wave wave", "the dog", "the dog"]
    found = cluster_terms(texts, np.array([0, 0, 1, 1]), 2, np.random.default_rng(0))
    assert found == [["sea"], ["dog"]]  # "the": 2 of 4 words against 2 of 7, not twice as frequent
    assert cluster_terms(["a b", ""], np.array([-1, 0]), 1, np.random.default_rng(0)) == [[]]


def test_a_common_word_needs_to_be_twice_as_frequent(monkeypatch):
    texts = ["the dog of"] * 4 + ["the cat"] * 4 + ["sat the"] * 3
    codes = np.repeat([0, 1], [4, 7])
    assert cluster_terms(texts, codes, 2, np.random.default_rng(0)) == [["dog", "of"], ["cat", "sat"]]
    monkeypatch.setattr("analysis.compute.clusters.cluster_terms.LIFT", 1.0)
    assert "the" in cluster_terms(texts, codes, 2, np.random.default_rng(0))[1]


def test_term_weight_is_the_papers():
    import analysis.compute.clusters.cluster_terms as module

    own, everywhere = module.Counter(a=3, b=3), module.Counter(a=3, b=5)
    both = module.Counter(a=2, b=2)
    assert module._strongest(own, both, everywhere, 6, 100, 8.0, 5) == ["a", "b"]
    weights = [3 / 6 * np.log(1 + 8 / 3), 3 / 6 * np.log(1 + 8 / 5)]
    assert weights[0] > weights[1]


def test_units_are_the_planted_ones_and_noise_is_not_named():
    found = unit_differences(evidence().x, CODES, np.arange(80), 2)
    assert np.argmax(found.g[0]) == 3
    assert np.argmax(found.g[1]) == 1
    np.testing.assert_allclose(found.g[0], -found.g[1], atol=1e-12)
    noise = np.random.default_rng(1).standard_normal((400, 300))
    assert (unit_differences(noise, np.repeat([0, 1], 200), np.arange(400), 2).q > 0.05).all()


def test_hedges_g_and_p_are_scipys():
    from scipy.stats import ttest_ind

    x = evidence().x
    found = unit_differences(x, CODES, np.arange(80), 2)
    a, b = x[:40], x[40:]
    pooled = np.sqrt((a.var(axis=0, ddof=1) + b.var(axis=0, ddof=1)) / 2)
    np.testing.assert_allclose(
        found.g[0], (1 - 3 / (4 * 80 - 9)) * (a.mean(0) - b.mean(0)) / pooled, rtol=1e-12
    )
    p = np.concatenate([ttest_ind(a, b, equal_var=False).pvalue] * 2)
    order = np.sort(p)
    assert found.q.min() == pytest.approx(np.min(order * len(p) / np.arange(1, len(p) + 1)), rel=1e-9)


def test_tokens_of_a_sample_count_once():
    x, owners = np.repeat(evidence().x, 10, axis=0), np.repeat(np.arange(80), 10)
    once = unit_differences(evidence().x, CODES, np.arange(80), 2)
    many = unit_differences(x, np.repeat(CODES, 10), owners, 2)
    np.testing.assert_allclose(many.g, once.g, rtol=1e-9)


def test_constant_units_have_no_difference():
    x = evidence().x
    x[:, 0] = 7
    found = unit_differences(x, CODES, np.arange(80), 2)
    assert found.g[0, 0] == 0
    assert found.q[0, 0] == 1


def test_a_majority_label_names_first_then_words_then_units():
    labels = np.array(["cat"] * 36 + ["dog"] * 4 + ["cat", "dog", "ox", "ape"] * 10)
    texts = np.array(["red fish"] * 40 + ["blue sky"] * 40)
    rng = np.random.default_rng(0)
    found = cluster_names(CODES, 2, evidence(labels=labels, texts=texts), rng)
    assert found.name.tolist() == ["cat (90%)", "blue, sky"]
    assert found.source.tolist() == ["labels", "terms"]
    assert found.share.tolist() == [0.9, 0.25]
    assert cluster_names(CODES, 2, evidence(), rng).name.tolist() == [
        "unit 3 ↑, unit 1 ↓",
        "unit 1 ↑, unit 3 ↓",
    ]
    assert cluster_names(CODES, 2, evidence(labels=labels), rng, "numbers").name.tolist() == [
        "cluster 1",
        "cluster 2",
    ]


def test_numbers_as_labels_missing_labels_and_markup():
    labels = np.array([3.0] * 30 + [np.nan] * 10 + [-1.0] * 40)
    found = cluster_names(CODES, 2, evidence(labels=labels, label_word="class"), np.random.default_rng(0))
    assert found.name[0] == "class 3.0 (100%)"
    assert found.source[1] == "units"
    named = cluster_names(CODES, 2, evidence(labels=np.array(["<i>x</i>"] * 80)), np.random.default_rng(0))
    assert named.name.tolist() == ["<i>x</i> (100%)", "<i>x</i> (100%) · 2"]


def test_equal_names_are_numbered_without_taking_anothers():
    assert numbered(["a", "a", "a · 2", "b", "a"]) == ["a", "a · 3", "a · 2", "b", "a · 4"]


def test_tokens_name_clusters_of_tokens():
    """At a tap with tokens the words are the tokens' own, not their samples'."""
    from analysis.activations import ArrayActivations, Layout
    from analysis.methods.clusters.kmeans import KMeansParams, kmeans

    class WithTokens(ArrayActivations):
        def tokens(self, sample):
            return ["cat", "cat", "runs"] if sample % 2 else ["dog", "dog", "runs"]

    rng = np.random.default_rng(0)
    kind = np.array([[0, 0, 2], [1, 1, 2]])[np.arange(60) % 2].ravel()
    x = 10 * np.eye(3, 5)[kind] + rng.standard_normal((180, 5))
    act = WithTokens(x, samples={"text": np.array(["cat dog runs"] * 60)}, layout=Layout(np.arange(61) * 3))
    found = kmeans(act, KMeansParams(clusters=3), np.random.default_rng(0))
    assert sorted(found.columns["name"]) == ["cat", "dog", "runs"]
    assert set(found.columns["named by"]) == {"terms"}
