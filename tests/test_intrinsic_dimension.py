"""Intrinsic dimension: against formulas written out in float64, SciPy's trees, numbers of scikit-dimension 0.5.0 on the
same data, sets of known dimension, and broken code."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.spatial.distance import cdist
from scipy.special import betaln

from analysis.activations import ArrayActivations, Layout
from analysis.compute.neighbours import (
    dimension_estimators,
    dimension_readings,
    dimension_sides,
    tree_dimension,
)
from analysis.compute.neighbours.dimension_estimators import apart, gride, mle, near_points, two_nn
from analysis.compute.neighbours.dimension_readings import (
    MLE,
    TRUE,
    TWO_NN,
    at_scales,
    calibration,
    decimated,
    gaussian_like,
    half_samples,
    read_alike,
)
from analysis.errors import InputError, NotEnoughData, ParameterError
from analysis.methods.rank import dimension_of_classes as classes_file
from analysis.methods.rank import features_against_targets as targets_file
from analysis.methods.rank import intrinsic_dimension as dimension_file
from analysis.methods.rank import uniformity as uniformity_file
from analysis.methods.rank.intrinsic_dimension import IntrinsicDimensionParams, intrinsic_dimension
from analysis.methods.rank.intrinsic_dimension_by_layer import intrinsic_dimension_by_layer


@pytest.fixture
def rng():
    return np.random.default_rng(12)


def turned(x, d, seed=0):
    """x (n, k) in d >= k units, rotated at random."""
    return x @ np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))[0][: x.shape[1]]


def sorted_distances(x):
    away = cdist(x, x)
    np.fill_diagonal(away, np.inf)
    return np.sort(away, axis=1)


def value(result, name):
    return next(e for e in result.estimates if e.name == name)


# ---------------------------------------------------------------------------- second implementations
@pytest.mark.parametrize("d", [1, 3, 12])
def test_estimators_by_brute_force(rng, d):
    x = rng.standard_normal((150, d))
    r, found = sorted_distances(x), near_points(x, 20).distances
    np.testing.assert_allclose(found, r[:, :20], rtol=1e-9)
    assert two_nn(found) == pytest.approx(149 / np.log(r[:, 1] / r[:, 0]).sum(), rel=1e-9)
    each = [np.mean([np.log(line[19] / line[j]) for j in range(19)]) for line in r]
    assert mle(found, 20) == pytest.approx(1 / np.mean(each), rel=1e-9)
    assert mle(found, 2) == pytest.approx(two_nn(found) * 150 / 149, rel=1e-12)


@pytest.mark.parametrize("k", [1, 2, 8])
def test_gride_is_the_maximum_of_its_likelihood(rng, k):
    r = near_points(rng.random((300, 3)), 16).distances
    log_mu = np.log(r[:, 2 * k - 1] / r[:, k - 1])

    def minus(d):
        line = (
            np.log(d) + (k - 1) * np.log(np.expm1(d * log_mu)) - betaln(k, k) - (d * (2 * k - 1) + 1) * log_mu
        )
        return np.log(d) - line.sum()  # n - 1 in the place of n

    best = minimize_scalar(minus, bounds=(0.5, 12), method="bounded", options={"xatol": 1e-9}).x
    assert gride(r, k) == pytest.approx(best, rel=1e-5)


# scikit-dimension 0.5.0, MLE(K=20, neighborhood_based=True).fit(x, comb="mle", n_neighbors=20) on the same numbers
@pytest.mark.parametrize(("d", "known"), [(4, 3.9834), (10, 8.8048), (20, 14.5633), (40, 22.4864)])
def test_mle_is_that_of_scikit_dimension(d, known):
    x = np.random.default_rng(d).standard_normal((1000, d))
    assert mle(near_points(x, 20).distances, 20) == pytest.approx(known, abs=6e-5)


# scikit-dimension 0.5.0, TwoNN(discard_fraction=0, method="mle")
@pytest.mark.parametrize(
    ("d", "known"), [(4, 4.033898437), (10, 9.450030117), (20, 16.555808952), (40, 26.513199008)]
)
def test_two_nn_is_that_of_scikit_dimension(d, known):
    x = np.random.default_rng(d).standard_normal((1000, d))
    assert two_nn(near_points(x, 2).distances) == pytest.approx(known, rel=1e-9)


# scikit-dimension 0.5.0, GRIDE(n1=k, n2=2 * k)
@pytest.mark.parametrize(
    ("d", "known"),
    [(4, (3.9781808309, 3.9296504012, 3.9802123410)), (20, (15.4351255770, 15.0943175257, 14.2810266975))],
)
def test_gride_is_that_of_scikit_dimension(d, known):
    r = near_points(np.random.default_rng(d).standard_normal((1000, d)), 16).distances
    np.testing.assert_allclose([gride(r, k) for k in (2, 4, 8)], known, rtol=1e-6)


def test_tree_lengths_are_those_of_scipy(rng):
    for x in (rng.random((200, 2)), rng.standard_normal((80, 30)), np.eye(6), 1e20 * rng.random((50, 3))):
        known = minimum_spanning_tree(cdist(x, x)).sum()
        assert tree_dimension.tree_length(x) == pytest.approx(known, rel=1e-9)


def test_tree_dimension_by_hand(rng):
    x = rng.random((160, 3))
    part = tree_dimension.parts_of(160, 3, rng)
    sizes, lengths = [160, 80, 40, 20], []
    for level in range(4):
        of = part // 2 ** (3 - level)
        trees = [minimum_spanning_tree(cdist(x[of == i], x[of == i])).sum() for i in range(2**level)]
        lengths.append(np.mean(trees))
    slope = np.cov(np.log(sizes), np.log(lengths))[0, 1] / np.var(np.log(sizes), ddof=1)
    assert tree_dimension.tree_dimension(x, part) == pytest.approx(1 / (1 - slope), rel=1e-9)


# ---------------------------------------------------------------------------- known answers
@pytest.mark.parametrize(("d", "two", "many"), [(10, 9.6, 8.8), (20, 16.8, 14.5), (40, 26.3, 22.9)])
def test_readings_of_gaussians_are_the_known_ones_and_too_small(d, two, many):
    known = calibration(1000, 20, False)
    at = TRUE.index(d)
    assert known[TWO_NN][at] == pytest.approx(two, rel=3 / np.sqrt(3 * 1000))  # three draws
    assert known[MLE][at] == pytest.approx(many, abs=0.3)
    assert known[TWO_NN][at] < d
    assert known[MLE][at] < d


def test_four_dimensional_cube_in_ten_units():
    """3.99 is one published draw; a draw has a standard error of about 4 / √3000 √2."""
    found = []
    for seed in range(3):
        x = turned(np.random.default_rng(seed).random((3000, 4)), 10)
        found.append(two_nn(near_points(x, 2).distances))
    assert np.mean(found) == pytest.approx(3.99, abs=0.2)


def test_tree_dimension_of_a_cube_and_length_of_a_square():
    x = turned(np.random.default_rng(1).random((2000, 3)), 10)
    part = tree_dimension.parts_of(2000, 3, np.random.default_rng(0))
    assert tree_dimension.tree_dimension(x, part) == pytest.approx(2.92, abs=0.15)
    square = np.random.default_rng(2).random((4000, 2))
    assert tree_dimension.tree_length(3 * square) / np.sqrt(4000 * 9) == pytest.approx(0.654, abs=0.01)


@given(st.integers(3, 9), st.floats(0.01, 100))
@settings(max_examples=10, deadline=None)
def test_regular_simplex(n, edge):
    assert tree_dimension.tree_length(np.eye(n) * edge / np.sqrt(2)) == pytest.approx(
        (n - 1) * edge, rel=1e-9
    )


def test_a_simplex_has_no_dimension():
    with pytest.raises(InputError, match="equally far"):
        intrinsic_dimension(np.eye(80))


@given(st.integers(0, 1000), st.floats(1e-30, 1e30), st.floats(-5, 5))
@settings(max_examples=8, deadline=None)
def test_turning_stretching_and_moving_change_nothing(seed, scale, shift):
    r = np.random.default_rng(seed)
    x = r.standard_normal((120, 5))
    y = scale * (turned(x, 5, seed) + shift)
    a, b = (apart(v, np.arange(120), 50).points for v in (x, y))
    ra, rb = near_points(a, 10).distances, near_points(b, 10).distances
    assert two_nn(ra) == pytest.approx(two_nn(rb), rel=1e-5)
    assert mle(ra, 10) == pytest.approx(mle(rb, 10), rel=1e-5)
    assert gride(ra, 4) == pytest.approx(gride(rb, 4), rel=1e-5)
    part = tree_dimension.parts_of(120, 3, r)
    assert tree_dimension.tree_dimension(a, part) == pytest.approx(
        tree_dimension.tree_dimension(b, part), rel=1e-5
    )


def test_stretching_one_unit_does_change_it(rng):
    x = rng.standard_normal((400, 4))
    thin = two_nn(near_points(x * [1, 1, 1, 1e-6], 2).distances)
    assert thin < 0.87 * two_nn(near_points(x, 2).distances)


def test_independent_implementation_of_the_whole_reading(rng):
    """At all points the curve's last value is the plain estimator, whatever is averaged below."""
    x = rng.standard_normal((240, 3))
    found = decimated(x, np.arange(240), 20, np.random.default_rng(0))
    r = sorted_distances(x)
    assert list(found.x) == [60, 120, 240]
    assert found.values[TWO_NN][-1] == pytest.approx(239 / np.log(r[:, 1] / r[:, 0]).sum(), rel=1e-9)
    part = np.random.default_rng(0)
    half_samples(np.arange(240), part)
    part = tree_dimension.parts_of(240, 5, part)
    halves = [sorted_distances(x[part >> 4 == i]) for i in (0, 1)]
    assert found.values[TWO_NN][1] == pytest.approx(
        np.mean([(len(h) - 1) / np.log(h[:, 1] / h[:, 0]).sum() for h in halves]), rel=1e-9
    )


