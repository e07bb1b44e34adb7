"""Neighbours, map quality and AUROC against brute force and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.activations import ArrayActivations, Layout
from analysis.compute.maps.map_quality import placement_quality, random_map
from analysis.compute.neighbours.neighbours import nearest
from analysis.compute.rows.samples import labelled_matrix
from analysis.compute.statistics.auroc import (
    class_auroc,
    delong_interval,
    hanley_mcneil_variance,
    midranks,
    null_sd,
    two_sided_p,
)
from analysis.errors import InputError, NotEnoughData, NotFound, ParameterError, ShapeError, TooLarge

quick = settings(max_examples=40, deadline=None)


def squared_distances(x: np.ndarray) -> np.ndarray:
    return ((x[:, None].astype(np.float64) - x[None].astype(np.float64)) ** 2).sum(axis=-1)


def order_by_hand(d: np.ndarray) -> np.ndarray:
    """Other points of each point, nearest first, ties by index."""
    index = np.arange(len(d))
    return np.array([[j for j in np.lexsort((index, d[i])) if j != i] for i in index])


# ---------------------------------------------------------------------------- neighbours
@quick
@given(st.integers(0, 10**6), st.integers(1, 9), st.sampled_from([1, 2, 5]))
def test_integer_points_with_many_ties_and_duplicates(seed, k, d):
    x = np.random.default_rng(seed).integers(-2, 3, size=(60, d)).astype(np.float32)
    found = nearest(x, k)
    distances = squared_distances(x)
    np.testing.assert_array_equal(found.indices, order_by_hand(distances)[:, :k])
    expected = np.sqrt(np.take_along_axis(distances, found.indices, 1))
    np.testing.assert_allclose(found.distances, expected, atol=1e-7)


@pytest.mark.parametrize(("offset", "scale"), [(0, 1), (1e4, 1), (5, 1e-4)])
def test_real_points_far_from_the_origin(rng, offset, scale):
    x = rng.standard_normal((400, 12)) * scale + offset
    x[50:80] = x[3]
    x[9] *= 1e3  # one far outlier
    found = nearest(x, 7)
    np.testing.assert_array_equal(found.indices, order_by_hand(squared_distances(x))[:, :7])


def test_one_outlier_does_not_make_every_row_slow(rng):
    x = rng.standard_normal((500, 64)).astype(np.float32)
    x[0] = 1e4
    assert nearest(x, 5).n_exact < 10


def test_cosine_with_zero_vectors(rng):
    x = rng.standard_normal((80, 6)).astype(np.float32)
    x[[4, 20]] = 0
    x[7] = x[8] * 1e-20
    found = nearest(x, 5, "cosine")
    assert found.n_zero == 2
    assert found.indices[4, 0] == 20
    assert found.distances[4, 0] == 0
    assert found.distances[4, 1] == pytest.approx(1)
    assert found.indices[7, 0] == 8
    unit = x.astype(np.float64) / np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True).clip(1e-300)
    others = [i for i in range(80) if i not in (4, 20)]
    expected = 1 - np.take_along_axis(unit @ unit.T, found.indices, 1)
    np.testing.assert_allclose(found.distances[others], expected[others], atol=1e-10)


def test_all_points_equal():
    found = nearest(np.ones((30, 3)), 4)
    assert found.indices[0].tolist() == [1, 2, 3, 4]
    assert found.indices[2].tolist() == [0, 1, 3, 4]
    assert (found.distances == 0).all()


def test_every_other_point(rng):
    x = rng.standard_normal((20, 3))
    assert sorted(nearest(x, 19).indices[5]) == [i for i in range(20) if i != 5]


@pytest.mark.parametrize(
    ("x", "k", "metric", "error"),
    [
        (np.zeros((5, 2)), 5, "euclidean", NotEnoughData),
        (np.zeros((5, 2)), 0, "euclidean", ParameterError),
        (np.zeros((5, 2)), 2, "hamming", ParameterError),
        (np.full((5, 2), np.nan), 2, "euclidean", InputError),
        (np.zeros(5), 2, "euclidean", ShapeError),
    ],
)
def test_neighbours_refuse(x, k, metric, error):
    with pytest.raises(error):
        nearest(x, k, metric)


# ---------------------------------------------------------------------------- map quality
def quality_by_hand(high: np.ndarray, low: np.ndarray, k: int):
    """Trust, continuity and recall per point, term by term from the definition."""
    n = len(high)
    order = [order_by_hand(squared_distances(x)) for x in (high, low)]
    rank = []
    for o in order:
        r = np.zeros((n, n), int)
        for i in range(n):
            r[i, o[i]] = np.arange(1, n)
        rank.append(r)
    scale, out = 2 / (k * (2 * n - 3 * k - 1)), []
    for i in range(n):
        shown, real = order[1][i, :k], order[0][i, :k]
        out.append(
            (
                1 - scale * sum(max(0, rank[0][i, j] - k) for j in shown),
                1 - scale * sum(max(0, rank[1][i, j] - k) for j in real),
                len(set(shown) & set(real)) / k,
            )
        )
    return np.array(out).T


@quick
@given(st.integers(0, 10**6), st.integers(1, 8), st.booleans())
def test_quality_by_definition(seed, k, ties):
    rng = np.random.default_rng(seed)
    high = rng.integers(0, 3, (25, 3)).astype(float) if ties else rng.standard_normal((25, 3))
    low = rng.integers(0, 4, (25, 2)).astype(float) if ties else rng.standard_normal((25, 2))
    found = placement_quality(high, low, k)
    expected = quality_by_hand(high, low, k)
    for got, want in zip((found.trust, found.continuity, found.recall), expected, strict=True):
        np.testing.assert_allclose(got[:, 0], want, atol=1e-12)


def test_quality_agrees_with_scikit_learn(rng):
    from sklearn.manifold import trustworthiness

    high = rng.standard_normal((400, 15))
    low = high[:, :2] + 0.5 * rng.standard_normal((400, 2))
    found = placement_quality(high, low, (3, 10, 40))
    for i, k in enumerate((3, 10, 40)):
        assert found.trust[:, i].mean() == pytest.approx(trustworthiness(high, low, n_neighbors=k), abs=1e-12)
        assert found.continuity[:, i].mean() == pytest.approx(
            trustworthiness(low, high, n_neighbors=k), abs=1e-12
        )


def test_quality_ignores_rigid_motions_of_both(rng):
    high, low = rng.standard_normal((120, 8)), rng.standard_normal((120, 2))
    turn = np.linalg.qr(rng.standard_normal((8, 8)))[0]
    flip = np.array([[0, -3.0], [3.0, 0]])
    a, b = placement_quality(high, low, 6), placement_quality(high @ turn * 5 + 2, low @ flip - 9, 6)
    np.testing.assert_allclose(a.trust, b.trust)
    np.testing.assert_allclose(a.recall, b.recall)


def test_anchors_have_the_values_of_the_full_measurement(rng):
    high, low = rng.standard_normal((300, 5)), rng.standard_normal((300, 2))
    full = placement_quality(high, low, 7)
    some = placement_quality(high, low, 7, maximum_anchors=60, rng=np.random.default_rng(1))
    assert some.is_sampled
    assert len(some.anchors) == 60
    np.testing.assert_array_equal(some.trust, full.trust[some.anchors])


def test_random_map_null_matches_permutation(rng):
    high, low = rng.standard_normal((300, 6)), rng.standard_normal((300, 2))
    trust, recall = [], []
    for _ in range(40):
        q = placement_quality(high, low[rng.permutation(300)], 10)
        trust.append(q.trust[:, 0])
        recall.append(q.recall[:, 0])
    null = random_map(300, 10)
    assert np.mean(trust) == pytest.approx(null["trust"], abs=0.005)
    assert np.std(trust) == pytest.approx(null["trust sd"], rel=0.05)
    assert np.mean(recall) == pytest.approx(null["recall"], abs=0.003)
    assert np.std(recall) == pytest.approx(null["recall sd"], rel=0.05)


def test_quality_refuses(rng):
    with pytest.raises(ShapeError):
        placement_quality(np.zeros((10, 2)), np.zeros((9, 2)), 2)
    with pytest.raises(NotEnoughData):
        placement_quality(np.zeros((10, 2)), np.zeros((10, 2)), 5)


# ---------------------------------------------------------------------------- AUROC
@quick
@given(st.integers(0, 10**6), st.sampled_from([2, 3, 5]), st.booleans())
def test_auroc_agrees_with_scikit_learn(seed, c, ties):
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(seed)
    of = rng.permutation(np.arange(40) % c)
    x = rng.integers(0, 4, (40, 3)).astype(float) if ties else rng.standard_normal((40, 3))
    got = class_auroc(midranks(x)[0], of, np.bincount(of))
    expected = [[roc_auc_score(of == i, x[:, j]) for j in range(3)] for i in range(c)]
    np.testing.assert_allclose(got, expected, atol=1e-12)


@pytest.mark.parametrize("ties", [False, True])
def test_auroc_p_agrees_with_scipy(rng, ties):
    from scipy.stats import mannwhitneyu

    x = rng.integers(0, 5, 90).astype(float) if ties else rng.standard_normal(90)
    of = np.arange(90) % 2
    ranks, sums = midranks(x[:, None])
    counts = np.bincount(of)
    p = two_sided_p(class_auroc(ranks, of, counts), null_sd(counts, sums, 90), counts, 90)
    expected = mannwhitneyu(x[of == 1], x[of == 0], method="asymptotic").pvalue
    assert p[1, 0] == pytest.approx(expected, rel=1e-9)


def test_a_constant_column_says_nothing():
    ranks, ties = midranks(np.zeros((20, 1)))
    counts = np.array([8, 12])
    of = np.repeat([0, 1], counts)
    auroc, sd = class_auroc(ranks, of, counts), null_sd(counts, ties, 20)
    assert (auroc == 0.5).all()
    assert (sd < 1e-9).all()
    assert (two_sided_p(auroc, sd, counts, 20) == 1).all()


def test_delong_covers_and_is_never_certain(rng):
    truth, inside = 0.7602, 0  # two unit Gaussians 1 apart
    for _ in range(400):
        scores = np.concatenate([rng.standard_normal(40) + 1, rng.standard_normal(60)])
        low, high = delong_interval(scores, np.arange(100) < 40)
        inside += low <= truth <= high
    assert 0.92 <= inside / 400 <= 0.98
    low, high = delong_interval(np.arange(20.0), np.arange(20) >= 10)
    assert 0.7 < low < 1
    assert high == 1
    assert hanley_mcneil_variance(0.5, 10, 10) == pytest.approx((0.25 + 18 * (1 / 3 - 0.25)) / 100)


# ---------------------------------------------------------------------------- labelled samples
def tokens(rng, n=30, per=4, d=3, **columns):
    x = rng.standard_normal((n * per, d))
    return ArrayActivations(x, samples=columns, layout=Layout(np.arange(n + 1, dtype=np.int64) * per))


@pytest.mark.parametrize("pooling", ["max", "mean"])
def test_tokens_are_pooled_per_sample(rng, pooling):
    a = tokens(rng, n=3000, label=np.arange(3000) % 2)  # several chunks, with samples across their borders
    found = labelled_matrix(a, pooling=pooling)
    whole = a.values.reshape(3000, 4, 3)
    expected = whole.max(axis=1) if pooling == "max" else whole.mean(axis=1)
    np.testing.assert_allclose(found.values, expected, rtol=1e-6)
    assert any(pooling in note for note in found.notes)


def test_small_classes_unlabelled_and_nonfinite_samples_are_left_out_in_words(rng):
    label = np.array(["cat"] * 12 + ["dog"] * 10 + ["emu"] * 3 + [""] * 5)
    a = tokens(rng, label=label)
    a.values[0:4] = np.nan  # the first sample has no finite token left
    a.values[4, 1] = np.inf  # the second has three
    found = labelled_matrix(a)
    assert found.names == ("cat", "dog")
    assert found.counts.tolist() == [11, 10]
    assert found.samples[0] == 1
    text = " ".join(found.notes)
    assert "emu (3)" in text
    assert "5 sample(s) without a label" in text
    assert "5 of 120 rows" in text


def test_labelled_matrix_refuses(rng, monkeypatch):
    a = tokens(rng, label=np.zeros(30, int))
    with pytest.raises(NotEnoughData, match=r"0 \(30\)"):
        labelled_matrix(a)
    with pytest.raises(NotFound, match="id"):
        labelled_matrix(a, "species")
    monkeypatch.setattr("analysis.compute.rows.samples.MOST_BYTES", 100)
    with pytest.raises(TooLarge):
        labelled_matrix(a)


def test_at_most_so_many_samples(rng):
    a = tokens(rng, n=200, label=np.arange(200) % 2)
    found = labelled_matrix(a, maximum_samples=50, rng=np.random.default_rng(0))
    assert len(found.samples) == 50
    assert (np.diff(found.samples) > 0).all()
    assert any("random 50 of 200" in note for note in found.notes)
