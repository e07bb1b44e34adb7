"""Transport between units: an independent solver, optimality, planted copies, marginals, nulls, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from analysis.activations import ArrayActivations, Layout
from analysis.compute.matching import transport, unit_fusion
from analysis.compute.matching.transport import exact_transport, sinkhorn
from analysis.compute.matching.unit_fusion import (
    COSINE,
    SQUARED,
    cost_of,
    crossed_moments,
    effective_partners,
    joined_moments,
    kept_variance,
    onto_inputs,
    onto_units,
    plan_of,
    random_moments,
)
from analysis.errors import InputError, NotEnoughData, ParameterError, ShapeError, TooLarge
from analysis.methods.weights import fusion_readiness as readiness
from analysis.methods.weights import weight_transport as module
from analysis.methods.weights.fusion_readiness import FusionReadinessParams, fusion_readiness
from analysis.methods.weights.weight_transport import WeightTransportParams, weight_transport

FEW = settings(max_examples=20, deadline=None)
SHAPES = st.sampled_from([(1, 1), (1, 4), (2, 3), (5, 5), (4, 6), (7, 3)])


def brute(cost):
    """The transportation problem as a dense linear programme, all constraints written out."""
    m, n = cost.shape
    rows, columns = np.zeros((m, m, n)), np.zeros((n, m, n))
    for i in range(m):
        rows[i, i] = 1
    for j in range(n):
        columns[j, :, j] = 1
    a = np.concatenate([rows, columns]).reshape(m + n, -1)
    return linprog(cost.ravel(), A_eq=a, b_eq=np.r_[np.full(m, 1 / m), np.full(n, 1 / n)]).fun


def plain_sinkhorn(cost, entropy, rounds):
    """The iteration as it is written in every paper, without any care."""
    kernel = np.exp(-cost / entropy)
    v = np.ones(cost.shape[1])
    for _ in range(rounds):
        u = 1 / cost.shape[0] / (kernel @ v)
        v = 1 / cost.shape[1] / (kernel.T @ u)
    return u[:, None] * kernel * v


# ---------------------------------------------------------------------------- the solver
@FEW
@given(st.integers(0, 10**6), SHAPES)
def test_the_exact_plan_has_the_least_cost_and_uniform_marginals(seed, shape):
    cost = np.random.default_rng(seed).standard_normal(shape)
    plan = exact_transport(cost)
    assert (plan >= 0).all()
    np.testing.assert_allclose(plan.sum(axis=1), 1 / shape[0], atol=1e-12)
    np.testing.assert_allclose(plan.sum(axis=0), 1 / shape[1], atol=1e-12)
    assert (plan * cost).sum() == pytest.approx(brute(cost), abs=1e-9)


def test_the_linear_programme_agrees_with_copied_units(rng, monkeypatch):
    cost = rng.random((9, 14))
    by_copies = (exact_transport(cost) * cost).sum()
    monkeypatch.setattr(transport, "MOST_COPIES", 20)
    plan = exact_transport(cost)
    assert (plan * cost).sum() == pytest.approx(by_copies, abs=1e-9)
    np.testing.assert_allclose(plan.sum(axis=0), 1 / 14, atol=1e-9)
    monkeypatch.setattr(transport, "MOST_CELLS", 100)
    with pytest.raises(TooLarge, match="entropy"):
        exact_transport(cost)


@FEW
@given(st.integers(0, 10**6), SHAPES, st.sampled_from([0.2, 0.5, 2.0]))
def test_the_smooth_plan_meets_its_marginals_and_its_optimality_condition(seed, shape, entropy):
    """log P + C / entropy must be a row term plus a column term: that, with the marginals, is the only optimum."""
    cost = np.random.default_rng(seed).random(shape)
    plan = sinkhorn(cost, entropy, tolerance=1e-10)
    np.testing.assert_allclose(plan.sum(axis=1), 1 / shape[0], rtol=1e-10)
    np.testing.assert_allclose(plan.sum(axis=0), 1 / shape[1], rtol=1e-10)
    field = np.log(plan) + cost / entropy
    rest = field - field.mean(axis=0) - field.mean(axis=1, keepdims=True) + field.mean()
    assert np.abs(rest).max() < 1e-6


def test_the_smooth_plan_is_that_of_the_plain_iteration(rng):
    cost = rng.random((8, 11))
    np.testing.assert_allclose(
        sinkhorn(cost, 0.2, tolerance=1e-12), plain_sinkhorn(cost, 0.2, 5000), atol=1e-11
    )


def test_little_entropy_where_the_plain_iteration_underflows(rng):
    cost = 16 + rng.random((30, 30)) * 50
    with np.errstate(all="ignore"):
        assert not np.isfinite(plain_sinkhorn(cost, 0.02, 50)).all()
    plan = sinkhorn(cost, 0.02)
    assert (plan * cost).sum() == pytest.approx((exact_transport(cost) * cost).sum(), abs=0.02 * np.log(900))


def test_much_entropy_gives_the_uniform_plan_of_rank_one(rng):
    plan = sinkhorn(rng.random((6, 9)), 1e4)
    np.testing.assert_allclose(plan, 1 / 54, rtol=1e-3)
    assert np.linalg.svd(plan, compute_uv=False)[1] < 1e-5


def test_masses_may_be_given(rng):
    a, b = np.array([0.1, 0.2, 0.7]), np.array([0.4, 0.6])
    plan = sinkhorn(rng.random((3, 2)), 0.1, rows=a, columns=b)
    np.testing.assert_allclose(plan.sum(axis=1), a, rtol=1e-12)
    np.testing.assert_allclose(plan.sum(axis=0), b, rtol=1e-12)


def test_a_shift_of_the_cost_changes_nothing(rng):
    cost = rng.random((5, 7))
    shifted = cost + 1e3 + rng.random((5, 1)) + rng.random(7)
    np.testing.assert_allclose(
        sinkhorn(shifted, 0.3, tolerance=1e-11), sinkhorn(cost, 0.3, tolerance=1e-11), atol=1e-8
    )


def test_the_solver_refuses(rng):
    cost = rng.random((20, 20))
    with pytest.raises(ParameterError, match="did not converge in 3 iterations"):
        sinkhorn(cost, 1e-3, maximum=3)
    with pytest.raises(ParameterError, match="positive"):
        sinkhorn(cost, 0.0)
    with pytest.raises(InputError, match="total"):
        sinkhorn(cost, 0.1, rows=np.full(20, 1.0))
    with pytest.raises(InputError, match="20 positive numbers"):
        sinkhorn(cost, 0.1, rows=np.zeros(20))
    with pytest.raises(InputError, match="NaN"):
        exact_transport(np.full((2, 2), np.nan))
    with pytest.raises(ShapeError):
        exact_transport(np.zeros(4))


# ---------------------------------------------------------------------------- fusion
def relu_network(rng, inputs=12, hidden=20, outputs=7):
    return [rng.standard_normal((hidden, inputs)), rng.standard_normal((hidden, hidden)),
            rng.standard_normal((outputs, hidden))]  # fmt: skip


def function(weights, x):
    for w in weights[:-1]:
        x = np.maximum(x @ w.T, 0)
    return x @ weights[-1].T


def fused(one, other, t, kind=COSINE, entropy=0.0):
    """Two plain ReLU networks averaged layer by layer, each layer's inputs aligned by the plan before it."""
    out, plan = [], None
    for w, v in zip(one[:-1], other[:-1], strict=True):
        v = v if plan is None else onto_inputs(v, plan)
        plan = plan_of(cost_of(w, v, kind), entropy)
        out.append((1 - t) * w + t * onto_units(v, plan))
    return [*out, (1 - t) * one[-1] + t * onto_inputs(other[-1], plan)]


