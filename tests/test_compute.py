"""Shared mathematics against independent implementations, brute force and closed forms."""

from __future__ import annotations

import sys
from concurrent.futures import Future

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from analysis.activations import ArrayActivations, Layout
from analysis.compute import machine as machine_module
from analysis.compute.correlation.correlations import correlation_p, mean_absolute_null, null_quantile
from analysis.compute.executor import merge_over, open_executor
from analysis.compute.linear.axis_error import (
    AxisErrorSum,
    scored_blocks,
    separation_p,
    unresolved_blocks,
)
from analysis.compute.linear.linalg import principal_axes, principal_components
from analysis.compute.linear.spectra import (
    axes_for,
    entropy_rank,
    entropy_rank_gradient,
    marchenko_pastur_edges,
    participation_ratio,
)
from analysis.compute.machine import machine
from analysis.compute.memory import free_bytes
from analysis.compute.rows.points import correlation_coordinates, point_set
from analysis.compute.statistics.moments import CrossMoments, Moments, UnitMoments, moments_of
from analysis.compute.statistics.multiple_testing import benjamini_hochberg, sidak
from analysis.compute.statistics.nulls import (
    add_one_p,
    bootstrap_mean,
    gaussian_correlation,
    gaussian_eigenvalues,
    moved_samples,
    wilson,
)
from analysis.compute.streaming import Pass, SampleSums, finite_blocks
from analysis.errors import (
    InputError,
    LoupeError,
    NotEnoughData,
    ParameterError,
    ShapeError,
    TooLarge,
)

numbers = st.floats(-1e3, 1e3, allow_nan=False, width=32)
blocks = st.integers(2, 40).flatmap(lambda n: arrays(np.float32, (n, 3), elements=numbers))
quick = settings(max_examples=40, deadline=None)


# ---------------------------------------------------------------------------- moments
@quick
@given(blocks, st.data())
def test_merged_moments_are_the_moments_of_all(x, data):
    cut = data.draw(st.integers(1, len(x) - 1))
    x = x.astype(np.float64)
    merged = Moments.of(x[:cut]).merge(Moments.of(x[cut:]))
    scale = 1 + np.abs(x).max() ** 2 * len(x)
    np.testing.assert_allclose(merged.mean, x.mean(axis=0), atol=1e-12 * scale)
    np.testing.assert_allclose(merged.scatter, (x - x.mean(0)).T @ (x - x.mean(0)), atol=1e-12 * scale)
    cross = CrossMoments.of(x[:cut], x[:cut, :2]).merge(CrossMoments.of(x[cut:], x[cut:, :2]))
    np.testing.assert_allclose(cross.cross, merged.scatter[:, :2], atol=1e-12 * scale)


@quick
@given(blocks, st.data())
def test_merged_unit_moments_are_the_moments_of_all(x, data):
    cut = data.draw(st.integers(1, len(x) - 1))
    x = x.astype(np.float64)
    merged = UnitMoments.of(x[:cut]).merge(UnitMoments.of(x[cut:]))
    centred = x - x.mean(axis=0)
    scale = 1 + np.abs(x).max()
    for power, name in ((2, "m2"), (3, "m3"), (4, "m4")):
        np.testing.assert_allclose(
            getattr(merged, name), (centred**power).sum(axis=0), atol=1e-11 * scale**power * len(x)
        )
    np.testing.assert_array_equal(merged.minimum, x.min(axis=0))
    np.testing.assert_array_equal(merged.positive, (x > 0).sum(axis=0))
    np.testing.assert_array_equal(merged.nonzero, (x != 0).sum(axis=0))


def test_a_large_mean_costs_no_digits(rng):
    noise = rng.standard_normal((20_000, 3))
    x = noise + np.array([0, 1e6, -1e6])
    total = moments_of(ArrayActivations(x))
    np.testing.assert_allclose(total.covariance, np.cov(noise, rowvar=False), atol=1e-8)


