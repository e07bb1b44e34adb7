"""Maps on a grid: area averaging, unbiased CKA over positions with exact nulls by enumeration, DC and AC, cosine bands;
closed forms, brute force, invariances, planted maps, bad input."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.fft import dctn

from analysis.activations import Activations, ArrayActivations, Layout
from analysis.compute.grids import common_maps as maps_module
from analysis.compute.grids import grid_alignment, map_frequencies, position_hsic
from analysis.compute.grids.common_maps import AC, DC, WHOLE, common_maps
from analysis.compute.grids.grid_alignment import MapRows, area_weights, common_grid, grid_of, resized
from analysis.compute.grids.map_frequencies import bands, frequencies, map_energies
from analysis.compute.grids.position_hsic import inner, map_side
from analysis.compute.similarity.hsic import alignment, null_deviation
from analysis.compute.similarity.similarity_grid import NETWORKS, groups_of
from analysis.errors import InputError, NotEnoughData, ParameterError, TooLarge
from analysis.methods.similarity import frequency_bands as bands_module
from analysis.methods.similarity import frequency_split as split_module
from analysis.methods.similarity import grid_similarity as grid_module
from analysis.methods.similarity.cka import cka
from analysis.methods.similarity.frequency_bands import BandParams, frequency_bands
from analysis.methods.similarity.frequency_split import FrequencyParams, frequency_split
from analysis.methods.similarity.grid_similarity import GridSimilarityParams, grid_similarity

FEW = settings(max_examples=15, deadline=None)


def tap(maps, name="t", leading=0, ids=None, grid=True):
    """From maps (n, h, w, d); `leading` tokens of noise come first."""
    n, h, w, d = maps.shape
    tokens = maps.reshape(n, h * w, d)
    if leading:
        extra = 100 * np.random.default_rng(9).standard_normal((n, leading, d))
        tokens = np.concatenate([extra, tokens], axis=1)
    layout = Layout(np.arange(n + 1) * tokens.shape[1], grid=(h, w) if grid else None, leading=leading)
    samples = {} if ids is None else {"id": np.asarray(ids)}
    return ArrayActivations(tokens.reshape(-1, d), name=name, layout=layout, samples=samples)


def value(x, y, **params):
    return float(
        grid_similarity(tap(x, "a"), tap(y, "b"), params=GridSimilarityParams(**params)).values[0, 1]
    )


def projected(a):
    """The hollow matrix nearest to `a` (n, n) whose lines and columns sum to zero, symmetric part and other apart."""
    n = len(a)
    a = a - np.diag(np.diag(a))
    even, odd = (a + a.T) / 2, (a - a.T) / 2
    r = even.sum(axis=1) / (n - 2)
    even = even - r[:, None] - r + even.sum() / ((n - 1) * (n - 2))
    r = odd.sum(axis=1) / n
    odd = odd - r[:, None] + r
    np.fill_diagonal(even, 0)
    return even, odd


def components(x):
    """(2, P², n, n): for each pair of positions the centred inner products of samples, even and odd parts."""
    p = x.shape[1]
    return np.array([projected(x[:, i] @ x[:, j].T) for i in range(p) for j in range(p)]).swapaxes(0, 1)


def brute(x, y):
    """By its definition over (n, P, d) maps: P² matrices of n x n, none of them centred by position beforehand."""
    a, b = components(x), components(y)
    return (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())


# ---------------------------------------------------------------------------- area averaging
@FEW
@given(st.integers(1, 12), st.integers(1, 12))
def test_area_weights_are_overlaps_and_keep_the_mean(old, new):
    w = area_weights(old, new)
    np.testing.assert_allclose(w.sum(axis=1), 1, atol=1e-14)
    np.testing.assert_allclose(w.sum(axis=0), new / old, atol=1e-14)
    fine = np.arange(old * new)  # both grids cut the same fine one
    np.testing.assert_allclose(
        w, np.histogram2d(fine // old, fine // new, bins=(new, old))[0] / old, atol=1e-14
    )
    x = np.random.default_rng(0).standard_normal((3, old, 4, 2))
    np.testing.assert_allclose(resized(x, (new, 4)).mean(axis=(1, 2)), x.mean(axis=(1, 2)), atol=1e-13)


def test_resizing_is_block_means_repeats_and_their_mixture(rng):
    x = rng.standard_normal((2, 4, 6, 3))
    np.testing.assert_allclose(resized(x, (2, 3)), x.reshape(2, 2, 2, 3, 2, 3).mean(axis=(2, 4)), atol=1e-13)
    np.testing.assert_allclose(resized(x, (8, 6)), x.repeat(2, axis=1), atol=1e-13)
    np.testing.assert_allclose(resized(x[:, :3], (2, 6))[:, 0], (2 * x[:, 0] + x[:, 1]) / 3, atol=1e-13)
    assert resized(x, (4, 6)) is x


def test_a_tap_as_rows_of_maps_is_an_activations_that_reads_in_chunks(rng, monkeypatch):
    x = rng.standard_normal((50, 4, 6, 3))
    rows = MapRows(tap(x, leading=2), (2, 3))
    assert isinstance(rows, Activations)
    expected = resized(x, (2, 3)).reshape(50, -1)
    monkeypatch.setattr(grid_alignment, "BLOCK_BYTES", 3 * 8 * 26 * 3)

    def pieces(self, rows=0):  # chunks that end inside samples
        for start in range(0, len(self.values), 37):
            yield start, self.values[start : start + 37]

    monkeypatch.setattr(ArrayActivations, "chunks", pieces)
    blocks = list(rows.chunks())
    assert max(len(b) for _, b in blocks) <= 3
    assert [s for s, _ in blocks] == list(np.cumsum([0] + [len(b) for _, b in blocks[:-1]]))
    np.testing.assert_allclose(np.concatenate([b for _, b in blocks]), expected, atol=1e-13)
    np.testing.assert_allclose(rows.take([7, 3]), expected[[7, 3]], atol=1e-13)
    np.testing.assert_allclose(rows.unit(4), expected[:, 4], atol=1e-13)
    assert rows.shape == expected.shape
    assert len(rows.unit_names) == 18


def test_the_common_grid_is_the_finest_that_all_have(rng):
    a, b = tap(rng.standard_normal((5, 8, 6, 2)), "a"), tap(rng.standard_normal((5, 4, 7, 3)), "b", leading=1)
    grid, notes = common_grid([a, b], 64)
    assert grid == (4, 6)
    assert any("averaged over areas to 4 x 6 positions (a 8 x 6, b 4 x 7)" in n for n in notes)
    assert any("left out: b 1" in n for n in notes)
    assert common_grid([a, b], 3)[0] == (3, 3)


# ---------------------------------------------------------------------------- CKA over positions
@FEW
@given(st.integers(0, 10**6), st.sampled_from([(8, 3, 4, 2), (12, 1, 3, 5), (7, 4, 1, 1), (9, 2, 20, 3)]))
def test_it_is_the_inner_product_of_all_pairs_of_positions(seed, shape):
    n, p, d, e = shape
    rng = np.random.default_rng(seed)
    x, y = (
        rng.standard_normal((n, p, d)) + 5 * rng.standard_normal((p, d)),
        rng.standard_normal((n, p, e)) * 1e3,
    )
    y[..., 0] += 1e3 * x[..., 0]
    group = groups_of(n, rng)
    a, b = map_side(x, group), map_side(y, group)
    assert alignment(inner(a, b), a.own, b.own)[0] == pytest.approx(brute(x, y), abs=1e-9)


def test_one_position_is_cka_of_vectors(rng):
    x, y = rng.standard_normal((60, 1, 1, 5)), rng.standard_normal((60, 1, 1, 4))
    y[..., :3] += x[..., :3]
    mine, plain = grid_similarity(tap(x), tap(y)), cka(x[:, 0, 0], y[:, 0, 0])
    np.testing.assert_allclose(mine.values, plain.values, atol=1e-12)
    assert mine.estimates[0].low == pytest.approx(plain.estimates[0].low, abs=0.03)
    assert value(np.tile(x, (1, 2, 2, 1)), np.tile(y, (1, 2, 2, 1))) == pytest.approx(
        plain.values[0, 1], abs=1e-12
    )


@pytest.mark.parametrize("p", [1, 2, 3])
def test_the_null_is_exact_by_all_exchanges(p):
    """All 720 exchanges of six samples: mean 0; the variance by Schur's lemma, and never above that of one position."""
    rng = np.random.default_rng(p)
    n, x, y = 6, rng.exponential(size=(6, p, 2)) ** 2, rng.exponential(size=(6, p, 1)) ** 3
    group = np.arange(n)
    a, every = map_side(x, group), []
    for order in permutations(range(n)):
        b = map_side(y[list(order)], group)
        every.append(alignment(inner(a, b), a.own, b.own)[0])
    u, v = components(x), components(y)
    grams = [[np.einsum("mij,kij->mk", part, part) for part in side] for side in (u, v)]
    even, odd = n * (n - 3) / 2, (n - 1) * (n - 2) / 2
    variance = (grams[0][0] * grams[1][0]).sum() / even + (grams[0][1] * grams[1][1]).sum() / odd
    variance /= (u * u).sum() * (v * v).sum()
    assert np.mean(every) == pytest.approx(0, abs=1e-12)
    assert np.std(every) == pytest.approx(np.sqrt(variance), rel=1e-9)
    assert np.std(every) <= null_deviation(n) + 1e-12
    if p == 1:
        assert np.std(every) == pytest.approx(null_deviation(n), rel=1e-9)


