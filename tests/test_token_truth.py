"""What numbers of the Tokens page claim, on planted data where it is known: nulls that are those of the number told,
samples as the unit, intervals that hold what they say, and nothing left out in silence."""

from types import SimpleNamespace

import numpy as np
import pytest

from analysis.activations import ArrayActivations, Layout

RNG = np.random.default_rng


def by_sample(x: np.ndarray, name: str = "planted", **columns) -> ArrayActivations:
    """Rows (samples, tokens, units)."""
    n, t, d = x.shape
    return ArrayActivations(x.reshape(-1, d), name, columns, Layout(np.arange(n + 1) * t))


def told(result) -> dict:
    return {e.name: e for e in result.estimates}


# ---------------------------------------------------------------------------- routers
def test_experts_are_not_called_alike_because_tokens_of_a_sample_are():
    from analysis.methods.tokens.expert_redundancy import ROUTING, ExpertRedundancyParams, expert_redundancy

    found = 0
    for seed in range(2):  # every expert by itself, but tokens of one of 16 samples alike
        rng = RNG(seed)
        x = np.repeat(rng.standard_normal((16, 1, 6)), 12, axis=1) + 0.2 * rng.standard_normal((16, 12, 6))
        params = ExpertRedundancyParams(compare=ROUTING)
        found += expert_redundancy(by_sample(x), params).significant.sum() / 2
    assert found <= 1  # of 30 pairs; tokens exchanged one by one called about 8


def test_twenty_draws_do_not_find_experts_in_noise():
    from analysis.compute.statistics.multiple_testing import benjamini_hochberg
    from analysis.compute.statistics.nulls import student_p

    rng, found = RNG(0), 0
    for _ in range(40):
        draws, seen = rng.standard_normal((20, 500)), rng.standard_normal(500)
        found += (benjamini_hochberg(student_p(seen, draws)) < 0.05).any()
    assert found <= 6  # a normal tail found some in nearly all


def test_agreement_by_chance_counts_pairs_of_different_samples_and_keeps_samples_together():
    from analysis.methods.tokens.expert_cells import expert_cells

    rng, outside = RNG(0), 0
    for _ in range(5):  # where a token lies has nothing to do with its expert, which is that of its sample
        own = np.repeat(np.eye(3)[rng.integers(0, 3, 12)] * 5, 10, axis=0)
        tap = ArrayActivations(own + 1e-3 * rng.standard_normal((120, 3)), layout=Layout(np.arange(13) * 10))
        e = told(expert_cells(tap))["neighbours that agree on the plane"]
        w = own.argmax(axis=1).reshape(12, 10)[:, 0]
        pairs = np.mean([w[i] == w[j] for i in range(12) for j in range(12) if i != j])
        assert e.null == pytest.approx(pairs, abs=1e-12)
        outside += not e.null_low <= pairs <= e.null_high or e.null_high - e.null_low < 0.15
    assert outside == 0


def test_learners_of_unequal_samples_have_an_interval_of_their_mean_over_tokens():
    from analysis.methods.tokens.learners_used import learners_used

    rng, inside = RNG(3), 0
    for _ in range(20):  # long samples use more: the mean over tokens is 3, that over samples is not
        long = rng.random(30) < 0.5
        counts = np.where(long, 40, 20)
        rate = np.repeat(np.where(long, 0.8, 0.2), counts)
        g = (rng.random((counts.sum(), 5)) < rate[:, None]).astype(float)
        tap = ArrayActivations(g, layout=Layout(np.cumsum([0, *counts])))
        e = learners_used(tap).estimates[0]
        inside += e.low <= 3.0 <= e.high
        assert e.high - e.low < 1.3  # stretched ends would be far wider
    assert inside >= 16


def test_one_sample_of_a_network_is_said_as_of_recorded_rows(monkeypatch):
    from analysis.spec import no_progress
    from analysis.tokens.routing import routed
    from analysis.tokens.routing.routers import Router

    x = RNG(0).standard_normal((40, 4))
    monkeypatch.setattr(routed, "seen_by", lambda *_: (x, np.array([40])))
    monkeypatch.setattr(routed, "weights_of_router", lambda *_: (np.eye(4), np.zeros(4)))
    loaded = SimpleNamespace(prepare=lambda items: items)
    run = SimpleNamespace(n=1, loaded=loaded, data=SimpleNamespace(items=lambda a, b: [0]))
    read = routed.read_router(run, Router("gate", "experts", 4, 1), no_progress)
    assert any("one sample" in note for note in read.notes)