def test_constant_units_are_found_and_get_correlation_zero(rng):
    x = rng.standard_normal((500, 4)) + 1e5
    x[:, 1] = 0.1
    total = moments_of(ArrayActivations(x))
    assert total.varies().tolist() == [True, False, True, True]
    r = total.correlation()
    assert r[1].tolist() == [0, 1, 0, 0]
    keep = [0, 2, 3]
    np.testing.assert_allclose(r[np.ix_(keep, keep)], np.corrcoef(x[:, keep], rowvar=False), atol=1e-9)


def test_tiny_relative_variation_still_counts_as_varying():
    x = np.repeat(np.float32([[1.0], [1.0 + 2**-23]]), 50, axis=0)
    assert UnitMoments.of(x).varies().all()
    assert Moments.of(x).varies().all()


def test_finite_blocks_leave_out_and_count(rng):
    x = rng.standard_normal((10_000, 3)).astype(np.float16)
    x[[5, 5000, 9999], 1] = [np.nan, np.inf, -np.inf]
    seen, rows = Pass(), []
    for index, block in finite_blocks(ArrayActivations(x), seen):
        assert block.dtype == np.float64
        rows.append(index)
    assert seen.n_nonfinite == 3
    assert len(np.concatenate(rows)) == 9997
    assert "3 of 10000" in seen.notes[0]


@quick
@given(st.lists(st.integers(1, 5), min_size=2, max_size=12), st.integers(1, 7))
def test_sample_sums_do_not_depend_on_the_chunks(counts, chunk):
    samples = np.repeat(np.arange(len(counts)), counts)
    values = np.random.default_rng(0).standard_normal((len(samples), 2))
    sums = SampleSums(2)
    for start in range(0, len(samples), chunk):
        sums.add(samples[start : start + chunk], values[start : start + chunk])
    per = np.stack([values[samples == s].sum(axis=0) for s in range(len(counts))])
    g = len(counts)
    expected = (per**2).sum(axis=0) / len(samples) ** 2 * g / (g - 1)
    np.testing.assert_allclose(sums.variance_of_mean(len(samples)), expected, rtol=1e-12)


# ---------------------------------------------------------------------------- principal axes
def angle(a: np.ndarray, b: np.ndarray) -> float:
    """Sine of the largest angle between the row spaces of a and b, exact for tiny angles."""
    return float(np.linalg.norm(a - a @ b.T @ b, 2))