def test_scales_begin_with_two_nn_and_see_noise_first(rng):
    sheet = turned(rng.random((1500, 2)), 10) + 0.004 * rng.standard_normal((1500, 10))
    found = at_scales(sheet, np.arange(1500), np.random.default_rng(0))
    small, large = found.values["Gride"][[0, -1]]
    assert small > large + 0.5
    assert large == pytest.approx(2, abs=0.4)


def test_intervals_hold_the_spread_over_samples():
    """Readings of fresh samples of one Gaussian: the interval's half is 1 to 1.9 times what 95 % of them need."""
    found, halves = [], []
    for seed in range(40):
        r = np.random.default_rng(seed)
        one = decimated(r.standard_normal((300, 5)), np.arange(300), 20, r, tree=False, levels=0)
        found.append([one.values[e][0] for e in (TWO_NN, MLE)])
        halves.append([one.half(e)[0] for e in (TWO_NN, MLE)])
    ratio = np.mean(halves, axis=0) / (1.96 * np.std(found, axis=0, ddof=1))
    assert (ratio > 0.95).all()
    assert (ratio < 1.9).all()


def test_halves_are_of_samples_and_not_of_tokens(rng):
    owner = np.repeat(np.arange(20), 7)
    for stay in half_samples(owner, rng):
        assert stay.sum() == 10 * 7
        assert all(len(np.unique(stay[owner == s])) == 1 for s in range(20))
    assert half_samples(np.arange(7), rng) == []


