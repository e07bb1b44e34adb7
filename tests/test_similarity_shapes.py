"""Procrustes and shape distances: SciPy and brute force as second implementations, metric axioms, invariances, nulls by
enumeration and by exchange, bad input."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import orthogonal_procrustes, subspace_angles

from analysis.activations import ArrayActivations, Layout
from analysis.compute.similarity import shape_null, shape_pairs, shapes
from analysis.compute.similarity.shape_null import Spread, chance, unrelated_deviation, unrelated_mean
from analysis.compute.similarity.shapes import (
    IGNORED,
    NOTHING,
    PERMUTATIONS,
    ROTATIONS,
    SIGNED,
    angles,
    chords,
    shape_of,
    similarities,
)
from analysis.compute.similarity.similarity_grid import NETWORKS, groups_of
from analysis.errors import InputError, NotEnoughData, ParameterError
from analysis.methods.similarity import procrustes as procrustes_module
from analysis.methods.similarity import shape_distance as shape_module
from analysis.methods.similarity.procrustes import ProcrustesParams, procrustes
from analysis.methods.similarity.shape_distance import ShapeDistanceParams, shape_distance

FEW = settings(max_examples=20, deadline=None)
SETTINGS = [
    (ROTATIONS, 1.0),
    (ROTATIONS, 0.4),
    (ROTATIONS, 0.0),
    (SIGNED, 1.0),
    (PERMUTATIONS, 1.0),
    (NOTHING, 1.0),
]


def turn(rng, d):
    return np.linalg.qr(rng.standard_normal((d, d)))[0]


def unit(x):
    x = x - x.mean(axis=0)
    return x / np.linalg.norm(x)


def tap(x, name, ids=None, layout=None):
    samples = {} if ids is None else {"id": np.asarray(ids)}
    return ArrayActivations(x, name=name, samples=samples, layout=layout)


def similarity(x, y, **params):
    return float(procrustes(x, y, params=ProcrustesParams(**params)).values[0, 1])


def distance(x, y, **params):
    return float(shape_distance(x, y, params=ShapeDistanceParams(**params)).values[0, 1])


def pair(x, y, ignored=ROTATIONS, alpha=1.0, seed=0):
    group = groups_of(len(x), np.random.default_rng(seed))
    return group, *(shape_of(v, group, ignored=ignored, alpha=alpha) for v in (x, y))


# ---------------------------------------------------------------------------- second implementations
@FEW
@given(st.integers(0, 10**6), st.sampled_from([(40, 5, 5), (30, 3, 7), (12, 4, 20), (25, 30, 30), (9, 1, 2)]))
def test_procrustes_is_scipys_scale_also_without_each_group(seed, shape):
    rng = np.random.default_rng(seed)
    n, p, q = shape
    x, y = rng.standard_normal((n, p)) + 3, rng.exponential(size=(n, q)) * 1e3
    group, one, other = pair(x, y)
    found = similarities(one, other, ROTATIONS)
    wide = max(p, q)
    for which in range(-1, group.max() + 1):
        stay = group != which
        a, b = (np.pad(unit(v[stay]), ((0, 0), (0, wide - v.shape[1]))) for v in (x, y))
        assert found[1 + which] == pytest.approx(orthogonal_procrustes(a, b)[1], abs=1e-10)


@FEW
@given(
    st.integers(0, 10**6),
    st.sampled_from([0.0, 0.3, 0.8]),
    st.sampled_from([(60, 4, 4), (60, 3, 8), (200, 12, 5)]),
)
def test_partial_whitening_by_its_formula_also_without_each_group(seed, alpha, shape):
    """X (α I + (1 - α) Σ^(-1/2)) of clouds of mean variance 1, by the matrix square root."""
    rng = np.random.default_rng(seed)
    n, p, q = shape
    x, y = (
        rng.standard_normal((n, p)) @ rng.standard_normal((p, p)),
        rng.standard_normal((n, q)) * np.arange(1, q + 1),
    )
    group, one, other = pair(x, y, alpha=alpha)
    found = similarities(one, other, ROTATIONS)

    def whitened(v):
        v = v - v.mean(axis=0)
        v /= np.sqrt(v.var(axis=0, ddof=1).mean())
        values, axes = np.linalg.eigh(np.cov(v, rowvar=False).reshape(v.shape[1], -1))
        return unit(v @ (alpha * np.eye(v.shape[1]) + (1 - alpha) * (axes / np.sqrt(values)) @ axes.T))

    for which in range(-1, group.max() + 1):
        stay = group != which
        cross = whitened(x[stay]).T @ whitened(y[stay])
        assert found[1 + which] == pytest.approx(np.linalg.svd(cross, compute_uv=False).sum(), abs=1e-9)


def test_whole_whitening_is_the_mean_cosine_of_scipys_subspace_angles(rng):
    x, y = rng.standard_normal((80, 6)), rng.standard_normal((80, 6))
    y[:, :3] += x[:, :3]
    cosines = np.cos(subspace_angles(unit(x), unit(y)))
    assert distance(x, y, alpha=0.0) == pytest.approx(np.arccos(cosines.mean()), abs=1e-10)


@pytest.mark.parametrize("ignored", [PERMUTATIONS, SIGNED])
@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (5, 2)])
def test_permutations_by_trying_all_with_zero_units_enough(rng, ignored, shape):
    p, q = shape
    x, y = rng.standard_normal((30, p)), rng.standard_normal((30, q))
    cross = np.zeros((max(p, q) + 2, max(p, q) + 2))
    cross[:p, :q] = unit(x).T @ unit(y)
    gain = np.abs(cross) if ignored == SIGNED else cross
    best = max(sum(gain[i, j] for i, j in enumerate(order)) for order in permutations(range(len(cross))))
    assert distance(x, y, ignored=ignored) == pytest.approx(np.arccos(best), abs=1e-10)


def test_nothing_ignored_is_the_plain_angle_and_distance(rng):
    x, y = rng.standard_normal((30, 4)), rng.standard_normal((30, 4)) * 2
    assert distance(x, y, ignored=NOTHING) == pytest.approx(np.arccos((unit(x) * unit(y)).sum()), abs=1e-12)
    apart = (x - x.mean(0)) - (y - y.mean(0))
    assert distance(x, y, ignored=NOTHING, measure="Euclidean") == pytest.approx(
        np.sqrt((apart**2).sum() / 30), rel=1e-12
    )


# ---------------------------------------------------------------------------- nearly equal
@pytest.mark.parametrize("alpha", [1.0, 0.0])
def test_a_rotation_is_at_zero_though_arccos_sees_no_less_than_1e_8(rng, alpha):
    x = rng.standard_normal((200, 30))
    _, one, other = pair(x, 3 * x @ turn(rng, 30) - 7, alpha=alpha)
    s = similarities(one, other, ROTATIONS)
    assert angles(chords(s, one, other, ROTATIONS))[0] < 1e-12
    assert np.arccos(1 - 2e-16) > 1e-9


@pytest.mark.parametrize("epsilon", [1e-3, 1e-6, 1e-10, 1e-13])
@pytest.mark.parametrize("ignored", [ROTATIONS, SIGNED, PERMUTATIONS, NOTHING])
def test_a_small_angle_is_known_to_many_digits(rng, epsilon, ignored):
    """Y = X + ε Z with Z orthogonal to X: the best rotation is none, and the tangent of the angle ε |Z| / |X|."""
    basis = np.linalg.qr(unit(rng.standard_normal((300, 8))))[0]
    x, z = basis[:, :4] * [4, 3, 2, 1], basis[:, 4:]
    got = distance(x, x + epsilon * z, ignored=ignored)
    assert got == pytest.approx(np.arctan(epsilon * 2 / np.sqrt(30)), rel=max(1e-8, 1e-15 / epsilon))


# ---------------------------------------------------------------------------- metrics
@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10**6))
@pytest.mark.parametrize(("ignored", "alpha"), SETTINGS)
@pytest.mark.parametrize("measure", ["angular", "Euclidean"])
def test_it_is_a_metric(measure, ignored, alpha, seed):
    rng = np.random.default_rng(seed)
    widths = [4, 4, 4] if ignored == NOTHING else rng.integers(1, 7, size=3)
    shared = rng.standard_normal((25, 7))
    taps = [
        shared[:, :w] * rng.uniform(0.2, 3, w) + rng.uniform(0, 1.5) * rng.standard_normal((25, w))
        for w in widths
    ]
    params = ShapeDistanceParams(ignored=ignored, alpha=alpha, measure=measure, exchanges=19)
    d = shape_distance(*taps, params=params).values
    np.testing.assert_array_equal(d, d.T)
    assert (d[~np.eye(3, dtype=bool)] > 1e-3).all()
    for a, b, c in permutations(range(3)):
        assert d[a, c] <= d[a, b] + d[b, c] + 1e-9
    assert shape_distance(taps[0], taps[0], params=params).values[0, 1] == pytest.approx(0, abs=1e-12)


# ---------------------------------------------------------------------------- what is ignored and what is not
CHANGES = {
    "shift": lambda rng, x: x + 100,
    "scale": lambda rng, x: 7 * x,
    "permutation": lambda rng, x: x[:, rng.permutation(x.shape[1])],
    "signs": lambda rng, x: x[:, rng.permutation(x.shape[1])] * rng.permutation([1, -1, 1, -1, -1]),
    "rotation": lambda rng, x: x @ turn(rng, x.shape[1]),
    "linear map": lambda rng, x: x @ (turn(rng, x.shape[1]) * np.arange(1, 6)) @ turn(rng, x.shape[1]),
}
ZERO = {
    (ROTATIONS, 1.0): ("shift", "scale", "permutation", "signs", "rotation"),
    (ROTATIONS, 0.4): ("shift", "scale", "permutation", "signs", "rotation"),
    (ROTATIONS, 0.0): ("shift", "scale", "permutation", "signs", "rotation", "linear map"),
    (SIGNED, 1.0): ("shift", "scale", "permutation", "signs"),
    (PERMUTATIONS, 1.0): ("shift", "scale", "permutation"),
    (NOTHING, 1.0): ("shift", "scale"),
}


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 10**6))
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(("ignored", "alpha"), ZERO)
def test_zero_under_the_group_that_is_ignored_and_not_outside(ignored, alpha, change, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((60, 5)) * [1, 2, 3, 4, 5]
    moved = CHANGES[change](rng, x)
    angle = distance(x, moved, ignored=ignored, alpha=alpha, exchanges=19)
    if change in ZERO[ignored, alpha]:
        assert angle < 1e-9
    elif not np.array_equal(moved, x):
        assert angle > 1e-3
    euclidean = distance(x, moved, ignored=ignored, alpha=alpha, measure="Euclidean", exchanges=19)
    if change in ZERO[ignored, alpha] and (change != "scale" or alpha == 0):
        assert euclidean < 1e-7
    elif not np.array_equal(moved, x):
        assert euclidean > 1e-3


@pytest.mark.parametrize(("ignored", "alpha"), SETTINGS[:-1])
def test_units_that_are_zero_or_constant_change_no_distance(rng, ignored, alpha):
    x, y = rng.standard_normal((40, 4)), rng.standard_normal((40, 6))
    wide = np.hstack([np.zeros((40, 2)), x, np.full((40, 3), 5.0)])
    for measure in ("angular", "Euclidean"):
        more = {"ignored": ignored, "alpha": alpha, "measure": measure, "exchanges": 19}
        assert distance(wide, y, **more) == pytest.approx(distance(x, y, **more), abs=1e-10)
        assert distance(wide, x, **more) < 1e-12


def test_repeated_units_count_twice_unless_whitened(rng):
    x = rng.standard_normal((60, 4))
    assert distance(x, np.hstack([x, x[:, :1]])) > 0.05
    assert distance(x, np.hstack([x, x[:, :1]]), alpha=0.0) < 1e-9


@FEW
@given(st.integers(0, 10**6))
def test_procrustes_invariances(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((60, 5)), rng.standard_normal((60, 4))
    y += x[:, :4]
    assert similarity(x, 3 * x @ turn(rng, 5) + 7) == pytest.approx(1, abs=1e-12)
    assert similarity(x @ turn(rng, 5) * 1e-3 - 5, y) == pytest.approx(similarity(x, y), abs=1e-10)
    assert abs(similarity(x * [30, 1, 1, 1, 1], y) - similarity(x, y)) > 1e-3
    order = rng.permutation(60)
    assert similarity(x[order], y[order]) == pytest.approx(similarity(x, y), abs=1e-10)
    assert similarity(x[order], y) < similarity(x, y) - 0.05


def test_the_measures_are_one_another(rng):
    x, y = rng.standard_normal((60, 5)), rng.standard_normal((60, 4))
    s = similarity(x, y)
    assert similarity(x, y, measure="angle") == pytest.approx(np.arccos(s), abs=1e-12)
    assert similarity(x, y, measure="chord") == pytest.approx(np.sqrt(2 - 2 * s), abs=1e-12)
    assert distance(x, y) == pytest.approx(np.arccos(s), abs=1e-12)


# ---------------------------------------------------------------------------- nulls
def exchanged(x, y, ignored, draws, rng):
    a, b = unit(x), unit(y)
    return np.array([shapes.best(a.T @ b[rng.permutation(len(a))], ignored) for _ in range(draws)])


CLOUDS = {
    "square": ((200, 20, 20), 1.0), "oblong": ((200, 20, 70), 1.0), "wide": ((60, 300, 300), 1.0),
    "wide and narrow": ((60, 300, 6), 1.0), "falling": ((200, 40, 40), np.arange(1, 41.0) ** -1),
}  # fmt: skip


@pytest.mark.parametrize("cloud", CLOUDS)
def test_the_mean_of_unrelated_clouds(rng, cloud):
    (n, p, q), scale = CLOUDS[cloud]
    x, y = rng.standard_normal((n, p)) * scale, rng.standard_normal((n, q)) * scale
    null = exchanged(x, y, ROTATIONS, 200, rng)
    _, one, other = pair(x, y)
    a, b = one.spread, other.spread
    assert unrelated_mean(a, b) == pytest.approx(null.mean(), rel=0.03)
    assert 0.5 < unrelated_deviation(a, b) / null.std() < 2.5
    for level in (0.0, 0.5, 0.95, 1.0):
        c = np.quantile(null, level)
        assert (null >= c).mean() <= chance(c, a, b)


@pytest.mark.parametrize("p", [40, 75])
def test_whitened_unrelated_clouds_follow_the_jacobi_law_with_its_forced_ones(rng, p):
    """150 directions of 99: 51 correlations of each pair are 1, and quarter circles would say .74 instead of .82."""
    x, y = rng.standard_normal((2, 100, p))
    bases = [np.linalg.qr(unit(v))[0] for v in (x, y)]
    null = exchanged(*bases, ROTATIONS, 50, rng)
    _, one, other = pair(x, y, alpha=0.0)
    assert unrelated_mean(one.spread, other.spread) == pytest.approx(null.mean(), rel=0.01)


def test_gaussian_clouds_lie_on_the_quarter_circle():
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((2, 2000, 100))
    e = procrustes(x, y).estimates[0]
    assert e.null == pytest.approx(8 / (3 * np.pi) * np.sqrt(100 / 1999), rel=0.03)
    assert e.value == pytest.approx(e.null, rel=0.03)
    assert e.null_low < e.value < e.null_high


@pytest.mark.parametrize("kind", ["gauss", "heavy", "rare"])
def test_the_bound_of_chance_holds_for_every_value(kind):
    """All 720 exchanges of six samples, at each value that comes out."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        x, y = rng.standard_normal((6, 2)), rng.standard_normal((6, 3))
        if kind == "heavy":
            x, y = np.exp(3 * x), np.exp(3 * y)
        elif kind == "rare":
            x, y = (x > 0.8) + 1e-9 * x, (y > 0.8) + 1e-9 * y
        spreads = [Spread.of(*np.linalg.svd(unit(v), full_matrices=False)[:2]) for v in (x, y)]
        a, b = unit(x), unit(y)
        every = np.array([shapes.best(a.T @ b[list(order)], ROTATIONS) for order in permutations(range(6))])
        for c in np.unique(every.round(12)):
            assert (every >= c - 1e-12).mean() <= chance(c - 1e-12, *spreads) + 1e-12