def test_tokens_that_depend_on_each_other_do_not_pass_for_many_samples():
    """Twenty samples of 36 equal tokens, unrelated between sides: counted as 720 rows, about half would be beyond
    chance at 5 %."""
    marked = naive = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        x, y = rng.standard_normal((2, 20, 1, 1, 3))
        x, y = np.tile(x, (1, 6, 6, 1)), np.tile(y, (1, 6, 6, 1))
        found = grid_similarity(tap(x, "a"), tap(y, "b"))
        marked += bool(found.significant[0, 1])
        rows = cka(x.reshape(-1, 3), y.reshape(-1, 3)).values[0, 1]
        naive += rows > 1.96 * null_deviation(720)
    assert marked <= 2
    assert naive > 12


def test_leaving_a_group_out_is_close_to_starting_again(rng):
    """Exact but for the small term of each sample with itself: a fiftieth of the spread over groups here."""
    x, y = rng.standard_normal((60, 3, 4)) + rng.standard_normal((3, 4)), rng.standard_normal((60, 3, 2))
    y += 0.7 * x[..., :2]
    group = groups_of(60, rng)
    a, b = map_side(x, group), map_side(y, group)
    found = alignment(inner(a, b), a.own, b.own)[1:]
    expected = np.array([brute(x[group != g], y[group != g]) for g in range(10)])
    assert np.abs(found - expected).max() < 0.05 * expected.std()


