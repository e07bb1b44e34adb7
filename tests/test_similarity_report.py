"""What a grid of similarities says of itself: false discoveries, bands, the band of a choice, hatching, distances."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from analysis.compute.similarity.cka_grid import linear_grid
from analysis.compute.similarity.null_ends import null_ends
from analysis.compute.similarity.similarity_grid import Grid, Pair
from analysis.compute.similarity.similarity_report import Words, beyond_chance, similarity_matrix
from dashboard.figures.cells import cells_of

CKA = Words("CKA", "unbiased", "samples exchanged")
ANGLE = Words(
    "angle", "as measured", "samples exchanged", perfect=0.0, bounds=(0, 2), limits=(0, 2), distance=True
)
FOUR = ("s:a", "s:b", "s:c", "s:d")
UPPER = np.triu_indices(4, 1)


def filled(values, diagonal):
    """(4, 4) from the six pairs of four taps."""
    out = np.full((4, 4), diagonal, dtype=type(diagonal))
    out[UPPER] = values
    out.T[UPPER] = values
    return out


def square(values, *, null=0.1, deviation=0.02, p=0.5, half=None, few=False, n=100, own=1.0):
    """A grid of four taps; `half` of each pair: half-width of its interval (None: no groups)."""
    whole = filled(values, own)[None]
    if half is not None:
        swing = np.linspace(-1, 1, 10)
        unit = stats.t.ppf(0.975, 9) * np.sqrt(0.9 * (swing**2).sum())
        whole = np.concatenate([whole, whole + swing[:, None, None] * filled(half, 0.0) / unit])
    null, deviation, p = (filled(v, np.nan) for v in (null, deviation, p))
    return Grid(np.arange(4), np.arange(4), whole, null, deviation, p, filled(few, False), n, (3, 4, 5, 6))


# ---------------------------------------------------------------------------- beyond chance
P = np.array([0.001, 0.02, 0.03, 0.04, 0.2, 0.9])


def test_many_pairs_are_tested_at_a_false_discovery_rate():
    """Four of six p-values are below 0.05, and one of them still is as one of six."""
    expected = stats.false_discovery_control(P) < 0.05
    assert expected.sum() == 1
    sure = beyond_chance(square(0.5, p=P))
    np.testing.assert_array_equal(sure[UPPER], expected)
    np.testing.assert_array_equal(sure, sure.T)
    assert np.diag(sure).all()


def test_the_cells_of_two_networks_are_as_many_tests():
    p = np.array([[0.001, 0.02, 0.03], [0.04, 0.2, 0.9]])
    grid = Grid(
        np.arange(2), np.arange(2, 5), np.full((1, 2, 3), 0.5), 0 * p, 0 * p + 0.1, p, p > 2, 50, (3,) * 5
    )
    np.testing.assert_array_equal(
        beyond_chance(grid), stats.false_discovery_control(p.ravel()).reshape(2, 3) < 0.05
    )


def test_a_pair_in_two_directions_is_two_tests():
    p = filled(0.9, np.nan)
    p[0, 1], p[1, 0], p[2, 3] = 0.001, 0.02, 0.011
    grid = Grid(
        np.arange(4), np.arange(4), np.full((1, 4, 4), 0.5), p, p, p, p > 2, 50, (3,) * 4, symmetric=False
    )
    off = ~np.eye(4, dtype=bool)
    sure = beyond_chance(grid)
    np.testing.assert_array_equal(sure[off], stats.false_discovery_control(p[off]) < 0.05)
    assert sure[0, 1]
    assert not sure[1, 0]


def test_unrelated_taps_are_seldom_called_alike():
    """Ten unrelated taps, 45 pairs: at most in 8 of 60 draws is any called alike, where 5 % would be 3."""
    wrong = sum(beyond_chance(unrelated(seed, 10))[np.triu_indices(10, 1)].any() for seed in range(60))
    assert wrong <= 8


def unrelated(seed, taps, n=50, d=20):
    rng = np.random.default_rng(seed)
    every = np.arange(taps)
    return linear_grid(list(rng.standard_normal((taps, n, d))), every, every, rng)[0]


# ---------------------------------------------------------------------------- bands
def test_the_band_of_the_mean_is_that_of_one_pair_at_most():
    null, deviation = np.linspace(0, 0.5, 6), np.linspace(0.01, 0.06, 6)
    mean = similarity_matrix(square(0.5, null=null, deviation=deviation), CKA, FOUR).estimates[0]
    half = stats.norm.ppf(0.975) * deviation.mean()
    assert mean.null == pytest.approx(null.mean(), rel=1e-12)
    assert (mean.null_low, mean.null_high) == pytest.approx(
        (null.mean() - half, null.mean() + half), rel=1e-6
    )


def test_the_mean_and_its_interval_are_of_the_pairs():
    """All pairs move as one here, so that their mean has an interval as wide as theirs, averaged."""
    values, half = np.linspace(0.2, 0.7, 6), np.linspace(0.01, 0.05, 6)
    mean = similarity_matrix(square(values, half=half), CKA, FOUR).estimates[0]
    assert mean.value == pytest.approx(values.mean(), rel=1e-12)
    expected = values.mean() - half.mean(), values.mean() + half.mean()
    assert (mean.low, mean.high) == pytest.approx(expected, rel=1e-9)


VALUES = np.array([0.5, 0.9, 0.4, 0.3, 0.2, 0.6])


def test_the_most_and_the_least_alike_have_the_band_and_the_p_of_a_choice():
    p = np.array([0.5, 0.003, 0.3, 0.2, 0.4, 0.1])
    _, most, least = similarity_matrix(square(VALUES, p=p), CKA, FOUR).estimates
    assert (most.name, most.value) == ("most alike: CKA of a and c", 0.9)
    assert (least.name, least.value) == ("least alike: CKA of b and d", 0.2)
    half = stats.norm.ppf(1 - 0.05 / 2 / 6) * 0.02
    for e, p_value in ((most, 6 * 0.003), (least, 1.0)):
        assert (e.null_low, e.null_high) == pytest.approx((0.1 - half, 0.1 + half), rel=1e-6)
        assert e.p_value == pytest.approx(p_value, rel=1e-9)
        assert "one chosen of 6 pairs" in e.null_method


def test_one_pair_was_not_chosen():
    two = Pair(np.array([0.5]), 0.1, 0.02, 0.03)
    cell = lambda v: np.array([[np.nan, v], [v, np.nan]])  # noqa: E731
    grid = Grid(np.arange(2), np.arange(2), np.array([[[1, 0.5], [0.5, 1]]]), cell(two.null), cell(two.deviation),
                cell(two.p), np.zeros((2, 2), bool), 100, (3, 3))  # fmt: skip
    (e,) = similarity_matrix(grid, CKA, ("s:a", "s:b")).estimates
    half = stats.norm.ppf(0.975) * 0.02
    assert (e.null_low, e.null_high) == pytest.approx((0.1 - half, 0.1 + half), rel=1e-6)
    assert e.p_value == 0.03


def test_the_most_alike_of_unrelated_taps_seldom_leaves_its_band():
    """Of 15 pairs the largest leaves the band of a single one in about a third of draws, and its own in few."""
    found = [
        similarity_matrix(unrelated(s, 6), CKA, [f"s:{i}" for i in range(6)]).estimates[1] for s in range(60)
    ]
    assert sum(e.value > e.null_high for e in found) <= 6
    single = stats.norm.ppf(0.975) * np.sqrt(2 / (50 * 47))
    assert sum(e.value > single for e in found) >= 10


# ---------------------------------------------------------------------------- hatching
def test_wide_intervals_are_hatched():
    half = np.array([0.02, 0.0999, 0.1001, 0.05, 0.3, 0.09])
    few = similarity_matrix(square(0.97, half=half), CKA, FOUR).few  # cut at 1 they are all narrow above
    np.testing.assert_array_equal(few, filled(half > 0.1, False))


def test_what_is_wide_depends_on_the_scale():
    half = np.array([0.02, 0.1999, 0.2001, 0.15, 0.3, 0.19])
    few = similarity_matrix(square(0.5, half=half, own=0.0), ANGLE, FOUR).few
    np.testing.assert_array_equal(few, filled(half > 0.2, False))


def test_what_a_measure_calls_few_is_hatched_and_counted():
    said = np.array([False, True, False, False, True, False])
    found = similarity_matrix(square(0.5, half=0.01, few=said), CKA, FOUR)
    np.testing.assert_array_equal(found.few, filled(said, False))
    assert any("few for 2 of 6 pairs (hatched)" in c for c in found.caveats)
    assert not similarity_matrix(square(0.5, half=0.01), CKA, FOUR).few.any()


@pytest.mark.parametrize(("n", "all_few"), [(7, True), (8, False)])
def test_below_eight_samples_every_pair_is_hatched_and_no_tap_with_itself(n, all_few):
    few = similarity_matrix(square(0.5, half=0.01, n=n), CKA, FOUR).few
    np.testing.assert_array_equal(few, filled(all_few, False))


def test_groups_without_an_interval_are_too_few():
    grid = square(0.5, half=0.01)
    two = Grid(
        grid.rows, grid.columns, grid.series[:3], grid.null, grid.deviation, grid.p, grid.few, 100, (3,) * 4
    )
    np.testing.assert_array_equal(similarity_matrix(two, CKA, FOUR).few, filled(True, False))


# ---------------------------------------------------------------------------- the excess
def test_each_cell_has_its_own_null_and_the_excess_is_over_it():
    values, null = np.array([[0.5, 0.6, 0.7], [0.2, 0.9, 0.4]]), np.array([[0.1, 0.2, 0.3], [0.05, 0.4, 0.0]])
    swing = np.linspace(-0.01, 0.01, 10)[:, None, None] * np.ones((2, 3))
    series = np.concatenate([values[None], values + swing])
    grid = Grid(np.arange(2), np.arange(2, 5), series, null, null + 0.1, null, null > 2, 50, (3,) * 5)
    found = similarity_matrix(grid, CKA, ("s:a", "s:b", "t:x", "t:y", "t:z"))
    np.testing.assert_array_equal(found.null, null)
    cells = cells_of(found, show="excess")
    np.testing.assert_allclose(cells.values, values - null, atol=1e-6)
    half = stats.t.ppf(0.975, 9) * np.sqrt(0.9 * (swing[:, 0, 0] ** 2).sum())
    np.testing.assert_allclose(cells.beside[..., 0], null, rtol=1e-12)
    np.testing.assert_allclose(cells.beside[..., 1], values - null - half, rtol=1e-9)
    np.testing.assert_allclose(cells.beside[..., 2], values - null + half, rtol=1e-9)
    np.testing.assert_allclose(cells_of(found).values, values, atol=1e-6)


def test_the_band_beside_the_scale_holds_the_band_of_every_pair():
    null, deviation = np.linspace(0, 0.5, 6), np.full(6, 0.01)
    band = similarity_matrix(square(0.5, null=null, deviation=deviation), CKA, FOUR).null_band
    half = stats.norm.ppf(0.975) * 0.01
    assert band == pytest.approx((-half, 0.5 + half), rel=1e-6)


# ---------------------------------------------------------------------------- distances
def test_the_most_alike_have_the_smallest_distance():
    found = similarity_matrix(square(VALUES, own=0.0), ANGLE, FOUR)
    _, most, least = found.estimates
    assert (most.name, most.value) == ("most alike: angle of b and d", 0.2)
    assert (least.name, least.value) == ("least alike: angle of a and c", 0.9)
    assert "Most alike are b and d (0.20), least alike a and c (0.90)." in found.reading


def test_a_small_distance_is_beyond_chance_and_a_large_one_is_not():
    """Cantelli: three deviations below the mean of unrelated pairs has p 1 / 10, above it 1."""
    near, far = (Pair.with_moments([v], 1.0, 0.1, distance=True).p for v in (0.7, 1.3))
    assert (near, far) == (pytest.approx(0.1), 1.0)
    near, far = (Pair.with_moments([v], 1.0, 0.1).p for v in (0.7, 1.3))
    assert (near, far) == (1.0, pytest.approx(0.1))


def test_a_band_that_would_leave_the_bounds_is_that_of_a_beta():
    """One squared correlation of 12 Gaussian samples is Beta(1/2, 5) exactly; a band inside stays normal."""
    law = stats.beta(0.5, 5)
    low, high = null_ends(np.array([law.mean(), 0.5]), np.array([law.std(), 0.1]), (0.0, 1.0))
    assert [low[0], high[0]] == pytest.approx(law.ppf([0.025, 0.975]), rel=1e-9)
    assert [low[1], high[1]] == pytest.approx(stats.norm(0.5, 0.1).ppf([0.025, 0.975]), rel=1e-12)
    assert null_ends(0.1, 0.2, (0.0, np.inf))[0] == 0.0  # no law is known: cut
    assert null_ends(1.3, 0.2, (0.0, np.sqrt(2)))[1] < np.sqrt(2)
    assert np.isnan([null_ends(np.nan, 0.1, (0.0, 1.0))[0], null_ends(0.1, np.nan, (0.0, 1.0))[1]]).all()


def test_no_null_of_what_cannot_be_negative_is_drawn_below_0():
    words = Words("CCA", "mean ρ²", "samples exchanged", bounds=(0.0, 1.0))
    found = similarity_matrix(square([0.5, 0.4, 0.3, 0.2, 0.1, 0.05], null=0.05, deviation=0.06), words, FOUR)
    assert 0 <= found.null_band[0] < found.null_band[1]
    assert all(0 <= e.null_low <= e.null <= e.null_high for e in found.estimates)
    assert "± " not in found.reading
    assert "on average, most of them 0 to 0.22" in found.reading
    assert "± 0.039" in similarity_matrix(square(0.5), words, FOUR).reading
