"""Difference subspaces against eigenvectors of P_A + P_B, geodesics in closed form, and the movie of planted series."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import subspace_angles

from analysis.activations import ArrayActivations, Layout
from analysis.compute.subspaces import movement
from analysis.compute.subspaces.angles import principal_angles
from analysis.compute.subspaces.differences import (
    ARC,
    CHORD,
    difference,
    midpoint,
    random_movement,
    second_difference,
)
from analysis.compute.subspaces.moved import largest_coordinate, largest_share
from analysis.errors import InputError, NotEnoughData, ParameterError
from analysis.methods.subspaces.moved_samples import PART, SHARE, MovedSamplesParams, moved_samples
from analysis.methods.subspaces.moved_units import MovedUnitsParams, moved_units
from analysis.methods.subspaces.subspace_movie import SubspaceMovieParams, subspace_movie
from analysis.registry import methods

SHAPES = [(8, 3, 3), (8, 2, 5), (8, 5, 2), (6, 4, 5), (5, 3, 3), (12, 1, 1), (30, 10, 7), (4, 4, 2)]


def frame(rng, d: int, k: int) -> np.ndarray:
    return np.linalg.qr(rng.standard_normal((d, k)))[0]


def projector(a: np.ndarray) -> np.ndarray:
    return a @ a.T


def geodesic(a: np.ndarray, away: np.ndarray, angles: np.ndarray, t: float) -> np.ndarray:
    """From span(a) towards `away`, orthonormal to it, each pair turning by its own angle."""
    return a * np.cos(t * angles) + away * np.sin(t * angles)


# ---------------------------------------------------------------------------- two subspaces
@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(SHAPES))
def test_eigenvalues_of_the_summed_projectors(seed, shape):
    """Second implementation: a dense eigenproblem; angles by two others."""
    rng, (d, p, q) = np.random.default_rng(seed), shape
    a, b = frame(rng, d, p), frame(rng, d, q)
    found, total = difference(a, b), projector(a) + projector(b)
    values = np.linalg.eigvalsh(total)[::-1]
    mine = found.eigenvalues
    np.testing.assert_allclose(values[: len(mine)], mine, atol=1e-12)
    np.testing.assert_allclose(values[len(mine) :], 0, atol=1e-12)
    np.testing.assert_allclose(found.angles, principal_angles(a, b), atol=1e-12)
    np.testing.assert_allclose(
        found.angles, np.sort(subspace_angles(a, b)), atol=3e-8
    )  # SciPy's own for an angle 0
    np.testing.assert_allclose(total @ found.mean, found.mean * (1 + np.cos(found.angles)), atol=1e-12)
    apart = 1 - np.cos(found.angles[found.moved])
    np.testing.assert_allclose(total @ found.directions, found.directions * apart, atol=1e-12)
    np.testing.assert_allclose(total @ found.unmatched, found.unmatched, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(SHAPES))
def test_differences_are_orthogonal_and_of_length_two_sines(seed, shape):
    rng, (d, p, q) = np.random.default_rng(seed), shape
    a, b = frame(rng, d, p), frame(rng, d, q)
    found = difference(a, b)
    gaps = found.first - found.second
    np.testing.assert_allclose(np.linalg.norm(gaps, axis=0), 2 * np.sin(found.angles / 2), atol=1e-12)
    np.testing.assert_allclose(gaps.T @ gaps, np.diag(np.diag(gaps.T @ gaps)), atol=1e-12)
    lengths = 2 * np.sin(found.angles[found.moved] / 2)
    np.testing.assert_allclose(found.directions * lengths, gaps[:, found.moved], atol=1e-12)
    np.testing.assert_allclose(projector(a) @ found.first, found.first, atol=1e-12)
    np.testing.assert_allclose(projector(b) @ found.second, found.second, atol=1e-12)
    assert found.movement() == pytest.approx(float((2 - 2 * np.cos(found.angles)).sum()), abs=1e-12)
    assert found.movement(ARC) == pytest.approx(float((found.angles**2).sum()), abs=1e-12)
    assert found.shares().sum() == pytest.approx(found.movement(), abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 5))
def test_leading_eigenvectors_are_half_way(seed, k):
    rng = np.random.default_rng(seed)
    a, b = frame(rng, 12, k), frame(rng, 12, k)
    middle = midpoint(a, b)
    whole = difference(a, b).angles
    for end in (a, b):
        np.testing.assert_allclose(np.sort(subspace_angles(middle, end)), whole / 2, atol=1e-10)
    leading = np.linalg.eigh(projector(a) + projector(b))[1][:, -k:]
    np.testing.assert_allclose(projector(leading), projector(middle), atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(SHAPES))
def test_basis_and_common_rotation_do_not_matter(seed, shape):
    rng, (d, p, q) = np.random.default_rng(seed), shape
    a, b, c = frame(rng, d, p), frame(rng, d, q), frame(rng, d, p)
    turn, found = frame(rng, d, d), difference(a, b)
    other = difference(turn @ a @ frame(rng, p, p), turn @ b @ frame(rng, q, q))
    np.testing.assert_allclose(other.angles, found.angles, atol=1e-12)
    np.testing.assert_allclose(projector(other.directions), projector(turn @ found.directions), atol=1e-7)
    one = second_difference(a, b, c).movement()
    two = second_difference(turn @ a, turn @ b, turn @ c).movement()
    assert two == pytest.approx(one, abs=1e-10)
    # outside of that group: one side alone turned
    assert d == p or not np.allclose(difference(turn @ a, b).angles, found.angles, atol=1e-6) or q == d


@pytest.mark.parametrize("angle", [1e-12, 1e-10, 1e-8, 1e-5, 0.01, 0.7, 0.8, 1.57])
@pytest.mark.parametrize("turned", [False, True])
def test_tiny_angles_keep_a_direction(rng, angle, turned):
    """The direction that turned is found, beside four that did not and one that the wider has more."""
    q = frame(rng, 20, 7)
    a, b = q[:, :6], np.c_[q[:, 0] * np.cos(angle) + q[:, 6] * np.sin(angle), q[:, 1:5]] @ frame(rng, 5, 5)
    found = difference(b, a) if turned else difference(a, b)
    assert found.angles[-1] == pytest.approx(angle, rel=1e-3)
    assert found.moved.sum() == 1
    expected = q[:, 0] * np.sin(angle / 2) - q[:, 6] * np.cos(angle / 2)
    assert abs(float(expected @ found.directions[:, 0])) == pytest.approx(
        1, abs=1e-3 if angle < 1e-9 else 1e-7
    )
    np.testing.assert_allclose(abs(found.unmatched.T @ q[:, 5]), 1, atol=1e-9)
    assert not found.is_square


def test_a_right_angle_is_said(rng):
    """Then u and v are eigenvectors of 1, as what is unmatched is, and the middle is not the only one."""
    q = frame(rng, 9, 4)
    found = difference(q[:, :3], q[:, 1:])
    assert found.is_square
    assert found.movement() == pytest.approx(2, abs=1e-12)
    np.testing.assert_allclose(found.eigenvalues, [2, 2, 1, 1], atol=1e-12)


def test_the_same_subspace_does_not_move(rng):
    a = frame(rng, 9, 4)
    found = difference(a, a @ frame(rng, 4, 4))
    assert found.directions.shape == (9, 0)
    assert found.movement() == 0.0
    np.testing.assert_allclose(found.eigenvalues, 2, atol=1e-12)


# ---------------------------------------------------------------------------- three subspaces
@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4), st.floats(-3, -0.2))
def test_acceleration_vanishes_on_a_geodesic_only(seed, k, exponent):
    rng = np.random.default_rng(seed)
    q = frame(rng, 12, 2 * k)
    a, away, angles = q[:, :k], q[:, k:], np.linspace(0.4, 1.0, k) * 10**exponent
    series = [geodesic(a, away, angles, t) @ frame(rng, k, k) for t in (0, 1, 2)]
    assert second_difference(*series).movement() < 1e-24
    uneven = [series[0], series[1], geodesic(a, away, angles, 1.5)]
    # half-way from 0 to 1.5 is 0.75: off by a quarter of each angle
    assert second_difference(*uneven).movement(ARC) == pytest.approx(((angles / 4) ** 2).sum(), rel=1e-6)
    aside = np.linalg.qr(series[1] + 0.3 * rng.standard_normal((12, k)))[0]
    assert second_difference(series[0], aside, series[2]).movement() > 1e-3


def test_acceleration_of_unequal_dimensions(rng):
    a = frame(rng, 10, 3)
    assert second_difference(a, a[:, :2], a).movement() == pytest.approx(0, abs=1e-24)
    assert second_difference(a[:, :2], a, a).movement() == pytest.approx(0, abs=1e-24)


def test_random_movement_has_the_mean_of_random_angles(rng):
    """Second implementation: SciPy's angles of other draws. Of lines in space, E 2 (1 - cos) is 2 (1 - 1/2)."""
    drawn = random_movement((1, 1), 3, rng, 4000)
    assert drawn.mean() == pytest.approx(1.0, abs=0.04)
    mine = random_movement((2, 3), 8, rng, 1500)
    other = [(2 - 2 * np.cos(subspace_angles(frame(rng, 8, 2), frame(rng, 8, 3)))).sum() for _ in range(1500)]
    assert mine.mean() == pytest.approx(np.mean(other), abs=4 * np.std(other) * np.sqrt(2 / 1500))


