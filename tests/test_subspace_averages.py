"""Averages of subspaces and distances between flags: optima, identities, second implementations, planted cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import logm, sqrtm, subspace_angles

from analysis.activations import ArrayActivations
from analysis.compute.similarity import covariance_grid
from analysis.compute.subspaces import average_members, averages, covariance_distances
from analysis.compute.subspaces.averages import (
    all_chordal,
    chordal_to,
    classical_scaling,
    mean_subspace,
    median_subspace,
)
from analysis.compute.subspaces.covariance_distances import (
    AFFINE,
    BURES,
    LOG,
    NAMES,
    Spread,
    between,
    flag,
    prepared,
    turned_at_random,
)
from analysis.compute.subspaces.random_subspaces import random_basis
from analysis.errors import InputError, NotEnoughData, ParameterError
from analysis.methods.subspaces import average_subspace as average_module
from analysis.methods.subspaces import flag_distances as flag_module
from analysis.methods.subspaces.average_subspace import RANDOM, AverageSubspaceParams, average_subspace
from analysis.methods.subspaces.flag_distances import FlagDistancesParams, flag_distances

seeds = st.integers(0, 2**31)


def near(rng, count, d=12, k=3, turn=0.3):
    centre = random_basis(d, k, rng)
    return centre, [np.linalg.qr(centre + turn * rng.standard_normal((d, k)))[0] for _ in range(count)]


def tap(rng, basis, n=300, noise=0.1):
    d, k = basis.shape
    return ArrayActivations(5 * rng.standard_normal((n, k)) @ basis.T + noise * rng.standard_normal((n, d)))


# ---------------------------------------------------------------------------- mean and median
@given(seed=seeds)
@settings(max_examples=20, deadline=None)
def test_chordal_distance_three_ways(seed):
    rng = np.random.default_rng(seed)
    x, y = random_basis(9, 3, rng), random_basis(9, 3, rng)
    squared = float(chordal_to(x, [y])[0] ** 2)
    assert 0.5 * np.linalg.norm(x @ x.T - y @ y.T) ** 2 == pytest.approx(squared, rel=1e-12)
    assert (np.sin(subspace_angles(x, y)) ** 2).sum() == pytest.approx(squared, rel=1e-9)
    assert 3 - np.linalg.norm(x.T @ y) ** 2 == pytest.approx(squared, rel=1e-9)


def test_the_mean_beats_5000_random_subspaces_and_2000_near_ones(rng):
    _, members = near(rng, 6, turn=0.6)
    mean = mean_subspace(members)
    cost = (chordal_to(mean.basis, members) ** 2).sum()
    stacked = np.hstack(members)

    def costs(bases):
        return 6 * 3 - np.array([np.linalg.norm(stacked.T @ b) ** 2 for b in bases])

    assert costs([mean.basis])[0] == pytest.approx(cost)
    assert costs(random_basis(12, 3, rng) for _ in range(5000)).min() > cost
    moved = (
        np.linalg.qr(mean.basis + 10 ** rng.uniform(-3, -0.5) * rng.standard_normal((12, 3)))[0]
        for _ in range(2000)
    )
    assert costs(moved).min() > cost - 1e-12
    projections = sum(b @ b.T for b in members) / 6
    known = np.linalg.eigh(projections)
    np.testing.assert_allclose(mean.eigenvalues[:12], known[0][::-1][:12], atol=1e-12)
    assert subspace_angles(known[1][:, -3:], mean.basis).max() < 1e-7
    assert 3 - cost / 6 == pytest.approx(mean.eigenvalues[:3].sum())


def test_the_median_has_the_least_sum_of_distances_near_by(rng):
    _, members = near(rng, 7, turn=0.6)
    median = median_subspace(members)
    total = chordal_to(median.basis, members).sum()
    assert total <= chordal_to(mean_subspace(members).basis, members).sum()
    for _ in range(2000):
        moved = np.linalg.qr(median.basis + 10 ** rng.uniform(-3, -0.5) * rng.standard_normal((12, 3)))[0]
        assert chordal_to(moved, members).sum() >= total - 1e-9
    assert median.weights.sum() == pytest.approx(1)


def test_of_several_minima_the_lowest_is_taken():
    """Members that lie apart: what reweighting finds from anywhere is no better, nor is any member itself."""
    for seed in range(6):
        rng = np.random.default_rng(seed)
        members = [random_basis(8, 2, rng) for _ in range(4)]
        total = chordal_to(median_subspace(members).basis, members).sum()
        assert total <= min(chordal_to(b, members).sum() for b in members) + 1e-6
        for _ in range(15):
            other = median_subspace(members, rng.dirichlet(np.ones(4)))
            assert total <= chordal_to(other.basis, members).sum() + 1e-6


@pytest.mark.parametrize("find", [mean_subspace, median_subspace])
@given(seed=seeds)
@settings(max_examples=10, deadline=None)
def test_of_one_of_copies_of_other_bases_and_of_turned_members(find, seed):
    rng = np.random.default_rng(seed)
    _, members = near(rng, 5, d=9, k=2)
    assert chordal_to(find(members[:1]).basis, members[:1])[0] < 1e-9
    assert chordal_to(find([members[0]] * 3).basis, members[:1])[0] < 1e-9
    mixed = [b @ random_basis(2, 2, rng) for b in members]
    assert chordal_to(find(mixed).basis, [find(members).basis])[0] < 1e-5
    turn = random_basis(9, 9, rng)
    assert chordal_to(find([turn @ b for b in members]).basis, [turn @ find(members).basis])[0] < 1e-5


def test_one_random_member_moves_the_median_less_than_the_mean():
    less = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        _, members = near(rng, 8, d=20, turn=0.1)
        odd = [*members[:-1], random_basis(20, 3, rng)]
        moved = [
            chordal_to(find(odd).basis, [find(members).basis])[0] for find in (mean_subspace, median_subspace)
        ]
        less += moved[1] < moved[0]
    assert less == 30


def test_places_have_the_distances_where_two_axes_hold_them(rng):
    points = rng.standard_normal((6, 2))
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    places, share = classical_scaling(apart)
    np.testing.assert_allclose(np.linalg.norm(places[:, None] - places[None], axis=2), apart, atol=1e-9)
    assert share == pytest.approx(1)
    assert classical_scaling(np.zeros((2, 2)))[1] == 1


def test_an_odd_member_is_flagged_and_the_rest_are_not(rng):
    _, members = near(rng, 6, d=24, turn=0.03)
    odd = [*members, random_basis(24, 3, rng)]
    found = average_subspace(*(tap(rng, b) for b in odd), params=AverageSubspaceParams(dimension=3))
    assert found.columns["outlier"].tolist() == [""] * 6 + [RANDOM]
    np.testing.assert_allclose(
        found.columns["to the mean"], chordal_to(mean_subspace(odd).basis, odd), atol=0.05
    )
    fine = average_subspace(*(tap(rng, b) for b in members), params=AverageSubspaceParams(dimension=3))
    assert fine.estimates[4].value == 0
    assert fine.estimates[0].value < 0.5 * fine.estimates[0].null


def test_a_member_apart_from_a_tight_rest_is_far_though_nearer_than_chance(rng):
    centre, members = near(rng, 6, d=24, turn=0.02)
    away = np.linalg.qr(centre + 0.25 * rng.standard_normal((24, 3)))[0]
    found = average_subspace(
        *(tap(rng, b) for b in (*members, away)), params=AverageSubspaceParams(dimension=3)
    )
    assert found.columns["outlier"].tolist() == [""] * 6 + ["far from the others"]


def test_unrelated_members_are_as_far_as_chance(rng):
    found = average_subspace(
        *(tap(rng, random_basis(30, 2, rng)) for _ in range(4)), params=AverageSubspaceParams(dimension=2)
    )
    mean = found.estimates[0]
    assert mean.null_low - 0.1 <= mean.value <= mean.null_high + 0.1
    assert (found.columns["outlier"] == RANDOM).sum() >= 3


def test_the_common_dimension_is_where_all_have_a_gap(rng):
    wide, narrow = random_basis(20, 4, rng), random_basis(20, 2, rng)
    both = np.hstack([narrow, wide - narrow @ (narrow.T @ wide)])
    sizes = np.array([9, 8, 4, 3.5, 3, 2.5])
    noise = [0.1 * rng.standard_normal((300, 20)) for _ in range(2)]
    two = [ArrayActivations(rng.standard_normal((300, 6)) * sizes @ both.T + e) for e in noise]
    found = average_subspace(*two, tap(rng, narrow))
    assert "dimension 2" in found.title
    with pytest.raises(NotEnoughData, match="have a gap"):
        average_subspace(*(rng.standard_normal((60, 8)) for _ in range(2)))
    with pytest.raises(InputError, match="units"):
        average_subspace(two[0], rng.standard_normal((300, 5)), params=AverageSubspaceParams("units"))
    with pytest.raises(ParameterError):
        average_subspace(two[0])
    by_samples = average_subspace(
        two[0],
        ArrayActivations(two[0].values @ rng.standard_normal((20, 7))),
        params=AverageSubspaceParams("samples", 2),
    )
    assert len(by_samples.columns["tap"]) == 2


# ---------------------------------------------------------------------------- flags
def covariance(rng, d=7, spread=6.0):
    basis = random_basis(d, d, rng)
    return basis * np.exp(rng.uniform(-spread / 2, 0, d)) @ basis.T


def test_a_covariance_is_the_weighted_sum_of_its_flag():
    """To 4e-16 as a rule, and never beyond a few roundings of numbers below 1."""
    off = []
    for seed in range(50):
        s = Spread.of(covariance(np.random.default_rng(seed)))
        again = sum(w * s.axes[:, :k] @ s.axes[:, :k].T for k, w in flag(s))
        off.append(np.abs(again - s.matrix).max())
        assert sum(w * k for k, w in flag(s)) == pytest.approx(1)
    assert np.median(off) < 4e-16
    assert max(off) < 1.5e-15


def test_equal_eigenvalues_are_one_step_of_the_flag(rng):
    basis = random_basis(6, 6, rng)
    s = Spread.of(basis * [4.0, 4, 2, 2, 2, 0] @ basis.T)
    assert [k for k, _ in flag(s)] == [2, 5]
    np.testing.assert_allclose([w for _, w in flag(s)], [2 / 14, 2 / 14], atol=1e-15)


@given(seed=seeds)
@settings(max_examples=12, deadline=None)
def test_distances_by_matrix_functions(seed):
    rng = np.random.default_rng(seed)
    a, b = (Spread.of(covariance(rng)) for _ in "ab")
    root = sqrtm(a.matrix).real
    bures = np.trace(a.matrix + b.matrix - 2 * sqrtm(root @ b.matrix @ root).real) ** 0.5
    inverse = np.linalg.inv(root)
    known = {
        BURES: bures, LOG: np.linalg.norm(logm(a.matrix) - logm(b.matrix)),
        AFFINE: np.linalg.norm(logm(inverse @ b.matrix @ inverse)),
    }  # fmt: skip
    for name in NAMES:
        assert between(name, prepared(name, a), prepared(name, b)) == pytest.approx(known[name], rel=1e-6)


@pytest.mark.parametrize("name", NAMES)
@given(seed=seeds)
@settings(max_examples=12, deadline=None)
def test_zero_symmetric_triangle_turned_and_commuting(name, seed):
    rng = np.random.default_rng(seed)

    def distance(a, b):
        return between(name, *(prepared(name, s) for s in (a, b)))

    a, b, c = (Spread.of(covariance(rng)) for _ in "abc")
    assert distance(a, a) < 1e-7
    assert distance(a, b) == pytest.approx(distance(b, a), rel=1e-9)
    assert distance(a, c) <= distance(a, b) + distance(b, c) + 1e-9
    q = random_basis(7, 7, rng)
    assert distance(a.turned(q), b.turned(q)) == pytest.approx(distance(a, b), rel=1e-7)
    lam, mu = (np.sort(rng.dirichlet(np.ones(7)))[::-1] for _ in "ab")
    pair = (Spread((q * v) @ q.T, v, q) for v in (lam, mu))
    known = np.linalg.norm(np.sqrt(lam) - np.sqrt(mu)) if name == BURES else np.linalg.norm(np.log(lam / mu))
    assert distance(*pair) == pytest.approx(known, rel=1e-7)


def test_only_the_affine_invariant_distance_ignores_a_map_of_both(rng):
    a, b, m = covariance(rng), covariance(rng), rng.standard_normal((7, 7))
    seen = {}
    for name in NAMES:
        plain, mapped = (
            between(
                name,
                *(
                    prepared(name, Spread(x, *(lambda e: (e[0][::-1], e[1][:, ::-1]))(np.linalg.eigh(x))))
                    for x in pair
                ),
            )
            for pair in ((a, b), (m @ a @ m.T, m @ b @ m.T))
        )
        seen[name] = abs(mapped / plain - 1) < 1e-6
    assert seen == {BURES: False, LOG: False, AFFINE: True}


def test_of_two_projections_it_is_a_function_of_the_angles(rng):
    x, y = random_basis(9, 3, rng), random_basis(9, 3, rng)
    a, b = (Spread.of(z @ z.T) for z in (x, y))
    known = np.sqrt(2 - 2 * np.cos(subspace_angles(x, y)).mean())
    assert between(BURES, prepared(BURES, a), prepared(BURES, b)) == pytest.approx(known, rel=1e-7)


def test_close_covariances_keep_their_digits(rng):
    s = Spread.of(covariance(rng))
    values = s.values * (1 + 1e-7 * np.arange(7))
    other = Spread((s.axes * values) @ s.axes.T, values, s.axes)
    known = np.linalg.norm(np.sqrt(values) - np.sqrt(s.values))
    assert between(BURES, prepared(BURES, s), prepared(BURES, other)) == pytest.approx(known, rel=1e-5)
    assert known < 1e-5


def test_random_turns_are_those_of_scipy(rng):
    from scipy.stats import ortho_group

    a, b = (Spread.of(covariance(rng)) for _ in "ab")
    for name in NAMES:
        drawn = turned_at_random(name, a, b, 300, rng)
        known = [
            between(name, prepared(name, a), prepared(name, b.turned(q)))
            for q in ortho_group.rvs(7, 300, random_state=1)
        ]
        assert drawn.mean() == pytest.approx(np.mean(known), abs=4 * np.std(known) * np.sqrt(2 / 300))


@pytest.mark.parametrize("name", NAMES)
def test_taps_with_planted_covariances(name, rng):
    x = rng.standard_normal((400, 6)) * [4, 3, 2, 1, 1, 0.5]
    turn = random_basis(6, 6, rng)
    y = x @ turn
    found = flag_distances(x, 3 * x + 1, y, params=FlagDistancesParams(name))
    assert found.values[0, 1] < 1e-6
    known = between(name, *(prepared(name, Spread.of(np.cov(z.T))) for z in (x, y)))
    assert found.values[0, 2] == pytest.approx(known, rel=1e-6)
    assert found.significant[0, 1]
    assert found.low[0, 2] <= known <= found.high[0, 2]
    halves = next(e.value for e in found.estimates if "halves" in e.name)
    assert 0 < halves < known


def test_unrelated_axes_are_as_chance():
    hits = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        x, y = (rng.standard_normal((200, 8)) * np.linspace(4, 1, 8) @ random_basis(8, 8, rng) for _ in "ab")
        hits += bool(flag_distances(x, y).significant[0, 1])
    assert hits <= 4


def test_logarithms_need_full_rank(rng):
    x = rng.standard_normal((20, 30))
    assert np.isfinite(flag_distances(x, x[:, ::-1]).values).all()
    for name in (LOG, AFFINE):
        with pytest.raises(NotEnoughData, match=r"rank 19 of 30 \(20 samples\)"):
            flag_distances(x, x, params=FlagDistancesParams(name))
    y = rng.standard_normal((90, 5))
    dead = y.copy()
    dead[:, 2] = 1.0
    with pytest.raises(NotEnoughData, match="rank 4 of 5"):
        flag_distances(y, dead, params=FlagDistancesParams(LOG))
    both = flag_distances(dead, dead + 1, params=FlagDistancesParams(LOG))
    assert any("1 unit(s) that are constant everywhere" in c for c in both.caveats)
    with pytest.raises(NotEnoughData, match="rank 5 of 10"):
        flag_distances(np.hstack([y, y]), np.hstack([y, y]), params=FlagDistancesParams(AFFINE))
    with pytest.raises(InputError, match="units"):
        flag_distances(y, x)
    with pytest.raises(ParameterError):
        flag_distances(y)


# ---------------------------------------------------------------------------- checks that can fail
def _first(bases, weights=None):
    return averages.Average(bases[0], np.ones(9), np.ones(len(bases)))


def _no_weights(bases):
    return averages.mean_subspace(bases)


@pytest.mark.parametrize(
    ("module", "where", "name", "broken"),
    [
        (average_module, average_members, "mean_subspace", _first),
        (average_module, average_module, "median_subspace", _no_weights),
        (average_module, average_members, "chordal_to", lambda basis, bases: 1.05 * averages.chordal_to(basis, bases)),
        (average_module, average_module, "verdicts", lambda distances, chance: [""] * distances.shape[1]),
        (flag_module, covariance_distances, "_bures", lambda a, b: float(np.linalg.norm(a @ a - b @ b))),
        (flag_module, covariance_grid, "between", lambda name, a, b: float(np.linalg.norm(a - b))),
        (flag_module, covariance_grid, "turned_at_random", lambda name, a, b, m, rng: np.linspace(0.1, 0.2, m)),
        (flag_module, flag_module, "flag", lambda s: [(1, 1.0)]),
    ],
)  # fmt: skip
def test_the_check_fails_on_broken_code(monkeypatch, module, where, name, broken):
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in module.METHODS[0].check())


def test_all_chordal_is_symmetric(rng):
    _, members = near(rng, 4)
    found = all_chordal(members)
    np.testing.assert_allclose(found, found.T, atol=1e-12)
    assert (np.diag(found) < 1e-12).all()
