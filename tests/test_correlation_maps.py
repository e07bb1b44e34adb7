"""Correlation maps: second implementations, exact nulls, published closed forms, planted groups, bad input."""

from __future__ import annotations

import dataclasses
from itertools import permutations

import numpy as np
import pytest
from correlation_subjects import mapped, tap
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.activations import Layout
from analysis.arrays import upper
from analysis.compute.correlation import (
    binned_information,
    drawing_order,
    map_tests,
    pair_sums,
    unit_relations,
)
from analysis.compute.correlation.binned_information import bins_for, information
from analysis.compute.correlation.distance_correlation import (
    distance_band,
    distance_correlations,
    distance_p,
    signed_root,
)
from analysis.compute.correlation.drawing_order import order_by
from analysis.compute.correlation.map_tests import cosine_null
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.errors import InputError, NotEnoughData, ParameterError

FEW = settings(max_examples=15, deadline=None)


def u_centred(x):
    n = len(x)
    a = np.abs(x[:, None] - x)
    rows = a.sum(axis=1) / (n - 2)
    out = a - rows[:, None] - rows + a.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(out, 0)
    return out


def brute_distance(x, y):
    a, b = u_centred(x), u_centred(y)
    return (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())


# ---------------------------------------------------------------------------- second implementations
@FEW
@given(st.integers(0, 10**6), st.sampled_from([(60, 7, 5), (12, 20, 3), (5, 2, 2)]))
def test_each_measure_agrees_with_another_implementation(seed, shape):
    from scipy.stats import spearmanr
    from sklearn.metrics import mutual_info_score

    rng = np.random.default_rng(seed)
    n, p, q = shape
    x = rng.standard_normal((n, p)).round(1) + rng.uniform(-3, 3, p)
    y = x[:, :1] ** 2 + rng.standard_normal((n, q))
    ranks = spearmanr(np.hstack([x, y])).statistic[:p, p:]
    np.testing.assert_allclose(mapped(x, y).overview, np.corrcoef(x.T, y.T)[:p, p:], atol=1e-6)
    np.testing.assert_allclose(mapped(x, y, measure="spearman").overview, ranks, atol=1e-6)
    cosine = x.T @ y / np.outer(np.linalg.norm(x, axis=0), np.linalg.norm(y, axis=0))
    np.testing.assert_allclose(mapped(x, y, measure="cosine").overview, cosine, atol=1e-6)
    brute = np.array([[brute_distance(a, b) for b in y.T] for a in x.T])
    np.testing.assert_allclose(
        mapped(x, y, measure="distance correlation").overview, signed_root(brute), atol=1e-3
    )
    np.testing.assert_allclose(distance_correlations(x, y), brute, atol=1e-9)
    bins = bins_for(n, 6)
    codes = [
        np.floor((np.array([(v < w).sum() + ((v == w).sum() + 1) / 2 for w in v]) - 0.5) * bins / n)
        for v in (*x.T, *y.T)
    ]
    plain = np.array([[mutual_info_score(a, b) for b in codes[p:]] for a in codes[:p]])
    count = np.array([[len(set(zip(a, b, strict=True))) for b in codes[p:]] for a in codes[:p]])
    each = [len(set(c)) for c in codes]
    right = plain - (count - np.add.outer(each[:p], each[p:]) + 1) / (2 * n)
    np.testing.assert_allclose(mapped(x, y, measure="mutual information", bins=6).overview, right, atol=1e-6)


@pytest.mark.parametrize(
    "measure", ["pearson", "spearman", "cosine", "distance correlation", "mutual information"]
)
def test_a_map_of_one_tap_is_symmetric_without_nan_and_that_of_the_tap_with_itself(rng, measure):
    x = rng.standard_normal((90, 12))
    x[:, 5], x[:, 6] = x[:, 4], -x[:, 4]
    x[3, 2] = np.nan
    found, twice = mapped(x, measure=measure), mapped(x, x, measure=measure)
    np.testing.assert_array_equal(found.overview, found.overview.T)
    assert np.isfinite(found.overview).all()
    np.testing.assert_allclose(found.overview, twice.overview, atol=1e-5)
    if measure != "mutual information":
        np.testing.assert_array_equal(np.diag(found.overview), 1.0)
        assert abs(found.overview[4, 5]) == pytest.approx(1, abs=1e-5)
    assert any("1 of 90 rows hold NaN" in c for c in found.caveats)


