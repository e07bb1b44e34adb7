"""What papers say of their rules for tokens, by closed forms and planted tokens."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from analysis.tokens.choosing import bipartite, gathered, merge_groups, then, unit_rows
from analysis.tokens.dump import TokenDump, needed, rows_and_columns, simulate
from analysis.tokens.grid_cells import nest
from analysis.tokens.oracle import read_in_the_end
from analysis.tokens.rebuilding import made_from, on_edge, rebuilt, relative_error
from analysis.tokens.rule import rule, rules
from analysis.tokens.rules.adaptive_pooling import adaptive
from analysis.tokens.rules.cluster_rebuild import ClusterSettings, local_clusters, seeds
from analysis.tokens.rules.correlation_guided import CorrelationSettings, density
from analysis.tokens.rules.last_tokens import WindowSettings
from analysis.tokens.rules.mctf import MctfSettings
from analysis.tokens.rules.mctf import weights as mctf_weights
from analysis.tokens.rules.pagerank import PagerankSettings, pagerank, sharpened
from analysis.tokens.rules.pitome import ELU, WRITTEN, PitomeSettings, energies
from analysis.tokens.rules.power_pooling import PowerSettings, power_mean
from analysis.tokens.rules.received_attention import ReceivedSettings, received_mass, uniform_attention
from analysis.tokens.rules.tome import halves
from analysis.tokens.schedule import at_layer, schedule
from analysis.tokens.state import GONE, Step, TokenState, after, merged
from analysis.tokens.view import CLASS, PATCH, REGISTER, TEXT, TokenLayout, View

RNG = np.random.default_rng


def pictured(
    x: np.ndarray, grid: tuple[int, int], layers: int = 2, leading=(), frames: int = 1, **more
) -> TokenDump:
    """A dump of patches x (n, rows x columns, d), the same in every layer, behind `leading` tokens of these kinds."""
    n, k = len(x), len(leading)
    x = np.concatenate([RNG(7).standard_normal((n, k, x.shape[2])), x], axis=1)
    kinds = np.full(x.shape[:2], PATCH)
    kinds[:, :k] = leading
    cell = np.broadcast_to(np.where(kinds[0] == PATCH, np.arange(x.shape[1]) - k, -1), kinds.shape)
    t = x.shape[1]
    attention = np.full((n, t, t), 1 / t)
    recorded = {"hidden": [x] * (layers + 1), "between": [x] * layers, "mean keys": [x] * layers,
                "mean attention": [attention] * layers, "attention": [attention[:, None]] * layers}  # fmt: skip
    return TokenDump(TokenLayout(kinds, kinds == PATCH, cell, grid, frames=frames), recorded | more)


def texts(attention: np.ndarray, layers: int = 2) -> TokenDump:
    """A dump of text with the same mean attention (n, t, t) in every layer; first and last token stay."""
    n, t = attention.shape[:2]
    kinds = np.full((n, t), TEXT)
    free = np.broadcast_to((np.arange(t) > 0) & (np.arange(t) < t - 1), kinds.shape)
    x = RNG(3).standard_normal((n, t, 4))
    return TokenDump(TokenLayout(kinds, free, np.full((n, t), -1), None, causal=True), {
        "hidden": [x] * (layers + 1), "between": [x] * layers, "mean keys": [x] * layers,
        "mean attention": [attention] * layers, "attention": [attention[:, None]] * layers,
    })  # fmt: skip


def uniform(t: int, causal: bool = True) -> np.ndarray:
    return uniform_attention(np.ones((1, t), bool), causal)


def left(found, b: int = 0) -> list[int]:
    """The input tokens that are still there."""
    state = found.states[-1]
    return state.at[b][state.valid[b]].tolist()


# ---------------------------------------------------------------------------- AIM and received attention
def test_undamped_causal_pagerank_ends_in_the_first_token():
    """20 tokens, uniform start, temperature 1. One step of uniform attention gives the harmonic number over 20; the
    published masses are those of one draw of standard normal logits."""
    valid, logits = np.ones((1, 20), bool), RNG(1).standard_normal((1, 1, 20, 20))
    drawn = np.where(np.tri(20, dtype=bool), np.exp(logits), 0)
    drawn = drawn / drawn.sum(axis=-1, keepdims=True)
    mass = {k: pagerank(uniform(20)[:, None], valid, k)[0, 0] for k in (1, 5, 20)}
    assert mass[1][0] == pytest.approx(np.sum(1 / np.arange(1, 21)) / 20, abs=1e-12)
    assert [round(float(mass[k][0]), 5) for k in (5, 20)] == [0.8227, 0.99999]
    assert [round(float(pagerank(drawn, valid, k)[0, 0, 0]), d) for k, d in ((1, 2), (5, 2), (20, 4))] == [
        0.18, 0.84, 0.9998
    ]  # fmt: skip
    assert all(m.sum() == pytest.approx(1, abs=1e-12) for m in mass.values())
    alive = pagerank(uniform(20)[:, None], valid, 200, damping=0.5)[0, 0]
    assert alive[-1] > 0.02  # with damping nobody is an absorbing state


def test_position_null_of_pagerank_makes_uniform_attention_a_tie():
    dump = texts(uniform(20))
    for corrected in (False, True):
        found = simulate(dump, rule("pagerank"), at_layer(1, 9, 2, 18), PagerankSettings(corrected=corrected))
        score = found.steps[1].score[0]
        assert (np.ptp(score) < 1e-9) == corrected
    assert left(simulate(dump, rule("pagerank"), at_layer(1, 9, 2, 18))) == [*range(10), 19]


def test_attention_of_another_temperature_is_that_of_divided_logits():
    logits = RNG(0).standard_normal((4, 6))

    def soft(x):
        return np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)

    np.testing.assert_allclose(sharpened(soft(logits), 0.1), soft(logits / 0.1), atol=1e-12)


def test_uniform_causal_attention_favours_the_first_of_twenty_by_seventy_two():
    mass = received_mass(uniform(20), np.ones((1, 20), bool))[0]
    assert mass[0] / mass[-1] == pytest.approx(20 * np.sum(1 / np.arange(1, 21)), abs=1e-9)  # 71.95
    assert round(mass[0] / mass[-1]) == 72
    dump = texts(uniform(20))
    plain = simulate(dump, rule("received_attention"), at_layer(0, 6, 2, 18), ReceivedSettings(recent=0))
    assert left(plain) == [*range(7), 19]
    even = simulate(dump, rule("received_attention"), at_layer(0, 6, 2, 18), ReceivedSettings(corrected=True))
    np.testing.assert_allclose(even.steps[0].score, 1, atol=1e-9)
    recent = simulate(dump, rule("received_attention"), at_layer(0, 6, 2, 18))
    assert left(recent) == [0, 1, 2, 3, 16, 17, 18, 19]


def test_aim_merges_neighbours_in_rounds_within_frames_first():
    x = np.repeat(np.eye(4), 4, axis=0)[None]  # four runs of four copies
    found = simulate(pictured(x, (4, 4), 4), rule("aim"), at_layer(0, 4, 4, 16))
    assert found.states[1].size.tolist() == [[4, 4, 4, 4]]
    assert left(found) == [0, 4, 8, 12]
    other = np.eye(4)[[0, 1, 2, 3, 1, 0, 3, 2]][None]  # the copy of every odd place is in the other picture
    found = simulate(pictured(other, (4, 2), frames=2), rule("aim"), at_layer(0, 4, 2, 8))
    assert (found.states[-1].owner[0] // 4 == np.arange(8) // 4).all()


# ---------------------------------------------------------------------------- PiToMe
def test_the_two_energies_of_pitome_choose_other_tokens():
    differ, free = 0, np.ones((1, 32), bool)
    for seed in range(200):
        x = unit_rows(RNG(seed).standard_normal((1, 32, 4)))
        cosines = x @ x.transpose(0, 2, 1)
        top = [set(np.argsort(-energies(cosines, free, 0.5, 1.0, f)[0])[:8]) for f in (WRITTEN, ELU)]
        differ += top[0] != top[1]
    assert differ > 60


def test_pitome_protects_the_isolated_and_merges_the_crowded():
    x = np.concatenate([np.tile([1.0, 0, 0], (6, 1)), [[0, 1, 0], [0, 0, 1]]])[None]
    found = simulate(pictured(x, (2, 4)), rule("pitome"), at_layer(0, 5, 2, 8))
    state = found.states[-1]
    assert {6, 7} <= set(left(found))
    assert state.size[0, -2:].tolist() == [1, 1]
    free, same = np.ones((1, 5), bool), np.ones((1, 5, 5))
    assert np.ptp(energies(same, free, 0.9, 1.0, WRITTEN)) == 0


def test_only_the_most_crowded_of_pitome_merge_and_pairs_alternate_in_that_order():
    x = RNG(5).standard_normal((1, 16, 4))
    found = simulate(pictured(x, (4, 4)), rule("pitome"), at_layer(0, 12, 2, 16), PitomeSettings(margin=0.5))
    unit = unit_rows(x[0])
    cosines = unit @ unit.T
    f = np.where(cosines > 0.5, cosines, np.exp(cosines - 0.5) - 1)
    energy = [np.delete(f[i], i).mean() for i in range(16)]
    order = np.argsort(-np.array(energy))[:8]
    expected = np.arange(16)
    for a in order[::2]:
        expected[a] = max(order[1::2], key=lambda b: cosines[a, b])
    assert found.steps[0].into[0].tolist() == expected.tolist()


def test_pitome_takes_half_at_most_and_says_so():
    x = RNG(0).standard_normal((1, 16, 4))
    found = simulate(pictured(x, (4, 4)), rule("pitome"), at_layer(0, 4, 2, 16), PitomeSettings(energy=ELU))
    assert "8 instead of 12 of 16" in found.notes[0]
    assert found.counts[-1].tolist() == [8]


# ---------------------------------------------------------------------------- MCTF
def mctf_of(x, settings, size=None, received=None):
    t = x.shape[1]
    size = np.ones((1, t)) if size is None else size
    received = np.ones((1, t)) if received is None else received
    return mctf_weights(x, received, size, settings)(np.array([[0, 2]]), np.array([[1, 3]]))[0]


def test_criteria_of_mctf_are_switched_off_one_by_one():
    x = RNG(0).standard_normal((1, 4, 5))
    size, received = np.array([[1.0, 2, 3, 1]]), np.array([[0.1, 0.4, 0.2, 0.3]])
    off = MctfSettings(similarity=0, information=0, size=0)
    assert np.ptp(mctf_of(x, off, size, received)) == 0  # all pairs tie
    unit = unit_rows(x)[0]
    np.testing.assert_allclose(
        mctf_of(x, replace(off, similarity=0.5), size, received),
        ((unit[[0, 2]] @ unit[[1, 3]].T + 1) / 2) ** 2, atol=1e-12,
    )  # fmt: skip
    np.testing.assert_allclose(
        mctf_of(x, replace(off, size=1), size, received), [[1, 2], [1 / 3, 2 / 3]] / np.array(2), atol=1e-12
    )
    u = 0.1 / received[0]
    np.testing.assert_allclose(
        mctf_of(x, replace(off, information=1), size, received), np.outer(u[[0, 2]], u[[1, 3]]), atol=1e-12
    )


def test_similarity_alone_one_way_is_soft_matching_of_the_tokens():
    dump = pictured(RNG(1).standard_normal((3, 16, 6)), (4, 4), leading=(CLASS,))
    settings = MctfSettings(information=0, size=0, both_ways=False)
    found = simulate(dump, rule("mctf"), at_layer(0, 11, 2, 16), settings)
    unit, state = unit_rows(dump.recorded["hidden"][1]), TokenState.start(dump.layout.present)
    first, second = halves(dump.layout.free)
    own = bipartite(state, first, second, lambda a, b: gathered(unit, a) @ gathered(unit, b).transpose(0, 2, 1),
                    np.full(3, 5))  # fmt: skip
    np.testing.assert_array_equal(found.steps[0].into, own.into)


@pytest.mark.parametrize("id", ["mctf", "tome", "pitome", "aim", "cluster_rebuild", "spatial_pooling"])
def test_two_protected_tokens_stay_as_they_are(id):
    """Though they are copies of the patches, which any pairing would be glad of."""
    dump = pictured(np.ones((1, 16, 3)), (4, 4), 4, leading=(CLASS, REGISTER))
    for name in ("hidden", "between", "mean keys"):
        dump.recorded[name] = [np.ones_like(x) for x in dump.recorded[name]]
    found = simulate(dump, rule(id), schedule("even", 0.5, 4, 16))
    state = found.states[-1]
    assert state.at[0, :2].tolist() == [0, 1]
    assert state.size[0, :2].tolist() == [1, 1]


def test_merging_both_ways_takes_exactly_as_many():
    dump = pictured(RNG(2).standard_normal((4, 25, 6)), (5, 5), leading=(CLASS,))
    for remove in (1, 2, 7, 12):
        found = simulate(dump, rule("mctf"), at_layer(0, 25 - remove, 2, 25))
        assert found.counts[-1].tolist() == [26 - remove] * 4
        assert (found.states[-1].size.sum(axis=1) == 26).all()


# ---------------------------------------------------------------------------- composing steps
def test_two_steps_as_one():
    state = TokenState.start(np.ones((1, 5), bool))
    one = Step(np.array([[0, 0, 2, 3, GONE]]), np.full((1, 5), np.nan))
    two = Step(np.array([[0, 0, GONE]]), np.zeros((1, 3)))
    both = then(one, two)
    assert both.into.tolist() == [[0, 0, 0, GONE, GONE]]
    x = RNG(0).standard_normal((1, 5, 2))
    middle = after(state, one)
    np.testing.assert_allclose(merged(x, state, both), merged(merged(x, state, one), middle, two), atol=1e-12)


def test_a_group_is_named_by_its_first_largest():
    state = TokenState.start(np.ones((2, 4), bool))
    group = np.array([[1, GONE, 1, 1], [0, 0, 2, 2]])
    step = merge_groups(state, group, np.array([[0, 9, 5, 5], [1, 2, 0, 0]]), np.zeros((2, 4)))
    assert step.into.tolist() == [[2, 1, 2, 2], [1, 1, 2, 2]]


# ---------------------------------------------------------------------------- pooling
def test_nested_grids_and_pooling_in_stages_is_pooling_at_once():
    counts = [(24 // h) * (24 // w) for h, w in nest(24, 24)]
    assert counts == [576, 144, 36, 9, 1]
    x = RNG(0).standard_normal((1, 64, 3))
    dump = pictured(x, (8, 8), 3)
    stages = simulate(dump, rule("nested_pooling"), schedule("even", 1 / 64, 3, 64))
    values, state = x, stages.states[0]
    for step, behind in zip(stages.steps, stages.states[1:], strict=True):
        values, state = merged(values, state, step), behind
    np.testing.assert_allclose(values[0, 0], x.mean(axis=(0, 1)), atol=1e-12)
    assert [int(s.counts[0]) for s in stages.states] == [64, 16, 16, 1]
    once = simulate(dump, rule("nested_pooling"), at_layer(0, 16, 3, 64))
    blocks = x.reshape(4, 2, 4, 2, 3).mean(axis=(1, 3)).reshape(16, 3)
    np.testing.assert_allclose(merged(x, once.states[0], once.steps[0])[0], blocks, atol=1e-12)


def test_pooling_knows_frames_and_grids_that_do_not_divide():
    x = RNG(0).standard_normal((1, 30, 3))
    found = simulate(pictured(x, (6, 5), frames=2), rule("spatial_pooling"), at_layer(0, 5, 2, 30))
    assert found.counts[-1].tolist() == [2 * 2 * 3]  # no cell over the border of two pictures
    assert adaptive(7, 7, 24) == (4, 6)
    assert adaptive(7, 7, 49) == (7, 7)
    assert adaptive(2, 2, 1) == (1, 1)
    found = simulate(
        pictured(RNG(1).standard_normal((1, 49, 3)), (7, 7)), rule("adaptive_pooling"), at_layer(0, 24, 2, 49)
    )
    assert found.counts[-1].tolist() == [24]


def test_attention_in_windows_reads_its_own_cell_alone_and_copies_alike():
    x = RNG(0).standard_normal((1, 16, 3))
    x[0, [0, 1, 4, 5]] = 1.0
    dump = pictured(x, (4, 4))
    found = simulate(dump, rule("window_attention"), at_layer(0, 4, 2, 16))
    own = merged(x, found.states[0], found.steps[0])[0]
    np.testing.assert_allclose(own[0], 1.0, atol=1e-12)
    rows = x[0, [2, 3, 6, 7]] / np.sqrt(np.square(x[0, [2, 3, 6, 7]]).mean(axis=1, keepdims=True))
    w = np.exp(rows @ rows.mean(axis=0) / np.sqrt(3))
    np.testing.assert_allclose(own[1], w / w.sum() @ x[0, [2, 3, 6, 7]], atol=1e-12)


def test_generalised_means_run_from_the_geometric_mean_to_the_largest():
    y = RNG(0).random((50, 200)) + 1e-3
    means = [power_mean(y, p) for p in (1e-3, 0.5, 1, 3, 20, 200)]
    np.testing.assert_allclose(means[0], np.exp(np.log(y).mean(axis=0)), rtol=2e-3)
    np.testing.assert_allclose(means[2], y.mean(axis=0), atol=1e-12)
    assert all((b >= a).all() for a, b in itertools.pairwise(means))
    ratio = means[-1] / y.max(axis=0)
    assert ratio.min() >= 50 ** (-1 / 200)
    assert round(50 ** (-1 / 200), 4) == 0.9806
    assert ratio.max() < 0.99


def test_pooled_units_are_generalised_means_of_their_cells():
    x = RNG(0).standard_normal((1, 16, 3))
    dump, plan = pictured(x, (4, 4)), at_layer(0, 4, 2, 16)
    one = simulate(dump, rule("power_pooling"), plan, PowerSettings(power=1.0))
    cell = [0, 1, 4, 5]
    np.testing.assert_allclose(one.steps[0].values[0, 0], x[0, cell].mean(axis=0), atol=1e-5)
    largest = simulate(dump, rule("power_pooling"), plan, PowerSettings(power=1000.0)).steps[0]
    np.testing.assert_allclose(largest.values[0, 0], x[0, cell].max(axis=0), atol=0.02)
    np.testing.assert_allclose(largest.score[0, cell].sum(), 1, atol=1e-9)
    clamped = simulate(dump, rule("power_pooling"), plan, PowerSettings(power=1.0, negative="clamp")).steps[0]
    np.testing.assert_allclose(clamped.values[0, 0], np.maximum(x[0, cell], 0).mean(axis=0), atol=1e-5)


# ---------------------------------------------------------------------------- dropping by attention
def test_staircase_of_pyramid_drop():
    plan = schedule("quarters", 1 / 8, 32, 576)
    assert sorted(set(plan.kept), reverse=True) == [576, 288, 144, 72]
    assert np.mean(plan.kept[:32]) / 576 == pytest.approx((1 - 0.5**4) / (4 * (1 - 0.5)), abs=1e-12)  # .46875
    assert [i + 1 for i, r in enumerate(plan.remove) if r] == [8, 16, 24]


def test_rules_look_at_the_token_that_answers_and_at_the_layer_they_say():
    rows = np.stack([uniform(12, causal=True), uniform(12, causal=True)])[:, 0]
    dump = texts(rows[:1], 3)
    here, ahead = (np.array(dump.recorded["mean attention"][0]) for _ in range(2))
    here[0, -1], ahead[0, -1] = np.linspace(1, 2, 12), np.linspace(2, 1, 12)
    dump = TokenDump(dump.layout, dump.recorded | {"mean attention": [here, ahead, ahead]})
    assert left(simulate(dump, rule("fastv"), at_layer(0, 3, 3, 10))) == [0, 8, 9, 10, 11]
    assert left(simulate(dump, rule("pyramid_drop"), at_layer(0, 3, 3, 10))) == [0, 1, 2, 3, 11]
    assert left(simulate(dump, rule("pyramid_drop"), at_layer(2, 3, 3, 10))) == [
        0,
        1,
        2,
        3,
        11,
    ]  # its own: none behind
    alone = simulate(pictured(np.ones((1, 4, 2)), (2, 2)), rule("fastv"), at_layer(0, 2, 2, 4))
    assert any("no class token" in note for note in alone.notes)


def feathered(plan):
    """81 patches of which later ones are read more, by queries and keys without positions."""
    keys = np.zeros((2, 2, 82, 4))
    keys[..., 0] = np.arange(82)
    queries = np.ones((2, 2, 82, 4))
    more = {"plain keys": [keys] * 4, "plain queries": [queries] * 4}
    dump = pictured(RNG(0).standard_normal((2, 81, 4)), (9, 9), 4, leading=(CLASS,), **more)
    return simulate(dump, rule("feather"), plan)


def test_every_cell_of_feather_has_a_survivor_the_first_time_and_attention_decides_the_second():
    first = feathered(at_layer(0, 24, 4, 81))
    cell = np.array(left(first)[1:]) - 1
    assert len({(c // 9 // 3, c % 9 // 3) for c in cell.tolist()}) == 9
    middles = [9 * (3 * i + 1) + 3 * j + 1 for i in range(3) for j in range(3)]
    assert cell.tolist() == sorted(
        [*middles, 63, 65, 66, 68, 69, *range(71, 81)]
    )  # the grid, then the most read
    twice = feathered(schedule("twice", 0.09, 4, 81))
    assert twice.counts[:, 0].tolist() == [82, 25, 8, 8, 8]  # shares 0.3 and its square
    assert left(twice) == [0, *range(75, 82)]


def test_a_predictor_is_replaced_by_what_the_answer_reads_in_the_end():
    x = RNG(0).standard_normal((1, 9, 3))
    dump = pictured(x, (3, 3), 3, leading=(CLASS,))
    last = np.array(dump.recorded["mean attention"][0])
    last[0, 0, 1:] = np.arange(9)
    dump = TokenDump(
        dump.layout, dump.recorded | {"mean attention": [dump.recorded["mean attention"][0]] * 2 + [last]}
    )
    assert left(simulate(dump, rule("dynamicvit"), at_layer(0, 3, 3, 9))) == [0, 7, 8, 9]
    given = TokenDump(dump.layout, dump.recorded | {"oracle": [-read_in_the_end(last, dump.layout)] * 3})
    assert left(simulate(given, rule("dynamicvit"), at_layer(0, 3, 3, 9))) == [0, 1, 2, 3]
    assert "oracle" in rule("dynamicvit").trained
    unknown = -read_in_the_end(last, dump.layout)
    unknown[0, 1] = np.nan
    given = TokenDump(dump.layout, dump.recorded | {"oracle": [unknown] * 3})
    assert left(simulate(given, rule("dynamicvit"), at_layer(0, 3, 3, 9))) == [0, 2, 3, 4]


def test_information_of_a_crop_says_how_many_it_keeps():
    blank, apart = np.ones((16, 20)), np.eye(16, 20)
    assert density(blank, 0.9) == 0
    assert density(apart, 0.9) == 1
    assert density(np.vstack([apart, apart[:4]]), 0.9) == pytest.approx(1 - 8 / 20, abs=1e-12)
    x = np.vstack([blank, apart])[None]
    dump = pictured(x, (8, 4), leading=(CLASS,), frames=2)
    found = simulate(dump, rule("correlation_guided"), at_layer(0, 16, 2, 32))
    assert found.counts[-1].tolist() == [1 + 1 + 16]
    all_kept = simulate(
        dump, rule("correlation_guided"), at_layer(0, 16, 2, 32), CorrelationSettings(threshold=1.0)
    )
    assert all_kept.counts[-1].tolist() == [33]


def test_first_and_last_tokens():
    dump = texts(uniform(12))
    assert left(simulate(dump, rule("first"), at_layer(0, 4, 2, 10))) == [0, 1, 2, 3, 4, 11]
    assert left(simulate(dump, rule("last"), at_layer(0, 4, 2, 10))) == [0, 1, 8, 9, 10, 11]
    assert left(simulate(dump, rule("last"), at_layer(0, 4, 2, 10), WindowSettings(sinks=0))) == [
        0,
        7,
        8,
        9,
        10,
        11,
    ]


def test_attention_among_some_tokens_has_their_rows_and_columns():
    x, at = RNG(0).standard_normal((2, 3, 5, 5)), np.array([[0, 2, 4], [1, 2, 3]])
    found = rows_and_columns(x, at)
    for b in range(2):
        np.testing.assert_array_equal(found[b], x[b][:, at[b]][:, :, at[b]])
    np.testing.assert_array_equal(rows_and_columns(x[:, 0], at), found[:, 0])


# ---------------------------------------------------------------------------- clusters, and all tokens made again
@pytest.mark.parametrize("shape", [(5, 5), (3, 8), (7, 2), (1, 9), (2, 20)])
def test_seeds_are_as_many_different_places_as_are_asked_for(shape):
    for k in range(1, shape[0] * shape[1] + 1):
        found = seeds(k, *shape)
        assert len({tuple(p) for p in found.tolist()}) == k
        assert (found >= 0).all()
        assert (found < shape).all()


def test_as_many_clusters_as_tokens_are_the_tokens():
    x = RNG(0).standard_normal((30, 4))
    where = np.stack(np.divmod(np.arange(30), 6), axis=1).astype(float)
    label, means = local_clusters(x[None], np.ones((1, 30)), where, np.arange(30), 5)
    np.testing.assert_array_equal(label[0], np.arange(30))
    np.testing.assert_allclose(means[0], x, atol=1e-12)


def test_maps_that_are_constant_on_pieces_come_back_and_others_nearly():
    piece = np.repeat(
        np.repeat(np.arange(16).reshape(4, 4), 2, axis=0), 2, axis=1
    ).ravel()  # 2 x 2 pieces of 8 x 8
    x = RNG(0).standard_normal((16, 5))[piece][None]
    found = simulate(pictured(x, (8, 8)), rule("cluster_rebuild"), at_layer(0, 16, 2, 64))
    assert found.counts[-1].tolist() == [16]
    values = merged(x, found.states[0], found.steps[0])
    np.testing.assert_allclose(rebuilt(values, found.states, found.steps), x, atol=1e-12)
    np.testing.assert_allclose(made_from(found.states, found.steps).sum(axis=2), 1, atol=1e-12)
    rough = x + 0.3 * RNG(1).standard_normal(x.shape)
    found = simulate(
        pictured(rough, (8, 8)), rule("cluster_rebuild"), at_layer(0, 16, 2, 64), ClusterSettings(rounds=20)
    )
    made = rebuilt(merged(rough, found.states[0], found.steps[0]), found.states, found.steps)
    assert 0.05 < relative_error(rough, made).mean() < 0.4


def test_edges_of_pieces():
    owner = np.array([[0, 0, 2, 0, 0, 2, 0, 0, 2]])
    edge = on_edge(owner, np.arange(9)[None], (3, 3))
    assert edge[0].reshape(3, 3).tolist() == [[False, True, True]] * 3


def test_rebuilding_of_rules_that_say_nothing_of_it_follows_who_went_where():
    state = TokenState.start(np.ones((1, 3), bool))
    step = Step(np.array([[0, 0, GONE]]), np.zeros((1, 3)))
    made = made_from([state, after(state, step)], [step])
    assert made.tolist() == [[[1.0], [1.0], [0.0]]]


# ---------------------------------------------------------------------------- all rules
def test_every_rule_says_what_it_is():
    for one in rules().values():
        assert one.title
        assert one.equation
        assert one.notes or not one.own_count, one.id
    assert {"mean keys", "hidden"} <= set(needed(list(rules().values())))
    assert "next mean attention" not in needed(list(rules().values()))


def test_a_view_looks_at_each_thing_once():
    asked = []
    state = TokenState.start(np.ones((1, 2), bool))
    layout = TokenLayout(np.full((1, 2), PATCH), np.ones((1, 2), bool), np.array([[0, 1]]))
    view = View(0, 2, state, layout, lambda name: asked.append(name) or np.ones((1, 2, 2)))
    view["hidden"], view["hidden"]
    assert asked == ["hidden"]
    assert view.ahead == "next mean attention"
