"""Sharing between networks: wMPPC and comparative sharedness by brute force, invariances, nulls, floors, bad input."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.activations import ArrayActivations, Layout
from analysis.compute.matching import unit_sharing
from analysis.compute.matching.unit_sharing import correlations, correlations_without, once, units_of
from analysis.compute.populations import comparative, sharing_cells
from analysis.compute.statistics.exchange_tests import pooled_p
from analysis.compute.statistics.sample_groups import (
    jackknife_error,
    mean_interval,
    sample_groups,
    share_interval,
)
from analysis.errors import InputError, NotEnoughData, ParameterError
from analysis.methods.populations import comparative_sharedness as comparative_module
from analysis.methods.populations import sharing as sharing_module
from analysis.methods.populations.comparative_sharedness import ComparativeParams, comparative_sharedness
from analysis.methods.populations.sharing import SharingParams, sharing

FEW = settings(max_examples=15, deadline=None)


def tap(x, ids=None, name="t", layout=None):
    samples = {} if ids is None else {"id": np.asarray(ids)}
    return ArrayActivations(x, name=name, samples=samples, layout=layout)


def wmppc(x, y, absolute=False):
    """By its definition, unit by unit."""
    weight, best = [], []
    for i in range(x.shape[1]):
        if np.ptp(x[:, i]) == 0:
            continue
        r = [np.corrcoef(x[:, i], y[:, j])[0, 1] for j in range(y.shape[1]) if np.ptp(y[:, j]) > 0]
        best.append(max(np.abs(r)) if absolute else max(r))
        weight.append(np.abs(x[:, i]).sum())
    return np.dot(weight, best) / np.sum(weight)


# ---------------------------------------------------------------------------- the value
@FEW
@given(st.integers(0, 10**6), st.sampled_from([(12, 3, 4), (40, 6, 2), (25, 1, 1), (15, 30, 20)]))
def test_it_is_the_weighted_best_correlation(seed, shape):
    rng = np.random.default_rng(seed)
    n, p, q = shape
    x, y = rng.standard_normal((n, p)) + rng.standard_normal(p), 1e3 * rng.exponential(size=(n, q))
    for sign in ("signed", "either"):
        found = sharing(x, y, params=SharingParams(draws=5, sign=sign))
        assert found.values[0, 1] == pytest.approx(wmppc(x, y, sign == "either"), abs=1e-10)
        assert found.values[1, 0] == pytest.approx(wmppc(y, x, sign == "either"), abs=1e-10)
        np.testing.assert_array_equal(np.diag(found.values), 1.0)


@FEW
@given(st.integers(0, 10**6), st.sampled_from([(3, 4), (4, 3), (4, 4), (1, 5)]))
def test_matched_once_is_the_best_of_all_assignments(seed, shape):
    rng = np.random.default_rng(seed)
    p, q = shape
    r, weight = rng.uniform(-1, 1, (p, q)), rng.exponential(size=p)
    wide = np.hstack([r, np.zeros((p, p))])  # p columns more: a unit may stay alone and counts 0
    brute = max(weight @ wide[np.arange(p), list(c)] for c in permutations(range(q + p), p))
    partner, value = once(r, weight)
    assert weight @ value == pytest.approx(brute, abs=1e-12)
    used = partner[partner >= 0]
    assert len(set(used)) == len(used)
    assert (value >= 0).all()
    assert (value[partner < 0] == 0).all()


def test_matched_once_is_never_above_the_best_and_many_to_one_is_allowed_otherwise(rng):
    x = rng.standard_normal((100, 1))
    twice = np.hstack([x, x + 0.01 * rng.standard_normal((100, 1))])
    assert sharing(twice, x).values[0, 1] == pytest.approx(1, abs=1e-3)
    half = sharing(twice, x, params=SharingParams(matching="once", weights="equal")).values
    assert half[0, 1] == pytest.approx(0.5, abs=1e-3)
    assert half[1, 0] == pytest.approx(1, abs=1e-12)


@FEW
@given(st.integers(0, 10**6))
def test_permuting_shifting_and_rescaling_the_column_side_changes_nothing(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((50, 6)), rng.standard_normal((50, 5))
    y[:, :3] += x[:, :3]
    value = sharing(x, y).values[0, 1]
    other = y[:, rng.permutation(5)] * rng.uniform(0.1, 9, 5) + rng.standard_normal(5) * 100
    assert sharing(x, other).values[0, 1] == pytest.approx(value, abs=1e-9)
    assert sharing(x[:, ::-1], y).values[0, 1] == pytest.approx(value, abs=1e-12)
    assert sharing(x, -y).values[0, 1] < value  # a falling partner is none, unless asked for
    either = SharingParams(sign="either")
    assert sharing(x, -y, params=either).values[0, 1] == pytest.approx(
        sharing(x, y, params=either).values[0, 1], abs=1e-12
    )


def test_it_is_not_symmetric_and_of_itself_is_one(rng):
    x = rng.standard_normal((200, 5))
    wide = np.hstack([x, rng.standard_normal((200, 20))])
    found = sharing(x, wide, x[:, ::-1])
    assert found.values[0, 1] == pytest.approx(1, abs=1e-12)
    assert found.values[0, 2] == pytest.approx(1, abs=1e-12)
    assert found.values[1, 0] < 0.6


def test_divided_by_n_with_the_deviation_of_n_minus_one_it_would_be_less_than_one(rng):
    """What the released code computes: (N - 1) / N, 0.99 at N = 100. Here a tap's own score is 1."""
    x = rng.standard_normal((100, 4))
    z = (x - x.mean(axis=0)) / x.std(axis=0, ddof=1)
    assert (z.T @ z / 100).max() == pytest.approx(0.99, abs=1e-12)
    assert sharing(x, x + 0.0).values[0, 1] == pytest.approx(1, abs=1e-12)