def test_the_sample_that_is_asked_for_is_read():
    from analysis.methods.tokens.expert_territory import ExpertTerritoryParams, expert_territory

    tap = by_sample(RNG(0).standard_normal((200, 6, 3)))
    for sample in (0, 57, 199):
        found = expert_territory(tap, ExpertTerritoryParams(sample=sample, maximum_samples=8))
        assert (found.samples == sample).all()


def test_the_busiest_expert_stands_beside_the_busiest_by_chance():
    from analysis.methods.tokens.router_load import RouterLoadParams, router_load

    x = RNG(0).standard_normal((40, 1, 20))
    assert (
        "the busiest by chance: 1" in router_load(by_sample(x), RouterLoadParams(draws=20)).reading
    )  # 10 to 19 %


def test_gates_are_squashed_before_they_are_averaged():
    from scipy.special import expit

    from analysis.methods.tokens.gate_maps import gate_maps

    x = RNG(0).normal(0, 6, (20, 9, 3)) + 2
    e = told(gate_maps(by_sample(x)))["mean gate"]
    assert e.value == pytest.approx(expit(x).mean(), abs=1e-12)
    mild = np.clip(x, -0.4, 1.2)  # means lie between 0 and 1, numbers do not
    assert told(gate_maps(by_sample(mild)))["mean gate"].value == pytest.approx(expit(mild).mean(), abs=1e-12)


# ---------------------------------------------------------------------------- cache
def test_each_layer_alone_holds_just_as_many_numbers():
    from analysis.tokens.cache.shared_subspaces import rank_alone, stored_share, tail_share

    rank = rank_alone(480, 4, 24, 6)
    assert stored_share(480, 4, 24, 6) == pytest.approx(4 * rank * (480 + 24) / (480 * 4 * 24), abs=1e-12)
    x = np.diag([3.0, 2.0, 1.0])
    assert tail_share(x, 1.5, RNG(0)) == pytest.approx(1 - (9 + 0.5 * 4) / 14, abs=1e-12)


def test_bits_have_the_null_of_their_own_way_and_layer():
    from analysis.methods.tokens.cache_quantisation import KEYS, CacheQuantisationParams, cache_quantisation

    x = RNG(0).standard_normal((10, 30, 64)) * np.repeat([8.0, 1.0], [8, 56])
    found = told(cache_quantisation(by_sample(x), CacheQuantisationParams(of=KEYS)))
    plain, mixed = found["4 bits, as it is"], found["4 and 8 bits, mixed"]
    assert abs(mixed.null - mixed.value) < 1  # Gaussian rows are what these are
    assert abs(plain.null - plain.value) < 1
    assert mixed.null > plain.null + 0.8


def test_tokens_of_one_sample_give_no_interval():
    from analysis.methods.tokens.cache_kept import cache_kept

    e = told(cache_kept(by_sample(RNG(0).standard_normal((4, 20, 8)))))["attention of a token that stays"]
    assert e.low is None
    assert e.value > e.null_high  # the largest are above any, and so is their range
    assert e.null == pytest.approx(1, abs=0.1)


def test_one_sample_is_run_by_one_pass_of_that_sample():
    from analysis.tokens.subject import NetworkSubject

    asked = []
    who = NetworkSubject.__new__(NetworkSubject)
    layout = SimpleNamespace(kinds=np.zeros((1, 3), int))
    run = SimpleNamespace(layout=layout, recorded={})
    who.opened = SimpleNamespace(
        prepared=lambda a, b: asked.append((a, b)) or "inputs",
        network=SimpleNamespace(run=lambda *_, **__: run),
    )
    given, dump = who.one(700)
    assert (asked, given, dump.layout) == ([(700, 701)], "inputs", layout)