def test_where_nothing_is_ignored_the_moments_are_exact():
    rng = np.random.default_rng(2)
    x, y = rng.exponential(size=(6, 3)) ** 3, rng.standard_normal((6, 3))
    a, b = unit(x), unit(y)
    every = np.array([(a * b[list(order)]).sum() for order in permutations(range(6))])
    _, one, other = pair(x, y, ignored=NOTHING)
    found = shape_pairs.shape_pair(one, other, NOTHING, shape_pairs.SIMILARITY)
    assert found.null == pytest.approx(every.mean(), abs=1e-14)
    assert found.deviation == pytest.approx(every.std(), rel=1e-12)
    assert found.p >= (every >= found.series[0] - 1e-12).mean()


def test_the_null_of_permutations_is_drawn_and_p_has_one_added(rng):
    x, y = rng.standard_normal((2, 200, 10))
    far = shape_distance(x, y, params=ShapeDistanceParams(ignored=PERMUTATIONS, exchanges=40)).estimates[0]
    null = np.arccos(exchanged(x, y, PERMUTATIONS, 100, rng))
    assert far.null == pytest.approx(null.mean(), abs=0.01)
    assert far.p_value > 1 / 41
    near = shape_distance(x, x + 0.1 * y, params=ShapeDistanceParams(ignored=PERMUTATIONS, exchanges=40))
    assert near.estimates[0].p_value == pytest.approx(1 / 41)
    assert any("none is below 0.024" in c for c in near.caveats)