@pytest.mark.parametrize("kind", [COSINE, SQUARED])
def test_a_network_fused_with_its_reordered_copy_is_itself(rng, kind):
    one = relu_network(rng)
    p, q = rng.permutation(20), rng.permutation(20)
    other = [one[0][p], one[1][q][:, p], one[2][:, q]]
    x = rng.standard_normal((50, 12))
    np.testing.assert_allclose(function(other, x), function(one, x), atol=1e-10)
    for t in (0.3, 1.0):
        for w, v in zip(fused(one, other, t, kind), one, strict=True):
            np.testing.assert_allclose(w, v, atol=1e-12)


def test_a_network_fused_with_its_doubled_copy_is_itself(rng):
    """Every unit twice, what it gives halved: widths differ and the function is the same."""
    one = relu_network(rng)
    other = [np.repeat(one[0], 2, axis=0), np.repeat(np.repeat(one[1], 2, axis=0), 2, axis=1) / 2,
             np.repeat(one[2], 2, axis=1) / 2]  # fmt: skip
    for w, v in zip(fused(one, other, 0.5), one, strict=True):
        np.testing.assert_allclose(w, v, atol=1e-12)


def test_costs_are_zero_for_equal_units_and_one_for_unrelated_ones(rng):
    a, b = rng.standard_normal((2, 300, 400))
    for kind in (COSINE, SQUARED):
        np.testing.assert_allclose(np.diag(cost_of(a, a, kind)), 0, atol=1e-12)
        assert cost_of(a, b, kind).mean() == pytest.approx(1, abs=0.01)
    np.testing.assert_allclose(cost_of(a * 7, b, COSINE), cost_of(a, b * 0.1, COSINE), atol=1e-12)


