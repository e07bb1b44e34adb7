"""CKA: a brute force by Gram matrices, exact nulls by enumeration, invariances, floors, planted cases, bad input."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import pipeline
from analysis.activations import ArrayActivations, Layout
from analysis.compute import kept
from analysis.compute.rows import common_samples as common
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.similarity import cka_grid, hsic, hsic_batches, hsic_kernel
from analysis.compute.similarity.hsic import alignment, inner, null_deviation, side_of
from analysis.compute.similarity.similarity_grid import NETWORKS, groups_of
from analysis.compute.statistics.exchange_moments import (
    Centred,
    Hollow,
    cantelli_p,
    centred_moments,
    hollow_moments,
)
from analysis.errors import InputError, NotEnoughData, ParameterError
from analysis.methods.similarity import cka as module
from analysis.methods.similarity.cka import CkaParams, cka
from analysis.store.cache import ResultCache

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
        assert (every >= c).mean() <= cantelli_p(c, 0, null_deviation(6))


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


# ---------------------------------------------------------------------------- other kernels and estimates
def brute_kernels(x, y, share):
    """Gaussian kernels with their diagonals, and their widths' definition, by hand."""
    out = []
    for m in (x, y):
        distance = np.linalg.norm(m[:, None] - m[None], axis=2)
        width = share * np.median(distance[np.triu_indices(len(m), 1)])
        out.append(np.exp(-(distance**2) / (2 * width**2)))
    return out


@FEW
@given(st.integers(0, 10**6), st.sampled_from([0.2, 1.0]), st.sampled_from([1, 1 << 28]))
def test_gaussian_kernels_are_those_of_the_definition_whatever_the_tiles(seed, share, tile):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((30, 4)), rng.standard_normal((30, 3)) * 50
    y += 30 * x[:, :3]
    k, l = brute_kernels(x, y, share)  # noqa: E741
    a, b = centred(k), centred(l)
    expected = (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())
    h = np.eye(30) - 1 / 30
    p, q = h @ k @ h, h @ l @ h
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hsic_kernel, "TILE_BYTES", tile)
        found = cka(x, y, params=CkaParams(kernel="Gaussian", bandwidth=share))
        biased = cka(x, y, params=CkaParams(kernel="Gaussian", bandwidth=share, estimator="biased"))
    assert found.values[0, 1] == pytest.approx(expected, abs=1e-9)
    assert biased.values[0, 1] == pytest.approx(
        (p * q).sum() / np.linalg.norm(p) / np.linalg.norm(q), abs=1e-9
    )
    e = biased.estimates[0]
    mean, variance = centred_moments(Centred.of(p), Centred.of(q))
    scale = np.linalg.norm(p) * np.linalg.norm(q)
    assert (e.null, e.null_high) == pytest.approx(
        (mean / scale, (mean + 1.959963984540054 * variance**0.5) / scale), rel=1e-9
    )


def test_gaussian_kernels_without_each_group_are_those_of_the_rest(rng):
    x, y = rng.standard_normal((25, 3)), rng.standard_normal((25, 2))
    group, widths = groups_of(25, rng), (1.0, 2.0)
    _, unbiased, _ = hsic_kernel.kernel_products([x, y], widths, group)
    for g in range(group.max() + 1):
        stay = group != g
        grams = [
            centred(np.exp(-(np.linalg.norm(m[stay][:, None] - m[stay][None], axis=2) ** 2) / (2 * s**2)))
            for m, s in zip((x, y), widths, strict=True)
        ]
        assert unbiased[1 + g, 0, 1] == pytest.approx((grams[0] * grams[1]).sum(), rel=1e-9)


def test_a_wide_gaussian_kernel_is_the_linear_one(rng):
    x, y = rng.standard_normal((200, 6)), rng.standard_normal((200, 4))
    y += x[:, :4]
    assert value(x, y, kernel="Gaussian", bandwidth=20.0) == pytest.approx(value(x, y), abs=0.01)


