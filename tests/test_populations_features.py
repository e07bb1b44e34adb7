"""A population of models: features by complete linkage, popularity, interaction tensor, against brute force and planted
populations; nulls, invariances, bad input."""

from __future__ import annotations

from itertools import combinations, pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.activations import ArrayActivations
from analysis.compute.linear.linalg import principal_components
from analysis.compute.populations import model_features as linking
from analysis.compute.populations import model_population
from analysis.compute.populations.model_features import (
    components_of,
    cut,
    features_of,
    poisson_binomial,
    popularity_counts,
    shown,
    tree_of,
)
from analysis.compute.populations.planted_models import planted_models
from analysis.compute.statistics import model_pairs
from analysis.compute.statistics.model_pairs import pair_correlation, renamed
from analysis.errors import InputError, NotEnoughData, NotFound, ParameterError, TooLarge
from analysis.methods.populations import (
    feature_agreement as agreement_module,
)
from analysis.methods.populations import (
    feature_popularity as popularity_module,
)
from analysis.methods.populations import (
    features_per_sample as per_sample_module,
)
from analysis.methods.populations import (
    interaction_tensor as tensor_module,
)
from analysis.methods.populations import (
    model_features as matrix_module,
)
from analysis.methods.populations import (
    shared_features as table_module,
)
from analysis.methods.populations.feature_agreement import FeatureAgreementParams, feature_agreement
from analysis.methods.populations.feature_popularity import FeaturePopularityParams, feature_popularity
from analysis.methods.populations.features_per_sample import FeaturesPerSampleParams, features_per_sample
from analysis.methods.populations.interaction_tensor import InteractionParams, interaction_tensor
from analysis.methods.populations.model_features import ModelFeaturesParams, model_features
from analysis.methods.populations.shared_features import SharedFeaturesParams, shared_features

FEW = settings(max_examples=15, deadline=None)


def tap(x, name="m", **samples):
    return ArrayActivations(x, name=name, samples=samples)