def test_effective_partners_count_from_one_to_all():
    np.testing.assert_allclose(effective_partners(np.eye(4) / 4), 1.0)
    np.testing.assert_allclose(effective_partners(np.full((3, 5), 1 / 15)), 5.0)


@FEW
@given(st.integers(0, 10**6), st.sampled_from([(4, 4), (3, 6), (6, 4)]))
def test_kept_variance_is_the_variance_of_the_joined_layer(seed, shape):
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((30, shape[0])), rng.standard_normal((30, shape[1]))
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    plan = plan_of(cost_of(a.T, b.T, COSINE), 0.1)
    moments = joined_moments(a, b, plan)
    for t in (0.0, 0.25, 1.0):
        joined = (1 - t) * a + t * b @ (shape[0] * plan).T
        ends = (1 - t) * a.var(axis=0).sum() + t * b.var(axis=0).sum() * shape[0] / shape[1]
        assert kept_variance(moments.sum(axis=0), np.array([t]))[0] == pytest.approx(
            joined.var(axis=0).sum() / ends
        )


def test_random_partners_are_the_mean_over_permutations(rng):
    a, b = rng.standard_normal((2, 15, 6)) + 0
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    drawn = [joined_moments(a, b, np.eye(6)[rng.permutation(6)] / 6).sum(axis=0) for _ in range(4000)]
    np.testing.assert_allclose(random_moments(a, b).sum(axis=0), np.mean(drawn, axis=0), rtol=0.05, atol=1.0)


def test_a_plan_is_not_measured_on_the_samples_that_made_it(rng):
    """Few samples, many unrelated units: matching finds likeness in its own samples, and none in others."""
    a, b = rng.standard_normal((2, 24, 60))
    own = joined_moments(*(x - x.mean(axis=0) for x in (a, b)), plan_of(cost_of(a.T, b.T, COSINE), 0.0))
    crossed = crossed_moments(a, b, np.arange(24) % 2, COSINE, 0.0)
    half = np.array([0.5])
    assert kept_variance(own.sum(axis=0), half)[0] > 0.6
    assert kept_variance(crossed.sum(axis=0), half)[0] == pytest.approx(0.5, abs=0.05)


# ---------------------------------------------------------------------------- the methods
def test_the_plan_of_a_reordered_copy_is_the_permutation(rng):
    w, order = rng.standard_normal((30, 25)), rng.permutation(25)
    for kind in (COSINE, SQUARED):
        found = weight_transport(w, w[:, order], params=WeightTransportParams(cost=kind))
        np.testing.assert_allclose(found.values, np.eye(25)[:, order], atol=1e-12)
        assert found.significant.sum() == 25
        assert [found.column_names[j] for j in found.column_order] == [str(int(k)) for k in np.argsort(order)]
    by_size = weight_transport(w, 5 * w[:, order])
    np.testing.assert_allclose(by_size.values, found.values, atol=1e-12)


@pytest.mark.parametrize("entropy", [0.0, 0.02, 1.0])
def test_shares_have_uniform_marginals_for_unequal_widths(rng, entropy):
    found = weight_transport(
        rng.standard_normal((20, 12)),
        rng.standard_normal((20, 18)),
        params=WeightTransportParams(entropy=entropy),
    )
    np.testing.assert_allclose(found.values.sum(axis=1), 1, atol=1e-9)
    np.testing.assert_allclose(found.values.sum(axis=0), 12 / 18, atol=1e-9)
    np.testing.assert_array_equal(found.null, np.full((12, 18), 1 / 18))


def test_more_entropy_spreads_each_unit_over_more_partners(rng):
    w = rng.standard_normal((40, 15))
    other = w + 0.3 * rng.standard_normal(w.shape)
    spread = [weight_transport(w, other, params=WeightTransportParams(entropy=e)).estimates[2].value
              for e in (0.0, 0.05, 0.3, 100.0)]  # fmt: skip
    assert spread[0] == pytest.approx(1)
    assert spread == sorted(spread)
    assert spread[-1] == pytest.approx(15, rel=1e-3)


def test_unrelated_layers_have_partners_and_no_match():
    """The best partner of unrelated units is well above 0: the null says so, and nothing passes."""
    passed = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        found = weight_transport(rng.standard_normal((30, 20)), rng.standard_normal((30, 20)), rng=rng)
        mean = found.estimates[0]
        assert mean.value > 0.2
        assert mean.null_low - 0.03 < mean.value < mean.null_high + 0.03
        passed += found.estimates[1].value > 0
    assert passed <= 2


