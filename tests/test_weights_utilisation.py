"""Utilised rank: exact projections, monotonicity, an independent count, nulls, held-out energy, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.activations import ArrayActivations, Layout
from analysis.compute.networks import utilisation as compute
from analysis.compute.networks.utilisation import (
    count,
    directions,
    fitted_weight,
    held_out_energy,
    output_error,
    projected,
)
from analysis.errors import InputError, NotEnoughData
from analysis.methods.weights import layer_utilisation as module
from analysis.methods.weights.layer_utilisation import LayerUtilisationParams, layer_utilisation

FEW = settings(max_examples=20, deadline=None)


def narrow(rng, n=300, inputs=12, rank=5, mean=0.0):
    """Rows in `rank` of `inputs` dimensions."""
    return rng.standard_normal((n, rank)) @ rng.standard_normal((rank, inputs)) + mean


# ---------------------------------------------------------------------------- exact facts
@FEW
@given(st.integers(0, 10**6))
def test_projected_weights_give_the_same_outputs_while_the_rank_falls(seed):
    """W P_X X = W X exactly at δ = 0, with rank 5 instead of 12, though W has full rank."""
    rng = np.random.default_rng(seed)
    x, w = narrow(rng), rng.standard_normal((12, 12))
    given, made = directions(x), directions(x @ w.T)
    k = [int(count(f.values, np.array([0.0]), f.rank)[0]) for f in (given, made)]
    assert k == [5, 5]
    cut = projected(w, given, made, *k)
    assert (np.linalg.matrix_rank(w), np.linalg.matrix_rank(cut)) == (12, 5)
    np.testing.assert_allclose(x @ cut.T, x @ w.T, atol=1e-9 * np.abs(x @ w.T).max())


@FEW
@given(st.integers(0, 10**6), st.floats(0.0, 0.9))
def test_the_count_is_the_least_that_holds_the_energy(seed, delta):
    values = np.sort(np.random.default_rng(seed).random(15))[::-1]
    k = int(count(values, np.array([delta]))[0])
    held = [values[:i].sum() / values.sum() for i in range(16)]
    assert held[k] >= 1 - delta - 1e-12
    assert k == 1 or held[k - 1] < 1 - delta + 1e-12


@FEW
@given(st.integers(0, 10**6))
def test_utilisation_is_at_most_one_and_does_not_rise(seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((120, 8)) * rng.uniform(0.1, 3, 8)
    found = layer_utilisation(x, np.maximum(x @ rng.standard_normal((8, 6)), 0))
    for name in ("utilisation", "utilisation, held out"):
        assert found.series[name].max() <= 1
        assert (np.diff(found.series[name]) <= 1e-12).all()


@FEW
@given(st.integers(0, 10**6))
def test_the_error_is_bounded_by_the_energy_left_out(seed):
    """|W x - P_out W P_in x| <= |(1 - P_out) W x| + |W (1 - P_in) x|; both ends measured here by hand."""
    rng = np.random.default_rng(seed)
    x, w = rng.standard_normal((80, 7)) * rng.uniform(0.1, 3, 7), rng.standard_normal((5, 7))
    y = x @ w.T
    given, made = directions(x), directions(y)
    error = output_error(x, y, projected(w, given, made, 4, 3))
    p_in, p_out = (f.vectors[:, :k] @ f.vectors[:, :k].T for f, k in ((given, 4), (made, 3)))
    ends = np.linalg.norm(y - y @ p_out) + np.linalg.norm((x - x @ p_in) @ w.T)
    assert error * np.linalg.norm(y) <= ends + 1e-9
    assert output_error(x, y, projected(w, given, made, 7, 5)) < 1e-12


def test_the_weight_is_recovered_where_the_data_reach(rng):
    x, w = narrow(rng), rng.standard_normal((9, 12))
    found, off = fitted_weight(x, x @ w.T)
    assert off < 1e-12
    np.testing.assert_allclose(x @ found.T, x @ w.T, atol=1e-9)
    assert fitted_weight(x, rng.standard_normal((300, 9)))[1] > 0.9


def test_held_out_energy_is_all_of_it_and_spread_where_rows_are_few(rng):
    x = rng.standard_normal((60, 50))
    fold = np.arange(60) % 2
    held = held_out_energy(x, fold)
    assert held.sum() == pytest.approx((x**2).sum())
    own = directions(x).values
    assert own[:10].sum() / own.sum() > 0.4
    assert held[:10].sum() / held.sum() < 0.3


# ---------------------------------------------------------------------------- the method
def test_a_narrow_layer_with_bias_and_mean(rng):
    x = narrow(rng, mean=4.0)
    found = layer_utilisation(
        x, x @ rng.standard_normal((12, 9)) - 7, params=LayerUtilisationParams(delta=1e-4)
    )
    used, held, error = found.estimates
    assert used.value == pytest.approx(5 / 9)
    assert held.value == pytest.approx(5 / 9)
    assert used.null == pytest.approx(1, abs=0.02)
    assert error.value < 1e-6
    np.testing.assert_allclose(found.series["directions of the input"][0], 5 / 12)
    assert "recovered from the data" in " ".join(found.caveats)


def test_the_mean_is_a_direction_when_energy_is_about_the_origin(rng):
    """The choice of centring moves k by one, and is printed."""
    x = narrow(rng, mean=5 * rng.standard_normal(12))
    tight = {"delta": 1e-4}
    about_mean = layer_utilisation(x, x, params=LayerUtilisationParams(**tight))
    about_origin = layer_utilisation(x, x, params=LayerUtilisationParams(centred=False, **tight))
    k = [round(r.estimates[0].value * 12) for r in (about_mean, about_origin)]
    assert k == [5, 6]
    assert "about the origin" in about_origin.estimates[0].estimator
    assert any("counted about the origin" in c for c in about_origin.caveats)


def test_an_output_that_is_not_linear_has_no_error_and_says_so(rng):
    x = rng.standard_normal((200, 6))
    found = layer_utilisation(x, np.maximum(x @ rng.standard_normal((6, 6)), 0))
    assert "relative error of the output" not in found.series
    assert any("not a linear function" in c for c in found.caveats)
    biased = layer_utilisation(x, x @ np.eye(6) + 3, params=LayerUtilisationParams(centred=False))
    assert len(biased.estimates) == 2


def test_isotropic_data_lie_on_the_null(rng):
    x, y = rng.standard_normal((400, 20)), rng.standard_normal((400, 15))
    for delta in (0.01, 0.1, 0.4):
        e = layer_utilisation(x, y, params=LayerUtilisationParams(delta=delta)).estimates[0]
        assert e.null_low - 1 / 15 <= e.value <= e.null_high + 1 / 15
        assert e.null == pytest.approx(e.value, abs=1 / 15)


def test_rotation_and_scale_change_nothing(rng):
    x = rng.standard_normal((150, 9)) * np.linspace(0.2, 3, 9)
    y = np.tanh(x @ rng.standard_normal((9, 7)))
    q = np.linalg.qr(rng.standard_normal((9, 9)))[0]
    one, other = layer_utilisation(x, y), layer_utilisation(x @ q * 7 + 2, y * 0.01)
    np.testing.assert_array_equal(one.series["utilisation"], other.series["utilisation"])
    stretched = layer_utilisation(x * np.r_[50, np.ones(8)], y)
    assert not np.array_equal(one.series["utilisation"], stretched.series["utilisation"])


def test_few_rows_are_refused_or_get_no_verdict(rng):
    x = rng.standard_normal((100, 60))
    with pytest.raises(NotEnoughData, match=r"100 rows for 60 units.*at least 120, better 300"):
        layer_utilisation(x, x)
    assert "No verdict" in layer_utilisation(x[:, :30], x[:, :30]).reading
    assert "No verdict" not in layer_utilisation(x[:, :20], x[:, :20]).reading
    with pytest.raises(InputError):
        layer_utilisation(x[:, :9], x[:90, :9])
    with pytest.raises(InputError, match="equal"):
        layer_utilisation(x[:, :9], np.ones((100, 3)))


def test_tokens_of_a_sample_are_held_out_together(rng):
    """Twenty samples repeated ten times: other samples do not know their directions."""
    x = np.repeat(rng.standard_normal((40, 30)), 10, axis=0)
    tap = ArrayActivations(x, layout=Layout(np.arange(41) * 10))
    by_samples = layer_utilisation(tap, tap).estimates
    by_rows = layer_utilisation(x, x).estimates
    assert by_samples[1].value > by_rows[1].value
    assert by_samples[0].value == by_rows[0].value
    assert any("tokens of 40 samples" in c for c in layer_utilisation(tap, tap).caveats)


def test_units_that_never_change_are_unused_space(rng):
    x = rng.standard_normal((100, 8))
    x[:, [1, 5]] = 3.0
    found = layer_utilisation(x, x, params=LayerUtilisationParams(delta=1e-4))
    assert found.estimates[0].value == pytest.approx(6 / 8)
    assert any("2 unit(s) of the input and 2 of the output never change" in c for c in found.caveats)


# ---------------------------------------------------------------------------- checks that can fail
@pytest.mark.parametrize(
    ("where", "name", "broken"),
    [
        (module, "count", lambda values, deltas, rank=None: count(values, deltas, rank) + 1),
        (module, "directions", lambda x: directions(x[: len(x) // 2] + 5)),
        (module, "projected", lambda w, *_: 0.9 * w),
        (compute, "LINEAR", -1.0),
        (module, "gaussian_eigenvalues", lambda v, n, rng, draws: np.ones((draws, len(v))) * (np.arange(len(v)) < 3)),
    ],
)  # fmt: skip
def test_the_check_fails_on_broken_code(monkeypatch, where, name, broken):
    check = module.METHODS[0].check
    monkeypatch.setattr(where, name, broken)
    if where is compute:
        monkeypatch.setattr(module, name, broken)
        with pytest.raises(IndexError):
            check()
        return
    assert not all(line.passed for line in check())
