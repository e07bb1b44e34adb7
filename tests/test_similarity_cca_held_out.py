"""Held-out CCA, canonical correlations one by one and class visibility: everything left out is left out for real,
nulls by exchange, planted correlations, floors."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.activations import ArrayActivations
from analysis.compute.similarity import heldout_canonical, left_out_fit
from analysis.compute.similarity.canonical import side_of, span_of
from analysis.compute.similarity.heldout_canonical import (
    FOLDS,
    folds_and_groups,
    held_out,
    leading,
    ridge_sides,
)
from analysis.compute.similarity.left_out_fit import held_out_shares, in_sample_shares, without_lonely
from analysis.compute.similarity.similarity_grid import groups_of
from analysis.errors import InputError, NotEnoughData, ParameterError
from analysis.methods.similarity import canonical_spectrum as spectrum_module
from analysis.methods.similarity import class_visibility as visibility_module
from analysis.methods.similarity import heldout_cca as held_module
from analysis.methods.similarity.canonical_spectrum import CanonicalSpectrumParams, canonical_spectrum
from analysis.methods.similarity.class_visibility import ClassVisibilityParams, class_visibility
from analysis.methods.similarity.heldout_cca import HeldoutCcaParams, heldout_cca

FEW = settings(max_examples=12, deadline=None)


def scaled(x):
    return (x - x.mean(0)) / x.std(0)


def fold_by_fold(x, y, fold, ridge, k):
    """Held-out and in-sample correlations (folds, k), and the scores of each fold, by generalised eigenproblems."""
    x, y = scaled(x), scaled(y)
    held, made, scores = [], [], []
    for f in range(FOLDS):
        train = fold != f
        mx, my = x[train].mean(0), y[train].mean(0)
        a, b = x[train] - mx, y[train] - my
        sxx, syy, sxy = a.T @ a, b.T @ b, a.T @ b

        # ridge in units of the mean variance of the independent directions of all samples, seen from the others
        def penalised(s, whole):
            r = min(whole.shape[1], len(whole) - 1)
            return s + ridge * np.trace(s) / r * np.eye(len(s))

        pxx, pyy = penalised(sxx, x), penalised(syy, y)
        values, vectors = np.linalg.eig(np.linalg.solve(pxx, sxy) @ np.linalg.solve(pyy, sxy.T))
        w = vectors.real[:, np.argsort(-values.real)[:k]]
        v = np.linalg.solve(pyy, sxy.T @ w)
        made.append([np.corrcoef(a @ w[:, i], b @ v[:, i])[0, 1] for i in range(k)])
        tx, ty = (x[~train] - mx) @ w, (y[~train] - my) @ v
        held.append([np.corrcoef(tx[:, i], ty[:, i])[0, 1] for i in range(k)])
        scores.append((tx, ty))
    return np.array(held), np.array(made), scores


def related(rng, n, p, q, shared=2, strength=1.5):
    x, y = rng.standard_normal((n, p)), rng.standard_normal((n, q))
    y[:, :shared] += strength * x[:, :shared]
    return x @ rng.standard_normal((p, p)) + 3, y @ rng.standard_normal((q, q)) * 1e3


def found_of(x, y, fold, group, ridge, k):
    sides = ridge_sides([x, y], ["x", "y"], fold, ridge=ridge)
    return held_out(*sides, k, group)


# ---------------------------------------------------------------------------- held-out CCA
@FEW
@given(
    st.integers(0, 10**6),
    st.sampled_from([(60, 3, 4, 2), (100, 8, 5, 3), (50, 1, 6, 1)]),
    st.sampled_from([1e-5, 0.3]),
)
def test_it_is_fitting_again_without_each_fold(seed, shape, ridge):
    n, p, q, k = shape
    rng = np.random.default_rng(seed)
    x, y = related(rng, n, p, q, min(p, q, 2))
    fold, group = folds_and_groups(n, rng)
    found = found_of(x, y, fold, group, ridge, k)
    held, made, scores = fold_by_fold(x, y, fold, ridge, k)
    np.testing.assert_allclose(found.series[0], held.mean(0), atol=1e-6)
    np.testing.assert_allclose(found.in_sample, made.mean(0), atol=1e-6)
    deviations = []
    for tx, ty in scores:
        alike = np.atleast_2d(np.corrcoef(tx.T)) * np.atleast_2d(np.corrcoef(ty.T))
        deviations.append(np.sqrt(alike.sum() / k**2 / (len(tx) - 1)))
    assert found.deviation == pytest.approx(np.mean(deviations), rel=1e-5)


def test_leaving_a_group_out_takes_its_samples_from_every_fold(rng):
    x, y = related(rng, 100, 4, 3)
    fold, group = folds_and_groups(100, rng)
    found = found_of(x, y, fold, group, 0.1, 2)
    _, _, scores = fold_by_fold(x, y, fold, 0.1, 2)
    assert len(found.series) == 11
    parts = np.split(group, np.cumsum(np.bincount(fold))[:-1])
    for g in range(10):
        kept = [
            [np.corrcoef(tx[mine != g, i], ty[mine != g, i])[0, 1] for i in range(2)]
            for mine, (tx, ty) in zip(parts, scores, strict=True)
        ]
        np.testing.assert_allclose(found.series[1 + g], np.mean(kept, axis=0), atol=1e-7)


def test_unrelated_samples_give_0_and_the_deviation_is_a_bound_that_naive_ones_are_not():
    """300 exchanges, data of heavy tails: the folds are not independent, so that 1 / √n would be too small."""
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((60, 4)) ** 3, np.exp(rng.standard_normal((60, 5)))
    values, bounds, rejected = [], [], 0
    for _ in range(300):
        fold, group = folds_and_groups(60, rng)
        found = found_of(x, y[rng.permutation(60)], fold, group, 0.01, 1)
        values.append(found.series[0].mean())
        bounds.append(found.deviation)
        rejected += values[-1] > 0 and bounds[-1] ** 2 / (bounds[-1] ** 2 + values[-1] ** 2) < 0.05
    assert np.mean(values) == pytest.approx(0, abs=4 * np.std(values) / np.sqrt(300))
    assert 1 / np.sqrt(60) < np.std(values) < np.mean(bounds)
    assert rejected <= 0.05 * 300


def test_more_units_than_samples_are_alike_in_sample_and_not_held_out(rng):
    x, y = rng.standard_normal((2, 120, 300))
    found = heldout_cca(x, y, params=HeldoutCcaParams(components=5, ridge=1e-3))
    assert found.estimates[-1].value > 0.99
    assert abs(found.values[0, 1]) < 0.2
    assert not found.significant[0, 1]
    z = 2 * rng.standard_normal((120, 5))
    x, y = x + z @ rng.standard_normal((5, 300)), y + z @ rng.standard_normal((5, 300))
    found = heldout_cca(x, y, params=HeldoutCcaParams(components=5))
    assert found.values[0, 1] > 0.8
    assert found.significant[0, 1]


def test_the_matrix_says_value_null_interval_and_the_in_sample_mean(rng):
    x = rng.standard_normal((300, 8))
    taps = [ArrayActivations(v, name=f"s:{n}") for n, v in (
        ("a", x), ("b", x + 0.3 * rng.standard_normal((300, 8))), ("c", rng.standard_normal((300, 6))))]  # fmt: skip
    found = heldout_cca(*taps, params=HeldoutCcaParams(components=7))
    np.testing.assert_array_equal(found.values, found.values.T)
    np.testing.assert_array_equal(np.diag(found.values), 1.0)
    assert found.significant[0, 1]
    assert not found.significant[0, 2]
    assert (found.null[np.triu_indices(3, 1)] == 0).all()
    assert ((found.low <= found.values) & (found.values <= found.high)).all()
    assert any("2 of 3 pairs have fewer than 7 components (6 at least)" in c for c in found.caveats)
    assert found.estimates[-1].name == "in-sample mean of the same directions"
    assert found.estimates[-1].value > found.estimates[0].value
    assert "On the samples that made the directions the mean is" in found.reading


@FEW
@given(st.integers(0, 10**6))
def test_scaling_and_shifting_units_changes_nothing_and_losing_them_does(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((80, 4)), rng.standard_normal((80, 3))
    y += x[:, :3]

    def of(a, b):
        return float(heldout_cca(a, b, params=HeldoutCcaParams(components=2)).values[0, 1])

    assert of(x * [1e3, 1, -1e-3, 5] + 7, y) == pytest.approx(of(x, y), abs=1e-9)
    assert of(y, x) == pytest.approx(of(x, y), abs=1e-9)
    assert of(x[:, 3:], y) < of(x, y) - 0.1


def test_leading_vectors_are_those_of_the_decomposition(rng):
    for shape in ((6, 9), (9, 6), (5, 5)):
        cross = rng.standard_normal(shape) / 20
        u, rho, v = leading(cross, 3)
        a, s, bt = np.linalg.svd(cross)
        np.testing.assert_allclose(rho, s[:3], atol=1e-12)
        np.testing.assert_allclose(u @ np.diag(rho) @ v.T, a[:, :3] @ np.diag(s[:3]) @ bt[:3], atol=1e-10)


# ---------------------------------------------------------------------------- one by one
def test_the_spectrum_finds_what_was_planted_and_holds_it_out(rng):
    rho = np.array([0.9, 0.6])
    z, e = rng.standard_normal((2, 1500, 2))
    rest = rng.standard_normal((2, 1500, 6))
    x, y = np.hstack([z, rest[0]]), np.hstack([z * rho + e * np.sqrt(1 - rho**2), rest[1]])
    found = canonical_spectrum(
        x @ rng.standard_normal((8, 8)), y, CanonicalSpectrumParams(variance=1.0, held_out=3)
    )
    assert found.estimates[0].value == 2
    np.testing.assert_allclose(found.values[:2], rho, atol=0.06)
    held = [e.value for e in found.estimates if e.name.endswith("held out")]
    assert held[:2] == pytest.approx(rho, abs=0.08)
    assert abs(held[2]) < 0.1
    assert (np.diff(found.values) <= 0).all()
    assert ((found.low <= found.values) & (found.values <= found.high)).all()
    assert (found.null < 0.2).all()
    by_hand = np.linalg.svd(
        np.linalg.qr(x - x.mean(0))[0].T @ np.linalg.qr(y - y.mean(0))[0], compute_uv=False
    )
    np.testing.assert_allclose(found.values, by_hand, atol=1e-9)


def test_unrelated_taps_share_a_direction_in_no_more_than_one_case_of_twenty():
    rng = np.random.default_rng(8)
    shared = [
        canonical_spectrum(*rng.standard_normal((2, 80, 5)), rng=rng).estimates[0].value > 0
        for _ in range(100)
    ]
    assert sum(shared) <= 12  # binomial(100, 0.05): more in 0.1 %


def test_the_spectrum_refuses_what_any_data_would_show(rng):
    with pytest.raises(NotEnoughData, match="31 of their 40 correlations are 1"):
        canonical_spectrum(*rng.standard_normal((2, 50, 40)), CanonicalSpectrumParams(variance=1.0))
    with pytest.raises(NotEnoughData, match="20 sample"):
        canonical_spectrum(*rng.standard_normal((2, 20, 3)))


# ---------------------------------------------------------------------------- visibility
@FEW
@given(st.integers(0, 10**6), st.sampled_from([(30, 3), (40, 12), (25, 1)]))
def test_left_out_r2_is_leaving_each_sample_out(seed, shape):
    rng = np.random.default_rng(seed)
    n, p = shape
    x = rng.standard_normal((n, p)) * 50 + 7
    y = np.column_stack([x.sum(1) + 50 * rng.standard_normal(n), np.exp(rng.standard_normal(n))])
    group = groups_of(n, rng)
    errors = np.empty((2, n, 2))
    for i in range(n):
        stay = np.arange(n) != i
        design = np.column_stack([np.ones(n), x])
        errors[0, i] = y[i] - design[i] @ np.linalg.lstsq(design[stay], y[stay], rcond=None)[0]
        errors[1, i] = y[i] - y[stay].mean(0)
    squares = errors**2
    found = held_out_shares(span_of(x, "x").basis, y, group)
    np.testing.assert_allclose(found.series[0], 1 - squares[0].sum(0) / squares[1].sum(0), atol=1e-9)
    for g in range(group.max() + 1):
        part = squares[:, group != g]
        np.testing.assert_allclose(found.series[1 + g], 1 - part[0].sum(0) / part[1].sum(0), atol=1e-9)


def test_nulls_of_both_r2_are_exact():
    """All 5,040 exchanges of seven samples of a skewed target."""
    rng = np.random.default_rng(9)
    x, y = rng.standard_normal((7, 2)) ** 3, rng.exponential(size=(7, 1)) ** 2
    span, group = span_of(x, "x"), np.arange(7)
    every = [list(p) for p in permutations(range(7))]
    held = held_out_shares(span.basis, y, group)
    values = np.array([held_out_shares(span.basis, y[p], group).series[0, 0] for p in every])
    assert held.null[0] == pytest.approx(values.mean(), rel=1e-9)
    assert held.deviation[0] == pytest.approx(values.std(), rel=1e-9)
    side = side_of(span, group)
    made = in_sample_shares(side, y, group)
    centred = y[:, 0] - y.mean()
    values = np.array([((span.basis.T @ centred[p]) ** 2).sum() / (centred @ centred) for p in every])
    assert made.null[0] == pytest.approx(2 / 6, rel=1e-9)
    assert made.null[0] == pytest.approx(values.mean(), rel=1e-9)
    assert made.deviation[0] == pytest.approx(values.std(), rel=1e-9)


def test_in_sample_r2_without_each_group_is_fitting_without_it(rng):
    x, y = rng.standard_normal((60, 4)), rng.standard_normal((60, 3))
    y[:, 0] += x[:, 0]
    group = groups_of(60, rng)
    found = in_sample_shares(side_of(span_of(x, "x"), group), y, group)
    for g in range(10):
        stay = group != g
        a, b = x[stay] - x[stay].mean(0), y[stay] - y[stay].mean(0)
        left = b - a @ np.linalg.lstsq(a, b, rcond=None)[0]
        np.testing.assert_allclose(found.series[1 + g], 1 - (left**2).sum(0) / (b**2).sum(0), atol=1e-9)


def test_a_direction_that_one_sample_makes_alone_predicts_nothing(rng):
    x = np.column_stack([rng.standard_normal((40, 2)), np.arange(40) == 3])
    basis, lost = without_lonely(span_of(x, "x").basis)
    assert (basis.shape, lost) == ((40, 2), 1)
    assert basis.T @ basis == pytest.approx(np.eye(2), abs=1e-9)
    assert 1 - 1 / 40 - (basis**2).sum(1).max() > left_out_fit.LONELY
    y = rng.standard_normal((40, 2))
    found = class_visibility(x, y, params=ClassVisibilityParams(variance=1.0))
    assert any("1 direction(s) that one sample makes alone left out" in c for c in found.caveats)


def test_the_layer_where_a_class_becomes_visible_is_found(rng):
    label = rng.integers(4, size=500)
    early, late = rng.standard_normal((2, 500, 12))
    early[:, 0] += 4 * (label == 0)
    late[:, :4] += 4 * np.eye(4)[label]
    logits = 10 * np.eye(4)[label] + rng.standard_normal((500, 4))
    taps = [ArrayActivations(v, name=f"s:{n}") for n, v in (("early", early), ("late", late))]
    out = ArrayActivations(
        np.hstack([logits, np.zeros((500, 1))]), name="s:logits", unit_names=(*"abcd", "never")
    )
    found = class_visibility(*taps, out)
    assert found.values.shape == (2, 4)
    assert found.row_names == ("early", "late")
    assert found.column_names == ("a", "b", "c", "d")
    assert found.values[0, 0] > 0.5
    assert found.values[0, 1:].max() < 0.2
    assert found.values[1].min() > 0.5
    assert found.significant[1].all()
    assert "earliest by logit a (early), latest by logit b (late)" in found.reading
    assert any("1 class(es) whose logit is constant left out" in c for c in found.caveats)
    made = class_visibility(*taps, out, params=ClassVisibilityParams(estimate="in-sample"))
    assert (made.values > found.values).all()
    np.testing.assert_allclose(made.null, 12 / 499, rtol=1e-6)
    assert (found.null < 0).all()


def test_unrelated_logits_lie_on_the_floor_and_are_not_beyond_chance(rng):
    x, y = rng.standard_normal((400, 40)), rng.standard_normal((400, 20))
    for estimate in ("held out", "in-sample"):
        found = class_visibility(x, y, params=ClassVisibilityParams(variance=1.0, estimate=estimate))
        assert found.values.mean() == pytest.approx(found.null.mean(), abs=0.03)
        assert not found.significant.any()


def test_visibility_refusals(rng):
    x = rng.standard_normal((30, 40))
    with pytest.raises(NotEnoughData, match="30 samples for 29 kept dimensions"):
        class_visibility(x, x[:, :3], params=ClassVisibilityParams(variance=1.0))
    with pytest.raises(ParameterError, match="1 tap"):
        class_visibility(x)
    with pytest.raises(InputError, match="all samples of"):
        class_visibility(x, np.ones((30, 2)))
    with pytest.raises(NotEnoughData, match="10 sample"):
        class_visibility(x[:10], x[:10])


# ---------------------------------------------------------------------------- checks that can fail
def _seen(side, f, u):
    """Scores of samples that made the directions, instead of those held out."""
    part = side.parts[(f + 1) % FOLDS][: len(side.parts[f])]
    return part @ (side.whiteners[f] @ u)


def _any_direction(cross, k):
    u, rho, v = leading(cross, k)
    return np.roll(u, 1, axis=0), rho, v


def _not_left_out(basis, y, group):
    found = held_out_shares(basis, y, group)
    y = y - y.mean(0)
    left = ((y - basis @ (basis.T @ y)) ** 2).sum(0) / (y**2).sum(0)
    return left_out_fit.Explained(found.series * 0 + 1 - left, found.null, found.deviation)


BROKEN = [
    (held_module, heldout_canonical, "_scores", _seen),
    (held_module, heldout_canonical, "leading", _any_direction),
    (spectrum_module, spectrum_module, "largest_correlations", lambda p, q, n, draws, rng: np.zeros(draws)),
    (
        spectrum_module,
        spectrum_module,
        "null_correlations",
        lambda p, q, n, d, rng: np.full((d, min(p, q)), 0.3),
    ),
    (spectrum_module, heldout_canonical, "leading", _any_direction),
    (visibility_module, visibility_module, "held_out_shares", _not_left_out),
    (visibility_module, left_out_fit, "_unit", lambda y: y / np.linalg.norm(y, axis=0)),
]


@pytest.mark.parametrize(("module", "where", "name", "broken"), BROKEN)
def test_the_check_fails_on_broken_code(monkeypatch, module, where, name, broken):
    check = module.METHODS[0].check
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in check())