def test_activations_match_samples_by_id_and_are_blind_to_scale_and_shift(rng):
    x = rng.standard_normal((80, 10))
    order, samples = rng.permutation(10), rng.permutation(80)
    ids = np.array([f"s{i}" for i in range(80)])
    a = ArrayActivations(x, name="a", samples={"id": ids})
    b = ArrayActivations(
        (x * rng.uniform(1, 9, 10) - 4)[samples][:, order], name="b", samples={"id": ids[samples]}
    )
    found = weight_transport(a, b, params=WeightTransportParams(by="activations"))
    np.testing.assert_allclose(found.values, np.eye(10)[:, order], atol=1e-12)
    assert any("matched by id" in c for c in found.caveats)


def test_dead_units_are_left_out_and_counted(rng):
    w = rng.standard_normal((20, 6))
    other = w.copy()
    other[:, 2] = 0
    found = weight_transport(w, other)
    assert found.values.shape == (6, 5)
    assert "2" not in found.column_names
    assert any("1 unit(s) that are 0" in c for c in found.caveats)


def test_transport_refuses(rng):
    x = rng.standard_normal((20, 5))
    with pytest.raises(InputError):
        weight_transport(x, x[:15])
    with pytest.raises(NotEnoughData, match="0 or constant"):
        weight_transport(x, np.column_stack([x[:, 0], np.zeros(20)]))
    with pytest.raises(ParameterError, match="table"):
        weight_transport(x, x, params=WeightTransportParams(layer="fc1"))
    with pytest.raises(TooLarge, match="cells"):
        weight_transport(rng.standard_normal((2, 2100)), rng.standard_normal((2, 2100)))


def test_readiness_of_a_reordered_copy_is_whole_along_the_way(rng):
    x = rng.standard_normal((100, 12))
    found = fusion_readiness(x, x[:, rng.permutation(12)] + 5)
    np.testing.assert_allclose(found.series["aligned"], 1, atol=1e-12)
    assert found.series["as numbered"].min() < 0.75
    assert found.null["aligned"].min() < 0.7
    assert "joined with little loss" in found.reading


def test_readiness_of_unrelated_layers_is_the_parabola(rng):
    x, y = rng.standard_normal((2, 2000, 10))
    found = fusion_readiness(x, y)
    t = found.x
    np.testing.assert_allclose(found.series["aligned"], (1 - t) ** 2 + t**2, atol=0.03)
    assert "no more than chance" in found.reading


def test_unequal_widths_and_tokens_are_taken(rng):
    tokens = rng.standard_normal((60, 3, 8))
    a = ArrayActivations(tokens.reshape(180, 8), layout=Layout(np.arange(61) * 3))
    found = fusion_readiness(a, np.repeat(tokens.mean(axis=1), 2, axis=1))
    np.testing.assert_allclose(found.series["aligned"], 1, atol=1e-12)
    assert "as numbered" not in found.series
    with pytest.raises(NotEnoughData):
        fusion_readiness(rng.standard_normal((7, 4)), rng.standard_normal((7, 4)))
    with pytest.raises(InputError, match="checkpoint"):
        fusion_readiness(a, a, params=FusionReadinessParams(networks=True))


def test_the_interval_covers_what_many_samples_say():
    """Half of the units shared exactly, half not: (1 + 1/2) / 2 = 3/4 is kept; in at least 85 of 100."""
    hits = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        x, y = rng.standard_normal((2, 120, 6))
        y[:, :3] = x[:, :3]
        e = fusion_readiness(x, y, rng=rng).estimates[1]
        hits += e.low <= 0.75 <= e.high
    assert hits >= 85


# ---------------------------------------------------------------------------- checks that can fail
def _not_aligned(cost, entropy):
    return np.full(cost.shape, 1 / cost.size)


def _without_marginals(cost, entropy, **_):
    return np.exp(-cost / entropy)


@pytest.mark.parametrize(
    ("where", "name", "broken", "checked"),
    [
        (unit_fusion, "plan_of", _not_aligned, module),
        (unit_fusion, "sinkhorn", _without_marginals, module),
        (unit_fusion, "benjamini_hochberg", lambda p: np.zeros_like(p), module),
        (unit_fusion, "plan_of", _not_aligned, readiness),
        (readiness, "crossed_moments", lambda a, b, *_: random_moments(a, b), readiness),
    ],
)
def test_the_check_fails_on_broken_code(monkeypatch, where, name, broken, checked):
    check = checked.METHODS[0].check
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in check())