def test_the_interval_covers_what_many_samples_say():
    """One unit of deviation 2, shared, and one of 1 on each side: s = 4 / 5; in at least 80 of 100 samples of 400."""
    hits = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        z = rng.standard_normal((400, 3))
        e = procrustes(z[:, [0, 1]] * [2, 1], z[:, [0, 2]] * [2, 1], rng=rng).estimates[0]
        hits += e.low <= 4 / 5 <= e.high
    assert hits >= 80


# ---------------------------------------------------------------------------- the matrix and bad input
def test_the_matrix_marks_what_is_beyond_chance_and_what_is_too_few(rng):
    x = rng.standard_normal((300, 8))
    taps = [
        tap(x, "s:a"),
        tap(x + 0.5 * rng.standard_normal((300, 8)), "s:b"),
        tap(rng.standard_normal((300, 8)), "s:c"),
    ]
    found = procrustes(*taps)
    np.testing.assert_array_equal(np.diag(found.values), 1.0)
    assert found.row_names == ("a", "b", "c")
    assert found.significant.tolist() == [[True, True, False], [True, True, False], [False, False, True]]
    assert not found.few.any()
    assert procrustes(rng.standard_normal((30, 100)), rng.standard_normal((30, 100))).few[0, 1]
    turned = shape_distance(*taps, params=ShapeDistanceParams())
    assert (turned.significant == found.significant).all()
    np.testing.assert_array_equal(np.diag(turned.values), 0.0)