@FEW
@given(st.integers(0, 10**6))
def test_what_each_measure_ignores_changes_nothing_and_other_changes_do(seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((80, 4)) + rng.standard_normal((80, 1))
    scale, sign, shift = rng.uniform(0.1, 9, 4), rng.choice([-1, 1], 4), rng.uniform(-5, 5, 4)
    turned, both = x * scale * sign + shift, np.outer(sign, sign)

    def value(z, measure):
        return mapped(z, measure=measure).overview

    for measure in ("pearson", "spearman"):
        np.testing.assert_allclose(value(turned, measure), value(x, measure) * both, atol=1e-5)
    np.testing.assert_allclose(value(x * scale * sign, "cosine"), value(x, "cosine") * both, atol=1e-5)
    np.testing.assert_allclose(
        value(turned, "distance correlation"), value(x, "distance correlation"), atol=2e-3
    )
    for measure in ("spearman", "mutual information"):
        np.testing.assert_allclose(value(np.exp(x), measure), value(x, measure), atol=1e-6)
    assert np.abs(value(x + 10, "cosine") - value(x, "cosine")).max() > 0.05
    assert np.abs(value(np.exp(x), "pearson") - value(x, "pearson")).max() > 1e-3
    assert (
        np.abs(value(np.exp(3 * x), "distance correlation") - value(x, "distance correlation")).max() > 1e-3
    )


# ---------------------------------------------------------------------------- published facts
@pytest.mark.parametrize("rho", [0.3, 0.6, 0.9])
def test_distance_correlation_of_a_gaussian_pair_has_its_closed_form(rng, rho):
    """0.550 at 0.6; the same formula is 0 at 0 and 1 at 1."""
    z = rng.standard_normal((6000, 2)) @ [[1, rho], [0, np.sqrt(1 - rho**2)]]
    root = np.sqrt
    square = (rho * np.arcsin(rho) + root(1 - rho**2) - rho * np.arcsin(rho / 2) - root(4 - rho**2) + 1) / (
        1 + np.pi / 3 - root(3)
    )
    if rho == 0.6:
        assert root(square) == pytest.approx(0.550, abs=5e-4)
    assert mapped(z, measure="distance correlation").overview[0, 1] == pytest.approx(root(square), abs=0.03)


def test_distance_correlation_sees_a_parabola_that_pearson_does_not(rng):
    x = rng.uniform(-1, 1, 4000)
    pair = np.column_stack([x, x * x])
    assert abs(mapped(pair).overview[0, 1]) < 0.05
    assert mapped(pair, measure="distance correlation").overview[0, 1] == pytest.approx(0.49, abs=0.015)


def test_distance_correlation_is_not_biased_where_the_plain_one_is(rng):
    """Independent samples of 200: the plain one gives about 0.12."""

    def plain(x, y):
        def doubly(v):
            a = np.abs(v[:, None] - v)
            return a - a.mean(axis=0) - a.mean(axis=1)[:, None] + a.mean()

        a, b = doubly(x), doubly(y)
        return np.sqrt((a * b).mean() / np.sqrt((a * a).mean() * (b * b).mean()))

    x = rng.standard_normal((200, 40))
    assert np.mean([plain(x[:, 2 * i], x[:, 2 * i + 1]) for i in range(20)]) == pytest.approx(0.12, abs=0.03)
    assert upper(distance_correlations(x)).mean() == pytest.approx(0, abs=3 * np.sqrt(2) / 200 / np.sqrt(700))


@pytest.mark.parametrize("n", [100, 2000])
def test_mean_size_of_r_in_noise_is_its_closed_form(rng, n):
    """The square root of 2 / (pi N)."""
    found = mapped(rng.standard_normal((n, 60)))
    assert found.estimates[0].value == pytest.approx(np.sqrt(2 / np.pi / n), rel=0.05)
    assert found.estimates[0].null == pytest.approx(np.sqrt(2 / np.pi / n), rel=0.01)
    assert found.share_significant < 0.01


def test_plug_in_information_is_too_high_by_its_degrees_of_freedom_and_the_corrected_one_is_not(rng):
    """Of two independent variables about (k - 1)(k - 1) / (2 N) nats."""
    x, bins, n = rng.standard_normal((5000, 50)), 10, 5000
    found = upper(information(x, None, bins, n).value)
    assert found.mean() == pytest.approx(0, abs=0.05 * 81 / (2 * n))
    codes = (np.argsort(np.argsort(x[:, :2], axis=0), axis=0) * bins // n).T
    p = np.bincount(codes[0] * bins + codes[1], minlength=bins**2) / n
    plug_in = (p[p > 0] * np.log(p[p > 0] * bins**2)).sum()
    assert information(x[:, :2], None, bins, n).value[0, 1] == pytest.approx(plug_in - 81 / (2 * n), abs=1e-9)


@pytest.mark.parametrize("rho", [0.3, 0.6, 0.8])
def test_information_of_a_gaussian_pair_is_a_lower_bound_that_more_bins_bring_closer(rng, rho):
    z = rng.standard_normal((40_000, 2)) @ [[1, rho], [0, np.sqrt(1 - rho**2)]]
    exact = -0.5 * np.log(1 - rho**2)
    few, many = (information(z, None, bins, 40_000).value[0, 1] for bins in (6, 32))
    assert few < many < exact + 0.01
    assert many == pytest.approx(exact, abs=0.02 + 0.03 * exact)


# ---------------------------------------------------------------------------- nulls
def test_the_exchange_null_of_a_cosine_is_exact():
    """All 720 exchanges of six samples: the mean and the deviation that are used."""
    rng = np.random.default_rng(3)
    x, y = rng.exponential(size=6) + 1, rng.standard_normal(6) + 0.5
    length = np.linalg.norm(x) * np.linalg.norm(y)
    every = np.array([x @ y[list(p)] / length for p in permutations(range(6))])
    moments = tuple((np.array([v.mean()]), np.array([((v - v.mean()) ** 2).sum()])) for v in (x, y))
    null = cosine_null(moments, 6, 6, rng)
    assert every.mean() == pytest.approx(6 * x.mean() * y.mean() / length, abs=1e-12)
    spread = np.sqrt(moments[0][1] * moments[1][1] / 5)[0] / length
    assert every.std() == pytest.approx(spread, abs=1e-12)
    assert null.band == pytest.approx((every.mean() - 1.96 * spread, every.mean() + 1.96 * spread), abs=0.01)


def test_a_cosine_counts_as_significant_where_the_correlation_is(rng):
    x = rng.standard_normal((100, 20)) + 5
    x[:, 1] += x[:, 0]
    found, r = mapped(x, measure="cosine"), mapped(x)
    assert found.share_significant == r.share_significant > 0
    assert np.isnan(found.threshold)
    assert found.null_band[0] > 0.9  # the means alone
    assert any("No single threshold" in c for c in found.caveats)


@pytest.mark.parametrize("kind", ["gaussian", "exponential", "two values"])
@pytest.mark.parametrize("n", [30, 300])
def test_p_values_of_distance_correlation_do_not_reject_noise_too_often(kind, n):
    rng = np.random.default_rng(5)
    draw = {"gaussian": rng.standard_normal, "exponential": lambda size: rng.exponential(size=size) ** 2,
            "two values": lambda size: (rng.random(size) < 0.4) * 1.0}[kind]  # fmt: skip
    d = np.concatenate([upper(distance_correlations(draw((n, 40)))) for _ in range(4)])
    p = distance_p(signed_root(d), n)
    for level, most in ((0.05, 0.065), (0.01, 0.016), (0.001, 0.003)):
        assert (p <= level).mean() <= most
    low, high = distance_band(n)
    assert ((signed_root(d) >= low) & (signed_root(d) <= high)).mean() >= 0.95


def test_small_p_values_of_distance_correlation_are_near_those_of_exchanged_rows():
    rng, compared = np.random.default_rng(1), 0
    for strength in np.linspace(0.2, 0.7, 12):
        x = rng.standard_normal((60, 2))
        x[:, 1] += strength * x[:, 0] ** 2
        a, b = u_centred(x[:, 0]), u_centred(x[:, 1])
        orders = [rng.permutation(60) for _ in range(2000)]
        null = np.array([(a * b[np.ix_(p, p)]).sum() for p in orders])
        exchanged = (1 + (null >= (a * b).sum()).sum()) / 2001
        if 0.002 < exchanged <= 0.05:
            compared += 1
            p = float(distance_p(signed_root(distance_correlations(x)), 60)[0, 1])
            assert exchanged / 2 <= p <= 2 * exchanged
    assert compared >= 3


@pytest.mark.parametrize("measure", ["distance correlation", "mutual information"])
def test_what_is_below_chance_does_not_count_as_significant(rng, measure):
    """At a lenient level, where it would: the share is that of the rule on the p-values themselves."""
    x = rng.standard_normal((60, 25))
    x[:, 1] += 0.6 * x[:, 0] ** 2
    found = mapped(x, measure=measure, level=0.5, bins=3)
    if measure == "distance correlation":
        p = distance_p(upper(signed_root(distance_correlations(x))), 60)
    else:
        p = upper(information(x, None, 3, 60).p)
    assert found.share_significant == pytest.approx((benjamini_hochberg(p) <= 0.5).mean(), abs=1 / len(p))


@pytest.mark.parametrize("zeros", [False, True])
def test_p_values_of_information_are_uniform_in_noise(zeros):
    """At five rows a cell on average, the fewest there are."""
    rng = np.random.default_rng(6)
    x = rng.standard_normal((720, 90))
    x = np.maximum(x - 0.3, 0) if zeros else x
    p = upper(information(x, None, bins_for(720, 12), 720).p)
    for level in (0.5, 0.1, 0.01):
        assert (p <= level).mean() == pytest.approx(level, rel=0.25, abs=0.003)


def test_unrelated_units_stay_inside_the_band_and_planted_ones_outside(rng):
    x = rng.standard_normal((400, 30))
    x[:, 1] = 0.7 * x[:, 0] + x[:, 1]
    for measure in ("pearson", "spearman", "distance correlation", "mutual information", "cosine"):
        found = mapped(x, measure=measure)
        low, high = found.null_band
        values = upper(found.overview)
        assert ((values >= low) & (values <= high)).mean() >= 0.93, measure
        assert found.overview[0, 1] > high
        assert 1 / 435 <= found.share_significant < 0.02
        if np.isfinite(found.threshold):
            assert found.overview[0, 1] >= found.threshold > high


# ---------------------------------------------------------------------------- which samples, which units
def test_samples_are_matched_by_id_whatever_their_order(rng):
    x, y = rng.standard_normal((60, 4)), rng.standard_normal((60, 3))
    y[:, 0] += x[:, 2]
    ids, order = np.array([f"s{i}" for i in range(60)]), rng.permutation(60)[:50]
    found = mapped(tap(x, ids, "a"), tap(y[order], ids[order], "b"))
    stay = np.sort(order)
    np.testing.assert_allclose(found.overview, np.corrcoef(x[stay].T, y[stay].T)[:4, 4:], atol=1e-6)
    assert any("50 samples matched by id (a 60, b 50)" in c for c in found.caveats)
    assert found.estimates[0].n == 50


def test_tokens_count_by_their_samples_and_are_pooled_only_for_another_network(rng):
    x, y = rng.standard_normal((40, 3, 5)), rng.standard_normal((40, 2))
    layout = Layout(np.arange(41) * 3)
    one = tap(x.reshape(120, 5), name="a", layout=layout)
    found = mapped(one, tap(y, name="b"))
    np.testing.assert_allclose(found.overview, np.corrcoef(x.mean(1).T, y.T)[:5, 5:], atol=1e-6)
    assert any("mean over its tokens" in c for c in found.caveats)
    alone = mapped(one)
    np.testing.assert_allclose(alone.overview, np.corrcoef(x.reshape(120, 5).T), atol=1e-6)
    assert alone.estimates[0].n == 40
    assert any("count 40 samples, not 120 rows" in c for c in alone.caveats)
    assert alone.null_band == mapped(rng.standard_normal((40, 5))).null_band


def test_constant_units_are_left_out_and_counted_on_either_side(rng):
    x, y = rng.standard_normal((50, 6)), rng.standard_normal((50, 5))
    x[:, 1], y[:, [0, 4]] = 7.0, 0.0
    for measure in ("pearson", "spearman", "cosine", "distance correlation", "mutual information"):
        found = mapped(tap(x, name="a"), tap(y, name="b"), measure=measure)
        assert found.shape == (5, 3)
        np.testing.assert_array_equal(found.row_units, [0, 2, 3, 4, 5])
        np.testing.assert_array_equal(found.column_units, [1, 2, 3])
        np.testing.assert_array_equal(found.column_names, ["1", "2", "3"])
        assert sum("constant unit(s)" in c for c in found.caveats) == 2


def test_caps_on_units_and_rows_are_said(rng):
    x = rng.standard_normal((500, 20)) * np.arange(1, 21)
    found = mapped(x, maximum_units=8)
    np.testing.assert_array_equal(found.row_units, np.arange(12, 20))
    assert any("8 units" in c and "of 20" in c for c in found.caveats)
    found = mapped(x, measure="spearman", maximum_rows=100)
    assert any("A random 100 of 500 rows used" in c for c in found.caveats)
    assert found.estimates[0].n == 100


@pytest.mark.parametrize("spoil", ["duplicated", "huge", "tiny", "offset", "wide", "float16", "integers"])
def test_odd_units_give_numbers(rng, spoil):
    x = rng.standard_normal((30, 4))
    x[:, 1] += x[:, 0]
    expected = np.corrcoef(x, rowvar=False)[0, 1]
    change = {
        "duplicated": lambda: np.hstack([x, x]), "huge": lambda: x * 1e100, "tiny": lambda: x * 1e-100,
        "offset": lambda: x + 1e6, "wide": lambda: np.hstack([x, rng.standard_normal((30, 400))]),
        "float16": lambda: x.astype(np.float16), "integers": lambda: np.rint(x * 1000).astype(int),
    }[spoil]()  # fmt: skip
    found = mapped(change)
    assert np.isfinite(found.overview).all()
    assert found.overview[0, 1] == pytest.approx(expected, abs=2e-3)


def test_refusals(rng):
    x = rng.standard_normal((20, 3))
    with pytest.raises(ParameterError, match="3 taps"):
        mapped(x, x, x)
    with pytest.raises(NotEnoughData, match="at least 4"):
        mapped(x[:3])
    with pytest.raises(NotEnoughData, match=r"1 unit\(s\) that vary"):
        mapped(x[:, :1])
    with pytest.raises(NotEnoughData, match=r"0 sample\(s\) with the same id"):
        mapped(tap(x, [f"a{i}" for i in range(20)]), tap(x, [f"b{i}" for i in range(20)]))
    with pytest.raises(InputError, match="id of its own"):
        mapped(tap(x, ["same"] * 20), tap(x, [f"b{i}" for i in range(20)]))
    for measure in ("spearman", "distance correlation", "mutual information"):
        with pytest.raises(NotEnoughData):
            mapped(np.full((20, 3), np.nan), measure=measure)
        with pytest.raises(NotEnoughData):
            mapped(x[:3], measure=measure)


def test_one_unit_against_many_is_a_map(rng):
    x, y = rng.standard_normal((40, 1)), rng.standard_normal((40, 9))
    found = mapped(x, y, order="clusters")
    assert found.shape == (1, 9)
    assert found.linkage is None
    assert found.column_linkage.shape == (8, 4)


# ---------------------------------------------------------------------------- checks that can fail
def _unbiased_by_half(x, y, bins, samples, *progress):
    found = information(x, y, bins, samples, *progress)
    return dataclasses.replace(found, value=found.value / 2)


def _uncorrected(values):
    return np.abs(values) ** 0.4


def _wrong_moments(m):
    return np.clip(m.scatter / m.n / 49, -1, 1) * 1.001


def _first_lines(sums, part):
    return unit_relations.lines_of(sums, slice(0, 5))


measured, tests = "analysis.compute.correlation.measured_map", "analysis.compute.correlation.map_tests"
relations = "analysis.compute.correlation.unit_relations"
BROKEN = [
    ("correlation_map", "analysis.compute.statistics.moments.Moments.correlation", _wrong_moments),
    ("correlation_map", f"{relations}.order_by_similarity", lambda r: order_by(np.arange(len(r)) % 2)),
    ("correlation_map", f"{tests}.correlation_p", lambda r, n: np.zeros(np.shape(r))),
    ("correlation_map", f"{measured}.signed_root", _uncorrected),
    ("correlation_map", f"{measured}.information", _unbiased_by_half),
    ("correlation_map", "analysis.compute.rows.loaded_rows.midranks", lambda v: (np.argsort(v, axis=0) * 1.0, None)),
    ("strongest_pairs_across", "analysis.compute.correlation.pair_sums._scaled",
     lambda cross, *_: np.clip(cross / 700, -1, 1)),
    ("strongest_pairs_across", "analysis.compute.correlation.strongest.lines_of", _first_lines),
]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "target", "broken"), BROKEN, ids=[f"{m}-{t.split('.')[-1]}" for m, t, _ in BROKEN]
)
def test_the_check_fails_on_broken_code(monkeypatch, method, target, broken):
    from analysis import registry

    declared = registry.methods()[method]
    monkeypatch.setattr(target, broken)
    assert not all(line.passed for line in declared.check())


def test_the_constants_that_the_tests_shrink_are_those_that_are_used():
    assert map_tests.DECADES == 300
    assert binned_information.PER_CELL == 5
    assert (unit_relations.EXACT, drawing_order.EXACT, pair_sums.PRECISE) == (4096, 4096, 1024)