def test_matched_gaussians_match(rng):
    x = rng.standard_normal((400, 3)) @ np.array([[2.0, 1, 0], [0, 1, 0.5], [0, 0, 0.1]]) + 7
    near = gaussian_like(np.repeat(x, 10, axis=0), "same covariance", np.random.default_rng(0))
    np.testing.assert_allclose(np.cov(near.T), np.cov(x.T), atol=0.25)
    alone = np.cov(gaussian_like(np.repeat(x, 10, axis=0), "independent units", np.random.default_rng(0)).T)
    np.testing.assert_allclose(np.diag(alone), x.var(axis=0), rtol=0.1)
    assert abs(alone[0, 1]) < 0.2


def test_calibration_is_read_backwards():
    read = np.array([2.0, 4.5, 8.0, 12.0, 15.0, 18.0])
    assert read_alike(8.0, read) == 10
    assert read_alike(10.0, read) == 15
    assert read_alike(19.0, read) is None


# ---------------------------------------------------------------------------- the method
def test_equal_points_are_left_out_and_counted(rng):
    x = rng.random((300, 3))
    once, twice = (
        intrinsic_dimension(x),
        intrinsic_dimension(np.vstack([x, x[:100], -0.0 * x[:1], 0.0 * x[:1]])),
    )
    assert value(twice, "TwoNN dimension").n == 301
    assert value(twice, "TwoNN dimension").value == pytest.approx(
        value(once, "TwoNN dimension").value, rel=0.05
    )
    assert any("101 point(s) that lie exactly" in c for c in twice.caveats)


def test_values_on_a_grid_are_told(rng):
    found = intrinsic_dimension(rng.integers(0, 9, (300, 4)).astype(float))
    assert any("values on a grid" in c for c in found.caveats)
    assert not any("values on a grid" in c for c in intrinsic_dimension(rng.random((300, 4))).caveats)


def test_neighbours_of_the_same_sample_are_counted(rng):
    x = np.repeat(rng.standard_normal((60, 4)), 5, axis=0) + 1e-3 * rng.standard_normal((300, 4))
    tap = ArrayActivations(x, layout=Layout(np.arange(61) * 5))
    assert any(
        "nearest neighbour of 100% of the rows is a token" in c for c in intrinsic_dimension(tap).caveats
    )


