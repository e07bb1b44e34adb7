"""Rates of two layers or models at the same quality: by hand, and by second ways to the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.activations import ArrayActivations
from analysis.errors import InputError
from analysis.methods.tokens.bd_rates import ANSWER, BdRatesParams, bd_rates
from analysis.tokens.cache.rate_curves import counted
from analysis.tokens.cache.rates import bd_rate, bjontegaard, rising
from analysis.tokens.cache.recoding import coder_of, rate_and_error

RATE, QUALITY = np.array([0.5, 1.0, 2.0, 3.5, 5.0]), np.array([3.0, 6.0, 12.0, 20.0, 28.0])


@given(
    factor=st.floats(0.05, 20),
    shift=st.floats(-5, 5),
    rate=st.lists(st.floats(0.1, 1), min_size=5, max_size=5),
)
@settings(max_examples=40, deadline=None)
def test_a_factor_of_the_rate_is_the_bd_rate_whatever_the_curve(factor, shift, rate):
    rate = np.cumsum(rate)
    assert bjontegaard((rate, QUALITY), (factor * rate, QUALITY)) == pytest.approx(
        factor - 1, rel=1e-9, abs=1e-9
    )
    there, back = (bjontegaard(*pair) for pair in (
        ((rate, QUALITY), (rate**1.3, QUALITY + shift)), ((rate**1.3, QUALITY + shift), (rate, QUALITY))))  # fmt: skip
    assert (1 + there) * (1 + back) == pytest.approx(1, rel=1e-9)


def test_bd_rate_is_that_of_its_definition_where_curves_are_known():
    """ln R = a q and ln R = b q + c: the mean difference over the common quality, in closed form."""
    q, other_q = np.linspace(0, 10, 6), np.linspace(4, 14, 6)
    found = bjontegaard((np.exp(0.2 * q), q), (np.exp(0.3 * other_q - 1), other_q))
    assert found == pytest.approx(np.exp(0.1 * 7 - 1) - 1, rel=1e-9)  # 4 to 10: on average at 7
    dense = np.linspace(3, 28, 4000)
    fine = [np.exp(np.sin(dense / 20) + dense * k) for k in (0.1, 0.12)]
    assert bjontegaard((fine[0], dense), (fine[1], dense)) == pytest.approx(
        bd_rate(fine[0], dense, fine[1], dense), rel=1e-4
    )


def test_curves_without_common_quality_or_points_are_refused():
    with pytest.raises(InputError, match="no quality in common: a 3 to 28 and b 103 to 128"):
        bjontegaard((RATE, QUALITY), (RATE, QUALITY + 100), ("a", "b"))
    with pytest.raises(InputError, match="3 point"):
        bjontegaard((RATE[:3], QUALITY[:3]), (RATE, QUALITY))
    rate, quality = rising(np.array([1.0, 0.0, 3.0, 2.0]), np.array([1.0, 5.0, 2.0, 4.0]))
    assert (rate.tolist(), quality.tolist()) == ([1, 2], [1, 4])  # no rate, and worse at more rate


def test_entropies_and_errors_by_groups_are_those_of_their_rows(rng):
    """A second way: the same coder on the rows of some groups alone."""
    x, rows = rng.standard_normal((300, 4)) * [3, 1, 1, 0.2], np.arange(300)
    coder, group = coder_of(x, rows, rows, rng), np.arange(300) % 10
    for turned in (False, True):
        made = counted(
            coder, x, rows, group, int(group.max()) + 1, (1.0, 0.5, 0.25, 0.125), turned, lambda f: None
        )
        part = np.arange(10) < 4
        some = np.isin(group, np.flatnonzero(part))
        own = [
            rate_and_error(coder, x[some], rows[some], s * coder.size, turned)
            for s in (1.0, 0.5, 0.25, 0.125)
        ]
        rate, quality = made.curve(part)
        np.testing.assert_allclose(rate, [r for r, _ in own])
        spread = np.square(x[some] - coder.mean[coder.half[some]]).mean()
        np.testing.assert_allclose(quality, [10 * np.log10(spread / e) for _, e in own])


def test_layers_are_compared_in_every_pair_and_noise_is_told_from_a_difference(rng):
    """Uniform rows take less rate than Gaussian ones at the same error: by ½ log2(2πe/12) bits at fine steps."""
    wide = rng.uniform(-1, 1, (4000, 3))
    one, two = rng.standard_normal((2, 4000, 3))
    taps = [ArrayActivations(v, n) for v, n in ((one, "normal"), (two, "again"), (wide, "even"))]
    found = bd_rates(*taps, params=BdRatesParams(maximum_samples=4000, maximum_rows=4000))
    by = {e.name: e for e in found.estimates}
    np.testing.assert_allclose(np.diag(found.values), 0)
    np.testing.assert_allclose((1 + found.values / 100) * (1 + found.values.T / 100), 1)
    same, less = by["again over normal"], by["even over normal"]
    assert same.null_low <= same.value <= same.null_high
    assert same.low <= 0 <= same.high
    assert less.high < less.null_low
    assert found.significant[0, 2]
    assert not found.significant[0, 1]
    assert "Most differs even over" in found.reading or "Most differs again over" in found.reading


def test_by_the_answer_only_what_is_read_counts(rng):
    """Seven units of noise beside the one that tells: half of the bits of a number are enough to answer as well where
    the noise is quieter, though by signal over noise nothing would tell the two taps apart."""
    label = np.arange(200) % 2
    tells, noise = 4.0 * label[:, None] + rng.standard_normal((200, 1)), rng.standard_normal((200, 7))
    both = (("loud", noise), ("quiet", 0.1 * noise))
    taps = [ArrayActivations(np.hstack([tells, v]), name, {"label": label}) for name, v in both]
    found = bd_rates(*taps, params=BdRatesParams(quality=ANSWER))
    (e,) = found.estimates
    assert e.name == "quiet over loud"
    assert e.high < -30
    assert any("probe" in c for c in found.caveats)
    same = bd_rates(taps[0], taps[0], params=BdRatesParams(quality=ANSWER))
    np.testing.assert_array_equal(same.values, 0)


@pytest.mark.parametrize(
    "broken",
    [
        lambda one, other, names=(): bd_rate(*one, *other) / 1.01,
        lambda one, other, names=(): 0.0,
        lambda one, other, names=(): float(np.log(other[0] / one[0]).mean()),
    ],
)
def test_the_check_of_bd_rates_fails_on_broken_code(monkeypatch, broken):
    from analysis.methods.tokens import bd_rates as file
    from analysis.tokens.cache import rate_pairs

    monkeypatch.setattr(file, "bjontegaard", broken)
    monkeypatch.setattr(rate_pairs, "bjontegaard", broken)
    assert not all(line.passed for line in file._check())


def test_a_group_without_rows_is_a_group(rng):
    x, rows = rng.standard_normal((60, 3)), np.arange(60)
    coder = coder_of(x, rows, rows, rng)
    made = counted(coder, x, rows, rows % 9, 10, (1.0, 0.5, 0.25, 0.125), False, lambda f: None)
    whole, less = made.curve(np.ones(10, bool)), made.curve(np.arange(10) < 9)
    np.testing.assert_allclose(whole, less)
