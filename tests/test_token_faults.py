"""The fault report: planted faults are found, and each by its own line alone."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from test_token_rules import pictured, texts, uniform

from analysis.tokens.dump import Simulated, TokenDump, simulate
from analysis.tokens.fault import BIASED, FAULT, NONE, UNSEEN
from analysis.tokens.faults import faults
from analysis.tokens.rule import rule
from analysis.tokens.schedule import at_layer, schedule
from analysis.tokens.state import GONE, Step, after, shares
from analysis.tokens.survival import left_alone, survival, together
from analysis.tokens.view import CLASS

RNG = np.random.default_rng


def noise(n: int = 30, leading=(CLASS,)) -> TokenDump:
    return pictured(RNG(0).standard_normal((n, 36, 5)), (6, 6), 3, leading=leading)


def of(found, name):
    return next(f for f in found if f.name == name)


def wrong(found) -> list[str]:
    return [f.name for f in found if f.verdict in (FAULT, BIASED)]


def test_random_keep_has_no_fault():
    dump = noise()
    found = faults(dump, rule("random"), simulate(dump, rule("random"), at_layer(0, 12, 3, 36)))
    assert wrong(found) == []
    assert of(found, "position bias by row").verdict == NONE
    assert of(found, "pruned tokens still computed").verdict == UNSEEN


def test_survival_at_random_has_the_spread_of_chance():
    """z of lines over many random keeps has mean 0 and variance 1."""
    dump = noise(10)
    z = np.concatenate([
        survival(dump.layout, simulate(dump, rule("random"), at_layer(0, 12, 3, 36), rng=RNG(s)).states[-1]).z
        for s in range(250)
    ])  # fmt: skip
    assert abs(z.mean()) < 0.05
    assert z.var() == pytest.approx(1, abs=0.1)


def test_position_bias_is_found_in_its_row():
    dump = noise()
    found = faults(dump, rule("last"), simulate(dump, rule("last"), at_layer(0, 12, 3, 36)))
    by_row = of(found, "position bias by row")
    assert by_row.verdict == BIASED
    assert by_row.found > 10
    assert "row 6" in by_row.sentence
    assert of(found, "position bias by column").verdict == NONE
    text = texts(np.repeat(uniform(40), 20, axis=0))
    found = faults(text, rule("first"), simulate(text, rule("first"), at_layer(0, 10, 2, 38)))
    assert of(found, "position bias by tenth").verdict == BIASED


def test_survival_of_parts_is_that_of_all():
    dump = noise(6)
    state = simulate(dump, rule("random"), at_layer(0, 12, 3, 36)).states[-1]
    whole = survival(dump.layout, state)
    parts = []
    for rows in (slice(0, 2), slice(2, 6)):
        some = replace(state, at=state.at[rows], place=state.place[rows], size=state.size[rows])
        parts.append(survival(dump.layout.rows(rows), some))
    np.testing.assert_allclose(together(parts).z, whole.z, atol=1e-12)
    assert left_alone(state).sum() == 6 * 13


def test_undamped_pagerank_is_a_sink_and_uniform_attention_is_not():
    dump = texts(uniform(20), 2)
    found = faults(dump, rule("pagerank"), simulate(dump, rule("pagerank"), at_layer(1, 9, 2, 18)))
    assert of(found, "first-token sink of the score").verdict == FAULT
    assert of(found, "first-token sink of the score").found == pytest.approx(0.8227, abs=1e-4)
    sink = of(found, "first-token sink")
    assert sink.verdict == NONE
    assert sink.found == pytest.approx(0.18, abs=1e-3) == sink.expected
    assert "72 to 1" in sink.sentence
    spread = texts(uniform(20, causal=False), 2)
    found = faults(spread, rule("pagerank"), simulate(spread, rule("pagerank"), at_layer(1, 9, 2, 18)))
    assert of(found, "first-token sink of the score").verdict == NONE
    heavy = 0.2 * uniform(20)
    heavy[:, :, 0] += 0.8
    dump = texts(heavy, 2)
    found = faults(dump, rule("fastv"), simulate(dump, rule("fastv"), at_layer(1, 9, 2, 18)))
    assert of(found, "first-token sink").verdict == FAULT


def lost_class(view, remove, settings, rng) -> Step:
    into = np.broadcast_to(np.arange(view.state.at.shape[1]), view.state.at.shape).copy()
    into[:, 0] = 1
    return Step(into, np.full(into.shape, np.nan))


def test_a_lost_class_token_is_found():
    dump = noise(3)
    one = replace(rule("tome"), decide=lost_class)
    assert "class token lost" in wrong(faults(dump, one, simulate(dump, one, at_layer(0, 30, 3, 36))))


def merged_into_class(view, remove, settings, rng) -> Step:
    into = np.broadcast_to(np.arange(view.state.at.shape[1]), view.state.at.shape).copy()
    into[:, 1] = 0
    return Step(into, np.full(into.shape, np.nan))


def without_class(view, remove, settings, rng) -> Step:
    into = np.broadcast_to(np.arange(view.state.at.shape[1]), view.state.at.shape).copy()
    into[:, 0] = GONE
    return Step(into, np.full(into.shape, np.nan))


@pytest.mark.parametrize("decide", [merged_into_class, without_class])
def test_a_class_token_that_is_there_but_not_alone_or_is_gone_is_lost(decide):
    dump = noise(3)
    one = replace(rule("tome"), decide=decide)
    found = of(faults(dump, one, simulate(dump, one, at_layer(0, 35, 3, 36))), "class token lost")
    assert (found.verdict, found.found, found.expected) == (FAULT, 3, 0)
    right = of(
        faults(dump, rule("tome"), simulate(dump, rule("tome"), at_layer(0, 30, 3, 36))), "class token lost"
    )
    assert (right.verdict, right.found) == (NONE, 0)


def test_a_share_of_the_score_is_held_against_an_even_one():
    """Nearly half of the score on the first of four tokens is no sink, on the first of thirty it is."""
    for tokens, verdict in ((4, NONE), (30, FAULT)):
        dump = texts(uniform(tokens, causal=False), 2)
        ran = simulate(dump, rule("first"), at_layer(0, 1, 2, tokens - 2))
        score = np.full((1, tokens), 0.55 / (tokens - 1))
        score[0, 0] = 0.45
        ran = Simulated(ran.states, [replace(ran.steps[0], score=score), None])
        found = of(faults(dump, rule("fastv"), ran), "first-token sink of the score")
        assert found.found == pytest.approx(0.45, abs=1e-12)
        assert found.expected == pytest.approx(1 / tokens, abs=1e-12)
        assert found.verdict == verdict


def test_sizes_that_add_up_though_a_token_is_gone_are_found():
    dump = noise(3)
    ran = simulate(dump, rule("tome"), at_layer(0, 20, 3, 36))
    last = ran.states[-1]
    place = last.place.copy()
    place[0, 5] = GONE  # its size still counts
    found = faults(dump, rule("tome"), Simulated([*ran.states[:-1], replace(last, place=place)], ran.steps))
    assert of(found, "mass not conserved").verdict == FAULT


def test_copies_left_apart_are_found():
    x = RNG(0).standard_normal((2, 36, 5))
    x[:, 1::2] = x[:, ::2]
    dump = pictured(x, (6, 6), 3, leading=(CLASS,))
    found = faults(dump, rule("tome"), simulate(dump, rule("tome"), at_layer(0, 18, 3, 36)))
    assert of(found, "duplicates not merged").verdict == NONE
    assert of(found, "duplicates not merged").expected == 36

    def blind(view, remove, settings, rng):
        return rule("spatial_pooling").decide(view, remove, rule("spatial_pooling").settings(), rng)

    one = replace(rule("tome"), decide=blind)
    found = faults(dump, one, simulate(dump, one, at_layer(0, 18, 3, 36)))
    assert of(found, "duplicates not merged").verdict == FAULT


def test_mass_and_weights_that_do_not_add_up_are_found():
    dump = noise(6)
    ran = simulate(dump, rule("tome"), at_layer(0, 20, 3, 36))
    assert of(faults(dump, rule("tome"), ran), "mass not conserved").verdict == NONE
    last = replace(ran.states[-1], size=np.ones_like(ran.states[-1].size))
    less = Simulated([*ran.states[:-1], last], ran.steps)
    right, less = wrong(faults(dump, rule("tome"), ran)), wrong(faults(dump, rule("tome"), less))
    assert set(less) - set(right) == {"mass not conserved"}
    assert right == ["position bias by column"]  # its two sets are the odd and the even columns of this grid
    fused = simulate(dump, rule("evit"), at_layer(0, 20, 3, 36))
    found = faults(dump, rule("evit"), fused)
    assert of(found, "weights of a merge").found == pytest.approx(
        17 / 37, abs=1e-9
    )  # uniform attention over 37
    assert of(found, "weights of a merge").verdict == FAULT
    assert of(found, "mass not conserved").verdict == NONE
    dropped = simulate(dump, rule("class_attention"), at_layer(0, 20, 3, 36))
    assert of(faults(dump, rule("class_attention"), dropped), "mass not conserved").verdict == NONE
    as_merging = replace(rule("class_attention"), merges=True)
    assert "mass not conserved" in wrong(faults(dump, as_merging, dropped))


def ran_live(with_size: bool, removed: bool = True):
    """What a network would have recorded: attention over merged tokens, with or without the logarithm of sizes."""
    dump, rng = noise(2), RNG(1)
    ran = simulate(dump, rule("tome"), at_layer(0, 20, 3, 36))
    recorded: dict[str, list] = {name: [] for name in ("attention", "queries", "keys", "hidden")}
    for state in ran.states[:-1]:
        t = state.at.shape[1]
        q, k = rng.standard_normal((2, 2, 3, t, 4))
        logits = q @ k.transpose(0, 1, 3, 2) / 2 + with_size * np.log(state.size)[:, None, None, :]
        weight = np.exp(logits)
        recorded["attention"].append(weight / weight.sum(axis=-1, keepdims=True))
        recorded["queries"].append(q)
        recorded["keys"].append(k)
        recorded["hidden"].append(np.zeros((2, t if removed else 37, 5)))
    recorded["hidden"].append(recorded["hidden"][-1])
    return dump, SimpleNamespace(states=ran.states, steps=ran.steps, recorded=recorded)


def test_a_missing_log_size_term_is_measured():
    dump, run = ran_live(with_size=True)
    found = faults(dump, rule("tome"), run)
    assert of(found, "log-size term missing").found == pytest.approx(1, abs=1e-9)
    assert wrong(found) == []
    dump, run = ran_live(with_size=False)
    found = faults(dump, rule("tome"), run)
    assert of(found, "log-size term missing").found == pytest.approx(0, abs=1e-9)
    assert wrong(found) == ["log-size term missing"]


def test_rows_that_no_longer_sum_to_one_and_tokens_only_masked_are_found():
    dump, run = ran_live(with_size=True)
    run.recorded["attention"][1] = np.where(
        run.recorded["attention"][1] < 0.02, 0, run.recorded["attention"][1]
    )
    assert wrong(faults(dump, rule("tome"), run)) == ["rows of attention"]
    dump, run = ran_live(with_size=True, removed=False)
    found = faults(dump, rule("tome"), run)
    assert wrong(found) == ["pruned tokens still computed"]
    assert of(found, "pruned tokens still computed").found == 2 * 3 * 37


def test_padding_and_dropped_tokens_are_not_counted():
    dump = noise(2)
    step = Step(np.where(np.arange(37) < 30, np.arange(37), GONE)[None].repeat(2, 0), np.ones((2, 37)))
    start = simulate(dump, rule("even"), schedule("even", 1.0, 3, 36)).states[0]
    ran = Simulated([start, after(start, step)], [step])
    assert shares(start, step).sum() == 60
    assert of(faults(dump, rule("even"), ran), "mass not conserved").found == 60