@pytest.mark.parametrize(("n", "d"), [(3000, 60), (90, 400)], ids=["primal", "dual"])
def test_axes_equal_a_full_svd(rng, n, d):
    x = rng.standard_normal((n, d)) * np.geomspace(10, 0.1, d) + 1e4 * rng.standard_normal(d)
    mean, directions, values = principal_components(x, 5)
    _, s, vt = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    assert angle(directions, vt[:5]) < 1e-10
    np.testing.assert_allclose(values, s[:5] ** 2 / (n - 1), rtol=1e-10)
    np.testing.assert_allclose(mean, x.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(directions @ directions.T, np.eye(5), atol=1e-10)


def test_streamed_axes_equal_the_array_ones(rng):
    x = (rng.standard_normal((9000, 20)) * np.arange(1, 21)).astype(np.float32)
    axes = principal_axes(ArrayActivations(x), 3)
    _, directions, values = principal_components(x, 3)
    assert angle(axes.directions, directions) < 1e-10
    np.testing.assert_allclose(axes.eigenvalues[:3], values, rtol=1e-12)
    np.testing.assert_allclose(axes.total, x.astype(float).var(axis=0, ddof=1).sum(), rtol=1e-10)


@quick
@given(st.integers(0, 10**6))
def test_axes_turn_with_the_data_and_ignore_the_order_of_rows(seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((60, 6)) * [6, 5, 4, 3, 2, 1]
    turn = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    mean, directions, values = principal_components(x, 2)
    moved = principal_components(x[rng.permutation(60)] @ turn + 7, 2)
    np.testing.assert_allclose(moved[2], values, rtol=1e-9)
    assert angle(moved[1], directions @ turn) < 1e-7
    np.testing.assert_allclose(
        np.abs((x - mean) @ directions.T).max(), np.abs(directions @ (x - mean).T).max()
    )


@pytest.mark.parametrize(
    ("x", "error"),
    [
        (np.ones((10, 4)), InputError),
        (np.full((10, 4), np.nan), InputError),
        (np.ones((1, 4)), NotEnoughData),
        (np.ones(5), ShapeError),
        (np.empty((8193, 8193), dtype=np.float16), TooLarge),
    ],
)
def test_axes_refuse(x, error):
    if x.size > 1e7:
        x = np.broadcast_to(np.float16(0), x.shape)
    with pytest.raises(error):
        principal_components(x, 2)


def test_rank_is_cut():
    x = np.outer(np.arange(10.0), [1, 2, 3])
    assert len(principal_components(x, 3)[1]) == 1
    assert len(principal_axes(ArrayActivations(x), 3).eigenvalues) == 1


@pytest.mark.parametrize("tokens", [1, 4])
def test_axis_errors_match_repeated_experiments(tokens):
    """The standard error of an eigenvalue and of its share against their spread over 300 data sets."""
    scale, found, errors = np.array([2.0, 1.0, 0.7, 0.5]), [], []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        x = np.repeat(rng.standard_t(8, size=(300, 4)) * scale, tokens, axis=0)
        a = ArrayActivations(x, layout=Layout(np.arange(301, dtype=np.int64) * tokens))
        axes = principal_axes(a, 2)
        total = AxisErrorSum(axes)
        for rows, scores, norms in scored_blocks(a, axes):
            total.add(a.layout.sample_of(rows), scores, norms)
        e = total.finish()
        found.append(
            [axes.eigenvalues[0], axes.eigenvalues[0] / axes.total, axes.eigenvalues[:2].sum() / axes.total]
        )
        errors.append([e.eigenvalue[0], e.share[0], e.cumulative[1]])
    ratio = np.median(errors, axis=0) / np.std(found, axis=0)
    assert (ratio > 0.75).all(), ratio
    assert (ratio < 1.25).all(), ratio


def test_separation_test_keeps_its_level_and_has_power():
    rng = np.random.default_rng(0)
    flat = [
        np.linalg.eigvalsh(np.cov(rng.standard_normal((400, 2)), rowvar=False))[::-1] for _ in range(2000)
    ]
    level = np.mean([separation_p(v, 400)[0] < 0.05 for v in flat])
    assert abs(level - 0.05) < 0.015
    x = rng.standard_normal((400, 2)) * [1.5, 1]
    assert separation_p(np.linalg.eigvalsh(np.cov(x, rowvar=False))[::-1], 400)[0] < 1e-6
    assert unresolved_blocks(np.array([0.001, 0.5, 0.7, 0.01])).tolist() == [0, 1, 1, 1, 2]


# ---------------------------------------------------------------------------- spectra and nulls
def test_ranks_of_known_spectra():
    flat = np.ones(7)
    assert participation_ratio(flat) == pytest.approx(7)
    assert entropy_rank(flat) == pytest.approx(7)
    assert participation_ratio(np.array([1.0, 0, 0])) == pytest.approx(1)
    p = 0.5 ** np.arange(1, 40)
    assert entropy_rank(p) == pytest.approx(4, rel=1e-6)  # geometric with ratio 1/2: entropy 2 ln 2
    assert axes_for(np.array([8.0, 1, 1]), 0.8) == 1
    assert axes_for(np.array([8.0, 1, 1]), 0.81) == 2


def test_entropy_gradient_by_differences(rng):
    w, h = rng.random(6) + 0.1, 1e-6
    by_steps = [(entropy_rank(w + h * e) - entropy_rank(w - h * e)) / (2 * h) for e in np.eye(6)]
    np.testing.assert_allclose(entropy_rank_gradient(w), by_steps, rtol=1e-6)


def test_gaussian_null_spectrum_is_that_of_drawn_data(rng):
    variances = np.array([4.0, 1, 1, 0.25, 0])
    drawn = np.array(
        [
            np.linalg.eigvalsh(np.cov(rng.standard_normal((30, 5)) * np.sqrt(variances), rowvar=False))[::-1]
            for _ in range(3000)
        ]
    )
    null = gaussian_eigenvalues(variances, 30, rng, draws=3000)
    error = drawn.std(axis=0) / np.sqrt(1500)
    assert (np.abs(null.mean(axis=0) - drawn.mean(axis=0)) < 5 * error + 1e-9).all()
    np.testing.assert_allclose(null.std(axis=0)[:4], drawn.std(axis=0)[:4], rtol=0.1)


def test_gaussian_null_with_fewer_samples_than_units(rng):
    null = gaussian_eigenvalues(np.ones(40), 11, rng, draws=200)
    assert (null[:, 10:] == 0).all()
    assert null.sum(axis=1).mean() == pytest.approx(40, rel=0.03)


def test_marchenko_pastur_edges(rng):
    low, high = marchenko_pastur_edges(4000, 1000)
    null = gaussian_eigenvalues(np.ones(1000), 4000, rng, draws=1)[0]
    assert null[0] == pytest.approx(high, rel=0.03)
    assert null[-1] == pytest.approx(low, rel=0.05)
    assert marchenko_pastur_edges(10, 20)[0] == 0


def test_gaussian_correlation_null(rng):
    r = np.array([gaussian_correlation(3, 20, rng)[0, 1] for _ in range(4000)])
    assert np.std(r) == pytest.approx(1 / np.sqrt(19), rel=0.05)


def test_moved_samples_keep_values_and_tokens(rng):
    x = np.arange(24.0).reshape(12, 2)
    offsets = np.arange(0, 13, 3)
    moved = moved_samples(x, rng, offsets)
    assert sorted(moved[:, 0]) == sorted(x[:, 0])
    steps = np.diff(moved.reshape(4, 3, 2), axis=1)
    assert (steps == 2).all()  # the tokens of a sample stay together and in order
    shuffled = moved_samples(x, rng)
    assert sorted(shuffled[:, 1]) == sorted(x[:, 1])
    assert not np.array_equal(np.argsort(shuffled[:, 0]), np.argsort(shuffled[:, 1]))


def test_moved_samples_break_what_units_share(rng):
    """Two equal units are perfectly correlated before, and as independent ones are afterwards."""
    x = np.repeat(rng.standard_normal((400, 1)), 2, axis=1)
    for offsets in (None, np.arange(0, 401, 4)):
        r = [np.corrcoef(moved_samples(x, rng, offsets), rowvar=False)[0, 1] for _ in range(60)]
        assert np.mean(np.abs(r) < 0.2) > 0.9


def test_add_one_p_is_never_zero():
    assert add_one_p(5.0, np.zeros(99)) == pytest.approx(0.01)
    np.testing.assert_allclose(add_one_p(np.array([5.0, -1.0]), np.zeros((9, 2))), [0.1, 1.0])


def test_bootstrap_covers(rng):
    inside = 0
    for _ in range(300):
        low, high = bootstrap_mean(rng.exponential(size=120), rng, draws=400)
        inside += low <= 1 <= high
    assert 0.89 <= inside / 300 <= 0.985


def test_wilson_stays_inside():
    assert wilson(0, 50)[0] == 0
    assert 0.05 < wilson(0, 50)[1] < 0.08
    low, high = wilson(25, 50)
    assert low == pytest.approx(1 - high)


def test_correlation_null_closed_forms(rng):
    n = 12
    r = np.array([np.corrcoef(rng.standard_normal((n, 2)), rowvar=False)[0, 1] for _ in range(6000)])
    assert np.quantile(np.abs(r), 0.95) == pytest.approx(null_quantile(n, 0.95), rel=0.03)
    assert np.abs(r).mean() == pytest.approx(mean_absolute_null(n), rel=0.03)
    assert (correlation_p(r, n) < 0.05).mean() == pytest.approx(0.05, abs=0.01)
    from scipy.stats import pearsonr

    x = rng.standard_normal((n, 2))
    expected = pearsonr(x[:, 0], x[:, 1])
    assert correlation_p(np.array(expected.statistic), n) == pytest.approx(expected.pvalue, rel=1e-9)


# ---------------------------------------------------------------------------- multiple testing
def by_definition(p: np.ndarray) -> np.ndarray:
    """q_i = the smallest level at which the Benjamini-Hochberg step-up procedure rejects i."""
    m, q = len(p), np.ones(len(p))
    for level in sorted({min(1.0, v * m / (i + 1)) for i, v in enumerate(np.sort(p))}):
        passed = np.flatnonzero(np.sort(p) <= level * np.arange(1, m + 1) / m + 1e-15)
        if len(passed):
            q = np.where(p <= np.sort(p)[passed[-1]], np.minimum(q, level), q)
    return q


@quick
@given(
    st.lists(
        st.sampled_from([0.0, 0.001, 0.01, 0.02, 0.04, 0.2, 0.5, 1.0]) | st.floats(0, 1),
        min_size=1,
        max_size=25,
    )
)
def test_benjamini_hochberg_by_definition(p):
    np.testing.assert_allclose(benjamini_hochberg(np.array(p)), by_definition(np.array(p)), atol=1e-12)


def test_benjamini_hochberg_leaves_nan_and_shape(rng):
    p = rng.random((4, 3))
    p[1, 2] = np.nan
    q = benjamini_hochberg(p)
    assert np.isnan(q[1, 2])
    np.testing.assert_allclose(q[~np.isnan(q)], benjamini_hochberg(p[~np.isnan(p)]))
    np.testing.assert_allclose(benjamini_hochberg(np.array([0.01]), tests=20), [0.2])
    assert benjamini_hochberg(np.array([])).shape == (0,)


def test_sidak():
    assert sidak(0.01, 10) == pytest.approx(1 - 0.99**10)
    assert sidak(1e-20, 10) == pytest.approx(1e-19)


# ---------------------------------------------------------------------------- units as points
def test_correlation_coordinates_have_the_right_distances(rng):
    x = rng.standard_normal((200, 7))
    r = np.corrcoef(x, rowvar=False)
    points = correlation_coordinates(r)
    squares = ((points[:, None] - points[None]) ** 2).sum(axis=-1)
    np.testing.assert_allclose(squares, 2 * (1 - r), atol=1e-12)


def test_units_as_points_leave_constants_out(rng):
    x = rng.standard_normal((50, 8))
    x[:, 3] = 2
    points = point_set(ArrayActivations(x), "units")
    assert points.index.tolist() == [0, 1, 2, 4, 5, 6, 7]
    assert "1 constant" in points.notes[0]
    with pytest.raises(NotEnoughData):
        point_set(ArrayActivations(np.ones((50, 8))), "units")


# ---------------------------------------------------------------------------- machine and executor
def test_machine_is_measured_once():
    machine_module.machine.cache_clear()
    found = machine()
    assert found.flops64 > 1e8
    assert found.bandwidth > 1e8
    assert machine() is found
    assert free_bytes() > 1 << 20


def square(x: int) -> int:
    if x < 0:
        raise InputError("a negative number", "a positive one")
    return x * x


@pytest.mark.parametrize("kind", ["serial", "threads", "process"])
def test_executors_do_the_same(kind, monkeypatch):
    # a page that was tested before leaves its script as the main module, which a new process would run
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None, raising=False)
    with open_executor(kind) as executor:
        assert list(executor.map(square, range(4))) == [0, 1, 4, 9]
        refused: Future = executor.submit(square, -1)
        with pytest.raises(InputError, match="negative"):
            refused.result()
        assert merge_over(executor, square, range(5), int.__add__) == 30
        assert merge_over(executor, square, [], int.__add__) is None


def test_moments_merge_over_threads(rng):
    pieces = np.array_split(rng.standard_normal((999, 5)), 7)
    with open_executor("threads", 2) as executor:
        total = merge_over(executor, Moments.of, pieces, Moments.merge)
    np.testing.assert_allclose(total.covariance, np.cov(np.concatenate(pieces), rowvar=False), atol=1e-12)


def test_unknown_executor():
    with pytest.raises(ParameterError), open_executor("cloud"):
        pass
    assert issubclass(ParameterError, LoupeError)