def random_correlations(seed, models, each):
    """A correlation matrix of `models` x `each` components, without ties."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((12, models * each)) + 0.7 * rng.standard_normal((12, 1))
    return np.abs(np.corrcoef(x.T)), np.repeat(np.arange(models), each)


def linked_by_hand(r, model, threshold):
    """Complete linkage, pair of clusters by pair of clusters."""
    clusters = [{i} for i in range(len(r))]
    while True:
        best = None
        for a, b in combinations(range(len(clusters)), 2):
            if {model[i] for i in clusters[a]} & {model[i] for i in clusters[b]}:
                continue
            least = min(r[i, j] for i, j in product(clusters[a], clusters[b]))
            if least >= threshold and (best is None or least > best[0]):
                best = (least, a, b)
        if best is None:
            return {frozenset(c) for c in clusters}
        clusters[best[1]] |= clusters[best[2]]
        del clusters[best[2]]


# ---------------------------------------------------------------------------- features
@FEW
@given(st.integers(0, 10**6), st.floats(0.1, 0.9), st.sampled_from([(2, 3), (4, 2), (3, 4)]))
def test_features_are_complete_linkage_with_one_component_a_model(seed, threshold, shape):
    r, model = random_correlations(seed, *shape)
    clusters = cut(tree_of(r, model), threshold)
    found = {frozenset(np.flatnonzero(clusters == c)) for c in range(clusters.max() + 1)}
    assert found == linked_by_hand(r, model, threshold)
    features = features_of(r, model, tree_of(r, model), threshold)
    for t in range(features.has.shape[1]):
        members = features.has[:, t][features.has[:, t] >= 0]
        assert len(set(model[members])) == len(members)
        inside = [r[i, j] for i, j in combinations(members, 2)]
        assert features.least[t] == pytest.approx(min(inside, default=1))
        assert features.mean[t] == pytest.approx(np.mean(inside) if inside else 1)
    assert (np.diff(features.popularity) <= 0).all()
    assert sorted(features.has[features.has >= 0]) == list(range(len(r)))


@FEW
@given(st.integers(0, 10**6))
def test_the_number_of_features_never_falls_as_the_threshold_rises(seed):
    r, model = random_correlations(seed, 4, 5)
    tree = tree_of(r, model)
    partitions = [cut(tree, t) for t in np.linspace(0.05, 0.99, 30)]
    assert (np.diff([p.max() for p in partitions]) >= 0).all()
    for coarse, fine in pairwise(partitions):  # nested: features only fall apart
        assert len(np.unique(np.stack([coarse, fine]), axis=1).T) == fine.max() + 1
    counts = popularity_counts(partitions[10], 4)
    sizes = np.bincount(partitions[10])
    assert counts.tolist() == [int((sizes >= k).sum()) for k in (1, 2, 3, 4)]


@FEW
@given(st.integers(0, 10**6))
def test_permuting_the_models_permutes_the_slices_only(seed):
    rng = np.random.default_rng(seed)
    taps = planted_models(rng, n=120)
    order = rng.permutation(4)

    def of(values):
        c = components_of(tuple(values), tuple("abcd"), "principal components", 4)
        r = c.correlations()
        features = features_of(r, c.model, tree_of(r, c.model), 0.5)
        return features, shown(c, features, 0.1)

    one, omega = of(taps)
    other, turned = of([taps[m] for m in order])

    def slices(tensor):  # features as a set: those of one model have no order of their own
        return sorted(tensor[:, :, t].tobytes() for t in range(tensor.shape[2]))

    assert one.popularity.tolist() == other.popularity.tolist()
    assert slices(omega[order]) == slices(turned)


@pytest.mark.parametrize("models", [3, 6])
def test_planted_features_are_found_and_the_model_that_lacks_one_is_named(models):
    taps = [tap(x, f"m{i}") for i, x in enumerate(planted_models(np.random.default_rng(1), models=models))]
    found = shared_features(*taps, params=SharedFeaturesParams(number=4)).columns
    assert found["models"].tolist() == [models, models, models - 1] + [1] * (models + 1)
    assert found["lacking"][:3].tolist() == ["", "", f"m{models - 1}"]
    assert (found["p"][:3] < 0.05).all()
    assert (found["p"][3:] == 1).all()
    np.testing.assert_allclose(found["variance"][:2], [64 / 85.1, 16 / 85.1], atol=0.05)


def test_rotating_a_model_changes_nothing_with_components_and_much_with_units():
    rng = np.random.default_rng(2)
    x = rng.standard_normal((300, 6)) * [6, 5, 4, 3, 2, 1]
    turned = 3 * x @ np.linalg.qr(rng.standard_normal((6, 6)))[0] + 7
    for kind, shared in (("principal components", 6), ("units", 0)):
        params = SharedFeaturesParams(components=kind, number=6, threshold=0.95)
        assert shared_features(x, turned, params=params).estimates[0].value == shared
        assert shared_features(x, 2 * x[:, ::-1], params=params).estimates[0].value == 6


def test_a_falling_unit_is_no_match_and_a_turned_component_is():
    x = np.random.default_rng(3).standard_normal((200, 3)) * [3, 2, 1]
    for kind, shared in (("principal components", 3), ("units", 0)):
        params = SharedFeaturesParams(components=kind, number=3, threshold=0.8)
        assert shared_features(x, -x, params=params).estimates[0].value == shared


def test_components_are_principal_and_hold_their_share():
    x = np.random.default_rng(4).standard_normal((50, 8)) * np.arange(1, 9) + 40
    c = components_of((x, x), ("a", "b"), "principal components", 3)
    directions = principal_components(x, 3)[1]
    scores = (x - x.mean(axis=0)) @ directions.T
    np.testing.assert_allclose(np.abs(np.corrcoef(scores.T, c.x[:, :3].T)[:3, 3:]), np.eye(3), atol=1e-8)
    np.testing.assert_allclose(c.share[:3], scores.var(axis=0) / x.var(axis=0).sum(), rtol=1e-9)
    units = components_of((x, x), ("a", "b"), "units", 2)
    assert units.number[:2].tolist() == np.sort(np.argsort(-x.var(axis=0))[:2]).tolist()
    np.testing.assert_allclose(
        units.correlations()[:2, :2], np.corrcoef(x[:, units.number[:2]].T), atol=1e-10
    )


# ---------------------------------------------------------------------------- counts, nulls, thresholds
def test_unrelated_models_share_nothing_and_equal_ones_everything():
    rng = np.random.default_rng(5)
    noise = [rng.standard_normal((300, 10)) for _ in range(4)]
    e = shared_features(*noise).estimates
    assert e[0].value == e[0].null == e[1].value == 0
    same = shared_features(noise[0], noise[0][:, ::-1], noise[0] * 2).estimates
    assert [x.value for x in same] == [10, 10]
    assert same[0].p_value == pytest.approx(1 / 41)


def test_at_a_low_threshold_chance_shares_and_the_null_says_how_much():
    rng = np.random.default_rng(6)
    noise = [rng.standard_normal((40, 8)) for _ in range(4)]
    found = shared_features(*noise, params=SharedFeaturesParams(threshold=0.2))
    e = found.estimates[0]
    assert e.value > 0
    assert e.null_low <= e.value <= e.null_high
    assert any("by chance" in c for c in found.caveats)


def test_popularity_and_threshold_curves_agree_with_each_other_and_with_the_table():
    taps = planted_models(np.random.default_rng(7))
    params = {"number": 4, "threshold": 0.5}
    by = feature_popularity(*taps, params=FeaturePopularityParams(**params))
    along = feature_popularity(*taps, params=FeaturePopularityParams(**params, along="threshold"))
    at = int(np.flatnonzero(along.x == 0.5)[0])
    assert by.series["features"].tolist() == [8, 3, 3, 2]
    assert [along.series[k][at] for k in ("all features", "in two or more", "in all models")] == [
        8,
        3,
        2,
    ]
    assert [e.value for e in by.estimates] == [e.value for e in along.estimates] == [3, 2]
    for name, y in along.series.items():
        assert (along.low[name] <= y).all()
        assert (y <= along.high[name]).all()
    assert along.null["all features"][-1] == 16  # exchanged: every component on its own
    two = feature_popularity(*taps[:2], params=FeaturePopularityParams(along="threshold"))
    assert list(two.series) == ["all features", "in two or more"]


def test_the_matrix_has_ones_where_a_model_has_a_feature():
    taps = [tap(x, f"m{i}") for i, x in enumerate(planted_models(np.random.default_rng(8)))]
    found = model_features(*taps, params=ModelFeaturesParams(number=4))
    assert found.values.sum(axis=1).tolist() == [4, 4, 4, 4]
    assert found.significant.sum(axis=1).tolist() == [3, 3, 3, 2]
    assert found.row_order[-1] == 3  # the model that shares least comes last
    share = model_features(*taps, params=ModelFeaturesParams(number=4, cell="share of variance"))
    np.testing.assert_array_equal(share.values > 0, found.values > 0)


# ---------------------------------------------------------------------------- interaction tensor
def test_the_tensor_counts_models_that_show_a_feature_in_a_sample():
    rng = np.random.default_rng(9)
    x = rng.standard_normal((100, 2))
    taps = [x, x[:, ::-1], np.stack([x[:, 0], rng.standard_normal(100)], axis=1)]
    params = InteractionParams(components="units", number=2, threshold=0.9, share=0.2)
    found = interaction_tensor(*taps, params=params)
    top = [set(np.argsort(-x[:, j])[:20]) for j in range(2)]
    counts = found.values
    assert set(np.flatnonzero(counts[:, 0] == 3)) == top[0]
    assert set(np.flatnonzero(counts[:, 1] == 2)) == top[1]
    assert set(np.unique(counts[:, 0])) == {0.0, 3.0}
    assert counts[:, 2].sum() == 20
    np.testing.assert_allclose(found.null[0], [0.6, 0.4, 0.2], atol=1e-12)
    assert found.estimates[0].value == pytest.approx(1)
    assert found.estimates[0].null == pytest.approx(0.2, abs=1e-12)
    assert found.row_order[0] in top[0] & top[1] or not top[0] & top[1]


def test_the_chance_of_a_cell_is_poisson_binomial():
    p = np.array([0.1, 0.3, 0.5, 0.9])
    brute = np.zeros(5)
    for outcome in product([0, 1], repeat=4):
        brute[sum(outcome)] += np.prod(np.where(outcome, p, 1 - p))
    np.testing.assert_allclose(poisson_binomial(p), brute, atol=1e-15)
    omega = np.zeros((3, 10, 1), bool)
    omega[0, :1], omega[1, :3], omega[2, :5] = True, True, True
    chance, mean = tensor_module._by_chance(omega, omega.sum(axis=0))
    np.testing.assert_allclose(mean, [0.9])
    tails = poisson_binomial(np.array([0.1, 0.3, 0.5]))[::-1].cumsum()[::-1]
    np.testing.assert_allclose(chance[:, 0], tails[omega.sum(axis=0)[:, 0]])


def test_two_unrelated_models_agree_on_no_more_samples_than_chance():
    """Features that match by their bulk and not by their ends: overlap of the sets near its exact mean."""
    rng = np.random.default_rng(10)
    omega = np.zeros((2, 400, 1), bool)
    values = []
    features = linking.Features(np.zeros(2, int), np.array([[0], [1]]), np.ones(1), np.ones(1))
    for _ in range(200):
        for m, size in enumerate((40, 100)):
            omega[m] = False
            omega[m, rng.choice(400, size, replace=False)] = True
        values.append(tensor_module.overlap(omega, features))
    assert np.mean([v[0] for v in values]) == pytest.approx(0.25, abs=0.02)
    assert {v[1] for v in values} == {0.25}


def test_a_feature_silent_on_most_samples_is_shown_by_those_that_wake_it():
    x = np.zeros((100, 2))
    x[:3, 0] = [5, 4, 3]
    x[:, 1] = np.arange(100)
    found = interaction_tensor(x, x + 0.0, params=InteractionParams(components="units", number=2, share=0.1))
    silent = found.values[:, np.argmin(found.values.sum(axis=0))]
    assert np.flatnonzero(silent).tolist() == [0, 1, 2]


def test_few_models_cannot_mark_a_cell_and_that_is_said(rng):
    x = rng.standard_normal((60, 5))
    two, four = interaction_tensor(x, x + 0.0), interaction_tensor(x, x + 0.0, x * 2, x - 1)
    assert two.significant is None
    assert any("told from chance" in c for c in two.caveats)
    assert four.significant.any()


def test_features_per_sample_follow_the_exact_null_when_they_are_independent(rng):
    x = rng.standard_normal((3000, 6))
    params = FeaturesPerSampleParams(components="units", number=6, share=0.2, maximum_samples=3000)
    found = features_per_sample(x, 2 * x, params=params)
    binomial = 3000 * poisson_binomial(np.full(6, 0.2))
    np.testing.assert_allclose(found.null, binomial[: len(found.null)], rtol=1e-9)
    counts = found.counts["samples"]
    assert counts.sum() == 3000
    assert np.abs(counts - found.null).max() < 4 * np.sqrt(found.null.max())
    assert found.estimates[0].null == pytest.approx(6 * 0.16, abs=1e-12)
    assert found.estimates[1].value == pytest.approx(1.2)
    with pytest.raises(NotEnoughData, match="least popularity"):
        features_per_sample(x, 2 * x, params=FeaturesPerSampleParams(least_models=3))


# ---------------------------------------------------------------------------- agreement
def test_mantel_counts_all_ways_to_rename_the_models():
    rng = np.random.default_rng(11)
    a, b = (m + m.T for m in rng.standard_normal((2, 4, 4)))
    from scipy.stats import spearmanr

    i, j = np.triu_indices(4, 1)
    assert pair_correlation(a, b) == pytest.approx(spearmanr(a[i, j], b[i, j]).statistic)
    every, exact = renamed(a, b, rng)
    assert exact
    assert len(every) == 24
    assert every.mean() == pytest.approx(0, abs=1e-12)
    assert not renamed(*(np.random.default_rng(0).random((2, 8, 8))), rng)[1]
    assert pair_correlation(np.ones((4, 4)), b) is None


def test_agreement_by_column_and_by_outputs_and_its_chance():
    rng = np.random.default_rng(12)
    x = rng.standard_normal((100, 5))
    answers = rng.integers(3, size=(4, 100))
    models = [tap(x + 0.1 * m, f"m{m}", predicted=answers[m]) for m in range(4)]
    found = feature_agreement(*models)
    expected = [(answers[i] == answers[j]).mean() for i, j in combinations(range(4), 2)]
    np.testing.assert_allclose(found.positions[:, 1], expected, atol=1e-12)
    shares = np.array([np.bincount(a, minlength=3) / 100 for a in answers])
    np.testing.assert_allclose(
        found.columns["agreement by chance"],
        [shares[i] @ shares[j] for i, j in combinations(range(4), 2)], atol=1e-12,
    )  # fmt: skip
    outputs = [tap(10 * np.eye(3)[a], f"o{m}") for m, a in enumerate(answers[:2])]
    half = feature_agreement(tap(x), tap(x + 1), *outputs)
    assert half.positions.tolist() == [[5, pytest.approx(expected[0])]]
    assert len(half.estimates) == 1


def test_outputs_are_matched_by_id_and_samples_without_an_answer_left_out(rng):
    ids = np.array([f"s{i}" for i in range(60)])
    x, answer = rng.standard_normal((60, 4)), rng.integers(3, size=60)
    order = rng.permutation(60)
    logits = np.eye(3)[answer]
    broken = logits.copy()
    broken[:6] = np.nan
    taps = [tap(x, id=ids), tap(x + 1, id=ids), tap(logits[order], id=ids[order]), tap(broken, id=ids)]
    found = feature_agreement(*taps)
    assert found.positions[0, 1] == 1
    assert any("6 sample(s) without a finite answer" in c for c in found.caveats)
    with pytest.raises(InputError, match="lacks 10 of the samples"):
        feature_agreement(*taps[:3], tap(logits[:50], id=ids[:50]))


def test_refusals(rng):
    x = rng.standard_normal((30, 4))
    with pytest.raises(NotEnoughData, match="7 sample"):
        shared_features(x[:7], x[:7])
    with pytest.raises(InputError, match="equal"):
        shared_features(x, np.ones((30, 2)))
    with pytest.raises(ParameterError, match="1 tap"):
        shared_features(x)
    with pytest.raises(TooLarge, match="Use fewer of each"):
        components_of((rng.standard_normal((20, 3000)),) * 2, ("a", "b"), "units", 2500)
    with pytest.raises(ParameterError, match="5 taps without a column"):
        feature_agreement(x, x, x, x, x)
    with pytest.raises(ParameterError, match="four or more"):
        feature_agreement(x, x, x)
    with pytest.raises(NotFound, match="no sample column"):
        feature_agreement(x, x, x, x, params=FeatureAgreementParams(predicted="guess"))


def test_constant_units_and_more_units_than_samples(rng):
    x = rng.standard_normal((40, 200))
    x[:, :5] = 3
    found = shared_features(x, x[:, ::-1])
    assert found.estimates[0].value == 12
    assert any("5 constant unit(s)" in c for c in found.caveats)


# ---------------------------------------------------------------------------- the checks can fail
def not_apart(r, model):
    return TREE(r, np.arange(len(model)))


def single_link(r, model):
    from scipy.cluster.hierarchy import linkage

    i, j = np.triu_indices(len(r), 1)
    return linkage(np.where(model[i] == model[j], 4.0, np.maximum(1 - 9 * r[i, j], 0.0)), method="single")


def all_shown(components, features, share):
    return SHOWN(components, features, 0.5)


def half_the_chance(p):
    return POISSON(p / 2)


TREE, SHOWN, POISSON = linking.tree_of, linking.shown, linking.poisson_binomial
BROKEN = [
    (table_module, model_population, "tree_of", single_link),
    (table_module, linking, "principal_components",
     lambda x, k: (x.mean(axis=0), np.eye(x.shape[1])[:k], np.ones(k))),
    (matrix_module, model_population, "tree_of", single_link),
    (matrix_module, matrix_module, "add_one_p", lambda observed, null: np.ones(len(observed))),
    (popularity_module, model_population, "tree_of", single_link),
    (popularity_module, popularity_module, "popularity_counts", lambda clusters, m: np.arange(m)[::-1]),
    (tensor_module, tensor_module, "shown", all_shown),
    (tensor_module, tensor_module, "poisson_binomial", lambda p: np.ones(len(p) + 1)),
    (per_sample_module, per_sample_module, "shown", all_shown),
    (per_sample_module, per_sample_module, "add_one_p", lambda observed, null: 1.0),
    (agreement_module, model_population, "tree_of", single_link),
    (agreement_module, model_pairs, "pair_ranks", lambda m: np.ones(m.shape) - np.eye(len(m))),
    (agreement_module, agreement_module, "answers_of",
     lambda models, *_: (np.zeros((len(models), 9), int), np.arange(9))),
]  # fmt: skip


@pytest.mark.parametrize(("module", "where", "name", "broken"), BROKEN)
def test_the_check_fails_on_broken_code(monkeypatch, module, where, name, broken):
    check = module.METHODS[0].check
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in check())