# ---------------------------------------------------------------------------- null, interval, significance
def test_the_null_is_above_zero_for_unrelated_taps_and_nothing_is_significant(rng):
    found = sharing(*(rng.standard_normal((300, 40)) for _ in range(3)))
    off = ~np.eye(3, dtype=bool)
    assert (found.null[off] > 0.1).all()
    assert np.abs(found.values - found.null)[off].max() < 0.02
    assert not found.significant[off].any()
    assert ((found.low <= found.values) & (found.values <= found.high)).all()


def test_the_excess_is_the_value_less_its_null(rng):
    x, y = rng.standard_normal((80, 6)), rng.standard_normal((80, 5))
    plain, excess = (sharing(x, y, params=SharingParams(excess=e)) for e in (False, True))
    np.testing.assert_allclose(excess.values, plain.values - plain.null, atol=1e-15)
    assert not excess.null.any()
    np.testing.assert_allclose(excess.high - excess.low, plain.high - plain.low, atol=1e-12)


def test_correlations_without_a_group_are_those_of_the_rest(rng):
    x, y = rng.standard_normal((40, 4)) + 50, rng.exponential(size=(40, 3))
    x[:, 3] = 0
    x[7, 3] = 1  # varies in one sample only
    groups = sample_groups(40, rng)
    a, b = units_of(x, groups, "x"), units_of(y, groups, "y")
    for g, r in zip(groups, correlations_without(a, b, groups, correlations(a, b)), strict=True):
        rest = np.setdiff1d(np.arange(40), g)
        expected = np.corrcoef(x[rest].T, y[rest].T) if 7 in rest else None
        if expected is not None:
            np.testing.assert_allclose(r, expected[:4, 4:], atol=1e-10)
        else:
            assert not r[3].any()


def test_the_interval_covers_what_many_samples_say():
    """One unit with a copy of correlation 0.6, so that no maximum is taken: in at least 85 of 100."""
    hits = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((120, 1))
        y = 0.6 * x + 0.8 * rng.standard_normal((120, 1))
        e = sharing(x, y, params=SharingParams(draws=5), rng=rng).estimates[0]
        hits += e.low <= 0.6 <= e.high
    assert hits >= 85


def test_pooled_p_values_are_uniform_without_any_effect_also_for_heavy_tails():
    """500 statistics, of which half are a thousand times wider: the share below 5 % is 5 %, in each half."""
    rng = np.random.default_rng(4)
    draws = rng.standard_normal((21, 500)) + rng.gumbel(size=(21, 500))
    draws[:, 250:] = 1000 * draws[:, 250:] + 1e6
    p = pooled_p(draws[0], draws[1:])
    for half in (p[:250], p[250:]):
        assert 0.01 < (half < 0.05).mean() < 0.1
        assert abs(half.mean() - 0.5) < 0.06


def test_pooled_p_of_an_effect_and_of_a_fixed_statistic():
    rng = np.random.default_rng(5)
    null = rng.standard_normal((20, 100))
    null[:, 0] = 2.0
    observed = np.r_[2.0, 30.0, np.zeros(98)]
    p = pooled_p(observed, null)
    assert p[0] == 1
    assert p[1] < 1 / 1500
    observed[0] = 3.0
    assert pooled_p(observed, null)[0] < 1 / 1500
    assert pooled_p(np.array(5.0), null[:, 1]).shape == ()


