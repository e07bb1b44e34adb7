"""Distances between subspaces: closed forms, a second implementation, random subspaces, planted taps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import null_space, subspace_angles
from scipy.stats import kstest

from analysis.activations import ArrayActivations, Layout
from analysis.compute.similarity import subspace_grid as grids
from analysis.compute.statistics.sample_groups import jackknife_half
from analysis.compute.subspaces import distances as dist
from analysis.compute.subspaces import random_subspaces, tap_subspaces
from analysis.compute.subspaces.angles import overlap, overlap_by_chance, principal_angles
from analysis.compute.subspaces.random_subspaces import overlap_p, random_angles, random_basis
from analysis.errors import InputError, NotEnoughData, ParameterError
from analysis.methods.subspaces import principal_angle_spectrum as angles_module
from analysis.methods.subspaces import subspace_distances as module
from analysis.methods.subspaces.principal_angle_spectrum import (
    PrincipalAngleSpectrumParams,
    principal_angle_spectrum,
)
from analysis.methods.subspaces.subspace_distances import SubspaceDistancesParams, subspace_distances

NAMES = sorted(dist.DISTANCES)
METRICS = [n for n in NAMES if dist.DISTANCES[n].metric]
seeds = st.integers(0, 2**31)


def between(name, a, b, unequal=dist.INSIDE):
    return float(dist.distance(name, principal_angles(a, b), a.shape[1], b.shape[1], unequal))


def by_matrices(name, a, b):
    """Each distance of one dimension from matrices, without angles."""
    k, product = a.shape[1], a.T @ b
    sizes = np.linalg.svd(product, compute_uv=False)
    volume = abs(np.linalg.det(product))
    p, q = a @ a.T, b @ b.T
    left, _, right = np.linalg.svd(product)
    return (
        {
            "chordal": np.linalg.norm(p - q) / np.sqrt(2),
            "projection": np.linalg.norm(p - q, 2),
            "Procrustes": np.linalg.norm(a @ left - b @ right.T),
            "Binet-Cauchy": np.sqrt(1 - volume**2),
            "Fubini-Study": np.arccos(volume),
            "Martin": np.sqrt(-2 * np.log(volume)),
            "geodesic": np.linalg.norm(subspace_angles(a, b)),
            "Asimov": np.arccos(sizes.min()),
        }[name]
        if k
        else 0.0
    )


# ---------------------------------------------------------------------------- formulas
@pytest.mark.parametrize("name", NAMES)
@given(seed=seeds)
@settings(max_examples=15, deadline=None)
def test_the_same_from_matrices(name, seed):
    rng = np.random.default_rng(seed)
    a, b = random_basis(9, 3, rng), random_basis(9, 3, rng)
    assert between(name, a, b) == pytest.approx(by_matrices(name, a, b), rel=1e-7)


@pytest.mark.parametrize("name", NAMES)
@given(seed=seeds)
@settings(max_examples=15, deadline=None)
def test_zero_symmetric_and_blind_to_the_basis_and_to_turning_both(name, seed):
    rng = np.random.default_rng(seed)
    p, q = rng.integers(1, 5, 2)
    a, b = random_basis(10, p, rng), random_basis(10, q, rng)
    turn, mix = random_basis(10, 10, rng), random_basis(p, p, rng)
    value = between(name, a, b)
    assert value > 1e-3
    assert between(name, b, a) == pytest.approx(value, rel=1e-9)
    assert between(name, turn @ a @ mix, turn @ b) == pytest.approx(value, rel=1e-8)
    assert between(name, a, a @ mix) < 1e-12


@pytest.mark.parametrize("name", METRICS)
@given(seed=seeds)
@settings(max_examples=60, deadline=None)
def test_the_triangle_inequality_within_and_across_dimensions(name, seed):
    rng = np.random.default_rng(seed)
    a, b, c = (random_basis(6, k, rng) for k in rng.integers(1, 5, 3))
    ab, bc, ac = (between(name, *pair, dist.METRIC) for pair in ((a, b), (b, c), (a, c)))
    assert ac <= ab + bc + 1e-12
    a, b, c = (random_basis(6, 3, rng) for _ in range(3))
    assert between(name, a, c) <= between(name, a, b) + between(name, b, c) + 1e-12


def test_martin_and_the_inside_reading_are_no_metrics():
    lines = [np.array([[np.cos(t)], [np.sin(t)]]) for t in (0.0, 0.6, 1.2)]
    assert not dist.DISTANCES["Martin"].metric
    assert between("Martin", lines[0], lines[2]) > between("Martin", *lines[:2]) + between(
        "Martin", *lines[1:]
    )
    known = [np.sqrt(-2 * np.log(np.cos(t))) for t in (1.2, 0.6)]
    assert between("Martin", lines[0], lines[2]) == pytest.approx(known[0])
    assert known[0] > 1.14 * 2 * known[1]
    x, y, plane = np.eye(3)[:, :1], np.eye(3)[:, 1:2], np.eye(3)[:, :2]
    assert between("chordal", x, plane) == between("chordal", plane, y) == 0
    assert between("chordal", x, y) == pytest.approx(1)
    assert between("chordal", x, plane, dist.METRIC) == pytest.approx(1)


@pytest.mark.parametrize("name", NAMES)
def test_inside_is_the_distance_to_the_nearest_subspace_inside_the_larger_one(name, rng):
    a, b = random_basis(8, 2, rng), random_basis(8, 4, rng)
    value = between(name, a, b)
    nearest = np.linalg.qr(b @ (b.T @ a))[0]
    assert between(name, a, nearest) == pytest.approx(value, rel=1e-9)
    others = [between(name, a, b @ random_basis(4, 2, rng)) for _ in range(2000)]
    assert min(others) >= value - 1e-12
    outside = null_space(
        np.hstack([b, a - b @ (b.T @ a)]).T
    )  # and the nearest of the larger dimension that holds a
    rest = b @ null_space((b.T @ nearest).T)
    holding = np.linalg.qr(np.hstack([a, rest]))[0]
    assert between(name, holding, b) == pytest.approx(value, rel=1e-9)
    assert between(name, np.linalg.qr(np.hstack([a, outside[:, :2]]))[0], b) > value


@pytest.mark.parametrize("name", METRICS)
def test_metric_is_the_distance_after_filling_up_with_shared_new_coordinates(name, rng):
    a, b, r = random_basis(6, 2, rng), random_basis(6, 4, rng), 5
    filled = []
    for basis in (a, b):
        k = basis.shape[1]
        wide = np.zeros((6 + r, r))
        wide[:6, :k] = basis
        wide[6 + np.arange(r - k), k + np.arange(r - k)] = 1
        filled.append(wide)
    assert between(name, *filled) == pytest.approx(between(name, a, b, dist.METRIC), rel=1e-9)


def test_the_chordal_metric_is_the_symmetric_directional_distance(rng):
    a, b = random_basis(9, 2, rng), random_basis(9, 5, rng)
    known = np.sqrt(5 - np.linalg.norm(a.T @ b) ** 2)
    assert between("chordal", a, b, dist.METRIC) == pytest.approx(known, rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_small_angles_keep_their_digits_and_right_angles_the_largest_value(name):
    d = dist.DISTANCES[name]
    small = np.array([1e-9, 2e-9])
    linear = 2e-9 if name in ("Asimov", "projection") else np.sqrt(5) * 1e-9
    assert float(d.of(small)) == pytest.approx(linear, rel=1e-6)
    assert float(d.of(np.full(3, np.pi / 2))) == pytest.approx(d.most(3))
    rising = d.of(np.linspace(0, np.pi / 2, 50)[:, None] * np.ones(3))
    assert (np.diff(rising) > 0).all()


# ---------------------------------------------------------------------------- random subspaces
@pytest.mark.parametrize(("p", "q", "d"), [(3, 3, 40), (2, 5, 9), (6, 5, 8), (1, 4, 30), (4, 4, 4)])
def test_random_angles_are_those_of_random_bases(p, q, d):
    rng = np.random.default_rng(0)
    drawn = random_angles(p, q, d, rng, 1500)
    direct = np.array(
        [subspace_angles(random_basis(d, p, rng), random_basis(d, q, rng))[::-1] for _ in range(600)]
    )
    assert drawn.shape == (1500, min(p, q))
    assert (np.diff(drawn, axis=1) >= 0).all()
    np.testing.assert_allclose(drawn.mean(axis=0), direct.mean(axis=0), atol=0.04)
    np.testing.assert_allclose(drawn.std(axis=0), direct.std(axis=0), atol=0.03)


def test_many_units_do_not_cost_more_and_the_mean_overlap_is_the_known_one():
    drawn = overlap(random_angles(8, 5, 100_000, np.random.default_rng(1), 2000))
    mean, deviation = overlap_by_chance(8, 5, 100_000)
    assert drawn.mean() == pytest.approx(mean, abs=5 * deviation / np.sqrt(2000))
    assert drawn.std() == pytest.approx(deviation, rel=0.1)


def test_the_p_of_an_overlap_holds_its_level():
    rng = np.random.default_rng(3)
    for p, q, d in ((1, 4, 20), (3, 3, 30), (5, 7, 10), (10, 4, 200)):
        drawn = random_angles(p, q, d, rng, 4000)
        found = overlap_p(overlap(random_angles(p, q, d, rng, 4000)), p, q, d, drawn)
        assert kstest(found, "uniform").pvalue > 0.001
        few = overlap_p(overlap(drawn), p, q, d, drawn[:50])
        assert (few <= 0.05).mean() < 0.08
    line = overlap_p(0.4, 1, 4, 20, drawn[:0])
    assert line == pytest.approx((np.cos(random_angles(1, 4, 20, rng, 40_000)) ** 2 >= 0.4).mean(), rel=0.15)
    assert overlap_p(1.0, 3, 3, 3, drawn) == 1  # it cannot be otherwise


# ---------------------------------------------------------------------------- taps
def planted(rng, basis, sizes, n=600, noise=0.02):
    d, k = basis.shape
    return (rng.standard_normal((n, k)) * sizes) @ basis.T + noise * rng.standard_normal((n, d)) + 3.0


def taps_of(rng, *dims, d=14):
    return [
        ArrayActivations(planted(rng, random_basis(d, k, rng), np.linspace(5, 4, k)), name=f"net:t{k}")
        for k in dims
    ]


def test_planted_subspaces_are_cut_at_their_dimension_and_compared_as_their_bases(rng):
    a, b = random_basis(14, 3, rng), random_basis(14, 5, rng)
    taps = [ArrayActivations(planted(rng, x, 4.0, noise=1e-4)) for x in (a, b)]
    found = subspace_distances(*taps)
    assert [e.value for e in found.estimates[-2:]] == [3, 5]
    angles = np.sort(subspace_angles(a, b))
    assert found.values[0, 1] == pytest.approx((np.cos(angles) ** 2).mean(), abs=1e-3)
    shown = [e.value for e in found.estimates if e.name.startswith("principal angle")]
    np.testing.assert_allclose(shown, np.degrees(angles), atol=0.05)
    assert found.null[0, 1] == pytest.approx(5 / 14)
    curve = principal_angle_spectrum(*taps)
    np.testing.assert_allclose(curve.series["principal angles"], np.degrees(angles), atol=0.05)


@pytest.mark.parametrize("name", NAMES)
def test_every_distance_is_that_of_the_bases(name, rng):
    a, b = random_basis(12, 3, rng), random_basis(12, 3, rng)
    found = subspace_distances(
        *(planted(rng, x, 4.0, noise=1e-4) for x in (a, b)),
        params=SubspaceDistancesParams(measure=name, dimension=3),
    )
    assert found.values[0, 1] == pytest.approx(between(name, a, b), abs=2e-3)
    assert found.values[0, 0] == 0


@given(seed=seeds)
@settings(max_examples=8, deadline=None)
def test_what_is_ignored(seed):
    rng = np.random.default_rng(seed)
    x, y = (planted(rng, random_basis(10, 2, rng), [5, 4], n=120) for _ in "ab")
    turn, own = random_basis(10, 10, rng), random_basis(10, 10, rng)
    for space in ("units", "samples"):
        asked = SubspaceDistancesParams("chordal", space, 2)
        value = subspace_distances(x, y, params=asked).values[0, 1]
        both = subspace_distances(3 * x @ turn + 1, y @ turn - 4, params=asked).values[0, 1]
        assert both == pytest.approx(value, abs=1e-7)
        alone = subspace_distances(x @ own, y, params=asked).values[0, 1]
        assert (abs(alone - value) < 1e-7) == (space == "samples")


def test_subspaces_of_samples_are_those_of_the_left_singular_vectors(rng):
    s = rng.standard_normal((80, 3)) * [6, 5, 4]
    x = s @ random_basis(9, 3, rng).T + 0.01 * rng.standard_normal((80, 9))
    y = (s[:, :2] + rng.standard_normal((80, 2))) @ random_basis(17, 2, rng).T + 0.01 * rng.standard_normal(
        (80, 17)
    )
    found = subspace_distances(x, y, params=SubspaceDistancesParams("geodesic", "samples"))
    left = [np.linalg.svd(z - z.mean(axis=0), full_matrices=False)[0][:, :k] for z, k in ((x, 3), (y, 2))]
    assert found.values[0, 1] == pytest.approx(np.linalg.norm(subspace_angles(*left)), rel=1e-8)
    plain = subspace_distances(x, y, params=SubspaceDistancesParams(space="samples"))
    assert plain.null[0, 1] == pytest.approx(3 / 79)


def test_leaving_samples_out_is_finding_the_axes_anew(rng):
    for n, d in ((60, 7), (30, 45)):
        x = rng.standard_normal((n, d)) * np.linspace(4, 1, d)
        groups = [np.arange(i, n, 3) for i in range(3)]
        for g, found in zip(groups, tap_subspaces.axes_without(x, 2, groups), strict=True):
            kept = np.delete(x, g, axis=0)
            known = np.linalg.svd(kept - kept.mean(axis=0))[2][:2].T
            assert principal_angles(known, found).max() < 1e-7


def test_an_interval_covers_and_falls_as_samples_grow(rng):
    a = random_basis(12, 2, rng)
    b = np.linalg.qr(a + 0.2 * rng.standard_normal((12, 2)))[0]
    truth, widths = (np.cos(subspace_angles(a, b)) ** 2).mean(), []
    for n in (100, 1600):
        taps = [planted(rng, x, [3, 2.5], n=n, noise=0.5) for x in (a, b)]
        found = subspace_distances(*taps, params=SubspaceDistancesParams(dimension=2))
        assert found.low[0, 1] - 0.01 <= truth <= found.high[0, 1] + 0.01
        widths.append(found.high[0, 1] - found.low[0, 1])
    assert widths[1] < 0.6 * widths[0]


def test_unrelated_subspaces_are_rarely_beyond_chance():
    hits = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        taps = [planted(rng, random_basis(15, 3, rng), [5, 4, 3], n=80) for _ in "ab"]
        hits += bool(subspace_distances(*taps, params=SubspaceDistancesParams(dimension=3)).significant[0, 1])
    assert hits <= 6


def test_a_shared_part_is_beyond_chance_in_every_measure(rng):
    a = random_basis(30, 3, rng)
    b = np.linalg.qr(a + 0.05 * rng.standard_normal((30, 3)))[0]
    for name in ("overlap", *NAMES):
        found = subspace_distances(
            *(planted(rng, x, [5, 4, 3]) for x in (a, b)),
            params=SubspaceDistancesParams(measure=name, dimension=3),
        )
        assert found.significant[0, 1], name
        assert found.estimates[0].p_value < 0.01


def test_tokens_are_pooled_and_samples_matched_by_id(rng):
    x = planted(rng, random_basis(6, 2, rng), [4, 3], n=90)
    tokens = np.repeat(x, 2, axis=0) + np.tile([[1.0], [-1.0]], (90, 6))
    order = rng.permutation(90)
    one = ArrayActivations(
        tokens, "a", {"id": np.array([f"s{i}" for i in range(90)])}, Layout(np.arange(0, 181, 2))
    )
    other = ArrayActivations(x[order], "b", {"id": np.array([f"s{i}" for i in order])})
    found = subspace_distances(one, other, params=SubspaceDistancesParams("chordal", "samples", 2))
    assert found.values[0, 1] < 1e-7


def test_an_automatic_cut_passes_by_the_direction_that_a_normalisation_took(rng):
    x = rng.standard_normal((400, 10)) * np.array([9, 8, *np.linspace(1.3, 1, 8)])
    x -= x.mean(axis=1, keepdims=True)  # one direction is gone: an infinite gap behind all of the variance
    x += 1e-6 * rng.standard_normal(x.shape)
    assert subspace_distances(x, x + 1).estimates[-1].value == 2


def test_one_more_axis_needs_a_gap(rng):
    x = rng.standard_normal((200, 8)) * np.array([6, 5, 1, 1, 1, 1, 1, 1])
    with pytest.raises(NotEnoughData, match="not told apart"):
        subspace_distances(x, x, params=SubspaceDistancesParams(dimension=4))
    with pytest.raises(NotEnoughData, match="told apart"):
        subspace_distances(rng.standard_normal((50, 8)), x)


def test_refusals(rng):
    x, wide = taps_of(rng, 2)[0], ArrayActivations(planted(rng, random_basis(20, 2, rng), [5, 4]))
    with pytest.raises(InputError, match=r"14 units.*20.*samples instead"):
        subspace_distances(x, wide, params=SubspaceDistancesParams(space="units"))
    found = subspace_distances(x, wide)
    assert "Compared are subspaces of the samples." in found.caveats
    assert np.isfinite(
        subspace_distances(x, wide, params=SubspaceDistancesParams(space="samples")).values
    ).all()
    with pytest.raises(ParameterError, match="one of the two"):
        subspace_distances(x, x, params=SubspaceDistancesParams(dimension=2, share=0.5))
    with pytest.raises(ParameterError, match="1 tap"):
        subspace_distances(x)
    with pytest.raises(NotEnoughData):
        subspace_distances(x.values[:5], x.values[:5])
    with pytest.raises(InputError, match="infinite"):
        subspace_distances(*taps_of(rng, 2, 3), params=SubspaceDistancesParams("Martin", unequal="metric"))
    with pytest.raises(ParameterError, match="one of the two"):
        principal_angle_spectrum(x, x, params=PrincipalAngleSpectrumParams(dimension=2, share=0.5))


def test_odd_but_possible_input(rng):
    x = planted(rng, random_basis(6, 2, rng), [5, 4], n=40)
    for a in (
        np.hstack([x, np.zeros((40, 3))]),  # constant units
        np.hstack([x, x]),  # duplicated units
        x @ rng.standard_normal((6, 300)),  # many more units than samples
        x.astype(np.float16),
        x.astype(np.float32),
    ):
        found = subspace_distances(a, a, params=SubspaceDistancesParams("chordal", dimension=2))
        assert found.values[0, 1] < 1e-6
        assert np.isfinite(found.null).any()
    still = subspace_distances(np.hstack([x, np.zeros((40, 3))]), np.hstack([x, np.zeros((40, 3))]))
    assert any("3 unit(s) that are constant" in c for c in still.caveats)
    assert still.estimates[0].d == 6


def test_forced_zero_angles_are_said_and_belong_to_the_null(rng):
    x, y = (planted(rng, random_basis(5, 4, rng), [5, 4.5, 4, 3.5]) for _ in "ab")
    found = principal_angle_spectrum(x, y, params=PrincipalAngleSpectrumParams(dimension=4))
    assert any("3 angle(s) are 0 whatever" in c for c in found.caveats)
    assert (found.null["principal angles"][:3] < 1e-4).all()


def test_angles_have_bands_and_a_null_that_unrelated_ones_fall_into(rng):
    x, y = (planted(rng, random_basis(40, 4, rng), [5, 4.5, 4, 3.5]) for _ in "ab")
    found = principal_angle_spectrum(x, y, params=PrincipalAngleSpectrumParams(dimension=4))
    name, free = "principal angles", "random subspaces"
    assert (found.low[name] <= found.series[name]).all()
    assert (found.series[name] <= found.high[name]).all()
    inside = (found.low[free] - 3 <= found.series[name]) & (found.series[name] <= found.high[free] + 3)
    assert inside.all()
    assert found.estimates[2].null == pytest.approx(4 / 40)


def test_the_jackknife_of_a_matrix_is_that_of_its_series(rng):
    taps = taps_of(rng, 2, 2)
    kept = tap_subspaces.tap_subspaces(taps, np.random.default_rng(0), dimension=2)
    a, b = kept.members
    series = np.array([overlap(principal_angles(x, y)) for x, y in zip(a.bases, b.bases, strict=True)])
    found = subspace_distances(
        *taps, params=SubspaceDistancesParams(dimension=2), rng=np.random.default_rng(0)
    )
    assert found.high[0, 1] - found.values[0, 1] == pytest.approx(float(jackknife_half(series[1:])), rel=1e-9)


# ---------------------------------------------------------------------------- checks that can fail
BROKEN = [
    (grids, "overlap_by_chance", lambda p, q, d: (0.5, 0.1)),
    (grids, "principal_angles", lambda a, b: 1.01 * principal_angles(a, b)),
    (tap_subspaces, "left_basis", lambda x, basis: np.linalg.qr(x @ basis[:, ::-1] ** 2)[0]),
]


@pytest.mark.parametrize(("where", "name", "broken"), BROKEN)
def test_the_check_fails_on_broken_code(monkeypatch, where, name, broken):
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in module.METHODS[0].check())


@pytest.mark.parametrize("distance", NAMES)
def test_the_check_fails_on_a_wrong_distance(monkeypatch, distance):
    right = dist.DISTANCES[distance]
    wrong = dist.Distance(right.name, right.formula, lambda a: 1.01 * right.of(a), right.most)
    monkeypatch.setitem(dist.DISTANCES, distance, wrong)
    assert not all(line.passed for line in module.METHODS[0].check())


@pytest.mark.parametrize(
    ("where", "name", "broken"),
    [
        ("analysis.compute.subspaces.angle_curve", "principal_angles", lambda a, b: principal_angles(a, b) + 0.01),
        ("analysis.methods.subspaces.principal_angle_spectrum", "random_angles",
         lambda *a: random_subspaces.random_angles(*a) * 0.98),
    ],
)  # fmt: skip
def test_the_check_of_angles_fails_on_broken_code(monkeypatch, where, name, broken):
    monkeypatch.setattr(f"{where}.{name}", broken)
    assert not all(line.passed for line in angles_module.METHODS[0].check())
