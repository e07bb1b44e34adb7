"""CKA: a brute force by Gram matrices, exact nulls by enumeration, invariances, floors, planted cases, bad input."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.activations import ArrayActivations, Layout
from analysis.compute import hsic
from analysis.compute.common_samples import common_samples
from analysis.compute.hsic import alignment, groups_of, inner, null_deviation, null_p, side_of
from analysis.errors import InputError, NotEnoughData, ParameterError
from analysis.methods.similarity import cka as module
from analysis.methods.similarity.cka import CkaParams, cka

FEW = settings(max_examples=20, deadline=None)


def centred(gram):
    """U-centring by its definition."""
    n = len(gram)
    gram = gram - np.diag(np.diag(gram))
    rows = gram.sum(axis=1) / (n - 2)
    out = gram - rows[:, None] - rows + gram.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(out, 0)
    return out


def brute(x, y):
    a, b = centred(x @ x.T), centred(y @ y.T)
    return (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())


def tap(x, ids=None, name="t", layout=None):
    return ArrayActivations(
        x, name=name, samples={} if ids is None else {"id": np.asarray(ids)}, layout=layout
    )


def value(x, y, **params):
    return float(cka(x, y, params=CkaParams(**params)).values[0, 1])


# ---------------------------------------------------------------------------- closed forms
@FEW
@given(st.integers(0, 10**6), st.sampled_from([(5, 2, 3), (12, 30, 4), (40, 5, 60), (30, 1, 1)]))
def test_it_is_the_u_centred_inner_product_also_without_each_group(seed, shape):
    rng = np.random.default_rng(seed)
    n, p, q = shape
    x, y = rng.standard_normal((n, p)) + 3, rng.standard_normal((n, q)) * 1e3
    group = groups_of(n, rng)
    a, b = side_of(x, group), side_of(y, group)
    found = alignment(inner(a, b).unbiased, inner(a, a).unbiased, inner(b, b).unbiased)
    assert found[0] == pytest.approx(brute(x, y), abs=1e-9)
    for g in range(group.max() + 1):
        stay = group != g
        assert found[1 + g] == pytest.approx(brute(x[stay], y[stay]), abs=1e-9)


def test_mean_and_deviation_of_the_null_are_exact():
    """All 720 exchanges of six samples, of data as unlike a Gaussian as can be."""
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((6, 2)), rng.exponential(size=(6, 1)) ** 3
    a, b = centred(x @ x.T), centred(y @ y.T)
    scale = np.sqrt((a * a).sum() * (b * b).sum())
    every = np.array([(a * b[np.ix_(p, p)]).sum() / scale for p in map(list, permutations(range(6)))])
    assert every.mean() == pytest.approx(0, abs=1e-12)
    assert every.std() == pytest.approx(null_deviation(6), rel=1e-12)
    for c in (0.1, 0.5, 0.9):
        assert (every >= c).mean() <= null_p(np.array(c), 6)


def test_the_floor_of_the_biased_estimate_is_the_exact_mean():
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((6, 3)), rng.exponential(size=(6, 2))
    result = cka(x, y, params=CkaParams(estimator="biased"))
    k, l = (m @ m.T for m in (x - x.mean(0), y - y.mean(0)))  # noqa: E741
    scale = np.linalg.norm(k) * np.linalg.norm(l)
    every = [(k * l[np.ix_(p, p)]).sum() / scale for p in map(list, permutations(range(6)))]
    assert result.estimates[0].null == pytest.approx(np.mean(every), rel=1e-12)
    assert result.values[0, 1] == pytest.approx((k * l).sum() / scale, rel=1e-12)


@pytest.mark.parametrize(("n", "p"), [(200, 20), (200, 400), (1000, 100)])
def test_unrelated_gaussians_lie_on_their_floors(n, p):
    rng = np.random.default_rng(n + p)
    x, y = rng.standard_normal((2, n, p))
    assert abs(value(x, y)) < 4 * null_deviation(n)
    assert value(x, y, estimator="biased") == pytest.approx(p / (n + p), rel=0.05)


def test_the_interval_covers_what_many_samples_say():
    """Two of four units shared, of deviations 2, 1 | 1, 1: CKA = (16 + 1) / (16 + 1 + 1 + 1); in at least 85 of 100."""
    hits = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        shared = rng.standard_normal((150, 2)) * [2, 1]
        x, y = (np.hstack([shared, rng.standard_normal((150, 2))]) for _ in range(2))
        e = cka(x, y, rng=rng).estimates[0]
        hits += e.low <= 17 / 19 <= e.high
    assert hits >= 85


# ---------------------------------------------------------------------------- invariances
@FEW
@given(st.integers(0, 10**6))
def test_rotation_scale_and_shift_change_nothing_and_stretching_does(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((60, 5)), rng.standard_normal((60, 4))
    y += x[:, :4]
    q = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    assert value(x, 3 * x @ q + 7) == pytest.approx(1, abs=1e-9)
    assert value(x @ q * 1e-3 - 5, y) == pytest.approx(value(x, y), abs=1e-9)
    assert value(y, x) == pytest.approx(value(x, y), abs=1e-12)
    assert abs(value(x * [30, 1, 1, 1, 1], y) - value(x, y)) > 1e-3
    assert value(x * [30, 1, 1, 1, 1], y, scaling="standardised") == pytest.approx(
        value(x, y, scaling="standardised"), abs=1e-9
    )


def test_the_order_of_the_samples_does_not_matter_and_their_pairing_does(rng):
    x, y = rng.standard_normal((80, 6)), rng.standard_normal((80, 3))
    y += x[:, :3]
    order = rng.permutation(80)
    assert value(x[order], y[order]) == pytest.approx(value(x, y), abs=1e-10)
    assert value(x[order], y) < value(x, y) - 0.1


# ---------------------------------------------------------------------------- the matrix
def test_the_matrix_is_symmetric_whole_and_marks_what_is_beyond_chance(rng):
    x = rng.standard_normal((300, 8))
    taps = [tap(x, name="s:a"), tap(x + 0.5 * rng.standard_normal((300, 8)), name="s:b"),
            tap(rng.standard_normal((300, 8)), name="s:c")]  # fmt: skip
    found = cka(*taps)
    np.testing.assert_array_equal(found.values, found.values.T)
    np.testing.assert_array_equal(np.diag(found.values), 1.0)
    assert found.row_names == ("a", "b", "c")
    assert found.significant.tolist() == [[True, True, False], [True, True, False], [False, False, True]]
    assert "1 of 3 pairs are beyond chance" in found.reading
    assert "Most alike are a and b" in found.reading
    assert found.null_band == pytest.approx((-1.959964 * null_deviation(300), 1.959964 * null_deviation(300)))


def test_samples_are_matched_by_id_whatever_their_order(rng):
    x, y = rng.standard_normal((60, 4)), rng.standard_normal((60, 3))
    y += x[:, :3]
    ids = np.array([f"s{i}" for i in range(60)])
    order = rng.permutation(60)[:50]
    found = cka(tap(x, ids), tap(y[order], ids[order]))
    stay = np.sort(order)
    assert found.values[0, 1] == pytest.approx(brute(x[stay], y[stay]), abs=1e-9)
    assert any("50 samples matched by id" in c for c in found.caveats)


def test_tokens_are_pooled_and_a_tap_without_tokens_fits(rng):
    tokens, y = rng.standard_normal((40, 3, 5)), rng.standard_normal((40, 2))
    layout = Layout(np.arange(41) * 3)
    found = cka(tap(tokens.reshape(120, 5), layout=layout), tap(y))
    assert found.values[0, 1] == pytest.approx(brute(tokens.mean(axis=1), y), abs=1e-9)
    assert any("mean over its tokens" in c for c in found.caveats)


def test_rows_with_nan_are_left_out_on_both_sides(rng):
    x, y = rng.standard_normal((50, 4)), rng.standard_normal((50, 4))
    x[3, 1], y[[7, 9], 0] = np.nan, np.inf
    stay = np.setdiff1d(np.arange(50), [3, 7, 9])
    found = cka(tap(x, name="x"), tap(y, name="y"))
    assert found.values[0, 1] == pytest.approx(brute(x[stay], y[stay]), abs=1e-9)
    assert found.estimates[0].n == 47


@pytest.mark.parametrize("spoil", ["constant", "duplicated", "huge", "tiny", "offset", "wide"])
def test_odd_units_give_numbers(rng, spoil):
    x, y = rng.standard_normal((30, 4)), rng.standard_normal((30, 4))
    expected = brute(x, y)
    if spoil == "constant":
        x = np.hstack([x, np.full((30, 2), 5.0)])
    elif spoil == "duplicated":
        x, expected = np.hstack([x, x]), expected
    elif spoil == "huge":
        x *= 1e150
    elif spoil == "tiny":
        x *= 1e-150
    elif spoil == "offset":
        x += 1e6
    else:
        x = np.hstack([x, np.zeros((30, 400))])
    assert value(x, y) == pytest.approx(expected, abs=1e-6)


def test_equal_distances_have_no_direction_and_that_is_said(rng):
    found = cka(np.eye(12), rng.standard_normal((12, 3)))
    assert found.values[0, 1] == 0
    assert any("equally far from each other" in c for c in found.caveats)
    assert np.isfinite(found.values).all()


def test_four_samples_have_a_value_and_no_interval(rng):
    e = cka(rng.standard_normal((4, 3)), rng.standard_normal((4, 3))).estimates[0]
    assert np.isfinite(e.value)
    assert e.low is None


# ---------------------------------------------------------------------------- refusals
def test_refusals(rng):
    x = rng.standard_normal((20, 3))
    with pytest.raises(NotEnoughData, match="3 sample"):
        cka(x[:3], x[:3])
    with pytest.raises(InputError, match="all samples"):
        cka(x, np.ones((20, 2)))
    with pytest.raises(ParameterError, match="1 tap"):
        cka(x)
    with pytest.raises(NotEnoughData, match=r"0 sample\(s\) with the same id.*a 20, b 20"):
        cka(tap(x, [f"a{i}" for i in range(20)], "a"), tap(x, [f"b{i}" for i in range(20)], "b"))
    with pytest.raises(InputError, match="id of its own"):
        cka(tap(x, ["same"] * 20, "a"), tap(x, [f"b{i}" for i in range(20)], "b"))


def test_a_random_part_is_used_above_the_most_and_said(rng):
    x = rng.standard_normal((200, 3))
    data = common_samples([tap(x), tap(x)], rng, maximum=50, minimum=4)
    assert data.values[0].shape == (50, 3)
    assert any("A random 50 of 200" in note for note in data.notes)


def _never_unbiased(one, other):
    found = hsic.inner(one, other)
    return hsic.Inner(found.biased, found.biased, found.traces, found.n)


@pytest.mark.parametrize(
    ("where", "name", "broken"),
    [
        (hsic, "ROUNDING", 10.0),
        (module, "side_of", lambda x, group: hsic.side_of(x + np.linspace(0, 9, len(x))[:, None], group)),
        (module, "inner", _never_unbiased),
    ],
)
def test_the_check_fails_on_broken_code(monkeypatch, where, name, broken):
    check = module.METHODS[0].check
    assert all(line.passed for line in check())
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in check())