def test_the_reading_says_that_it_is_too_small(rng):
    found = intrinsic_dimension(rng.standard_normal((400, 40)))
    e = value(found, "TwoNN dimension")
    assert e.value < 30
    assert e.null_low - 2 < e.value < e.null_high + 2  # it is what the null is
    assert any("reads too little beyond about 15 dimensions" in c for c in found.caveats)
    alike = value(found, "dimension of a Gaussian with this TwoNN")
    assert alike.low < 40 < alike.high


def test_refusals_of_dimension(rng):
    with pytest.raises(NotEnoughData, match="at least 60"):
        intrinsic_dimension(rng.random((55, 3)))
    with pytest.raises(NotEnoughData, match="40 different point"):
        intrinsic_dimension(np.repeat(rng.random((40, 3)), 4, axis=0))
    intrinsic_dimension(rng.random((55, 3)), IntrinsicDimensionParams(k=10))


def test_more_units_than_points_and_few_samples(rng):
    tap = ArrayActivations(
        rng.standard_normal((90, 400)).astype(np.float16), layout=Layout(np.arange(4) * 30)
    )
    found = intrinsic_dimension(tap)
    assert value(found, "TwoNN dimension").low is None
    assert any("Fewer than eight samples" in c for c in found.caveats)


# ---------------------------------------------------------------------------- layers
def test_layers_have_equal_samples_and_the_same_halves(rng):
    x = rng.standard_normal((200, 3))
    ids = np.array([f"s{i}" for i in range(200)])
    one = ArrayActivations(turned(x, 8), "n:a", samples={"id": ids})
    order = rng.permutation(200)[:150]
    two = ArrayActivations(turned(x, 8, 5)[order] * 3, "n:b", samples={"id": ids[order]})
    found = intrinsic_dimension_by_layer(one, two)
    assert found.estimates[0].n == found.estimates[1].n == 150
    assert found.series[TWO_NN][0] == pytest.approx(found.series[TWO_NN][1], rel=1e-5)
    gap = found.estimates[-1]
    assert (gap.value, gap.low, gap.high) == pytest.approx((0, 0, 0), abs=1e-4)  # paired: no spread


def test_a_sample_equal_to_another_at_one_layer_is_left_out_at_all(rng):
    x, y = rng.standard_normal((100, 3)), rng.standard_normal((100, 3))
    y[0] = y[1]
    found = intrinsic_dimension_by_layer(x, y)
    assert {e.n for e in found.estimates[:2]} == {99}
    assert any("1 sample(s) that lie exactly" in c for c in found.caveats)
    with pytest.raises(ParameterError, match="1 tap"):
        intrinsic_dimension_by_layer(x)
    with pytest.raises(NotEnoughData, match="differ from all others at every tap"):
        intrinsic_dimension_by_layer(x, np.round(y))


# ---------------------------------------------------------------------------- each check can fail
def _squares(distances):
    return TWO(distances**2)


def _overlapping(x, part, levels):
    sizes, lengths = LENGTHS(x, part, levels)
    return sizes, lengths * sizes**0.2


def _noisy(x):
    return np.column_stack([x, np.random.default_rng(len(x)).random((len(x), 2))])


TWO, LENGTHS, EDGES = two_nn, tree_dimension.mean_lengths, tree_dimension.edge_lengths


@pytest.mark.parametrize(
    ("method", "where", "name", "broken"),
    [
        (dimension_file, dimension_file, "two_nn", _squares),
        (dimension_file, dimension_readings, "mle", lambda r, k: mle(r, k) * 2),
        (dimension_file, dimension_readings, "mean_lengths", _overlapping),
        (classes_file, dimension_readings, "two_nn", _squares),
        (targets_file, dimension_sides, "decimated", lambda x, *a, **m: decimated(_noisy(x), *a, **m)),
        (uniformity_file, uniformity_file, "edge_lengths", lambda x: EDGES(x) * x.shape[1]),
    ],
)  # fmt: skip
def test_checks_fail_on_broken_code(monkeypatch, method, where, name, broken):
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in method._check())


def test_layer_check_fails_on_broken_code(monkeypatch):
    from analysis.methods.rank import intrinsic_dimension_by_layer as file

    monkeypatch.setattr(dimension_readings, "two_nn", lambda r: TWO(r) ** 2)
    assert not all(line.passed for line in file._check())
    assert dimension_estimators.two_nn is TWO
