"""Angles between paired rows and between random directions: closed forms, SciPy, simulation, exact intervals, curves,
bad input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from analysis.activations import ArrayActivations, Layout
from analysis.compute.similarity import row_angles
from analysis.compute.similarity.row_angles import (
    angles,
    median_interval,
    random_below,
    random_median,
    random_quantile,
    rank_test,
    sign_test,
)
from analysis.errors import InputError, NotEnoughData, NotFound
from analysis.methods.similarity import update_angle as module
from analysis.methods.similarity import update_angle_by as by_module
from analysis.methods.similarity.update_angle import UpdateAngleParams, update_angle
from analysis.methods.similarity.update_angle_by import NAME, UpdateAngleByParams, update_angle_by

FEW = settings(max_examples=15, deadline=None)


def tap(x, name="t", layout=None, **samples):
    return ArrayActivations(x, name=name, samples=samples, layout=layout)


def turned(x, degrees, rng):
    """Rows of `x` (n, d) turned by `degrees` (n,) in a plane of random directions."""
    along = x / np.linalg.norm(x, axis=1, keepdims=True)
    across = rng.standard_normal(x.shape)
    across -= (across * along).sum(axis=1, keepdims=True) * along
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    r = np.radians(degrees)[:, None]
    return np.cos(r) * along + np.sin(r) * across


# ---------------------------------------------------------------------------- angles
@FEW
@given(st.integers(0, 10**6), st.sampled_from([2, 3, 50]))
def test_angles_are_arc_cosines_and_only_directions_count(seed, d):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((2, 20, d))
    cosine = (x * y).sum(axis=1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)
    found = angles(x, y)
    np.testing.assert_allclose(
        found, np.degrees(np.arccos(cosine)), atol=1e-5
    )  # the arc cosine's own rounding
    turn = np.linalg.qr(rng.standard_normal((d, d)))[0]
    scale = np.exp(rng.standard_normal((20, 1)))
    np.testing.assert_allclose(angles(x @ turn, y @ turn), found, atol=1e-9)
    np.testing.assert_allclose(angles(scale * x, y / scale), found, atol=1e-9)
    np.testing.assert_allclose(angles(y, x), found, atol=1e-12)
    np.testing.assert_allclose(angles(x, -y), 180 - found, atol=1e-9)
    other = x @ np.diag(np.arange(1.0, d + 1))  # no rotation: not ignored
    assert np.abs(angles(other, y) - found).max() > 1e-3


@pytest.mark.parametrize("size", [1e-300, 1.0, 1e300])
def test_small_angles_keep_their_digits_and_sizes_neither_overflow_nor_vanish(size):
    x, y = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]), np.array([[1.0, 1e-10], [-1.0, 1e-10], [0.0, 2.0]])
    expected = [np.degrees(1e-10), 180 - np.degrees(1e-10), 90]
    found = angles(size * x, y)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert found[0] == pytest.approx(np.degrees(1e-10), rel=1e-6)  # the arc cosine would say 0
    assert angles(size * x, 3 * x).max() == 0.0
    assert angles(size * x, -3 * x).min() == 180.0


# ---------------------------------------------------------------------------- random directions
@pytest.mark.parametrize("d", [2, 3, 10, 1000])
def test_chance_of_an_angle_between_random_directions(d):
    """cos² is Beta(1/2, (d - 1)/2); in the plane angles, in space cosines are spread evenly; simulated ones follow."""
    at = np.array([1.0, 30.0, 89.0, 90.0, 91.0, 120.0, 179.0])
    beta = stats.beta(0.5, (d - 1) / 2)
    tail = beta.sf(np.cos(np.radians(at)) ** 2) / 2
    np.testing.assert_allclose(random_below(at, d), np.where(at <= 90, tail, 1 - tail), atol=1e-12)
    if d == 2:
        np.testing.assert_allclose(random_below(at, d), at / 180, atol=1e-12)
    if d == 3:
        np.testing.assert_allclose(random_below(at, d), (1 - np.cos(np.radians(at))) / 2, atol=1e-12)
    shares = np.array([0.001, 0.2, 0.5, 0.8, 0.999])
    np.testing.assert_allclose(random_below(random_quantile(shares, d), d), shares, atol=1e-9)
    rng = np.random.default_rng(d)
    drawn = angles(*rng.standard_normal((2, 3000, d)))
    assert stats.kstest(drawn, lambda v: random_below(v, d)).pvalue > 0.001


@pytest.mark.parametrize("n", [7, 20])
def test_median_of_random_angles(n):
    rng = np.random.default_rng(n)
    drawn = np.median(angles(*rng.standard_normal((2, 4000 * n, 5))).reshape(4000, n), axis=1)
    low, high = random_median(n, 5)
    inside = ((drawn >= low) & (drawn <= high)).mean()
    assert low + high == pytest.approx(180)
    assert inside > 0.95 - 0.015
    assert inside < (0.965 if n % 2 else 0.99)  # exact for odd n, on the safe side for even n


# ---------------------------------------------------------------------------- intervals and tests
@pytest.mark.parametrize("n", [6, 9, 40, 101])
def test_the_medians_interval_covers_and_no_narrower_pair_would(n):
    ordered = np.arange(1.0, n + 1)
    low, high = median_interval(ordered)
    assert low + high == n + 1
    covered = stats.binom.cdf(high - 1, n, 0.5) - stats.binom.cdf(low - 1, n, 0.5)  # P(low <= B < high)
    assert covered >= 0.95
    if high - low > 2:
        narrower = stats.binom.cdf(high - 2, n, 0.5) - stats.binom.cdf(low, n, 0.5)
        assert narrower < 0.95
    rng = np.random.default_rng(n)
    ends = np.array([median_interval(v) for v in rng.exponential(size=(2000, n))])
    hit = ((ends[:, 0] <= np.log(2)) & (np.log(2) <= ends[:, 1])).mean()
    assert hit == pytest.approx(covered, abs=0.02)


def test_fewer_than_six_values_have_no_interval():
    assert median_interval(np.arange(5.0)) is None


def test_signs_and_ranks_about_90():
    degrees = np.array([80.0, 85, 70, 88, 89, 60, 95, 90, 90])
    assert sign_test(degrees) == pytest.approx(stats.binomtest(6, 7).pvalue)
    assert rank_test(degrees) == pytest.approx(stats.wilcoxon(degrees[:7] - 90).pvalue)
    assert sign_test(np.full(9, 90.0)) == rank_test(np.full(9, 90.0)) == 1.0


def test_p_values_are_uniform_for_random_directions():
    rng = np.random.default_rng(0)
    found = [
        [e.p_value for e in update_angle(*rng.standard_normal((2, 25, 6))).estimates] for _ in range(120)
    ]
    for p in np.array(found).T:
        assert (p < 0.05).mean() <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / 120)
        assert 0.3 < (p < 0.5).mean() < 0.7


# ---------------------------------------------------------------------------- the distribution
def test_against_numbers_by_hand():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((101, 30))
    by = rng.uniform(20, 120, 101)
    found = update_angle(x, 7 * turned(x, by, rng))
    median, share, cosine = found.estimates
    assert median.value == pytest.approx(np.median(by))
    assert median.low < median.value < median.high
    assert median.null == 90
    assert share.value == pytest.approx((by < 90).mean())
    assert share.null == 0.5
    assert cosine.value == pytest.approx(np.cos(np.radians(by)).mean())
    assert cosine.null_high == pytest.approx(1.96 / np.sqrt(101 * 30))
    assert found.counts["pairs of rows"].sum() == 101
    np.testing.assert_array_equal(found.counts["pairs of rows"], np.histogram(by, found.edges)[0])
    assert found.null.sum() == pytest.approx(101, abs=0.2)
    assert 90.0 in found.edges
    assert "below 90 degrees than random" in found.reading


@pytest.mark.parametrize(("sign", "degrees", "share"), [(1.0, 0.0, 1.0), (-1.0, 180.0, 0.0)])
def test_equal_and_opposite_rows(sign, degrees, share):
    x = np.random.default_rng(2).standard_normal((50, 8))
    found = update_angle(x, sign * 2 * x)
    assert found.estimates[0].value == pytest.approx(degrees, abs=1e-6)
    assert found.estimates[1].value == share
    assert found.estimates[1].p_value == pytest.approx(2 * 0.5**50)
    assert found.counts["pairs of rows"].sum() == 50
    assert found.edges[0] >= 0
    assert found.edges[-1] <= 180


def test_random_directions_stand_at_90_with_the_exact_spread():
    rng = np.random.default_rng(3)
    found = update_angle(*rng.standard_normal((2, 2000, 64)))
    e = found.estimates[0]
    assert e.null_low < e.value < e.null_high
    assert found.estimates[2].p_value > 0.01
    expected, counts = found.null, found.counts["pairs of rows"]
    big = expected > 5
    assert stats.chi2.sf(((counts - expected)[big] ** 2 / expected[big]).sum(), big.sum() - 1) > 0.001


def test_right_angles_are_on_no_side_and_counted():
    x = np.zeros((12, 4))
    x[:, 0] = np.arange(1, 13)
    y = np.zeros((12, 4))
    y[:, 1] = np.arange(2, 14)
    found = update_angle(x, y)
    assert found.estimates[1].value == 0.0
    assert found.estimates[1].p_value == 1.0
    assert any(c.startswith("12 pair(s) at a right angle") for c in found.caveats)


def test_rows_of_zeros_are_left_out_and_counted():
    rng = np.random.default_rng(4)
    x, y = rng.standard_normal((2, 30, 5))
    x[[1, 2]], y[[2, 9, 10]] = 0, 0
    found = update_angle(tap(x, "update"), tap(y, "gradient"))
    stay = np.delete(np.arange(30), [1, 2, 9, 10])
    assert found.estimates[0].n == 26
    assert found.estimates[0].value == pytest.approx(np.median(angles(x[stay], y[stay])))
    assert any(c.startswith("update: 2 row(s) of zeros") for c in found.caveats)
    assert any(c.startswith("gradient: 3 row(s) of zeros") for c in found.caveats)


def test_samples_are_matched_by_id_in_any_order():
    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((2, 40, 6))
    ids, order = np.array([f"s{i}" for i in range(40)]), rng.permutation(40)[:25]
    found = update_angle(tap(x, id=ids), tap(y[order], id=ids[order]))
    assert found.estimates[0].value == pytest.approx(np.median(angles(x[order], y[order])))
    step = rng.integers(3, size=40)
    curve = update_angle_by(
        tap(x, id=ids, step=step), tap(y[order], id=ids[order]), UpdateAngleByParams("step")
    )
    by_hand = [np.median(angles(x[order], y[order])[step[order] == k]) for k in range(3)]
    np.testing.assert_allclose(curve.series[NAME], by_hand)


def test_tokens_are_averaged():
    rng = np.random.default_rng(6)
    x, y = rng.standard_normal((2, 60, 5))
    layout = Layout(np.arange(31) * 2)
    found = update_angle(tap(x, layout=layout), tap(y, layout=layout))
    mean = angles(*(v.reshape(30, 2, 5).mean(axis=1) for v in (x, y)))
    assert found.estimates[0].value == pytest.approx(np.median(mean))


# ---------------------------------------------------------------------------- along a column
def test_a_feedback_that_learns_to_point_along_the_gradient_is_seen_to():
    rng = np.random.default_rng(7)
    gradient, epoch = rng.standard_normal((210, 40)), np.repeat(np.arange(7), 30)
    by = 90 - 10 * epoch + rng.normal(0, 2, 210)
    found = update_angle_by(
        tap(turned(gradient, by, rng), epoch=epoch), gradient, UpdateAngleByParams("epoch")
    )
    np.testing.assert_allclose(found.series[NAME], [np.median(by[epoch == k]) for k in range(7)])
    assert (found.low[NAME] < found.series[NAME]).all()
    assert (found.series[NAME] < found.high[NAME]).all()
    assert set(found.null[NAME]) == {90.0}
    first, last, trend = found.estimates
    assert first.p_value > 0.01
    assert last.p_value < 1e-4
    assert trend.value == pytest.approx(stats.spearmanr(by, epoch).statistic, abs=1e-9)
    assert trend.p_value == pytest.approx(0.001)
    assert "falls along epoch" in found.reading


def test_a_numeric_column_of_many_values_is_cut_into_bins_and_texts_have_no_trend():
    rng = np.random.default_rng(8)
    x, y = rng.standard_normal((2, 200, 4))
    binned = update_angle_by(tap(x, t=rng.uniform(size=200)), y, UpdateAngleByParams("t", bins=5))
    assert len(binned.x) == 5
    assert any("equal counts" in c for c in binned.caveats)
    texts = update_angle_by(tap(x, layer=np.repeat(["a", "b"], 100)), y, UpdateAngleByParams("layer"))
    assert len(texts.estimates) == 2
    assert "median angle at layer = b" in texts.estimates[1].name
    assert texts.x_name == "layer (0 a, 1 b)"
    assert binned.x_name == "t"


def test_places_with_few_pairs_show_their_range():
    rng = np.random.default_rng(9)
    x, y = rng.standard_normal((2, 43, 4))
    t = np.r_[np.zeros(40), np.ones(3)]
    found = update_angle_by(tap(x, t=t), y, UpdateAngleByParams("t"))
    last = angles(x, y)[40:]
    assert (found.low[NAME][1], found.high[NAME][1]) == (last.min(), last.max())
    assert found.estimates[1].low is None
    assert any(c.startswith("1 place(s) with fewer than six pairs") for c in found.caveats)


# ---------------------------------------------------------------------------- refusals
@pytest.mark.parametrize("method", [update_angle, update_angle_by])
def test_bad_input(method):
    rng = np.random.default_rng(10)
    x = tap(rng.standard_normal((20, 4)), label=np.resize([0, 1], 20))
    with pytest.raises(InputError, match="4 units and t has 5"):
        method(x, tap(rng.standard_normal((20, 5))))
    with pytest.raises(InputError, match="on a line"):
        method(tap(x.values[:, :1], label=x.samples["label"]), tap(x.values[:, 1:2]))
    with pytest.raises(NotEnoughData, match="5 sample"):
        method(tap(x.values[:5], label=x.samples["label"][:5]), x.values[:5])
    with pytest.raises(NotEnoughData, match="5 pair"):
        method(x, tap(x.values * (np.arange(20) < 5)[:, None]))
    with pytest.raises(NotEnoughData, match=r"0 sample\(s\) with the same id"):
        method(x, tap(x.values, id=[f"other{i}" for i in range(20)]))


def test_a_missing_column_is_refused():
    x = np.random.default_rng(11).standard_normal((20, 4))
    with pytest.raises(NotFound, match="no sample column 'epoch'"):
        update_angle_by(x, x, UpdateAngleByParams("epoch"))


def test_ids_that_repeat_are_refused_where_a_column_could_not_be_told():
    rng = np.random.default_rng(12)
    x, y = rng.standard_normal((2, 20, 4))
    y[3] = np.nan
    ids = np.repeat([f"s{i}" for i in range(10)], 2)
    with pytest.raises(InputError, match="same id"):
        update_angle_by(tap(x, id=ids, label=np.resize([0, 1], 20)), tap(y, id=ids))


def test_parameters_change_what_they_say():
    rng = np.random.default_rng(13)
    x, y = rng.standard_normal((2, 300, 4))
    assert len(update_angle(x, y, UpdateAngleParams(bins=7)).edges) == 15
    few = update_angle(x, y, UpdateAngleParams(maximum_samples=60))
    assert few.estimates[0].n == 60
    assert any("A random 60 of 300" in c for c in few.caveats)


# ---------------------------------------------------------------------------- the checks can fail
def half_circle(x, y):
    """The angle between lines, which forgets the sign."""
    return np.minimum(angles(x, y), 180 - angles(x, y))


@pytest.mark.parametrize(
    ("method", "where", "name", "broken"),
    [
        (module, row_angles, "angles", half_circle),
        (module, row_angles, "angles", lambda x, y: 1.001 * angles(x, y)),
        (module, row_angles, "_unit", lambda rows: rows),
        (module, module, "random_below", lambda degrees, d: np.asarray(degrees) / 180),
        (module, module, "sign_test", lambda degrees: 0.0),
        (by_module, row_angles, "angles", lambda x, y: angles(x, np.roll(y, 1, axis=0))),
        (by_module, by_module, "add_one_p", lambda seen, drawn: 0.0),
        (by_module, by_module, "places_of", lambda c, bins, name: by_places(c[::-1], bins, name)),
    ],
)
def test_the_check_fails_on_broken_code(monkeypatch, method, where, name, broken):
    check = method.METHODS[0].check
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in check())


by_places = by_module.places_of