# ---------------------------------------------------------------------------- series of taps
def planted(rng, n=300, d=8, spread=(40, 25, 1)):
    """Centred scores with exact variances."""
    x = np.linalg.qr(rng.standard_normal((n, d)))[0]
    x = np.linalg.qr(x - x.mean(axis=0))[0]
    return x * np.sqrt([*spread[:-1], *[spread[-1]] * (d - len(spread) + 1)])


def rotation(d: int, i: int, j: int, angle: float) -> np.ndarray:
    turn = np.eye(d)
    turn[[i, i, j, j], [i, j, i, j]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
    return turn


def movie(taps, **given):
    return subspace_movie(*taps, params=SubspaceMovieParams(draws=10, **given))


@pytest.mark.parametrize("measure", [CHORD, ARC])
def test_the_movie_of_a_geodesic(rng, measure):
    x = planted(rng)
    taps = [x @ rotation(8, 0, 2, 0.2 * t).T for t in range(4)]
    found = movie(taps, measure=measure)
    size = (2 * np.sin(0.1)) ** 2 if measure == CHORD else 0.04
    np.testing.assert_allclose(found.series["velocity"], size, atol=1e-10)
    np.testing.assert_array_equal(found.x, [2, 3, 4])
    np.testing.assert_allclose(
        movie(taps, measure=measure, order="acceleration").series["acceleration"], 0, atol=1e-14
    )


def test_rotating_all_taps_changes_nothing_and_one_tap_much(rng):
    taps = [rng.standard_normal((200, 8)) * np.sqrt([40, 25, *[1] * 6]) for _ in range(3)]
    turn = frame(rng, 8, 8)
    base = movie(taps, dimension=2).series["velocity"]
    np.testing.assert_allclose(
        movie([x @ turn for x in taps], dimension=2).series["velocity"], base, atol=1e-9
    )
    np.testing.assert_allclose(
        movie([3 * x + 7 for x in taps], dimension=2).series["velocity"], base, atol=1e-9
    )
    turned = [taps[0], taps[1] @ turn, taps[2]]
    assert np.abs(movie(turned, dimension=2).series["velocity"] - base).min() > 0.1
    flat = movie(taps, dimension=2, space="samples").series["velocity"]
    np.testing.assert_allclose(
        movie(turned, dimension=2, space="samples").series["velocity"], flat, atol=1e-9
    )


def test_sample_space_is_that_of_left_singular_vectors(rng):
    taps = [rng.standard_normal((60, d)) * np.r_[9.0, 6.0, np.ones(d - 2)] for d in (5, 7, 6)]
    found = movie(taps, dimension=2, space="samples").series["velocity"]
    left = [np.linalg.svd(x - x.mean(axis=0), full_matrices=False)[0][:, :2] for x in taps]
    for i, value in enumerate(found):
        angles = subspace_angles(left[i], left[i + 1])
        assert value == pytest.approx((2 - 2 * np.cos(angles)).sum(), abs=1e-9)
    with pytest.raises(InputError, match="'space' to 'samples'"):
        movie(taps, dimension=2, space="units")
    np.testing.assert_array_equal(movie(taps, dimension=2).series["velocity"], found)


@pytest.mark.parametrize("order", ["velocity", "acceleration"])
@pytest.mark.parametrize("shared", [0.0, 1.0])
def test_what_only_sampling_moves_stays_within_the_null(order, shared):
    """Taps of one population: of other samples, and of the same samples with other noise (which move far less)."""
    p, values = [], []
    for seed in range(25):
        rng = np.random.default_rng(seed)
        scale, one = np.sqrt([40, 25, *[1] * 4]), rng.standard_normal((150, 6))
        noise = 0.3 * rng.standard_normal((3, 150, 6)) if shared else rng.standard_normal((3, 150, 6)) * scale
        params = SubspaceMovieParams(dimension=2, draws=30, order=order)
        found = subspace_movie(*(shared * one * scale + noise), params=params, rng=rng)
        p += [e.p_value for e in found.estimates]
        values += [(e.value, e.null) for e in found.estimates]
    assert np.mean(np.array(p) < 0.1) < 0.3  # 0.1 if exact
    assert 0.2 < np.mean(np.array(p) < 0.5) < 0.8
    mean = np.mean(values, axis=0)
    assert mean[0] == pytest.approx(mean[1], rel=0.35)
    assert (mean[0] < 5e-4) == bool(shared)


@pytest.mark.parametrize("dims", [(3, 3, 3, 3), (2, 3, 2, 3)])
def test_the_spread_of_a_difference_by_dense_projections(rng, dims):
    a, b, c, d = (frame(rng, 9, k) for k in dims)
    dense = np.linalg.norm(projector(a) - projector(b) - projector(c) + projector(d)) ** 2 / 4
    assert movement._apart((a, b), (c, d)) == pytest.approx(dense, abs=1e-12)
    tiny = np.linalg.qr(a + 1e-3 * rng.standard_normal(a.shape))[0]
    # |P_A - P_T|² is 2 Σ sin² θ; two draws of a standing series that differ so by chance
    assert movement._apart((a, a), (a, tiny)) == pytest.approx(difference(a, tiny).movement() / 2, rel=1e-4)


def test_constant_and_repeated_units_change_nothing_else(rng):
    x = planted(rng)
    taps = [x, x @ rotation(8, 0, 2, 0.2).T, x]
    base = movie(taps, dimension=2)
    still = movie([np.c_[t, np.full(len(t), 7.0)] for t in taps], dimension=2)
    np.testing.assert_allclose(still.series["velocity"], base.series["velocity"], atol=1e-10)
    assert any("1 of 9 units never change" in c for c in still.caveats)
    twice = movie([np.c_[t, t] for t in taps], dimension=2)  # every axis is spread over both copies alike
    np.testing.assert_allclose(twice.series["velocity"], base.series["velocity"], atol=1e-10)


def test_a_real_turn_exceeds_its_null_and_its_interval_holds(rng):
    x = rng.standard_normal((400, 8)) * np.sqrt([40, 25, *[1] * 6])
    taps = [x, x @ rotation(8, 0, 3, 0.5).T, x @ rotation(8, 0, 3, 0.5).T]
    found = subspace_movie(*taps, params=SubspaceMovieParams(dimension=2))
    first, second = found.estimates
    assert first.low < (2 * np.sin(0.25)) ** 2 < first.high
    assert first.p_value < 0.05
    assert second.value < 1e-20
    assert second.p_value == 1.0


def test_steps_beside_a_tap_without_a_cut_are_left_out(rng):
    clear = [planted(rng) for _ in range(4)]
    noise = rng.standard_normal((300, 8))
    found = movie([clear[0], clear[1], noise, clear[2], clear[3]], dimension=2)
    np.testing.assert_array_equal(found.x, [2, 5])
    assert any("2 step(s) left out" in c and "not told apart" in c for c in found.caveats)
    assert any("λ_2/λ_3 = 25" in c for c in found.caveats)
    with pytest.raises(NotEnoughData, match="no three neighbouring"):
        movie([clear[0], clear[1], noise, clear[2], clear[3]], dimension=2, order="acceleration")
    with pytest.raises(NotEnoughData):
        movie([noise, noise + 1e-3 * planted(rng), noise])


def test_a_middle_that_is_not_one_place_is_said(rng):
    x = planted(rng)
    taps = [x, x @ rotation(8, 0, 2, 0.5).T, x @ rotation(8, 0, 2, np.pi / 2).T]
    found = movie(taps, dimension=2, order="acceleration")
    assert any("array (2) stand at 90 degrees" in c for c in found.caveats)
    near = movie([taps[0], taps[1], x @ rotation(8, 0, 2, 1.4).T], dimension=2, order="acceleration")
    assert not any("90 degrees" in c for c in near.caveats)


def test_own_cuts_may_have_unequal_dimensions(rng):
    one, two = planted(rng, spread=(40, 1)), planted(rng, spread=(40, 36, 1))
    found = movie([one, two, one], cut="of each tap")
    assert "1 to 2 dimension(s)" in found.reading
    assert [e.estimator.split("k = ")[1] for e in found.estimates] == ["1, 2", "2, 1"]


def test_tokens_are_pooled_and_other_samples_matched(rng):
    x = planted(rng, n=120)
    ids = np.array([f"s{i}" for i in range(120)])
    plain = [
        ArrayActivations(x @ rotation(8, 0, 2, 0.3 * t).T, name=f"t{t}", samples={"id": ids})
        for t in range(3)
    ]
    order = rng.permutation(120)
    mixed = [
        ArrayActivations(np.repeat(t.values[order], 2, axis=0), name=t.name, samples={"id": ids[order]},
                         layout=Layout(np.arange(121) * 2))
        if i == 1 else t
        for i, t in enumerate(plain)
    ]  # fmt: skip
    np.testing.assert_allclose(
        movie(mixed, dimension=2).series["velocity"], (2 * np.sin(0.15)) ** 2, atol=1e-9
    )
    with pytest.raises(NotEnoughData):
        movie([ArrayActivations(t.values[:12], name=t.name) for t in plain])


def test_more_units_than_samples(rng):
    base = rng.standard_normal((40, 2)) * [9, 6]
    taps = [base @ frame(rng, 90, 2).T + 0.1 * rng.standard_normal((40, 90)) for _ in range(3)]
    found = movie(taps, dimension=2)
    left = [np.linalg.svd(x - x.mean(axis=0), full_matrices=False)[2][:2].T for x in taps]
    expected = [(2 - 2 * np.cos(subspace_angles(left[i], left[i + 1]))).sum() for i in range(2)]
    np.testing.assert_allclose(found.series["velocity"], expected, atol=1e-9)


# ---------------------------------------------------------------------------- what moved
def test_units_add_up_and_only_the_turned_ones_have_a_part(rng):
    x = planted(rng)
    taps = [x, x @ rotation(8, 1, 5, 0.4).T, x]
    found = moved_units(*taps, params=MovedUnitsParams(dimension=2, step=2))
    parts = dict(zip(found.columns["unit"].tolist(), found.columns["part"].tolist(), strict=True))
    assert sum(parts.values()) == pytest.approx((2 * np.sin(0.2)) ** 2, abs=1e-10)
    assert parts["1"] + parts["5"] == pytest.approx((2 * np.sin(0.2)) ** 2, abs=1e-10)
    assert found.columns["unit"][0] == "5"
    bend = moved_units(*taps, params=MovedUnitsParams(dimension=2, step=2, order="acceleration"))
    assert bend.columns["part"].sum() == pytest.approx((2 * np.sin(0.2)) ** 2, abs=1e-10)
    with pytest.raises(ParameterError, match="one of 2, 3"):
        moved_units(*taps, params=MovedUnitsParams(dimension=2, step=9))
    with pytest.raises(InputError, match="are the same"):
        moved_units(x, x, x, params=MovedUnitsParams(dimension=2))


def test_permuting_units_permutes_their_parts(rng):
    x = planted(rng)
    y = x @ rotation(8, 0, 4, 0.3).T
    order = rng.permutation(8)
    a = moved_units(x, y, y, params=MovedUnitsParams(dimension=2, step=2)).columns
    b = moved_units(
        x[:, order], y[:, order], y[:, order], params=MovedUnitsParams(dimension=2, step=2)
    ).columns
    mine, other = (dict(zip(c["unit"].tolist(), c["part"].tolist(), strict=True)) for c in (a, b))
    assert [other[str(i)] for i in range(8)] == pytest.approx([mine[str(j)] for j in order], abs=1e-10)


def test_sample_shares_by_brute_force(rng):
    x = rng.standard_normal((100, 6)) * np.sqrt([40, 25, *[1] * 4])
    y = x @ rotation(6, 0, 3, 0.6).T
    found = moved_samples(x, y, y, params=MovedSamplesParams(dimension=2, step=2)).columns
    axes = [np.linalg.svd(v - v.mean(axis=0))[2][:2].T for v in (x, y)]
    values, vectors = np.linalg.eigh(projector(axes[0]) + projector(axes[1]))
    side = vectors[:, (values > 1e-9) & (values < 1 - 1e-9)]
    inside = sum((((v - v.mean(axis=0)) @ side) ** 2).sum(axis=1) for v in (x, y))
    whole = sum(((v - v.mean(axis=0)) ** 2).sum(axis=1) for v in (x, y))
    mine = found[SHARE][np.argsort(found["sample"].astype(int))]
    np.testing.assert_allclose(mine, inside / whole, atol=1e-9)


def test_sample_parts_add_up_in_the_space_of_samples(rng):
    x, y = (rng.standard_normal((80, d)) * np.r_[9.0, 6.0, np.ones(d - 2)] for d in (5, 9))
    params = MovedSamplesParams(dimension=2, space="samples", step=2)
    found = moved_samples(x, y, x, params=params)
    expected = movie([x, y, x], dimension=2, space="samples").series["velocity"][0]
    assert found.columns[PART].sum() == pytest.approx(expected, abs=1e-9)
    assert len(set(found.columns["sample"].tolist())) == 80


# ---------------------------------------------------------------------------- checks that fail on broken code
BROKEN = [
    ("subspace_movie", "analysis.compute.subspaces.movement.difference", lambda a, b: difference(a, np.eye(*b.shape))),
    ("subspace_movie", "analysis.compute.subspaces.movement.second_difference", lambda a, b, c: difference(a, b)),
    ("subspace_movie", "analysis.compute.subspaces.series.leading_axes",
     lambda x, k, weights=None: np.eye(x.shape[1])[:, :k]),
    ("moved_units", "analysis.compute.subspaces.differences.Difference.shares",
     lambda self, measure=CHORD: (self.directions**2).sum(axis=1)),
    ("moved_samples", "analysis.compute.subspaces.differences.Difference.shares",
     lambda self, measure=CHORD: (self.directions**2).sum(axis=1)),
    ("moved_samples", "analysis.compute.subspaces.movement.difference",
     lambda a, b: difference(a, np.roll(b, 1, axis=0))),
]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "target", "broken"), BROKEN, ids=[f"{m}-{t.split('.')[-1]}" for m, t, _ in BROKEN]
)
def test_the_checks_fail_on_broken_code(monkeypatch, method, target, broken):
    monkeypatch.setattr(target, broken)
    assert not all(line.passed for line in methods()[method].check())


