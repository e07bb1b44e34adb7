"""Intervals of means of few skewed values: how often they hold, and what they are where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import stdtrit
from scipy.stats import gamma, lognorm

from analysis.compute.statistics import skewed_means as module
from analysis.compute.statistics.multiple_testing import holm
from analysis.compute.statistics.skewed_means import skewed_interval, skewed_mean
from analysis.methods.tokens.coded_answer import AXES, NOISE, UNITS, _estimates
from analysis.tokens.cache.recoding import bits_for

DRAWN = {
    "normal": (lambda rng, n: rng.standard_normal((n, 250)), 0.0),
    "lognormal": (lambda rng, n: rng.lognormal(0, 1, (n, 250)), np.exp(0.5)),
    "lognormal, 1.5": (lambda rng, n: rng.lognormal(0, 1.5, (n, 250)), np.exp(1.125)),
    "exponential": (lambda rng, n: rng.exponential(1, (n, 250)), 1.0),
    "squares": (lambda rng, n: rng.standard_normal((n, 250)) ** 2, 1.0),
}


@pytest.mark.parametrize("kind", DRAWN)
@pytest.mark.parametrize("n", [8, 16])
def test_the_interval_holds_95_percent_where_student_s_does_not(kind, n):
    rng = np.random.default_rng(3)
    make, mean = DRAWN[kind]
    x = np.concatenate([make(rng, n) for _ in range(2)], axis=1)
    low, high = skewed_interval(x, rng)
    held = ((low <= mean) & (mean <= high)).mean()
    half = stdtrit(n - 1, 0.975) * x.std(axis=0, ddof=1) / np.sqrt(n)
    student = (np.abs(x.mean(axis=0) - mean) <= half).mean()
    assert held >= 0.92  # 95 % asked, 500 trials
    assert kind == "normal" or student < 0.94
    if kind == "normal":
        assert np.median((high - low) / (2 * half)) < 1.25


def test_means_of_other_units_and_of_nothing(monkeypatch):
    x = np.random.default_rng(0).lognormal(0, 1, (10, 3))
    one = skewed_interval(x, np.random.default_rng(1))
    ten = skewed_interval(10 * x, np.random.default_rng(1))
    np.testing.assert_allclose(ten, 10 * np.array(one), rtol=1e-9)
    low, high = skewed_interval(np.ones((6, 2)), np.random.default_rng(1))
    np.testing.assert_array_equal(low, 1)
    np.testing.assert_array_equal(high, 1)
    assert skewed_mean(np.ones(1), np.random.default_rng(1)) == {}
    told = skewed_mean(np.array([0.0, 0.0, 0.0, 4.0]), np.random.default_rng(1), least=0.0)
    assert told["low"] == 0.0
    assert told["high"] > 4
    held = skewed_interval(x, np.random.default_rng(1))[1].copy()
    monkeypatch.setattr(module, "_lognormal", lambda *given: None)
    assert (skewed_interval(x, np.random.default_rng(1))[1] <= held).all()


def test_the_fits_are_the_largest_likelihoods():
    x = np.random.default_rng(2).gamma(2.5, 3.0, 40)
    shape, _, scale = gamma.fit(x, floc=0)
    assert module._gamma_fit(x, np.log(x)) == pytest.approx(
        gamma.logpdf(x, shape, scale=scale).sum(), abs=1e-4
    )
    sigma, _, middle = lognorm.fit(x, floc=0)
    assert module._lognormal_fit(np.log(x)) == pytest.approx(
        lognorm.logpdf(x, sigma, scale=middle).sum(), abs=1e-4
    )


def test_bits_at_a_loss_are_held_of_eight_lognormal_losses():
    """Loss of a sample: a lognormal factor times a line that falls; the bits of the mean are known."""
    rng, at, held = np.random.default_rng(4), np.linspace(0, 4, 5), []
    line = 2.0**-at
    wanted = bits_for(at, np.exp(0.5) * line, 0.5)
    for _ in range(120):
        each = {UNITS: rng.lognormal(0, 1, 8)[:, None] * line}
        each |= {AXES: each[UNITS], f"{UNITS} {NOISE}": each[UNITS], f"{AXES} {NOISE}": each[UNITS]}
        ends = {w: skewed_interval(each[w], rng, 0.0) for w in (UNITS, AXES)}
        told = _estimates(each, ends, at, 0.5, 10, rng)[0]
        held.append(told.low <= wanted <= told.high)
    assert np.mean(held) >= 0.9  # quantiles of samples drawn anew: about 80 %


def test_holm_by_hand():
    np.testing.assert_allclose(holm(np.array([0.03, 0.01, 0.04, 0.5])), [0.09, 0.04, 0.09, 0.5])
    np.testing.assert_allclose(holm(np.array([0.9, 0.8])), [1, 1])
    rng = np.random.default_rng(0)
    family = [(holm(rng.random(20)) <= 0.05).any() for _ in range(2000)]
    assert 0.03 < np.mean(family) < 0.065
