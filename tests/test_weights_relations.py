"""Cross-layer relations: brute force over samples, exact nulls by enumeration, teacher and student, bad input."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_1samp, ttest_rel

from analysis.activations import ArrayActivations, Layout
from analysis.compute.networks.relations import cell_tests, groups_of, relation
from analysis.errors import InputError, NotEnoughData, ParameterError, TooLarge
from analysis.methods.weights import relation_matrix as module
from analysis.methods.weights.relation_matrix import RelationMatrixParams, relation_matrix

FEW = settings(max_examples=15, deadline=None)
SHAPES = st.sampled_from([(9, 1, 3, 4), (8, 5, 2, 3), (12, 3, 1, 2)])


def maps(rng, shape):
    n, t, p, q = shape
    f, g = rng.standard_normal((n, t, p)) + 2, rng.standard_normal((n, t, q)) - 1
    g[..., 0] += f[..., 0]
    return f, g


def tap(f, name="t", ids=None):
    n, t = f.shape[:2]
    layout = Layout(np.arange(n + 1) * t)
    samples = {} if ids is None else {"id": ids}
    return ArrayActivations(f.reshape(n * t, -1), name=name, layout=layout, samples=samples)


def each(f, g):
    """(n, p, q) relation of every sample by itself."""
    return np.array([x.T @ y / len(x) for x, y in zip(f, g, strict=True)])


# ---------------------------------------------------------------------------- numbers
@FEW
@given(st.integers(0, 10**6), SHAPES)
def test_the_relation_is_the_mean_over_samples_also_without_each_group(seed, shape):
    rng = np.random.default_rng(seed)
    f, g = maps(rng, shape)
    group = groups_of(len(f), rng)
    found = relation(f, g, group)
    np.testing.assert_allclose(found.values, each(f, g).mean(axis=0), atol=1e-12)
    for i in range(group.max() + 1):
        np.testing.assert_allclose(found.without()[i], each(f, g)[group != i].mean(axis=0), atol=1e-12)


@pytest.mark.parametrize("shape", [(5, 1, 2, 2), (5, 3, 2, 3)])
def test_mean_and_spread_under_exchange_are_exact(shape):
    """All 120 exchanges of five samples."""
    rng = np.random.default_rng(4)
    f, g = maps(rng, shape)
    f = f**3
    found = relation(f, g, np.arange(5))
    every = np.array([each(f, g[list(order)]).mean(axis=0) for order in permutations(range(5))])
    np.testing.assert_allclose(every.mean(axis=0), found.null, atol=1e-12)
    assert every.var(axis=0).sum() == pytest.approx(found.spread, rel=1e-12)


@FEW
@given(st.integers(0, 10**6), SHAPES)
def test_tests_of_cells_are_t_tests_over_samples(seed, shape):
    rng = np.random.default_rng(seed)
    f, g = maps(rng, shape)
    u, v = maps(rng, shape)
    centred = each(f - f.mean(axis=0), g - g.mean(axis=0))
    one, two = cell_tests([(f, g)], centre=True), cell_tests([(f, g), (u, v)], centre=False)
    np.testing.assert_allclose(one.p, ttest_1samp(centred, 0).pvalue, rtol=1e-6, atol=1e-12)
    expected = ttest_rel(each(f, g), each(u, v))
    np.testing.assert_allclose(two.p, expected.pvalue, rtol=1e-6, atol=1e-12)
    low, high = expected.confidence_interval(0.95)
    np.testing.assert_allclose(two.half, (high - low) / 2, rtol=1e-6)


# ---------------------------------------------------------------------------- the method
def test_positions_are_related_one_by_one(rng):
    f, g = maps(rng, (30, 6, 4, 3))
    found = relation_matrix(tap(f), tap(g))
    np.testing.assert_allclose(found.values, np.einsum("npi,npj->ij", f, g) / (30 * 6), atol=1e-12)
    mean = np.einsum("pi,pj->ij", f.mean(axis=0), g.mean(axis=0)) / 6
    np.testing.assert_allclose(found.null, mean, atol=1e-12)
    assert found.significant[0, 0]
    assert found.estimates[0].low < found.estimates[0].value < found.estimates[0].high
    assert any("6 positions" in c for c in found.caveats)
    moved = relation_matrix(tap(f), tap(g[:, rng.permutation(6)]))
    assert moved.values[0, 0] < found.values[0, 0]


def test_centred_relations_have_a_null_of_zero_and_are_the_excess(rng):
    f, g = maps(rng, (40, 2, 4, 3))
    plain = relation_matrix(tap(f), tap(g))
    excess = relation_matrix(tap(f), tap(g), params=RelationMatrixParams(centred=True))
    np.testing.assert_allclose(excess.null, 0, atol=1e-12)
    np.testing.assert_allclose(excess.values, plain.values - plain.null, atol=1e-12)
    np.testing.assert_array_equal(excess.significant, plain.significant)


def test_standardised_pooled_relations_are_correlations(rng):
    x, y = rng.standard_normal((60, 4)) * [1, 5, 0.1, 2] + 9, rng.standard_normal((60, 3))
    y[:, 0] += x[:, 1]
    params = RelationMatrixParams(centred=True, scaling="standardised")
    expected = np.corrcoef(x, y, rowvar=False)[:4, 4:]
    np.testing.assert_allclose(relation_matrix(x, y, params=params).values, expected, atol=1e-10)


def test_a_teacher_and_itself_differ_nowhere(rng):
    f, g = maps(rng, (20, 4, 5, 3))
    found = relation_matrix(tap(f, "a"), tap(g, "b"), tap(f, "c"), tap(g, "d"))
    assert not found.values.any()
    assert not found.significant.any()
    assert found.estimates[0].value == 0
    assert found.estimates[0].null > 0.1


def test_the_relation_that_a_student_lacks_is_found(rng):
    """The student's first unit no longer goes with the teacher's partner of it; all else is the same."""
    f, g = maps(rng, (200, 3, 4, 3))
    h = g.copy()
    h[..., 0] -= f[..., 0] - f[..., 0].mean()
    params = RelationMatrixParams(centred=True)
    found = relation_matrix(tap(f), tap(g), tap(f), tap(h), params=params)
    assert np.unravel_index(np.abs(found.values).argmax(), found.values.shape) == (0, 0)
    assert found.values[0, 0] == pytest.approx(1, abs=0.15)
    assert found.significant.tolist()[0][0]
    assert found.significant.sum() <= 2


def test_students_are_matched_by_id_and_other_positions_by_their_mean(rng):
    f, g = maps(rng, (25, 4, 3, 2))
    ids = np.array([f"s{i}" for i in range(25)])
    order = rng.permutation(25)
    teacher = tap(f, "a", ids), tap(g, "b", ids)
    student = [tap(x.mean(axis=1, keepdims=True)[order], n, ids[order]) for x, n in ((f, "c"), (g, "d"))]
    found = relation_matrix(*teacher, *student)
    np.testing.assert_allclose(found.values, 0, atol=1e-12)
    assert any("no common positions" in c for c in found.caveats)
    assert any("matched by id" in c for c in found.caveats)


def test_unrelated_layers_pass_rarely_although_their_means_are_large():
    passed = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x, y = rng.exponential(size=(80, 6)) + 5, rng.exponential(size=(80, 6)) + 5
        found = relation_matrix(x, y, rng=rng)
        passed.append(found.significant.any())
        assert found.values.min() > 20
        assert found.estimates[0].value == pytest.approx(found.estimates[0].null, rel=0.02)
    assert sum(passed) <= 4


def test_samples_that_are_not_finite_are_left_out_whole(rng):
    f, g = maps(rng, (20, 3, 2, 2))
    f[4, 1, 0], g[7, 2, 1] = np.nan, np.inf
    found = relation_matrix(tap(f), tap(g))
    stay = np.setdiff1d(np.arange(20), [4, 7])
    np.testing.assert_allclose(found.values, each(f[stay], g[stay]).mean(axis=0), atol=1e-12)
    assert any("2 sample(s) with NaN" in c for c in found.caveats)


def test_a_random_part_is_said(rng):
    f, g = maps(rng, (90, 2, 2, 2))
    found = relation_matrix(tap(f), tap(g), params=RelationMatrixParams(maximum_samples=50))
    assert found.estimates[0].n == 50
    assert any("A random 50 of 90" in c for c in found.caveats)


def test_relations_refuse(rng):
    x = rng.standard_normal((20, 3))
    with pytest.raises(ParameterError, match="3 tap"):
        relation_matrix(x, x, x)
    with pytest.raises(InputError, match=r"teacher's layers have 3 and 3 units, the student's 3 and 2"):
        relation_matrix(x, x, x, x[:, :2])
    with pytest.raises(NotEnoughData):
        relation_matrix(x[:6], x[:6])
    with pytest.raises(InputError, match="equal"):
        relation_matrix(tap(np.ones((20, 2, 3))), tap(np.ones((20, 2, 3))))
    with pytest.raises(TooLarge, match="cells"):
        relation_matrix(rng.standard_normal((8, 1100)), rng.standard_normal((8, 1100)))


# ---------------------------------------------------------------------------- checks that can fail
def _unpaired(f, g, group):
    return relation(f, g[::-1], group)


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("relation", _unpaired),
        ("_prepared", lambda x, params: x - x.mean(axis=(0, 1))),
        ("benjamini_hochberg", lambda p: np.zeros_like(p)),
    ],
)
def test_the_check_fails_on_broken_code(monkeypatch, name, broken):
    check = module.METHODS[0].check
    monkeypatch.setattr(module, name, broken)
    assert not all(line.passed for line in check())