def test_an_order_of_layers_is_held_against_what_orders_differ_by():
    from analysis.methods.tokens.layer_bits import _gains, _reading

    rng, sure = RNG(0), 0
    for _ in range(60):  # a random order among random orders, told to a hair by 500 samples
        level = rng.standard_normal((8, 5, 1)) + 0.01 * rng.standard_normal((8, 5, 500))
        (e,) = _gains({"LIM order": level[0]}, level[3:], 8)
        sure += "not told apart" not in _reading([e])
    assert sure <= 8  # by samples alone it is nearly always


def test_samples_without_a_finite_loss_at_few_bits_are_not_left_out():
    from analysis.errors import InputError
    from analysis.tokens.cache.rounded_layers import BlocksOfNetwork

    layers = BlocksOfNetwork.__new__(BlocksOfNetwork)
    layers._weights, layers._of_loss, layers._known = [], True, np.array([True, True, False])
    layers.run = SimpleNamespace(
        measure=lambda changed: SimpleNamespace(loss=np.array([1.0, np.nan, np.nan]))
    )
    with pytest.raises(InputError, match="no finite loss"):
        layers.loss(frozenset({0}), 2, 8)


def test_bits_of_a_tap_hold_their_interval():
    from analysis.methods.tokens.rate_distortion import (
        RateDistortionParams,
        half_sample_interval,
        rate_distortion,
    )

    values, mix = np.repeat([9.0, 1.0], 2), np.linalg.qr(RNG(9).standard_normal((4, 4)))[0]
    params, ends = RateDistortionParams(draws=4), []
    for seed in range(8):
        x = RNG(seed).standard_normal((120, 4)) * np.sqrt(values) @ mix
        e = rate_distortion(ArrayActivations(x), params, RNG(seed)).estimates[0]
        ends.append((e.value, e.low, e.high))
    value, low, high = np.array(ends).T
    assert (
        (low <= value.mean()) & (value.mean() <= high)
    ).mean() >= 0.8  # the mean of eight: near what is estimated
    assert half_sample_interval(np.array([1.0, 3.0]))["low"] == 2.0  # one draw has no spread


# ---------------------------------------------------------------------------- pooling
def test_the_place_with_most_long_tokens_is_held_against_the_largest_of_all_places():
    from analysis.methods.tokens.token_norms import TokenNormsParams, token_norms

    rng = RNG(0)
    x = rng.standard_normal((40, 64, 20))
    x[np.arange(40), rng.integers(0, 64, 40)] *= 30  # one in each sample, anywhere
    e = token_norms(by_sample(x), TokenNormsParams()).estimates[2]
    assert e.p_value > 0.05
    assert e.null > 2 / 40  # alike at every place would be 1 / 64


def test_the_frame_that_gets_most_is_held_against_first_frames():
    from analysis.methods.tokens.query_budget import QueryBudgetParams, query_budget

    small = 0
    for seed in range(12):  # frames and queries have nothing to do with each other
        tap = by_sample(RNG(seed).standard_normal((60, 2, 12)))
        e = query_budget(tap, QueryBudgetParams(frames=4), RNG(seed)).estimates[0]
        assert e.null > 1 / 4
        small += e.p_value <= 0.05
    assert small <= 2
    few = query_budget(by_sample(RNG(0).standard_normal((8, 3, 2))), QueryBudgetParams(frames=8))
    assert not few.low  # two units: none can be left out, and no band is drawn
    assert any("favour themselves" in c for c in few.caveats)


# ---------------------------------------------------------------------------- depth
def test_exits_by_chance_are_of_the_samples_that_have_a_label():
    from analysis.methods.tokens.early_exits import _by_chance

    hit = np.array([[1.0, 0.0, np.nan, np.nan], [1.0, 1.0, np.nan, np.nan]])
    left = np.array([0, 0, 1, 1])  # those with a label leave first
    assert _by_chance(hit, left) == pytest.approx(0.5, abs=1e-12)


