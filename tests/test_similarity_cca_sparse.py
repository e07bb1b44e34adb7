"""Sparse CCA: exact lassos, ordinary CCA without a penalty, planted blocks, exchanged samples, nothing seen
beforehand."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.activations import ArrayActivations
from analysis.compute.similarity import sparse_canonical, sparse_canonical_fit, sparse_canonical_path
from analysis.compute.similarity.sparse_canonical import Covariances, lasso, sparse_pairs, violations
from analysis.compute.similarity.sparse_canonical_fit import fit_of
from analysis.compute.similarity.sparse_canonical_path import Cohort, Path, followed, penalties_of
from analysis.errors import InputError, NotEnoughData, ParameterError, TooLarge
from analysis.methods.similarity import sparse_cca as module
from analysis.methods.similarity import sparse_cca_path as path_module
from analysis.methods.similarity.sparse_cca import WEIGHTS, SparseCcaParams, sparse_cca
from analysis.methods.similarity.sparse_cca_path import (
    HELD,
    MADE,
    SHARE,
    SparseCcaPathParams,
    sparse_cca_path,
)

FEW = settings(max_examples=12, deadline=None)


def scaled(x):
    return (x - x.mean(0)) / x.std(0)


def covariances(x, y):
    x, y = scaled(x), scaled(y)
    return Covariances(x.T @ x / len(x), y.T @ y / len(x), x.T @ y / len(x))


def planted(rng, n=400, p=40, q=30, loud=1.5):
    """Units 0-2 of one side and 10-12 of the other hold one thing."""
    z = rng.standard_normal((n, 1))
    x, y = rng.standard_normal((n, p)), rng.standard_normal((n, q))
    x[:, :3] += loud * z
    y[:, 10:13] += loud * z
    return x, y


# ---------------------------------------------------------------------------- one side
@FEW
@given(
    st.integers(0, 10**6), st.sampled_from([(50, 6), (20, 40), (200, 3)]), st.sampled_from([0.4, 0.1, 0.02])
)
def test_the_lasso_meets_its_optimality_conditions(seed, shape, penalty):
    rng = np.random.default_rng(seed)
    n, d = shape
    x = scaled(rng.standard_normal((n, d)) @ (np.eye(d) + 0.5 * rng.standard_normal((d, d)) / np.sqrt(d)))
    y = scaled(x[:, :2].sum(1) + rng.standard_normal(n))
    gram, target = x.T @ x / n, x.T @ y / n
    w = lasso(gram, target, penalty, rng.standard_normal(d))
    left = target - gram @ w
    assert (np.abs(left) <= penalty + 1e-7).all()
    np.testing.assert_allclose(left[w != 0], penalty * np.sign(w[w != 0]), atol=1e-7)
    assert violations(left, w, penalty).max() <= 1e-7


def test_the_lasso_of_three_weights_is_the_best_of_all_signs(rng):
    """Every pattern of signs has one candidate; the best feasible one is the minimum."""
    for _ in range(20):
        x = rng.standard_normal((30, 3)) @ rng.standard_normal((3, 3))
        gram, target = x.T @ x / 30, rng.standard_normal(3)
        best, least = np.zeros(3), 0.0
        for signs in product((-1, 0, 1), repeat=3):
            at = np.flatnonzero(signs)
            if not len(at):
                continue
            w = np.zeros(3)
            w[at] = np.linalg.solve(gram[np.ix_(at, at)], target[at] - 0.3 * np.array(signs)[at])
            value = 0.5 * w @ gram @ w - target @ w + 0.3 * np.abs(w).sum()
            if (np.sign(w) == signs).all() and value < least:
                best, least = w, value
        np.testing.assert_allclose(lasso(gram, target, 0.3, np.zeros(3)), best, atol=1e-7)


def test_duplicated_and_dependent_units_have_a_solution(rng):
    x = rng.standard_normal((60, 5))
    x = scaled(np.hstack([x, x, x.sum(1, keepdims=True)]))
    gram, target = x.T @ x / 60, x.T @ scaled(x[:, 0] + x[:, 1]) / 60
    w = lasso(gram, target, 0.05, np.zeros(11))
    assert violations(target - gram @ w, w, 0.05).max() < 1e-7


# ---------------------------------------------------------------------------- both sides
@FEW
@given(st.integers(0, 10**6), st.sampled_from([(80, 5, 4), (100, 3, 7)]))
def test_without_penalty_it_is_ordinary_cca(seed, shape):
    n, p, q = shape
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((n, p)) @ rng.standard_normal((p, p)), rng.standard_normal((n, q))
    y[:, :2] += x[:, :2]
    bases = [np.linalg.qr(v - v.mean(0))[0] for v in (x, y)]
    ordinary = np.linalg.svd(bases[0].T @ bases[1], compute_uv=False)
    found = sparse_pairs(covariances(x, y), 0.0, 3)
    np.testing.assert_allclose(found.rho, ordinary[:3], atol=1e-9)
    scores = scaled(x) @ found.u
    np.testing.assert_allclose(scores.T @ scores / n, np.eye(3), atol=1e-8)


def test_a_vanishing_penalty_comes_to_ordinary_cca_by_alternation(rng):
    """The general search, without the closed form, and its deflation: all pairs one after the other."""
    x = rng.standard_normal((300, 6))
    y = np.column_stack([x[:, 0] + 0.3 * rng.standard_normal(300), x[:, 1] + rng.standard_normal(300),
                         x[:, 2] + 2 * rng.standard_normal(300), rng.standard_normal(300)])  # fmt: skip
    c = covariances(x @ rng.standard_normal((6, 6)), y)
    found = sparse_pairs(c, 1e-10, 3, settled=1e-13)
    np.testing.assert_allclose(found.rho, sparse_pairs(c, 0.0, 3).rho, atol=1e-5)


def test_each_side_is_the_lasso_of_the_others_score(rng):
    x, y = planted(rng)
    c = covariances(x, y)
    for penalty in (0.3, 0.1, 0.04):
        found = sparse_pairs(c, penalty, 1, settled=1e-13)
        u, v = found.u[:, 0], found.v[:, 0]
        assert u @ c.xx @ u == pytest.approx(1, abs=1e-9)
        assert v @ c.yy @ v == pytest.approx(1, abs=1e-9)
        for gram, target, w in ((c.xx, c.xy @ v, u), (c.yy, c.xy.T @ u, v)):
            size = target @ w - penalty * np.abs(w).sum()  # the length of the lasso solution along w
            assert violations(target - size * gram @ w, size * w, penalty).max() < 1e-5


def test_a_planted_block_is_found_and_nothing_else(rng):
    x, y = planted(rng)
    for penalty in (0.35, 0.25, 0.15):
        found = sparse_pairs(covariances(x, y), penalty, 2)
        assert tuple(np.flatnonzero(found.u[:, 0])) == (0, 1, 2)
        assert tuple(np.flatnonzero(found.v[:, 0])) == (10, 11, 12)
        assert found.counts[1] <= 4


def test_signs_follow_the_convention(rng):
    x, y = planted(rng)
    x[:, 0] *= -1
    y *= -1
    found = sparse_pairs(covariances(x, y), 0.2, 1)
    u = found.u[:, 0]
    assert u[np.abs(u).argmax()] > 0
    assert found.rho[0] > 0
    assert (scaled(x) @ u) @ (scaled(y) @ found.v[:, 0]) > 0
    assert np.sign(u[0]) != np.sign(u[1])


# ---------------------------------------------------------------------------- choosing
def test_second_moments_without_a_fold_are_those_of_the_others(rng):
    x, y = rng.standard_normal((50, 4)) * 1e4 + 1e6, rng.standard_normal((50, 3))
    y[:, 2] = 7.0
    cohort, out = Cohort(x, y), np.arange(50) % 5 == 2
    c, mean, scale = cohort.covariances(out)
    expected = np.corrcoef(np.hstack([x, y[:, :2]])[~out].T)
    np.testing.assert_allclose(c.xx, expected[:4, :4], atol=1e-8)
    np.testing.assert_allclose(c.xy[:, :2], expected[:4, 4:], atol=1e-8)
    assert not c.xy[:, 2].any()
    z = (cohort.z[~out] - mean) * scale
    np.testing.assert_allclose(z[:, :6].mean(0), 0, atol=1e-9)
    np.testing.assert_allclose(z[:, :6].std(0), 1, atol=1e-9)
    np.testing.assert_allclose(
        cohort.placed(x[out], y[out], mean, scale), (cohort.z[out] - mean) * scale, atol=1e-9
    )


def test_the_largest_penalty_within_one_standard_error_is_chosen():
    held = np.array([[0.1, 0.1, 0.1], [0.78, 0.80, 0.82], [0.7, 0.8, 0.93], [0.4, 0.5, 0.6]])
    path = Path(np.array([0.4, 0.3, 0.2, 0.1]), held, held, held)
    assert path.mean().argmax() == 2
    assert path.chosen() == 1


def test_the_strongest_penalty_leaves_two_units(rng):
    x, y = rng.standard_normal((100, 6)), rng.standard_normal((100, 5))
    y[:, 2] += x[:, 4]
    c = covariances(x, y)
    top = penalties_of(c, 100, 5)
    assert (np.diff(top) < 0).all()
    assert top[-1] >= 0.1 - 1e-12
    found = sparse_pairs(c, float(top[0]), 1)
    assert tuple(np.flatnonzero(found.u[:, 0])) == (4,)
    assert tuple(np.flatnonzero(found.v[:, 0])) == (2,)


def test_held_out_folds_had_no_part(rng):
    """Each point of the path is a fit to the other folds, scored on its own."""
    x, y = planted(rng, 150, 8, 14)
    cohort, fold = Cohort(x, y), np.arange(150) % 3
    penalties = np.array([0.3, 0.1])
    path = followed(cohort, penalties, fold)
    for f in range(3):
        a, b = x[fold != f], y[fold != f]
        before = None
        for s, penalty in enumerate(penalties):
            before = sparse_pairs(covariances(a, b), penalty, 1, before)
            scores = [(v[fold == f] - w.mean(0)) / w.std(0) @ k[:, 0]
                      for v, w, k in ((x, a, before.u), (y, b, before.v))]  # fmt: skip
            assert path.held[s, f] == pytest.approx(np.corrcoef(*scores)[0, 1], abs=1e-6)
            assert path.made[s, f] == pytest.approx(before.rho[0], abs=1e-6)


def test_what_is_said_held_out_had_no_part_in_choosing_or_fitting(rng):
    """Changing the held-out samples changes neither penalty nor weights."""
    x, y = planted(rng, 200, 10, 14)
    fits = []
    for shift in (0, 1):
        one = fit_of(x, y, np.random.default_rng(3), k=1, penalty=None, steps=5, shuffles=1)
        fits.append(one)
        if not shift:
            x, y = x.copy(), y.copy()
            x[~one.train] = rng.standard_normal((40, 10))
    assert fits[0].penalty == fits[1].penalty
    np.testing.assert_array_equal(fits[0].pairs.u, fits[1].pairs.u)
    assert np.corrcoef(fits[0].x[:, 0], fits[0].y[:, 0])[0, 1] > 0.6
    assert abs(np.corrcoef(fits[1].x[:, 0], fits[1].y[:, 0])[0, 1]) < 0.4


# ---------------------------------------------------------------------------- the results
def test_the_heat_map_holds_the_planted_block_only(rng):
    x, y = planted(rng)
    found = sparse_cca(
        ArrayActivations(x, name="s:a", unit_names=tuple(f"x{j}" for j in range(40))),
        ArrayActivations(y, name="s:b", unit_names=tuple(f"y{j}" for j in range(30))),
        SparseCcaParams(components=1),
    )
    assert sorted(n.split(" ")[0] for n in found.row_names) == ["x0", "x1", "x2"]
    assert sorted(n.split(" ")[0] for n in found.column_names) == ["y10", "y11", "y12"]
    assert (found.values > 0.4).all()
    assert found.significant.all()
    assert ((found.low <= found.values) & (found.values <= found.high)).all()
    held, made, rank, recall = found.estimates
    assert held.value == pytest.approx(6.75 / 7.75, abs=0.08)
    assert held.p_value == 0.001
    assert made.null < 0.5
    assert rank.value < rank.null_low
    assert recall.null == pytest.approx(1 / 80)
    assert "beyond chance" in found.reading
    weights = sparse_cca(x, y, SparseCcaParams(components=1, show=WEIGHTS))
    assert weights.values.shape == (6, 1)
    assert (weights.values > 0.2).all()


def test_exchanged_samples_correlate_in_sample_and_not_held_out(rng):
    x, y = planted(rng, 250, 60, 60)
    found = sparse_cca(x, y[rng.permutation(250)], SparseCcaParams(components=1, penalty=0.02))
    held, made = found.estimates[:2]
    assert abs(held.value) < 4 / np.sqrt(49)
    assert held.p_value > 0.01
    assert made.value > 0.7
    assert made.value == pytest.approx(made.null, abs=0.1)


def test_correlations_drawn_are_of_the_held_out_samples(rng):
    x, y = planted(rng, 200, 5, 14)
    found = sparse_cca(x, y, SparseCcaParams(components=1, penalty=0.2), np.random.default_rng(5))
    fit = fit_of(x, y, np.random.default_rng(5), k=1, penalty=0.2, steps=10, shuffles=3)
    rows, columns = ([int(n.split(" ")[0]) for n in names] for names in (found.row_names, found.column_names))
    expected = np.corrcoef(x[~fit.train].T, y[~fit.train].T)[:5, 5:]
    np.testing.assert_allclose(found.values, expected[np.ix_(rows, columns)], atol=1e-9)
    assert found.estimates[0].n == 40


def test_mates_are_retrieved_by_their_scores(rng):
    z = rng.standard_normal((300, 2))
    x, y = (
        np.hstack([z, rng.standard_normal((300, 5))]),
        np.hstack([z[:, ::-1], rng.standard_normal((300, 5))]),
    )
    found = sparse_cca(x + 1e-3 * rng.standard_normal(x.shape), y, SparseCcaParams(components=2, penalty=0.1))
    rank, recall = found.estimates[-2:]
    assert recall.value > 0.8
    assert rank.value < 1.5


def test_at_most_so_many_units_are_drawn_and_that_is_said(rng):
    x = rng.standard_normal((300, 20))
    found = sparse_cca(x, x + 0.5 * rng.standard_normal(x.shape), SparseCcaParams(penalty=0.0, most_units=4))
    assert found.values.shape == (4, 4)
    assert any("4 of 20 chosen units of the first tap drawn" in c for c in found.caveats)


def test_the_path_rises_in_sample_and_turns_held_out(rng):
    x, y = planted(rng, 200, 60, 60, loud=0.7)
    found = sparse_cca_path(x, y, SparseCcaPathParams(steps=8))
    assert (np.diff(found.x) > 0).all()
    assert found.series[MADE][0] > found.series[MADE][-1] + 0.05
    assert found.series[HELD].argmax() > 0
    assert found.series[HELD][0] < found.series[HELD].max() - 0.02
    assert (np.diff(found.series[SHARE]) <= 0).all()
    assert found.null[MADE][0] > 0.5
    assert (found.null[HELD] == 0).all()
    assert all(
        (found.low[k] <= found.series[k]).all() and (found.series[k] <= found.high[k]).all()
        for k in found.low
    )
    best, chosen, _ = found.estimates
    assert best.value >= chosen.value
    assert chosen.d <= best.d


# ---------------------------------------------------------------------------- bad input
def test_refusals(rng, monkeypatch):
    x, y = planted(rng, 100, 5, 14)
    with pytest.raises(ParameterError, match=r"with penalty 0.9 no unit is left"):
        sparse_cca(x, y, SparseCcaParams(penalty=0.9))
    for method in (sparse_cca, sparse_cca_path):
        with pytest.raises(NotEnoughData, match="40 sample"):
            method(x[:40], y[:40])
        with pytest.raises(InputError, match="all samples of"):
            method(x, np.ones((100, 2)))
    monkeypatch.setattr(sparse_canonical_path, "MOST_BYTES", 1000)
    with pytest.raises(TooLarge, match="5 and 14 units need"):
        sparse_cca_path(x, y)


@pytest.mark.parametrize("spoil", ["constant", "duplicated", "huge", "tiny", "offset", "float32", "nan"])
def test_odd_units_give_numbers(rng, spoil):
    x, y = planted(rng, 120, 5, 14)
    if spoil == "constant":
        x = np.hstack([x, np.full((120, 2), 5.0)])
    elif spoil == "duplicated":
        x = np.hstack([x, x])
    elif spoil in ("huge", "tiny"):
        x = x * (1e100 if spoil == "huge" else 1e-100)
    elif spoil == "offset":
        x = x + 1e6
    elif spoil == "float32":
        x = x.astype(np.float32)
    else:
        x[3, 1] = np.nan
    found = sparse_cca(x, y, SparseCcaParams(components=2, steps=5))
    assert np.isfinite(found.values).all()
    assert found.estimates[0].value > 0.6
    said = {"constant": "2 constant unit(s) left out", "nan": "without a finite row"}
    assert spoil not in said or any(said[spoil] in c for c in found.caveats)


# ---------------------------------------------------------------------------- checks that can fail
def _unpenalised(gram, target, penalty, start):
    return np.linalg.lstsq(gram, target, rcond=None)[0]


def _partial_least_squares(c, k):
    """Without a penalty, what the form with identity covariances gives."""
    u, _, vt = np.linalg.svd(c.xy, full_matrices=False)
    u, v = u[:, :k], vt[:k].T
    return u / np.sqrt(np.diag(u.T @ c.xx @ u)), v / np.sqrt(np.diag(v.T @ c.yy @ v))


def _leaking(cohort, penalties, fold, **more):
    found = followed(cohort, penalties, fold, **more)
    return Path(found.penalties, found.made, found.made, found.counts)


BROKEN = [
    (module, sparse_canonical, "lasso", _unpenalised),
    (module, sparse_canonical, "_canonical_weights", _partial_least_squares),
    (module, sparse_canonical_fit, "score_correlations", lambda x, y: np.full(x.shape[1], 0.87)),
    (path_module, path_module, "followed", _leaking),
    (path_module, sparse_canonical, "lasso", _unpenalised),
]


@pytest.mark.parametrize(("method", "where", "name", "broken"), BROKEN)
def test_the_check_fails_on_broken_code(monkeypatch, method, where, name, broken):
    check = method.METHODS[0].check
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in check())
