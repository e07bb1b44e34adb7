"""Intervals from groups left out: the textbook error of a mean, Student's t, and how often they cover."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from scipy import stats

from analysis.compute.similarity import similarity_report
from analysis.compute.similarity.cka_grid import linear_grid
from analysis.compute.statistics.sample_groups import (
    GROUPS,
    groups_of,
    jackknife_error,
    jackknife_half,
    mean_interval,
    sample_groups,
)


def without_each(x, size):
    """Means of x (G size,) without each of its G equal groups, which lie one after the other."""
    groups = x.reshape(-1, size)
    return np.array([np.delete(groups, g, axis=0).mean() for g in range(len(groups))])


# ---------------------------------------------------------------------------- closed forms
@given(some.integers(0, 10**6), some.sampled_from([(3, 4), (10, 7), (25, 1)]))
def test_the_error_of_a_mean_is_that_of_the_means_of_the_groups(seed, shape):
    x = np.random.default_rng(seed).standard_normal(shape[0] * shape[1])
    found = jackknife_error(without_each(x, shape[1]))
    assert found == pytest.approx(stats.sem(x.reshape(shape).mean(axis=1)), rel=1e-9)


@pytest.mark.parametrize("count", [3, 5, 10])
@pytest.mark.parametrize("shape", [(), (2, 3)])
def test_the_half_width_is_students_t_times_the_error(rng, count, shape):
    without = rng.standard_normal((count, *shape))
    expected = stats.t.ppf(0.975, count - 1) * np.sqrt((count - 1) ** 2 / count * without.var(axis=0, ddof=1))
    np.testing.assert_allclose(jackknife_half(without), expected, rtol=1e-9)
    series = np.concatenate([np.full((1, *shape), 7.0), without])  # the value itself plays no part
    np.testing.assert_allclose(similarity_report.jackknife_half(series), expected, rtol=1e-9)


def test_two_groups_have_no_interval(rng):
    assert jackknife_half(rng.standard_normal((2, 4))) is None
    assert np.isnan(similarity_report.jackknife_half(rng.standard_normal((3, 4)))).all()
    assert np.isnan(similarity_report.jackknife_half(rng.standard_normal(1)))


@pytest.mark.parametrize("n", [2, 3, 12])
def test_the_interval_of_a_mean_is_students(rng, n):
    x = rng.standard_normal(n) + 3
    found = mean_interval(x)
    expected = stats.t.interval(0.95, n - 1, loc=x.mean(), scale=stats.sem(x))
    assert (found["low"], found["high"]) == pytest.approx(expected, rel=1e-9)
    assert mean_interval(x, least=x.mean(), most=x.mean())["low"] == x.mean()
    assert mean_interval(x[:1]) == {}


@pytest.mark.parametrize(("n", "count"), [(4, 4), (19, 19), (20, 10), (63, 10)])
def test_groups_are_even_and_hold_every_sample_once(rng, n, count):
    sizes = np.bincount(groups_of(n, rng))
    assert len(sizes) == count
    assert sizes.max() - sizes.min() <= 1
    parts = sample_groups(n, rng)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(n))
    assert all((np.diff(part) > 0).all() for part in parts)


# ---------------------------------------------------------------------------- coverage
def test_the_interval_of_a_mean_of_few_groups_covers_as_often_as_it_says():
    """2,000 means of ten equal groups of Gaussian samples: exactly 95 % (deviation 0.5 %)."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((GROUPS, 3, 2000))
    without = np.array([np.delete(x, g, axis=0).mean(axis=(0, 1)) for g in range(GROUPS)])
    covered = np.abs(x.mean(axis=(0, 1))) <= jackknife_half(without)
    assert 0.935 <= covered.mean() <= 0.965


def test_the_interval_of_cka_covers_its_large_sample_value():
    """y = 0.7 x + √0.51 noise in six dimensions has CKA 0.49; 300 draws of 60 samples."""
    covered = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        x, noise = rng.standard_normal((2, 60, 6))
        grid, _ = linear_grid([x, 0.7 * x + np.sqrt(0.51) * noise], np.array([0]), np.array([1]), rng)
        value, half = grid.values[0, 0], similarity_report.jackknife_half(grid.series)[0, 0]
        covered += abs(value - 0.49) <= half
    assert 0.92 * 300 <= covered <= 0.99 * 300
