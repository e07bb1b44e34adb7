"""Clusters against independent implementations, closed forms and invariances; "no cluster" as an answer."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.clusters.cluster_levels import levels
from analysis.compute.clusters.cluster_null import gap_statistic, null_cloud, subset_cloud
from analysis.compute.clusters.cluster_stability import overlaps, silhouettes, stability
from analysis.compute.clusters.coding_rate import rates, unit_rows
from analysis.compute.clusters.density_tree import density_clusters
from analysis.compute.clusters.kmeans import kmeans as centres_of
from analysis.compute.clusters.kmeans import prediction_strength
from analysis.compute.neighbours.neighbour_consistency import (
    consistency,
    mean_entropy,
    purity,
    soft_assignment,
)
from analysis.compute.neighbours.spanning_tree import _boruvka, _prim, _reachability, spanning_tree
from analysis.compute.rows.metric_space import Space, nearest_of
from analysis.compute.statistics.nulls import add_one_p
from analysis.compute.statistics.partition_agreement import (
    Contingency,
    adjusted_rand,
    agreement,
    matched_accuracy,
    mutual_information,
)
from analysis.errors import InputError, LoupeError, NotEnoughData, NotFound
from analysis.methods.clusters.hdbscan import HdbscanParams, hdbscan
from analysis.methods.clusters.kmeans import KMeansParams, kmeans
from analysis.methods.clusters.neighbour_consistency import neighbour_consistency
from analysis.spec import no_progress


def clumps(k=4, each=60, d=6, apart=8.0, seed=0):
    rng = np.random.default_rng(seed)
    label = np.repeat(np.arange(k), each)
    return apart * np.eye(max(k, d), d)[label] + rng.standard_normal((k * each, d)), label


def density(x, smallest=10, around=5):
    return density_clusters(*spanning_tree(x - x.mean(axis=0), around), smallest)


def same_parts(a, b) -> bool:
    return adjusted_rand(Contingency.of(a + 1, b + 1)) == 1.0


# ---------------------------------------------------------------------------- density
def test_the_spanning_tree_is_scipys_and_both_ways_agree():
    from scipy.sparse.csgraph import minimum_spanning_tree

    x = np.random.default_rng(0).standard_normal((400, 3))
    away = _reachability(x, 6)
    weights = np.sort(_prim(away)[1])
    np.testing.assert_allclose(weights.sum(), minimum_spanning_tree(away).sum(), rtol=1e-12)
    joined = np.sort(_boruvka(x, 6, no_progress, (0, 1))[1])
    np.testing.assert_allclose(joined, weights, atol=1e-12)


def test_boruvka_joins_duplicates_and_far_islands():
    rng = np.random.default_rng(1)
    x = np.vstack(
        [np.zeros((500, 2)), rng.standard_normal((300, 2)) + 50, rng.standard_normal((300, 2)) - 50]
    )
    edges, weights = _boruvka(x, 5, no_progress, (0, 1))
    assert len(edges) == len(x) - 1
    np.testing.assert_allclose(np.sort(weights), np.sort(_prim(_reachability(x, 5))[1]), atol=1e-6)


def test_clusters_are_scikit_learns():
    from sklearn.cluster import HDBSCAN

    rng = np.random.default_rng(3)
    for d, smallest, around in ((3, 20, 10), (8, 15, 5)):
        x = 3 * rng.standard_normal((5, d))[rng.integers(5, size=900)] + rng.standard_normal((900, d))
        theirs = HDBSCAN(min_cluster_size=smallest, min_samples=around, copy=True).fit(x).labels_
        ours = density(x, smallest, around)
        table = Contingency.of(ours.codes + 1, theirs + 1)
        assert adjusted_rand(table) > 0.99
        assert len(ours.birth) == theirs.max() + 1


@pytest.mark.parametrize("seed", range(6))
def test_density_clusters_of_unequal_distances_are_exactly_scikit_learns(seed):
    """With one or two rows for density no two reachabilities that matter are equal, and nothing is left to choose. With
    more, many equal one row's core distance; scikit-learn splits those two by two, here they part at once: a row or
    two at the rim of a cluster may differ."""
    from sklearn.cluster import HDBSCAN

    rng = np.random.default_rng(seed)
    x = 4 * rng.standard_normal((4, 4))[rng.integers(4, size=500)] + rng.standard_normal((500, 4))
    for smallest, around in ((10, 1), (25, 1), (15, 2), (10, 5), (40, 25)):
        theirs = HDBSCAN(min_cluster_size=smallest, min_samples=around, copy=True).fit(x).labels_
        ours = density(x, smallest, around).codes
        if around <= 2:
            assert same_parts(ours, theirs)
            np.testing.assert_array_equal(ours < 0, theirs < 0)
        assert adjusted_rand(Contingency.of(ours + 1, theirs + 1)) > 0.99
        assert ((ours < 0) != (theirs < 0)).sum() <= 2


def test_centres_are_as_good_as_scikit_learns_best_of_many():
    """The objective, computed anew from the parts and again from the centres."""
    from sklearn.cluster import KMeans

    for seed in range(5):
        rng = np.random.default_rng(seed)
        x = 2 * rng.standard_normal((6, 5))[rng.integers(6, size=400)] + rng.standard_normal((400, 5))
        found = centres_of(x, 6, rng, 10)
        inside = sum(((x[found.codes == c] - x[found.codes == c].mean(axis=0)) ** 2).sum() for c in range(6))
        nearest = ((x[:, None] - found.centres) ** 2).sum(axis=2).min(axis=1).sum()
        assert found.within == pytest.approx(inside, rel=1e-6)
        assert found.within == pytest.approx(nearest, rel=1e-6)
        assert found.within <= 1.005 * KMeans(6, n_init=30, random_state=seed).fit(x).inertia_


@given(seed=st.integers(0, 10_000), rounded=st.booleans())
@settings(max_examples=25, deadline=None)
def test_density_clusters_do_not_depend_on_order_rotation_or_scale(seed, rounded):
    rng = np.random.default_rng(seed)
    x = 2 * rng.standard_normal((3, 3))[rng.integers(3, size=200)] + 0.5 * rng.standard_normal((200, 3))
    x = x.round(1) if rounded else x  # many equal distances
    found, order = density(x), rng.permutation(200)
    moved = density(x[order] * 4)  # a power of two rounds nothing
    assert same_parts(found.codes[order], moved.codes)
    assert moved.prominence == pytest.approx(found.prominence, rel=1e-9)
    if not rounded:
        turned = density(x @ np.linalg.qr(rng.standard_normal((3, 3)))[0] + 5)
        assert same_parts(found.codes, turned.codes)


def test_order_decides_when_equal_distances_are_split_in_pairs(monkeypatch):
    """The tolerance above can fail: a tree that splits ties two by two is caught."""
    monkeypatch.setattr(
        "analysis.compute.clusters.density_tree._parts",
        lambda node, n, h, left, right, w: [left[node - n], right[node - n]],
    )
    differ = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        x = (
            2 * rng.standard_normal((3, 3))[rng.integers(3, size=200)] + 0.5 * rng.standard_normal((200, 3))
        ).round(1)
        order = rng.permutation(200)
        differ += not same_parts(density(x).codes[order], density(x[order]).codes)
    assert differ


def test_strength_is_one_at_the_densest_row_and_zero_for_noise():
    found = density(clumps()[0], 20, 5)
    for c in range(len(found.birth)):
        assert found.strength[found.codes == c].max() == 1.0
    assert (found.strength[found.codes < 0] == 0).all()


# ---------------------------------------------------------------------------- against scikit-learn, by hand
def test_agreement_measures_are_scikit_learns():
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, silhouette_samples

    rng = np.random.default_rng(0)
    a, b = rng.integers(5, size=300), rng.integers(7, size=300)
    b[:150] = a[:150]
    table = Contingency.of(a, b)
    assert adjusted_rand(table) == pytest.approx(adjusted_rand_score(a, b), abs=1e-12)
    assert mutual_information(table) == pytest.approx(normalized_mutual_info_score(a, b), abs=1e-12)
    x = rng.standard_normal((300, 4))
    np.testing.assert_allclose(silhouettes(x, a), silhouette_samples(x, a), atol=1e-10)


def test_accuracy_by_hand_and_under_any_names():
    table = Contingency.of(np.array([0, 0, 1, 1, 2]), np.array([1, 1, 0, 2, 2]))
    assert matched_accuracy(table) == pytest.approx(4 / 5)
    rng = np.random.default_rng(0)
    a, b = rng.integers(4, size=200), rng.integers(4, size=200)
    renamed = rng.permutation(4)[a]
    assert matched_accuracy(Contingency.of(a, b)) == matched_accuracy(Contingency.of(renamed, b))


def test_agreement_of_unrelated_partitions_is_its_null():
    rng = np.random.default_rng(0)
    a, b = rng.integers(4, size=2000), rng.integers(5, size=2000)
    rand, mutual, accuracy = agreement(a, b, np.arange(2000), rng, 3)
    assert abs(rand.value) < 0.01
    assert rand.null == pytest.approx(0, abs=0.002)
    assert mutual.null_low * 0.5 < mutual.value < mutual.null_high * 2
    assert accuracy.value == pytest.approx(accuracy.null, abs=0.03)
    equal = agreement(a, a, np.arange(2000), rng, 3)
    assert [e.value for e in equal] == pytest.approx([1, 1, 1])


def test_a_million_distinct_labels_and_one_class():
    n = 1_000_000
    table = Contingency.of(np.zeros(n, int), np.arange(n))
    assert adjusted_rand(table) == pytest.approx(0)
    assert 0 <= mutual_information(table) <= 1
    assert adjusted_rand(Contingency.of(np.zeros(9, int), np.zeros(9, int))) == 1


def test_overlaps_by_hand():
    codes, again = np.array([0, 0, 0, 1, 1, -1]), np.array([0, 0, 1, 1, 1, 1])
    np.testing.assert_allclose(overlaps(codes, again, 3), [2 / 3, 2 / 4, np.nan])
    np.testing.assert_array_equal(overlaps(codes, np.full(6, -1), 2), [0, 0])


def test_stability_of_planted_and_of_chance():
    x, label = clumps()
    fit = lambda p, rng: centres_of(p, 4, rng, 8).codes  # noqa: E731
    held = stability(x, label, np.arange(len(x)), fit, 10, np.random.default_rng(0))
    assert held.mean.min() > 0.99
    assert held.chance.max() < 0.3


# ---------------------------------------------------------------------------- is there any
def test_no_cluster_is_found_as_rarely_as_said():
    """p <= 0.05 in at most 3 of 20 Gaussian clouds (chance of more: 0.016); planted ones every time."""
    rng, false = np.random.default_rng(0), 0
    for _ in range(20):
        x = rng.standard_normal((120, 5)) * np.array([5, 2, 1, 1, 0.5])
        false += gap_statistic(subset_cloud(x, Space.of(x), rng), 5, "gaussian", 20, rng).p <= 0.05
    assert false <= 3
    x, _ = clumps(3, 40, 5)
    gap = gap_statistic(subset_cloud(x, Space.of(x), rng), 6, "gaussian", 20, rng)
    assert gap.chosen == 3
    assert gap.p <= 0.05


def false_alarms(p_of, draws: int = 120) -> int:
    """How many of so many Gaussian clouds, each of another shape, have p <= 0.05."""
    found = 0
    for seed in range(draws):
        rng = np.random.default_rng(seed)
        found += p_of(rng.standard_normal((60, 3)) * rng.uniform(0.3, 3, 3), rng) <= 0.05
    return found


def by_gap(x, rng):
    return gap_statistic(subset_cloud(x, Space.of(x), rng), 3, "gaussian", 20, rng).p


def by_density(x, rng):
    cloud = subset_cloud(x, Space.of(x), rng)
    null = [density(null_cloud(cloud, "gaussian", rng), 6, 5).prominence for _ in range(20)]
    return add_one_p(density(cloud.points, 6, 5).prominence, np.array(null))


@pytest.mark.parametrize("p_of", [by_gap, by_density])
def test_gaussian_clouds_raise_the_promised_alarms(p_of):
    """With 20 clouds of the null p <= 0.05 is promised in 1 of 21 clouds: at most 14 of 120 (chance of more: 0.001),
    and in some (chance of none: 0.003). Three planted clumps are found in every one of ten."""
    assert 1 <= false_alarms(p_of) <= 14
    for seed in range(10):
        assert p_of(clumps(3, 20, 3, 9.0, seed)[0], np.random.default_rng(seed)) <= 0.05


def test_the_promised_rate_can_be_missed():
    """The bounds above can fail: against the lowest quarter of the null, alarms are far too many."""

    def too_low(x, rng):
        gap = gap_statistic(subset_cloud(x, Space.of(x), rng), 3, "gaussian", 20, rng)
        return add_one_p(gap.statistic, np.repeat(np.sort(gap.null)[:5], 4))

    assert false_alarms(too_low, 40) > 14


def test_the_gaussian_null_has_the_covariance():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1500, 4)) @ rng.standard_normal((4, 4)) + 100
    cloud = subset_cloud(x, Space.of(x), rng)
    drawn = np.mean([np.cov(null_cloud(cloud, "gaussian", rng), rowvar=False) for _ in range(20)], axis=0)
    np.testing.assert_allclose(drawn, np.cov(cloud.points, rowvar=False), atol=0.05 * np.ptp(drawn))


def test_prediction_strength():
    x, _ = clumps(3, 50)
    rng = np.random.default_rng(0)
    assert prediction_strength(x, 1, rng) == 1
    assert prediction_strength(x, 3, rng) == 1
    assert prediction_strength(x, 5, rng) < 0.8


def test_a_long_gaussian_cloud_comes_back_but_is_no_cluster():
    """The lie that the null is for: two halves of a long cloud are stable."""
    x = np.random.default_rng(0).standard_normal((400, 6)) * np.array([20, 1, 1, 1, 1, 1])
    found = kmeans(x, KMeansParams(clusters=2), np.random.default_rng(0))
    assert found.columns["stability"].min() > 0.75
    assert found.reading.startswith("No cluster is detectable")
    assert kmeans(x, rng=np.random.default_rng(0)).n_clusters == 0


# ---------------------------------------------------------------------------- whole results
@pytest.mark.parametrize("method", [kmeans, hdbscan])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_invariances_of_the_methods(method, metric):
    x, label = clumps(apart=12)
    rng = np.random.default_rng(0)
    params = {kmeans: KMeansParams, hdbscan: HdbscanParams}[method](metric=metric)
    turn, order = np.linalg.qr(rng.standard_normal((6, 6)))[0], rng.permutation(len(x))
    first = method(x, params, np.random.default_rng(1))
    shift = 3.0 if metric == "euclidean" else 0.0
    second = method((x @ turn * 2.5 + shift)[order], params, np.random.default_rng(1))
    assert first.n_clusters == 4
    assert same_parts(first.codes[order], second.codes)
    assert same_parts(first.codes[first.codes >= 0], label[first.codes >= 0])


@pytest.mark.parametrize("method", [kmeans, hdbscan])
def test_a_subset_is_clustered_and_the_rest_is_assigned(method):
    x, label = clumps(3, 400, apart=14)
    x[7] = np.nan
    params = {kmeans: KMeansParams, hdbscan: HdbscanParams}[method](maximum_rows=300)
    found = method(as_activations(x, labels=label), params, np.random.default_rng(0))
    assert len(found.codes) == 1199
    assert 7 not in found.rows
    inside = found.codes >= 0
    assert inside.mean() > 0.97
    assert same_parts(found.codes[inside], label[found.rows][inside])
    assert any("Made from" in c for c in found.caveats)


def test_levels_are_nested_and_named():
    rng = np.random.default_rng(0)
    centres = np.repeat(20 * np.eye(4), 5, axis=0) + rng.standard_normal((20, 4))
    groups = levels(centres)
    assert groups.shape[1] == 20
    assert list(groups[-1]) == list(range(20))
    for coarse, fine in pairwise(groups):
        assert coarse.max() < fine.max()
        for g in range(fine.max() + 1):
            assert len(set(coarse[fine == g])) == 1
    assert levels(centres[:2]).tolist() == [[0, 1]]
    x = np.repeat(centres, 25, axis=0) + 0.1 * rng.standard_normal((500, 4))
    found = kmeans(x, KMeansParams(clusters=20), np.random.default_rng(0))
    assert found.levels.shape == found.level_names.shape
    assert found.levels.shape[0] > 1
    assert (found.codes_at(0)[found.codes == 3] == found.levels[0, 3]).all()


@pytest.mark.parametrize("method", [kmeans, hdbscan])
def test_tokens_and_labels_of_hostile_sorts(method):
    x, label = clumps(3, 90, apart=12)
    names = np.array(["<b>cat</b>", "$dog$", ""])[label[::3]]
    act = ArrayActivations(
        x, samples={"label": names, "text": np.array(["a word"] * 90)}, layout=Layout(np.arange(91) * 3)
    )
    found = method(act, rng=np.random.default_rng(0))
    assert any(str(n).startswith("<b>cat</b> (100%)") for n in found.columns["name"])
    distinct = ArrayActivations(x, samples={"label": np.arange(270).astype(str)})
    assert any("not classes" in c for c in method(distinct, rng=np.random.default_rng(0)).caveats)
    one = ArrayActivations(x, samples={"label": np.zeros(270, int)})
    assert method(one, rng=np.random.default_rng(0)).n_clusters == 3


@pytest.mark.parametrize("method", [kmeans, hdbscan])
def test_bad_input(method):
    rng = np.random.default_rng(0)
    with pytest.raises(NotEnoughData):
        method(np.array([[0.0, 1.0], [1.0, 0.0]]))
    with pytest.raises(InputError, match="equal"):
        method(np.ones((50, 3)))
    with pytest.raises(NotFound, match="no sample column 'nope'"):
        method(
            rng.standard_normal((50, 3)),
            {kmeans: KMeansParams, hdbscan: HdbscanParams}[method](column="nope"),
        )
    two = np.repeat([[0.0, 0.0], [5.0, 5.0]], 600, axis=0)  # duplicates by the thousand
    found = method(two, rng=rng)
    assert found.n_clusters == 2
    assert set(np.bincount(found.codes)) == {600}
    huge = rng.standard_normal((60, 3)) * 1e200
    assert np.isfinite(method(huge, rng=rng).strength).all()
    zeros = np.vstack([np.zeros((30, 3)), rng.standard_normal((60, 3))])
    params = {kmeans: KMeansParams, hdbscan: HdbscanParams}[method](metric="cosine")
    assert len(method(zeros, params, rng).codes) == 90


def test_one_far_outlier_is_noise():
    x, _ = clumps()
    found = hdbscan(np.vstack([x, np.full((1, 6), 1e6)]), rng=np.random.default_rng(0))
    assert found.n_clusters == 4
    assert found.codes[-1] == -1


# ---------------------------------------------------------------------------- coding rate, neighbours
@given(seed=st.integers(0, 10_000), d=st.integers(2, 8), k=st.integers(1, 4))
@settings(max_examples=30, deadline=None)
def test_rate_reduction_is_never_negative_and_keeps_its_invariances(seed, d, k):
    rng = np.random.default_rng(seed)
    z, of, e = unit_rows(rng.standard_normal((40, d)), False), rng.integers(k, size=40), np.array([0.1, 1.0])
    found = rates(z, of, e)
    assert (found.reduction >= -1e-12).all()
    turn = np.linalg.qr(rng.standard_normal((d, d)))[0]
    np.testing.assert_allclose(rates(z @ turn, of, e).reduction, found.reduction, atol=1e-10)
    np.testing.assert_allclose(rates(z, (of + 1) % k, e).parts, found.parts, atol=1e-10)
    if k == 1:
        np.testing.assert_allclose(found.reduction, 0, atol=1e-12)
    assert not np.allclose(rates(3 * z, of, e).whole, found.whole)  # outside the group: scale


def test_rate_by_determinant():
    z, e = np.random.default_rng(0).standard_normal((5, 9)), 0.3
    by_hand = 0.5 * np.linalg.slogdet(np.eye(9) + 9 / (5 * e**2) * z.T @ z)[1]
    np.testing.assert_allclose(rates(z, np.zeros(5, int), np.array([e])).whole, by_hand, rtol=1e-12)


def test_consistency_terms_and_purity_by_hand():
    near = np.array([[1, 2], [0, 2], [1, 0]])
    assert consistency(np.eye(2)[[0, 0, 0]], near).tolist() == [0, 0, 0]
    np.testing.assert_allclose(consistency(np.full((3, 2), 0.5), near), np.log(2))
    assert mean_entropy(np.eye(4)[np.arange(8) % 4]) == pytest.approx(np.log(4))
    np.testing.assert_allclose(purity(np.array([0, 0, 1]), near), [[1, 0.5], [1, 0.5], [0, 0]])
    p = soft_assignment(np.array([[0.0], [1.0], [10.0]]), np.array([[0.5], [10.0]]))
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert p[0, 0] > 0.99


def test_low_purity_is_warned_of():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 5))
    found = neighbour_consistency(as_activations(x, labels=rng.integers(4, size=300)), rng=rng)
    assert "Below 60%" in found.reading
    with pytest.raises(LoupeError):
        neighbour_consistency(ArrayActivations(x, samples={"label": np.zeros(300)}))


def test_neighbours_of_the_own_sample_do_not_count():
    """Tokens of a sample are copies of each other: with them purity would be 1."""
    rng = np.random.default_rng(0)
    x = np.repeat(rng.standard_normal((60, 4)), 5, axis=0) + 1e-3 * rng.standard_normal((300, 4))
    act = ArrayActivations(x, samples={"label": rng.integers(2, size=60)}, layout=Layout(np.arange(61) * 5))
    assert neighbour_consistency(act, rng=rng).estimates[0].value < 0.7


def test_nearest_of_takes_the_lower_of_two():
    index, distance = nearest_of(np.zeros((1, 2)), np.array([[1.0, 0], [0, 1.0]]))
    assert (index[0], distance[0]) == (0, 1.0)
