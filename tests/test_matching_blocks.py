"""Co-clusters and transport of units: closed forms, scikit-learn and a linear programme as second implementations,
planted blocks, permuted copies, limits of the entropy, nulls, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.special import logsumexp

from analysis.activations import ArrayActivations, Layout
from analysis.compute.matching import co_clustering, soft_plan
from analysis.compute.matching.co_clustering import (
    clusters_by_gap,
    co_clusters_of,
    contrast,
    cut_values,
    joint_values,
    modularity,
    share_inside,
)
from analysis.compute.statistics.partition_agreement import Contingency, adjusted_rand
from analysis.errors import InputError, NotEnoughData, ParameterError
from analysis.methods.matching import co_clusters as clusters_module
from analysis.methods.matching import unit_transport as transport_module
from analysis.methods.matching.co_clusters import CoClustersParams, co_clusters
from analysis.methods.matching.unit_transport import UnitTransportParams, unit_transport

FEW = settings(max_examples=10, deadline=None)


def tap(x, ids=None, layout=None, name="t"):
    samples = {} if ids is None else {"id": np.asarray(ids)}
    return ArrayActivations(x, name=name, samples=samples, layout=layout)


def clusters(x, y, seed=0, **params):
    return co_clusters(x, y, CoClustersParams(**params), rng=np.random.default_rng(seed))


def moved(x, y, seed=0, **params):
    return unit_transport(x, y, UnitTransportParams(**params), rng=np.random.default_rng(seed))


def planted(rng, sizes=((8, 5), (6, 9), (4, 4)), noise=0.8, n=300):
    """Two sides whose units see one source per block, with the blocks of both."""
    source = rng.standard_normal((n, len(sizes)))
    a, b = (np.repeat(np.arange(len(sizes)), [s[i] for s in sizes]) for i in (0, 1))
    x, y = (source[:, of] * rng.choice([-1, 1], len(of)) for of in (a, b))
    return x + noise * rng.standard_normal(x.shape), y + noise * rng.standard_normal(y.shape), a, b


def agree(one, other):
    return adjusted_rand(Contingency.of(np.asarray(one), np.asarray(other)))


def value(result, start):
    return next(e for e in result.estimates if e.name.startswith(start))


# ---------------------------------------------------------------------------- co-clusters: numbers
def test_values_of_the_cut_in_closed_form(rng):
    """Blocks that hang together with nothing else have 1 once for each but one; factors of rows and columns nothing."""
    blocks = np.kron(np.eye(3), np.ones((4, 2))) * 0.3
    np.testing.assert_allclose(cut_values(blocks), [1, 1, 0, 0, 0], atol=1e-9)
    product = np.outer(rng.random(6), rng.random(5))
    np.testing.assert_allclose(cut_values(product), 0, atol=1e-9)
    np.testing.assert_allclose(joint_values(product), 0, atol=1e-12)
    np.testing.assert_allclose(joint_values(7 * blocks), 7 * joint_values(blocks), atol=1e-12)
    np.testing.assert_allclose(cut_values(7 * blocks), cut_values(blocks), atol=1e-9)
    weak = blocks + 0.1  # between 0.1, inside 0.4: (0.4 - 0.1) / (0.4 + 2 * 0.1)
    np.testing.assert_allclose(cut_values(weak)[:2], 0.5, atol=1e-12)
    assert np.isfinite(cut_values(np.zeros((3, 4)))).all()


def test_share_modularity_and_contrast_in_closed_form(rng):
    a, b = np.repeat([0, 1, 2], 4), np.repeat([0, 1, 2], 2)
    weak = np.kron(np.eye(3), np.ones((4, 2))) * 0.3 + 0.1
    assert share_inside(weak, a, b) == pytest.approx(0.4 / 0.6)
    assert modularity(weak, a, b) == pytest.approx(0.4 / 0.6 - 1 / 3)
    assert contrast(weak, a, b) == pytest.approx(0.3)
    flat = np.outer(rng.random(12), rng.random(6))
    assert modularity(flat, a, b) == pytest.approx(0, abs=1e-12)
    one = np.zeros(12, int), np.zeros(6, int)
    assert (share_inside(weak, *one), modularity(weak, *one), contrast(weak, *one)) == pytest.approx(
        (1, 0, 0)
    )


def test_as_many_clusters_as_stand_before_the_widest_gap():
    values = np.array([0.9, 0.85, 0.4, 0.38, 0.1])
    assert clusters_by_gap(values, 5, 20) == 3
    assert clusters_by_gap(values, 1, 20) == 2  # behind the first nothing passes the null
    assert clusters_by_gap(values, 0, 20) == 1
    assert clusters_by_gap(values, 5, 2) == 2
    assert clusters_by_gap(values[:1], 9, 20) == 2


@pytest.mark.parametrize("seed", range(5))
def test_scikit_learn_finds_the_same_clusters(seed):
    from sklearn.cluster import SpectralCoclustering

    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 3, 30), rng.integers(0, 3, 25)
    w = 0.2 * rng.random((30, 25)) + 0.5 * (a[:, None] == b)
    theirs = SpectralCoclustering(3, random_state=0).fit(w)
    mine = co_clusters_of(w, 3, rng)
    both = np.concatenate(mine), np.concatenate([theirs.row_labels_, theirs.column_labels_])
    assert agree(*both) == 1
    assert agree(both[0], np.concatenate([a, b])) == 1
    assert (np.diff(np.bincount(both[0])) <= 0).all()


def test_clusters_fewer_than_units_and_one_of_one():
    w = np.arange(6.0).reshape(2, 3) + 1
    assert max(c.max() for c in co_clusters_of(w, 9, np.random.default_rng(0))) <= 1
    assert [c.tolist() for c in co_clusters_of(w, 1, np.random.default_rng(0))] == [[0, 0], [0, 0, 0]]


# ---------------------------------------------------------------------------- co-clusters: the method
def test_planted_blocks_are_found_drawn_together_and_stable(rng):
    x, y, a, b = planted(rng)
    order = rng.permutation(len(a))
    found = clusters(x[:, order], y)
    assert value(found, "clusters").value == 3
    for drawn, of in ((found.row_order, a[order]), (found.column_order, b)):
        assert sorted(drawn) == list(range(len(of)))
        assert (np.diff(of[drawn]) != 0).sum() == 2
    joint, share, apart, alike = (
        value(found, s) for s in ("first joint", "share of", "mean |r|", "agreement")
    )
    assert joint.value > joint.null_high
    assert apart.value > apart.null_high
    assert alike.value > 0.9 > alike.null_high
    inside = a[order][:, None] == b
    assert share.value == pytest.approx(share_inside(np.abs(found.values), a[order], b))
    assert apart.value == pytest.approx(
        np.abs(found.values)[inside].mean() - np.abs(found.values)[~inside].mean()
    )
    np.testing.assert_allclose(found.values, np.corrcoef(x[:, order].T, y.T)[:18, 18:], atol=1e-12)
    assert found.significant[inside].mean() > 0.99
    assert found.significant[~inside].mean() < 0.1


def test_unrelated_sides_are_seldom_clustered():
    """At 5 % a run: at most 4 of 20 (1 in 60 by chance), with groups inside either side."""
    hits = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x, y = planted(rng, n=80)[0], planted(rng, n=80)[1]
        hits += value(clusters(x, y, seed), "clusters").value > 1
    assert hits <= 4


def test_a_given_number_is_used_and_too_many_are_said(rng):
    x, y, _, _ = planted(rng)
    assert value(clusters(x, y, clusters=2), "clusters").value == 2
    found = clusters(x[:, :3], y[:, :3], clusters=9)
    assert value(found, "clusters").value <= 3
    assert any("instead of 9" in c for c in found.caveats)
    assert any("At most 2 clusters were looked for" in c for c in clusters(x, y, most=2).caveats)


@FEW
@given(st.integers(0, 10**6))
def test_permuting_scaling_and_flipping_change_the_order_only(seed):
    rng = np.random.default_rng(seed)
    x, y, _, b = planted(rng, noise=0.4)
    order = rng.permutation(len(b))
    one, other = clusters(x, y), clusters(x + 5, y[:, order] * rng.choice([-3, 0.1], len(b)))
    np.testing.assert_allclose(np.abs(one.values[:, order]), np.abs(other.values), atol=1e-9)
    for i in (0, 1, 2, 3, 4):
        assert one.estimates[i].value == pytest.approx(other.estimates[i].value, abs=1e-9)


# ---------------------------------------------------------------------------- transport
def sinkhorn_by_hand(cost, entropy, rounds=3000):
    """Plain alternation in logarithms."""
    (p, q), f, g = cost.shape, np.zeros(len(cost)), np.zeros(cost.shape[1])
    for _ in range(rounds):
        f = -entropy * (np.log(p) + logsumexp((g - cost) / entropy, axis=1))
        g = -entropy * (np.log(q) + logsumexp((f[:, None] - cost) / entropy, axis=0))
    return np.exp((f[:, None] + g - cost) / entropy)


@pytest.mark.parametrize("shape", [(6, 6), (9, 4), (4, 9)])
@pytest.mark.parametrize("sweeps", [0, 100])
def test_newton_and_sweeps_end_where_plain_alternation_ends(monkeypatch, rng, shape, sweeps):
    monkeypatch.setattr(soft_plan, "SWEEPS", sweeps)
    cost = rng.random(shape)
    for entropy in (0.1, 0.3, 5.0):
        plan = soft_plan.soft_plan(cost, entropy)
        np.testing.assert_allclose(plan, sinkhorn_by_hand(cost, entropy), atol=1e-8)


@pytest.mark.parametrize("shape", [(20, 20), (31, 12), (7, 40)])
def test_the_softest_of_hard_plans_costs_what_the_hard_one_does(rng, shape):
    """Groups that hardly exchange mass, where alternation takes for ever: the cost exceeds the least by at most
    e ln(p q), what the entropy can be worth."""
    groups = rng.integers(0, 3, shape[0])[:, None] != rng.integers(0, 3, shape[1])
    cost = groups + 0.1 * rng.random(shape)
    plan = soft_plan.soft_plan(cost, 1e-3)
    assert 0 <= (plan * cost).sum() - programme(cost) + 1e-12 <= 1e-3 * np.log(cost.size)
    np.testing.assert_allclose(plan.sum(axis=1), 1 / shape[0], atol=1e-12)
    np.testing.assert_allclose(plan.sum(axis=0), 1 / shape[1], atol=1e-12)


def test_a_plan_that_does_not_get_there_is_refused(monkeypatch, rng):
    monkeypatch.setattr(soft_plan, "_newton", lambda cost, entropy, g, goal: (g, 1.0))
    monkeypatch.setattr(soft_plan, "SWEEPS", 1)
    with pytest.raises(ParameterError, match="off its marginals"):
        soft_plan.soft_plan(rng.random((5, 6)), 0.01)


def programme(cost):
    """The least cost of a plan, by a linear programme of its own."""
    p, q = cost.shape
    sums = np.vstack([np.kron(np.eye(p), np.ones(q)), np.kron(np.ones(p), np.eye(q))])
    return linprog(cost.ravel(), A_eq=sums, b_eq=[1 / p] * p + [1 / q] * q).fun


@pytest.mark.parametrize(("p", "q"), [(9, 9), (6, 10), (7, 5)])
def test_the_hard_plan_costs_what_a_linear_programme_says(rng, p, q):
    x, y = rng.standard_normal((60, p)), rng.standard_normal((60, q))
    y[:, :4] += x[:, :4]
    found = moved(x, y, entropy=0.0)
    cost = 1 - np.abs(np.corrcoef(x.T, y.T)[:p, p:])
    assert (found.values * cost).sum() == pytest.approx(programme(cost), abs=1e-9)
    assert value(found, "transport cost").value == pytest.approx(programme(cost), abs=1e-9)
    signed, cost = moved(x, y, entropy=0.0, sign="signed"), 1 - np.corrcoef(x.T, y.T)[:p, p:]
    assert value(signed, "transport cost").value == pytest.approx(programme(cost), abs=1e-9)


@FEW
@given(st.integers(0, 10**6), st.sampled_from([0.05, 0.1, 1.0]), st.sampled_from([(5, 5), (4, 9), (8, 3)]))
def test_the_soft_plan_has_its_marginals_and_the_form_of_the_optimum(seed, entropy, shape):
    """The one plan that minimises is exp((f + g - C) / e): log P + C / e is a sum of a row's and a column's number."""
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((40, shape[0])), rng.standard_normal((40, shape[1]))
    plan = moved(x, y, entropy=entropy).values
    np.testing.assert_allclose(plan.sum(axis=1), 1 / shape[0], atol=1e-12)
    np.testing.assert_allclose(plan.sum(axis=0), 1 / shape[1], atol=1e-12)
    cost = 1 - np.abs(np.corrcoef(x.T, y.T)[: shape[0], shape[0] :])
    form = np.log(plan) + cost / entropy
    form -= form.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(form - form.mean(axis=0), 0, atol=1e-3)


def test_from_a_permutation_to_everyone_with_everyone(rng):
    x = rng.standard_normal((200, 12))
    order = rng.permutation(12)
    copy = np.zeros((12, 12))
    copy[order, np.arange(12)] = 1 / 12
    y, partners, costs = -4 * x[:, order] + 3, [], []
    for entropy in (0.0, 0.01, 0.1, 0.5, 100.0):
        found = moved(x, y, entropy=entropy)
        partners.append(value(found, "effective").value)
        costs.append(value(found, "transport cost").value)
        if entropy <= 0.01:
            np.testing.assert_allclose(found.values, copy, atol=1e-9)
    singular = np.linalg.svd(found.values, compute_uv=False)
    assert singular[1] < 0.01 * singular[0]
    np.testing.assert_allclose(found.values, 1 / 144, rtol=0.02)
    assert partners[0] == pytest.approx(1)
    assert partners[-1] == pytest.approx(12, rel=1e-3)
    assert (np.diff(partners) > -1e-9).all()
    assert (np.diff(costs) > -1e-9).all()


def test_signed_costs_part_opposites(rng):
    x = rng.standard_normal((200, 6))
    assert value(moved(x, -x, entropy=0.0), "transport cost").value == pytest.approx(0, abs=1e-12)
    assert value(moved(x, -x, entropy=0.0, sign="signed"), "transport cost").value > 0.8


def test_permuting_permutes_the_plan(rng):
    x, y = rng.standard_normal((80, 5)), rng.standard_normal((80, 7))
    order = rng.permutation(7)
    one, other = moved(x, y), moved(x * 3 + 1, y[:, order] * -2)
    np.testing.assert_allclose(one.values[:, order], other.values, atol=1e-9)
    assert one.estimates[0].value == pytest.approx(other.estimates[0].value, abs=1e-9)


def test_unrelated_units_cost_what_moved_ones_do_and_related_ones_less(rng):
    x, y = rng.standard_normal((2, 150, 20))
    noise, shared = moved(x, y), moved(x, x + y)
    cost = value(noise, "transport cost")
    assert abs(cost.value - cost.null) < 2 * (cost.null_high - cost.null_low)
    assert cost.p_value > 0.02
    assert value(shared, "transport cost").value < value(shared, "transport cost").null_low
    assert value(shared, "transport cost").p_value == pytest.approx(1 / 21)
    assert value(shared, "effective").value < value(shared, "effective").null_low
    np.testing.assert_allclose(noise.null, 1 / 400)
    assert noise.null_band[0] <= 1 / 400 <= noise.null_band[1]


def test_the_interval_covers_what_many_samples_say():
    """Eight pairs of r = 0.8: the hard plan's cost is 0.2; in at least 85 of 100."""
    hits = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((120, 8))
        e = moved(x, 0.8 * x + 0.6 * rng.standard_normal((120, 8)), seed, entropy=0.0).estimates[0]
        hits += e.low <= 0.2 <= e.high
    assert hits >= 85