def test_one_network_against_another(rng):
    x = rng.standard_normal((50, 4))
    taps = [tap(x, "a:1"), tap(x[:, :3], "a:2"), tap(x @ turn(rng, 4), "b:1")]
    found = procrustes(*taps, params=ProcrustesParams(arrangement=NETWORKS))
    assert found.values.shape == (2, 1)
    assert found.values[0, 0] == pytest.approx(1, abs=1e-12)


def test_samples_are_matched_by_id_tokens_pooled_and_bad_rows_left_out(rng):
    tokens, y = rng.standard_normal((40, 3, 5)), rng.standard_normal((40, 4))
    layout, order = Layout(np.arange(41) * 3), rng.permutation(40)[:35]
    ids = np.array([f"s{i}" for i in range(40)])
    bad = y.copy()
    bad[order[0], 1] = np.nan
    found = procrustes(tap(tokens.reshape(120, 5), "x", ids, layout), tap(bad[order], "y", ids[order]))
    stay = np.sort(order[1:])
    a, b = unit(tokens.mean(axis=1)[stay]), unit(y[stay])
    assert found.values[0, 1] == pytest.approx(np.linalg.svd(a.T @ b, compute_uv=False).sum(), abs=1e-9)
    assert found.estimates[0].n == 34


@pytest.mark.parametrize("spoil", ["constant", "huge", "tiny", "offset", "wide"])
def test_odd_units_give_numbers(rng, spoil):
    x, y = rng.standard_normal((30, 4)), rng.standard_normal((30, 4))
    expected = similarity(x, y)
    if spoil == "constant":
        x = np.hstack([x, np.full((30, 2), 5.0)])
        assert any("2 of 6 units never change" in c for c in procrustes(x, y).caveats)
    else:
        x = {
            "huge": x * 1e150,
            "tiny": x * 1e-150,
            "offset": x + 1e6,
            "wide": np.hstack([x, np.zeros((30, 400))]),
        }[spoil]
    assert similarity(x, y) == pytest.approx(expected, abs=1e-6)
    assert np.isfinite(distance(x, y, alpha=0.5))


