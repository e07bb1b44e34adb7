"""Linear predictivity and predicted units: scikit-learn's ridge as second implementation, exact chances by enumeration,
nulls by exchange, known answers, invariances, bad input."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr
from sklearn.linear_model import LinearRegression, Ridge

from analysis.activations import ArrayActivations, Layout
from analysis.compute.linear import cross_prediction
from analysis.compute.linear.cross_prediction import (
    PENALTIES,
    orders_of,
    predict,
    predicted,
    predictor,
    reduced,
    unit_chances,
)
from analysis.compute.similarity.similarity_grid import NETWORKS, groups_of
from analysis.errors import InputError, NotEnoughData, ParameterError
from analysis.methods.similarity import linear_predictivity as module
from analysis.methods.similarity import predicted_units as units_module
from analysis.methods.similarity.linear_predictivity import LinearPredictivityParams, linear_predictivity
from analysis.methods.similarity.predicted_units import predicted_units

FEW = settings(max_examples=15, deadline=None)


def cells(*taps, **params):
    return linear_predictivity(*taps, params=LinearPredictivityParams(**params)).values


def turn(rng, d):
    return np.linalg.qr(rng.standard_normal((d, d)))[0]


def chosen(x, y, each):
    """The penalty with the least GCV error of a training part, from the eigenvalues of its Gram matrix."""
    x, y, n = x - x.mean(0), y - y.mean(0), len(x)
    values, vectors = np.linalg.eigh(x @ x.T)
    rank = np.linalg.matrix_rank(x)
    values, along = values[-rank:], vectors[:, -rank:].T @ y
    outside = np.maximum((y**2).sum(axis=0) - (along**2).sum(axis=0), 0) * (rank < n - 1)
    shares, errors = PENALTIES if rank < n - 1 else PENALTIES[1:], []
    for penalty in shares * values[-1]:
        rest = penalty / (values + penalty)
        left = outside + ((rest[:, None] * along) ** 2).sum(axis=0)
        errors.append((left if each else left.sum(keepdims=True)) / ((rest.sum() + n - 1 - rank) / n) ** 2)
    return np.broadcast_to((shares * values[-1])[np.argmin(errors, axis=0)], y.shape[1:])


@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("shape", [(60, 5, 4), (60, 20, 3), (40, 60, 5), (50, 1, 1)])
def test_it_is_scikit_learns_ridge_with_the_penalty_of_least_gcv_error(rng, shape, each):
    n, p, q = shape
    x, y = rng.standard_normal((n, p)) * np.arange(1, p + 1) + 5, rng.standard_normal((n, q))
    y[:, 0] += x[:, 0]
    fold = np.arange(n) % 5
    one, centred = predictor(reduced(x), fold), y - y.mean(axis=0)
    for f, fit in enumerate(one.fits):
        true, made = predicted(one, centred, fit, one.rows.T @ centred, each=each)
        train = fold != f
        expected = np.empty(true.shape)
        for j, penalty in enumerate(chosen(x[train], y[train], each)):
            model = Ridge(penalty, solver="svd") if penalty > 0 else LinearRegression()
            expected[:, j] = model.fit(x[train], y[train, j]).predict(x[~train]) - y[train, j].mean()
        np.testing.assert_allclose(true, y[~train] - y[train].mean(axis=0), atol=1e-10)
        np.testing.assert_allclose(made, expected, atol=1e-7)


def test_r2_is_that_of_all_units_together_and_its_series_leaves_samples_out(rng):
    x, y = rng.standard_normal((100, 4)), rng.standard_normal((100, 3)) * [5, 1, 1]
    y[:, 0] += 5 * x[:, 0]
    fold, group = np.arange(100) % 5, groups_of(100, rng)
    one, centred = predictor(reduced(x), fold), y - y.mean(axis=0)
    found = predict(one, centred, one.rows.T @ centred, tested=False)
    assert np.isnan(found.p)
    errors, totals = np.zeros(100), np.zeros(100)
    for fit in one.fits:
        true, made = predicted(one, centred, fit, one.rows.T @ centred)
        errors[fit.out], totals[fit.out] = ((true - made) ** 2).sum(1), (true**2).sum(1)
    series = found.series(group)
    assert series[0] == pytest.approx(1 - errors.sum() / totals.sum())
    stay = group != 3
    assert series[4] == pytest.approx(1 - errors[stay].sum() / totals[stay].sum())


# ---------------------------------------------------------------------------- chance
def test_p_counts_the_exchanges_of_held_out_samples(rng):
    """Of all 720 exchanges of six held-out samples, those with as large a Σ ŷ·y."""
    every = np.array(list(permutations(range(6))))
    for q in (3, 1, 40):
        true, made = rng.exponential(size=(6, q)) ** 2, rng.standard_normal((6, q))
        made += true - true.mean(0)
        direct = np.array([np.vdot(true[order], made) for order in every])
        expected = (1 + (direct >= direct[0] - 1e-9).sum()) / 721
        assert cross_prediction._chance(true, made, every) == pytest.approx(expected)


def test_orders_that_are_not_drawnare_drawn_and_always_the_same(rng):
    x, y = rng.standard_normal((60, 3)), rng.standard_normal((60, 2))
    y -= y.mean(axis=0)
    one, fold = reduced(x), np.arange(60) % 5
    found = [predict(predictor(one, fold), y, one.T @ y).p for _ in range(2)]
    drawn = predictor(one, fold, orders_of(fold, np.random.default_rng(1)))
    assert found[0] == found[1] == pytest.approx(predict(drawn, y, one.T @ y).p, abs=0.1)


def test_p_of_a_unit_is_scipys(rng):
    true, made = rng.standard_normal((30, 4)), rng.standard_normal((30, 4))
    made[:, 0] += true[:, 0]
    made[:, 3] = 7.0
    found = unit_chances(true, made)
    for j in range(3):
        assert found[j] == pytest.approx(
            pearsonr(true[:, j], made[:, j], alternative="greater").pvalue, rel=1e-9
        )
    assert found[3] == 1


@pytest.mark.parametrize("heavy", [False, True])
def test_unrelated_units_are_rarely_called_predictable(heavy):
    p = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x, y = rng.standard_normal((100, 6)), rng.standard_normal((100, 20))
        p.append(predicted_units(x, np.exp(1.5 * y) if heavy else y, rng=rng).columns["p"])
    p = np.concatenate(p)
    for level in (0.05, 0.01):
        assert (p <= level).mean() <= level + 3 * np.sqrt(level / len(p))


def test_unrelated_taps_are_rarely_called_predictable_and_r2_is_not_above_0():
    called, values, nulls = 0, [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        found = linear_predictivity(
            rng.standard_normal((60, 5)), np.exp(rng.standard_normal((60, 3))), rng=rng
        )
        called += int(found.significant.sum()) - 2
        values.append(found.values[0, 1])
        nulls.append(found.null[0, 1])
    assert called <= 4
    assert np.mean(values) < 0.01
    assert np.mean(nulls) == pytest.approx(np.mean(values), abs=0.03)
    assert np.mean(nulls) < 0.01


def test_in_sample_least_squares_would_give_p_over_n_minus_1(rng):
    """What is avoided here: 40 unrelated units of 200 samples explain a fifth in-sample, and nothing held out."""
    x, y = rng.standard_normal((200, 40)), rng.standard_normal((200, 6))
    inside = LinearRegression().fit(x, y)
    share = 1 - ((y - inside.predict(x)) ** 2).sum() / ((y - y.mean(0)) ** 2).sum()
    assert share == pytest.approx(40 / 199, abs=0.05)
    assert cells(x, y)[0, 1] < 0.02


@pytest.mark.parametrize("p", [20, 150, 600])
def test_more_units_than_samples_are_marked_and_do_not_go_astray(rng, p):
    found = linear_predictivity(rng.standard_normal((100, p)), rng.standard_normal((100, 4)))
    assert found.few[0, 1] == (p > 80)
    assert found.values[0, 1] > -0.5


# ---------------------------------------------------------------------------- known answers and invariances
def test_it_is_not_symmetric(rng):
    x = rng.standard_normal((600, 8))
    found = cells(x, x[:, :2] @ rng.standard_normal((2, 3)))
    assert found[0, 1] == pytest.approx(1, abs=1e-9)
    assert found[1, 0] == pytest.approx(2 / 8, abs=0.05)


@pytest.mark.parametrize(("signal", "noise"), [(1, 1), (3, 1), (1, 3)])
def test_signal_and_noise(signal, noise):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((4000, 10))
    y = signal * x @ turn(rng, 10) + noise * rng.standard_normal((4000, 10))
    assert cells(x, y)[0, 1] == pytest.approx(signal**2 / (signal**2 + noise**2), abs=0.02)


@FEW
@given(st.integers(0, 10**6))
def test_what_is_ignored_and_what_is_not(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((100, 5)), rng.standard_normal((100, 4)) * [0.2, 0.5, 1, 2]
    y += x[:, :4]
    base = cells(x, y)
    turned = cells(3 * x @ turn(rng, 5) + 7, 0.2 * y @ turn(rng, 4) - 1)
    np.testing.assert_allclose(turned, base, atol=1e-9)
    mapped = x @ (turn(rng, 5) * np.arange(1, 6)) @ turn(rng, 5)
    np.testing.assert_allclose(cells(x, mapped), 1, atol=1e-8)
    assert abs(cells(x, y * [30, 1, 1, 1])[0, 1] - base[0, 1]) > 1e-3
    order = rng.permutation(100)
    assert cells(x, y[order])[0, 1] < base[0, 1] - 0.05


# ---------------------------------------------------------------------------- the matrix and bad input
def test_the_matrix(rng):
    x = rng.standard_normal((200, 6))
    taps = [
        ArrayActivations(v, name=name)
        for v, name in (
            (x, "s:a"),
            (x[:, :3] + 0.1 * rng.standard_normal((200, 3)), "s:b"),
            (x[::-1] ** 2, "s:c"),
        )
    ]
    found = linear_predictivity(*taps)
    np.testing.assert_array_equal(np.diag(found.values), 1.0)
    assert found.significant.tolist() == [[True, True, False], [True, True, False], [False, False, True]]
    assert found.values[0, 1] > found.values[1, 0] + 0.2
    assert "b from a" in found.reading
    assert (found.low <= found.values + 1e-12).all()
    across = [ArrayActivations(t.values, name=f"{name}:t") for t, name in zip(taps, "xyz", strict=True)]
    assert cells(*across, arrangement=NETWORKS).shape == (1, 2)


@pytest.mark.parametrize("spoil", ["constant", "duplicated", "huge", "tiny", "offset", "wide"])
def test_odd_units_give_numbers(rng, spoil):
    x, y = rng.standard_normal((40, 4)), rng.standard_normal((40, 3))
    y += x[:, :3]
    spoiled = {
        "constant": np.hstack([x, np.full((40, 2), 5.0)]), "duplicated": np.hstack([x, x]), "huge": x * 1e150,
        "tiny": x * 1e-150, "offset": x + 1e6, "wide": np.hstack([x, np.zeros((40, 400))]),
    }[spoil]  # fmt: skip
    base = cells(x, y)[0, 1]
    assert cells(spoiled, y)[0, 1] == pytest.approx(base, abs=1e-6 if spoil != "duplicated" else 0.02)
    assert np.isfinite(cells(y, spoiled)).all()
    assert np.isfinite(predicted_units(y, spoiled).columns["R²"]).all()


def test_tokens_are_pooled_and_bad_rows_left_out(rng):
    tokens, y = rng.standard_normal((60, 3, 5)), rng.standard_normal((60, 2))
    y[:, 0] = tokens.mean(axis=1) @ np.arange(5.0)
    y[:, 1] = tokens.mean(axis=1)[:, 0]
    y[[7, 9], 0] = np.nan
    found = linear_predictivity(ArrayActivations(tokens.reshape(180, 5), layout=Layout(np.arange(61) * 3)), y)
    assert found.values[0, 1] == pytest.approx(1, abs=1e-9)
    assert found.estimates[0].n == 58


def test_refusals(rng):
    x = rng.standard_normal((30, 3))
    with pytest.raises(NotEnoughData, match="19 sample"):
        linear_predictivity(x[:19], x[:19])
    with pytest.raises(InputError, match="all samples"):
        predicted_units(x, np.ones((30, 2)))
    with pytest.raises(ParameterError, match="1 tap"):
        linear_predictivity(x)


# ---------------------------------------------------------------------------- predicted units
def test_each_unit_is_found_for_what_it_is():
    rng = np.random.default_rng(4)
    x, noise = rng.standard_normal((800, 6)), rng.standard_normal((800, 4))
    y = np.column_stack([
        x @ np.arange(1.0, 7) + 3, x[:, 0] + noise[:, 0], 1e-3 * (x[:, 1] + 2 * noise[:, 1]), 50 * noise[:, 2],
        np.full(800, 2.0),
    ])  # fmt: skip
    found = predicted_units(
        ArrayActivations(x, name="a"), ArrayActivations(y, name="b", unit_names=tuple("abcde"))
    )
    columns = {
        name: dict(zip(found.columns["unit"].tolist(), c.tolist(), strict=True))
        for name, c in found.columns.items()
    }
    expected = {0: 1.0, 1: 0.5, 2: 0.2, 3: 0.0}
    assert columns["R²"].keys() == expected.keys()
    for unit, share in expected.items():
        assert columns["R²"][unit] == pytest.approx(share, abs=0.07)
        assert columns["low"][unit] - 1e-12 <= columns["R²"][unit] <= columns["high"][unit] + 1e-12
    assert [columns["q"][u] < 0.05 for u in range(4)] == [True, True, True, False]
    assert sum(columns["share of variance"].values()) == pytest.approx(1)
    assert columns["name"][1] == "b"
    assert any("1 constant unit" in c for c in found.caveats)
    np.testing.assert_array_equal(found.columns["R²"], np.sort(found.columns["R²"])[::-1])


def test_one_unit_has_the_same_r2_as_the_matrix(rng):
    x, y = rng.standard_normal((100, 5)), rng.standard_normal((100, 1))
    y[:, 0] += x[:, 0]
    table = predicted_units(x, y, rng=np.random.default_rng(3))
    matrix = linear_predictivity(x, y, rng=np.random.default_rng(3))
    assert table.columns["R²"][0] == pytest.approx(matrix.values[0, 1], abs=1e-10)
    assert table.estimates[0].value == pytest.approx(matrix.values[0, 1], abs=1e-10)
    assert table.columns["p"][0] < 0.01
    assert matrix.estimates[0].p_value < 0.01


def test_a_unit_that_lives_in_one_group_of_samples_has_numbers(rng):
    y = np.zeros((40, 2))
    y[5, 0] = 1.0
    y[:, 1] = rng.standard_normal(40)
    found = predicted_units(rng.standard_normal((40, 3)), y)
    assert all(np.isfinite(c).all() for name, c in found.columns.items() if name != "name")


# ---------------------------------------------------------------------------- checks that can fail
def _least_squares(singular, squares, totals, n):
    return np.ones(squares.shape)


def _half_of_it(one, y, fit, cross, *, each=False):
    true, made = PREDICTED(one, y, fit, cross, each=each)
    return true, 0.9 * made


PREDICTED = cross_prediction.predicted


@pytest.mark.parametrize(
    ("check", "where", "name", "broken"),
    [
        (module, cross_prediction, "predicted", _half_of_it),
        (module, cross_prediction, "_chance", lambda true, made, orders: 1e-9),
        (module, module, "reduced", lambda x: x[:, :3] - x[:, :3].mean(axis=0)),
        (units_module, units_module, "predicted", _half_of_it),
        (units_module, units_module, "unit_chances", lambda true, made: np.full(true.shape[1], 1e-9)),
        (units_module, units_module, "varies", lambda x: np.ones(x.shape[1], bool)),
    ],
)
def test_the_check_fails_on_broken_code(monkeypatch, check, where, name, broken):
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in check.METHODS[0].check())


def test_least_squares_without_a_penalty_is_noticed(monkeypatch, rng):
    x, y = rng.standard_normal((100, 60)), rng.standard_normal((100, 4))
    assert cells(x, y)[0, 1] > -0.3
    monkeypatch.setattr(cross_prediction, "_penalised", _least_squares)
    assert cells(x, y)[0, 1] < -1