def test_the_drawn_order_puts_partners_on_the_diagonal(rng):
    x = rng.standard_normal((200, 9))
    found = moved(x, x[:, rng.permutation(9)], entropy=0.0)
    np.testing.assert_allclose(np.diag(found.values[np.ix_(found.row_order, found.column_order)]), 1 / 9)
    wide = moved(x[:, :4], rng.standard_normal((200, 9)))
    assert sorted(wide.column_order) == list(range(9))
    assert sorted(moved(rng.standard_normal((200, 9)), x[:, :4]).row_order) == list(range(9))


# ---------------------------------------------------------------------------- input of both
BOTH = pytest.mark.parametrize("method", [co_clusters, unit_transport])


@BOTH
def test_samples_ids_tokens_dead_units_and_names(method, rng):
    x, y, _, _ = planted(rng)
    whole = method(x, y)
    ids, order = np.array([f"s{i}" for i in range(300)]), rng.permutation(300)
    found = method(tap(x, ids), tap(y[order], ids[order]))
    np.testing.assert_allclose(found.values, whole.values, atol=1e-9)
    layout = Layout(np.arange(301) * 2)
    tokens = method(tap(np.repeat(x, 2, axis=0), layout=layout), tap(y))
    np.testing.assert_allclose(tokens.values, whole.values, atol=1e-9)
    dead = x.copy()
    dead[:, 4] = 2.0
    found = method(dead, y)
    assert "4" not in found.row_names
    assert found.values.shape == (17, 18)
    assert any("1 constant unit(s)" in c for c in found.caveats)