def test_random_subspaces_that_all_samples_share_are_in_the_interval():
    from analysis.methods.tokens.random_projection_ablation import COSINE, TOP, _interval

    rng, inside = RNG(0), 0
    for _ in range(200):  # draws differ by 0.1, samples by 0.1
        y = 0.3 + 0.1 * rng.standard_normal((6, 1)) + 0.1 * rng.standard_normal((6, 64))
        ends = _interval(COSINE, y)
        inside += ends["low"] <= 0.3 <= ends["high"] and "draws" in ends["interval"]
    assert inside >= 180  # over samples alone about 90
    alike = _interval(TOP, np.ones((6, 20)))
    assert alike["low"] < 0.9
    assert alike["high"] == 1


def test_answers_that_are_all_alike_can_be_projected():
    from analysis.methods.tokens.random_projection_ablation import _reading

    kept = np.full((8, 5), 1 - 1e-15)
    assert "dimensions" in _reading(kept, 1.0, (), "layer 1")


def test_growth_of_scale_by_hand():
    from analysis.methods.tokens.norm_audit import _estimates

    rows = [np.ones((4, 3))] * 2
    batch = [[(np.ones((2, 2)), np.ones((2, 2)), np.ones((2, 2)), np.ones((2, 2), bool))] * 2]
    e = _estimates(batch, rows, np.ones((2, 2)), 4.5, RNG(0))[1]  # before the MLP of four layers
    parts = np.eye(9)[0][None] + np.zeros(
        (1, 9)
    )  # h_0 of length 1, then eight orthogonal parts of 1/√2, less the last
    between = np.linalg.norm([1.0, *[np.sqrt(0.5)] * 7]) / np.linalg.norm(parts)
    assert e.null == pytest.approx(between, abs=1e-12)


def test_the_first_layer_beyond_others_is_surely_so():
    from analysis.methods.tokens.logit_lens import TOP, _reading

    values = np.array([[0.0, 1, 0, 0], [1.0, 1, 1, 1]])
    text = _reading(values, np.array([0.05, 0.5]), np.array([0.2, 0.2]), TOP, ("input", "layer 1"))
    assert text.endswith("is layer 1.")


def test_few_answers_settle_early_by_chance():
    from analysis.tokens.lens import settled, settled_by_chance

    rng = RNG(0)
    top = rng.integers(0, 2, (5, 40))  # two answers, layers that know nothing
    found = np.mean([settled_by_chance(rng.integers(0, 2, (5, 40))) for _ in range(40)])
    assert found == pytest.approx(4 - (1 / 2 + 1 / 4 + 1 / 8 + 1 / 16), abs=0.05)
    every = [settled(np.concatenate([np.roll(top[:-1], s, axis=1), top[-1:]])).mean() for s in range(1, 40)]
    assert settled_by_chance(top) == pytest.approx(np.mean(every), abs=1e-12)
    assert np.isnan(settled_by_chance(top[:, :1]))


# ---------------------------------------------------------------------------- checkpoints and time
def test_a_missing_number_makes_no_column_new_and_no_common_tensor_no_share():
    from analysis.methods.tokens.growth_timeline import growth_timeline

    x = RNG(0).standard_normal((20, 3))
    y = x.copy()
    y[3, 0] = np.nan
    y[:, 1] += 1
    found = growth_timeline(ArrayActivations(x, name="a"), ArrayActivations(y, name="b"))
    words = list(found.columns["a → b"])
    assert (words[0], words[2]) == ("moved 0", "identical")
    assert found.columns["moved by"][1] == pytest.approx(np.sqrt(20) / np.linalg.norm(x[:, 1]), rel=1e-9)
    other = growth_timeline(ArrayActivations(x, name="a"), ArrayActivations(x[:12], name="b"))
    assert not other.estimates  # a share of nothing is none
    zero = growth_timeline(ArrayActivations(0 * x, name="a"), ArrayActivations(x, name="b"))
    assert list(zero.columns["a → b"]) == ["moved from 0"] * 3


def test_noise_of_time_is_of_neighbours_and_uses_each_pass_once():
    from analysis.methods.tokens.latency import _noise

    drift = np.array(
        [[1.0, 1.0], [2.0, 2.0], [4.0, 4.0], [8.0, 8.0]]
    )  # a machine that slows from round to round
    e = _noise(drift, 8)
    assert (e.value, e.low, e.high, e.n) == (1.0, 1.0, 1.0, 4)
