"""Sparse prediction: least squares fold by fold as second implementation, planted parts, floors, intervals, input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.activations import ArrayActivations, Layout
from analysis.compute.matching import sparse_prediction as compute
from analysis.compute.matching.sparse_prediction import FOLDS, told_by
from analysis.compute.matching.told_units import PredictionParams
from analysis.compute.matching.unit_sides import unit_norm
from analysis.compute.statistics.sample_groups import jackknife_half
from analysis.errors import InputError, NotEnoughData
from analysis.methods.matching import sparse_prediction as curve_module
from analysis.methods.matching import sparse_prediction_units as units_module
from analysis.methods.matching.sparse_prediction import FITTED, MEAN, MEDIAN, sparse_prediction
from analysis.methods.matching.sparse_prediction_units import sparse_prediction_units
from analysis.spec import no_progress

FEW = settings(max_examples=8, deadline=None)


def tap(x, ids=None, layout=None):
    return ArrayActivations(x, samples={} if ids is None else {"id": np.asarray(ids)}, layout=layout)


def curve(x, y, seed=0, **params):
    return sparse_prediction(x, y, PredictionParams(**params), rng=np.random.default_rng(seed))


def table(x, y, seed=0, **params):
    return sparse_prediction_units(x, y, PredictionParams(**params), rng=np.random.default_rng(seed)).columns


def told(x, y, steps, rng):
    """Units of x (n, p) by those of y (n, q), each row a sample."""
    return told_by(unit_norm(x.T), unit_norm(y.T), np.arange(len(x)), len(x), steps, rng, no_progress, (0, 1))


def by_hand(target, predictors, fold, steps):
    """Held-out R² (m,) of one target (n,) from predictors (n, q), a least-squares fit for every candidate."""
    error, square = np.zeros(steps), 0.0
    design = np.column_stack([predictors, np.ones(len(target))])
    for f in range(fold.max() + 1):
        train, taken = fold != f, []
        square += ((target[~train] - target[train].mean()) ** 2).sum()
        for m in range(steps):
            fits = {}
            for j in set(range(predictors.shape[1])) - set(taken):
                w, rest = np.linalg.lstsq(design[train][:, [*taken, j, -1]], target[train], rcond=None)[:2]
                fits[j] = rest[0], ((target[~train] - design[~train][:, [*taken, j, -1]] @ w) ** 2).sum()
            best = min(fits, key=lambda j: fits[j][0])
            taken.append(best)
            error[m] += fits[best][1]
    return 1 - error / square


# ---------------------------------------------------------------------------- numbers
@FEW
@given(st.integers(0, 10**6), st.booleans())
def test_moments_give_what_fits_on_the_samples_give(seed, blocks):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((60, 3)) * 5 + 40, rng.standard_normal((60, 7)) - 9
    x[:, 0] += 60 * y[:, 2] - 30 * y[:, 6]
    before = compute.AT_ONCE
    try:
        compute.AT_ONCE = 1 if blocks else before
        found = told(x, y, 4, np.random.default_rng(1))
    finally:
        compute.AT_ONCE = before
    fold = np.random.default_rng(1).permutation(np.arange(60) % FOLDS)
    for t in range(3):
        np.testing.assert_allclose(found.held_out[t], by_hand(x[:, t], y, fold, 4), atol=1e-9)
    assert found.chosen[0, :2].tolist() == [2, 6]
    whole = np.linalg.lstsq(np.column_stack([y[:, [2, 6]], np.ones(60)]), x[:, 0], rcond=None)[1][0]
    assert found.fitted[0, 1] == pytest.approx(1 - whole / ((x[:, 0] - x[:, 0].mean()) ** 2).sum(), abs=1e-9)
    assert (np.diff(found.fitted, axis=1) >= -1e-12).all()


def test_the_null_is_that_of_targets_with_moved_samples():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((50, 2)), rng.standard_normal((50, 5))
    x += y[:, :2]
    again = np.random.default_rng(4)
    found = told(x, y, 2, np.random.default_rng(4))
    fold = again.permutation(np.arange(50) % FOLDS)
    order = np.argsort(again.permutation(50), kind="stable")
    np.testing.assert_allclose(found.null[0, 1], by_hand(x[order, 1], y, fold, 2), atol=1e-9)
    assert found.held_out.min() > 0.1
    assert found.null.mean() < 0


def test_tokens_of_a_sample_stay_in_one_fold(monkeypatch):
    seen = []
    monkeypatch.setattr(compute._HeldOut, "of", staticmethod(lambda p, g, held: seen.append(held) or 1 / 0))
    with pytest.raises(ZeroDivisionError):
        told_by(np.eye(2, 12), np.eye(3, 12), np.repeat(np.arange(6), 2), 6, 1, np.random.default_rng(0), no_progress,
                (0, 1))  # fmt: skip
    assert (seen[0].reshape(6, 2)[:, 0] == seen[0].reshape(6, 2)[:, 1]).all()
    assert 0 < seen[0].sum() < 12


def test_the_interval_covers_the_mean_of_many_data_sets():
    series, halves = [], []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        y = rng.standard_normal((200, 5))
        x = y[:, :3] + y[:, 1:4] + rng.standard_normal((200, 3))
        found = told(x, y, 2, rng)
        series.append(found.held_out.mean(axis=0))
        halves.append(jackknife_half(np.array([found.without(f).mean(axis=0) for f in range(FOLDS)])))
    hits = (np.abs(np.array(series) - np.mean(series, axis=0)) <= np.array(halves)).sum(axis=0)
    assert (hits >= 85).all(), hits


# ---------------------------------------------------------------------------- facts
def test_a_permuted_copy_needs_one_unit(rng):
    x = rng.standard_normal((200, 15))
    order = rng.permutation(15)
    found = table(x, x[:, order] * -3 + 2, units=4)
    np.testing.assert_allclose(found["R²"], 1.0, atol=1e-9)
    assert (found["units needed"] == 1).all()
    np.testing.assert_array_equal(order[found["first"]], found["unit"])
    np.testing.assert_array_equal(found["told by"], found["first"].astype(str))


def test_a_rotation_is_told_by_all_units_and_by_no_single_one(rng):
    x = rng.standard_normal((1500, 16))
    found = curve(x @ np.linalg.qr(rng.standard_normal((16, 16)))[0], x, units=16)
    mean = found.series[MEAN]
    assert (np.diff(mean) > 0).all()
    assert mean[-1] == pytest.approx(1, abs=1e-9)
    assert mean[0] < 0.4
    assert found.estimates[2].value >= 6  # units that the middle unit needs


def test_unrelated_units_are_told_by_none_and_fit_all_the_same(rng):
    found = curve(rng.standard_normal((120, 20)), rng.standard_normal((120, 60)), units=8)
    assert (found.series[MEAN] < 0).all()
    assert (found.null[MEAN] < 0).all()
    assert found.low[MEAN][-1] < found.null[MEAN][-1] < found.high[MEAN][-1]
    assert found.series[FITTED][-1] > 0.2
    assert found.estimates[-1].value == 0
    assert found.null[MEDIAN].shape == found.x.shape


def test_more_units_than_samples_are_no_better_than_chance(rng):
    found = curve(rng.standard_normal((40, 6)), rng.standard_normal((40, 300)))
    assert found.series[FITTED][-1] > 0.9
    assert found.series[MEAN][-1] < 0


def test_which_tap_is_predicted_can_be_turned(rng):
    y = rng.standard_normal((300, 6))
    x = np.column_stack([y[:, 0] + y[:, 1], y[:, 2]])
    assert len(table(x, y)["unit"]) == 2
    back = table(x, y, predicted="second")
    assert len(back["unit"]) == 6
    assert back["R²"][list(back["unit"]).index(0)] == pytest.approx(0.5, abs=0.1)
    np.testing.assert_allclose(table(y, x)["R²"], back["R²"], atol=1e-12)
    assert curve(x, y, predicted="second").title.startswith("Units of array (2)")


@FEW
@given(st.integers(0, 10**6))
def test_permuting_shifting_and_scaling_change_nothing(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((60, 4)), rng.standard_normal((60, 6))
    x[:, :3] += y[:, :3]
    turned = y[:, rng.permutation(6)] * rng.uniform(-9, 9, 6) + 4
    one, other = curve(x, y, units=3), curve(x * 2 - 1, turned, units=3)
    for name in (MEAN, MEDIAN, FITTED):
        np.testing.assert_allclose(one.series[name], other.series[name], atol=1e-9)


def test_curve_and_table_are_of_the_same_numbers(rng):
    y = rng.standard_normal((150, 9))
    x = y[:, :4] + y[:, 4:8] + rng.standard_normal((150, 4))
    found, units = curve(x, y, seed=3, units=1), table(x, y, seed=3, units=1)
    assert found.series[MEAN][0] == pytest.approx(units["R²"].mean(), abs=1e-12)


# ---------------------------------------------------------------------------- input
def test_samples_are_matched_by_id_and_dead_units_keep_their_numbers(rng):
    y = rng.standard_normal((100, 5))
    x = y[:, [3, 1, 2]].copy()
    x[:, 1], y[:, 0] = 4.0, 0.0
    ids, order = np.array([f"s{i}" for i in range(100)]), rng.permutation(100)
    found = table(tap(x, ids), tap(y[order], ids[order]))
    assert sorted(found["unit"]) == [0, 2]
    assert dict(zip(found["unit"], found["first"], strict=True)) == {0: 3, 2: 2}


def test_tokens_pooled_or_as_rows(rng):
    y = rng.standard_normal((40, 3, 4))
    layout = Layout(np.arange(41) * 3)
    x, y = tap(y[..., :2].reshape(120, 2), layout=layout), tap(y.reshape(120, 4), layout=layout)
    for rows in ("samples", "tokens"):
        found = sparse_prediction(x, y, PredictionParams(rows=rows))
        assert found.series[MEAN][0] == pytest.approx(1, abs=1e-9)
        assert found.estimates[0].n == 40


@pytest.mark.parametrize("spoil", ["duplicated", "rare", "one", "huge", "integers"])
def test_odd_units_give_numbers(rng, spoil):
    y = rng.standard_normal((60, 4))
    if spoil == "duplicated":
        y = np.hstack([y, y, -y])
    elif spoil == "rare":
        y[:, 1] = 0.0
        y[11, 1] = 1.0
    elif spoil == "one":
        y = y[:, :1]
    elif spoil == "huge":
        y *= 1e200
    else:
        y = np.round(y * 10).astype(np.int8)
    found = table(y, y)
    for name, column in found.items():
        assert column.dtype.kind != "f" or np.isfinite(column).all(), name
    varied = found["unit"] != 1 if spoil == "rare" else np.ones(len(found["unit"]), bool)
    np.testing.assert_allclose(found["R²"][varied], 1.0, atol=1e-9)
    assert all(np.isfinite(s).all() for s in curve(y, y).series.values())


def test_most_units_are_those_of_largest_variance_and_that_is_said(rng):
    x = rng.standard_normal((80, 6)) * [1, 9, 1, 8, 1, 7]
    found = sparse_prediction_units(x, x, PredictionParams(maximum_units=3))
    assert sorted(found.columns["unit"]) == [1, 3, 5]
    assert any("3 units of largest variance of 6" in c for c in found.caveats)


def test_few_samples_allow_few_units_and_that_is_said(rng):
    found = curve(rng.standard_normal((12, 9)), rng.standard_normal((12, 9)))
    assert len(found.x) == 3
    assert any("At most 3 unit(s)" in c for c in found.caveats)


def test_refusals(rng):
    x = rng.standard_normal((30, 3))
    for method in (sparse_prediction, sparse_prediction_units):
        with pytest.raises(NotEnoughData, match="7 sample"):
            method(x[:7], x[:7])
        with pytest.raises(InputError, match="all samples"):
            method(x, np.ones((30, 2)))


# ---------------------------------------------------------------------------- the checks
def _on_the_fitted(self, target, cross, steps):
    found = compute._paths(cross, self.train, steps)
    square = np.einsum("pn,pn->p", target, target)
    return square[:, None] * np.maximum(1 - found.explained, 0), square


def _always_the_first(cross, spread, rows, steps):
    return FORWARD(cross * 1e-12 + np.arange(cross.shape[1], 0, -1) * 1e-6, spread, rows, steps)


FORWARD = compute.forward_paths


@pytest.mark.parametrize("module", [curve_module, units_module])
@pytest.mark.parametrize(
    ("target", "broken"),
    [
        ("analysis.compute.matching.sparse_prediction._HeldOut.errors", _on_the_fitted),
        ("analysis.compute.matching.sparse_prediction.forward_paths", _always_the_first),
        ("analysis.compute.matching.sparse_prediction.held_out_r2", lambda e, s: 1 - 0.9 * (e / s[..., None]).mean(0)),
        ("analysis.compute.matching.told_units.ToldUnits.needed", lambda self, enough: np.full(len(self.p), 2)),
    ],
)  # fmt: skip
def test_the_check_fails_on_broken_code(monkeypatch, module, target, broken):
    check = module.METHODS[0].check
    monkeypatch.setattr(target, broken)
    assert not all(line.passed for line in check())