@BOTH
def test_at_most_so_many_units_are_drawn_and_that_is_said(method, rng):
    x, y, _, _ = planted(rng)
    scale = np.ones(18)
    scale[[3, 11, 12, 17]] = 10
    params = CoClustersParams if method is co_clusters else UnitTransportParams
    found = method(x * scale, y, params=params(maximum_units=4))
    assert found.row_names == ("3", "11", "12", "17")
    assert found.values.shape == (4, 4)
    assert any("4 units of largest variance of 18" in c for c in found.caveats)


@BOTH
@pytest.mark.parametrize("spoil", ["duplicated", "wide", "offset", "integers", "huge"])
def test_odd_units_give_numbers(method, rng, spoil):
    x = rng.standard_normal((40, 5))
    if spoil == "duplicated":
        x = np.hstack([x, x, -x])
    elif spoil == "wide":
        x = rng.standard_normal((12, 150))
    elif spoil == "offset":
        x += 1e6
    elif spoil == "integers":
        x = np.round(x * 20).astype(np.int16)
    else:
        x *= 1e200
    found = method(x, x[:, ::-1])
    assert np.isfinite(found.values).all()
    assert all(np.isfinite(e.value) for e in found.estimates)


@BOTH
def test_refusals(method, rng):
    x = rng.standard_normal((30, 4))
    with pytest.raises(NotEnoughData, match="7 sample"):
        method(x[:7], x[:7])
    with pytest.raises(InputError, match="all samples"):
        method(x, np.ones((30, 2)))
    if method is co_clusters:
        with pytest.raises(NotEnoughData, match="two a side"):
            method(x, x[:, :1])
    else:
        with pytest.raises(ParameterError, match=r"entropy = 0\.0001"):
            moved(x, x, entropy=1e-4)