def test_refusals(rng):
    x = rng.standard_normal((20, 3))
    with pytest.raises(NotEnoughData, match="3 sample"):
        procrustes(x[:3], x[:3])
    with pytest.raises(InputError, match="all samples"):
        shape_distance(x, np.ones((20, 2)))
    with pytest.raises(ParameterError, match=r"alpha = 0\.5"):
        shape_distance(x, x, params=ShapeDistanceParams(ignored=PERMUTATIONS, alpha=0.5))
    with pytest.raises(ParameterError, match="3, 2 units"):
        shape_distance(x, x[:, :2], params=ShapeDistanceParams(ignored=NOTHING))
    with pytest.raises(NotEnoughData, match="same id"):
        procrustes(tap(x, "a", [f"a{i}" for i in range(20)]), tap(x, "b", [f"b{i}" for i in range(20)]))


@pytest.mark.parametrize("ignored", IGNORED)
def test_four_samples_have_a_value(rng, ignored):
    found = shape_distance(*rng.standard_normal((2, 4, 3)), params=ShapeDistanceParams(ignored=ignored))
    assert np.isfinite(found.values).all()


# ---------------------------------------------------------------------------- checks that can fail
def _loose_chords(s, *_):
    return np.sqrt(2 - 2 * np.minimum(s, 1 - 1e-15))


def _without_the_trace(one, other):
    return 0.9 * MEAN(one, other)


def _largest_only(cross, ignored):
    return float(np.linalg.svd(cross, compute_uv=False)[0]) if ignored == ROTATIONS else BEST(cross, ignored)


MEAN, BEST, WHITENING = shape_null.unrelated_mean, shapes.best, shapes._whitening


@pytest.mark.parametrize(
    ("module", "where", "name", "broken"),
    [
        (procrustes_module, shape_pairs, "chords", _loose_chords),
        (procrustes_module, shape_pairs, "unrelated_mean", _without_the_trace),
        (procrustes_module, shapes, "best", _largest_only),
        (shape_module, shapes, "best", _largest_only),
        (shape_module, shapes, "_whitening", lambda rows, alpha, sized: WHITENING(rows, 1.0, sized)),
        (shape_module, shapes, "partners", lambda cross, ignored: (np.arange(30),) * 2 + (np.ones(30),)),
        (shape_module, shape_pairs, "distances", lambda chord, size, other, n: chord),
    ],
)
def test_the_check_fails_on_broken_code(monkeypatch, module, where, name, broken):
    check = module.METHODS[0].check
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in check())