def test_the_largest_part_by_chance_is_that_of_many_random_directions():
    """By drawing them: of rows in all directions alike, and of coordinates."""
    rng, n, r, d = np.random.default_rng(3), 200, 3, 50
    x = rng.standard_normal((400, n, d))
    x /= np.linalg.norm(x, axis=2, keepdims=True)
    drawn = (x[:, :, :r] ** 2).sum(axis=2).max(axis=1)  # any r axes are random to them
    middle, low, high = largest_share(n, r, d)
    assert middle == pytest.approx(np.median(drawn), rel=0.03)
    assert ((drawn >= low) & (drawn <= high)).mean() == pytest.approx(0.95, abs=0.04)
    assert largest_share(n, d, d) == (1.0, 1.0, 1.0)
    sizes = np.array([1.0, 0.2])
    mean, least, most = largest_coordinate(sizes, 60)
    tops = [(np.linalg.qr(rng.standard_normal((60, 2)))[0] ** 2 @ sizes).max() for _ in range(400)]
    assert mean == pytest.approx(np.mean(tops), rel=0.15)  # of 20 draws
    assert least < np.median(tops) < most
    assert mean > 4 * sizes.sum() / 60  # far above that of one coordinate
    assert largest_coordinate(sizes[:0], 60) == (0.0, 0.0, 0.0)