# ---------------------------------------------------------------------------- the checks
@pytest.mark.parametrize(
    ("module", "target", "broken"),
    [
        (clusters_module, "analysis.compute.matching.co_clustering_tests.co_clusters_of",
         lambda w, k, rng: (rng.integers(0, k, w.shape[0]), rng.integers(0, k, w.shape[1]))),
        (clusters_module, "analysis.compute.matching.co_clustering_tests.moved_order", lambda s, n, rng: np.arange(n)),
        (clusters_module, "analysis.compute.matching.co_clustering_tests.joint_values", lambda w: np.ones(5)),
        (clusters_module, "analysis.compute.matching.co_clustering_tests.modularity",
         lambda w, a, b: SHARE(w, a, b) - 0.2),
        (transport_module, "analysis.methods.matching.unit_transport.exact_transport",
         lambda cost: np.full(cost.shape, 1 / cost.size)),
        (transport_module, "analysis.methods.matching.unit_transport.soft_plan", lambda c, e: exp_of(-c / e)),
        (transport_module, "analysis.methods.matching.unit_transport.effective_partners", lambda plan: 2.0),
    ],
)  # fmt: skip
def test_the_check_fails_on_broken_code(monkeypatch, module, target, broken):
    check = module.METHODS[0].check
    monkeypatch.setattr(target, broken)
    assert not all(line.passed for line in check())


SHARE = co_clustering.share_inside


def exp_of(x):
    return np.exp(x) / np.exp(x).sum()