def test_means_and_shares_have_their_intervals():
    from scipy import stats

    x = np.random.default_rng(6).standard_normal(30)
    e = mean_interval(x)
    low, high = stats.t.interval(0.95, 29, x.mean(), stats.sem(x))
    assert (e["low"], e["high"]) == pytest.approx((low, high))
    assert mean_interval(x[:1]) == {}
    assert share_interval(np.zeros(20))["low"] == 0
    assert share_interval(np.zeros(20))["high"] == pytest.approx(
        stats.binomtest(0, 20).proportion_ci(method="wilson").high
    )
    half = share_interval(np.tile([0.0, 1.0], 50))
    wilson = stats.binomtest(50, 100).proportion_ci(method="wilson")
    assert (half["low"], half["high"]) == pytest.approx((wilson.low, wilson.high), abs=1e-3)


def test_the_jackknife_of_a_mean_is_its_standard_error():
    x = np.random.default_rng(7).standard_normal(15)
    without = np.array([np.delete(x, i).mean() for i in range(15)])
    assert jackknife_error(without) == pytest.approx(x.std(ddof=1) / np.sqrt(15))
    sizes = [len(g) for g in sample_groups(15, np.random.default_rng(0))]
    assert sizes == [1] * 15
    assert sorted(np.concatenate(sample_groups(43, np.random.default_rng(0)))) == list(range(43))


# ---------------------------------------------------------------------------- comparative sharedness
def comparative_by_hand(x, others, members):
    def best(y):
        return np.array([max(np.corrcoef(x[:, i], v)[0, 1] for v in y.T) for i in range(x.shape[1])])

    squared = np.array([np.maximum(best(y), 0) ** 2 for y in others])
    return squared[:members].min(axis=0), squared[members:].max(axis=0), np.abs(x).sum(axis=0)


@FEW
@given(st.integers(0, 10**6), st.integers(1, 3))
def test_comparative_sharedness_by_its_definition(seed, members):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((40, 5)) + 1
    others = [rng.standard_normal((40, 4)) + x[:, :4] * rng.uniform(0, 2, 4) for _ in range(4)]
    found = comparative_sharedness(x, *others, params=ComparativeParams(members=members, draws=5)).columns
    least, most, activation = comparative_by_hand(x, others, members)
    np.testing.assert_allclose(found["least ρ² in G"], least, atol=1e-10)
    np.testing.assert_allclose(found["most ρ² in H"], most, atol=1e-10)
    np.testing.assert_allclose(found["Δ"], activation * (least - most), rtol=1e-9, atol=1e-9)


def test_the_minimum_does_not_start_at_zero(rng):
    """In the released script it does, which pins min over G of ρ to at most 0 and Δ below it."""
    x = rng.standard_normal((300, 3))
    found = comparative_sharedness(x, x, rng.standard_normal((300, 3))).columns
    np.testing.assert_allclose(found["least ρ² in G"], 1.0, atol=1e-12)
    assert (found["Δ"] > 0).all()
    assert found["stands out"].all()
    assert found["partner in array (2)"].tolist() == ["0", "1", "2"]


def test_units_shared_with_all_do_not_stand_out_however_many_there_are():
    """Every unit is equally shared with both groups: of 20 runs with 40 units hardly any stands out."""
    out = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((200, 40))
        a, b = (x + 0.7 * rng.standard_normal(x.shape) for _ in range(2))
        out += (
            comparative_sharedness(x, a, b, rng=rng, params=ComparativeParams(draws=5))
            .columns["stands out"]
            .sum()
        )
    assert out <= 0.05 * 800


def test_the_order_inside_a_group_does_not_matter(rng):
    x = rng.standard_normal((100, 6))
    a, b, c = (x[:, :4] + rng.standard_normal((100, 4)) for _ in range(3))
    one = comparative_sharedness(x, a, b, c, params=ComparativeParams(members=2)).columns
    other = comparative_sharedness(x, b, a, c, params=ComparativeParams(members=2)).columns
    np.testing.assert_allclose(one["Δ"], other["Δ"], atol=1e-9)


