"""LiDAR: generalised eigenvalues by SciPy, published facts, invariances, nulls, intervals, refusals, broken code."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import eigh, sqrtm

from analysis.activations import ArrayActivations, Layout
from analysis.compute.linear import lidar as compute
from analysis.compute.linear.spectra import entropy_rank
from analysis.errors import InputError, NotEnoughData, NotFound
from analysis.methods.rank import lidar as module
from analysis.methods.rank import lidar_directions as directions_module
from analysis.methods.rank.lidar import ABSOLUTE, VIEWS, LidarParams, lidar
from analysis.methods.rank.lidar_directions import LidarDirectionsParams, lidar_directions

FEW = settings(max_examples=15, deadline=None)


def tap(x, of, layout=None):
    return ArrayActivations(x, samples={"label": np.asarray(of)}, layout=layout)


def items(rng, count=300, q=10, d=8, spread=0.3):
    of = np.repeat(np.arange(count), q)
    return rng.standard_normal((count, d))[of] + spread * rng.standard_normal((count * q, d)), of


def covariances(x, of):
    """Both by their definitions, class by class."""
    groups = [x[of == c] for c in np.unique(of)]
    means = np.array([g.mean(axis=0) for g in groups])
    within = sum((g - g.mean(axis=0)).T @ (g - g.mean(axis=0)) for g in groups) / (len(x) - len(groups))
    centred = means - means.mean(axis=0)
    return centred.T @ centred / len(groups), within


# ---------------------------------------------------------------------------- a second implementation
@FEW
@given(st.integers(0, 10**6), st.sampled_from([0.0, 1e-4, 0.1]), st.booleans())
def test_eigenvalues_are_the_generalised_ones(seed, ridge, uneven):
    rng = np.random.default_rng(seed)
    x, of = items(rng, count=12, q=6, d=5)
    if uneven:
        stay = (rng.random(len(of)) < 0.7) | (np.arange(len(of)) % 6 < 3)
        x, of = x[stay], of[stay]
    found = lidar(tap(x * 7 + 100, of), LidarParams(ridge=ridge))
    between, within = covariances(x * 7, of)
    noise = within + ridge * np.trace(within) / 5 * np.eye(5)
    expected = eigh(between, noise, eigvals_only=True)[::-1]
    np.testing.assert_allclose(found.values, expected, rtol=1e-8)
    root = np.linalg.inv(sqrtm(noise).real)
    value = np.linalg.eigvalsh(root @ between @ root)
    p = value / value.sum()
    assert found.estimates[0].value == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-8)


def test_the_absolute_ridge_is_added_as_it_is(rng):
    x, of = items(rng, count=12, q=6, d=5)
    found = lidar(tap(x, of), LidarParams(ridge=0.5, ridge_is=ABSOLUTE))
    between, within = covariances(x, of)
    expected = eigh(between, within + 0.5 * np.eye(5), eigvals_only=True)[::-1]
    np.testing.assert_allclose(found.values, expected, rtol=1e-8)


def test_directions_have_unit_variance_within_and_the_eigenvalue_between(rng):
    x, of = items(rng, count=15, q=8, d=6)
    between, within = covariances(x, of)
    found = compute.between_spectrum(compute.classes_of(x, of, 15), 0.01)
    w = found.directions
    np.testing.assert_allclose(w @ (within + 0.01 * np.eye(6)) @ w.T, np.eye(6), atol=1e-9)
    np.testing.assert_allclose(w @ between @ w.T, np.diag(found.values), atol=1e-9 * found.values[0])


# ---------------------------------------------------------------------------- published facts
def test_pure_noise_doubles_the_plain_rank_and_leaves_lidar(rng):
    x, of = items(rng, count=800, spread=0.1)
    noisy = np.hstack([x, 1.05 * rng.standard_normal((len(x), 8))])
    one, both = (lidar(tap(v, of), LidarParams(classes_are=VIEWS)).estimates for v in (x, noisy))
    assert one[0].value == pytest.approx(7.95, abs=0.06)
    assert both[0].value == pytest.approx(one[0].value, abs=0.1)
    assert one[4].value == pytest.approx(7.95, abs=0.06)
    assert both[4].value > 15.5


@FEW
@given(st.integers(0, 10**6))
def test_without_a_ridge_any_invertible_map_leaves_it(seed):
    rng = np.random.default_rng(seed)
    x, of = items(rng, count=40, q=8, d=6)
    a = rng.standard_normal((6, 6))
    if np.linalg.cond(a) > 1e4:
        return
    one, other = (lidar(tap(v, of), LidarParams(ridge=0.0)).estimates for v in (x, x @ a + 5))
    assert other[0].value == pytest.approx(one[0].value, abs=1e-6)
    assert np.linalg.cond(a) < 3 or abs(other[4].value - one[4].value) > 0.05


@FEW
@given(st.integers(0, 10**6), st.floats(1e-3, 1e3))
def test_with_the_relative_ridge_rotation_shift_and_scale_leave_it(seed, scale):
    rng = np.random.default_rng(seed)
    x, of = items(rng, count=20, q=6, d=5)
    turn = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    one, other = (
        lidar(tap(v, of), LidarParams(ridge=0.3)).estimates[0].value for v in (x, scale * x @ turn + 9)
    )
    assert other == pytest.approx(one, rel=1e-8)


@pytest.mark.parametrize("count", [3, 5, 9])
def test_it_is_at_most_units_and_classes_less_one(rng, count):
    x, of = items(rng, count=count, q=10, d=6)
    found = lidar(tap(x, of))
    assert len(found.values) == min(6, count - 1)
    assert (
        1
        <= found.estimates[0].low
        <= found.estimates[0].value
        <= found.estimates[0].high
        <= min(6, count - 1)
    )
    assert any("allow at most" in c for c in found.caveats) == (count - 1 < 6)


def test_equal_eigenvalues_give_exactly_d():
    cross = np.vstack([np.eye(4), -np.eye(4)])
    x = (10 * cross[:, None] + cross[None]).reshape(-1, 4)
    assert lidar(tap(x, np.repeat(np.arange(8), 8))).estimates[0].value == pytest.approx(4, abs=1e-9)


def test_it_is_not_the_rank_of_squared_eigenvalues(rng):
    """The mistake of a published package: the covariance of Σ instead of Σ."""
    of = np.repeat(np.arange(60), 10)
    x = (rng.standard_normal((60, 8)) * np.linspace(1, 5, 8))[of] + rng.standard_normal((600, 8))
    found = lidar(tap(x, of))
    assert found.estimates[0].value == pytest.approx(entropy_rank(found.values), rel=1e-12)
    assert entropy_rank(found.values**2) < 0.8 * found.estimates[0].value


# ---------------------------------------------------------------------------- null and interval
def test_the_cheap_exchange_is_the_direct_one(rng):
    x, of = items(rng, count=9, q=7, d=4)
    x = x - x.mean(axis=0)
    moved = rng.permutation(of)
    one, other = compute.exchanged(x, x.T @ x, moved, 9), compute.classes_of(x, moved, 9)
    np.testing.assert_allclose(one.within, other.within, atol=1e-10)
    np.testing.assert_allclose(one.means, other.means, atol=1e-12)


def test_exchanged_labels_give_a_high_value_and_eigenvalues_of_one_over_q(rng):
    x, of = items(rng, count=200, q=20, d=6)
    found = lidar(tap(x, of), LidarParams(classes_are=VIEWS))
    assert found.null.mean() == pytest.approx(1 / 20, rel=0.05)
    assert found.estimates[0].null > 5.8
    assert found.estimates[3].value == 6


def test_labels_without_meaning_are_rarely_called_significant():
    hits = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        x, of = rng.standard_normal((90, 4)), np.repeat(np.arange(15), 6)
        hits += lidar(tap(x, of), rng=rng).estimates[2].p_value <= 0.05
    assert hits <= 9  # 3 expected; more than 9 has a chance of 0.1 %


def test_the_jackknife_sees_the_spread_over_items():
    """Standard error of ln LiDAR against its deviation over 60 draws of items, within a factor of 1.5."""
    values, halves = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        of = np.repeat(np.arange(80), 5)
        x = (rng.standard_normal((80, 5)) * [5, 3, 2, 1, 1])[of] + rng.standard_normal((400, 5))
        e = lidar(tap(x, of), rng=rng).estimates[0]
        values.append(np.log(e.value))
        halves.append(np.log(e.high / e.value))
    ratio = np.mean(halves) / 2.26 / np.std(values)
    assert 1 / 1.5 < ratio < 1.5


# ---------------------------------------------------------------------------- what is said
def test_what_is_said(rng):
    x, of = items(rng, count=20, q=4, d=5)
    supervised, views = lidar(tap(x, of)), lidar(tap(x, of), LidarParams(classes_are=VIEWS))
    assert any("supervised" in c for c in supervised.caveats)
    assert not any("supervised" in c for c in views.caveats)
    assert any("4 samples in the middle" in c for c in views.caveats)
    doubled = lidar(tap(np.hstack([x, x[:, :2]]), of))
    assert any("In 2 of 7 directions" in c and "ridge decides" in c for c in doubled.caveats)
    lone = np.append(x, x[:1], axis=0)
    assert any("1 class(es) with fewer than 2" in c for c in lidar(tap(lone, np.append(of, 99))).caveats)
    flat = np.hstack([x, np.ones((len(x), 1))])
    assert any("1 constant unit" in c for c in lidar(tap(flat, of)).caveats)


def test_where_the_ridge_decides_the_reading_says_so(rng):
    of = np.repeat(np.arange(30), 6)
    x = rng.standard_normal((30, 6))[of] + rng.standard_normal((180, 6)) * np.logspace(0, -3, 6)
    assert "ridge decides" in lidar(tap(x, of)).reading
    x, of = items(rng, count=30, q=6, d=6)
    assert "ridge decides" not in lidar(tap(x, of)).reading


def test_tokens_are_pooled(rng):
    x, of = items(rng, count=12, q=5, d=3)
    parts = np.repeat(x, 2, axis=0) + np.tile([[0.5], [-0.5]], (60, 1))
    layout = Layout(np.arange(61) * 2)
    assert lidar(tap(parts, of, layout)).estimates[0].value == pytest.approx(
        lidar(tap(x, of)).estimates[0].value
    )


# ---------------------------------------------------------------------------- refusals
def test_refusals(rng):
    x, of = items(rng, count=12, q=5, d=6)
    with pytest.raises(NotFound, match="views"):
        lidar(tap(x, of), LidarParams(column="views"))
    with pytest.raises(NotEnoughData, match="2 classes with two samples"):
        lidar(tap(x[:10], of[:10]))
    with pytest.raises(NotEnoughData, match="rank 4 at most"):
        lidar(tap(x[:8], np.repeat(np.arange(4), 2)))
    with pytest.raises(NotEnoughData, match="two such classes"):
        lidar(tap(x, np.arange(60)))
    with pytest.raises(InputError, match="all equal"):
        lidar(tap(x[np.repeat(np.arange(12) * 5, 5)], of))
    with pytest.raises(InputError, match="does not vary within"):
        lidar(tap(np.hstack([x, x[:, :1]]), of), LidarParams(ridge=0.0))
    with pytest.raises(InputError, match=r"1 unit\(s\)"):
        lidar(tap(x[:, :1], of))


# ---------------------------------------------------------------------------- directions
def test_ends_are_the_classes_with_extreme_means(rng):
    x, of = items(rng, count=20, q=6, d=4)
    found = lidar_directions(tap(x, of), LidarDirectionsParams(number=3))
    w = compute.between_spectrum(compute.classes_of(x, of, 20), 0.0)
    values = lidar(tap(x, of)).values
    np.testing.assert_allclose([e.value for e in found.estimates], values, rtol=1e-8)
    along = x @ w.directions[0]
    means = np.array([along[of == c].mean() for c in range(20)])
    order = np.argsort(means)
    ends = {end: of[found.groups[f"direction 1, {end}"]] for end in ("high", "low")}
    given = [set(ends["high"]), set(ends["low"])]
    assert set(order[:3]) in given
    assert set(order[-3:]) in given
    for end in ("high", "low"):
        for row in found.groups[f"direction 1, {end}"]:
            mine = np.flatnonzero(of == of[row])
            assert np.abs(along[row] - means[of[row]]) <= np.abs(along[mine] - means[of[row]]).min() + 1e-6


# ---------------------------------------------------------------------------- broken code
def _squared(found, delta):
    right = BETWEEN(found, delta)
    return dataclasses.replace(right, values=right.values**2)


def _blind(found, delta):
    return BETWEEN(dataclasses.replace(found, within=np.eye(len(found.within))), delta)


BETWEEN = compute.between_spectrum


@pytest.mark.parametrize(
    ("checked", "where", "name", "broken"),
    [
        (module, module, "between_spectrum", _squared),
        (module, module, "between_spectrum", _blind),
        (module, compute, "exchanged", lambda x, total, of, c: compute.classes_of(x, np.sort(of), c)),
        (directions_module, directions_module, "between_spectrum", _blind),
        (directions_module, directions_module, "_ends", lambda a, of, c: _shuffled(a, of, c)),
    ],
)
def test_the_check_fails_on_broken_code(monkeypatch, checked, where, name, broken):
    check = checked.METHODS[0].check
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in check())


ENDS = directions_module._ends


def _shuffled(along, of, classes):
    means, order, best = ENDS(along, of, classes)
    return means, np.random.default_rng(0).permutation(order), best
