"""Unit matching: every permutation tried, greedy by hand, exact facts of permuted, rotated and unrelated copies, nulls,
held-out values by a second implementation, verdicts on planted units, tokens, bad input."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matching_subjects import by_unit, lines, match, tap, value
from scipy.integrate import quad
from scipy.optimize import linear_sum_assignment

from analysis.activations import Layout
from analysis.compute.correlation.correlations import correlation_p
from analysis.compute.matching import told_together, unit_pairing
from analysis.compute.matching.pairing_tests import GroupedPairs, held_out, jackknifed, pairing_null, pooled_p
from analysis.compute.matching.unit_pairing import greedy, pair_units, strongest
from analysis.compute.matching.unit_sides import column_groups, moved_order, unit_norm, unit_sides
from analysis.compute.statistics.sample_groups import jackknife_half
from analysis.errors import InputError, NotEnoughData
from analysis.methods.matching import unit_matching as module
from analysis.spec import no_progress

FEW = settings(max_examples=15, deadline=None)


# ---------------------------------------------------------------------------- the pairs
@FEW
@given(st.integers(0, 10**6), st.booleans(), st.sampled_from([(5, 5), (3, 6), (6, 4), (1, 3)]))
def test_no_permutation_has_a_larger_sum(seed, signed, shape):
    rng = np.random.default_rng(seed)
    x, y = lines(rng, shape[0], 12), lines(rng, shape[1], 12)
    s = x @ y.T if signed else np.abs(x @ y.T)
    partner = pair_units(x, y, signed)
    found = s[np.flatnonzero(partner >= 0), partner[partner >= 0]]
    assert len(found) == min(shape) == len(set(partner[partner >= 0]))
    t = s if shape[0] <= shape[1] else s.T
    most = max(t[np.arange(len(t)), list(c)].sum() for c in permutations(range(t.shape[1]), len(t)))
    assert found.sum() == pytest.approx(most, abs=1e-12)


def greedy_by_hand(s):
    s, partner = s.copy(), np.full(len(s), -1)
    for _ in range(min(s.shape)):
        i, j = np.unravel_index(s.argmax(), s.shape)
        partner[i] = j
        s[i], s[:, j] = -np.inf, -np.inf
    return partner


@pytest.mark.parametrize("shape", [(60, 60), (50, 80), (80, 50)])
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("length", [1, 3, 90])
def test_greedy_from_lists_is_greedy(monkeypatch, rng, shape, signed, length):
    monkeypatch.setattr(unit_pairing, "EXACT_UNITS", 5)
    monkeypatch.setattr(unit_pairing, "LIST", length)
    monkeypatch.setattr(unit_pairing, "BLOCK_BYTES", 8 * shape[1] * 7)  # seven units of x at a time
    shared = rng.standard_normal((shape[0], 40))
    x = unit_norm(shared)
    y = unit_norm(np.resize(shared, (shape[1], 40)) + rng.standard_normal((shape[1], 40)))
    s = x @ y.T if signed else np.abs(x @ y.T)
    np.testing.assert_array_equal(pair_units(x, y, signed), greedy_by_hand(s))


def test_greedy_ends_where_all_units_are_alike(monkeypatch, rng):
    monkeypatch.setattr(unit_pairing, "EXACT_UNITS", 5)
    monkeypatch.setattr(unit_pairing, "LIST", 2)
    x = np.repeat(lines(rng, 1), 40, axis=0)
    partner = greedy(x, x, False)
    assert sorted(partner) == list(range(40))


def test_the_strongest_are_those_of_a_sort_whatever_the_blocks(monkeypatch, rng):
    x, y = lines(rng, 23), lines(rng, 31)
    r = x @ y.T
    for size in (1, 8 * 31 * 4, 1 << 20):
        monkeypatch.setattr(unit_pairing, "BLOCK_BYTES", size)
        top = strongest(x, y, 6, False)
        np.testing.assert_array_equal(top.of_x, np.argsort(-np.abs(r), axis=1)[:, :6])
        np.testing.assert_array_equal(top.of_y, np.argsort(-np.abs(r.T), axis=1)[:, :6])
        np.testing.assert_allclose(top.r_y, np.take_along_axis(r.T, top.of_y, axis=1), atol=1e-14)
    assert strongest(x, y, 100, True).of_x.shape == (23, 31)


# ---------------------------------------------------------------------------- facts
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int16])
def test_a_signed_permutation_is_found_whole(rng, dtype):
    x = np.round(rng.standard_normal((300, 20)) * 30).astype(dtype)
    order, sign = rng.permutation(20), rng.choice([-1, 1], 20)
    found = match(x, (x[:, order] * sign).astype(dtype))
    assert value(found, "mean matched |r|").value == pytest.approx(1, abs=1e-12)
    assert value(found, "mean matched r on held-out").value == pytest.approx(1, abs=1e-12)
    assert value(found, "share of pairs that keep").value == 1.0
    c = found.columns
    np.testing.assert_array_equal(order[c["unit b"]], c["unit a"])
    np.testing.assert_array_equal(np.sign(c["r"]), sign[c["unit b"]])
    assert set(c["verdict"]) == {"matched"}
    assert (c["margin"] > 0.5).all()


def test_signed_matching_does_not_take_opposites(rng):
    x = rng.standard_normal((300, 12))
    found = match(x, np.hstack([x[:, :6], -x[:, 6:]]), sign="signed")
    verdict = by_unit(found, "verdict")
    assert [verdict[i] for i in range(12)] == ["matched"] * 6 + ["unmatched"] * 6
    assert value(found, "mean matched r").value < 0.6


@pytest.mark.parametrize(("d", "row"), [(64, 0.32), (256, 0.19)])
def test_a_rotation_keeps_the_space_and_loses_the_units(d, row):
    rng = np.random.default_rng(d)
    x = rng.standard_normal((20 * d, d))
    y = x @ np.linalg.qr(rng.standard_normal((d, d)))[0]
    x, y = unit_norm(x.T), unit_norm(y.T)
    partner = pair_units(x, y, False)
    r = np.abs(np.einsum("ij,ij->i", x, y[partner])).mean()
    assert r == pytest.approx(0.9 * np.sqrt(2 * np.log(d) / d), rel=0.1)
    assert r == pytest.approx(row, abs=0.03)
    assert np.linalg.svd(np.linalg.qr(x.T)[0].T @ np.linalg.qr(y.T)[0])[1].min() == pytest.approx(1, abs=1e-9)


def test_a_rotation_of_ten_units_leaves_two_thirds():
    """0.62 at d = 10, n = 300; rotations differ."""
    found = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((300, 10))
        y = x @ np.linalg.qr(rng.standard_normal((10, 10)))[0]
        x, y = unit_norm(x.T), unit_norm(y.T)
        found.append(np.abs(np.einsum("ij,ij->i", x, y[pair_units(x, y, False)])).mean())
    assert min(found) < 0.62 < max(found)
    assert np.mean(found) == pytest.approx(0.62, abs=0.03)


@pytest.mark.parametrize(("d", "row"), [(64, 0.07), (256, 0.04)])
def test_independent_units_at_twenty_samples_each(d, row):
    rng = np.random.default_rng(d)
    x, y = (unit_norm(rng.standard_normal((d, 20 * d))) for _ in range(2))
    assert np.abs(np.einsum("ij,ij->i", x, y[pair_units(x, y, False)])).mean() == pytest.approx(
        row, abs=0.005
    )


def test_independent_units_reach_what_order_statistics_say(rng):
    """64 units, 500 samples. Best of 64 in closed form: ∫ 1 - F^64; the row's 0.115 and 0.121 are single draws, within
    four deviations (0.002) of the mean."""
    best = quad(lambda x: 1 - (1 - correlation_p(np.array(x), 500)) ** 64, 0, 0.5, limit=200)[0]
    found = match(rng.standard_normal((500, 64)), rng.standard_normal((500, 64)))
    matched, partners = value(found, "mean matched |r|"), value(found, "mean |r| of the best")
    assert partners.null == pytest.approx(best, abs=0.001)
    assert partners.value == pytest.approx(best, abs=0.008)
    assert matched.null == pytest.approx(0.109, abs=0.001)
    assert abs(matched.null - 0.115) < 0.008
    assert abs(partners.null - 0.121) < 0.008
    assert matched.null_low < matched.value < matched.null_high
    assert abs(value(found, "mean matched r on held-out").value) < 0.02


@FEW
@given(st.integers(0, 10**6), st.floats(0, 2))
def test_best_partners_are_never_worse_than_pairs(seed, shared):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((60, 9)), rng.standard_normal((60, 9))
    found = match(x, y + shared * x)
    assert value(found, "mean |r| of the best").value >= value(found, "mean matched |r|").value - 1e-12


@FEW
@given(st.integers(0, 10**6))
def test_permuting_shifting_scaling_and_flipping_change_nothing(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((80, 6)), rng.standard_normal((80, 8))
    y[:, :5] += x[:, :5]
    order, factor = rng.permutation(8), rng.choice([-1, 1], 8) * rng.uniform(0.1, 9, 8)
    one, other = match(x, y), match(x * 3 - 7, y[:, order] * factor + 5)
    for found in (one, other):  # the sign of a pair follows that of its units
        found.columns["held out along r"] = found.columns["held-out r"] * np.where(
            found.columns["r"] < 0, -1, 1
        )
    for name in ("|r|", "held out along r", "R² by best", "R² by parts", "margin"):
        a, b = by_unit(one, name), by_unit(other, name)
        np.testing.assert_allclose([a[i] for i in range(6)], [b[i] for i in range(6)], atol=1e-9)
    partner = by_unit(one, "unit b"), by_unit(other, "unit b")
    assert [order[partner[1][i]] for i in range(6)] == [partner[0][i] for i in range(6)]
    assert one.estimates[0].low == pytest.approx(other.estimates[0].low, abs=1e-9)


# ---------------------------------------------------------------------------- doubts
def test_moved_samples_keep_each_side_and_break_what_joins_them(rng):
    x = rng.standard_normal((200, 5))
    sides = unit_sides([tap(x), tap(np.hstack([x, x[:, :1]]))], rng, maximum=1000)
    null = pairing_null(sides, False, 50, rng, no_progress, (0, 1))
    assert null.matched.shape == (50, 5)
    assert null.matched.max() < 0.5
    assert (np.diff(null.matched, axis=1) <= 0).all()
    order = moved_order(np.repeat(np.arange(4), 3), 4, rng)
    assert sorted(order) == list(range(12))
    assert (order.reshape(4, 3) == order.reshape(4, 3)[:, :1] + np.arange(3)).all()


def test_blocks_give_the_null_that_the_whole_matrix_gives(monkeypatch):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 12))
    sides = unit_sides([tap(x), tap(x + rng.standard_normal((60, 12)))], rng, maximum=1000)
    whole = pairing_null(sides, False, 3, np.random.default_rng(1), no_progress, (0, 1))
    monkeypatch.setattr(unit_pairing, "EXACT_UNITS", 2)
    blocks = pairing_null(sides, False, 3, np.random.default_rng(1), no_progress, (0, 1))
    np.testing.assert_allclose(blocks.best_x, whole.best_x, atol=1e-12)
    np.testing.assert_allclose(blocks.best_y, whole.best_y, atol=1e-12)
    assert (blocks.matched.sum(axis=1) <= whole.matched.sum(axis=1) + 1e-12).all()  # greedy is never above


def test_p_counts_the_null_at_least_as_large(rng):
    null = rng.random((4, 25))
    scores = rng.random(7)
    expected = [(1 + (null >= s).sum()) / 101 for s in scores]
    np.testing.assert_allclose(pooled_p(scores, null), expected)


@pytest.mark.parametrize("tails", ["gaussian", "rare"])
def test_unrelated_units_are_seldom_found(tails):
    """At q < 5 % in some 5 % of the runs: at most 6 of 40 (1 in 200 by chance)."""
    hits = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        x, y = rng.standard_normal((2, 100, 15))
        if tails == "rare":
            x, y = np.maximum(x - 1, 0) ** 2 + 1e-9 * x, np.maximum(y - 1, 0) ** 2 + 1e-9 * y
        sides = unit_sides([tap(x), tap(y)], rng, maximum=1000)
        partner = pair_units(sides.x, sides.y, False)
        null = pairing_null(sides, False, 60, rng, no_progress, (0, 1))
        p = pooled_p(np.abs(np.einsum("ij,ij->i", sides.x, sides.y[partner])), null.matched)
        hits += bool((np.sort(p) * 15 / np.arange(1, 16) < 0.05).any())
    assert hits <= 6


def test_held_out_values_by_a_second_implementation(rng):
    x, y = rng.standard_normal((90, 6)), rng.standard_normal((90, 7))
    y[:, :6] -= 0.7 * x
    sides = unit_sides([tap(x), tap(y)], rng, maximum=1000)
    group = column_groups(sides, rng)
    found = held_out(sides, group, False, no_progress, (0, 1))
    expected, of_x, partners = [], np.zeros(6), []
    for train in (group % 2 == 0, group % 2 == 1):
        r = np.corrcoef(x[train].T, y[train].T)[:6, 6:]
        i, j = linear_sum_assignment(-np.abs(r))
        told = [
            np.sign(r[a, b]) * np.corrcoef(x[~train, a], y[~train, b])[0, 1]
            for a, b in zip(i, j, strict=True)
        ]
        expected.append(np.mean(told))
        of_x[i] += np.array(told) / 2
        partners.append(j)
    assert found.series[0] == pytest.approx(np.mean(expected), abs=1e-12)
    np.testing.assert_allclose(found.of_x, of_x, atol=1e-12)
    np.testing.assert_array_equal(found.kept, partners[0] == partners[1])


def test_grouped_sums_give_the_correlations_of_any_groups(rng):
    x, y = rng.standard_normal((4, 50)) + 3, rng.standard_normal((5, 50))
    group = rng.integers(0, 6, 50)
    a, b = unit_norm(x), unit_norm(y)
    pairs = GroupedPairs.of(a, b, np.array([0, 2]), np.array([4, 1]), group, 6)
    stay = np.array([True, False, True, True, False, True])
    columns = stay[group]
    expected = [np.corrcoef(x[i, columns], y[j, columns])[0, 1] for i, j in ((0, 4), (2, 1))]
    np.testing.assert_allclose(pairs.r(stay), expected, atol=1e-12)
    a[0, group != 1] = a[0, 0]
    constant = GroupedPairs.of(unit_norm(a), b, np.array([0]), np.array([0]), group, 6)
    assert constant.r(np.arange(6) != 1)[0] == 0


def test_intervals_cover_what_many_samples_say():
    """Ten pairs of r = 0.6: the interval of the matched and of the held-out mean holds it in at least 85 of 100."""
    hits = np.zeros(2)
    for seed in range(100):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((150, 10))
        y = 0.6 * x + 0.8 * rng.standard_normal((150, 10))
        sides = unit_sides([tap(x), tap(y)], rng, maximum=1000)
        group = column_groups(sides, rng)
        partner = pair_units(sides.x, sides.y, False)
        pairs = GroupedPairs.of(sides.x, sides.y, np.arange(10), partner, group, 10)
        both = jackknifed(pairs, False), held_out(sides, group, False, no_progress, (0, 1)).series
        hits += [abs(series[0] - 0.6) <= jackknife_half(series[1:]) for series in both]
    assert (hits >= 85).all(), hits


# ---------------------------------------------------------------------------- input
def test_dead_units_are_left_out_counted_and_keep_their_numbers(rng):
    x = rng.standard_normal((100, 6))
    y = x[:, ::-1].copy()
    x[:, [0, 3]], y[:, 1] = 7.0, 0.0
    found = match(tap(x, name="s:x"), tap(y, name="s:y"))
    assert any("x: 2 constant" in c for c in found.caveats)
    assert any("y: 1 constant" in c for c in found.caveats)
    pairs = {(a, b) for a, b, v in zip(*(found.columns[k] for k in ("unit a", "unit b", "verdict")), strict=True)
             if v == "matched"}  # fmt: skip
    assert pairs == {(1, 4), (2, 3), (5, 0)}  # what 4 and 0 and 3 of x were is dead on one side


def test_samples_are_matched_by_id_whatever_their_order(rng):
    x = rng.standard_normal((80, 5))
    ids, order = np.array([f"s{i}" for i in range(80)]), rng.permutation(80)[:60]
    found = match(tap(x, ids), tap(x[order] * 2, ids[order]))
    assert value(found, "mean matched |r|").value == pytest.approx(1, abs=1e-12)
    assert value(found, "mean matched |r|").n == 60
    assert any("60 samples matched by id" in c for c in found.caveats)
    wrong = match(x, x[rng.permutation(80)])
    assert value(wrong, "mean matched |r|").value < 0.5


def test_tokens_are_pooled_or_counted_as_rows_of_few_samples(rng):
    tokens = rng.standard_normal((30, 4, 3)) + rng.standard_normal((30, 1, 3))
    layout = Layout(np.arange(31) * 4)
    one, other = (
        tap(tokens.reshape(120, 3), layout=layout),
        tap(tokens.reshape(120, 3)[:, ::-1], layout=layout),
    )
    pooled, rows = match(one, other), match(one, other, rows="tokens")
    for found in (pooled, rows):
        assert by_unit(found, "unit b") == {0: 2, 1: 1, 2: 0}
        assert value(found, "mean matched |r|").n == 30
    assert any("count 30 samples, not 120 rows" in c for c in rows.caveats)
    assert any("mean over its tokens" in c for c in pooled.caveats)
    flat = tap(tokens.mean(axis=1))
    assert by_unit(match(one, flat), "unit b") == {0: 0, 1: 1, 2: 2}
    with pytest.raises(InputError, match="tokens"):
        match(one, flat, rows="tokens")


def test_what_token_position_alone_makes_alike_is_in_the_null_of_tokens(rng):
    position = np.tile(np.arange(5.0), 40)[:, None]
    layout = Layout(np.arange(41) * 5)
    x, y = (tap(position + 0.5 * rng.standard_normal((200, 3)), layout=layout) for _ in range(2))
    found = match(x, y, rows="tokens")
    assert value(found, "mean matched |r|").value > 0.8
    assert value(found, "mean matched |r|").null > 0.8
    assert value(found, "share of pairs with q").value == 0


@pytest.mark.parametrize("spoil", ["huge", "tiny", "offset", "duplicated", "wide", "rare"])
def test_odd_units_give_numbers(rng, spoil):
    x = rng.standard_normal((40, 5))
    if spoil in ("huge", "tiny"):
        x *= {"huge": 1e200, "tiny": 1e-200}[spoil]
    elif spoil == "offset":
        x += 1e6
    elif spoil == "duplicated":
        x = np.hstack([x, x, x])
    elif spoil == "wide":
        x = rng.standard_normal((12, 200))
    else:
        x[:, 1] = 0.0
        x[7, 1] = 1.0
    found = match(x, x)
    assert value(found, "mean matched |r|").value == pytest.approx(1, abs=1e-6)
    assert (found.columns["|r|"] <= 1).all()
    if spoil == "duplicated":
        assert np.abs(found.columns["margin"]).max() < 1e-9
    if spoil == "rare":
        assert any("do not vary in one half" in c for c in found.caveats)
    for name, column in found.columns.items():
        assert column.dtype.kind != "f" or np.isfinite(column).all(), name


def test_refusals(rng):
    x = rng.standard_normal((40, 4))
    with pytest.raises(NotEnoughData, match="7 sample"):
        match(x[:7], x[:7])
    with pytest.raises(InputError, match="all samples"):
        match(x, np.ones((40, 3)))
    with pytest.raises(NotEnoughData, match=r"0 sample\(s\) with the same id"):
        match(tap(x, [f"a{i}" for i in range(40)], "a"), tap(x, [f"b{i}" for i in range(40)], "b"))
    few = Layout(np.arange(6) * 8)
    with pytest.raises(NotEnoughData, match="5 sample"):
        match(tap(x, layout=few), tap(x, layout=few), rows="tokens")


def test_above_the_exact_size_pairs_are_greedy_and_that_is_said(monkeypatch, rng):
    monkeypatch.setattr(unit_pairing, "EXACT_UNITS", 8)
    x = rng.standard_normal((100, 20))
    order = rng.permutation(20)
    found = match(x, x[:, order])
    assert value(found, "mean matched |r|").value == pytest.approx(1, abs=1e-12)
    assert any("greedy" in c for c in found.caveats)
    assert value(found, "mean matched |r|").estimator == "Pearson, greedy"


# ---------------------------------------------------------------------------- the check
def _first_come(scores):
    number = np.arange(len(scores))
    return np.where(number < scores.shape[1], number, -1)


@pytest.mark.parametrize(
    ("where", "name", "broken"),
    [
        ("analysis.compute.matching.matched_units", "hungarian", _first_come),
        ("analysis.compute.matching.pairing_tests", "hungarian", _first_come),
        (
            "analysis.compute.matching.pairing_tests",
            "moved_order",
            lambda sample, n, rng: np.arange(len(sample)),
        ),
        (
            "analysis.compute.matching.pairing_tests",
            "pair_units",
            lambda x, y, signed: np.arange(len(x)) % len(y),
        ),
        ("analysis.compute.matching.matched_units", "parts_of", lambda x, y, c, *_, **__: _no_parts(x)),
        (
            "analysis.compute.matching.unit_verdicts",
            "_is_part",
            lambda others, best: np.zeros(len(best), bool),
        ),
        ("analysis.compute.matching.matched_units", "score", lambda r, signed: -np.abs(r)),
    ],
)
def test_the_check_fails_on_broken_code(monkeypatch, where, name, broken):
    check = module.METHODS[0].check
    monkeypatch.setattr(f"{where}.{name}", broken)
    assert not all(line.passed for line in check())


def _no_parts(x):
    zero = np.zeros(len(x))
    return told_together.Parts(zero.astype(int), zero, zero, np.zeros((len(x), 1), int))
