"""Partitions of tokens: what a step does, and what every rule has to leave true."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.errors import InputError, ParameterError
from analysis.tokens.choosing import bipartite, rank_among
from analysis.tokens.dump import TokenDump, simulate
from analysis.tokens.rule import rules
from analysis.tokens.schedule import SPREADS, at_cost, at_layer, schedule
from analysis.tokens.state import GONE, Step, TokenState, after, merged, shares, stay
from analysis.tokens.view import CLASS, PADDING, PATCH, TokenLayout

B, ROWS, LAYERS, WIDTH, HEADS = 3, 4, 4, 6, 2
T = ROWS * ROWS + 1


def planted(seed: int = 0, layers: int = LAYERS) -> TokenDump:
    """A class token and a grid of patches with random numbers."""
    rng = np.random.default_rng(seed)
    kinds = np.full((B, T), PATCH)
    kinds[:, 0] = CLASS
    cell = np.broadcast_to(np.arange(T) - 1, (B, T))
    layout = TokenLayout(kinds, kinds == PATCH, cell, (ROWS, ROWS))

    def soft(*shape):
        x = np.exp(rng.standard_normal(shape))
        return x / x.sum(axis=-1, keepdims=True)

    attention = [soft(B, HEADS, T, T) for _ in range(layers)]
    keys = [rng.standard_normal((B, HEADS, T, WIDTH)) for _ in range(layers)]
    return TokenDump(layout, {
        "hidden": [rng.standard_normal((B, T, WIDTH)) for _ in range(layers + 1)],
        "between": [rng.standard_normal((B, T, WIDTH)) for _ in range(layers)],
        "keys": keys, "queries": [rng.standard_normal(k.shape) for k in keys], "plain keys": keys,
        "plain queries": [rng.standard_normal(k.shape) for k in keys],
        "mean keys": [k.mean(axis=1) for k in keys],
        "attention": attention, "mean attention": [a.mean(axis=1) for a in attention],
        "mean influence": [soft(B, T, T) for _ in range(layers)],
    })  # fmt: skip


def test_a_step_is_a_partition_and_means_are_weighed_by_size():
    state = TokenState.start(np.ones((1, 5), bool))
    one = after(state, Step(np.array([[0, 1, 1, GONE, 4]]), np.zeros((1, 5))))
    assert one.at.tolist() == [[0, 1, 4]]
    assert one.place.tolist() == [[0, 1, 1, GONE, 2]]
    assert one.size.tolist() == [[1, 2, 1]]
    assert one.owner.tolist() == [[0, 1, 1, GONE, 4]]
    two_step = Step(np.array([[0, 1, 1]]), np.zeros((1, 3)))
    two = after(one, two_step)
    assert two.owner.tolist() == [[0, 1, 1, GONE, 1]]
    assert two.size.tolist() == [[1, 3]]
    x = np.array([[[1.0], [6.0], [12.0]]])
    np.testing.assert_allclose(merged(x, one, two_step)[0, :, 0], [1, (2 * 6 + 12) / 3], atol=1e-12)
    np.testing.assert_array_equal(two.sources().sum(axis=1), [[1, 1, 1, 0, 1]])


def test_sums_with_their_own_weights_are_not_made_means():
    state = TokenState.start(np.ones((1, 3), bool))
    step = Step(np.array([[0, 1, 1]]), np.zeros((1, 3)), weight=np.array([[1.0, 0.2, 0.3]]), summed=True)
    x = np.array([[[1.0], [10.0], [100.0]]])
    np.testing.assert_allclose(merged(x, state, step)[0, :, 0], [1, 32], atol=1e-12)
    np.testing.assert_allclose(
        shares(state, Step(step.into, step.score, step.weight)), [[1, 0.4, 0.6]], atol=1e-12
    )


def test_samples_may_keep_different_numbers():
    state = TokenState.start(np.ones((2, 3), bool))
    new = after(state, Step(np.array([[0, GONE, GONE], [GONE, 1, 2]]), np.zeros((2, 3))))
    assert new.at.tolist() == [[0, GONE], [1, 2]]
    assert new.counts.tolist() == [1, 2]
    assert (
        merged(np.ones((2, 3, 1)), state, Step(np.array([[0, GONE, GONE], [GONE, 1, 2]]), None))[0, 1, 0] == 0
    )


def test_nothing_goes_into_what_is_gone():
    state = TokenState.start(np.ones((1, 3), bool))
    with pytest.raises(ParameterError, match="gone"):
        after(state, Step(np.array([[1, 2, 2]]), np.zeros((1, 3))))


def test_ties_are_ranked_by_position():
    assert rank_among(np.zeros((1, 4)), np.array([[True, False, True, True]])).tolist() == [[0, 3, 1, 2]]


def test_soft_matching_merges_the_most_alike():
    state = TokenState.start(np.ones((1, 4), bool))
    alike = np.array([[[0.1, 0.9], [0.95, 0.2]]])
    step = bipartite(state, np.array([[0, 2]]), np.array([[1, 3]]), lambda a, b: alike, np.array([1]))
    assert step.into.tolist() == [[0, 1, 1, 3]]


@pytest.mark.parametrize("spread", list(SPREADS))
def test_a_schedule_leaves_its_share_and_never_more_again(spread):
    for share in (1.0, 0.5, 0.01):
        plan = schedule(spread, share, 12, 196)
        assert plan.kept[-1] == max(round(share * 196), 1)
        assert min(plan.remove) >= 0
    assert schedule(spread, 1.0, 12, 196).remove == (0,) * 12


def test_spreads_of_papers():
    assert schedule("halved", 0.25, 5, 100).kept == (
        100,
        50,
        50,
        42,
        33,
        25,
    )  # merged to the root, then falling
    assert schedule("second", 0.25, 5, 100).kept == (100, 100, 25, 25, 25, 25)
    assert schedule("twice", 0.09, 8, 100).kept == (100, 100, 30, 30, 9, 9, 9, 9, 9)


def test_schedules_refuse_what_leaves_nothing():
    with pytest.raises(ParameterError, match="left"):
        schedule("even", 0.0, 4, 16)
    with pytest.raises(ParameterError, match="layer 4"):
        at_layer(4, 2, 4, 16)
    with pytest.raises(ParameterError, match="0 tokens kept"):
        at_layer(1, 0, 4, 16)


def test_a_cost_is_met_from_below_and_nearly():
    def cost(plan):
        return float(np.sum(np.square(plan.kept)))

    full = cost(schedule("even", 1.0, 6, 100))
    plan = at_cost(cost, "even", 0.6 * full, 6, 100)
    more = schedule("even", (plan.kept[-1] + 1) / 100, 6, 100)
    assert cost(plan) <= 0.6 * full < cost(more)


@pytest.mark.parametrize("id", list(rules()))
def test_every_rule_keeps_a_partition_its_count_and_the_class_token(id):
    dump, one = planted(), rules()[id]
    free = T - 1
    plan = schedule(one.schedule, 0.5, LAYERS, free)
    found = simulate(dump, one, plan)
    last = found.states[-1]
    if not found.notes and not one.own_count:
        np.testing.assert_array_equal(last.counts - 1, plan.kept[-1])
    assert (last.owner[:, 0] == 0).all()
    assert (last.size[:, 0] == 1).all()
    inside = last.sources().sum(axis=1)
    assert set(np.unique(inside)) <= {0, 1}
    if one.merges:
        np.testing.assert_array_equal(last.size.sum(axis=1), T)
    np.testing.assert_array_equal(last.size, last.sources().sum(axis=2))
    for state in found.states:
        owned = np.take_along_axis(state.owner, np.maximum(state.owner, 0), axis=1)
        assert (np.where(state.owner == GONE, GONE, owned) == state.owner).all()


@pytest.mark.parametrize("id", list(rules()))
def test_every_rule_keeps_all_when_nothing_is_to_go(id):
    dump, one = planted(), rules()[id]
    found = simulate(dump, one, schedule(one.schedule, 1.0, LAYERS, T - 1))
    assert all(step is None for step in found.steps)
    assert (found.owners == np.arange(T)).all()
    nothing = one.decide(_view(dump, one), np.zeros(B, int), one.settings(), np.random.default_rng(0))
    np.testing.assert_array_equal(nothing.into, stay(TokenState.start(dump.layout.present)))


@pytest.mark.parametrize("id", [k for k, r in rules().items() if not r.baseline])
def test_every_rule_is_blind_to_the_order_of_samples(id):
    dump, one = planted(), rules()[id]
    plan = schedule(one.schedule, 0.5, LAYERS, T - 1)
    there, back = simulate(dump, one, plan), simulate(dump.rows(np.array([2, 0, 1])), one, plan)
    np.testing.assert_array_equal(there.owners[:, [2, 0, 1]], back.owners)


def _view(dump, one):
    from analysis.tokens.dump import _Asked
    from analysis.tokens.view import View

    state = TokenState.start(dump.layout.present)
    return View(0, dump.layers, state, dump.layout, _Asked(dump, 0, state, one))


def test_padding_is_no_token_of_any_rule():
    dump = planted()
    kinds = dump.layout.kinds.copy()
    kinds[1, -4:] = PADDING
    layout = TokenLayout(
        kinds, kinds == PATCH, np.where(kinds == PATCH, dump.layout.cell, -1), dump.layout.grid
    )
    short = TokenDump(layout, dump.recorded)
    for one in rules().values():
        found = simulate(short, one, lambda n, one=one: schedule(one.schedule, 0.5, LAYERS, n))
        assert (found.states[-1].owner[1, -4:] == GONE).all(), one.id
        assert (found.states[-1].owner[:, 0] == 0).all(), one.id


def test_a_rule_on_a_dump_without_what_it_looks_at_says_so():
    dump = planted()
    less = TokenDump(dump.layout, {"hidden": dump.recorded["hidden"], "between": dump.recorded["between"]})
    with pytest.raises(InputError, match="nothing is known of the mean keys of tokens"):
        simulate(less, rules()["tome"], schedule("even", 0.5, LAYERS, T - 1))


def test_more_than_a_rule_can_take_at_once_is_said():
    found = simulate(planted(), rules()["tome"], at_layer(0, 2, LAYERS, T - 1))
    assert "8 instead of 14 of 16" in found.notes[0]
    assert found.counts[-1].tolist() == [9] * B


def test_a_rule_that_these_tokens_do_not_allow_is_left_out_of_the_ledger_and_named():
    from dataclasses import replace

    from analysis.methods.tokens.token_ledger import TokenLedgerParams, token_ledger
    from analysis.tokens import rule as registry

    def refuse(*_):
        raise InputError("a rule of another network", "this one")

    known = registry.rules()
    held = known["mctf"]
    known["mctf"] = replace(held, decide=refuse)
    try:
        x = np.random.default_rng(0).standard_normal((40, 6))
        found = token_ledger(x, TokenLedgerParams(rules="tome, mctf"))
    finally:
        known["mctf"] = held
    assert list(found.series) == ["ToMe"]
    assert any("MCTF is left out: a rule of another network" in c for c in found.caveats)


def test_a_film_is_of_the_sample_that_is_asked_for():
    """Score and owner of the second of three samples, whose tokens went otherwise."""
    from analysis.tokens.film import film

    dump, one = planted(), rules()["fastv"]
    found = simulate(dump, one, at_layer(1, 6, LAYERS, T - 1))
    for row in range(B):
        shown = film(found.states, found.steps, dump.layout, one, row=row, title="planted")
        np.testing.assert_array_equal(shown.owner, found.owners[:, row])
        read = dump.recorded["mean attention"][1][row, 0]
        np.testing.assert_allclose(
            np.asarray(shown.score)[2], read, atol=1e-12
        )  # what the second layer judged by
        assert np.asarray(shown.judged)[2].all()
        assert not np.asarray(shown.judged)[[0, 1, 3, 4]].any()
    # three layers behind the merge: a token is judged through the one it is inside
    merges = simulate(dump, rules()["tome"], schedule("even", 0.5, LAYERS, T - 1))
    for row in range(B):
        shown = film(merges.states, merges.steps, dump.layout, rules()["tome"], row=row, title="planted")
        place = merges.states[2].place[row]
        score = merges.steps[2].score[row][place]
        np.testing.assert_array_equal(np.asarray(shown.judged)[3], np.isfinite(score))
        np.testing.assert_allclose(np.asarray(shown.score)[3][np.isfinite(score)], score[np.isfinite(score)])
