"""Bits, ranges and ranks that a tap needs, against numbers really rounded, clipped and cut."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.activations import ArrayActivations
from analysis.errors import NotEnoughData
from analysis.methods.tokens.channel_ranges import ChannelRangesParams, channel_ranges, row_errors
from analysis.methods.tokens.tap_bits import TapBitsParams, noise, tap_bits
from analysis.tokens.cache.outliers import clipped, error_at, gaussian_like, kurtosis, rotation
from analysis.tokens.cache.quantisers import PLAIN, quantised
from analysis.tokens.cache.shared_subspaces import tail_share
from analysis.tokens.cache.spectra import at_numbers, left, spectra, squares


def test_kurtosis_is_that_of_scipy_for_numbers_around_zero(rng):
    from scipy.stats import kurtosis as peer

    x = rng.standard_normal((4, 500))
    x -= x.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(kurtosis(x), peer(x, axis=1, fisher=False), rtol=1e-9)


def test_clipping_and_levels_are_those_of_numbers_really_rounded(rng):
    x, c, bits = rng.standard_normal((3000, 16)), 2.0, 5
    step = 2 * c / 2**bits
    made = np.clip(x, -c, c)
    inside = np.abs(x) <= c
    made[inside] = np.clip(np.floor((made[inside] + c) / step), 0, 2**bits - 1) * step - c + step / 2
    real = np.square(made - x).mean() / np.square(x).mean()
    assert error_at(x, np.array([c]), bits)[0] == pytest.approx(real, rel=0.02)
    assert clipped(x, np.array([c]))[0] == pytest.approx(
        np.square(np.clip(x, -c, c) - x).sum() / np.square(x).sum()
    )
    unit_rows = x / np.sqrt(np.square(x).mean())
    assert row_errors(unit_rows, c, bits).mean() == pytest.approx(error_at(unit_rows, np.array([c]), bits)[0])


def test_a_rotation_keeps_products_and_gaussian_rows_keep_mean_and_covariance(rng):
    x = rng.standard_normal((20000, 6)) * np.arange(1, 7) + 3
    turn = rotation(6, rng)
    np.testing.assert_allclose((x @ turn) @ (x @ turn).T[:, :5], x @ x.T[:, :5], rtol=1e-8)
    like = gaussian_like(x, rng)
    np.testing.assert_allclose(like.mean(axis=0), x.mean(axis=0), atol=0.15)
    np.testing.assert_allclose(np.cov(like.T), np.cov(x.T), atol=0.9)


def test_clipping_over_its_place_falls_to_nothing(rng):
    found = channel_ranges(rng.standard_normal((300, 8)), ChannelRangesParams(show="what clipping loses"))
    for line in found.series.values():
        assert (np.diff(line) <= 0).all()
    assert found.series["as it is"][-1] == pytest.approx(0, abs=0.01)


def test_decibels_of_a_tap_are_those_of_its_rows_quantised_by_hand(rng):
    x, owner = rng.standard_normal((12, 10)), np.repeat(np.arange(4), 3)
    found = noise(x, owner, owner < 2, PLAIN, 3, rng)
    for s in range(4):
        rows = x[owner == s]
        lost = quantised(rows, 3) - rows
        assert found[s] == pytest.approx(10 * np.log10(np.square(rows).sum() / np.square(lost).sum()))


def test_axes_of_mixed_rows_never_see_the_rows_they_hold(rng):
    """Of pure noise the axes of one half say nothing of the other, so that more bits for an eighth gain what any eighth
    would; fitted on the same few rows they would gain far more."""
    x = rng.standard_normal((40, 64))
    line = tap_bits(ArrayActivations(x), params=TapBitsParams()).columns
    assert line["variance on an eighth"][0] < 0.2
    assert line["halves agree"][0] < 0.3
    with pytest.raises(NotEnoughData, match="does not vary"):
        tap_bits(np.ones((30, 4)))


def test_what_is_left_of_spectra_is_that_of_matrices_really_cut(rng):
    x, y = rng.standard_normal((2, 30, 6))
    both = np.concatenate([x, y], axis=1)
    u, s, v = np.linalg.svd(both, full_matrices=False)
    for r in (1, 4, 9):
        cut = (u[:, :r] * s[:r]) @ v[:r]
        assert left(squares(both), r) == pytest.approx(np.linalg.norm(both - cut) / np.linalg.norm(both))
        assert left(squares(both), r) ** 2 == pytest.approx(tail_share(both, r, rng))
    rank = 0.5 * 30 * 12 / (30 + 12)  # of half of the numbers
    together, alone = at_numbers(spectra([x, y]), 30, 6, 0.5)
    assert together**2 == pytest.approx(tail_share(both, rank, rng))
    each = [tail_share(one, rank * 42 / (2 * 36), rng) * np.square(one).sum() for one in (x, y)]
    assert alone**2 == pytest.approx(sum(each) / np.square(both).sum())