def test_batches_of_all_samples_are_the_whole_and_small_ones_agree_on_average(rng):
    x, y = rng.standard_normal((960, 20)), rng.standard_normal((960, 20))
    y[:, :12] = x[:, :12]
    whole = value(x, y)
    assert value(x, y, estimator="minibatch", batch=960) == pytest.approx(whole, abs=1e-9)
    small = [
        float(
            cka(x, y, params=CkaParams(estimator="minibatch", batch=b), rng=np.random.default_rng(s)).values[
                0, 1
            ]
        )
        for b in (8, 32, 120)
        for s in range(4)
    ]
    assert np.abs(np.array(small) - whole).max() < 0.03
    ratios = [value(x[i : i + 8], y[i : i + 8], estimator="biased") for i in range(0, 960, 8)]
    assert np.mean(ratios) > whole + 0.2  # what averaging biased ratios gives


def test_the_null_of_batches_is_exact():
    """All 36 exchanges within two batches of... three are too few: all 576 within two batches of four."""
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((8, 2)), rng.exponential(size=(8, 2))
    products, variance, count = hsic_batches.batch_products([x, y], np.arange(8), 4, lambda m, _: m @ m.T)
    assert count == 2
    every = []
    for p in permutations(range(4)):
        for q in permutations(range(4)):
            moved = y[[*p, *(4 + i for i in q)]]
            every.append(
                hsic_batches.batch_products([x, moved], np.arange(8), 4, lambda m, _: m @ m.T)[0][0, 0, 1]
            )
    assert np.mean(every) == pytest.approx(0, abs=1e-12)
    assert np.var(every) == pytest.approx(variance[0, 1], rel=1e-9)
    assert products[0, 0, 1] in np.array(every)


def test_minibatches_larger_than_the_data_are_refused(rng):
    with pytest.raises(NotEnoughData, match="one minibatch of 128"):
        cka(*rng.standard_normal((2, 50, 3)), params=CkaParams(estimator="minibatch"))


# ---------------------------------------------------------------------------- nulls by three numbers of a matrix
@pytest.mark.parametrize("n", [5, 6])
def test_exchange_moments_are_those_of_all_exchanges(n):
    rng = np.random.default_rng(n)
    h = np.eye(n) - 1 / n
    a, b = (h @ (m + m.T) @ h for m in rng.exponential(size=(2, n, n)) ** 2)
    c, d = (m + m.T - 2 * np.diag(np.diag(m)) for m in rng.exponential(size=(2, n, n)) ** 2)
    for one, other, found in (
        (a, b, centred_moments(Centred.of(a), Centred.of(b))),
        (c, d, hollow_moments(Hollow.of(c), Hollow.of(d))),
    ):
        every = [(one * other[np.ix_(p, p)]).sum() for p in map(list, permutations(range(n)))]
        assert found == pytest.approx((np.mean(every), np.var(every)), rel=1e-9)


def test_a_projection_is_known_by_its_basis(rng):
    q = np.linalg.qr(rng.standard_normal((9, 3)))[0]
    of, expected = Centred.of_projection(q), Centred.of(q @ q.T)
    assert (of.trace, of.squared, of.diagonal) == pytest.approx(
        (expected.trace, expected.squared, expected.diagonal)
    )


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
    assert "1 of 3 pairs is more alike than chance" in found.reading
    assert "Most alike are a and b" in found.reading
    assert found.null_band == pytest.approx((-1.959964 * null_deviation(300), 1.959964 * null_deviation(300)))


def test_one_network_against_another_is_a_rectangle(rng):
    x = rng.standard_normal((100, 5))
    names = ["a:1", "a:2", "b:1", "b:2", "b:3"]
    taps = [tap(x + (0.2 + i) * rng.standard_normal((100, 5)), name=name) for i, name in enumerate(names)]
    whole, part = cka(*taps), cka(*taps, params=CkaParams(arrangement=NETWORKS))
    assert (part.row_names, part.column_names) == (("1", "2"), ("1", "2", "3"))
    assert part.title == "CKA of taps of a (rows) and b (columns)"
    for field in ("values", "null", "low", "high"):
        np.testing.assert_allclose(getattr(part, field), getattr(whole, field)[:2, 2:], atol=1e-12)
    with pytest.raises(ParameterError, match="taps of two networks"):
        cka(*taps[:2], params=CkaParams(arrangement=NETWORKS))