def test_the_interval_covers_what_many_samples_say():
    """The average covariance over two positions, one of which shares its units: CKA = (1/2)² 2 k / (2 k) = 1/2."""
    hits = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        x, y = rng.standard_normal((2, 120, 1, 2, 3))
        y[:, :, 0] = x[:, :, 0]
        e = grid_similarity(tap(x, "a"), tap(y, "b"), rng=rng).estimates[0]
        hits += e.low <= 0.25 <= e.high  # |C_xy|² = 3, |2 I|² = 12
    assert hits >= 85


@FEW
@given(st.integers(0, 10**6))
def test_rotations_scale_and_shifts_by_position_change_nothing(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((30, 2, 3, 4)), rng.standard_normal((30, 2, 3, 3))
    y += x[..., :3]
    q = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    moved = 1e4 * x @ q + 1e4 * rng.standard_normal((2, 3, 4))
    assert value(moved, y) == pytest.approx(value(x, y), abs=1e-9)
    assert value(x, moved) == pytest.approx(1, abs=1e-9)
    assert value(y, x) == pytest.approx(value(x, y), abs=1e-12)
    for part in (DC, AC):
        assert value(x, moved, part=part) == pytest.approx(1, abs=1e-9)
        assert value(moved, y, part=part) == pytest.approx(value(x, y, part=part), abs=1e-9)
    assert abs(value(x, x[:, ::-1]) - 1) > 0.05  # other places
    assert abs(value(x * [9, 1, 1, 1], y) - value(x, y)) > 1e-3


def test_parts_are_the_means_over_space_and_what_is_left(rng):
    x, y = rng.standard_normal((2, 80, 3, 3, 4))
    means = rng.standard_normal((80, 1, 1, 4))
    x, y = (m - m.mean(axis=(1, 2), keepdims=True) + means for m in (x, y))
    assert value(x, y, part=DC) == pytest.approx(1, abs=1e-9)
    assert abs(value(x, y, part=AC)) < 4 * null_deviation(80)
    assert value(x, y, part=DC) == pytest.approx(
        cka(x.mean(axis=(1, 2)), y.mean(axis=(1, 2))).values[0, 1], abs=1e-9
    )
    found = grid_similarity(tap(x), tap(y), params=GridSimilarityParams(part=DC))
    assert found.estimates[0].null_method == "samples exchanged, exact moments; p by Cantelli's bound"


def test_centring_over_space_kills_dc_and_constant_maps_have_no_ac(rng):
    x = rng.standard_normal((40, 3, 4, 5)) + 1e3
    flat = np.broadcast_to(x[:, :1, :1], x.shape)
    data = common_maps([tap(flat, "flat"), tap(x, "x")], rng, side=8, maximum=100)
    assert (data.part(AC)[0] == 0).all()
    np.testing.assert_allclose(data.part(AC)[1].mean(axis=1), 0, atol=1e-11)
    np.testing.assert_allclose(data.part(DC)[1] + data.part(AC)[1], data.part(WHOLE)[1], atol=1e-10)
    found = grid_similarity(tap(flat, "flat"), tap(x, "x"), params=GridSimilarityParams(part=AC))
    assert found.values[0, 1] == 0
    assert any("flat: nothing of this part differs" in c for c in found.caveats)


def test_a_network_at_twice_the_resolution_is_the_same_after_averaging(rng):
    x = rng.standard_normal((60, 4, 4, 3))
    fine = x.repeat(2, axis=1).repeat(2, axis=2) + np.kron(
        rng.standard_normal((60, 4, 4, 3)), np.array([1, -1, -1, 1]).reshape(1, 2, 2, 1)
    )
    found = grid_similarity(tap(x, "a"), tap(fine, "b", leading=1))
    assert found.values[0, 1] == pytest.approx(1, abs=1e-9)
    assert any("averaged over areas to 4 x 4 positions (a 4 x 4, b 8 x 8)" in c for c in found.caveats)
    # at 8 x 8 nothing is averaged, and the fine part shows
    assert value(x.repeat(2, axis=1).repeat(2, axis=2), fine) < 0.9


def test_layers_by_layers_and_networks_by_networks(rng):
    x = rng.standard_normal((50, 3, 3, 4))
    maps = [x + s * rng.standard_normal(x.shape) for s in (0, 0.5, 1, 1.5)]
    taps = [tap(m, n) for m, n in zip(maps, ("a:1", "a:2", "b:1", "b:2"), strict=True)]
    whole = grid_similarity(*taps)
    np.testing.assert_array_equal(whole.values, whole.values.T)
    np.testing.assert_array_equal(np.diag(whole.values), 1)
    part = grid_similarity(*taps, params=GridSimilarityParams(arrangement=NETWORKS))
    np.testing.assert_allclose(part.values, whole.values[:2, 2:], atol=1e-12)
    assert whole.significant.all()


# ---------------------------------------------------------------------------- DC, AC, bands
def energies(x, group=None, ids=None):
    names = np.array([str(i) for i in range(len(x))])
    return map_energies(
        tap(x), names if ids is None else ids, np.zeros(len(x), int) if group is None else group
    )


@FEW
@given(st.integers(0, 10**6), st.sampled_from([(4, 4), (1, 9), (5, 3), (1, 1)]))
def test_parseval_and_the_shares_of_the_definition(seed, grid):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((12, *grid, 3)) * rng.exponential(size=3) + 4
    e = energies(x)
    total = (x**2).sum()
    dc = grid[0] * grid[1] * (x.mean(axis=(1, 2)) ** 2).sum()
    assert e.recorded.sum() == pytest.approx(total, rel=1e-12)
    assert e.plain.sum() == pytest.approx(total, rel=1e-12)
    assert e.recorded[0, 0] == pytest.approx(dc, rel=1e-12)
    assert e.plain[0, 0, 0] == pytest.approx(dc, rel=1e-12)
    about = x - x.mean(axis=0)
    np.testing.assert_allclose(
        e.centred[0], (dctn(about, axes=(1, 2), norm="ortho") ** 2).sum(axis=(0, 3)), atol=1e-9
    )
    assert e.radial(True)[0].sum() == pytest.approx(1, abs=1e-12)


def test_constant_maps_have_no_ac_and_alternating_ones_no_dc(rng):
    flat = np.broadcast_to(rng.standard_normal((20, 1, 1, 3)), (20, 4, 6, 3)) * 1e3
    assert energies(flat).dc_share(True)[0] == pytest.approx(1, abs=1e-15)
    board = np.indices((4, 6)).sum(axis=0) % 2 * 2 - 1
    waves = board[..., None] * rng.standard_normal((20, 1, 1, 3))
    found = energies(waves)
    assert found.dc_share(True)[0] == pytest.approx(0, abs=1e-15)
    assert found.mean_frequency(True)[0] > 2


def test_without_order_dc_is_one_over_the_positions_exactly_on_average(rng):
    """Values exchanged between samples at each position on its own, 3,000 times."""
    x = rng.exponential(size=(6, 1, 3, 2)) ** 2
    x -= x.mean(axis=0)
    shares = []
    for _ in range(3000):
        y = np.stack([x[rng.permutation(6), :, p] for p in range(3)], axis=2)
        shares.append(energies(y).dc_share(True)[0])
    assert np.mean(shares) == pytest.approx(1 / 3, abs=4 * np.std(shares) / np.sqrt(3000))


def test_without_order_bands_hold_what_they_have_of_coefficients(rng):
    """Positions of each sample exchanged, on average over 400 exchanges of a single map."""
    x = rng.standard_normal((4, 4, 5, 2)).cumsum(axis=1)
    mean = x.mean(axis=0)
    found = np.zeros(1 + int(bands(4, 5).max()))
    for _ in range(400):
        y = (x - mean).reshape(4, 20, 2)
        y = np.stack([m[rng.permutation(20)] for m in y]).reshape(x.shape)
        found += energies(np.concatenate([y, -y])).radial(True)[0] / 400  # a mean map of zero
    e = energies(np.concatenate([x - mean, mean - x]))
    np.testing.assert_allclose(found, bands_module._null(e, True), atol=0.02)


def test_leaving_groups_out_of_energies(rng):
    x = rng.standard_normal((30, 3, 3, 2)) + 1
    group = groups_of(30, rng)
    whole = energies(x, group)
    for g in (0, 5):
        stay = group != g
        assert whole.dc_share(False)[1 + g] == pytest.approx(energies(x[stay]).dc_share(False)[0], abs=1e-12)
        assert whole.dc_share(True)[1 + g] == pytest.approx(energies(x[stay]).dc_share(True)[0], abs=0.02)


def test_only_the_samples_asked_for_count(rng):
    x = rng.standard_normal((20, 2, 2, 3))
    x[11] = np.nan
    names = np.array([str(i) for i in (3, 7, 5)])
    found = energies(x, np.array([0, 0, 0]), names)
    assert found.recorded.sum() == pytest.approx((x[[3, 5, 7]] ** 2).sum(), rel=1e-12)


@pytest.mark.parametrize(("u", "v"), [(0, 1), (2, 0), (3, 3), (1, 4)])
def test_a_cosine_lies_in_its_band(u, v, rng):
    h, w = 5, 6
    wave = np.outer(
        np.cos(np.pi * u * (np.arange(h) + 0.5) / h), np.cos(np.pi * v * (np.arange(w) + 0.5) / w)
    )
    x = wave[..., None] * rng.standard_normal((30, 1, 1, 2))
    found = frequency_bands(tap(x, "a"), tap(x, "b"))
    at = int(bands(h, w)[u, v])
    assert found.series["a"][at] == pytest.approx(1, abs=1e-12)
    assert found.x[at] == at / 2
    mean = next(e for e in found.estimates if e.name == "mean frequency of AC in a")
    assert mean.value == pytest.approx(np.hypot(u, v) / 2, abs=1e-12)
    assert mean.null == pytest.approx(frequencies(h, w).ravel()[1:].mean(), abs=1e-12)


def test_the_coarser_tap_ends_earlier(rng):
    fine, coarse = rng.standard_normal((40, 8, 8, 3)), rng.standard_normal((40, 2, 2, 3))
    found = frequency_bands(tap(fine, "fine"), tap(coarse, "coarse"))
    assert len(found.x) == 1 + bands(8, 8).max()
    assert (found.series["coarse"][2:] == 0).all()
    assert found.series["fine"].sum() == pytest.approx(1) == found.series["coarse"].sum()
    assert any("Grids differ (2 x 2, 8 x 8)" in c for c in found.caveats)
    assert not any("one position" in c for c in found.caveats)


def test_an_offset_is_dc_as_recorded_only(rng):
    x = rng.standard_normal((60, 4, 4, 3)) + 10
    found = frequency_split(tap(x, "a"), tap(x, "b"))
    assert found.columns["DC share as recorded"][0] > 0.95
    assert found.columns["DC share"][0] == pytest.approx(1 / 16, abs=0.03)
    assert any("offset that all samples share" in c for c in found.caveats)
    raw = frequency_bands(tap(x, "a"), tap(x, "b"), params=BandParams(energy=bands_module.RECORDED))
    assert raw.series["a"][0] == pytest.approx(found.columns["DC share as recorded"][0], abs=1e-12)


def test_the_table_compares_each_tap_with_the_first_by_part(rng):
    x, noise = rng.standard_normal((2, 80, 3, 3, 4))
    like = x + 0.3 * noise
    found = frequency_split(tap(x, "a"), tap(like, "b"), tap(noise.repeat(2, axis=1), "c"))
    assert list(found.columns["grid"]) == ["3 x 3", "3 x 3", "6 x 3"]
    for part in (WHOLE, DC, AC):
        assert found.columns[f"CKA {part}"][0] == 1
        assert found.columns[f"CKA {part}"][1] == pytest.approx(value(x, like, part=part), abs=1e-9)
        assert found.columns[f"q {part}"][1] < 0.05 < found.columns[f"q {part}"][2]
        assert abs(found.columns[f"CKA {part}"][2]) < 4 * null_deviation(80)
    np.testing.assert_allclose(found.columns["DC share"] + found.columns["AC share"], 1)


# ---------------------------------------------------------------------------- bad input
def test_rows_of_tokens_are_matched_by_place_and_pooled_taps_have_dc_only(rng):
    x = rng.standard_normal((30, 1, 6, 3))
    found = grid_similarity(tap(x, "a", grid=False), tap(x, "b", grid=False))
    assert found.values[0, 1] == pytest.approx(1)
    assert any("No grid is known" in c for c in found.caveats)
    pooled = ArrayActivations(x.mean(axis=(1, 2)), name="p")
    table = frequency_split(tap(x, "a"), pooled)
    assert table.columns["CKA DC"][1] == pytest.approx(1)
    assert table.columns["CKA AC"][1] == 0
    assert table.columns["DC share"][1] == 1
    assert any("one position only" in c for c in table.caveats)


METHODS = (grid_similarity, frequency_split, frequency_bands)


@pytest.mark.parametrize("method", METHODS)
def test_refusals(method, rng):
    x = rng.standard_normal((10, 2, 2, 3))
    with pytest.raises(ParameterError, match="1 tap"):
        method(tap(x))
    ragged = ArrayActivations(rng.standard_normal((12, 3)), layout=Layout(np.array([0, 3, 7, 12])))
    with pytest.raises(InputError, match="3 to 5 tokens"):
        method(ragged, ragged)
    with pytest.raises(InputError, match="a has tokens on a grid, b has tokens without one"):
        method(tap(x, "a"), tap(x, "b", grid=False))
    with pytest.raises(NotEnoughData, match="3 sample"):
        method(tap(x[:3]), tap(x[:3]))
    with pytest.raises(NotEnoughData, match=r"0 sample\(s\) with the same id"):
        method(tap(x, ids=[f"a{i}" for i in range(10)]), tap(x, ids=[f"b{i}" for i in range(10)]))
    wrong = ArrayActivations(x.reshape(-1, 3), layout=Layout(np.arange(11) * 4, grid=(2, 3)))
    with pytest.raises(InputError, match="2 x 3 by its grid"):
        method(wrong, wrong)


def test_maps_that_do_not_fit_are_refused(monkeypatch, rng):
    monkeypatch.setattr("analysis.compute.rows.common_samples.MOST_BYTES", 1000)
    x = rng.standard_normal((10, 2, 2, 3))
    with pytest.raises(TooLarge):
        grid_similarity(tap(x), tap(x))


@pytest.mark.parametrize("method", METHODS)
def test_samples_are_matched_by_id_and_nan_maps_left_out(method, rng):
    x = rng.standard_normal((30, 3, 3, 4))
    y = x + 0.4 * rng.standard_normal(x.shape)
    ids, order = np.array([f"s{i}" for i in range(30)]), rng.permutation(30)
    y[4, 1, 1, 0] = np.nan
    stay = np.delete(np.arange(30), 4)
    found = method(tap(x, "a", ids=ids), tap(y[order], "b", ids=ids[order]), rng=np.random.default_rng(0))
    plain = method(tap(x[stay], "a"), tap(y[stay], "b"), rng=np.random.default_rng(0))
    name = found.estimates[-1].name
    assert found.estimates[-1].n == 29
    assert found.estimates[-1].value == pytest.approx(plain.estimates[-1].value, abs=1e-9)
    assert name == plain.estimates[-1].name


@pytest.mark.parametrize(
    "spoil", ["constant unit", "duplicated", "huge", "tiny", "float16", "leading", "many units"]
)
def test_odd_maps_give_the_same_numbers(rng, spoil):
    x, y = rng.standard_normal((2, 25, 2, 3, 4))
    y += x
    z, leading, near = x, 0, 1e-9
    if spoil == "constant unit":
        z = np.concatenate([x, np.full((25, 2, 3, 2), 5.0)], axis=-1)
    elif spoil == "duplicated":
        z = np.concatenate([x, x], axis=-1)
    elif spoil == "huge":
        z = x * 1e150
    elif spoil == "tiny":
        z = x * 1e-150
    elif spoil == "float16":
        z, near = x.astype(np.float16), 1e-3
    elif spoil == "leading":
        leading = 3
    else:
        z = np.concatenate([x, np.zeros((25, 2, 3, 300))], axis=-1)
    for part in (WHOLE, DC, AC):
        found = grid_similarity(tap(z, "a", leading), tap(y, "b"), params=GridSimilarityParams(part=part))
        assert found.values[0, 1] == pytest.approx(value(x, y, part=part), abs=near)
        assert np.isfinite(found.low).all()


def test_a_random_part_is_used_and_said(rng):
    x = rng.standard_normal((120, 2, 2, 2))
    for method, params in ((grid_similarity, GridSimilarityParams), (frequency_split, FrequencyParams)):
        found = method(tap(x), tap(x), params=params(maximum_samples=50))
        assert found.estimates[-1].n == 50
        assert any("A random 50 of 120" in c for c in found.caveats)
    assert grid_of(tap(x)) == (2, 2)


# ---------------------------------------------------------------------------- the checks can fail
INNER, RADIAL = position_hsic._inner, map_frequencies.MapEnergies.radial


def _biased(one, other):
    squares, _ = INNER(one, other)
    return squares, squares.copy()


def _corner(maps, grid):
    return maps[:, : grid[0], : grid[1]]


def _shuffled(rest, means):
    return np.random.default_rng(0).permutation(rest) - means


@pytest.mark.parametrize(
    ("module", "where", "name", "broken"),
    [
        (grid_module, grid_alignment, "resized", _corner),
        (grid_module, position_hsic, "_inner", _biased),
        (grid_module, maps_module, "_rest", lambda maps, means: maps),
        (grid_module, maps_module, "_rest", _shuffled),
        (grid_module, position_hsic, "alignment", lambda cross, own, others: alignment(cross, own, own)),
        (split_module, maps_module, "_rest", lambda maps, means: maps),
        (split_module, map_frequencies.MapEnergies, "dc_share", lambda self, centred: np.full(11, 1 / self.positions)),
        (split_module, map_frequencies, "grid_of", lambda t: (1, 16)[::-1] if t.shape[0] else (4, 4)),
        (bands_module, map_frequencies.MapEnergies, "radial",
         lambda self, centred: np.roll(RADIAL(self, centred), 1, axis=1)),
        (bands_module, bands_module, "_null", lambda e, centred: e.radial(centred)[0] * 0),
    ],
)  # fmt: skip
def test_the_checks_fail_on_broken_code(monkeypatch, module, where, name, broken):
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in module.METHODS[0].check())
