"""The way between covariances and the map of taps: geodesics, closed forms, invariances, SciPy, stress, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm, logm, sqrtm
from scipy.spatial.distance import pdist, squareform

from analysis.activations import ArrayActivations
from analysis.compute.maps.classical_scaling import classical_scaling, exchanged_stress, stress
from analysis.compute.subspaces import covariance_path as compute
from analysis.compute.subspaces.covariance_distances import BURES, LOG, Spread, between, flag, prepared
from analysis.compute.subspaces.covariance_path import on_the_way, spectra_on_the_way
from analysis.errors import InputError, NotEnoughData, ParameterError
from analysis.methods.subspaces import flag_map as map_module
from analysis.methods.subspaces import spectrum_path as module
from analysis.methods.subspaces.flag_map import FlagMapParams, flag_map
from analysis.methods.subspaces.spectrum_path import SpectrumPathParams, spectrum_path

FEW = settings(max_examples=12, deadline=None)
seeds = given(st.integers(0, 10**6))
PLACES = (0.0, 0.25, 0.5, 1.0)


def spread(rng, d=5, rank=None):
    x = rng.standard_normal((rank or 3 * d, d)) * 0.7 ** np.arange(d)
    return Spread.of(x.T @ x)


def length(name, a, b):
    return between(name, prepared(name, a), prepared(name, b))


def of(matrix):
    """As a spread, its trace kept."""
    values, axes = np.linalg.eigh(matrix)
    return Spread(matrix, np.maximum(values[::-1], 0), axes[:, ::-1])


# ---------------------------------------------------------------------------- geodesics
@FEW
@seeds
@pytest.mark.parametrize("name", [BURES, LOG])
def test_it_is_a_geodesic(name, seed):
    """Distances along it are those of the places, and its ends are the ends."""
    rng = np.random.default_rng(seed)
    a, b = spread(rng), spread(rng)
    way = on_the_way(name, a, b, PLACES)
    np.testing.assert_allclose(way[0], a.matrix, atol=1e-9)
    np.testing.assert_allclose(way[-1], b.matrix, atol=1e-9)
    whole = length(name, a, b)
    for i, s in enumerate(PLACES):
        for j, t in enumerate(PLACES):
            assert length(name, of(way[i]), of(way[j])) == pytest.approx(abs(s - t) * whole, abs=1e-6)


@FEW
@seeds
def test_bures_is_the_formula_of_optimal_transport(seed):
    """A second implementation: T = A^-½ (A^½ B A^½)^½ A^-½, Σ_t = ((1-t) I + t T) A ((1-t) I + t T)."""
    rng = np.random.default_rng(seed)
    a, b = spread(rng), spread(rng)
    root = np.real(sqrtm(a.matrix))
    inverse = np.linalg.inv(root)
    t_map = inverse @ np.real(sqrtm(root @ b.matrix @ root)) @ inverse
    for t, found in zip(PLACES, on_the_way(BURES, a, b, PLACES), strict=True):
        move = (1 - t) * np.eye(5) + t * t_map
        np.testing.assert_allclose(found, move @ a.matrix @ move, atol=1e-7)
        assert np.trace(found) == pytest.approx(1 - t * (1 - t) * length(BURES, a, b) ** 2)


@FEW
@seeds
def test_log_euclidean_is_scipys_and_keeps_determinants_on_a_line(seed):
    rng = np.random.default_rng(seed)
    a, b = spread(rng), spread(rng)
    for t, found in zip(PLACES, on_the_way(LOG, a, b, PLACES), strict=True):
        np.testing.assert_allclose(found, expm((1 - t) * logm(a.matrix) + t * logm(b.matrix)), atol=1e-8)
        ends = [np.linalg.slogdet(s.matrix)[1] for s in (a, b)]
        assert np.linalg.slogdet(found)[1] == pytest.approx((1 - t) * ends[0] + t * ends[1])


@FEW
@seeds
@pytest.mark.parametrize("name", [BURES, LOG])
def test_a_joint_rotation_changes_no_spectrum_and_the_way_back_is_the_way(name, seed):
    rng = np.random.default_rng(seed)
    a, b = spread(rng), spread(rng)
    q = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    here = spectra_on_the_way(name, a, b, PLACES)
    np.testing.assert_allclose(spectra_on_the_way(name, a.turned(q), b.turned(q), PLACES), here, atol=1e-9)
    back = spectra_on_the_way(name, b, a, [1 - t for t in PLACES])
    np.testing.assert_allclose(back, here, atol=1e-9)
    alone = spectra_on_the_way(name, a, a.turned(q), PLACES)
    assert abs(alone[2] - alone[0]).max() > 1e-4  # but turning one alone does


@FEW
@seeds
def test_transport_turns_what_logarithms_mix(seed):
    rng = np.random.default_rng(seed)
    lines = [Spread.of(np.outer(v, v)) for v in rng.standard_normal((2, 5))]
    for values in spectra_on_the_way(BURES, *lines, PLACES):
        assert values[1:].max() < 1e-9 * max(values[0], 1e-9)
    a, b = spread(rng), spread(rng)
    wide = [np.log(values).std() for values in spectra_on_the_way(LOG, a, b, PLACES)]
    assert wide[2] <= (wide[0] + wide[3]) / 2 + 1e-12


def test_covariances_of_low_rank_have_a_way():
    rng = np.random.default_rng(0)
    a, b = spread(rng, rank=2), spread(rng, rank=2)
    way = on_the_way(BURES, a, b, PLACES)
    assert np.linalg.matrix_rank(way[2], tol=1e-9) <= 4
    assert length(BURES, a, of(way[2])) == pytest.approx(length(BURES, a, b) / 2, abs=1e-6)


@FEW
@seeds
def test_a_covariance_is_its_flag(seed):
    """Σ = Σ_i (λ_i - λ_{i+1}) P_i, equal eigenvalues taken as one."""
    one = spread(np.random.default_rng(seed))
    steps = [weight * one.axes[:, :k] @ one.axes[:, :k].T for k, weight in flag(one)]
    np.testing.assert_allclose(np.sum(steps, axis=0), one.matrix, atol=1e-15 * 5)
    tied = Spread.of(np.diag([3.0, 1.0, 1.0, 1.0]))
    assert [k for k, _ in flag(tied)] == [1, 4]


# ---------------------------------------------------------------------------- spectrum_path
def taps(rng, count=3, n=120, d=6):
    return [ArrayActivations(rng.standard_normal((n, d)) * (1 + np.arange(d)) ** (0.3 * i), name=f"net:l{i}")
            for i in range(count)]  # fmt: skip


def test_whole_numbers_are_the_taps():
    rng = np.random.default_rng(1)
    given_ = taps(rng)
    found = spectrum_path(*given_, params=SpectrumPathParams(steps=4))
    assert found.x[[0, 4, 8]].tolist() == [0, 1, 2]
    for i, tap in enumerate(given_):
        lam = np.linalg.eigvalsh(np.cov(tap.values, rowvar=False))[::-1]
        for name, k in (("first axis", 1), ("first 2 axes", 2), ("first 4 axes", 4)):
            assert found.series[name][4 * i] == pytest.approx(lam[:k].sum() / lam.sum())
    assert list(found.series) == ["first axis", "first 2 axes", "first 4 axes"]
    for name, line in found.series.items():
        assert (found.low[name] <= line + 1e-12).all()
        assert (found.high[name] >= line - 1e-12).all()


def test_shared_axes_are_told_by_the_length():
    rng = np.random.default_rng(2)
    spectrum = np.array([5, 3, 1, 0.5, 0.2, 0.1])
    x, again = (ArrayActivations(rng.standard_normal((500, 6)) * spectrum) for _ in range(2))
    turned = ArrayActivations(again.values @ np.linalg.qr(rng.standard_normal((6, 6)))[0])
    for path in (BURES, LOG):
        _, same = spectrum_path(x, again, params=SpectrumPathParams(path)).estimates
        assert same.high < same.null_low
        _, other = spectrum_path(x, turned, params=SpectrumPathParams(path)).estimates
        assert other.value > same.high


def test_paths_refuse():
    rng = np.random.default_rng(3)
    x = taps(rng)[0]
    with pytest.raises(NotEnoughData, match="infinite"):
        spectrum_path(x, ArrayActivations(x.values @ np.diag([1, 1, 1, 1, 1, 1e-9])[:, [0, 0, 1, 2, 3, 4]]),
                      params=SpectrumPathParams(LOG))  # fmt: skip
    with pytest.raises(InputError, match="same units"):
        spectrum_path(x, ArrayActivations(x.values[:, :4]))
    with pytest.raises(ParameterError):
        spectrum_path(x)


def test_a_broken_way_fails_the_check(monkeypatch):
    straight = lambda name, a, b, places: [(1 - t) * a.matrix + t * b.matrix for t in places]  # noqa: E731
    monkeypatch.setattr(compute, "on_the_way", straight)
    assert not all(line.passed for line in module._check())


# ---------------------------------------------------------------------------- classical scaling
@FEW
@seeds
def test_points_of_a_plane_come_back_up_to_a_motion(seed):
    points = np.random.default_rng(seed).standard_normal((9, 2))
    distances = squareform(pdist(points))
    found = classical_scaling(distances)
    np.testing.assert_allclose(squareform(pdist(found.positions)), distances, atol=1e-9)
    assert stress(distances, found.positions)[0] < 1e-9
    assert found.shares.sum() == pytest.approx(1)


def test_stress_by_hand_and_points_of_no_flat_space():
    square = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])
    distances = squareform(pdist(square))
    wrong = square.copy()
    wrong[0] = [0, 1]  # on another corner
    drawn = squareform(pdist(wrong))
    upper = np.triu_indices(4, 1)
    by_hand = np.sqrt(((distances - drawn)[upper] ** 2).sum() / (distances[upper] ** 2).sum())
    whole, each = stress(distances, wrong)
    assert whole == pytest.approx(by_hand)
    assert each[3] == pytest.approx(np.sqrt(1 / 4))  # 1, 1, √2: one of them drawn at 0
    cycle = np.array([[0, 1, 2, 1], [1, 0, 1, 2], [2, 1, 0, 1], [1, 2, 1, 0.0]])
    assert classical_scaling(cycle).values.min() < -0.1


def test_exchanged_distances_fit_worse_than_those_of_a_plane():
    rng = np.random.default_rng(4)
    distances = squareform(pdist(rng.standard_normal((10, 2))))
    assert exchanged_stress(distances, 30, rng).min() > 0.1


# ---------------------------------------------------------------------------- flag_map
def test_a_series_is_drawn_in_its_order_and_says_what_it_distorts():
    rng = np.random.default_rng(5)
    found = flag_map(*taps(rng, 5, n=300))
    assert found.of == "taps"
    assert found.edges.tolist() == [[0, 1], [1, 2], [2, 3], [3, 4]]
    first = found.positions[:, 0] * np.sign(found.positions[-1, 0])
    assert (np.diff(first) > 0).all()
    assert found.columns["tap"].tolist() == ["l0", "l1", "l2", "l3", "l4"]
    whole = found.estimates[0]
    assert whole.value < whole.null_low
    assert "distorts" in found.reading
    np.testing.assert_allclose(found.edge_values, found.columns["distance to the next"][:-1])


def test_three_taps_lie_in_a_plane_and_that_is_no_finding():
    found = flag_map(*taps(np.random.default_rng(6)))
    assert found.estimates[0].value < 1e-7
    assert any("no finding" in c for c in found.caveats)


def test_maps_refuse():
    x = taps(np.random.default_rng(7))[0]
    with pytest.raises(InputError, match="same covariance"):
        flag_map(x, ArrayActivations(2 * x.values), ArrayActivations(x.values + 1))
    flat = ArrayActivations(np.hstack([x.values, x.values]))
    with pytest.raises(NotEnoughData, match="infinite"):
        flag_map(flat, flat, flat, params=FlagMapParams(LOG))


def test_a_broken_map_fails_the_check(monkeypatch):
    right = classical_scaling
    monkeypatch.setattr(map_module, "classical_scaling", lambda distances, k=2: right(distances**2, k))
    assert not all(line.passed for line in map_module._check())