def test_few_samples_are_hatched_and_said(rng):
    x = rng.standard_normal((12, 4))
    found = cka(x, x + rng.standard_normal((12, 4)), rng.standard_normal((12, 4)))
    assert found.few[np.triu_indices(3, 1)].all()
    assert not np.diag(found.few).any()
    assert any("12 samples are few" in c for c in found.caveats)
    assert not cka(*[x.repeat(40, axis=0) + 0.1 * rng.standard_normal((480, 4)) for _ in range(2)]).few.any()


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


def test_tokens_are_pooled_once_for_each_tap_however_often_it_is_compared(rng, monkeypatch, tmp_path):
    kept.forget()
    layout, passes = Layout(np.arange(41) * 3), []
    taps = [tap(rng.standard_normal((120, 5)), name=f"s:{i}", layout=layout) for i in range(4)]
    real = common.pooled_samples
    monkeypatch.setattr(common, "pooled_samples", lambda t, *more: passes.append(t.name) or real(t, *more))
    cache = ResultCache(tmp_path)
    first = pipeline.run("cka", taps[:2], cache=cache)
    kept.forget()  # as in another process
    both = pipeline.run("cka", taps, cache=cache)
    assert passes == ["s:0", "s:1", "s:2", "s:3"]
    assert both.values[0, 1] == first.values[0, 1]


def test_pooled_tokens_that_were_kept_serve_any_part_of_the_samples(rng):
    tokens = rng.standard_normal((30, 3, 4))
    tokens[5] = np.nan
    tokens[7, 1, 2] = np.inf
    one = tap(tokens.reshape(90, 4), name="one", layout=Layout(np.arange(31) * 3))
    other = tap(rng.standard_normal((12, 2)), ids=[str(i) for i in range(3, 15)], name="other")
    for _ in range(2):
        data = common_samples([one, other], rng, maximum=100, minimum=4)
        assert list(data.ids) == [str(i) for i in range(3, 15) if i != 5]
        expected = np.array([np.nanmean(tokens[i], axis=0) for i in (3, 4, 6)])
        np.testing.assert_allclose(data.values[0][:3], expected, rtol=1e-12)
        np.testing.assert_allclose(data.values[0][3], tokens[7][[0, 2]].mean(axis=0), rtol=1e-12)


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


def test_taps_whose_samples_are_mostly_equal_have_a_bandwidth(rng):
    """Fifteen of sixty samples at which anything fires, in both: more than half of all distances are 0."""
    x, y = np.zeros((60, 4)), np.zeros((60, 5))
    x[rng.choice(60, 15, replace=False)] = rng.standard_normal((15, 4))
    y[rng.choice(60, 15, replace=False)] = rng.standard_normal((15, 5))
    for estimator in ("unbiased", "biased", "minibatch"):
        found = cka(x, y, params=CkaParams(kernel="Gaussian", estimator=estimator, batch=20))
        assert abs(found.values[0, 1]) < 0.5
        assert np.isfinite(found.estimates[0].null)
    assert not found.significant[0, 1]


def test_standardised_units_that_only_round_are_refused(rng):
    flat = 1e8 + np.linspace(0, 1.5e-8, 20)[:, None] * np.ones((20, 2))
    if (flat == flat[0]).all():
        flat[0] += 1.5e-8
    with pytest.raises(InputError, match=r"beyond rounding|all samples"):
        cka(rng.standard_normal((20, 3)), flat, params=CkaParams(scaling="standardised"))


def test_numbers_stay_finite_where_nothing_can_be_alike(rng):
    found = cka(np.eye(12), rng.standard_normal((12, 3)))
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


def _never_unbiased(one, other, scratch):
    found = hsic.inner(one, other)
    return hsic.Inner(found.biased, found.biased)


@pytest.mark.parametrize(
    ("where", "name", "broken"),
    [
        (hsic, "ROUNDING", 10.0),
        (
            cka_grid,
            "side_of",
            lambda x, group, *_: hsic.side_of(x + np.linspace(0, 9, len(x))[:, None], group),
        ),
        (cka_grid, "inner", _never_unbiased),
        (cka_grid, "bandwidth", lambda x, share, rng: 1e-3 * x.shape[1]),
        (hsic_batches, "u_centred", lambda gram: gram),
    ],
)
def test_the_check_fails_on_broken_code(monkeypatch, where, name, broken):
    check = module.METHODS[0].check
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in check())