# ---------------------------------------------------------------------------- bad and odd input
def test_constant_and_dead_units_are_left_out_and_counted(rng):
    x, y = rng.standard_normal((60, 5)), rng.standard_normal((60, 4))
    y += x[:, :4]
    expected = wmppc(x, y)
    found = sharing(
        np.hstack([x, np.zeros((60, 2)), np.full((60, 1), 9.0)]), np.hstack([y, np.ones((60, 3))])
    )
    assert found.values[0, 1] == pytest.approx(expected, abs=1e-10)
    assert any("3 constant unit(s)" in c for c in found.caveats)


@pytest.mark.parametrize("scale", [1e150, 1e-150])
def test_huge_and_tiny_values_give_the_same_correlations(rng, scale):
    x, y = rng.standard_normal((50, 4)), rng.standard_normal((50, 4))
    y += x
    assert sharing(x * scale, y).values[0, 1] == pytest.approx(wmppc(x, y), abs=1e-9)


def test_more_units_than_allowed_are_the_most_active_and_that_is_said(rng):
    x = rng.standard_normal((60, 6)) * [1, 1, 1, 1, 30, 20]
    y = rng.standard_normal((60, 3))
    found = sharing(x, y, params=SharingParams(maximum_units=2))
    assert found.values[0, 1] == pytest.approx(
        wmppc(x[:, 4:], y[:, np.sort(np.argsort(-np.abs(y).sum(0))[:2])]), abs=1e-10
    )
    assert any("4 left out" in c for c in found.caveats)


def test_samples_are_matched_by_id_and_tokens_pooled(rng):
    ids = np.array([f"s{i}" for i in range(50)])
    x, tokens = rng.standard_normal((50, 3)), rng.standard_normal((50, 2, 4))
    order = rng.permutation(50)[:40]
    layout = Layout(np.arange(41) * 2)
    found = sharing(tap(x, ids), tap(tokens[order].reshape(80, 4), ids[order], layout=layout))
    stay = np.sort(order)
    assert found.values[0, 1] == pytest.approx(wmppc(x[stay], tokens[stay].mean(axis=1)), abs=1e-10)


def test_refusals(rng):
    x = rng.standard_normal((20, 3))
    with pytest.raises(ParameterError, match="1 tap"):
        sharing(x)
    with pytest.raises(NotEnoughData, match="7 sample"):
        sharing(x[:7], x[:7])
    with pytest.raises(InputError, match="equal"):
        sharing(x, np.ones((20, 2)))
    with pytest.raises(NotEnoughData, match="0 sample"):
        sharing(tap(x, [f"a{i}" for i in range(20)]), tap(x, [f"b{i}" for i in range(20)]))
    with pytest.raises(ParameterError, match=r"at least 4"):
        comparative_sharedness(x, x, x, params=ComparativeParams(members=2))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int16])
def test_other_types_give_numbers(rng, dtype):
    x = (10 * rng.standard_normal((40, 4))).astype(dtype)
    assert np.isfinite(sharing(x, x[:, ::-1].copy()).values).all()


# ---------------------------------------------------------------------------- the checks can fail
def by_n(one, other, order=None):
    """The released code's correlation: deviations by n - 1, divided by n."""
    n = len(one.x)
    return CORRELATIONS(one, other, order) * (n - 1) / n


def never_exchanged(one, other, order=None):
    return CORRELATIONS(one, other)


def min_from_zero(r, members):
    squared = np.maximum(r, 0.0) ** 2
    return np.minimum(squared[..., :members, :].min(axis=-2), 0.0), squared[..., members:, :].max(axis=-2)


def maximum_over_the_group(r, members):
    squared = np.maximum(r, 0.0) ** 2
    return squared[..., :members, :].max(axis=-2), squared[..., members:, :].min(axis=-2)


CORRELATIONS = unit_sharing.correlations
METHODS = {"sharing": sharing_module.METHODS[0], "comparative": comparative_module.METHODS[0]}


@pytest.mark.parametrize(
    ("method", "where", "name", "broken"),
    [
        ("sharing", sharing_cells, "correlations", by_n),
        ("sharing", sharing_cells, "correlations", never_exchanged),
        ("sharing", unit_sharing, "once", lambda r, weight: unit_sharing.best(r)),
        ("sharing", unit_sharing, "best", lambda r: (r.argmax(axis=1), r.mean(axis=1))),
        ("comparative", comparative, "_least_and_most", min_from_zero),
        ("comparative", comparative, "_least_and_most", maximum_over_the_group),
        ("comparative", comparative, "_above_p", lambda difference, null, without: np.zeros(len(difference))),
        ("comparative", comparative, "correlations", by_n),
    ],
)
def test_the_check_fails_on_broken_code(monkeypatch, method, where, name, broken):
    check = METHODS[method].check
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in check())
